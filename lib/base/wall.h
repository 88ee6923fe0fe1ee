/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Times of day as text, for people (local time) and for programs (UTC). Milliseconds since 1970. */

#include <stdint.h>

#define WALL_TEXT_SIZE 48

int64_t wall_now_ms(void);

/* "2026-01-31 13:05:00.250"; returns text. */
char *wall_local(int64_t ms, char text[WALL_TEXT_SIZE]);

/* "2026-01-31T13:05:00.250+0100", for logs; returns text. */
char *wall_zoned(int64_t ms, char text[WALL_TEXT_SIZE]);

/* "2026-01-31T12:05:00.250Z"; returns text. */
char *wall_utc(int64_t ms, char text[WALL_TEXT_SIZE]);

/* The other way; 0: not such a time. */
int64_t wall_parse_utc(const char *text);

/* How long ago, in its two largest units: "2 min 5 s", "3 d 4 h". Returns text. */
char *wall_age(int64_t ms, char text[WALL_TEXT_SIZE]);

/* A time to wait or waited, to the tenth of a second: "3.2 s". Returns text. */
char *wall_tenths(int64_t us, char text[WALL_TEXT_SIZE]);

/* A short time as it was measured: "12 ms", "1.234 s". Returns text. */
char *wall_span(int64_t us, char text[WALL_TEXT_SIZE]);
