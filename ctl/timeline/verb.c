/* SPDX-License-Identifier: Apache-2.0 */

/* timeline: one change of the primary, from its entry in the history and the nodes' keys. */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/wall.h"
#include "cluster/snapshot.h"
#include "draw.h"
#include "entry.h"
#include "zk/tree/zkh_keys.h"

#define ENTRIES_MAX 4096
#define WIDTH_IN_A_PIPE 80

enum { EPOCH, FROM, TO, REASON, CLAIMED, GAP, GAP_MAX };
static const struct table_column change_columns[] = {
	[EPOCH] = { "epoch", "epoch", 0 },
	[FROM] = { "from", "from", 0 },
	[TO] = { "to", "to", 0 },
	[REASON] = { "reason", "reason", 0 },
	[CLAIMED] = { "claimed", "claimed", 0 },
	[GAP] = { "gap", "gap_ms", 0 },
	[GAP_MAX] = { "gap at most", "gap_max_ms", 0 },
};

enum { NODE, STATE, BEGIN, END };
static const struct table_column segment_columns[] = {
	[NODE] = { "NODE", "node", 0 },
	[STATE] = { "STATE", "state", 0 },
	[BEGIN] = { "BEGIN", "begin", 0 },
	[END] = { "END", "end", 0 },
};

enum { MARK, TIME, AFTER, WHAT };
static const struct table_column moment_columns[] = {
	[MARK] = { "", "mark", TABLE_FOR_PEOPLE },
	[TIME] = { "TIME", "time", TABLE_FOR_JSON },
	[AFTER] = { "AFTER", "after", TABLE_RIGHT | TABLE_FOR_PEOPLE },
	[WHAT] = { "WHAT HAPPENED", "what", TABLE_WRAP },
};

/* The entry that is asked for. */
struct wanted {
	struct ctl_reply reply;
	int64_t epoch; /* 0: the last */
	int64_t found; /* its epoch; 0: none */
	int64_t claim_ms;
	struct history_entry entry;
};

static void on_tree(void *userdata, int result, const struct zkh_entry *entries, size_t count)
{
	struct wanted *w = userdata;

	ctl_on_result(&w->reply, result == ZKH_NO_NODE ? ZKH_OK : result);
	for (size_t i = 0; result == ZKH_OK && i < count; i++) {
		const struct zkh_entry *e = &entries[i];
		bool fits = w->epoch ? e->stat.czxid == w->epoch : e->stat.czxid > w->found;

		if (!fits || !e->data || !entry_parse(e->data, e->length, &w->entry))
			continue;
		w->found = e->stat.czxid;
		w->claim_ms = e->stat.ctime_ms;
	}
}

static int find_entry(struct ctl *ctl, struct wanted *w)
{
	const char *argument = ctl->options.argument_count ? ctl->options.arguments[0] : NULL;
	struct zkh_task *task = NULL;
	char *end = NULL;
	int r, code;

	w->epoch = argument ? strtoll(argument, &end, 10) : 0;
	if (argument && (*end || w->epoch <= 0)) {
		ctl_error("'%s' is not an epoch (primaryctl history lists them)", argument);
		return CTL_USAGE;
	}
	r = zkh_tree(ctl->session, PATH_HISTORY, ENTRIES_MAX, on_tree, w, &task);
	code = ctl_finish(ctl, r, &w->reply, PATH_HISTORY, "reading the history");
	if (!w->reply.over)
		zkh_task_cancel(task);
	if (code != CTL_DONE || w->found)
		return code;
	if (argument)
		ctl_error("the history has no epoch %s (primaryctl history lists them)", argument);
	else
		ctl_error("the history has no change of the primary yet");
	return CTL_REFUSED;
}

static enum timeline_state state_of(const struct node_facts *n)
{
	if (!n->alive)
		return TIMELINE_UNKNOWN;
	if (!strcmp(n->router, "client"))
		return TIMELINE_CLIENT;
	return !strcmp(n->router, "secondary") ? TIMELINE_SECONDARY : TIMELINE_UNKNOWN;
}

