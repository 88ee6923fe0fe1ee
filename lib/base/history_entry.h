/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * One entry below /history, a flat JSON object:
 *   {"time":"2026-01-31T12:05:00.250Z","to":"a","from":"b","reason":"...","takeover_us":12345}
 * Pure.
 */

#include "keys.h"
#include "wall.h"

#define HISTORY_ENTRY_SIZE KEY_VALUE_MAX

struct history_entry {
	char time[WALL_TEXT_SIZE];
	char to[NAME_SIZE], from[NAME_SIZE];
	char reason[160];
	int64_t takeover_us; /* -1: not known */
};

/* The texts must need no escapes. takeover_us -1 is left out. False: too long. */
bool history_entry_format(const struct history_entry *entry, char *text, size_t size);
