/* SPDX-License-Identifier: Apache-2.0 */
#include "sealed.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fnv.h"

static void format_sum(const char *text, size_t length, char ret_line[SEALED_SIZE])
{
	(void)snprintf(ret_line, SEALED_SIZE, "sum=%016" PRIx64 "\n",
		       fnv_add(FNV_START, text, length));
}

size_t sealed_close(char *text, size_t length)
{
	format_sum(text, length, text + length);
	return length + strlen(text + length);
}

char *sealed_open(char *text, size_t length, const char *version)
{
	char line[SEALED_SIZE];
	size_t n_line, n_version = strlen(version);

	format_sum(text, 0, line);
	n_line = strlen(line);
	if (length < n_line || memchr(text, '\0', length))
		return NULL;
	length -= n_line;
	format_sum(text, length, line);
	if (memcmp(text + length, line, n_line) != 0)
		return NULL;
	text[length] = '\0';
	if (strncmp(text, version, n_version) != 0 || text[n_version] != '\n')
		return NULL;
	return text + n_version + 1;
}

static const char *next_value(char **cursor, const char *key)
{
	char *line = *cursor, *end = strchr(line, '\n');
	size_t n = strlen(key);

	if (!end || strncmp(line, key, n) != 0 || line[n] != '=')
		return NULL;
	*end = '\0';
	*cursor = end + 1;
	return line + n + 1;
}

bool sealed_text(char **cursor, const char *key, const char *characters, char *ret, size_t size)
{
	const char *text = next_value(cursor, key);
	size_t n = text ? strlen(text) : 0;

	if (n == 0 || n >= size || (characters && strspn(text, characters) != n))
		return false;
	memcpy(ret, text, n + 1);
	return true;
}

bool sealed_parse_number(const char *text, int64_t least, int64_t most, int64_t *ret)
{
	const char *digits = text && least < 0 && *text == '-' ? text + 1 : text;
	long long value;

	/* Nothing that strtoll() would take beside digits. */
	if (!digits || !*digits || strlen(digits) > 19 ||
	    strspn(digits, "0123456789") != strlen(digits))
		return false;
	errno = 0;
	value = strtoll(text, NULL, 10);
	if (errno || value < least || value > most)
		return false;
	*ret = value;
	return true;
}

bool sealed_number(char **cursor, const char *key, int64_t least, int64_t most, int64_t *ret)
{
	return sealed_parse_number(next_value(cursor, key), least, most, ret);
}

bool sealed_hex(char **cursor, const char *key, uint64_t *ret)
{
	const char *text = next_value(cursor, key);

	if (!text || strlen(text) != 16 || strspn(text, "0123456789abcdef") != 16)
		return false;
	*ret = strtoull(text, NULL, 16);
	return true;
}
