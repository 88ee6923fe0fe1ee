/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Durations as people write them: a number, decimals allowed, followed by "ms", "s" or "min".
 * "0" alone needs no unit. In the program a duration is an int64_t of microseconds, never negative.
 *
 * Pure functions: no allocation, no I/O.
 */

#include <stddef.h>
#include <stdint.h>

#define DURATION_US INT64_C(1)
#define DURATION_MS INT64_C(1000)
#define DURATION_S INT64_C(1000000)
#define DURATION_MIN INT64_C(60000000)
#define DURATION_MAX (INT64_C(365) * 24 * 60 * DURATION_MIN) /* a year */
#define DURATION_TEXT_SIZE 32

#define DURATION_ERRORS(X)                                                                         \
	X(DURATION_EMPTY, "is empty")                                                              \
	X(DURATION_NO_NUMBER, "does not start with a number")                                      \
	X(DURATION_NO_UNIT, "has no unit")                                                         \
	X(DURATION_BAD_UNIT, "has an unknown unit")                                                \
	X(DURATION_TOO_FINE, "is more precise than a microsecond")                                 \
	X(DURATION_TOO_LONG, "is longer than a year")

enum duration_error {
	DURATION_OK,
#define X(name, text) name,
	DURATION_ERRORS(X)
#undef X
};

/* Reads all of text. Blanks are allowed only between number and unit. Returns 0 or a duration_error. */
int duration_parse(const char *text, int64_t *ret_us);

/* What is wrong, to follow the text itself: "'5' has no unit". */
const char *duration_error_text(enum duration_error error);

/*
 * The shortest exact text in the largest unit that stays readable: "400ms", "1.5s", "2min", "0".
 * duration_parse() reads it back unchanged. Returns buf. us: 0 to DURATION_MAX.
 */
char *duration_format(int64_t us, char buf[DURATION_TEXT_SIZE]);
