/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Texts of strangers as they can be shown and logged without harm. Pure. */

#include <stdbool.h>
#include <stddef.h>

/* Valid UTF-8 without control characters other than newline and tab. */
bool text_is_plain(const char *data, size_t length);

/*
 * Printable ASCII and UTF-8 as they are, the rest as \n, \t, \r, \\ or \xHH; a text of about `most` bytes at most, which
 * ends with "..." if something is left out. To be freed.
 */
char *text_escape(const char *data, size_t length, size_t most);

/* The same into a buffer of `size` bytes. Returns out. */
#define TEXT_ESCAPE_LEAST 8 /* bytes of a buffer */
char *text_escape_into(const char *text, char *out, size_t size);

/* To be freed. */
char *text_base64(const char *data, size_t length);
