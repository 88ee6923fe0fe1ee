/* SPDX-License-Identifier: Apache-2.0 */
#include "zkh_path.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "zkh_result.h"

/*
 * Length of the UTF-8 sequence at text if ZooKeeper takes that character, else 0. Stops at a NUL.
 */
static size_t path_character(const unsigned char *text)
{
	uint32_t code;
	size_t length;

	if (text[0] < 0x80)
		return text[0] >= 0x20 && text[0] != 0x7f ? 1 : 0;
	if (text[0] >= 0xc2 && text[0] <= 0xdf) {
		length = 2;
		code = text[0] & 0x1fu;
	} else if ((text[0] & 0xf0) == 0xe0) {
		length = 3;
		code = text[0] & 0x0fu;
	} else if (text[0] >= 0xf0 && text[0] <= 0xf4) {
		length = 4;
		code = text[0] & 0x07u;
	} else {
		return 0;
	}
	for (size_t i = 1; i < length; i++) {
		if ((text[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (text[i] & 0x3fu);
	}
	if ((length == 3 && code < 0x800) || (length == 4 && (code < 0x10000 || code > 0x10ffff)))
		return 0;
	/*
	 * Controls, surrogates, private use and the noncharacters at the end: the server refuses
	 * them, and Java's char has no more than 16 bits, so that a pair of surrogates is refused
	 * as well.
	 */
	if (code < 0xa0 || (code >= 0xd800 && code <= 0xf8ff) || (code >= 0xfff0))
		return 0;
	return length;
}

bool zkh_path_valid(const char *path)
{
	const char *part, *end;
	size_t step, length;

	if (path[0] != '/' || strnlen(path, ZKH_PATH_MAX) == ZKH_PATH_MAX)
		return false;
	if (path[1] == '\0')
		return true;
	for (part = path; *part != '\0'; part = end) {
		part++;
		for (end = part; *end != '\0' && *end != '/'; end += step) {
			step = path_character((const unsigned char *)end);
			if (step == 0)
				return false;
		}
		length = (size_t)(end - part);
		if (length == 0 || (length == 1 && part[0] == '.') ||
		    (length == 2 && part[0] == '.' && part[1] == '.'))
			return false;
	}
	return true;
}

bool zkh_name_valid(const char *name)
{
	static const char allowed[] =
		"._-ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
	size_t length = strspn(name, allowed);

	return length > 0 && length <= ZKH_NAME_MAX && name[length] == '\0' &&
	       strchr(allowed + 3, name[0]) != NULL;
}

int zkh_path_join(const char *parent, const char *rest, char *ret_path)
{
	char joined[ZKH_PATH_MAX];
	size_t parent_length = strnlen(parent, ZKH_PATH_MAX);
	size_t rest_length = strnlen(rest, ZKH_PATH_MAX);

	if (parent_length == 1)
		parent_length = 0; /* "/": the slash between comes anyway */
	if (rest_length == 0 || parent_length + 1 + rest_length >= ZKH_PATH_MAX)
		return ZKH_INVALID;
	memcpy(joined, parent, parent_length);
	joined[parent_length] = '/';
	memcpy(joined + parent_length + 1, rest, rest_length + 1);
	if (!zkh_path_valid(joined))
		return ZKH_INVALID;
	memcpy(ret_path, joined, parent_length + rest_length + 2);
	return 0;
}

void zkh_path_parent(const char *path, char *ret_path)
{
	const char *slash = strrchr(path, '/');
	size_t length;

	assert(slash != NULL && path[1] != '\0');
	length = slash == path ? 1 : (size_t)(slash - path);
	assert(length < ZKH_PATH_MAX);
	memmove(ret_path, path, length);
	ret_path[length] = '\0';
}

const char *zkh_path_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash == NULL ? path : slash + 1;
}

bool zkh_path_is_below(const char *path, const char *ancestor)
{
	size_t length = strlen(ancestor);

	if (length == 1)
		return path[0] == '/';
	return strncmp(path, ancestor, length) == 0 &&
	       (path[length] == '\0' || path[length] == '/');
}
