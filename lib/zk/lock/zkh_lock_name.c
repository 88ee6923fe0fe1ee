/* SPDX-License-Identifier: Apache-2.0 */
#include "zkh_lock_name.h"

#include <assert.h>
#include <string.h>

static const char marker_lock[] = "__lock__";
static const char marker_reader[] = "__rlock__";

_Static_assert(2 * ZKH_LOCK_RANDOM_SIZE + sizeof(marker_reader) <= ZKH_LOCK_PREFIX_SIZE,
	       "a prefix holds the hex digits and the longest marker");

void zkh_lock_name_make(enum zkh_lock_kind kind, const uint8_t random[ZKH_LOCK_RANDOM_SIZE],
			char ret_prefix[ZKH_LOCK_PREFIX_SIZE])
{
	static const char digits[] = "0123456789abcdef";
	size_t i;

	for (i = 0; i < ZKH_LOCK_RANDOM_SIZE; i++) {
		ret_prefix[2 * i] = digits[random[i] >> 4];
		ret_prefix[2 * i + 1] = digits[random[i] & 15];
	}
	strcpy(ret_prefix + 2 * i, kind == ZKH_LOCK_READ ? marker_reader : marker_lock);
}

/* Length of the sequence number at the end: ten characters, or one more with a sign; 0 when there is none. */
static size_t sequence_length(const char *name, size_t length)
{
	size_t digits = 0;
	bool negative;

	while (digits < length && digits < 10 && name[length - digits - 1] >= '0' &&
	       name[length - digits - 1] <= '9')
		digits++;
	negative = digits < length && name[length - digits - 1] == '-';
	if (negative && digits >= 9)
		return digits + 1;
	return digits == 10 ? digits : 0;
}

static bool ends_with(const char *name, size_t length, const char *end, size_t end_length)
{
	return length >= end_length && memcmp(name + length - end_length, end, end_length) == 0;
}

bool zkh_lock_name_parse(const char *name, struct zkh_lock_name *ret_name)
{
	size_t length = strlen(name);
	size_t tail = sequence_length(name, length);
	size_t head = length - tail;
	int64_t value = 0;
	bool negative, reader;
	size_t i;

	if (tail == 0)
		return false;
	reader = ends_with(name, head, marker_reader, sizeof(marker_reader) - 1);
	if (!reader && !ends_with(name, head, marker_lock, sizeof(marker_lock) - 1))
		return false;

	negative = name[head] == '-';
	for (i = head + (negative ? 1 : 0); i < length; i++)
		value = value * 10 + (name[i] - '0');
	if (negative)
		value = -value;
	if (value < INT32_MIN || value > INT32_MAX)
		return false;

	*ret_name = (struct zkh_lock_name){ .reader = reader, .sequence = (int32_t)value };
	return true;
}

bool zkh_lock_name_before(int32_t a, int32_t b)
{
	return (int32_t)((uint32_t)a - (uint32_t)b) < 0;
}

bool zkh_lock_name_blocks(enum zkh_lock_kind kind, bool reader)
{
	return !reader || kind == ZKH_LOCK_WRITE;
}

size_t zkh_lock_name_find(const char *const *names, size_t count, const char *prefix)
{
	size_t length = strlen(prefix);
	size_t i;

	assert(length > 0);
	for (i = 0; i < count; i++)
		if (strncmp(names[i], prefix, length) == 0)
			return i;
	return count;
}

enum zkh_lock_place zkh_lock_name_place(enum zkh_lock_kind kind, const char *own,
					const char *const *names, size_t count,
					size_t *ret_predecessor)
{
	struct zkh_lock_name self, other, best = { 0 };
	size_t predecessor = count;
	bool found = false;
	size_t i;

	if (!zkh_lock_name_parse(own, &self))
		return ZKH_LOCK_PLACE_GONE;

	for (i = 0; i < count; i++) {
		if (strcmp(names[i], own) == 0)
			found = true;
		else if (zkh_lock_name_parse(names[i], &other) &&
			 zkh_lock_name_blocks(kind, other.reader) &&
			 zkh_lock_name_before(other.sequence, self.sequence) &&
			 (predecessor == count ||
			  zkh_lock_name_before(best.sequence, other.sequence))) {
			best = other;
			predecessor = i;
		}
	}
	if (!found)
		return ZKH_LOCK_PLACE_GONE;
	if (predecessor == count)
		return ZKH_LOCK_PLACE_FIRST;
	*ret_predecessor = predecessor;
	return ZKH_LOCK_PLACE_BEHIND;
}
