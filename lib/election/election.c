/* SPDX-License-Identifier: Apache-2.0 */
#include "election.h"

#include <assert.h>
#include <string.h>

#include "internal.h"
#include "lease.h"
#include "pure.h"

/* Flat and without padding: states are compared and hashed as bytes. */
static_assert(sizeof(struct election) == 17 * 8 + sizeof(struct election_view) + 2 * 4 + 24,
	      "padding");
static_assert(sizeof(struct election_view) == 40, "padding");
static_assert(sizeof(struct election_event) == 6 * 8 + 40 + 4 + 12, "padding");

/* No event makes more moves than this: the longest way is STOP, LEAVE or OFFLINE, FOLLOW, AWAIT. */
#define MOVES_MAX 8

void election_init(struct election *ret_state)
{
	memset(ret_state, 0, sizeof(*ret_state));
	ret_state->phase = PHASE_INIT;
	ret_state->healthy = 1;
	ret_state->corpses = -1;
}

void election_say(struct election_step *s, enum election_action_type type, uint8_t reason)
{
	struct election_actions *actions = s->actions;

	assert(actions->count < ELECTION_ACTIONS_MAX);
	actions->list[actions->count++] = (struct election_action){ .type = (uint8_t)type,
								    .reason = reason };
}

void election_do(struct election_step *s, enum election_op op, int32_t version)
{
	struct election *e = s->state;

	assert(e->op == OP_NONE && e->attached);
	e->op = (uint8_t)op;
	e->op_sent_us = e->now_us;
	election_say(s, ACTION_DO, e->reason);
	s->actions->list[s->actions->count - 1].op = (uint8_t)op;
	s->actions->list[s->actions->count - 1].version = version;
}

static int64_t phase_deadline_us(const struct election_step *s, enum election_phase from,
				 enum election_phase to)
{
	const struct election_config *c = s->config;
	int64_t now_us = s->state->now_us;

	switch ((int)to) { /* the others have no deadline */
	case PHASE_CONTEND:
		return now_us + c->contend_delay_us;
	case PHASE_AWAIT:
		/* The delay was waited out before the first attempt. */
		return from == PHASE_ENTER ? now_us : now_us + c->transition_delay_us;
	case PHASE_ENTER:
		return now_us + lease_length_us(s->state->term_us);
	case PHASE_VACATED:
		return now_us + c->lock_timeout_us + c->transition_delay_us;
	case PHASE_YIELD:
		return now_us + c->transition_delay_us;
	case PHASE_HANDOVER:
		return now_us + c->handover_timeout_us;
	default:
		return 0;
	}
}

void election_move(struct election_step *s, enum election_phase to, enum election_reason reason)
{
	struct election *e = s->state;

	assert(election_edges(e->phase) & UINT32_C(1) << to);
	e->deadline_us = phase_deadline_us(s, e->phase, to);
	/* The next look of a survey holds up nothing after it. */
	if (e->phase == PHASE_RECOVER)
		e->retry_us = 0;
	e->phase = (uint8_t)to;
	e->reason = (uint8_t)reason;
	e->phase_since_us = e->now_us;
	if (!election_acting(e) && to != PHASE_ENTER)
		e->term_us = 0;
	/* Answers to questions of the phase before are not waited for. */
	e->scanning = e->fencing = e->counting = 0;
	e->peers = PEERS_UNKNOWN;
	if (to == PHASE_RECOVER) {
		e->corpses = -1;
		e->waits_over_us = 0;
		e->fence_failed = 0;
	}
}

static bool failed_this_claim(const struct election *e)
{
	return e->failed_mzxid && e->view.key_mzxid == e->failed_mzxid;
}

/* -- one phase each; true: moved -- */

static bool depart(struct election_step *s)
{
	election_say(s, ACTION_DEPART, REASON_SHUTDOWN);
	election_move(s, PHASE_GONE, REASON_DEPARTED);
	return true;
}

static bool depart_overdue(const struct election *e)
{
	return e->shutdown && e->depart_by_us && e->now_us >= e->depart_by_us;
}

