/* SPDX-License-Identifier: Apache-2.0 */
#include "keeper.h"

#include <assert.h>
#include <string.h>

#include "election/lease.h"
#include "election/pure.h"

/* Flat and without padding: states are compared and hashed as bytes. */
static_assert(sizeof(struct keeper) == 9 * 8 + 16, "padding");
static_assert(sizeof(struct keeper_event) == 3 * 8, "padding");

/* The longest way: WAITING or ARMING, DOWN, STANDBY, ARMING. */
#define MOVES_MAX 6

struct step {
	const struct keeper_config *config;
	struct keeper *state;
	struct keeper_actions *actions;
};

/* -- the diagram -- */

#define TO(state) (UINT32_C(1) << KEEPER_##state)

static const uint32_t edges[KEEPER_STATE_COUNT] = {
	[KEEPER_UNKNOWN] = TO(DOWN) | TO(UP) | TO(WAITING),
	[KEEPER_DOWN] = TO(STANDBY) | TO(ARMING),
	[KEEPER_STANDBY] = TO(DOWN) | TO(ARMING),
	[KEEPER_ARMING] = TO(DOWN) | TO(STARTING),
	[KEEPER_STARTING] = TO(UP) | TO(UNKNOWN) | TO(WAITING),
	[KEEPER_UP] = TO(UNKNOWN) | TO(WAITING) |
		      TO(DOWN), /* DOWN: the guard's, told by the daemon */
	[KEEPER_WAITING] = TO(UP) | TO(STOPPING) | TO(KILLING) |
			   TO(DOWN), /* UP, DOWN: the guard's */
	[KEEPER_STOPPING] = TO(WAITING) | TO(KILLING) | TO(DOWN),
	[KEEPER_KILLING] = TO(DOWN),
};

uint32_t keeper_edges(uint8_t state)
{
	return state < KEEPER_STATE_COUNT ? edges[state] : 0;
}

static void move(struct step *s, enum keeper_state to)
{
	assert(keeper_edges(s->state->state) & UINT32_C(1) << to);
	s->state->state = (uint8_t)to;
}

static void say(struct step *s, enum keeper_action action)
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
	return state->state != KEEPER_DOWN && state->state != KEEPER_STANDBY &&
	       state->state != KEEPER_ARMING;
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

/* A lock whose holder runs nothing (it was stopped, or hangs) is waited for until then. */
static int64_t pass_us(const struct keeper_config *config, const struct keeper *k)
{
	return k->lease_end_us - config->lease_timeout_us / 2;
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
	if (k->state != KEEPER_KILLING || k->fenced || !k->lease_end_us)
		return 0;
	return lease_fence_due_us(k->killed_us, k->lease_end_us, config->lease_timeout_us);
}

/* -- pieces -- */

static void set_trouble(struct step *s, enum keeper_trouble trouble)
{
	if (s->state->trouble == trouble)
		return;
	s->state->trouble = (uint8_t)trouble;
	say(s, KEEPER_DO_TELL_TROUBLE);
}

static void arm(struct step *s)
{
	s->state->armed = KEEPER_ARM_ASKED;
	s->state->rearm_us = 0;
	say(s, KEEPER_DO_ARM);
}

/* PASS: by force. What somebody else runs is killed, and the daemon is told. */
static void ask(struct step *s, enum keeper_action turn_or_pass)
{
	s->state->doing = KEEPER_DOES_TURN;
	say(s, turn_or_pass);
}

static void forget_stop(struct keeper *k)
{
	k->stop_since_us = k->killed_us = k->try_since_us = k->next_us = 0;
	k->cold = k->tries = k->stopped = k->fenced = 0;
}

/* Nothing runs, and nothing is left: the guard is not needed any more. */
static void go_down(struct step *s)
{
	struct keeper *k = s->state;
	bool owed = k->wish == KEEPER_WANTS_STOP;

	if (k->trouble == KEEPER_TROUBLE_FAILED)
		k->penalty_until_us = k->now_us + s->config->penalty_us;
	else
		set_trouble(s, KEEPER_TROUBLE_NONE);
	k->doing = KEEPER_DOES_NOTHING;
	k->armed = s->config->guard ? KEEPER_ARMED : KEEPER_UNARMED;
	k->lease_end_us = k->unguarded_us = k->rearm_us = 0;
	forget_stop(k);
	k->wish = KEEPER_WANTS_DOWN;
	say(s, KEEPER_DO_UNLOCK);
	say(s, KEEPER_DO_DISARM);
	if (owed || s->config->guard)
		say(s, KEEPER_DO_TELL_DOWN);
	move(s, KEEPER_DOWN);
}

