/* SPDX-License-Identifier: Apache-2.0 */
#include "timeline.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/wall.h"

/* Before the first and behind the last moment: an eighth of what lies between, and some. */
#define MARGIN_MS 50

char timeline_letter(enum timeline_state state)
{
	static const char letters[] = {
#define X(name, letter, text) letter,
		TIMELINE_STATES(X)
#undef X
	};

	return letters[state];
}

const char *timeline_state_text(enum timeline_state state)
{
	static const char *const texts[] = {
#define X(name, letter, text) text,
		TIMELINE_STATES(X)
#undef X
	};

	return texts[state];
}

/* The moments of a change; 0: not known. */
struct moments {
	int64_t last_ms, lease_ms; /* of a primary that died: its last renewal, its lease */
	int64_t stop_ms;	   /* of one that handed over: its stop began */
	int64_t claim_ms, post_ms; /* of the next one */
	int64_t start_ms, up_ms;   /* the start of its work, the end of that */
};

static int64_t min(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static struct moments find_moments(const struct timeline_facts *f)
{
	const struct history_entry *e = f->entry;
	struct moments m = { .claim_ms = f->claim_ms };

	if (e->takeover_us >= 0)
		m.up_ms = m.claim_ms + e->takeover_us / 1000;
	if (e->post_us >= 0)
		m.post_ms = m.claim_ms + e->post_us / 1000;
	if (m.up_ms && e->start_us >= 0 && e->start_us <= e->takeover_us)
		m.start_ms = m.up_ms - e->start_us / 1000;
	if (m.post_ms && e->stop_us >= 0)
		m.stop_ms = m.post_ms - e->stop_us / 1000;
	if (e->silent_us >= 0 && *e->from) {
		m.last_ms = m.claim_ms - e->silent_us / 1000;
		m.lease_ms = m.last_ms + (e->lease_us > 0 ? e->lease_us / 1000 : 0);
	}
	return m;
}

/* -- moments -- */

static void add_moment(struct timeline *t, int64_t ms, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* In their order. ms 0: it is not known, and left out. */
static void add_moment(struct timeline *t, int64_t ms, const char *fmt, ...)
{
	size_t i = t->moment_count;
	va_list ap;

	if (!ms)
		return;
	assert(i < TIMELINE_MOMENTS_MAX);
	for (; i && t->moments[i - 1].ms > ms; i--)
		t->moments[i] = t->moments[i - 1];
	t->moment_count++;
	t->moments[i].ms = ms;
	va_start(ap, fmt);
	vsnprintf(t->moments[i].text, TIMELINE_TEXT_SIZE, fmt, ap);
	va_end(ap);
}

static const char *span(int64_t from_ms, int64_t to_ms, char text[WALL_TEXT_SIZE])
{
	return wall_span((to_ms - from_ms) * 1000, text);
}

static void tell_before(struct timeline *t, const struct history_entry *e, const struct moments *m)
{
	char text[WALL_TEXT_SIZE];

	add_moment(t, m->last_ms, "%s renews its lease for the last time", e->from);
	if (m->lease_ms > m->last_ms && (!m->up_ms || m->lease_ms <= m->up_ms))
		add_moment(t, m->lease_ms, "the lease of %s is over: its work is down or killed",
			   e->from);
	add_moment(t, m->stop_ms, "%s begins to stop its work", e->from);
	if (m->last_ms)
		add_moment(t, m->claim_ms,
			   "%s claims the role; all waited %s for the session of %s to end", e->to,
			   span(m->last_ms, m->claim_ms, text), e->from);
	else
		add_moment(t, m->claim_ms, "%s is named primary", e->to);
}

static void tell_takeover(struct timeline *t, const struct history_entry *e,
			  const struct moments *m)
{
	char text[WALL_TEXT_SIZE];

	add_moment(t, m->post_ms, "%s takes the post; it waited %s for its transition-delay%s%s%s",
		   e->to, span(m->claim_ms, m->post_ms, text), m->stop_ms ? " and " : "",
		   m->stop_ms ? e->from : "", m->stop_ms ? " to stop" : "");
	if (m->post_ms)
		add_moment(
			t, m->start_ms,
			"%s starts its work; it waited %s for other nodes' leases and for fencing",
			e->to, span(m->post_ms, m->start_ms, text));
	if (m->start_ms)
		add_moment(t, m->up_ms, "%s is primary: the start of its work took %s", e->to,
			   span(m->start_ms, m->up_ms, text));
	else
		add_moment(t, m->up_ms, "%s is primary: its work runs", e->to);
}

/* The bounds: in proportion around what is known to have happened. */
static void set_bounds(struct timeline *t, const struct timeline_facts *f)
{
	int64_t first = t->moments[0].ms, last = t->moments[t->moment_count - 1].ms;
	int64_t margin = (last - first) / 8 + MARGIN_MS;

	t->begin_ms = first - margin;
	t->end_ms = last + margin;
	/* Under way, or it failed: what there is of it. */
	if (f->entry->takeover_us < 0 && f->now_ms > t->end_ms)
		t->end_ms = min(f->now_ms, last + 60000);
}

static void set_gap(struct timeline *t, const struct moments *m)
{
	if (!m->up_ms || !(m->stop_ms || m->last_ms))
		return;
	t->gap_first_ms = m->stop_ms ? m->stop_ms : m->last_ms;
	t->gap_ms = m->stop_ms ? m->stop_ms : min(m->lease_ms, m->up_ms);
	t->gap_end_ms = m->up_ms;
}

/* -- rows -- */

/* From where the row ends to end_ms; an end that is not later adds nothing. */
static void add_segment(const struct timeline *t, struct timeline_row *row,
			enum timeline_state state, int64_t end_ms)
{
	int64_t begin_ms = row->count ? row->segments[row->count - 1].end_ms : t->begin_ms;

	end_ms = min(end_ms, t->end_ms);
	if (end_ms <= begin_ms)
		return;
	assert(row->count < TIMELINE_SEGMENTS_MAX);
	row->segments[row->count++] = (struct timeline_segment){ state, begin_ms, end_ms };
}

/* The node that had the role, up to end_ms. */
static void add_former(const struct timeline *t, struct timeline_row *row, const struct moments *m,
		       int64_t end_ms)
{
	if (m->last_ms) {
		add_segment(t, row, TIMELINE_PRIMARY, min(m->last_ms, end_ms));
		add_segment(t, row, TIMELINE_SILENT, min(m->lease_ms, end_ms));
		add_segment(t, row, TIMELINE_DOWN, end_ms);
	} else if (m->stop_ms) {
		add_segment(t, row, TIMELINE_PRIMARY, min(m->stop_ms, end_ms));
		add_segment(t, row, TIMELINE_STOP, min(m->post_ms, end_ms));
		add_segment(t, row, TIMELINE_SECONDARY, end_ms);
	} else {
		add_segment(t, row, TIMELINE_UNKNOWN, end_ms);
	}
}

static void add_next(const struct timeline *t, struct timeline_row *row, const struct moments *m)
{
	add_segment(t, row, TIMELINE_SECONDARY, m->claim_ms);
	add_segment(t, row, TIMELINE_NAMED,
		    m->post_ms ? m->post_ms
		    : m->up_ms ? m->up_ms
			       : t->end_ms);
	if (m->start_ms)
		add_segment(t, row, TIMELINE_WAIT, m->start_ms);
	add_segment(t, row, TIMELINE_START, m->up_ms);
	add_segment(t, row, TIMELINE_PRIMARY, t->end_ms);
}

static struct timeline_row *new_row(struct timeline *t, const char *name)
{
	struct timeline_row *row = &t->rows[t->row_count++];

	row->name = name;
	return row;
}

static void add_rows(struct timeline *t, const struct timeline_facts *f, const struct moments *m)
{
	const struct history_entry *e = f->entry;
	bool same = !strcmp(e->from, e->to);
	struct timeline_row *row;

	if (*e->from && !same)
		add_former(t, new_row(t, e->from), m, t->end_ms);
	row = new_row(t, e->to);
	if (same)
		add_former(t, row, m, m->claim_ms);
	add_next(t, row, m);
	for (size_t i = 0; i < f->node_count; i++) {
		const struct timeline_node *n = &f->nodes[i];

		if (!strcmp(n->name, e->from) || !strcmp(n->name, e->to))
			continue;
		row = new_row(t, n->name);
		add_segment(t, row, TIMELINE_UNKNOWN, n->since_ms);
		add_segment(t, row, n->state, t->end_ms);
	}
}

bool timeline_build(const struct timeline_facts *facts, struct timeline *ret_timeline)
{
	struct moments m = find_moments(facts);
	struct timeline t = { 0 };

	t.rows = calloc(facts->node_count + 2, sizeof(*t.rows));
	if (!t.rows)
		return false;
	tell_before(&t, facts->entry, &m);
	tell_takeover(&t, facts->entry, &m);
	set_bounds(&t, facts);
	set_gap(&t, &m);
	add_rows(&t, facts, &m);
	*ret_timeline = t;
	return true;
}

void timeline_finish(struct timeline *timeline)
{
	free(timeline->rows);
	timeline->rows = NULL;
}

/* -- what both pictures tell in words -- */

bool timeline_shows(const struct timeline *t, enum timeline_state state)
{
	for (size_t i = 0; i < t->row_count; i++)
		for (size_t k = 0; k < t->rows[i].count; k++)
			if (t->rows[i].segments[k].state == state)
				return true;
	return false;
}

const char *timeline_after(const struct timeline *t, size_t i, char *text)
{
	return span(t->moments[0].ms, t->moments[i].ms, text);
}

char *timeline_gap_text(const struct timeline *t, const char *unsure, char *text)
{
	char least[WALL_TEXT_SIZE], most[WALL_TEXT_SIZE];

	*text = '\0';
	if (!t->gap_end_ms)
		return text;
	(void)span(t->gap_ms, t->gap_end_ms, least);
	(void)span(t->gap_first_ms, t->gap_end_ms, most);
	snprintf(text, TIMELINE_TEXT_SIZE,
		 t->gap_ms == t->gap_first_ms
			 ? "gap: %s in which no node worked"
			 : "gap: %s to %s in which no node worked (%s: a node may have worked)",
		 least, most, unsure);
	return text;
}

/* -- the scale -- */

static int compare(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return x < y ? -1 : x > y;
}

bool timeline_scale_init(const struct timeline *t, unsigned width, unsigned least,
			 struct timeline_scale *ret_scale)
{
	struct timeline_scale s = { .width = width, .least = least };
	size_t n = 0, max = 2 + t->moment_count + t->row_count * TIMELINE_SEGMENTS_MAX;

	s.ends = calloc(max, sizeof(*s.ends));
	if (!s.ends)
		return false;
	s.ends[n++] = t->begin_ms;
	s.ends[n++] = t->end_ms;
	for (size_t i = 0; i < t->moment_count; i++)
		s.ends[n++] = t->moments[i].ms;
	for (size_t i = 0; i < t->row_count; i++)
		for (size_t k = 0; k < t->rows[i].count; k++)
			s.ends[n++] = t->rows[i].segments[k].end_ms;
	qsort(s.ends, n, sizeof(*s.ends), compare);
	for (size_t i = 0; i < n; i++)
		if (!s.count || s.ends[i] != s.ends[s.count - 1])
			s.ends[s.count++] = s.ends[i];
	if (s.least * (s.count - 1) > width)
		s.least = width / (unsigned)(s.count - 1);
	*ret_scale = s;
	return true;
}

void timeline_scale_finish(struct timeline_scale *scale)
{
	free(scale->ends);
	scale->ends = NULL;
}

unsigned timeline_place(const struct timeline_scale *s, int64_t ms)
{
	int64_t whole = s->ends[s->count - 1] - s->ends[0];
	unsigned before = 0, room = s->width - s->least * (unsigned)(s->count - 1);

	while (before + 1 < s->count && s->ends[before + 1] <= ms)
		before++;
	return before * s->least + (unsigned)((ms - s->ends[0]) * room / whole);
}
