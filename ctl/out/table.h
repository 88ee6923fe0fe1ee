/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Tables for people and JSON for programs, from the same cells. The only file that knows libsmartcols.
 *
 * As JSON each table is a member of one object: "NAME": [{...}, ...], or "NAME": {...} for a single one, which for
 * people is a list of titles and values.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum table_flag {
	TABLE_RIGHT = 1 << 0,
	TABLE_FOR_PEOPLE = 1 << 1, /* not in the JSON */
	TABLE_FOR_JSON = 1 << 2,   /* nowhere else */
	TABLE_WRAP = 1 << 3,	   /* goes on in further lines where the terminal is too narrow */
};

enum table_color { TABLE_PLAIN, TABLE_GOOD, TABLE_BAD, TABLE_WARN, TABLE_DIM };

struct table_column {
	const char *title; /* for people */
	const char *key;   /* in JSON, lower case */
	unsigned flags;
};

struct table_style {
	bool json, color;
	unsigned width; /* columns of the terminal; 0: no bound */
};

struct table;

/* name and columns (an array) must outlive it. TABLE_SINGLE: of one row. */
#define TABLE_OF(name, columns)                                                                    \
	table_create(name, columns, sizeof(columns) / sizeof(*(columns)), false)
#define TABLE_SINGLE(name, columns)                                                                \
	table_create(name, columns, sizeof(columns) / sizeof(*(columns)), true)
struct table *table_create(const char *name, const struct table_column *columns, size_t count,
			   bool single);
struct table *table_destroy(struct table *table);

void table_row(struct table *table);
/* Into the last row; NULL or never put: nothing (JSON: null). Booleans: for people "yes" and "no". */
void table_put(struct table *table, size_t column, const char *text);
void table_putf(struct table *table, size_t column, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void table_put_number(struct table *table, size_t column, int64_t number);
void table_put_boolean(struct table *table, size_t column, bool value);
/* One moment twice: as local time for people, in UTC for programs. ms since 1970. */
void table_put_time(struct table *table, size_t people, size_t programs, int64_t ms);
void table_color(struct table *table, size_t column, enum table_color color);

size_t table_rows(const struct table *table);

/* All of them as one text, to be freed. Tables without a row are left out for people. */
char *tables_format(struct table *const *tables, size_t count, const struct table_style *style);
