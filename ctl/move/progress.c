/* SPDX-License-Identifier: Apache-2.0 */
#include "progress.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cluster/changes.h"
#include "base/wall.h"

enum { MS, TEXT };
static const struct table_column step_columns[] = {
	[MS] = { "MS", "ms", TABLE_RIGHT },
	[TEXT] = { "STEP", "step", 0 },
};

enum { RESULT, PRIMARY, EPOCH, DURATION, GAP, VERDICT };
static const struct table_column move_columns[] = {
	[RESULT] = { "result", "result", 0 }, [PRIMARY] = { "primary", "primary", 0 },
	[EPOCH] = { "epoch", "epoch", 0 },    [DURATION] = { "duration", "duration_ms", 0 },
	[GAP] = { "gap", "gap_ms", 0 },	      [VERDICT] = { "verdict", "verdict", 0 },
};

static void on_step(void *userdata, const char *text)
{
	struct progress *p = userdata;
	int64_t us = time_monotonic_us() - p->start_us;

	if (p->quiet)
		return;
	if (p->ctl->options.json && table_rows(p->steps) < PROGRESS_STEPS_MAX) {
		table_row(p->steps);
		table_put_number(p->steps, MS, us / 1000);
		table_put(p->steps, TEXT, text);
	}
	if (p->ctl->options.json)
		return;
	printf("%6d.%03d s  %s\n", (int)(us / 1000000), (int)(us / 1000 % 1000), text);
	fflush(stdout);
}

/* By the server's clock: a look may come late, or pass over what was short. */
static void note_times(struct progress *p, const struct facts *before, const struct facts *after)
{
	for (size_t i = 0; i < after->node_count; i++) {
		const struct node_facts *n = &after->nodes[i];
		const struct node_facts *was = facts_find(before, n->name);
		int64_t since_ms = n->since_ms[NODE_KEY_ROUTER];

		if (!was || !strcmp(was->router, n->router))
			continue;
		if (!strcmp(n->router, "primary")) {
			p->start_ms = since_ms;
		} else if (!strcmp(n->router, "relinquish") || !strcmp(was->router, "primary")) {
			strcpy(p->stopper, n->name);
			p->stop_late = strcmp(n->router, "relinquish") != 0;
			p->stop_ms = since_ms;
			/* One look may show both; the nodes come in the order of their names. */
			if (p->start_ms < since_ms)
				p->start_ms = 0;
		}
	}
}

static void on_change(void *userdata)
{
	struct progress *p = userdata;
	struct facts facts;

	if (!cluster_complete(&p->cluster) || p->cluster.result != ZKH_OK)
		return;
	if (!facts_gather(&p->cluster, &facts))
		return;
	if (p->has_facts) {
		changes_between(&p->facts, &facts, on_step, p);
		note_times(p, &p->facts, &facts);
		facts_finish(&p->facts);
	}
	p->facts = facts;
	p->has_facts = true;
}

bool move_is_primary(const struct facts *facts, const char *name)
{
	const struct node_facts *primary = facts_primary(facts);

	return primary && primary->named && !strcmp(primary->router, "primary") &&
	       !strcmp(primary->name, name);
}

bool progress_end(struct progress *p, int code, const char *fmt, ...)
{
	va_list ap;

	p->code = code;
	va_start(ap, fmt);
	vsnprintf(p->verdict, sizeof(p->verdict), fmt, ap);
	va_end(ap);
	return true;
}

int progress_open(struct progress *p, struct ctl *ctl)
{
	int code;

	memset(p, 0, sizeof(*p));
	p->ctl = ctl;
	p->quiet = true;
	p->steps = TABLE_OF("steps", step_columns);
	cluster_open(&p->cluster, ctl, true);
	p->cluster.on_change = on_change;
	p->cluster.userdata = p;
	code = cluster_wait(&p->cluster);
	if (code == CTL_DONE && !p->has_facts) {
		on_change(p);
		code = p->has_facts ? CTL_DONE : CTL_REFUSED;
	}
	return code;
}

void progress_close(struct progress *p)
{
	cluster_close(&p->cluster);
	facts_finish(&p->facts);
	table_destroy(p->steps);
}

void progress_begin(struct progress *p)
{
	ctl_set_timeout(p->ctl, MOVE_TIMEOUT_US);
	p->quiet = false;
	p->start_us = time_monotonic_us();
	p->stop_ms = p->start_ms = 0;
}

static bool is_over(void *userdata)
{
	struct progress *p = userdata;

	if (p->cluster.result != ZKH_OK)
		return true;
	return cluster_complete(&p->cluster) && p->is_over(p);
}

int progress_wait(struct progress *p, const char *doing)
{
	int code = ctl_wait(p->ctl, is_over, p);

	if (code != CTL_DONE)
		return ctl_explain_wait(p->ctl, code, doing);
	if (p->cluster.result != ZKH_OK)
		return ctl_explain_result(p->ctl, p->cluster.result, p->cluster.refused_path);
	if (p->code != CTL_DONE)
		ctl_error("%s", p->verdict);
	return p->code;
}

int progress_look_again(struct progress *p)
{
	int code = ctl_wait(p->ctl, cluster_complete, &p->cluster);

	return code == CTL_DONE ? CTL_DONE
				: ctl_explain_wait(p->ctl, code, "finding out what was done");
}

static bool gap_ms(const struct progress *p, bool wanted, int64_t *ret_ms)
{
	if (!wanted || !p->stop_ms || !p->start_ms || p->start_ms < p->stop_ms)
		return false;
	*ret_ms = p->start_ms - p->stop_ms;
	return true;
}

static int report_json(struct progress *p, int code, bool gap)
{
	struct table *tables[] = { TABLE_SINGLE("move", move_columns), p->steps };
	int64_t ms;

	table_row(tables[0]);
	table_put(tables[0], RESULT,
		  code == CTL_DONE	  ? "done"
		  : code == CTL_TIMED_OUT ? "timed out"
					  : "failed");
	table_put(tables[0], PRIMARY, *p->facts.acting ? p->facts.acting : NULL);
	if (p->facts.epoch)
		table_put_number(tables[0], EPOCH, p->facts.epoch);
	table_put_number(tables[0], DURATION, (time_monotonic_us() - p->start_us) / 1000);
	if (gap_ms(p, gap, &ms))
		table_put_number(tables[0], GAP, ms);
	table_put(tables[0], VERDICT, *p->verdict ? p->verdict : NULL);
	if (ctl_print(p->ctl, tables, 2) != CTL_DONE && code == CTL_DONE)
		code = CTL_REFUSED;
	table_destroy(tables[0]);
	return code;
}

int progress_report(struct progress *p, int code, bool gap)
{
	char took[WALL_TEXT_SIZE], without[WALL_TEXT_SIZE];
	int64_t ms;

	if (p->ctl->options.json)
		return report_json(p, code, gap);
	if (code != CTL_DONE)
		return code;
	printf("%s after %s", p->verdict, wall_span(time_monotonic_us() - p->start_us, took));
	if (gap_ms(p, gap, &ms))
		printf("; gap %s, from %s of the work on %s", wall_span(ms * 1000, without),
		       p->stop_late ? "the end" : "the stop", p->stopper);
	putchar('\n');
	return ctl_flush();
}
