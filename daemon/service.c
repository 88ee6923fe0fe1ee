/* SPDX-License-Identifier: Apache-2.0 */
#include "service.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/notify.h"
#include "base/timer.h"
#include "base/wall.h"

/* Beyond the bounds of a stop: last words to the ensemble, and scheduling. */
#define STOP_SLACK_US INT64_C(5000000)

/* A boot, or an operator's start, is not held up for longer by an ensemble that is away. */
#define READY_TIMEOUT_S 15.

/* A manager that is busy has no room for a message: it is sent again after this. */
#define RETRY_S 0.1

/* -- the sentence -- */

/* Why this node would not fill a vacancy. Returns text, "": nothing is in its way. */
static const char *held_back(const struct election *e, char text[96])
{
	int64_t penalty_us = e->penalty_until_us - time_boot_us();
	char time[WALL_TEXT_SIZE];

	text[0] = '\0';
	if (!e->healthy)
		strcpy(text, "; not healthy");
	else if (e->view.drained)
		strcpy(text, "; drained");
	else if (e->view.maintenance)
		strcpy(text, "; maintenance: only operators move the role");
	else if (penalty_us > 0) /* as a time: what counts down is never told */
		snprintf(text, 96, "; in the penalty after a failed takeover until %.19s",
			 wall_local(wall_now_ms() + penalty_us / 1000, time));
	return text;
}

static void say_follower(const struct node *node, char *out, size_t size)
{
	const char *primary = node_seen(node).primary;
	char why_not[96];

	held_back(node_election(node), why_not);
	if (*primary)
		snprintf(out, size, "Secondary: %s is primary%s", primary, why_not);
	else
		snprintf(out, size, "Secondary: nobody is primary%s", why_not);
}

/* Named, and what it waits for until it may take the post. */
static void say_named(const struct node *node, char *out, size_t size)
{
	const char *primary = node_seen(node).primary;

	if (*primary)
		snprintf(out, size, "Named primary: waiting until %s has released the post",
			 primary);
	else
		snprintf(out, size, "Named primary: waiting for election.transition-delay");
}

static const char *recovering(const struct election *e)
{
	if (e->now_us < e->waits_over_us)
		return "Taking over: waiting until the lease of the previous primary is over";
	return e->fencing ? "Taking over: fencing a node that died while acting"
			  : "Taking over: looking for nodes that died while acting";
}

static void say_actor(const struct election *e, const char *what, bool with_lease, char *out,
		      size_t size)
{
	int64_t left_us = e->lease_end_us - time_boot_us();

	if (with_lease && e->lease_end_us && left_us > 0)
		snprintf(out, size, "%s, epoch %" PRId64 ", lease good for %" PRId64 " s", what,
			 e->epoch, left_us / 1000000);
	else
		snprintf(out, size, "%s, epoch %" PRId64, what, e->epoch);
}

/* What a person reads in `systemctl status`. */
static void format_status(const struct node *node, const struct config *config, bool with_lease,
			  char out[SERVICE_STATUS_SIZE])
{
	const struct election *e = node_election(node);
	const char *suffix = e->attached ? "" : "; no connection to ZooKeeper";
	const char *kept = node_is_kept(node) ? "" : "; a restart would stop the work, see the log";
	const char *reason = election_reason_text(e->reason);
	const char *trouble = node_trouble(node);
	char text[SERVICE_STATUS_SIZE - 90] = "";

	switch ((enum election_phase)e->phase) {
	case PHASE_INIT:
	case PHASE_OFFLINE:
		if (*node_foreign(node))
			snprintf(text, sizeof(text), "Kept out: %s", node_foreign(node));
		else
			snprintf(text, sizeof(text), "%s ZooKeeper at %.200s",
				 e->attached ? "Registering with" : "Connecting to",
				 config->zookeeper.servers);
		suffix = "";
		break;
	case PHASE_FOLLOW:
		say_follower(node, text, sizeof(text));
		break;
	case PHASE_CONTEND:
	case PHASE_LOCK:
	case PHASE_CLAIM:
		snprintf(text, sizeof(text), "Secondary: contending for the vacant role");
		break;
	case PHASE_AWAIT:
	case PHASE_ENTER:
		say_named(node, text, sizeof(text));
		break;
	case PHASE_RECOVER:
		say_actor(e, recovering(e), with_lease, text, sizeof(text));
		break;
	case PHASE_BEGIN:
		say_actor(e, "Taking over: starting the work", with_lease, text, sizeof(text));
		break;
	case PHASE_PRIMARY:
		say_actor(e, e->view.maintenance ? "Primary (maintenance)" : "Primary", with_lease,
			  text, sizeof(text));
		break;
	case PHASE_VACATED:
	case PHASE_YIELD:
	case PHASE_HANDOVER:
		say_actor(e, "Primary, handing over", with_lease, text, sizeof(text));
		break;
	case PHASE_RESUME:
		say_actor(e, "Primary before the restart: looking whether it still is", with_lease,
			  text, sizeof(text));
		break;
	case PHASE_STOP:
		snprintf(text, sizeof(text), "Stopping the work: %s%s%.300s%s", reason,
			 *trouble ? "; not down yet: " : "", trouble,
			 *trouble ? ", trying again" : "");
		break;
	case PHASE_LEAVE:
		snprintf(text, sizeof(text), "The work is down: releasing the role");
		break;
	case PHASE_GONE:
		snprintf(text, sizeof(text), "Leaving the cluster");
		suffix = "";
		break;
	case PHASE_COUNT:
		break;
	}
	snprintf(out, SERVICE_STATUS_SIZE, "%s%s%s", text, suffix, kept);
}

