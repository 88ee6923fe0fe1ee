/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Values of keys as they can be shown without harm. Pure. */

#include <stdbool.h>
#include <stddef.h>

/* Valid UTF-8 without control characters other than newline and tab. */
bool text_is_plain(const char *data, size_t length);

/* Printable ASCII and UTF-8 as they are, the rest as \n, \t, \\ or \xHH; after `most` bytes "...". To be freed. */
char *text_escape(const char *data, size_t length, size_t most);

/* To be freed. */
char *text_base64(const char *data, size_t length);
