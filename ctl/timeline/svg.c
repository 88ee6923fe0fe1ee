/* SPDX-License-Identifier: Apache-2.0 */
#include "draw.h"

#include <stdlib.h>

#include "base/wall.h"
#include "ctl.h"

#define WIDTH 900u
#define LEFT 110u /* of the bars: names stand there */
#define BARS 770u /* their width */
#define LEAST 14u /* room for a letter */
#define TOP 50u	  /* of the first row */
#define ROW 30u
#define LINE 20u
#define NAME_CHARACTERS 14

/* Colours of light and dark: text, ground, then a fill for each state. Class sN is a bar of state N. */
static const char style[] =
	"<style>\n"
	"text{font:13px sans-serif;fill:#1f2328} .ground{fill:#ffffff} .letter{font:bold 12px monospace;fill:#1f2328}\n"
	".mark{stroke:#8c959f;stroke-dasharray:2 3} .gap{fill:#cf222e} .maybe{fill:url(#stripes)} .stripe{stroke:#cf222e}\n"
	".UNKNOWN{fill:#f6f8fa;stroke:#8c959f;stroke-dasharray:3} .CLIENT{fill:#d0d7de} .SECONDARY{fill:#b6d4f5}\n"
	".PRIMARY{fill:#6fcf7c} .SILENT{fill:#f5dc7a} .DOWN{fill:#c4c9cf} .STOP{fill:#e3b5f0} .NAMED{fill:#9ee0e0}\n"
	".WAIT{fill:#f0c28a} .START{fill:#c9ec8f}\n"
	"@media (prefers-color-scheme:dark){text{fill:#e6edf3} .ground{fill:#0d1117} .UNKNOWN{fill:#161b22}}\n"
	"</style>\n"
	"<defs><pattern id=\"stripes\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\" "
	"patternTransform=\"rotate(45)\"><path class=\"stripe\" stroke-width=\"3\" d=\"M0 0V6\"/></pattern></defs>\n";

static const char *const classes[TIMELINE_STATE_COUNT] = {
#define X(name, letter, text) #name,
	TIMELINE_STATES(X)
#undef X
};

static void put_text(FILE *file, const char *text)
{
	for (; *text; text++) {
		switch (*text) {
		case '<':
			fputs("&lt;", file);
			break;
		case '>':
			fputs("&gt;", file);
			break;
		case '&':
			fputs("&amp;", file);
			break;
		case '"':
			fputs("&quot;", file);
			break;
		default:
			fputc(*text, file);
		}
	}
}

static void put_line(FILE *file, unsigned x, unsigned y, const char *text)
{
	fprintf(file, "<text x=\"%u\" y=\"%u\">", x, y);
	put_text(file, text);
	fputs("</text>\n", file);
}

static void put_bar(FILE *file, const char *class, unsigned x, unsigned y, unsigned width,
		    unsigned height)
{
	fprintf(file, "<rect class=\"%s\" x=\"%u\" y=\"%u\" width=\"%u\" height=\"%u\"/>\n", class,
		x, y, width, height);
}

static void draw_row(FILE *file, const struct timeline_scale *scale, const struct timeline_row *row,
		     unsigned y)
{
	char name[NAME_CHARACTERS + 1];

	snprintf(name, sizeof(name), "%s", row->name);
	put_line(file, 10, y + 16, name);
	for (size_t i = 0; i < row->count; i++) {
		const struct timeline_segment *s = &row->segments[i];
		unsigned begin = timeline_place(scale, s->begin_ms);
		unsigned end = timeline_place(scale, s->end_ms);

		put_bar(file, classes[s->state], LEFT + begin, y, end - begin, ROW - 8);
		fprintf(file,
			"<text class=\"letter\" x=\"%u\" y=\"%u\" text-anchor=\"middle\">%c</text>\n",
			LEFT + (begin + end) / 2, y + 15, timeline_letter(s->state));
	}
}

