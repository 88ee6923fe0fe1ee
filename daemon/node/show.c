/* SPDX-License-Identifier: Apache-2.0 */
#include "show.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/notify.h"

/* A loop that did not turn for twice that long hangs: the service manager's measure, or else pings to ZooKeeper. */
static int64_t turns_us(const struct show *show)
{
	int64_t watchdog_us = notify_watchdog_us(), session_us = show->election->session_us;

	if (watchdog_us)
		return 2 * watchdog_us;
	return 2 * (session_us ? session_us : show->config->zookeeper.session_timeout_us);
}

static void on_turn(struct ev_loop *loop, ev_check *check, int events)
{
	struct show *show = check->data;

	status_page_turn(show->page, time_boot_us());
}

void show_init(struct show *show)
{
	if (!show->page)
		return;
	show->shown = *status_page_get(show->page);
	ev_check_init(&show->turn, on_turn);
	show->turn.data = show;
	ev_check_start(show->loop, &show->turn);
	ev_unref(show->loop);
}

void show_finish(struct show *show)
{
	if (!ev_is_active(&show->turn))
		return;
	ev_ref(show->loop);
	ev_check_stop(show->loop, &show->turn);
	if (show->election->phase != PHASE_GONE)
		return;
	/* An orderly end: nothing of it is left to be believed for a while. */
	show->shown.connected = show->shown.registered = 0;
	show->shown.turned_us = 0;
	status_page_write(show->page, &show->shown);
}

void show_withdraw(struct show *show)
{
	if (show->page)
		status_page_withdraw(show->page);
}

/* The guard has seen this lease by now: that is not known before what a step asked for is carried out. */
static int64_t primary_until_us(const struct show *show)
{
	return work_is_up(show->work) ? election_primary_until_us(show->rules, show->election) : 0;
}

static void show_state(struct show *show)
{
	struct status *s = &show->shown;
	const char *state = s->primary_until_us
				    ? "primary"
				    : election_router_state(show->rules, show->election);

	if (s->since_us && !strcmp(s->state, state))
		return;
	(void)snprintf(s->state, sizeof(s->state), "%s", state);
	s->since_us = show->election->now_us;
	s->reason = show->election->reason;
}

void show_update(struct show *show)
{
	const struct election *e = show->election;
	const struct fence_checked *checked;
	struct cluster_seen seen;
	struct status *s = &show->shown;

	if (!show->page)
		return;
	checked = scripts_checked(show->scripts);
	seen = cluster_seen(show->cluster);
	s->primary_until_us = primary_until_us(show);
	s->lease_end_us = e->lease_end_us;
	s->epoch = e->epoch ? e->epoch : seen.epoch;
	s->penalty_until_us = e->penalty_until_us;
	s->session_us = e->session_us;
	s->turned_us = time_boot_us();
	s->turns_us = turns_us(show);
	s->coordinator = show->rules->coordinator != 0;
	s->connected = e->attached;
	s->registered = e->registered;
	s->healthy = e->healthy;
	s->drained = e->view.drained;
	s->maintenance = e->view.maintenance;
	s->guarded = work_is_guarded(show->work);
	s->fence_targets = (int64_t)checked->targets;
	s->fence_failures = (int64_t)checked->failures;
	strcpy(s->primary, seen.primary);
	strcpy(s->cluster, cluster_id(show->cluster));
	(void)snprintf(s->version, sizeof(s->version), "%s", PRIMARYD_VERSION);
	show_state(show);
	status_page_write(show->page, s);
}

/* -- counters -- */

static void count(struct show *show, enum status_counter counter)
{
	show->shown.counters[counter]++;
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

static void count_move(struct show *show, const struct election *before)
{
	const struct election *e = show->election;

	if (takes_over(before) && !takes_over(e)) {
		count(show, e->work == WORK_UP ? STATUS_TAKEOVERS : STATUS_TAKEOVERS_FAILED);
		if (e->work == WORK_UP)
			measure(&show->shown.takeover, e->now_us - show->story->takeover_us);
	}
	if (before->work == WORK_UP && e->work != WORK_UP)
		show->shown.relinquishes[e->stop_reason]++;
	if (before->attached && !e->attached)
		count(show, STATUS_DISCONNECTS);
}

void show_count(struct show *show, const struct election *before,
		const struct election_event *event)
{
	bool ok = event->result == RESULT_OK;

	count_move(show, before);
	switch ((enum election_event_type)event->type) {
	case ELECTION_DONE:
		if (event->op == OP_CLAIM && ok)
			count(show, STATUS_CLAIMS);
		break;
	case ELECTION_RENEWED:
		count(show, ok ? STATUS_RENEWALS : STATUS_RENEWALS_REFUSED);
		if (ok)
			measure(&show->shown.renewal, event->now_us - event->time_us);
		break;
	case ELECTION_SESSION_LOST:
		count(show, STATUS_SESSIONS_LOST);
		break;
	case ELECTION_FENCED:
		if (event->result != RESULT_UNKNOWN)
			count(show, ok ? STATUS_FENCES : STATUS_FENCES_FAILED);
		break;
	default:
		break;
	}
}

void show_count_guard_stop(struct show *show)
{
	count(show, STATUS_GUARD_STOPS);
}
