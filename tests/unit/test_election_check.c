/* SPDX-License-Identifier: Apache-2.0 */
#include "test_election_check.h"

#include <stddef.h>
#include <string.h>

#include "election/lease.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* One step makes at most this many moves; the diagram is checked move by move by the core itself. */
#define MOVES_MAX 4

struct step {
	const struct election_config *config;
	const struct election *before;
	const struct election_event *event;
	const struct election *after;
	const struct election_actions *actions;
};

static int said(const struct step *s, uint8_t type)
{
	int count = 0;

	for (int32_t i = 0; i < s->actions->count; i++)
		count += s->actions->list[i].type == type;
	return count;
}

static const struct election_action *done(const struct step *s, uint8_t op)
{
	for (int32_t i = 0; i < s->actions->count; i++)
		if (s->actions->list[i].type == ACTION_DO && s->actions->list[i].op == op)
			return &s->actions->list[i];
	return NULL;
}

static bool is(const struct step *s, uint8_t type)
{
	return s->event->type == type;
}

static const char *check_moves(const struct step *s)
{
	uint32_t reached = UINT32_C(1) << s->before->phase;

	for (int moves = 0; moves < MOVES_MAX; moves++) {
		uint32_t further = reached;

		for (uint8_t phase = 0; phase < PHASE_COUNT; phase++)
			if (reached & UINT32_C(1) << phase)
				further |= election_edges(phase);
		reached = further;
	}
	if (!(reached & UINT32_C(1) << s->after->phase))
		return "a move that the diagram does not have";
	if (s->before->phase != s->after->phase && s->after->phase_since_us != s->after->now_us)
		return "a move without its time";
	return NULL;
}

static const char *check_operations(const struct step *s)
{
	const struct election_action *action;

	if (said(s, ACTION_DO) > 1)
		return "two transactions at once";
	if (said(s, ACTION_DO) && s->before->op != OP_NONE && !is(s, ELECTION_DONE))
		return "a transaction while one is under way";
	if (said(s, ACTION_DO) && !done(s, s->after->op))
		return "the transaction under way is not the one that was asked for";
	if (!said(s, ACTION_DO) && s->after->op != OP_NONE && s->after->op != s->before->op)
		return "a transaction under way that nobody asked for";
	if (s->before->op != OP_NONE && s->after->op == OP_NONE && !is(s, ELECTION_DONE))
		return "a transaction forgotten before its answer";
	if ((s->after->op != OP_NONE) != (s->after->op_sent_us != 0))
		return "a transaction without its time";
	action = done(s, OP_CLAIM);
	if (action && (s->after->lock != LOCK_HELD || action->version != s->after->seen_version))
		return "a claim without the lock or the remembered version";
	if (action && (s->after->view.key == KEY_ME || s->after->view.key == KEY_OTHER))
		return "a claim of what is not vacant";
	if (action && election_own_obstacles(s->config, s->after))
		return "a claim by a node that is not eligible";
	action = done(s, OP_ENTER);
	if (action && (s->after->view.key != KEY_ME || s->after->view.post != POST_NONE ||
		       action->version != s->after->view.key_version))
		return "a takeover of a post that is not free, or of a key that names another";
	if (action && (!s->after->view.epoch_known || s->after->epoch <= s->after->view.epoch ||
		       s->after->epoch < s->after->view.key_mzxid))
		return "a takeover with an epoch that is not the highest";
	if (action && s->after->work != WORK_DOWN)
		return "a takeover while work may run";
	return NULL;
}

static const char *check_keys(const struct step *s)
{
	const struct election_action *action;

	if (done(s, OP_LEAVE) && election_work_may_run(s->after))
		return "the post is left while work may run";
	if (done(s, OP_LEAVE) && !s->after->view.epoch_known)
		return "the post is left, and /epoch is not known";
	action = done(s, OP_HAND_BACK);
	if (action &&
	    (s->after->view.key != KEY_ME || action->version != s->after->view.key_version))
		return "a hand back of what is not ours, or of an unknown version";
	action = done(s, OP_RECLAIM);
	if (action &&
	    (!election_acting(s->after) || action->version != s->after->view.key_version ||
	     (s->after->view.key != KEY_NONE && s->after->view.key != KEY_DEAD)))
		return "a reclaim by who does not act, of what is not vacant, or of an unknown version";
	if (done(s, OP_CREATE_KEY) && s->after->view.key != KEY_MISSING)
		return "a key created that is there";
	if (done(s, OP_REGISTER) && s->after->registered)
		return "registered twice";
	return NULL;
}

