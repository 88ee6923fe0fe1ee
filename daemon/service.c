/* SPDX-License-Identifier: Apache-2.0 */
#include "service.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/timer.h"
#include "host/notify.h"

/* Beyond the bounds of a stop: last words to the ensemble, and scheduling. */
#define STOP_SLACK_US INT64_C(5000000)

/* A boot, or an operator's start, is not held up for longer by an ensemble that is away. */
#define PATIENCE_S 15.

/* Until what found no room is told again. */
#define AGAIN_S 0.1

/* -- the sentence -- */

static void say_follower(const struct node *node, char *out, size_t size)
{
	const char *primary = node_primary(node);

	if (*primary)
		snprintf(out, size, "Secondary: %s is primary", primary);
	else
		snprintf(out, size, "Secondary: nobody is primary");
}

static void say_actor(const struct election *e, const char *what, char *out, size_t size)
{
	int64_t left_us = e->lease_end_us - time_boot_us();

	if (e->lease_end_us && left_us > 0)
		snprintf(out, size, "%s, epoch %" PRId64 ", lease good for %" PRId64 " s", what,
			 e->epoch, left_us / 1000000);
	else
		snprintf(out, size, "%s, epoch %" PRId64, what, e->epoch);
}

char *service_status(const struct node *node, const struct config *config,
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
		snprintf(text, sizeof(text), "Named primary: waiting to take over");
		break;
	case PHASE_RECOVER:
		say_actor(e, "Taking over: looking after nodes that died", text, sizeof(text));
		break;
	case PHASE_BEGIN:
		say_actor(e, "Taking over: starting the work", text, sizeof(text));
		break;
	case PHASE_PRIMARY:
		say_actor(e, "Primary", text, sizeof(text));
		break;
	case PHASE_VACATED:
	case PHASE_YIELD:
	case PHASE_HANDOVER:
		say_actor(e, "Primary, handing over", text, sizeof(text));
		break;
	case PHASE_RESUME:
		say_actor(e, "Primary before the restart: looking whether it still is", text,
			  sizeof(text));
		break;
	case PHASE_STOP:
		snprintf(text, sizeof(text), "Stopping the work: %s%s%.120s%s", reason,
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
	return out;
}

/* -- what the manager hears -- */

static bool is_ready(const struct election *e)
{
	return e->registered || e->phase == PHASE_PRIMARY;
}

/* A manager that is busy has no room; a READY=1 that is lost would leave it waiting for ever. */
static void tell_surely(struct service *s, const char *text)
{
	snprintf(s->owed + strlen(s->owed), sizeof(s->owed) - strlen(s->owed), "%s", text);
	if (notify_send("%s", s->owed) != 0) {
		ev_timer_again(s->loop, &s->again);
		return;
	}
	s->owed[0] = '\0';
	ev_timer_stop(s->loop, &s->again);
}

static void on_again(struct ev_loop *loop, ev_timer *timer, int events)
{
	(void)loop;
	(void)events;
	tell_surely(timer->data, "");
}

/* Stays silent when there is nothing new: each message wakes the manager. */
static void tell(struct service *s, const char *head)
{
	char status[SERVICE_STATUS_SIZE];

	service_status(s->node, s->config, status);
	if (!*head && !strcmp(status, s->status))
		return;
	if (!strcmp(status, s->status))
		(void)notify_send("%s", head);
	else if (notify_send("%sSTATUS=%s\n", head, status) == 0)
		strcpy(s->status, status);
}

static int64_t stop_bound_us(const struct config *c)
{
	return c->election.handover_timeout_us + c->election.transition_delay_us +
	       c->relinquish.timeout_us + c->relinquish.lease_timeout_us + STOP_SLACK_US;
}

static void on_watchdog(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct service *s = timer->data;

	(void)loop;
	(void)events;
	/* Fed only in order: else the manager restarts us, and the new process stops the work first. */
	if (s->node && node_in_order(s->node))
		tell(s, "WATCHDOG=1\n");
}

/* Not registered yet, but everything that depends on this host is in order. */
static void on_patience(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct service *s = timer->data;

	(void)loop;
	(void)events;
	if (s->ready)
		return;
	s->ready = true;
	tell_surely(s, "READY=1\n");
}

void service_update(struct service *service, const struct node *node)
{
	struct service *s = service;
	const struct election *e = node_election(node);
	char head[96] = "";

	s->node = node;
	if (!notify_wanted())
		return;
	if (!s->ready && is_ready(e)) {
		s->ready = true;
		ev_timer_stop(s->loop, &s->patience);
		strcat(head, "READY=1\n");
	}
	if (!s->stopping && e->shutdown) {
		s->stopping = true;
		snprintf(head + strlen(head), sizeof(head) - strlen(head),
			 "STOPPING=1\nEXTEND_TIMEOUT_USEC=%" PRId64 "\n", stop_bound_us(s->config));
	}
	if (*head)
		tell_surely(s, head);
	/* The lease in the sentence moves with every renewal; that is told with the watchdog. */
	if (*head || e->phase != s->phase || e->epoch != s->epoch ||
	    (bool)e->attached != s->attached || node_is_kept(node) != s->kept ||
	    e->phase == PHASE_FOLLOW || *node_trouble(node) || *node_foreign(node) || s->troubled)
		tell(s, "");
	s->phase = e->phase;
	s->epoch = e->epoch;
	s->attached = e->attached;
	s->kept = node_is_kept(node);
	s->troubled = *node_trouble(node) || *node_foreign(node);
}

void service_reload_begins(struct service *service)
{
	if (service->ready)
		(void)notify_send("RELOADING=1\nMONOTONIC_USEC=%" PRId64 "\n", time_monotonic_us());
}

void service_reload_failed(struct service *service)
{
	if (service->ready)
		tell_surely(service, "READY=1\n");
}

void service_init(struct service *service, struct ev_loop *loop, const struct config *config,
		  bool ready)
{
	double interval_s = (double)notify_watchdog_us() / 2e6;

	*service = (struct service){ .loop = loop, .config = config, .ready = ready };
	ev_timer_init(&service->watchdog, on_watchdog, interval_s, interval_s);
	service->watchdog.data = service;
	if (interval_s > 0)
		ev_timer_start(loop, &service->watchdog);
	ev_timer_init(&service->again, on_again, AGAIN_S, AGAIN_S);
	service->again.data = service;
	ev_timer_init(&service->patience, on_patience, PATIENCE_S, 0.);
	service->patience.data = service;
	if (!ready && notify_wanted())
		ev_timer_start(loop, &service->patience);
	if (ready)
		tell_surely(service, "READY=1\nWATCHDOG=1\n");
}

void service_finish(struct service *service)
{
	if (service->loop) {
		ev_timer_stop(service->loop, &service->watchdog);
		ev_timer_stop(service->loop, &service->again);
		ev_timer_stop(service->loop, &service->patience);
	}
}
