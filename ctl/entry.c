/* SPDX-License-Identifier: Apache-2.0 */
#include "entry.h"

#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "base/duration.h"
#include "zk/zkh_path.h"

static void take_text(struct json_object *object, const char *key, char *ret, size_t size)
{
	struct json_object *value;

	if (json_object_object_get_ex(object, key, &value) &&
	    json_object_is_type(value, json_type_string))
		snprintf(ret, size, "%s", json_object_get_string(value));
}

static void take_name(struct json_object *object, const char *key, char ret[NAME_SIZE])
{
	take_text(object, key, ret, NAME_SIZE);
	if (!zkh_name_valid(ret))
		*ret = '\0';
}

static void take_span(struct json_object *object, const char *key, int64_t *ret_us)
{
	struct json_object *value;
	int64_t us;

	if (!json_object_object_get_ex(object, key, &value) ||
	    !json_object_is_type(value, json_type_int))
		return;
	us = json_object_get_int64(value);
	if (us >= 0 && us <= DURATION_MAX)
		*ret_us = us;
}

bool entry_parse(const char *data, size_t length, struct history_entry *ret_entry)
{
	struct history_entry entry = history_entry_empty();
	char text[KEY_VALUE_MAX];
	struct json_object *object;

	/* An escape could stand for a character that must not reach a terminal; nothing here writes one. */
	if (!value_text(data, length, text, sizeof(text)) || strchr(text, '\\'))
		return false;
	object = json_tokener_parse(text);
	if (json_object_is_type(object, json_type_object)) {
		take_text(object, "time", entry.time, sizeof(entry.time));
		take_name(object, "to", entry.to);
		take_name(object, "from", entry.from);
		take_text(object, "reason", entry.reason, sizeof(entry.reason));
#define X(member) take_span(object, #member, &entry.member);
		HISTORY_SPANS(X)
#undef X
	}
	json_object_put(object);
	if (!*entry.time || !*entry.to)
		return false;
	*ret_entry = entry;
	return true;
}