static const char *check_channels(const struct step *s)
{
	static const uint8_t need_server[] = { ACTION_DO,	  ACTION_LOCK, ACTION_SCAN,
					       ACTION_RENEW,	  ACTION_CUT,  ACTION_REFRESH,
					       ACTION_COUNT_PEERS };

	for (size_t i = 0; i < COUNT(need_server); i++)
		if (said(s, need_server[i]) && !s->after->attached)
			return "a request without a connection";
	for (uint8_t type = 0; type < ELECTION_ACTION_COUNT; type++)
		if (said(s, type) > 1)
			return "an action twice in one step";
	if (said(s, ACTION_LOCK) && ((s->before->lock != LOCK_FREE && !said(s, ACTION_UNLOCK)) ||
				     s->after->lock != LOCK_WAITING))
		return "a lock asked for while there is one";
	if (said(s, ACTION_UNLOCK) && (s->before->lock == LOCK_FREE ||
				       (s->after->lock != LOCK_FREE && !said(s, ACTION_LOCK))))
		return "an unlock without a lock";
	if (s->before->lock != LOCK_FREE && s->after->lock == LOCK_FREE &&
	    !said(s, ACTION_UNLOCK) && !is(s, ELECTION_LOCK) &&
	    !(is(s, ELECTION_DONE) && s->event->op == OP_CLAIM))
		return "a lock forgotten";
	/* Progress begins it anew. */
	if (said(s, ACTION_CUT) && s->before->cut && !is(s, ELECTION_RENEWED) &&
	    !is(s, ELECTION_VIEW) && !is(s, ELECTION_DONE))
		return "a connection cut twice";
	if (said(s, ACTION_REFRESH) && s->after->view.key != KEY_UNKNOWN &&
	    s->after->view.post != POST_UNKNOWN)
		return "a refresh without need";
	return NULL;
}

static const char *check_lease(const struct step *s)
{
	const struct election *e = s->after;

	if (said(s, ACTION_RENEW) && !election_acting(e) && e->phase != PHASE_ENTER)
		return "a renewal by who does not act";
	if (e->lease_end_us > s->before->lease_end_us && !is(s, ELECTION_RENEWED) &&
	    !is(s, ELECTION_VIEW) && !is(s, ELECTION_START) &&
	    !(is(s, ELECTION_DONE) && s->event->op == OP_ENTER))
		return "a lease from nothing";
	if ((e->work == WORK_UP || e->work == WORK_STARTING) &&
	    e->now_us >= e->lease_end_us - s->config->lease_timeout_us)
		return "work is not being stopped though the lease runs out";
	if (!election_in_order(s->config, e, e->now_us))
		return "the lease logic is not in order right after a step";
	if (e->lease_end_us > s->before->lease_end_us && !is(s, ELECTION_START) &&
	    e->view.post != POST_MINE)
		return "a lease by a post that is not known to be ours";
	if (e->epoch < s->before->epoch && e->epoch)
		return "an epoch went back";
	return NULL;
}

static const char *check_work(const struct step *s)
{
	const struct election *b = s->before, *e = s->after;
	bool stopped = is(s, ELECTION_STOPPED);

	if (said(s, ACTION_START) &&
	    (b->work != WORK_DOWN || e->phase != PHASE_BEGIN || !e->epoch ||
	     e->now_us >= e->lease_end_us - s->config->lease_timeout_us))
		return "work started without post, epoch or lease";
	if (said(s, ACTION_START) && e->now_us < b->waits_over_us)
		return "work started before the terms of others are over";
	if (said(s, ACTION_START) &&
	    e->lease_end_us - lease_length_us(e->term_us) < e->waits_over_us)
		return "work started on a lease of before the terms of others were over";
	if (e->work == WORK_STARTING && b->work != WORK_STARTING && !said(s, ACTION_START))
		return "work starting that nobody asked for";
	if (said(s, ACTION_STOP) && b->work == WORK_STOPPING)
		return "stopped twice";
	if (said(s, ACTION_STOP) && b->work == WORK_DOWN && b->phase != PHASE_INIT)
		return "stopped what is down";
	if (e->work == WORK_STOPPING && b->work != WORK_STOPPING && !said(s, ACTION_STOP))
		return "work stopping that nobody asked for";
	if (e->work == WORK_DOWN && b->work != WORK_DOWN && !stopped)
		return "work believed down before it is";
	if (said(s, ACTION_SCAN) + said(s, ACTION_FENCE) &&
	    (e->phase != PHASE_RECOVER || e->work != WORK_DOWN))
		return "a look for the dead outside of a takeover";
	if (said(s, ACTION_DEPART) && (e->phase != PHASE_GONE || e->work != WORK_DOWN))
		return "a departure before all is done";
	if (b->phase == PHASE_GONE && s->actions->count)
		return "something done after the departure";
	return NULL;
}

static const char *check_timer(const struct step *s)
{
	int64_t next_us = election_next_us(s->config, s->after);

	if (next_us && next_us <= s->after->now_us)
		return "a timer in the past";
	if ((s->after->work == WORK_STARTING || s->after->work == WORK_UP) && !next_us)
		return "work without a timer for its lease";
	return NULL;
}

const char *election_check_step(const struct election_config *config, const struct election *before,
				const struct election_event *event, const struct election *after,
				const struct election_actions *actions)
{
	static const char *(*const rules[])(const struct step *) = {
		check_moves, check_operations, check_keys,  check_channels,
		check_lease, check_work,       check_timer,
	};
	const struct step step = { .config = config,
				   .before = before,
				   .event = event,
				   .after = after,
				   .actions = actions };

	for (size_t i = 0; i < COUNT(rules); i++) {
		const char *broken = rules[i](&step);

		if (broken)
			return broken;
	}
	return NULL;
}
