/* SPDX-License-Identifier: Apache-2.0 */
#include "internal.h"

#include <assert.h>

#include "lease.h"

/*
 * Bounds of the doubled pauses: 2^5 times the penalty after takeovers that failed, 2^6 times lock-timeout after
 * refusals, and 2^3 times lock-timeout after a lock that was not acquired: once the lock is free, the vacancy has to be
 * filled soon.
 */
#define PENALTY_DOUBLINGS 5
#define REFUSAL_DOUBLINGS 6
#define LOCK_DOUBLINGS 3

static void forget_view(struct election *e)
{
	e->view.key = KEY_UNKNOWN;
	e->view.post = POST_UNKNOWN;
	e->view.epoch_known = 0;
}

/* What was thought about the key was wrong: it must be read before anything else is decided on it. */
static void read_again(struct election_step *s)
{
	forget_view(s->state);
	if (s->state->attached)
		election_say(s, ACTION_REFRESH, REASON_NONE);
}

static void drop_lock(struct election_step *s)
{
	if (s->state->lock == LOCK_FREE)
		return;
	s->state->lock = LOCK_FREE;
	election_say(s, ACTION_UNLOCK, REASON_NONE);
}

static void retry_later(struct election_step *s)
{
	s->state->retry_us = s->state->now_us + s->config->lock_timeout_us;
}

/* What failed will fail again, as a rule: it is tried ever less often. */
static void back_off(struct election_step *s, unsigned doublings_max)
{
	struct election *e = s->state;

	e->retry_us = e->now_us + (s->config->lock_timeout_us
				   << (e->refusals < doublings_max ? e->refusals : doublings_max));
	if (e->refusals < REFUSAL_DOUBLINGS)
		e->refusals++;
}

static void retry_refused(struct election_step *s)
{
	back_off(s, REFUSAL_DOUBLINGS);
}

static void punish(struct election_step *s)
{
	struct election *e = s->state;

	e->failed_mzxid = e->view.key == KEY_ME ? e->view.key_mzxid : e->claim_mzxid;
	e->penalty_until_us = e->now_us + (s->config->penalty_us << e->failures);
	if (e->failures < PENALTY_DOUBLINGS)
		e->failures++;
}

void election_unwind(struct election_step *s, enum election_reason reason)
{
	struct election *e = s->state;

	if (reason == REASON_WORK_FAILED || reason == REASON_FENCE_FAILED)
		punish(s);
	e->stop_reason = (uint8_t)reason;
	election_move(s, PHASE_STOP, reason);
	if (e->work == WORK_DOWN)
		return;
	e->work = WORK_STOPPING;
	election_say(s, ACTION_STOP, reason);
}

/* Phases in which the post is held, or believed to be, and nothing has been unwound yet. */
static bool holds_post(const struct election *e)
{
	return election_acting(e) && e->phase != PHASE_STOP && e->phase != PHASE_LEAVE;
}

static void apply_start(struct election_step *s, const struct election_event *event)
{
	struct election *e = s->state;

	assert(e->phase == PHASE_INIT);
	e->session_us = event->session_us;
	e->work = WORK_UP;
	/* What the state file tells is not ours to trust: without a lease nothing is resumed. */
	if (event->resume != RESUME_COLD && event->lease_end_us > 0) {
		e->lease_end_us = event->lease_end_us;
		e->term_us = event->session_us;
		e->epoch = event->epoch;
	}
	if (event->resume != RESUME_PRIMARY || !e->lease_end_us || !e->term_us) {
		election_unwind(s, REASON_COLD_START);
		return;
	}
	election_move(s, PHASE_RESUME, REASON_CAME_BACK);
}

static void session_lost(struct election_step *s)
{
	struct election *e = s->state;

	e->attached = e->registered = 0;
	forget_view(e);
	drop_lock(s);
	if (holds_post(e))
		election_unwind(s, REASON_SESSION_LOST);
	else if (e->phase == PHASE_LEAVE || (e->phase >= PHASE_FOLLOW && e->phase <= PHASE_ENTER))
		election_move(s, PHASE_OFFLINE, REASON_SESSION_LOST);
}

