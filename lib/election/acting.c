/* SPDX-License-Identifier: Apache-2.0 */

/* The phases in which the post is held: takeover, acting, handing over. */

#include "internal.h"

bool election_vacant(const struct election *e)
{
	return e->view.key == KEY_MISSING || e->view.key == KEY_NONE || e->view.key == KEY_DEAD;
}

enum election_reason election_vacancy_reason(const struct election *e)
{
	if (e->view.key == KEY_DEAD)
		return REASON_HOLDER_DEAD;
	return e->view.key == KEY_MISSING ? REASON_KEY_MISSING : REASON_KEY_NONE;
}

/*
 * Why this node does not want to be primary, REASON_NONE if it does. In maintenance an acting primary that is not
 * healthy stays: nobody would follow it.
 */
enum election_reason election_unwilling(const struct election_step *s)
{
	const struct election *e = s->state;

	if (!s->config->coordinator)
		return REASON_CLIENT_MODE;
	if (e->shutdown)
		return REASON_SHUTDOWN;
	if (e->view.drained)
		return REASON_DRAINED;
	if (!e->healthy && !(e->view.maintenance && election_acting(e)))
		return REASON_UNHEALTHY;
	return REASON_NONE;
}

bool election_not_named(const struct election *e)
{
	return e->view.key != KEY_UNKNOWN && e->view.key != KEY_ME;
}

/* During the takeover every doubt unwinds it. */
static bool takeover_broken(struct election_step *s)
{
	enum election_reason reason = election_unwilling(s);

	if (!reason && election_not_named(s->state))
		reason = s->state->view.key == KEY_OTHER ? REASON_SUPERSEDED : REASON_NOT_NAMED;
	if (!reason && s->state->fence_failed)
		reason = REASON_FENCE_FAILED;
	if (reason)
		election_unwind(s, reason);
	return reason;
}

bool election_in_recover(struct election_step *s)
{
	struct election *e = s->state;

	if (takeover_broken(s))
		return true;
	/* Who is waited for may say meanwhile that its work is down: it is looked again, and the last answer is void. */
	if (e->corpses < 0 || e->now_us < e->waits_over_us) {
		if (e->attached && !e->scanning && e->view.post == POST_MINE &&
		    e->now_us >= e->retry_us) {
			e->scanning = 1;
			e->corpses = -1;
			election_say(s, ACTION_SCAN, REASON_NONE);
		}
		return false;
	}
	if (e->corpses > 0) {
		if (e->attached && !e->fencing && e->now_us >= e->deadline_us) {
			e->fencing = 1;
			election_say(s, ACTION_FENCE, REASON_NONE);
		}
		return false;
	}
	if (!lease_proves(e, e->waits_over_us)) {
		lease_renew_after(e, e->waits_over_us);
		return false;
	}
	e->work = WORK_STARTING;
	election_move(s, PHASE_BEGIN, REASON_RECOVERED);
	election_say(s, ACTION_START, REASON_RECOVERED);
	return true;
}

bool election_in_begin(struct election_step *s)
{
	struct election *e = s->state;

	if (takeover_broken(s))
		return true;
	if (e->work != WORK_UP)
		return false;
	e->failures = 0;
	e->failed_mzxid = 0;
	e->penalty_until_us = 0;
	election_move(s, PHASE_PRIMARY, REASON_WORK_STARTED);
	return true;
}

/* Where an acting node belongs, by the key and its own will. */
static enum election_phase acting_phase(const struct election_step *s,
					enum election_reason *ret_reason)
{
	const struct election *e = s->state;
	enum election_reason reason = election_unwilling(s);

	*ret_reason = reason ? reason : REASON_NAMED;
	if (e->view.key == KEY_OTHER) {
		*ret_reason = REASON_SUPERSEDED;
		return PHASE_YIELD;
	}
	if (reason)
		/* Named by nobody we know of: a successor already waited for stays waited for. */
		return e->phase == PHASE_YIELD && e->view.key == KEY_UNKNOWN ? PHASE_YIELD
									     : PHASE_HANDOVER;
	if (e->view.key == KEY_UNKNOWN)
		return e->phase == PHASE_HANDOVER ? PHASE_PRIMARY : (enum election_phase)e->phase;
	if (e->view.key == KEY_ME)
		return PHASE_PRIMARY;
	*ret_reason = election_vacancy_reason(e);
	return PHASE_VACATED;
}

static void in_vacated(struct election_step *s)
{
	struct election *e = s->state;

	if (!e->attached || e->op != OP_NONE || e->now_us < e->deadline_us ||
	    e->now_us < e->retry_us)
		return;
	/* Released by an operator in maintenance: it goes on acting, only operators name anybody. */
	if (e->view.maintenance)
		return;
	if (e->view.key == KEY_MISSING)
		election_do(s, OP_CREATE_KEY, 0);
	else if (election_vacant(e))
		election_do(s, OP_RECLAIM, e->view.key_version);
}

void election_ask_peers(struct election_step *s)
{
	struct election *e = s->state;

	if (!e->attached || e->counting || e->peers != PEERS_UNKNOWN || e->now_us < e->retry_us)
		return;
	e->counting = 1;
	election_say(s, ACTION_COUNT_PEERS, REASON_NONE);
}

static bool in_handover(struct election_step *s)
{
	struct election *e = s->state;

	if (e->now_us >= e->deadline_us || e->peers == PEERS_NONE) {
		/* What happens next is said by the phase; why it happens, by the reason that led here. */
		election_unwind(s, election_unwilling(s));
		return true;
	}
	if (e->view.post == POST_MINE)
		election_ask_peers(s);
	return false;
}

bool election_in_acting(struct election_step *s)
{
	struct election *e = s->state;
	enum election_reason reason;
	enum election_phase phase = acting_phase(s, &reason);

	if (phase != (enum election_phase)e->phase) {
		election_move(s, phase, reason);
		return true;
	}
	if (phase == PHASE_VACATED)
		in_vacated(s);
	if (phase == PHASE_HANDOVER)
		return in_handover(s);
	if (phase == PHASE_YIELD && e->view.key == KEY_OTHER && e->now_us >= e->deadline_us) {
		election_unwind(s, REASON_SUPERSEDED);
		return true;
	}
	return false;
}
