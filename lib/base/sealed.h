/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Small text files that one process writes and a later one reads: a line with the version, KEY=VALUE lines in a fixed
 * order, and a checksum over all that. A file that differs from what is written in any way is damaged. Pure.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SEALED_SIZE 32 /* of the line with the checksum */

/* Adds the checksum to a text of `length` bytes, for which there must be room. Returns the new length. */
size_t sealed_close(char *text, size_t length);

/*
 * Checks it, cuts it off, and returns the first line behind that of the version; NULL: it is not whole, or of another
 * version. text: of size > length; is written to.
 */
char *sealed_open(char *text, size_t length, const char *version);

/*
 * Each reads the next line, which must have this key: false if it has not, or if its value is not valid. characters:
 * those that a text may have; NULL: any.
 */
bool sealed_text(char **cursor, const char *key, const char *characters, char *ret, size_t size);
bool sealed_number(char **cursor, const char *key, int64_t least, int64_t most, int64_t *ret);
bool sealed_hex(char **cursor, const char *key, uint64_t *ret); /* 16 digits */

/* Digits, with a minus sign if `least` is negative. NULL: false. */
bool sealed_parse_number(const char *text, int64_t least, int64_t most, int64_t *ret);