static void session_up(struct election_step *s, const struct election_event *event)
{
	struct election *e = s->state;

	if (event->fresh)
		session_lost(s);
	assert(event->session_us > 0);
	e->attached = 1;
	e->session_us = event->session_us;
	e->progress_us = e->renew_next_us = e->now_us;
	/* While a lease is kept only progress tells that a server is any better. */
	if (!lease_kept(e))
		e->cut = 0;
	forget_view(e);
	lease_judge(s);
}

static void session_down(struct election_step *s)
{
	struct election *e = s->state;

	e->attached = 0;
	forget_view(e);
	if (e->phase == PHASE_CONTEND || e->phase == PHASE_LOCK) {
		drop_lock(s);
		election_move(s, PHASE_FOLLOW, REASON_DISCONNECTED);
	}
}

/*
 * A renewal proves that the post was ours; it counts once the view says the same of this term's post, which an old store may
 * have brought back.
 */
static void count_proof(struct election_step *s)
{
	struct election *e = s->state;

	if (!e->proof_us || e->view.post == POST_UNKNOWN)
		return;
	if (e->view.post == POST_MINE && (e->phase != PHASE_STOP || e->lease_end_us)) {
		lease_open(e, e->proof_us);
		if (e->phase == PHASE_ENTER) {
			election_move(s, PHASE_RECOVER, REASON_ENTERED);
		} else if (e->phase == PHASE_RESUME) {
			e->registered = 1;
			election_move(s, PHASE_PRIMARY, REASON_RESUMED);
		}
	}
	e->proof_us = 0;
	lease_judge(s);
}

static void apply_view(struct election_step *s, const struct election_event *event)
{
	struct election *e = s->state;

	if (!e->attached)
		return;
	e->view = event->view;
	if (election_post_is_former(e))
		e->proof_us = 0;
	count_proof(s);
	if (e->view.post != POST_NONE && e->view.post != POST_OTHER && !election_post_is_former(e))
		return;
	if (holds_post(e))
		election_unwind(s, REASON_POST_LOST);
}

/* Our own write moved the key: no need to wait for the watch to say so. */
static void key_written(struct election *e, enum election_key key,
			const struct election_event *event)
{
	e->view.key = (uint8_t)key;
	e->view.key_version++;
	e->view.key_mzxid = event->zxid;
}

static void done_claim(struct election_step *s, const struct election_event *event)
{
	struct election *e = s->state;

	if (event->result == RESULT_OK) {
		e->lock = LOCK_FREE; /* deleted in the claim itself */
		if (e->phase != PHASE_CLAIM)
			return;
		e->view.key_version = e->seen_version;
		key_written(e, KEY_ME, event);
		election_move(s, PHASE_AWAIT, REASON_CLAIMED);
		return;
	}
	drop_lock(s);
	if (e->phase == PHASE_CLAIM)
		election_move(s, PHASE_FOLLOW, REASON_KEY_MOVED);
	if (event->result == RESULT_FAILED)
		retry_refused(s);
	read_again(s);
}

static void done_enter(struct election_step *s, const struct election_event *event, int64_t sent_us)
{
	struct election *e = s->state;
	bool is_hopeless = event->result == RESULT_CONFLICT && e->refusals == REFUSAL_DOUBLINGS;

	if (e->phase != PHASE_ENTER)
		return;
	if (event->result == RESULT_OK) {
		e->view.post = POST_MINE;
		e->view.epoch = e->view.post_epoch = e->epoch;
		lease_open(e, sent_us);
		e->renew_next_us = sent_us + lease_renew_us(e->term_us);
		election_move(s, PHASE_RECOVER, REASON_ENTERED);
		lease_judge(s);
		return;
	}
	/* Refused, or in conflict again and again: a takeover that failed, and others may have more luck. */
	if (event->result == RESULT_FAILED || is_hopeless)
		punish(s);
	if (is_hopeless)
		e->refusals = 0; /* the key is given back soon */
	if (event->result != RESULT_UNKNOWN) {
		/* After a conflict, missing keys of this node are made: a takeover would cut that short, however slow it is. */
		retry_refused(s);
		election_move(s, PHASE_AWAIT, REASON_POST_TAKEN);
	}
	read_again(s);
}

