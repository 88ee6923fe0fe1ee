/* SPDX-License-Identifier: Apache-2.0 */
#include "keeper_internal.h"

#include <assert.h>
#include <string.h>

#include "election/lease.h"
#include "election/pure.h"

/* Flat and without padding: states are compared and hashed as bytes. */
static_assert(sizeof(struct keeper) == 9 * 8 + 16, "padding");
static_assert(sizeof(struct keeper_event) == 3 * 8, "padding");

/* The longest way: WAITING, DOWN, STANDBY, ARMING. */
#define MOVES_MAX 6

void keeper_move(struct keeper_turn *s, enum keeper_state to)
{
	assert(keeper_edges(s->state->state) & UINT32_C(1) << to);
	s->state->state = (uint8_t)to;
}

void keeper_say(struct keeper_turn *s, enum keeper_action action)
{
	assert(s->actions->count < KEEPER_ACTIONS_MAX);
	s->actions->list[s->actions->count++] = (uint8_t)action;
}

void keeper_init(const struct keeper_config *config, struct keeper *ret_state)
{
	memset(ret_state, 0, sizeof(*ret_state));
	ret_state->state = KEEPER_UNKNOWN;
	ret_state->armed = config->guard ? KEEPER_ARMED : KEEPER_UNARMED;
}

bool keeper_may_run(const struct keeper *state)
{
	return state->state != KEEPER_DOWN && state->state != KEEPER_STANDBY;
}

bool keeper_is_up(const struct keeper *state)
{
	return state->state == KEEPER_UP && state->trouble != KEEPER_TROUBLE_GUARD_ACTED;
}

/* -- when -- */

int64_t keeper_start_by_us(const struct keeper_config *config, int64_t lease_end_us)
{
	return lease_end_us - config->lease_timeout_us;
}

int64_t keeper_guard_acts_us(const struct keeper_config *config, int64_t lease_end_us)
{
	return keeper_start_by_us(config, lease_end_us) +
	       lease_kill_share_us(config->lease_timeout_us);
}

static bool stops(const struct keeper *k)
{
	return k->state == KEEPER_WAITING || k->state == KEEPER_STOPPING ||
	       k->state == KEEPER_KILLING;
}

bool keeper_in_order(const struct keeper *state, int64_t now_us)
{
	return !stops(state) || state->killed_us || !state->lease_end_us ||
	       now_us < state->lease_end_us;
}

static int64_t kill_us(const struct keeper_config *config, const struct keeper *k)
{
	if (!stops(k))
		return 0;
	if (!k->killed_us)
		return lease_kill_due_us(k->stop_since_us, config->stop_timeout_us, k->lease_end_us,
					 config->lease_timeout_us);
	/* A further try gets the time of an orderly stop. */
	if (k->doing == KEEPER_DOES_TRY && k->try_since_us >= k->killed_us)
		return k->try_since_us + config->stop_timeout_us;
	return 0;
}

static int64_t fence_us(const struct keeper_config *config, const struct keeper *k)
{
	if (k->state != KEEPER_KILLING || k->fenced || k->cold || !k->lease_end_us)
		return 0;
	return lease_fence_due_us(k->killed_us, k->lease_end_us, config->lease_timeout_us);
}

/* -- pieces -- */

void keeper_set_trouble(struct keeper_turn *s, enum keeper_trouble trouble)
{
	if (s->state->trouble == trouble)
		return;
	s->state->trouble = (uint8_t)trouble;
	keeper_say(s, KEEPER_DO_TELL_TROUBLE);
}

static void arm(struct keeper_turn *s)
{
	s->state->armed = KEEPER_ARM_ASKED;
	s->state->rearm_us = 0;
	keeper_say(s, KEEPER_DO_ARM);
}

void keeper_ask(struct keeper_turn *s, enum keeper_action how)
{
	s->state->doing = KEEPER_DOES_LOCK;
	keeper_say(s, how);
}

static void forget_stop(struct keeper *k)
{
	k->stop_since_us = k->killed_us = k->try_since_us = k->next_us = 0;
	k->cold = k->tries = k->stopped = k->fenced = 0;
}

