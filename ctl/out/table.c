/* SPDX-License-Identifier: Apache-2.0 */
#include "table.h"

#include <assert.h>
#include <json-c/json.h>
#include <libsmartcols.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/wall.h"
#include "ctl.h"

#define CELL_MAX 1024

struct cell {
	struct json_object *value; /* NULL: nothing */
	enum table_color color;
};

struct table {
	const char *name;
	const struct table_column *columns;
	size_t count;
	bool single;
	struct cell *cells; /* [rows * count] */
	size_t rows, capacity;
};

struct table *table_create(const char *name, const struct table_column *columns, size_t count,
			   bool single)
{
	struct table *table = ctl_need(calloc(1, sizeof(*table)));

	*table = (struct table){
		.name = name, .columns = columns, .count = count, .single = single
	};
	return table;
}

struct table *table_destroy(struct table *table)
{
	for (size_t i = 0; i < table->rows * table->count; i++)
		json_object_put(table->cells[i].value);
	free(table->cells);
	free(table);
	return NULL;
}

size_t table_rows(const struct table *table)
{
	return table->rows;
}

void table_row(struct table *table)
{
	if (table->rows == table->capacity) {
		table->capacity = table->capacity ? table->capacity * 2 : 16;
		table->cells = ctl_need(reallocarray(table->cells, table->capacity * table->count,
						     sizeof(*table->cells)));
	}
	memset(table->cells + table->rows * table->count, 0, table->count * sizeof(*table->cells));
	table->rows++;
}

static struct cell *last_cell(struct table *table, size_t column)
{
	assert(table->rows && column < table->count);
	return &table->cells[(table->rows - 1) * table->count + column];
}

static void put(struct table *table, size_t column, struct json_object *value)
{
	struct cell *cell = last_cell(table, column);

	json_object_put(cell->value);
	cell->value = value;
}

void table_put(struct table *table, size_t column, const char *text)
{
	put(table, column, text ? ctl_need(json_object_new_string(text)) : NULL);
}

