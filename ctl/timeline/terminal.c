/* SPDX-License-Identifier: Apache-2.0 */
#include "draw.h"

#include <stdlib.h>
#include <string.h>

#include "ctl.h"

#define NAME_COLUMNS 16 /* at most */
#define WIDTH_MIN 40u
#define WIDTH_MAX 160u

/* SGR: the background; the letters are black. */
static const char *const colors[TIMELINE_STATE_COUNT] = {
	[TIMELINE_UNKNOWN] = "2",     [TIMELINE_CLIENT] = "30;47", [TIMELINE_SECONDARY] = "30;44",
	[TIMELINE_PRIMARY] = "30;42", [TIMELINE_SILENT] = "30;43", [TIMELINE_DOWN] = "30;100",
	[TIMELINE_STOP] = "30;45",    [TIMELINE_NAMED] = "30;46",  [TIMELINE_WAIT] = "30;103",
	[TIMELINE_START] = "30;102",
};

struct canvas {
	FILE *file;
	const struct timeline *timeline;
	struct timeline_scale scale;
	int name_columns;
	bool color;
};

static void begin_line(const struct canvas *c, const char *name)
{
	fprintf(c->file, "%-*.*s  ", c->name_columns, c->name_columns, name);
}

static void put_state(const struct canvas *c, enum timeline_state state, unsigned cells)
{
	if (c->color)
		fprintf(c->file, "\033[%sm", colors[state]);
	while (cells--)
		fputc(timeline_letter(state), c->file);
	if (c->color)
		fputs("\033[0m", c->file);
}

static void draw_row(const struct canvas *c, const struct timeline_row *row)
{
	begin_line(c, row->name);
	for (size_t i = 0; i < row->count; i++) {
		const struct timeline_segment *s = &row->segments[i];

		put_state(c, s->state,
			  timeline_place(&c->scale, s->end_ms) -
				  timeline_place(&c->scale, s->begin_ms));
	}
	fputc('\n', c->file);
}

static void draw_gap(const struct canvas *c)
{
	const struct timeline *t = c->timeline;
	unsigned first, sure, end;

	if (!t->gap_end_ms)
		return;
	first = timeline_place(&c->scale, t->gap_first_ms);
	sure = timeline_place(&c->scale, t->gap_ms);
	end = timeline_place(&c->scale, t->gap_end_ms);
	begin_line(c, "gap");
	for (unsigned i = 0; i < end; i++)
		fputc(i < first ? ' ' : i < sure ? '~' : '=', c->file);
	fputc('\n', c->file);
}

/* A letter below each moment; of those at one place, the later ones stand behind it. */
static void draw_marks(const struct canvas *c)
{
	unsigned column = 0;

	begin_line(c, "");
	for (size_t i = 0; i < c->timeline->moment_count; i++) {
		unsigned place = timeline_place(&c->scale, c->timeline->moments[i].ms);

		for (; column < place; column++)
			fputc(' ', c->file);
		fputc('A' + (char)i, c->file);
		column++;
	}
	fputs("\n\n", c->file);
}

static void draw_moments(const struct canvas *c, const struct table_style *style)
{
	struct table *table = timeline_moments(c->timeline);
	char text[TIMELINE_TEXT_SIZE], *lines = tables_format(&table, 1, style);

	fputs(lines, c->file);
	free(lines);
	table_destroy(table);
	if (*timeline_gap_text(c->timeline, "~", text))
		fprintf(c->file, "\n%s\n", text);
}

static void draw_legend(const struct canvas *c)
{
	fputc('\n', c->file);
	for (enum timeline_state state = 0; state < TIMELINE_STATE_COUNT; state++) {
		if (!timeline_shows(c->timeline, state))
			continue;
		put_state(c, state, 1);
		fprintf(c->file, "  %s\n", timeline_state_text(state));
	}
}

void timeline_draw_terminal(FILE *file, const struct timeline *t, const char *title,
			    const struct table_style *style)
{
	struct canvas c = { .file = file, .timeline = t, .name_columns = 3, .color = style->color };
	unsigned width = style->width;

	for (size_t i = 0; i < t->row_count; i++)
		if ((int)strlen(t->rows[i].name) > c.name_columns)
			c.name_columns = (int)strlen(t->rows[i].name);
	if (c.name_columns > NAME_COLUMNS)
		c.name_columns = NAME_COLUMNS;
	width = width < WIDTH_MIN ? WIDTH_MIN : width > WIDTH_MAX ? WIDTH_MAX : width;
	if (!timeline_scale_init(t, width - (unsigned)c.name_columns - 3, 2, &c.scale))
		(void)ctl_need(NULL);
	fprintf(file, "%s\n\n", title);
	for (size_t i = 0; i < t->row_count; i++)
		draw_row(&c, &t->rows[i]);
	draw_gap(&c);
	draw_marks(&c);
	draw_moments(&c, style);
	draw_legend(&c);
	timeline_scale_finish(&c.scale);
}