static void begin_stop(struct step *s)
{
	struct keeper *k = s->state;

	k->stop_since_us = k->next_us = k->now_us;
	k->doing = KEEPER_DOES_NOTHING; /* of a start no answer comes any more */
	move(s, KEEPER_WAITING);
}

static void begin_kill(struct step *s)
{
	struct keeper *k = s->state;

	if (!k->killed_us) {
		k->killed_us = k->now_us;
		k->next_us = k->now_us + KEEPER_LOOK_US;
		/* Most likely nothing runs: a command that hangs is no reason to stay away for ever. */
		k->stopped = k->stopped || k->cold;
		move(s, KEEPER_KILLING);
	} else {
		k->try_since_us = k->now_us;
	}
	say(s, KEEPER_DO_KILL);
}

/* -- what the event tells -- */

static void note_lease(struct step *s, int64_t end_us)
{
	struct keeper *k = s->state;

	if (end_us || s->config->guard)
		k->lease_end_us = end_us;
	if (!end_us || s->config->guard)
		return;
	if (k->armed != KEEPER_UNARMED || k->state == KEEPER_UP || k->state == KEEPER_STARTING)
		say(s, KEEPER_DO_LEASE);
}

static void note_armed(struct step *s, enum keeper_result result)
{
	struct keeper *k = s->state;

	if (k->armed != KEEPER_ARM_ASKED)
		return;
	k->armed = result == KEEPER_OK ? KEEPER_ARMED : KEEPER_UNARMED;
	if (result == KEEPER_OK)
		k->unguarded_us = 0;
	if (result == KEEPER_OK || (k->state != KEEPER_UP && k->state != KEEPER_STARTING))
		return;
	k->rearm_us = k->now_us + KEEPER_REARM_US;
	if (!k->unguarded_us)
		k->unguarded_us = k->now_us;
	/* The role is given up while that can be done in order. */
	if (k->now_us - k->unguarded_us > KEEPER_UNGUARDED_MAX_US &&
	    k->trouble == KEEPER_TROUBLE_NONE)
		set_trouble(s, KEEPER_TROUBLE_GUARD_LOST);
}

static void note_acted(struct step *s)
{
	struct keeper *k = s->state;

	if (k->state == KEEPER_STANDBY || k->state == KEEPER_ARMING)
		k->armed = KEEPER_UNARMED;
	if (k->state == KEEPER_UP && k->trouble != KEEPER_TROUBLE_FAILED)
		set_trouble(s, KEEPER_TROUBLE_GUARD_ACTED);
}

static void start_failed(struct step *s)
{
	s->state->wish = KEEPER_WANTS_DOWN;
	say(s, KEEPER_DO_TELL_FAILED);
	if (s->state->state == KEEPER_ARMING) {
		go_down(s);
		return;
	}
	say(s, KEEPER_DO_UNLOCK);
	move(s, KEEPER_UNKNOWN);
}

static void start_turn(struct step *s, enum keeper_result result)
{
	struct keeper *k = s->state;

	if (result != KEEPER_OK || k->now_us >= keeper_start_by_us(s->config, k->lease_end_us)) {
		start_failed(s);
		return;
	}
	k->doing = KEEPER_DOES_START;
	move(s, KEEPER_STARTING);
	say(s, KEEPER_DO_START);
}

static void try_once(struct step *s)
{
	struct keeper *k = s->state;

	assert(!k->stopped);
	k->doing = KEEPER_DOES_TRY;
	k->try_since_us = k->now_us;
	if (k->state == KEEPER_WAITING)
		move(s, KEEPER_STOPPING);
	say(s, KEEPER_DO_STOP);
}

static void note_turn(struct step *s, const struct keeper_event *event)
{
	enum keeper_result result = (enum keeper_result)event->result;
	struct keeper *k = s->state;

	if (k->doing != KEEPER_DOES_TURN)
		return;
	k->doing = KEEPER_DOES_NOTHING;
	if (k->state == KEEPER_ARMING) {
		start_turn(s, result);
	} else if (result == KEEPER_OK) {
		/* It begins only now, and gets the least that makes sense. */
		if (s->config->guard && k->state == KEEPER_WAITING)
			k->stop_since_us = k->now_us;
		if (!k->stopped)
			try_once(s);
	} else if (result == KEEPER_DONE) {
		k->stopped = 1;
		k->next_us = k->now_us;
		if (k->state == KEEPER_WAITING)
			move(s, KEEPER_STOPPING);
	} else if (result == KEEPER_OFF && k->state == KEEPER_WAITING) {
		k->lease_end_us = event->lease_end_us;
		k->next_us = k->now_us;
	} else {
		/* It was passed over by the guard, which has the work now. */
		if (k->state == KEEPER_STOPPING)
			move(s, KEEPER_WAITING);
		k->next_us = k->now_us + KEEPER_LOOK_US;
		if (result == KEEPER_IDLE && s->config->guard &&
		    k->now_us >= pass_us(s->config, k)) {
			ask(s, KEEPER_DO_PASS);
		}
	}
}

