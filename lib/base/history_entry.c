/* SPDX-License-Identifier: Apache-2.0 */
#include "history_entry.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

const struct history_span history_spans[HISTORY_SPAN_COUNT] = {
#define X(member) { #member, offsetof(struct history_entry, member) },
	HISTORY_SPANS(X)
#undef X
};

struct history_entry history_entry_empty(void)
{
#define X(member) .member = -1,
	return (struct history_entry){ HISTORY_SPANS(X) };
#undef X
}

bool history_entry_format(const struct history_entry *e, char *text, size_t size)
{
	int n = snprintf(text, size,
			 "{\"time\":\"%s\",\"to\":\"%s\",\"from\":\"%s\",\"reason\":\"%s\"",
			 e->time, e->to, e->from, e->reason);

	for (int i = 0; i < HISTORY_SPAN_COUNT && n > 0 && (size_t)n < size; i++) {
		int64_t us;

		memcpy(&us, (const char *)e + history_spans[i].offset, sizeof(us));
		if (us >= 0)
			n += snprintf(text + n, size - (size_t)n, ",\"%s\":%" PRId64,
				      history_spans[i].name, us);
	}
	if (n < 0 || (size_t)n + 2 > size)
		return false;
	strcpy(text + n, "}");
	return true;
}
