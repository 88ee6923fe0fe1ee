/* SPDX-License-Identifier: Apache-2.0 */
#include "election_internal.h"

#include <string.h>

#include "lease.h"

/* The part of the time for a stop that is kept for killing what would not stop. */
#define KILL_SHARE 8

/* Touches closer to each other than this share of the session timeout are not noted: the oldest count. */
#define TOUCH_SHARE 16

/* A lease may be this share of the session timeout shorter than the longest. */
#define FRESH_SHARE 12

void lease_touched(struct election *e, int64_t sent_us)
{
	struct election_touch *touches = e->touches;

	if (touches[0].sent_us && sent_us - touches[0].sent_us < e->session_us / TOUCH_SHARE)
		return;
	memmove(touches + 1, touches, (ELECTION_TOUCHES - 1) * sizeof(*touches));
	touches[0] = (struct election_touch){ .sent_us = sent_us, .answered_us = e->now_us };
}

void lease_attached(struct election *e, int64_t granted_us)
{
	int64_t end_us;

	memset(e->touches, 0, sizeof(e->touches));
	/* It cannot have been asked for before the connection before it was lost. */
	if (e->down_us > e->touched_us)
		e->touched_us = e->down_us;
	/*
	 * The timeout of a session never grows here: the next leader goes by the one that it was created with, and what the
	 * server of before still reports comes with the one that it had granted.
	 */
	if (!e->session_us || granted_us < e->session_us)
		e->session_us = granted_us;
	/* The session timeout may be a shorter one by now; with the same one this is later than any lease ends. */
	end_us = e->down_us + lease_from_touch_us(e->session_us);
	if (e->lease_end_us > end_us)
		e->lease_end_us = end_us;
}

/* The latest touch that the leader knows of, if a write sent at sent_us commits. */
static int64_t proven_us(const struct election *e, int64_t sent_us)
{
	int64_t answered_by_us = sent_us - lease_proof_us(e->session_us);
	int64_t touched_us = e->touched_us;

	for (int i = 0; i < ELECTION_TOUCHES; i++)
		if (e->touches[i].sent_us > touched_us &&
		    e->touches[i].answered_us <= answered_by_us)
			touched_us = e->touches[i].sent_us;
	return touched_us;
}

void lease_open(struct election *e, int64_t sent_us)
{
	int64_t end_us = sent_us + lease_length_us(e->session_us);
	int64_t from_touch_us;

	e->touched_us = proven_us(e, sent_us);
	from_touch_us = e->touched_us + lease_from_touch_us(e->session_us);
	if (end_us > from_touch_us)
		end_us = from_touch_us;
	if (end_us > e->lease_end_us)
		e->lease_end_us = end_us;
	lease_touched(e, sent_us);
}

int64_t lease_fresh_since_us(const struct election *e, int64_t sent_us)
{
	return sent_us - e->session_us / 3 - e->session_us / FRESH_SHARE;
}

bool lease_fresh(const struct election *e, int64_t sent_us)
{
	return proven_us(e, sent_us) >= lease_fresh_since_us(e, sent_us);
}

static int64_t lease_stop_us(const struct election_config *config, const struct election *e)
{
	return e->lease_end_us - config->lease_timeout_us;
}

/* In these phases the post is held and a stop has not begun. */
static bool lease_binds(const struct election *e)
{
	return e->lease_end_us && election_acting(e) && e->phase != PHASE_STOP &&
	       e->phase != PHASE_LEAVE;
}

void lease_judge(struct election_step *s)
{
	struct election *e = s->state;

	if (lease_binds(e) && e->now_us >= lease_stop_us(s->config, e))
		election_unwind(s, REASON_LEASE);
}

bool lease_kept(const struct election *e)
{
	if (!e->attached)
		return false;
	/* A takeover of unknown outcome, and a daemon that came back: the write proves what the read only says. */
	if (e->phase == PHASE_ENTER || e->phase == PHASE_RESUME)
		return e->op == OP_NONE && e->view.post == POST_MINE;
	if (e->phase == PHASE_STOP)
		return e->registered && e->lease_end_us && e->view.post == POST_MINE;
	return lease_binds(e);
}

/* On the way to the post: a silent server is noticed in time, and the takeover finds a fresh session. */
static bool touching(const struct election *e)
{
	return e->attached && (e->phase == PHASE_LOCK || e->phase == PHASE_AWAIT);
}

