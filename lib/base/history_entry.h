/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * One entry below /history, a flat JSON object:
 *   {"time":"2026-01-31T12:05:00.250Z","to":"a","from":"b","reason":"...","takeover_us":12345,"post_us":1234}
 * The spans are added when the work runs. Pure.
 */

#include "keys.h"
#include "wall.h"

#define HISTORY_ENTRY_SIZE KEY_VALUE_MAX

/* X(member): how long something lasted, in microseconds */
#define HISTORY_SPANS(X)                                                                           \
	X(takeover_us) /* from the claim until the work ran */                                     \
	X(post_us)     /* from the claim until the post was taken */                               \
	X(start_us)    /* the start of the work, at the end of the takeover */                     \
	X(stop_us)     /* the stop of the work before, until the post was released */              \
	X(silent_us)   /* from the last renewal of a primary that died until the claim */          \
	X(lease_us)    /* the lease of that renewal */

struct history_entry {
	char time[WALL_TEXT_SIZE];
	char to[NAME_SIZE], from[NAME_SIZE];
	char reason[160];
#define X(member) int64_t member; /* -1: not known */
	HISTORY_SPANS(X)
#undef X
};

/* One in which nothing is known yet. */
struct history_entry history_entry_empty(void);

/* The texts must need no escapes. Spans of -1 are left out. False: too long. */
bool history_entry_format(const struct history_entry *entry, char *text, size_t size);