static void draw_gap(FILE *file, const struct timeline *t, const struct timeline_scale *scale,
		     unsigned y)
{
	unsigned first, sure, end;

	if (!t->gap_end_ms)
		return;
	first = timeline_place(scale, t->gap_first_ms);
	sure = timeline_place(scale, t->gap_ms);
	end = timeline_place(scale, t->gap_end_ms);
	put_line(file, 10, y + 12, "gap");
	if (first < sure)
		put_bar(file, "maybe", LEFT + first, y + 2, sure - first, 10);
	if (sure < end)
		put_bar(file, "gap", LEFT + sure, y + 2, end - sure, 10);
}

/* A dashed line through all rows at each moment, with its letter below; returns where the texts end. */
static unsigned draw_moments(FILE *file, const struct timeline *t,
			     const struct timeline_scale *scale, unsigned bottom)
{
	char after[WALL_TEXT_SIZE];
	unsigned y = bottom + 20, free_x = 0;

	for (size_t i = 0; i < t->moment_count; i++) {
		unsigned x = LEFT + timeline_place(scale, t->moments[i].ms);

		fprintf(file, "<path class=\"mark\" d=\"M%u %uV%u\"/>\n", x, TOP - 4, bottom);
		free_x = x > free_x ? x : free_x;
		fprintf(file,
			"<text class=\"moment\" x=\"%u\" y=\"%u\" text-anchor=\"middle\">%c</text>\n",
			free_x, bottom + 14, 'A' + (char)i);
		free_x += 12;
		y += LINE;
		put_line(file, 10, y, (char[]){ 'A' + (char)i, '\0' });
		put_line(file, 36, y, timeline_after(t, i, after));
		put_line(file, LEFT, y, t->moments[i].text);
	}
	return y;
}

static unsigned draw_legend(FILE *file, const struct timeline *t, unsigned y)
{
	char text[TIMELINE_TEXT_SIZE];
	unsigned column = 0;

	if (*timeline_gap_text(t, "striped", text))
		put_line(file, 10, y += LINE + 4, text);
	y += 8;
	for (enum timeline_state state = 0; state < TIMELINE_STATE_COUNT; state++) {
		unsigned x = 10 + column * 440;

		if (!timeline_shows(t, state))
			continue;
		if (!column)
			y += LINE;
		put_bar(file, classes[state], x, y - 12, 16, 14);
		snprintf(text, sizeof(text), "%c  %s", timeline_letter(state),
			 timeline_state_text(state));
		put_line(file, x + 24, y, text);
		column = !column;
	}
	return y;
}

static unsigned draw_picture(FILE *file, const struct timeline *t, const char *title,
			     const struct timeline_scale *scale)
{
	unsigned y = TOP;

	put_line(file, 10, 24, title);
	for (size_t i = 0; i < t->row_count; i++, y += ROW)
		draw_row(file, scale, &t->rows[i], y);
	draw_gap(file, t, scale, y);
	y = draw_moments(file, t, scale, y + 18);
	return draw_legend(file, t, y) + 16;
}

void timeline_draw_svg(FILE *file, const struct timeline *t, const char *title)
{
	struct timeline_scale scale;
	char *picture = NULL;
	size_t length;
	FILE *body = ctl_need(open_memstream(&picture, &length));
	unsigned height;

	if (!timeline_scale_init(t, BARS, LEAST, &scale))
		(void)ctl_need(NULL);
	height = draw_picture(body, t, title, &scale);
	fclose(body);
	fprintf(file,
		"<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%u\" height=\"%u\" viewBox=\"0 0 %u %u\" role=\"img\">\n"
		"<title>",
		WIDTH, height, WIDTH, height);
	put_text(file, title);
	fprintf(file, "</title>\n%s<rect class=\"ground\" width=\"%u\" height=\"%u\"/>\n%s</svg>\n",
		style, WIDTH, height, (char *)ctl_need(picture));
	free(picture);
	timeline_scale_finish(&scale);
}
