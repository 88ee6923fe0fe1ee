/* SPDX-License-Identifier: Apache-2.0 */
#include "history_entry.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "zk/zkh_path.h"

static const char *skip_blanks(const char *text)
{
	while (isspace((unsigned char)*text))
		text++;
	return text;
}

/* A string without escapes into ret[size], cut if need be; what follows it, or NULL. */
static const char *take_string(const char *text, char *ret, size_t size)
{
	const char *end;
	size_t n;

	if (*text != '"')
		return NULL;
	end = strchr(++text, '"');
	if (!end || memchr(text, '\\', (size_t)(end - text)))
		return NULL;
	n = (size_t)(end - text);
	if (n >= size)
		n = size - 1;
	memcpy(ret, text, n);
	ret[n] = '\0';
	return end + 1;
}

static void take_member(struct history_entry *entry, const char *name, const char *value)
{
	if (!strcmp(name, "time"))
		snprintf(entry->time, sizeof(entry->time), "%.39s", value);
	else if (!strcmp(name, "to") && zkh_name_valid(value))
		strcpy(entry->to, value);
	else if (!strcmp(name, "from") && zkh_name_valid(value))
		strcpy(entry->from, value);
	else if (!strcmp(name, "reason"))
		snprintf(entry->reason, sizeof(entry->reason), "%.159s", value);
	else if (!strcmp(name, "takeover_us") && isdigit((unsigned char)*value))
		entry->takeover_us = strtoll(value, NULL, 10);
}

/* "NAME":VALUE; what follows it, or NULL. */
static const char *parse_member(const char *text, struct history_entry *entry)
{
	char name[32], value[512];
	size_t n;

	text = take_string(skip_blanks(text), name, sizeof(name));
	if (!text)
		return NULL;
	text = skip_blanks(text);
	if (*text++ != ':')
		return NULL;
	text = skip_blanks(text);
	if (*text == '"') {
		text = take_string(text, value, sizeof(value));
		if (!text)
			return NULL;
	} else {
		n = strcspn(text, ",}");
		snprintf(value, sizeof(value), "%.*s", (int)(n < 32 ? n : 32), text);
		text += n;
	}
	take_member(entry, name, value);
	return skip_blanks(text);
}

bool history_entry_parse(const char *data, size_t length, struct history_entry *ret_entry)
{
	struct history_entry entry = { .takeover_us = -1 };
	char copy[KEY_VALUE_MAX];
	const char *text = copy;

	if (!value_text(data, length, copy, sizeof(copy)) || *text++ != '{')
		return false;
	do {
		text = parse_member(text, &entry);
	} while (text && *text++ == ',');
	if (!text || text[-1] != '}' || !*entry.time || !*entry.to)
		return false;
	*ret_entry = entry;
	return true;
}

bool history_entry_format(const struct history_entry *e, char *text, size_t size)
{
	int n = snprintf(text, size,
			 "{\"time\":\"%s\",\"to\":\"%s\",\"from\":\"%s\",\"reason\":\"%s\"",
			 e->time, e->to, e->from, e->reason);

	if (n > 0 && (size_t)n < size && e->takeover_us >= 0)
		n += snprintf(text + n, size - (size_t)n, ",\"takeover_us\":%" PRId64,
			      e->takeover_us);
	if (n < 0 || (size_t)n + 2 > size)
		return false;
	strcpy(text + n, "}");
	return true;
}
