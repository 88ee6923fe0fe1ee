/* SPDX-License-Identifier: Apache-2.0 */
#include "internal.h"

#include "lease.h"

void lease_open(struct election *e, int64_t sent_us)
{
	int64_t end_us = sent_us + lease_length_us(e->term_us);

	if (end_us > e->lease_end_us)
		e->lease_end_us = end_us;
	e->progress_us = e->now_us;
	e->cut = 0;
}

bool lease_proves(const struct election *e, int64_t since_us)
{
	return e->lease_end_us - lease_length_us(e->term_us) >= since_us;
}

void lease_renew_after(struct election *e, int64_t since_us)
{
	if (e->renew_next_us - lease_renew_us(e->term_us) < since_us)
		e->renew_next_us = e->now_us;
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

int64_t election_primary_until_us(const struct election_config *config,
				  const struct election *state)
{
	bool up = state->work == WORK_UP && lease_binds(state);

	return up ? lease_stop_us(config, state) : 0;
}

bool lease_kept(const struct election *e)
{
	if (!e->attached)
		return false;
	/* A takeover of unknown outcome, and a daemon that came back: the term is proven by its keepalive. */
	if (e->phase == PHASE_ENTER || e->phase == PHASE_RESUME)
		return e->op == OP_NONE && e->view.post == POST_MINE;
	if (e->phase == PHASE_STOP)
		return e->registered && e->lease_end_us && e->view.post == POST_MINE;
	return lease_binds(e);
}

static int64_t earlier(int64_t a, int64_t b)
{
	if (!a || !b)
		return a ? a : b;
	return a < b ? a : b;
}

/*
 * Answers come in the order of the requests, so a slow commit holds up whatever is behind it: only the lack of progress
 * tells. Nobody waits for a registration, and many nodes may be at it: leaving a server that is slow because of that would
 * only make the next one slower.
 */
static int64_t cut_us(const struct election *e)
{
	bool patient = e->op == OP_REGISTER && !e->shutdown;
	int64_t waited_us = earlier(lease_kept(e) ? e->progress_us : 0,
				    patient ? 0 : e->op_sent_us);

	if (!e->attached || e->cut || !waited_us)
		return 0;
	return waited_us + lease_patience_us(e->term_us ? e->term_us : e->session_us);
}

void lease_drive(struct election_step *s)
{
	struct election *e = s->state;

	if (lease_kept(e) && e->now_us >= e->renew_next_us) {
		e->renew_next_us = e->now_us + lease_renew_us(e->term_us);
		election_say(s, ACTION_RENEW, REASON_NONE);
	}
	if (cut_us(e) && e->now_us >= cut_us(e)) {
		e->cut = 1;
		election_say(s, ACTION_CUT, REASON_NONE);
	}
}

int64_t lease_next_us(const struct election_config *config, const struct election *e)
{
	int64_t next_us = cut_us(e);

	if (lease_kept(e))
		next_us = earlier(next_us, e->renew_next_us);
	if (lease_binds(e))
		next_us = earlier(next_us, lease_stop_us(config, e));
	return next_us;
}

bool election_in_order(const struct election_config *config, const struct election *state,
		       int64_t now_us)
{
	const struct election *e = state;

	return e->work == WORK_DOWN || !lease_binds(e) ||
	       now_us < lease_stop_us(config, e) + lease_renew_us(e->term_us);
}