static bool in_offline(struct election_step *s)
{
	struct election *e = s->state;

	if (e->op != OP_NONE)
		return false;
	if (e->shutdown)
		return depart(s);
	if (e->attached && e->now_us >= e->retry_us)
		election_do(s, OP_REGISTER, 0);
	/* The keys may be refused for long: the post is not kept for that. */
	else if (e->attached && e->view.post == POST_MINE && e->view.epoch_known)
		election_do(s, OP_LEAVE, 0);
	return false;
}

static bool in_follow_shutdown(struct election_step *s)
{
	struct election *e = s->state;

	if (e->op == OP_NONE && (election_not_named(e) || depart_overdue(e)))
		return depart(s);
	return false;
}

static bool in_follow(struct election_step *s)
{
	struct election *e = s->state;

	if (e->attached && e->view.post == POST_MINE && e->op == OP_NONE) {
		election_move(s, PHASE_LEAVE, REASON_POST_LEFT_OVER);
		return true;
	}
	if (e->shutdown)
		return in_follow_shutdown(s);
	/* The next vacancy is another matter. (Until it is known whether the named node is alive, it counts as such.) */
	if (e->view.key == KEY_OTHER && e->view.key_version != e->seen_version) {
		e->refusals = 0;
		e->retry_us = 0;
	}
	if (!e->attached || e->op != OP_NONE)
		return false;
	if (e->view.key == KEY_ME && !election_unwilling(s) && !failed_this_claim(e)) {
		/* What went wrong before has to do with the lock, as a rule, and not with this takeover. */
		e->refusals = 0;
		e->retry_us = 0;
		election_move(s, PHASE_AWAIT, REASON_NAMED);
		return true;
	}
	if (!election_vacant(e) || election_own_obstacles(s->config, e) || e->now_us < e->retry_us)
		return false;
	if (e->view.key == KEY_MISSING) {
		election_do(s, OP_CREATE_KEY, 0);
		return false;
	}
	e->seen_version = e->view.key_version;
	election_move(s, PHASE_CONTEND, election_vacancy_reason(e));
	return true;
}

static enum election_reason obstacle_reason(const struct election_step *s)
{
	enum election_reason unwilling = election_unwilling(s);

	if (unwilling)
		return unwilling;
	return s->state->view.maintenance ? REASON_MAINTENANCE : REASON_ABSENT;
}

/* True when the vacancy that was seen is gone, or this node may not fill it any more. */
static bool contest_over(const struct election_step *s, enum election_reason *ret_reason)
{
	const struct election *e = s->state;

	if (election_own_obstacles(s->config, e)) {
		*ret_reason = obstacle_reason(s);
		return true;
	}
	if (e->view.key == KEY_UNKNOWN)
		return false; /* it is being read again */
	if (!election_vacant(e)) {
		*ret_reason = e->view.key == KEY_ME ? REASON_NAMED : REASON_TAKEN;
		return true;
	}
	*ret_reason = REASON_KEY_MOVED;
	return e->view.key == KEY_MISSING || e->view.key_version != e->seen_version;
}

/* The head start is for those who can use it: the absent are not waited for. */
static bool others_go_first(struct election_step *s)
{
	struct election *e = s->state;

	if (e->now_us >= e->deadline_us || e->peers == PEERS_NONE)
		return false;
	election_ask_peers(s);
	return true;
}

static bool in_contest(struct election_step *s)
{
	struct election *e = s->state;
	enum election_reason reason;

	if (contest_over(s, &reason)) {
		if (e->lock != LOCK_FREE) {
			e->lock = LOCK_FREE;
			election_say(s, ACTION_UNLOCK, (uint8_t)reason);
		}
		election_move(s, PHASE_FOLLOW, reason);
		return true;
	}
	if (e->view.key == KEY_UNKNOWN)
		return false;
	if (e->phase == PHASE_CONTEND && !others_go_first(s)) {
		e->lock = LOCK_WAITING;
		election_say(s, ACTION_LOCK, e->reason);
		election_move(s, PHASE_LOCK, (enum election_reason)e->reason);
		return true;
	}
	if (e->phase == PHASE_LOCK && e->lock == LOCK_HELD && e->op == OP_NONE) {
		election_do(s, OP_CLAIM, e->seen_version);
		election_move(s, PHASE_CLAIM, (enum election_reason)e->reason);
		return true;
	}
	return false;
}

/* Larger than that of any takeover before, also after a restore has taken the zxids back. */
static int64_t next_epoch(const struct election *e)
{
	return e->view.key_mzxid > e->view.epoch ? e->view.key_mzxid : e->view.epoch + 1;
}