static void done_leave(struct election_step *s, const struct election_event *event)
{
	struct election *e = s->state;

	if (e->phase == PHASE_OFFLINE)
		read_again(s);
	if (e->phase != PHASE_LEAVE)
		return;
	if (event->result == RESULT_OK) {
		/* That of another node was left alone. */
		if (e->view.post == POST_MINE)
			e->view.post = POST_NONE;
		election_move(s, PHASE_FOLLOW, REASON_LEFT);
		return;
	}
	if (event->result == RESULT_FAILED)
		retry_refused(s);
	else if (event->result == RESULT_CONFLICT)
		retry_later(s);
	read_again(s);
}

static void done_key(struct election_step *s, const struct election_event *event,
		     enum election_key key)
{
	if (event->result == RESULT_OK && s->state->attached)
		key_written(s->state, key, event);
	else
		read_again(s);
	if (event->result == RESULT_FAILED)
		retry_refused(s);
}

static void done_register(struct election_step *s, const struct election_event *event)
{
	struct election *e = s->state;

	if (event->result == RESULT_OK && e->attached && e->phase == PHASE_OFFLINE) {
		e->registered = 1;
		e->view.absent = 0;
		if (event->zxid > e->view.epoch)
			e->view.epoch = event->zxid;
		election_move(s, PHASE_FOLLOW, REASON_REGISTERED);
	} else if (event->result == RESULT_FAILED) {
		retry_refused(s);
	} else {
		retry_later(s);
	}
}

static void apply_done(struct election_step *s, const struct election_event *event)
{
	struct election *e = s->state;
	int64_t sent_us = e->op_sent_us;

	assert(e->op == event->op && e->op != OP_NONE);
	e->op = OP_NONE;
	e->op_sent_us = 0;
	if (event->result != RESULT_UNKNOWN && !lease_kept(e))
		e->cut = 0;
	if (event->result == RESULT_OK)
		e->refusals = 0;
	switch ((enum election_op)event->op) {
	case OP_REGISTER:
		done_register(s, event);
		break;
	case OP_CLAIM:
		done_claim(s, event);
		break;
	case OP_ENTER:
		done_enter(s, event, sent_us);
		break;
	case OP_LEAVE:
		done_leave(s, event);
		break;
	case OP_HAND_BACK:
		done_key(s, event, KEY_NONE);
		break;
	case OP_RECLAIM:
		done_key(s, event, KEY_ME);
		break;
	case OP_CREATE_KEY:
		if (event->result == RESULT_FAILED)
			retry_refused(s);
		read_again(s);
		break;
	case OP_NONE:
	case OP_COUNT:
		break;
	}
}

static void apply_lock(struct election_step *s, const struct election_event *event)
{
	struct election *e = s->state;

	if (e->lock == LOCK_FREE)
		return; /* given up while the answer was under way */
	if (event->result == RESULT_OK) {
		e->lock = LOCK_HELD;
		return;
	}
	e->lock = LOCK_FREE;
	if (event->result == RESULT_FAILED)
		retry_refused(s);
	else if (event->result == RESULT_CONFLICT)
		back_off(s, LOCK_DOUBLINGS);
	else
		retry_later(s);
	if (e->phase == PHASE_LOCK)
		election_move(s, PHASE_FOLLOW,
			      event->result == RESULT_CONFLICT ? REASON_LOCK_TIMEOUT
							       : REASON_LOCK_FAILED);
}

static void apply_corpses(struct election_step *s, const struct election_event *event)
{
	struct election *e = s->state;

	if (!e->scanning)
		return;
	e->scanning = 0;
	/* A live node that says it acts is waited for without bound: it stops in order, and only it knows when. */
	if (event->result == RESULT_CONFLICT) {
		e->waits_over_us = e->now_us;
		retry_later(s);
		return;
	}
	if (event->result != RESULT_OK) {
		/* Most likely the connection is gone; the post is looked at again first. */
		retry_later(s);
		read_again(s);
		return;
	}
	e->corpses = event->count;
	if (event->count || e->waits_over_us)
		e->waits_over_us = e->now_us;
	if (event->time_us > e->waits_over_us)
		e->waits_over_us = event->time_us;
	e->retry_us = e->now_us + lease_patience_us(e->term_us);
	e->deadline_us = event->count ? e->waits_over_us + s->config->acquire_delay_us : 0;
}

