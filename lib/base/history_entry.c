/* SPDX-License-Identifier: Apache-2.0 */
#include "history_entry.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

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