void keeper_go_down(struct keeper_turn *s)
{
	struct keeper *k = s->state;
	bool owed = k->wish == KEEPER_WANTS_STOP;

	if (k->trouble == KEEPER_TROUBLE_FAILED)
		k->penalty_until_us = k->now_us + s->config->penalty_us;
	else
		keeper_set_trouble(s, KEEPER_TROUBLE_NONE);
	k->doing = KEEPER_DOES_NOTHING;
	k->armed = s->config->guard ? KEEPER_ARMED : KEEPER_UNARMED;
	k->lease_end_us = k->unguarded_us = k->rearm_us = 0;
	forget_stop(k);
	k->wish = KEEPER_WANTS_DOWN;
	keeper_say(s, KEEPER_DO_UNLOCK);
	keeper_say(s, KEEPER_DO_DISARM);
	if (owed || s->config->guard)
		keeper_say(s, KEEPER_DO_TELL_DOWN);
	keeper_move(s, KEEPER_DOWN);
}

void keeper_start_failed(struct keeper_turn *s)
{
	s->state->wish = KEEPER_WANTS_DOWN;
	s->state->doing = KEEPER_DOES_NOTHING;
	keeper_say(s, KEEPER_DO_TELL_FAILED);
	keeper_say(s, KEEPER_DO_UNLOCK);
	/* Its owner orders a stop next, also of what was not begun: systemd may have started what waits for the guard. */
	if (s->state->state != KEEPER_ARMING)
		keeper_move(s, KEEPER_UNKNOWN);
}

static void begin_stop(struct keeper_turn *s)
{
	struct keeper *k = s->state;

	k->stop_since_us = k->next_us = k->now_us;
	k->doing = KEEPER_DOES_NOTHING; /* of a start no answer comes any more */
	keeper_move(s, KEEPER_WAITING);
}

static void begin_kill(struct keeper_turn *s)
{
	struct keeper *k = s->state;

	if (!k->killed_us) {
		k->killed_us = k->now_us;
		k->next_us = k->now_us + KEEPER_LOOK_US;
		/* Most likely nothing runs: a command that hangs is no reason to stay away for ever. */
		k->stopped = k->stopped || k->cold;
		keeper_move(s, KEEPER_KILLING);
	} else {
		k->try_since_us = k->now_us;
	}
	keeper_say(s, KEEPER_DO_KILL);
}

/* -- what follows from it; each returns whether it moved -- */

static void begin_start(struct keeper_turn *s)
{
	keeper_say(s, KEEPER_DO_LEASE);
	if (s->state->armed == KEEPER_UNARMED)
		arm(s);
	keeper_move(s, KEEPER_ARMING);
}

static bool in_down(struct keeper_turn *s)
{
	struct keeper *k = s->state;

	switch ((enum keeper_wish)k->wish) {
	case KEEPER_WANTS_DOWN:
		return false;
	case KEEPER_WANTS_STANDBY:
		arm(s);
		keeper_move(s, KEEPER_STANDBY);
		return true;
	case KEEPER_WANTS_UP:
		begin_start(s);
		return true;
	case KEEPER_WANTS_STOP:
		k->wish = KEEPER_WANTS_DOWN;
		k->lease_end_us = 0;
		keeper_say(s, KEEPER_DO_TELL_DOWN);
		return false;
	}
	return false;
}

static bool in_standby(struct keeper_turn *s)
{
	struct keeper *k = s->state;

	if (k->wish == KEEPER_WANTS_UP) {
		begin_start(s);
		return true;
	}
	if (k->wish != KEEPER_WANTS_STANDBY) {
		keeper_go_down(s);
		return true;
	}
	return false;
}

static bool in_arming(struct keeper_turn *s)
{
	struct keeper *k = s->state;

	if (k->wish == KEEPER_WANTS_STOP) {
		begin_stop(s);
		return true;
	}
	if (k->wish != KEEPER_WANTS_UP)
		return false;
	if (k->armed == KEEPER_UNARMED) {
		keeper_start_failed(s);
		return true;
	}
	if (k->armed == KEEPER_ARMED && k->doing == KEEPER_DOES_NOTHING)
		keeper_ask(s, KEEPER_DO_LOCK);
	return false;
}

/* Work without a guard is safe only as long as nothing happens to this process. */
static bool in_run(struct keeper_turn *s)
{
	struct keeper *k = s->state;

	if (k->wish == KEEPER_WANTS_STOP ||
	    (s->config->guard && k->lease_end_us &&
	     k->now_us >= keeper_guard_acts_us(s->config, k->lease_end_us))) {
		begin_stop(s);
		return true;
	}
	if (s->config->guard && !k->lease_end_us) {
		keeper_go_down(s);
		return true;
	}
	if (k->state != KEEPER_UNKNOWN && k->armed == KEEPER_UNARMED && k->now_us >= k->rearm_us)
		arm(s);
	return false;
}

