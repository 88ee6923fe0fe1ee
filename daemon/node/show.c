/* SPDX-License-Identifier: Apache-2.0 */

/* What the node shows on the status page, and what it counts there. */

#include "internal.h"

#include <stdio.h>
#include <string.h>

#include "base/notify.h"

/* A loop that did not turn for twice that long hangs: the service manager's measure, or else pings to ZooKeeper. */
static int64_t turns_us(const struct node *node)
{
	int64_t watchdog_us = notify_watchdog_us(), session_us = node->election.session_us;

	if (watchdog_us)
		return 2 * watchdog_us;
	return 2 * (session_us ? session_us : node->config->zookeeper.session_timeout_us);
}

static void on_turn(struct ev_loop *loop, ev_check *check, int events)
{
	struct node *node = check->data;

	(void)loop;
	(void)events;
	status_page_turn(node->page, time_boot_us());
}

void node_show_init(struct node *node)
{
	if (!node->page)
		return;
	node->shown = *status_page_get(node->page);
	ev_check_init(&node->turn, on_turn);
	node->turn.data = node;
	ev_check_start(node->loop, &node->turn);
	ev_unref(node->loop);
}

void node_show_finish(struct node *node)
{
	if (!ev_is_active(&node->turn))
		return;
	ev_ref(node->loop);
	ev_check_stop(node->loop, &node->turn);
	if (node->election.phase != PHASE_GONE)
		return;
	/* An orderly end: nothing of it is left to be believed for a while. */
	node->shown.connected = node->shown.registered = 0;
	node->shown.turned_us = 0;
	status_page_write(node->page, &node->shown);
}

void node_withdraw(void *userdata)
{
	struct node *node = userdata;

	if (node->page)
		status_page_withdraw(node->page);
}

/* The guard has seen this lease by now: that is not known before what a step asked for is carried out. */
static int64_t primary_until_us(const struct node *node)
{
	return work_is_up(node->work)
		       ? election_primary_until_us(&node->election_config, &node->election)
		       : 0;
}

static void show_state(struct node *node)
{
	struct status *s = &node->shown;
	const char *state = s->primary_until_us ? "primary"
						: election_router_state(&node->election_config,
									&node->election);

	if (s->since_us && !strcmp(s->state, state))
		return;
	(void)snprintf(s->state, sizeof(s->state), "%s", state);
	s->since_us = node->election.now_us;
	s->reason = node->election.reason;
}

void node_show(struct node *node)
{
	const struct election *e = &node->election;
	struct status *s = &node->shown;

	if (!node->page)
		return;
	s->primary_until_us = primary_until_us(node);
	s->lease_end_us = e->lease_end_us;
	s->epoch = e->epoch ? e->epoch : node->view.epoch;
	s->penalty_until_us = e->penalty_until_us;
	s->session_us = e->session_us;
	s->turned_us = time_boot_us();
	s->turns_us = turns_us(node);
	s->coordinator = node->election_config.coordinator != 0;
	s->connected = e->attached;
	s->registered = e->registered;
	s->healthy = e->healthy;
	s->drained = node->view.drained;
	s->maintenance = node->view.maintenance;
	s->guarded = work_is_guarded(node->work);
	strcpy(s->primary, node->view.primary);
	strcpy(s->cluster, node->ensemble.known.id);
	(void)snprintf(s->version, sizeof(s->version), "%s", PRIMARYD_VERSION);
	show_state(node);
	status_page_write(node->page, s);
}

/* -- counters -- */

static void count(struct node *node, enum status_counter counter)
{
	node->shown.counters[counter]++;
}

static void measure(struct status_histogram *histogram, int64_t us)
{
#define X(bound) (int64_t)((bound)*1e6),
	static const int64_t bounds[] = { STATUS_BOUNDS(X) };
#undef X
	size_t i = 0;

	while (i < STATUS_BUCKETS - 1 && us > bounds[i])
		i++;
	histogram->buckets[i]++;
	histogram->sum_us += us;
}

static bool takes_over(const struct election *e)
{
	return e->phase == PHASE_RECOVER || e->phase == PHASE_BEGIN;
}

static void count_move(struct node *node, const struct election *before)
{
	const struct election *e = &node->election;

	if (takes_over(before) && !takes_over(e)) {
		count(node, e->work == WORK_UP ? STATUS_TAKEOVERS : STATUS_TAKEOVERS_FAILED);
		if (e->work == WORK_UP)
			measure(&node->shown.takeover, node_say_since(node, node->takeover_us));
	}
	if (before->work == WORK_UP && e->work != WORK_UP)
		node->shown.relinquishes[e->stop_reason]++;
	if (before->attached && !e->attached)
		count(node, STATUS_DISCONNECTS);
}

void node_count(struct node *node, const struct election *before,
		const struct election_event *event)
{
	bool ok = event->result == RESULT_OK;

	count_move(node, before);
	switch ((enum election_event_type)event->type) {
	case ELECTION_DONE:
		if (event->op == OP_CLAIM && ok)
			count(node, STATUS_CLAIMS);
		break;
	case ELECTION_RENEWED:
		count(node, ok ? STATUS_RENEWALS : STATUS_RENEWALS_REFUSED);
		if (ok)
			measure(&node->shown.renewal, event->now_us - event->time_us);
		break;
	case ELECTION_SESSION_LOST:
		count(node, STATUS_SESSIONS_LOST);
		break;
	case ELECTION_FENCED:
		if (event->result != RESULT_UNKNOWN)
			count(node, ok ? STATUS_FENCES : STATUS_FENCES_FAILED);
		break;
	default:
		break;
	}
}

void node_count_guard_stop(struct node *node)
{
	count(node, STATUS_GUARD_STOPS);
}