static void note_started(struct step *s, enum keeper_result result)
{
	if (s->state->doing != KEEPER_DOES_START)
		return;
	s->state->doing = KEEPER_DOES_NOTHING;
	if (result != KEEPER_OK) {
		start_failed(s);
		return;
	}
	move(s, KEEPER_UP);
	say(s, KEEPER_DO_UNLOCK);
	say(s, KEEPER_DO_TELL_UP);
}

static void note_ended(struct step *s, enum keeper_result result)
{
	struct keeper *k = s->state;

	if (k->doing != KEEPER_DOES_TRY)
		return;
	k->doing = KEEPER_DOES_NOTHING;
	k->next_us = k->now_us;
	if (result == KEEPER_OK || (k->cold && (k->killed_us || ++k->tries == KEEPER_COLD_TRIES)))
		k->stopped = 1;
	else
		k->next_us += KEEPER_RETRY_US;
}

static void note_swept(struct step *s, enum keeper_result result)
{
	struct keeper *k = s->state;

	if (k->doing != KEEPER_DOES_SWEEP)
		return;
	k->doing = KEEPER_DOES_NOTHING;
	if (result == KEEPER_OK)
		go_down(s);
	else
		k->next_us = k->now_us + KEEPER_LOOK_US;
}

static void apply(struct step *s, const struct keeper_event *event)
{
	struct keeper *k = s->state;
	enum keeper_result result = (enum keeper_result)event->result;

	switch ((enum keeper_event_type)event->type) {
	case KEEPER_ON_CLEAR:
		if (k->state == KEEPER_UNKNOWN)
			go_down(s);
		break;
	case KEEPER_ON_RESUME:
		assert(k->state == KEEPER_UNKNOWN && event->lease_end_us);
		k->lease_end_us = event->lease_end_us;
		k->wish = KEEPER_WANTS_UP;
		move(s, KEEPER_UP);
		break;
	case KEEPER_ON_NAMED:
		if (k->wish == KEEPER_WANTS_DOWN && k->state == KEEPER_DOWN)
			k->wish = KEEPER_WANTS_STANDBY;
		break;
	case KEEPER_ON_UNNAMED:
		if (k->wish == KEEPER_WANTS_STANDBY)
			k->wish = KEEPER_WANTS_DOWN;
		break;
	case KEEPER_ON_LEASE:
		note_lease(s, event->lease_end_us);
		break;
	case KEEPER_ON_START:
		assert(!keeper_may_run(k));
		k->wish = KEEPER_WANTS_UP;
		break;
	case KEEPER_ON_STOP:
		k->wish = KEEPER_WANTS_STOP;
		k->cold = event->cold;
		break;
	case KEEPER_ON_ARMED:
		note_armed(s, result);
		break;
	case KEEPER_ON_UNGUARDED:
		k->armed = KEEPER_UNARMED;
		break;
	case KEEPER_ON_ACTED:
		note_acted(s);
		break;
	case KEEPER_ON_TURN:
		note_turn(s, event);
		break;
	case KEEPER_ON_STARTED:
		note_started(s, result);
		break;
	case KEEPER_ON_FAILED:
		if (k->state != KEEPER_UP)
			break;
		move(s, KEEPER_UNKNOWN);
		set_trouble(s, KEEPER_TROUBLE_FAILED);
		break;
	case KEEPER_ON_ENDED:
		note_ended(s, result);
		break;
	case KEEPER_ON_SWEPT:
		note_swept(s, result);
		break;
	case KEEPER_ON_TIME:
	case KEEPER_EVENT_COUNT:
		break;
	}
}

/* -- what follows from it; each returns whether it moved -- */

static void begin_start(struct step *s)
{
	if (s->state->armed == KEEPER_UNARMED) {
		say(s, KEEPER_DO_LEASE);
		arm(s);
	}
	move(s, KEEPER_ARMING);
}

static bool in_down(struct step *s)
{
	struct keeper *k = s->state;

	switch ((enum keeper_wish)k->wish) {
	case KEEPER_WANTS_DOWN:
		return false;
	case KEEPER_WANTS_STANDBY:
		arm(s);
		move(s, KEEPER_STANDBY);
		return true;
	case KEEPER_WANTS_UP:
		begin_start(s);
		return true;
	case KEEPER_WANTS_STOP:
		k->wish = KEEPER_WANTS_DOWN;
		k->lease_end_us = 0;
		say(s, KEEPER_DO_TELL_DOWN);
		return false;
	}
	return false;
}

