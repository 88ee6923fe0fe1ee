/* SPDX-License-Identifier: Apache-2.0 */
#include "history_entry.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct history_entry history_entry_empty(void)
{
#define X(member) .member = -1,
	return (struct history_entry){ HISTORY_SPANS(X) };
#undef X
}

/* Behind the n characters of text. Returns how many there are then; size or more: too long. */
static size_t add_span(char *text, size_t size, size_t n, const char *name, int64_t us)
{
	if (n < size && us >= 0)
		n += (size_t)snprintf(text + n, size - n, ",\"%s\":%" PRId64, name, us);
	return n;
}

bool history_entry_format(const struct history_entry *e, char *text, size_t size)
{
	size_t n =
		(size_t)snprintf(text, size,
				 "{\"time\":\"%s\",\"to\":\"%s\",\"from\":\"%s\",\"reason\":\"%s\"",
				 e->time, e->to, e->from, e->reason);

#define X(member) n = add_span(text, size, n, #member, e->member);
	HISTORY_SPANS(X)
#undef X
	if (n + 2 > size)
		return false;
	strcpy(text + n, "}");
	return true;
}
