/* SPDX-License-Identifier: Apache-2.0 */
#include "detail.h"

#include <stdlib.h>
#include <string.h>

#include "duration.h"
#include "keys.h"

/* Beyond the year 9999 nothing is believed. */
#define DETAIL_TIME_LIMIT_S INT64_C(253402300800)

static void copy(char *to, size_t size, const char *from)
{
	size_t n = strnlen(from, size - 1);

	memcpy(to, from, n);
	to[n] = '\0';
}

static void take(struct node_detail *detail, const char *key, const char *value)
{
	int64_t us;

	if (!strcmp(key, "format"))
		detail->format = strtoll(value, NULL, 10);
	else if (!strcmp(key, "rank"))
		detail->rank = strtoll(value, NULL, 10);
	else if (!strcmp(key, "contend-delay") && duration_parse(value, &us) == 0)
		detail->contend_delay_us = us;
	else if (!strcmp(key, "penalty-until"))
		detail->penalty_until_ms = strtoll(value, NULL, 10);
	else if (!strcmp(key, "lock-timeout") && duration_parse(value, &us) == 0)
		detail->lock_timeout_us = us;
	else if (!strcmp(key, "transition-delay") && duration_parse(value, &us) == 0)
		detail->transition_delay_us = us;
	else if (!strcmp(key, "session-timeout") && duration_parse(value, &us) == 0)
		detail->session_us = us;
	else if (!strcmp(key, "stop") && duration_parse(value, &us) == 0)
		detail->stop_us = us;
	else if (!strcmp(key, "fence-failed"))
		copy(detail->fence_failed, sizeof(detail->fence_failed), value);
}

bool detail_next_failed(const char **cursor, char ret_name[NAME_SIZE], int64_t *ret_since_ms)
{
	size_t length = strcspn(*cursor, ",");
	size_t n = strcspn(*cursor, "@,");

	if (!length || n >= NAME_SIZE)
		return false;
	memcpy(ret_name, *cursor, n);
	ret_name[n] = '\0';
	*ret_since_ms = 0;
	if (n < length) {
		int64_t s = strtoll(*cursor + n + 1, NULL, 10);

		*ret_since_ms = s > 0 && s < DETAIL_TIME_LIMIT_S ? s * 1000 : 0;
	}
	*cursor += length + ((*cursor)[length] == ',');
	return true;
}

void detail_parse(const char *data, size_t length, struct node_detail *ret_detail)
{
	char text[KEY_VALUE_MAX], *reason, *save = NULL;

	memset(ret_detail, 0, sizeof(*ret_detail));
	ret_detail->format = 1;
	if (!value_text(data, length, text, sizeof(text)))
		return;
	ret_detail->there = true;
	reason = strstr(text, DETAIL_REASON);
	if (reason) {
		copy(ret_detail->reason, sizeof(ret_detail->reason),
		     reason + strlen(DETAIL_REASON));
		*reason = '\0';
	}
	for (char *word = strtok_r(text, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
		char *equals = strchr(word, '=');

		if (!equals)
			continue;
		*equals = '\0';
		take(ret_detail, word, equals + 1);
	}
}