/* -- what the manager hears -- */

static int64_t stop_bound_us(const struct config *c)
{
	return c->election.handover_timeout_us + c->election.transition_delay_us +
	       c->relinquish.timeout_us + c->relinquish.lease_timeout_us + STOP_SLACK_US;
}

/*
 * Sends what the manager was not told yet; silent when there is nothing, since each message wakes it. The lease in the
 * sentence moves with every renewal: that alone is told with the watchdog only.
 */
static void tell(struct service *s, bool feed)
{
	char status[SERVICE_STATUS_SIZE] = "", full[SERVICE_STATUS_SIZE] = "", stopping[80] = "";
	bool ready = s->ready && !s->told_ready;

	if (s->node)
		format_status(s->node, s->config, false, status);
	if (s->stopping && !s->told_stopping)
		snprintf(stopping, sizeof(stopping),
			 "STOPPING=1\nEXTEND_TIMEOUT_USEC=%" PRId64 "\n", stop_bound_us(s->config));
	ev_timer_stop(s->loop, &s->retry);
	if (!ready && !*stopping && !feed && !strcmp(status, s->told_status))
		return;
	if (s->node)
		format_status(s->node, s->config, true, full);
	if (notify_send("%s%s%s%s%s\n", ready ? "READY=1\n" : "", stopping,
			feed ? "WATCHDOG=1\n" : "", *full ? "STATUS=" : "", full) != 0) {
		ev_timer_again(s->loop, &s->retry);
		return;
	}
	s->told_ready = s->ready;
	s->told_stopping = s->stopping;
	strcpy(s->told_status, status);
}

static void on_retry(struct ev_loop *loop, ev_timer *timer, int events)
{
	tell(timer->data, false);
}

static void on_watchdog(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct service *s = timer->data;

	/* Fed only in order: else the manager restarts us, and the new process stops the work first. */
	if (s->node && node_in_order(s->node))
		tell(s, true);
}

/* Not registered yet, but everything that depends on this host is in order. */
static void on_ready_timeout(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct service *s = timer->data;

	s->ready = true;
	tell(s, false);
}

void service_update(struct service *service, const struct node *node)
{
	const struct election *e = node_election(node);

	service->node = node;
	service->ready = service->ready || e->registered || e->phase == PHASE_PRIMARY;
	service->stopping = service->stopping || e->shutdown;
	if (notify_wanted())
		tell(service, false);
}

void service_reload_begins(struct service *service)
{
	if (service->ready)
		(void)notify_send("RELOADING=1\nMONOTONIC_USEC=%" PRId64 "\n", time_monotonic_us());
}

void service_reload_failed(struct service *service)
{
	service->told_ready = false;
	tell(service, false);
}

static void set_timer(struct service *s, ev_timer *timer,
		      void (*fn)(struct ev_loop *, ev_timer *, int), double after_s,
		      double repeat_s)
{
	ev_init(timer, fn);
	ev_timer_set(timer, after_s, repeat_s);
	timer->data = s;
	if (after_s > 0. && notify_wanted())
		ev_timer_start(s->loop, timer);
}

void service_init(struct service *service, struct ev_loop *loop, const struct config *config,
		  bool ready)
{
	double interval_s = (double)notify_watchdog_us() / 2e6;

	*service = (struct service){ .loop = loop, .config = config, .ready = ready };
	set_timer(service, &service->watchdog, on_watchdog, interval_s, interval_s);
	set_timer(service, &service->retry, on_retry, 0., RETRY_S);
	set_timer(service, &service->ready_timeout, on_ready_timeout, READY_TIMEOUT_S, 0.);
	if (ready)
		tell(service, true);
}