/* Nothing is decided yet: the guard gives way to a daemon that extends the lease, or ends it. */
static bool called_off(struct keeper_turn *s)
{
	struct keeper *k = s->state;

	if (!s->config->guard || k->state != KEEPER_WAITING || k->doing != KEEPER_DOES_NOTHING)
		return false;
	if (k->lease_end_us && k->now_us >= keeper_guard_acts_us(s->config, k->lease_end_us))
		return false;
	if (!k->lease_end_us) {
		keeper_go_down(s);
		return true;
	}
	forget_stop(k);
	keeper_move(s, KEEPER_UP);
	return true;
}

static bool in_stop(struct keeper_turn *s)
{
	struct keeper *k = s->state;

	if (called_off(s))
		return true;
	if (kill_us(s->config, k) && k->now_us >= kill_us(s->config, k)) {
		if (!s->config->guard || k->state != KEEPER_WAITING)
			begin_kill(s);
		else if (k->doing == KEEPER_DOES_NOTHING)
			/* Nothing is killed before the daemon is told. */
			keeper_ask(s, KEEPER_DO_SEIZE);
	}
	if (fence_us(s->config, k) && k->now_us >= fence_us(s->config, k)) {
		k->fenced = 1;
		keeper_say(s, KEEPER_DO_FENCE);
	}
	if (k->doing != KEEPER_DOES_NOTHING || k->now_us < k->next_us)
		return false;
	if (k->stopped) {
		k->doing = KEEPER_DOES_CLEAN;
		keeper_say(s, KEEPER_DO_CLEAN);
	} else if (!s->config->guard || !k->killed_us) {
		keeper_ask(s, KEEPER_DO_LOCK); /* the guard has no time left for another one */
	}
	return false;
}

static bool advance(struct keeper_turn *s)
{
	switch ((enum keeper_state)s->state->state) {
	case KEEPER_DOWN:
		return in_down(s);
	case KEEPER_STANDBY:
		return in_standby(s);
	case KEEPER_ARMING:
		return in_arming(s);
	case KEEPER_UNKNOWN:
	case KEEPER_STARTING:
	case KEEPER_UP:
		return in_run(s);
	case KEEPER_WAITING:
	case KEEPER_STOPPING:
	case KEEPER_KILLING:
		return in_stop(s);
	case KEEPER_STATE_COUNT:
		break;
	}
	return false;
}

static void check(const struct keeper *k)
{
	assert(stops(k) == (k->stop_since_us != 0));
	assert((k->state == KEEPER_KILLING) == (k->killed_us != 0));
	assert((k->state == KEEPER_STARTING) == (k->doing == KEEPER_DOES_START));
	assert(stops(k) || (k->doing != KEEPER_DOES_TRY && k->doing != KEEPER_DOES_CLEAN));
	assert((k->state != KEEPER_STARTING && k->state != KEEPER_UP) || k->lease_end_us);
}

void keeper_step(const struct keeper_config *config, struct keeper *state,
		 const struct keeper_event *event, struct keeper_actions *ret_actions)
{
	struct keeper_turn s = { .config = config, .state = state, .actions = ret_actions };
	int moves = 0;

	assert(event->now_us > 0 && event->now_us >= state->now_us);
	ret_actions->count = 0;
	state->now_us = event->now_us;
	keeper_apply(&s, event);
	if (state->penalty_until_us && state->now_us >= state->penalty_until_us) {
		state->penalty_until_us = 0;
		keeper_set_trouble(&s, KEEPER_TROUBLE_NONE);
	}
	while (advance(&s))
		assert(++moves < MOVES_MAX);
	check(state);
}

int64_t keeper_next_us(const struct keeper_config *config, const struct keeper *state)
{
	const struct keeper *k = state;
	int64_t now_us = k->now_us;
	int64_t next_us = soonest_us(0, k->penalty_until_us, now_us);

	if (k->state == KEEPER_UP && config->guard)
		next_us = soonest_us(next_us, keeper_guard_acts_us(config, k->lease_end_us),
				     now_us);
	if (k->state == KEEPER_UP || k->state == KEEPER_STARTING)
		next_us = soonest_us(next_us, k->rearm_us, now_us);
	if (!stops(k))
		return next_us;
	if (k->doing == KEEPER_DOES_NOTHING)
		next_us = soonest_us(next_us, k->next_us, now_us);
	next_us = soonest_us(next_us, kill_us(config, k), now_us);
	return soonest_us(next_us, fence_us(config, k), now_us);
}
