/* SPDX-License-Identifier: Apache-2.0 */
#include "table.h"

#include <assert.h>
#include <inttypes.h>
#include <libsmartcols.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COLUMNS_MAX 24
#define CELL_MAX 1024

struct cell {
	char *text;
	enum table_color color;
};

struct table {
	const char *name;
	const struct table_column *columns;
	size_t count;
	bool single;
	struct cell *cells; /* [rows * count] */
	size_t rows, capacity;
	bool broken; /* out of memory: not worth printing */
};

struct table *table_create(const char *name, const struct table_column *columns, size_t count,
			   bool single)
{
	struct table *table = calloc(1, sizeof(*table));

	assert(count <= COLUMNS_MAX);
	if (table)
		*table = (struct table){
			.name = name, .columns = columns, .count = count, .single = single
		};
	return table;
}

struct table *table_destroy(struct table *table)
{
	if (!table)
		return NULL;
	for (size_t i = 0; i < table->rows * table->count; i++)
		free(table->cells[i].text);
	free(table->cells);
	free(table);
	return NULL;
}

size_t table_rows(const struct table *table)
{
	return table ? table->rows : 0;
}

void table_row(struct table *table)
{
	if (!table || table->broken)
		return;
	if (table->rows == table->capacity) {
		size_t capacity = table->capacity ? table->capacity * 2 : 16;
		struct cell *cells = reallocarray(table->cells, capacity * table->count,
						  sizeof(*cells));

		if (!cells) {
			table->broken = true;
			return;
		}
		table->cells = cells;
		table->capacity = capacity;
	}
	memset(table->cells + table->rows * table->count, 0, table->count * sizeof(*table->cells));
	table->rows++;
}

static struct cell *last_cell(struct table *table, size_t column)
{
	if (!table || table->broken || !table->rows)
		return NULL;
	assert(column < table->count);
	return &table->cells[(table->rows - 1) * table->count + column];
}

void table_put(struct table *table, size_t column, const char *text)
{
	struct cell *cell = last_cell(table, column);

	if (!cell)
		return;
	free(cell->text);
	cell->text = text ? strdup(text) : NULL;
	table->broken = text && !cell->text;
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
	table_putf(table, column, "%" PRId64, number);
}

void table_put_boolean(struct table *table, size_t column, bool value)
{
	table_put(table, column, value ? "1" : "0");
}

void table_color(struct table *table, size_t column, enum table_color color)
{
	struct cell *cell = last_cell(table, column);

	if (cell)
		cell->color = color;
}

static const char *color_name(enum table_color color)
{
	switch (color) {
	case TABLE_GOOD:
		return "green";
	case TABLE_BAD:
		return "red";
	case TABLE_WARN:
		return "yellow";
	case TABLE_DIM:
		return "darkgray";
	case TABLE_PLAIN:
		break;
	}
	return NULL;
}

static const char *for_people(const struct table_column *column, const char *text)
{
	if (text && column->type == TABLE_BOOLEAN)
		return *text == '1' ? "yes" : "no";
	return text ? text : "";
}

static void fill(struct libscols_line *line, size_t n, const char *text, enum table_color color)
{
	if (!line)
		return;
	scols_line_set_data(line, n, text);
	if (color_name(color))
		scols_cell_set_color(scols_line_get_cell(line, n), color_name(color));
}

/* Titles and values, one below the other. */
static void build_list(const struct table *table, struct libscols_table *out)
{
	scols_table_new_column(out, "", 0, 0);
	scols_table_new_column(out, "", 0, 0);
	scols_table_enable_noheadings(out, 1);
	for (size_t row = 0; row < table->rows; row++) {
		for (size_t i = 0; i < table->count; i++) {
			const struct table_column *column = &table->columns[i];
			const struct cell *cell = &table->cells[row * table->count + i];
			struct libscols_line *line;

			if (!cell->text || (column->flags & TABLE_FOR_JSON))
				continue;
			line = scols_table_new_line(out, NULL);
			fill(line, 0, column->title, TABLE_PLAIN);
			fill(line, 1, for_people(column, cell->text), cell->color);
		}
	}
}

static void add_column(struct libscols_table *out, const struct table_column *column, bool json)
{
	static const int types[] = { [TABLE_TEXT] = SCOLS_JSON_STRING,
				     [TABLE_NUMBER] = SCOLS_JSON_NUMBER,
				     [TABLE_BOOLEAN] = SCOLS_JSON_BOOLEAN };
	int flags = (column->flags & TABLE_RIGHT ? SCOLS_FL_RIGHT : 0) |
		    (column->flags & TABLE_CUT ? SCOLS_FL_TRUNC : 0);
	struct libscols_column *added =
		scols_table_new_column(out, json ? column->key : column->title, 0, flags);

	if (added)
		scols_column_set_json_type(added, types[column->type]);
}