static bool in_await(struct election_step *s)
{
	struct election *e = s->state;

	if (election_not_named(e) || election_unwilling(s) || failed_this_claim(e) ||
	    e->view.post == POST_MINE) {
		election_move(s, PHASE_FOLLOW,
			      election_unwilling(s) ? election_unwilling(s) : REASON_NOT_NAMED);
		return true;
	}
	if (!e->attached || e->op != OP_NONE || e->now_us < e->deadline_us ||
	    e->now_us < e->retry_us)
		return false;
	if (e->view.key != KEY_ME || e->view.post != POST_NONE || !e->view.epoch_known ||
	    election_epochs_are_used_up(&e->view))
		return false;
	e->claim_mzxid = e->view.key_mzxid;
	e->epoch = next_epoch(e);
	e->term_us = e->session_us;
	e->proof_us = 0;
	election_do(s, OP_ENTER, e->view.key_version);
	election_move(s, PHASE_ENTER, REASON_POST_FREE);
	return true;
}

bool election_post_is_former(const struct election *e)
{
	return e->view.post == POST_MINE && e->view.post_epoch && e->view.post_epoch != e->epoch;
}

/* Only after an unknown outcome: what is read now decides. A post that is ours is proven by a renewal first. */
static bool in_enter(struct election_step *s)
{
	struct election *e = s->state;

	if (e->op != OP_NONE)
		return false;
	if (depart_overdue(e))
		return depart(s);
	if (!e->attached || e->view.post == POST_UNKNOWN)
		return false;
	if (e->view.post != POST_MINE) {
		election_move(s, PHASE_AWAIT, REASON_POST_FREE);
		return true;
	}
	if (election_not_named(e) || election_unwilling(s)) {
		election_move(s, PHASE_LEAVE, REASON_NOT_NAMED);
		return true;
	}
	/* Not proven either within a lease's length: a renewal cannot be written, and nobody else could have the post. */
	if (election_post_is_former(e) || e->now_us >= e->deadline_us) {
		election_move(s, PHASE_LEAVE, REASON_POST_LEFT_OVER);
		return true;
	}
	return false;
}

static bool in_stop(struct election_step *s)
{
	struct election *e = s->state;

	if (e->work != WORK_DOWN)
		return false;
	e->lease_end_us = e->term_us = e->proof_us = 0;
	e->epoch = 0;
	if (e->registered)
		election_move(s, PHASE_LEAVE, REASON_WORK_STOPPED);
	else
		election_move(s, PHASE_OFFLINE, REASON_WORK_STOPPED);
	return true;
}

static bool in_leave(struct election_step *s)
{
	struct election *e = s->state;

	if (e->op != OP_NONE)
		return false;
	if (depart_overdue(e))
		return depart(s);
	/* Only a post that is known to be ours is deleted, at the /epoch that was read before it: so both must be known. */
	if (e->attached && e->view.post != POST_UNKNOWN && e->view.epoch_known &&
	    e->now_us >= e->retry_us)
		election_do(s, OP_LEAVE, 0);
	return false;
}

static bool advance(struct election_step *s)
{
	switch ((enum election_phase)s->state->phase) {
	case PHASE_OFFLINE:
		return in_offline(s);
	case PHASE_FOLLOW:
		return in_follow(s);
	case PHASE_CONTEND:
	case PHASE_LOCK:
		return in_contest(s);
	case PHASE_AWAIT:
		return in_await(s);
	case PHASE_ENTER:
		return in_enter(s);
	case PHASE_RECOVER:
		return election_in_recover(s);
	case PHASE_BEGIN:
		return election_in_begin(s);
	case PHASE_PRIMARY:
	case PHASE_VACATED:
	case PHASE_YIELD:
	case PHASE_HANDOVER:
		return election_in_acting(s);
	case PHASE_STOP:
		return in_stop(s);
	case PHASE_LEAVE:
		return in_leave(s);
	case PHASE_INIT:
	case PHASE_CLAIM:
	case PHASE_RESUME:
	case PHASE_GONE:
	case PHASE_COUNT:
		break;
	}
	return false;
}

