/* SPDX-License-Identifier: Apache-2.0 */
#include "log.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

/* Bytes of the valid UTF-8 character at text that may be shown as it is; 0: escape one byte. */
static size_t plain_character(const unsigned char *text)
{
	static const struct {
		unsigned char lead_min, lead_max, next_min, next_max, n;
	} forms[] = {
		{ 0xc2, 0xc2, 0xa0, 0xbf, 2 }, /* not the control characters 0x80 to 0x9f */
		{ 0xc3, 0xdf, 0x80, 0xbf, 2 }, { 0xe0, 0xe0, 0xa0, 0xbf, 3 },
		{ 0xe1, 0xec, 0x80, 0xbf, 3 }, { 0xed, 0xed, 0x80, 0x9f, 3 }, /* no surrogates */
		{ 0xee, 0xef, 0x80, 0xbf, 3 }, { 0xf0, 0xf0, 0x90, 0xbf, 4 },
		{ 0xf1, 0xf3, 0x80, 0xbf, 4 }, { 0xf4, 0xf4, 0x80, 0x8f, 4 },
	};

	if (text[0] >= ' ' && text[0] < 0x7f)
		return text[0] != '\\';
	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		if (text[0] < forms[i].lead_min || text[0] > forms[i].lead_max)
			continue;
		if (text[1] < forms[i].next_min || text[1] > forms[i].next_max)
			return 0;
		for (size_t j = 2; j < forms[i].n; j++) {
			if (text[j] < 0x80 || text[j] > 0xbf)
				return 0;
		}
		return forms[i].n;
	}
	return 0;
}

static size_t escape_byte(unsigned char byte, char out[5])
{
	static const char from[] = "\n\t\r\\";
	static const char to[] = "ntr\\";
	const char *found = strchr(from, byte);

	if (found != NULL)
		return (size_t)snprintf(out, 5, "\\%c", to[found - from]);
	return (size_t)snprintf(out, 5, "\\x%02x", byte);
}

char *log_escape(const char *text, char *out, size_t n_out)
{
	const unsigned char *p = (const unsigned char *)text;
	size_t n = 0;
	size_t n_safe = 0; /* up to here there is still room for the dots */

	assert(n_out >= 8);
	while (*p != '\0') {
		size_t n_plain = plain_character(p);
		char escaped[5];
		const char *piece = n_plain > 0 ? (const char *)p : escaped;
		size_t n_piece = n_plain > 0 ? n_plain : escape_byte(*p, escaped);

		if (n + n_piece + 1 > n_out) {
			(void)strcpy(out + n_safe, "...");
			return out;
		}
		memcpy(out + n, piece, n_piece);
		n += n_piece;
		if (n + 4 <= n_out)
			n_safe = n;
		p += n_plain > 0 ? n_plain : 1;
	}
	out[n] = '\0';
	return out;
}
