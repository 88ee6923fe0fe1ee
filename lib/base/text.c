/* SPDX-License-Identifier: Apache-2.0 */
#include "text.h"

#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Length of the UTF-8 character at data, 0: none, or a control character. */
static size_t character(const char *data, size_t length)
{
	unsigned char first = (unsigned char)*data;
	size_t n = first < 0x80 ? 1 : first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
	uint32_t code = n == 1 ? first : first & (0x7fu >> n);
	static const uint32_t least[] = { 0, 0x20, 0xa0, 0x800, 0x10000 };

	if (first == 0x7f || first >= 0xf8 || (first >= 0x80 && first < 0xc2) || n > length)
		return 0;
	for (size_t i = 1; i < n; i++) {
		if (((unsigned char)data[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | ((unsigned char)data[i] & 0x3f);
	}
	if (code < least[n] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
		return 0;
	/* What turns the direction of a terminal's text around. */
	if ((code >= 0x200e && code <= 0x200f) || (code >= 0x2028 && code <= 0x202e) ||
	    (code >= 0x2066 && code <= 0x2069))
		return 0;
	return n;
}

bool text_is_plain(const char *data, size_t length)
{
	while (length) {
		size_t n = *data == '\n' || *data == '\t' ? 1 : character(data, length);

		if (!n)
			return false;
		data += n;
		length -= n;
	}
	return true;
}

static size_t escape_byte(unsigned char byte, char out[5])
{
	static const char from[] = "\n\t\r\\";
	static const char to[] = "ntr\\";
	const char *found = byte ? strchr(from, byte) : NULL;

	if (found)
		return (size_t)snprintf(out, 5, "\\%c", to[found - from]);
	return (size_t)snprintf(out, 5, "\\x%02x", byte);
}

/* The next piece of what is shown; ret_taken: how many bytes of data it stands for. */
static const char *next_piece(const char *data, size_t length, char escaped[5], size_t *ret_taken,
			      size_t *ret_n)
{
	size_t n = *data == '\\' ? 0 : character(data, length);

	*ret_taken = n ? n : 1;
	*ret_n = n ? n : escape_byte((unsigned char)*data, escaped);
	return n ? data : escaped;
}

static char *escape(const char *data, size_t length, char *out, size_t size)
{
	size_t taken, n, at = 0;
	size_t safe = 0; /* up to here there is still room for the dots */
	char escaped[5];

	assert(size >= TEXT_ESCAPE_LEAST);
	for (size_t i = 0; i < length; i += taken) {
		const char *piece = next_piece(data + i, length - i, escaped, &taken, &n);

		if (at + n + 1 > size) {
			(void)strcpy(out + safe, "...");
			return out;
		}
		memcpy(out + at, piece, n);
		at += n;
		if (at + 4 <= size)
			safe = at;
	}
	out[at] = '\0';
	return out;
}

char *text_escape(const char *data, size_t length, size_t most)
{
	size_t size = (4 * length < most ? 4 * length : most) + TEXT_ESCAPE_LEAST;
	char *text = malloc(size);

	return text ? escape(data, length, text, size) : NULL;
}

char *text_escape_into(const char *text, char *out, size_t size)
{
	return escape(text, strlen(text), out, size);
}

char *text_base64(const char *data, size_t length)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	char *text = malloc((length + 2) / 3 * 4 + 1), *to = text;

	if (!text)
		return NULL;
	for (size_t i = 0; i < length; i += 3) {
		uint32_t three = (uint32_t)(unsigned char)data[i] << 16;

		if (i + 1 < length)
			three |= (uint32_t)(unsigned char)data[i + 1] << 8;
		if (i + 2 < length)
			three |= (unsigned char)data[i + 2];
		*to++ = digits[three >> 18];
		*to++ = digits[three >> 12 & 63];
		*to++ = i + 1 < length ? digits[three >> 6 & 63] : '=';
		*to++ = i + 2 < length ? digits[three & 63] : '=';
	}
	*to = '\0';
	return text;
}