/* Named but unwilling, or named by a claim that could not be followed: the key is given back, whatever the phase. */
static void hand_back(struct election_step *s)
{
	struct election *e = s->state;
	bool may = e->phase == PHASE_FOLLOW || e->phase == PHASE_HANDOVER ||
		   e->phase == PHASE_STOP || e->phase == PHASE_LEAVE;

	if (!may || !e->attached || !e->registered || e->op != OP_NONE || e->view.key != KEY_ME)
		return;
	if (e->now_us >= e->retry_us && (election_unwilling(s) || failed_this_claim(e)))
		election_do(s, OP_HAND_BACK, e->view.key_version);
}

static void check(const struct election *e)
{
	bool runs = e->phase == PHASE_BEGIN || e->phase == PHASE_PRIMARY ||
		    e->phase == PHASE_VACATED || e->phase == PHASE_YIELD ||
		    e->phase == PHASE_HANDOVER || e->phase == PHASE_RESUME;

	assert(runs == (e->work == WORK_STARTING || e->work == WORK_UP));
	assert(e->work != WORK_STOPPING || e->phase == PHASE_STOP);
	assert(!runs || (e->lease_end_us && e->term_us));
	assert((e->op != OP_NONE) == (e->op_sent_us != 0));
	assert(e->lock == LOCK_FREE || e->phase == PHASE_LOCK || e->phase == PHASE_CLAIM);
	assert(!e->registered || e->session_us);
}

/* handover-timeout bounds the wait for a successor. The release itself gets the time that a slow commit may take. */
static int64_t release_bound_us(const struct election_config *config, const struct election *state)
{
	int64_t slow_us = lease_patience_us(state->session_us);

	return config->handover_timeout_us > slow_us ? config->handover_timeout_us : slow_us;
}

void election_step(const struct election_config *config, struct election *state,
		   const struct election_event *event, struct election_actions *ret_actions)
{
	struct election_step s = { .config = config, .state = state, .actions = ret_actions };
	int moves = 0;

	assert(event->now_us > 0 && event->now_us >= state->now_us);
	ret_actions->count = 0;
	state->now_us = event->now_us;
	lease_judge(&s);
	election_apply(&s, event);
	if (state->shutdown && state->work == WORK_DOWN && !state->depart_by_us)
		state->depart_by_us = state->now_us + release_bound_us(config, state);
	while (advance(&s))
		assert(++moves < MOVES_MAX);
	hand_back(&s);
	if (state->phase != PHASE_GONE)
		lease_drive(&s);
	check(state);
}

bool election_epochs_are_used_up(const struct election_view *view)
{
	return view->epoch >= ELECTION_EPOCH_MAX || view->key_mzxid > ELECTION_EPOCH_MAX;
}

bool election_may_send(const struct election *state, enum election_op op,
		       const struct election_view *now)
{
	/* There was another takeover: this epoch is not the highest. */
	if (op == OP_ENTER)
		return state->epoch > now->epoch;
	/* The post is another's, or would be left behind. */
	return op != OP_LEAVE || state->view.post == now->post;
}

bool election_is_at_rest(const struct election *state)
{
	static const unsigned phases = 1U << PHASE_OFFLINE | 1U << PHASE_FOLLOW |
				       1U << PHASE_AWAIT | 1U << PHASE_ENTER | 1U << PHASE_LEAVE;

	return state->work == WORK_DOWN && state->op == OP_NONE && phases & 1U << state->phase;
}

bool election_work_may_run(const struct election *state)
{
	return state->work != WORK_DOWN;
}

int64_t election_next_us(const struct election_config *config, const struct election *state)
{
	const struct election *e = state;
	int64_t now_us = e->now_us;
	int64_t next_us;

	if (e->phase == PHASE_GONE)
		return 0;
	next_us = soonest_us(lease_next_us(config, e), e->deadline_us, now_us);

	if (e->attached)
		next_us = soonest_us(next_us, e->retry_us, now_us);
	if (e->phase == PHASE_RECOVER)
		next_us = soonest_us(next_us, e->waits_over_us, now_us);
	if (e->phase == PHASE_FOLLOW && election_vacant(e))
		next_us = soonest_us(next_us, e->penalty_until_us, now_us);
	if (e->shutdown)
		next_us = soonest_us(next_us, e->depart_by_us, now_us);
	return next_us;
}
