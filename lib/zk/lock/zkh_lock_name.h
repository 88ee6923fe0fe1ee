/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Names of lock nodes and the order among them. Pure: no allocation, no I/O, no session.
 *
 * A lock node is called `<32 hex>__lock__<sequence>` or `<32 hex>__rlock__<sequence>`. Only the end counts for
 * being a contender (marker and ten digits, whatever stands before), as in kazoo; any other name is junk.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "zkh_lock.h"

#define ZKH_LOCK_RANDOM_SIZE 16u /* bytes of randomness in a prefix */
#define ZKH_LOCK_PREFIX_SIZE 48u /* bytes of a prefix (32 hex and the marker), its NUL included */
#define ZKH_LOCK_SEQUENCE_LENGTH 11u /* most characters that the server appends */

struct zkh_lock_name {
	bool reader; /* __rlock__ */
	int32_t sequence;
};

/* The name that is asked for: random bytes in hex and the marker of the kind. */
void zkh_lock_name_make(enum zkh_lock_kind kind, const uint8_t random[ZKH_LOCK_RANDOM_SIZE],
			char ret_prefix[ZKH_LOCK_PREFIX_SIZE]);

/* False, output untouched, for a name that no lock made. */
bool zkh_lock_name_parse(const char *name, struct zkh_lock_name *ret_name);

/* Whether sequence a was given out before b: right across a wrap of the 32-bit counter. */
bool zkh_lock_name_before(int32_t a, int32_t b);

/* Whether a lock of this kind waits for a lower node with (reader) or without the reader's marker. */
bool zkh_lock_name_blocks(enum zkh_lock_kind kind, bool reader);

/* Index of the name that begins with prefix, or count. */
size_t zkh_lock_name_find(const char *const *names, size_t count, const char *prefix);

/* Where the node called own stands among the children of the lock's key. */
enum zkh_lock_place {
	ZKH_LOCK_PLACE_FIRST, /* nothing to wait for */
	ZKH_LOCK_PLACE_BEHIND, /* *ret_predecessor: index of the highest lower node that it waits for */
	ZKH_LOCK_PLACE_GONE, /* own is not among them, or no lock node's name */
};
enum zkh_lock_place zkh_lock_name_place(enum zkh_lock_kind kind, const char *own,
					const char *const *names, size_t count,
					size_t *ret_predecessor);
