/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the pure cores, the election and the keeper, are both made with. */

#include <stddef.h>
#include <stdint.h>

/* The next deadline after now_us: the earlier of the two. 0: none. */
static inline int64_t soonest_us(int64_t next_us, int64_t candidate_us, int64_t now_us)
{
	if (candidate_us <= now_us)
		return next_us;
	return !next_us || candidate_us < next_us ? candidate_us : next_us;
}

/* The texts of an enum whose X-macro lists them; looked up by any number. */
#define TEXT_TABLE(name, list) static const char *const name[] = { list }
#define LOOK_UP(table, index)                                                                      \
	((size_t)(index) < sizeof(table) / sizeof((table)[0]) ? (table)[index] : "?")