void table_putf(struct table *table, size_t column, const char *fmt, ...)
{
	char text[CELL_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	table_put(table, column, text);
}

void table_put_number(struct table *table, size_t column, int64_t number)
{
	put(table, column, ctl_need(json_object_new_int64(number)));
}

void table_put_boolean(struct table *table, size_t column, bool value)
{
	put(table, column, ctl_need(json_object_new_boolean(value)));
}

void table_put_time(struct table *table, size_t people, size_t programs, int64_t ms)
{
	char text[WALL_TEXT_SIZE];

	table_put(table, people, wall_local(ms, text));
	table_put(table, programs, wall_utc(ms, text));
}

void table_color(struct table *table, size_t column, enum table_color color)
{
	last_cell(table, column)->color = color;
}

/* -- for people -- */

static void fill(struct libscols_line *line, size_t n, const char *text, enum table_color color)
{
	static const char *const names[] = { [TABLE_PLAIN] = NULL,
					     [TABLE_GOOD] = "green",
					     [TABLE_BAD] = "red",
					     [TABLE_WARN] = "yellow",
					     [TABLE_DIM] = "darkgray" };

	scols_line_set_data(line, n, text);
	if (names[color])
		scols_cell_set_color(scols_line_get_cell(line, n), names[color]);
}

static void fill_cell(struct libscols_line *line, size_t n, const struct cell *cell)
{
	const char *text = cell->value ? json_object_get_string(cell->value) : "";

	if (json_object_is_type(cell->value, json_type_boolean))
		text = json_object_get_boolean(cell->value) ? "yes" : "no";
	fill(line, n, text, cell->color);
}

static void add_column(struct libscols_table *out, const char *title, unsigned flags)
{
	scols_table_new_column(out, title, 0,
			       (flags & TABLE_RIGHT ? SCOLS_FL_RIGHT : 0) |
				       (flags & TABLE_WRAP ? SCOLS_FL_WRAP : 0));
}

/* Titles and values, one below the other. */
static void build_list(const struct table *table, struct libscols_table *out)
{
	add_column(out, "", 0);
	add_column(out, "", TABLE_WRAP);
	scols_table_enable_noheadings(out, 1);
	for (size_t i = 0; i < table->rows * table->count; i++) {
		const struct table_column *column = &table->columns[i % table->count];
		struct libscols_line *line;

		if (!table->cells[i].value || (column->flags & TABLE_FOR_JSON))
			continue;
		line = ctl_need(scols_table_new_line(out, NULL));
		fill(line, 0, column->title, TABLE_PLAIN);
		fill_cell(line, 1, &table->cells[i]);
	}
}

static void build_rows(const struct table *table, struct libscols_table *out)
{
	for (size_t i = 0; i < table->count; i++)
		if (!(table->columns[i].flags & TABLE_FOR_JSON))
			add_column(out, table->columns[i].title, table->columns[i].flags);
	for (size_t row = 0; row < table->rows; row++) {
		struct libscols_line *line = ctl_need(scols_table_new_line(out, NULL));
		size_t n = 0;

		for (size_t i = 0; i < table->count; i++)
			if (!(table->columns[i].flags & TABLE_FOR_JSON))
				fill_cell(line, n++, &table->cells[row * table->count + i]);
	}
}

/* -- lines that end between two words, which libsmartcols does not do by itself -- */

static size_t width_of(const struct libscols_column *column, const char *text, void *width)
{
	return (size_t)(uintptr_t)width;
}

/* Ends the text where the column ends, or before. Returns the rest; NULL: there is none. */
static char *next_line(const struct libscols_column *column, char *text, void *width)
{
	size_t cells = 0;
	char *blank = NULL;

	for (; *text; text++) {
		if (*text == ' ')
			blank = text;
		/* A continuation byte belongs to the character before. */
		cells += ((unsigned char)*text & 0xc0) != 0x80;
		if (cells <= (size_t)(uintptr_t)width || !blank)
			continue;
		*blank = '\0';
		return blank + 1;
	}
	return NULL;
}

/* After the table was formatted once: keeps the widths that came of it. */
static void wrap_words(struct libscols_table *out)
{
	for (size_t i = 0; i < scols_table_get_ncols(out); i++) {
		struct libscols_column *column = scols_table_get_column(out, i);
		uintptr_t width = scols_column_get_width(column);

		if (scols_column_get_flags(column) & SCOLS_FL_WRAP)
			scols_column_set_wrapfunc(column, width_of, next_line, (void *)width);
	}
}

static char *format_table(const struct table *table, const struct table_style *style)
{
	struct libscols_table *out = ctl_need(scols_new_table());
	char *text = NULL;

	scols_table_enable_colors(out, style->color);
	/* The callers have escaped the cells already; libsmartcols would escape them a second time. */
	scols_table_enable_noencoding(out, 1);
	/* Only output to a terminal is cut. */
	scols_table_set_termforce(out,
				  style->width ? SCOLS_TERMFORCE_ALWAYS : SCOLS_TERMFORCE_NEVER);
	if (style->width)
		scols_table_set_termwidth(out, style->width);
	(table->single ? build_list : build_rows)(table, out);
	(void)scols_print_table_to_string(out, &text);
	if (style->width) {
		free(text);
		text = NULL;
		wrap_words(out);
		(void)scols_print_table_to_string(out, &text);
	}
	scols_unref_table(out);
	return ctl_need(text);
}

/* -- for programs -- */

static struct json_object *json_row(const struct table *table, size_t row)
{
	struct json_object *object = ctl_need(json_object_new_object());

	for (size_t i = 0; i < table->count; i++)
		if (!(table->columns[i].flags & TABLE_FOR_PEOPLE))
			json_object_object_add(object, table->columns[i].key,
					       json_object_get(
						       table->cells[row * table->count + i].value));
	return object;
}

static struct json_object *json_table(const struct table *table)
{
	struct json_object *list;

	if (table->single)
		return table->rows ? json_row(table, 0) : NULL;
	list = ctl_need(json_object_new_array());
	for (size_t row = 0; row < table->rows; row++)
		json_object_array_add(list, json_row(table, row));
	return list;
}

static void print_json(FILE *file, struct table *const *tables, size_t count)
{
	struct json_object *all = ctl_need(json_object_new_object());

	for (size_t i = 0; i < count; i++)
		json_object_object_add(all, tables[i]->name, json_table(tables[i]));
	fprintf(file, "%s\n",
		json_object_to_json_string_ext(all, JSON_C_TO_STRING_PRETTY |
							    JSON_C_TO_STRING_SPACED |
							    JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(all);
}

char *tables_format(struct table *const *tables, size_t count, const struct table_style *style)
{
	char *text = NULL;
	size_t length;
	FILE *file = ctl_need(open_memstream(&text, &length));

	if (style->json)
		print_json(file, tables, count);
	for (size_t i = 0; i < count && !style->json; i++) {
		char *one = tables[i]->rows ? format_table(tables[i], style) : NULL;

		if (one)
			fprintf(file, "%s%s%s", ftell(file) ? "\n" : "", one,
				*one && one[strlen(one) - 1] != '\n' ? "\n" : "");
		free(one);
	}
	fclose(file);
	return ctl_need(text);
}