static bool in_standby(struct step *s)
{
	struct keeper *k = s->state;

	if (k->wish == KEEPER_WANTS_UP) {
		begin_start(s);
		return true;
	}
	if (k->wish != KEEPER_WANTS_STANDBY) {
		go_down(s);
		return true;
	}
	return false;
}

static bool in_arming(struct step *s)
{
	struct keeper *k = s->state;

	if (k->wish != KEEPER_WANTS_UP) {
		go_down(s);
		return true;
	}
	if (k->armed == KEEPER_UNARMED) {
		start_failed(s);
		return true;
	}
	if (k->armed == KEEPER_ARMED && k->doing == KEEPER_DOES_NOTHING)
		ask(s, KEEPER_DO_TURN);
	return false;
}

/* Work without a guard is safe only as long as nothing happens to this process. */
static bool in_run(struct step *s)
{
	struct keeper *k = s->state;

	if (k->wish == KEEPER_WANTS_STOP ||
	    (s->config->guard && k->lease_end_us &&
	     k->now_us >= keeper_guard_acts_us(s->config, k->lease_end_us))) {
		begin_stop(s);
		return true;
	}
	if (s->config->guard && !k->lease_end_us) {
		go_down(s);
		return true;
	}
	if (k->state != KEEPER_UNKNOWN && k->armed == KEEPER_UNARMED && k->now_us >= k->rearm_us)
		arm(s);
	return false;
}

/* Nothing is decided yet: the guard gives way to a daemon that extends the lease, or ends it. */
static bool called_off(struct step *s)
{
	struct keeper *k = s->state;

	if (!s->config->guard || k->state != KEEPER_WAITING || k->doing != KEEPER_DOES_NOTHING)
		return false;
	if (k->lease_end_us && k->now_us >= keeper_guard_acts_us(s->config, k->lease_end_us))
		return false;
	if (!k->lease_end_us) {
		go_down(s);
		return true;
	}
	forget_stop(k);
	move(s, KEEPER_UP);
	return true;
}

static bool in_stop(struct step *s)
{
	struct keeper *k = s->state;

	if (called_off(s))
		return true;
	if (kill_us(s->config, k) && k->now_us >= kill_us(s->config, k)) {
		if (!s->config->guard || k->state != KEEPER_WAITING)
			begin_kill(s);
		else if (k->doing == KEEPER_DOES_NOTHING)
			ask(s, KEEPER_DO_PASS); /* nothing is killed before the daemon is told */
	}
	if (fence_us(s->config, k) && k->now_us >= fence_us(s->config, k)) {
		k->fenced = 1;
		say(s, KEEPER_DO_FENCE);
	}
	if (k->doing != KEEPER_DOES_NOTHING || k->now_us < k->next_us)
		return false;
	if (k->stopped) {
		k->doing = KEEPER_DOES_SWEEP;
		say(s, KEEPER_DO_SWEEP);
	} else if (!s->config->guard || !k->killed_us) {
		ask(s, KEEPER_DO_TURN); /* the guard has no time left for another one */
	}
	return false;
}

static bool advance(struct step *s)
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
	assert(stops(k) || (k->doing != KEEPER_DOES_TRY && k->doing != KEEPER_DOES_SWEEP));
	assert((k->state != KEEPER_STARTING && k->state != KEEPER_UP) || k->lease_end_us);
}

void keeper_step(const struct keeper_config *config, struct keeper *state,
		 const struct keeper_event *event, struct keeper_actions *ret_actions)
{
	struct step s = { .config = config, .state = state, .actions = ret_actions };
	int moves = 0;

	assert(event->now_us > 0 && event->now_us >= state->now_us);
	ret_actions->count = 0;
	state->now_us = event->now_us;
	apply(&s, event);
	if (state->penalty_until_us && state->now_us >= state->penalty_until_us) {
		state->penalty_until_us = 0;
		set_trouble(&s, KEEPER_TROUBLE_NONE);
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

/* -- words -- */

#define X(name, text, runs) text,
TEXT_TABLE(state_texts, KEEPER_STATES(X));
#undef X
#define X(name, text) text,
TEXT_TABLE(event_texts, KEEPER_EVENTS(X));
TEXT_TABLE(action_texts, KEEPER_ACTIONS(X));
TEXT_TABLE(trouble_texts, KEEPER_TROUBLES(X));
#undef X

const char *keeper_state_text(uint8_t state)
{
	return LOOK_UP(state_texts, state);
}

const char *keeper_event_text(uint8_t type)
{
	return LOOK_UP(event_texts, type);
}

const char *keeper_action_text(uint8_t action)
{
	return LOOK_UP(action_texts, action);
}

const char *keeper_trouble_text(uint8_t trouble)
{
	return LOOK_UP(trouble_texts, trouble);
}