static int64_t earlier(int64_t a, int64_t b)
{
	if (!a || !b)
		return a ? a : b;
	return a < b ? a : b;
}

/*
 * Nobody waits for a registration, and many nodes may be at it: giving up on a server that is slow because of that, and
 * coming back, would only make it slower. One that is dead is found out by libzookeeper's pings.
 */
static int64_t cut_us(const struct election *e)
{
	bool patient = e->op == OP_REGISTER && !e->shutdown;
	int64_t sent_us = earlier(e->renew_sent_us, patient ? 0 : e->op_sent_us);

	return e->attached && !e->cut && sent_us ? sent_us + lease_cut_us(e->session_us) : 0;
}

void lease_drive(struct election_step *s)
{
	struct election *e = s->state;

	if ((lease_kept(e) || touching(e)) && !e->renew_sent_us && e->now_us >= e->renew_next_us) {
		e->renew_sent_us = e->now_us;
		e->renew_next_us = e->now_us + lease_renew_us(e->session_us);
		e->touch = !lease_kept(e);
		election_say(s, e->touch ? ACTION_TOUCH : ACTION_RENEW, REASON_NONE);
	}
	if (cut_us(e) && e->now_us >= cut_us(e)) {
		e->cut = 1;
		election_say(s, ACTION_CUT, REASON_NONE);
	}
}

/*
 * The work is killed after the time for an orderly stop, or while there is still time before the lease ends. A stop that
 * begins later than that (the machine slept, the post is gone) gets the least that makes sense.
 */
int64_t stop_kill_us(const struct election_config *config, const struct election *e)
{
	int64_t share_us = config->lease_timeout_us / KILL_SHARE;
	int64_t kill_us = e->stop_since_us + config->relinquish_timeout_us;

	if (e->work != WORK_STOPPING || e->killed_us)
		return 0;
	if (e->stop_reason == REASON_POST_LOST || e->stop_reason == REASON_SESSION_LOST)
		kill_us = earlier(kill_us, e->stop_since_us + config->lease_timeout_us);
	if (e->lease_end_us) {
		int64_t lease_us = e->lease_end_us - share_us;
		int64_t least_us = e->stop_since_us + share_us;

		kill_us = earlier(kill_us, lease_us > least_us ? lease_us : least_us);
	}
	return kill_us;
}

/*
 * What was killed gets a moment to die, also when the kill itself came late. In an orderly stop the lease goes on being
 * renewed, so its end alone would never come.
 */
static int64_t self_fence_us(const struct election_config *config, const struct election *e)
{
	int64_t died_us = e->killed_us + config->lease_timeout_us / KILL_SHARE;
	int64_t patience_us;

	if (e->work != WORK_STOPPING || !e->killed_us || e->self_fenced || !e->lease_end_us)
		return 0;
	patience_us = earlier(e->lease_end_us, e->killed_us + config->lease_timeout_us);
	return died_us > patience_us ? died_us : patience_us;
}

void stop_drive(struct election_step *s)
{
	struct election *e = s->state;
	int64_t kill_us = stop_kill_us(s->config, e);

	if (kill_us && e->now_us >= kill_us) {
		e->killed_us = e->now_us;
		election_say(s, ACTION_KILL, e->stop_reason);
	} else if (self_fence_us(s->config, e) && e->now_us >= self_fence_us(s->config, e)) {
		e->self_fenced = 1;
		election_say(s, ACTION_SELF_FENCE, e->stop_reason);
	}
}

int64_t lease_next_us(const struct election_config *config, const struct election *e)
{
	int64_t next_us = cut_us(e);

	if ((lease_kept(e) || touching(e)) && !e->renew_sent_us)
		next_us = earlier(next_us, e->renew_next_us);
	if (lease_binds(e))
		next_us = earlier(next_us, lease_stop_us(config, e));
	next_us = earlier(next_us, stop_kill_us(config, e));
	return earlier(next_us, self_fence_us(config, e));
}

bool election_in_order(const struct election_config *config, const struct election *state,
		       int64_t now_us)
{
	const struct election *e = state;

	if (e->work == WORK_DOWN || !e->lease_end_us)
		return true;
	if (lease_binds(e))
		return now_us < lease_stop_us(config, e) + lease_renew_us(e->session_us);
	return now_us < e->lease_end_us;
}
