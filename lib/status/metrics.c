/* SPDX-License-Identifier: Apache-2.0 */
#include "show.h"

#include <ctype.h>
#include <inttypes.h>
#include <string.h>

#include "internal.h"

struct exposition {
	FILE *file;
	bool openmetrics;
	const char *family; /* that was described last */
};

/* -- one family -- */

/* suffix: in the text format part of the family's name, in OpenMetrics of the sample's alone. */
static void describe(struct exposition *x, const char *name, const char *suffix, const char *type,
		     const char *help)
{
	const char *more = x->openmetrics ? "" : suffix;

	if (x->family && !strcmp(x->family, name))
		return;
	x->family = name;
	fprintf(x->file, "# HELP primaryd_%s%s %s.\n", name, more, help);
	fprintf(x->file, "# TYPE primaryd_%s%s %s\n", name, more, type);
}

static void put_gauge(struct exposition *x, const char *name, int64_t value, const char *help)
{
	describe(x, name, "", "gauge", help);
	fprintf(x->file, "primaryd_%s %" PRId64 "\n", name, value);
}

static void put_seconds(struct exposition *x, const char *name, int64_t us, const char *help)
{
	describe(x, name, "", "gauge", help);
	fprintf(x->file, "primaryd_%s %.3f\n", name, (double)us / 1e6);
}

static void put_counter(struct exposition *x, const char *name, const char *label, int64_t value,
			const char *help)
{
	describe(x, name, "_total", "counter", help);
	fprintf(x->file,
		*label ? "primaryd_%s_total{%s} %" PRId64 "\n"
		       : "primaryd_%s_total%s %" PRId64 "\n",
		name, label, value);
}

static void put_label(FILE *file, const char *before, const char *text)
{
	fputs(before, file);
	status_put_escaped(file, text);
	fputc('"', file);
}

static void put_histogram(struct exposition *x, const char *name,
			  const struct status_histogram *histogram, const char *help)
{
#define X(bound) #bound,
	static const char *const bounds[] = { STATUS_BOUNDS(X) "+Inf" };
#undef X
	int64_t count = 0;

	describe(x, name, "", "histogram", help);
	for (int i = 0; i < STATUS_BUCKETS; i++) {
		count += histogram->buckets[i];
		fprintf(x->file, "primaryd_%s_bucket{le=\"%s\"} %" PRId64 "\n", name, bounds[i],
			count);
	}
	fprintf(x->file, "primaryd_%s_sum %.6f\n", name, (double)histogram->sum_us / 1e6);
	fprintf(x->file, "primaryd_%s_count %" PRId64 "\n", name, count);
}

/* -- all of them -- */

static void put_infos(struct exposition *x, const struct status *s)
{
	const char *type = x->openmetrics ? "info" : "gauge";

	describe(x, "build", "_info", type, "The version of the daemon");
	put_label(x->file, "primaryd_build_info{version=\"", s->version);
	fputs("} 1\n", x->file);
	describe(x, "node", "_info", type, "What this node is called, and where");
	put_label(x->file, "primaryd_node_info{node=\"", s->node);
	put_label(x->file, ",root=\"", s->root);
	put_label(x->file, ",mode=\"", s->coordinator ? "coordinator" : "client");
	fputs("} 1\n", x->file);
}

static void put_state(struct exposition *x, const struct status *s)
{
	static const char *const states[] = { "client", "secondary", "takeover", "primary",
					      "relinquish" };

	describe(x, "state", "", "gauge", "The state of this node; none is 1 without registration");
	for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++)
		fprintf(x->file, "primaryd_state{state=\"%s\"} %d\n", states[i],
			!strcmp(s->state, states[i]));
}

static void put_gauges(struct exposition *x, const struct status_look *look)
{
	const struct status *s = &look->status;
	int64_t now_us = look->now_us;

	put_gauge(x, "primary", status_primary_left_us(s, now_us) > 0,
		  "Whether this node is primary, judged by the clock");
	put_state(x, s);
	put_gauge(x, "epoch", s->epoch, "The epoch of the acting primary, as this node sees it");
	put_gauge(x, "connected", s->connected, "Whether this node is connected to ZooKeeper");
	put_gauge(x, "registered", s->registered, "Whether this node is registered in ZooKeeper");
	put_gauge(x, "healthy", s->healthy, "Whether this node is healthy");
	put_gauge(x, "drained", s->drained, "Whether this node is drained");
	put_gauge(x, "maintenance", s->maintenance, "Whether only operators move the role");
	put_gauge(x, "guard_up", s->guarded, "Whether a guard watches over the lease");
	put_gauge(x, "fence_check_targets", s->fence_targets,
		  "Nodes that the fence check of this node covers (0: there is no check)");
	put_gauge(x, "fence_check_failures", s->fence_failures,
		  "Nodes that this node could not fence, by its fence check");
	put_seconds(x, "penalty_seconds", status_left_us(s->penalty_until_us, now_us),
		    "How long this node stays out of the election");
	put_seconds(x, "lease_remaining_seconds", status_left_us(s->lease_end_us, now_us),
		    "Remaining time of this node's lease (0: none)");
	put_seconds(x, "session_timeout_seconds", s->session_us, "The session timeout T");
	put_seconds(x, "state_since_timestamp_seconds", look->wall_us - (now_us - s->since_us),
		    "When this node entered its state");
	put_seconds(x, "loop_age_seconds", now_us - s->turned_us,
		    "Seconds since the daemon's event loop last ran");
}

/* A counter that begins with 1 shows no increase: of those that are to be expected, 0 is shown. */
static bool is_usual(int reason)
{
	return reason == REASON_SUPERSEDED || reason == REASON_SHUTDOWN ||
	       reason == REASON_DRAINED || reason == REASON_UNHEALTHY || reason == REASON_LEASE ||
	       reason == REASON_POST_LOST || reason == REASON_SESSION_LOST;
}

static void put_relinquishes(struct exposition *x, const struct status *s)
{
#define X(name, text) #name,
	static const char *const reasons[] = { ELECTION_REASONS(X) };
#undef X
	char label[48];

	describe(x, "relinquishes", "_total", "counter", "Stops of the work of a primary");
	for (int i = 0; i < REASON_COUNT; i++) {
		int n;

		if (!s->relinquishes[i] && !is_usual(i))
			continue;
		n = snprintf(label, sizeof(label), "reason=\"%s\"", reasons[i]);
		for (char *c = label; c < label + n; c++)
			*c = (char)tolower((unsigned char)*c);
		put_counter(x, "relinquishes", label, s->relinquishes[i], "");
	}
}

static void put_counters(struct exposition *x, const struct status *s)
{
#define X(member, name, label, help)                                                               \
	put_counter(x, name, label, s->counters[STATUS_##member], help);
	STATUS_COUNTERS(X)
#undef X
	put_relinquishes(x, s);
}

void status_print_metrics(FILE *file, const struct status_look *look, bool openmetrics)
{
	struct exposition x = { .file = file, .openmetrics = openmetrics };
	const struct status *s = &look->status;
	bool known = look->result == STATUS_OK;

	put_gauge(&x, "up", known && status_is_fresh(s, look->now_us),
		  "Whether the daemon runs: its page can be read, and its loop turns");
	if (known) {
		put_infos(&x, s);
		put_gauges(&x, look);
		put_counters(&x, s);
		put_histogram(&x, "takeover_seconds", &s->takeover,
			      "From the claim or the operator's word until the work runs");
		put_histogram(&x, "renewal_seconds", &s->renewal,
			      "From the sending of a renewal until it is known to be committed");
	}
	if (openmetrics)
		fputs("# EOF\n", file);
}