/* False: out of memory. */
static bool build(const struct wanted *w, const struct facts *facts, struct timeline *ret_timeline)
{
	struct timeline_node *nodes = ctl_need(calloc(facts->node_count + 1, sizeof(*nodes)));
	bool good;

	for (size_t i = 0; i < facts->node_count; i++) {
		const struct node_facts *n = &facts->nodes[i];
		int64_t alive_ms = n->since_ms[NODE_KEY_ALIVE];
		int64_t router_ms = n->since_ms[NODE_KEY_ROUTER];

		nodes[i] = (struct timeline_node){
			.name = n->name,
			.state = state_of(n),
			.since_ms = alive_ms > router_ms ? alive_ms : router_ms,
		};
	}
	good = timeline_build(
		&(struct timeline_facts){
			.entry = &w->entry,
			.claim_ms = w->claim_ms,
			.now_ms = wall_now_ms(),
			.nodes = nodes,
			.node_count = facts->node_count,
		},
		ret_timeline);
	free(nodes);
	return good;
}

/* -- the ways to show it -- */

struct table *timeline_moments(const struct timeline *t)
{
	struct table *table = TABLE_OF("moments", moment_columns);
	char text[WALL_TEXT_SIZE];

	for (size_t i = 0; i < t->moment_count; i++) {
		table_row(table);
		table_putf(table, MARK, "%c", 'A' + (char)i);
		table_put(table, TIME, wall_utc(t->moments[i].ms, text));
		table_put(table, AFTER, timeline_after(t, i, text));
		table_put(table, WHAT, t->moments[i].text);
	}
	return table;
}

static int print_json(struct ctl *ctl, const struct wanted *w, const struct timeline *t)
{
	struct table *tables[] = { TABLE_SINGLE("timeline", change_columns),
				   TABLE_OF("segments", segment_columns), timeline_moments(t) };
	char text[WALL_TEXT_SIZE];
	int code;

	table_row(tables[0]);
	table_put_number(tables[0], EPOCH, w->found);
	table_put(tables[0], FROM, *w->entry.from ? w->entry.from : NULL);
	table_put(tables[0], TO, w->entry.to);
	table_put(tables[0], REASON, w->entry.reason);
	table_put(tables[0], CLAIMED, wall_utc(w->claim_ms, text));
	if (t->gap_end_ms) {
		table_put_number(tables[0], GAP, t->gap_end_ms - t->gap_ms);
		table_put_number(tables[0], GAP_MAX, t->gap_end_ms - t->gap_first_ms);
	}
	for (size_t i = 0; i < t->row_count; i++) {
		for (size_t k = 0; k < t->rows[i].count; k++) {
			const struct timeline_segment *s = &t->rows[i].segments[k];

			table_row(tables[1]);
			table_put(tables[1], NODE, t->rows[i].name);
			table_put(tables[1], STATE, timeline_state_text(s->state));
			table_put(tables[1], BEGIN, wall_utc(s->begin_ms, text));
			table_put(tables[1], END, wall_utc(s->end_ms, text));
		}
	}
	code = ctl_print(ctl, tables, 3);
	for (int i = 0; i < 3; i++)
		table_destroy(tables[i]);
	return code;
}

static int write_svg(const char *path, const struct timeline *t, const char *title)
{
	FILE *file = fopen(path, "we");
	bool good = file;

	if (file) {
		timeline_draw_svg(file, t, title);
		good = !ferror(file);
		good = fclose(file) == 0 && good;
	}
	if (!good)
		ctl_error("%s: %s", path, strerror(errno));
	return good ? CTL_DONE : CTL_REFUSED;
}

static int show(struct ctl *ctl, const struct wanted *w, const struct timeline *t)
{
	struct table_style style = ctl_style(ctl);
	char time[WALL_TEXT_SIZE], title[2 * NAME_SIZE + 320];

	snprintf(title, sizeof(title), "%s  from %s to %s: %s", wall_local(w->claim_ms, time),
		 *w->entry.from ? w->entry.from : "?", w->entry.to, w->entry.reason);
	if (ctl->options.svg_path)
		return write_svg(ctl->options.svg_path, t, title);
	if (ctl->options.json)
		return print_json(ctl, w, t);
	style.width = style.width ? style.width : WIDTH_IN_A_PIPE;
	timeline_draw_terminal(stdout, t, title, &style);
	return ctl_flush();
}

int verb_timeline(struct ctl *ctl)
{
	struct snapshot now = { 0 };
	struct timeline timeline = { 0 };
	struct wanted wanted = { 0 };
	int code = find_entry(ctl, &wanted);

	if (code == CTL_DONE)
		code = snapshot_read(ctl, &now);
	if (code == CTL_DONE) {
		if (!build(&wanted, &now.facts, &timeline))
			(void)ctl_need(NULL);
		code = show(ctl, &wanted, &timeline);
	}
	timeline_finish(&timeline);
	snapshot_close(&now);
	return code;
}