static void build_rows(const struct table *table, struct libscols_table *out, bool json)
{
	unsigned hidden = json ? TABLE_FOR_PEOPLE : TABLE_FOR_JSON;

	for (size_t i = 0; i < table->count; i++)
		if (!(table->columns[i].flags & hidden))
			add_column(out, &table->columns[i], json);
	for (size_t row = 0; row < table->rows; row++) {
		struct libscols_line *line = scols_table_new_line(out, NULL);
		size_t n = 0;

		for (size_t i = 0; i < table->count; i++) {
			const struct table_column *column = &table->columns[i];
			const struct cell *cell = &table->cells[row * table->count + i];

			if (column->flags & hidden)
				continue;
			fill(line, n++, json ? cell->text : for_people(column, cell->text),
			     cell->color);
		}
	}
}

static char *format_table(const struct table *table, const struct table_style *style)
{
	struct libscols_table *out = scols_new_table();
	char *text = NULL;

	if (!out)
		return NULL;
	scols_table_set_name(out, table->name);
	scols_table_enable_json(out, style->json);
	scols_table_enable_colors(out, style->color);
	/* Whoever fills cells has escaped what must not reach a terminal; twice would be too much. */
	scols_table_enable_noencoding(out, 1);
	/* What is not for a terminal is not cut either. */
	scols_table_set_termforce(out,
				  style->width ? SCOLS_TERMFORCE_ALWAYS : SCOLS_TERMFORCE_NEVER);
	if (style->width)
		scols_table_set_termwidth(out, style->width);
	if (table->single && !style->json)
		build_list(table, out);
	else
		build_rows(table, out, style->json);
	if (scols_print_table_to_string(out, &text) != 0)
		text = NULL;
	scols_unref_table(out);
	return text;
}

/* What libsmartcols indented as an element of a list stands one level higher. */
static void add_object(FILE *file, const char *name, const char *begin, const char *end)
{
	fprintf(file, "   \"%s\": ", name);
	for (const char *c = begin; c < end; c++) {
		fputc(*c, file);
		if (*c == '\n' && end - c > 3 && !strncmp(c + 1, "   ", 3))
			c += 3;
	}
}

/* The members of the object that libsmartcols made of one table: what is between its braces. */
static void add_member(FILE *file, const struct table *table, const char *text, bool first)
{
	const char *begin = strchr(text, table->single ? '[' : '{');
	const char *end = strrchr(text, table->single ? ']' : '}');

	fputs(first ? "\n" : ",\n", file);
	if (!table->rows) {
		fprintf(file, "   \"%s\": %s", table->name, table->single ? "null" : "[]");
		return;
	}
	if (!begin || !end || end <= begin)
		return;
	begin++;
	while (begin < end && strchr(" \n", *begin))
		begin++;
	while (end > begin && strchr(" \n", end[-1]))
		end--;
	if (table->single)
		add_object(file, table->name, begin, end);
	else
		fprintf(file, "   %.*s", (int)(end - begin), begin);
}

static bool add_table(FILE *file, const struct table *table, const struct table_style *style,
		      bool first)
{
	char *text;

	if (!table || table->broken)
		return false;
	if (!table->rows && !style->json)
		return true;
	text = format_table(table, style);
	if (!text)
		return false;
	if (style->json)
		add_member(file, table, text, first);
	else
		fprintf(file, "%s%s", first ? "" : "\n", text);
	if (!style->json && *text && text[strlen(text) - 1] != '\n')
		fputc('\n', file);
	free(text);
	return true;
}

char *tables_format(struct table *const *tables, size_t count, const struct table_style *style)
{
	char *text = NULL;
	size_t length;
	FILE *file = open_memstream(&text, &length);
	bool good = true, first = true;

	if (!file)
		return NULL;
	if (style->json)
		fputc('{', file);
	for (size_t i = 0; i < count; i++) {
		good = good && add_table(file, tables[i], style, first);
		first = first && !style->json && !table_rows(tables[i]);
	}
	if (style->json)
		fputs("\n}\n", file);
	if (fclose(file) == 0 && good)
		return text;
	free(text);
	return NULL;
}