static void apply_peers(struct election_step *s, const struct election_event *event)
{
	struct election *e = s->state;

	if (!e->counting)
		return;
	e->counting = 0;
	if (event->result == RESULT_OK) {
		e->peers = event->count ? PEERS_SOME : PEERS_NONE;
		return;
	}
	retry_later(s); /* as above */
	read_again(s);
}

static void apply_fenced(struct election_step *s, const struct election_event *event)
{
	struct election *e = s->state;

	if (!e->fencing)
		return;
	e->fencing = 0;
	if (event->result == RESULT_OK) {
		e->corpses = 0;
		e->waits_over_us = e->now_us;
	} else if (event->result == RESULT_FAILED) {
		e->fence_failed = 1;
	} else {
		e->corpses = -1;
		retry_later(s);
	}
}

static void apply_started(struct election_step *s, const struct election_event *event)
{
	struct election *e = s->state;

	if (e->work != WORK_STARTING)
		return;
	e->work = WORK_UP; /* also when it failed: half of it may be up */
	if (event->result != RESULT_OK)
		election_unwind(s, REASON_WORK_FAILED);
}

static void apply_renewed(struct election_step *s, const struct election_event *event)
{
	struct election *e = s->state;

	if (event->result == RESULT_CONFLICT) {
		if (holds_post(e))
			election_unwind(s, REASON_POST_LOST);
		/* The post came with a takeover that is void by now; left as it is, nobody else could have it. */
		else if (e->phase == PHASE_ENTER && e->view.post == POST_MINE)
			election_move(s, PHASE_LEAVE, REASON_POST_LOST);
		read_again(s);
		return;
	}
	/* Neither says anything of the term: the lease does. */
	if (event->result != RESULT_OK)
		return;
	if (!holds_post(e) && e->phase != PHASE_STOP && e->phase != PHASE_ENTER)
		return;
	e->progress_us = e->now_us;
	e->cut = 0;
	if (event->time_us > e->proof_us)
		e->proof_us = event->time_us;
	/* Peers come and go, and may all be leaving: from time to time it is worth another look. */
	if (e->phase == PHASE_HANDOVER && e->peers == PEERS_SOME)
		e->peers = PEERS_UNKNOWN;
	count_proof(s);
}

void election_apply(struct election_step *s, const struct election_event *event)
{
	struct election *e = s->state;

	switch ((enum election_event_type)event->type) {
	case ELECTION_START:
		apply_start(s, event);
		lease_judge(s);
		break;
	case ELECTION_TIME:
		break;
	case ELECTION_SESSION_UP:
		session_up(s, event);
		break;
	case ELECTION_SESSION_DOWN:
		session_down(s);
		break;
	case ELECTION_SESSION_LOST:
		session_lost(s);
		break;
	case ELECTION_VIEW:
		apply_view(s, event);
		break;
	case ELECTION_DONE:
		apply_done(s, event);
		break;
	case ELECTION_LOCK:
		apply_lock(s, event);
		break;
	case ELECTION_CORPSES:
		apply_corpses(s, event);
		break;
	case ELECTION_FENCED:
		apply_fenced(s, event);
		break;
	case ELECTION_STARTED:
		apply_started(s, event);
		break;
	case ELECTION_STOPPED:
		if (e->work == WORK_STOPPING)
			e->work = WORK_DOWN;
		break;
	case ELECTION_RENEWED:
		apply_renewed(s, event);
		break;
	case ELECTION_PEERS:
		apply_peers(s, event);
		break;
	case ELECTION_HEALTH:
		e->healthy = event->result == RESULT_OK;
		break;
	case ELECTION_PARDON:
		e->penalty_until_us = 0;
		e->failures = 0;
		break;
	case ELECTION_SHUTDOWN:
		e->shutdown = 1;
		break;
	case ELECTION_EVENT_COUNT:
		assert(false);
	}
}
