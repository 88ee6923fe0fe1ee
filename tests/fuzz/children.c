/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"

#include "zk/lock/zkh_lock_name.h"
#include "zk/zkh_path.h"

#define NAMES_MAX 16

/* Names of children: the first is our own lock node, the rest whatever others made. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *names[NAMES_MAX], *block, path[ZKH_PATH_MAX];
	size_t n = fuzz_words(data, size, names, NAMES_MAX, &block);
	struct zkh_lock_name own, other;
	size_t predecessor = SIZE_MAX;

	for (size_t i = 0; i < n; i++) {
		if (zkh_name_valid(names[i]))
			PROMISE(strlen(names[i]) <= ZKH_NAME_MAX);
		if (zkh_path_join("/primary_node", names[i], path) == 0) {
			PROMISE(zkh_path_valid(path));
			PROMISE(zkh_path_is_below(path, "/primary_node"));
		}
	}
	for (int kind = ZKH_LOCK_EXCLUSIVE; kind <= ZKH_LOCK_READ; kind++) {
		enum zkh_lock_place place = zkh_lock_name_place((enum zkh_lock_kind)kind, names[0],
								(const char *const *)names, n,
								&predecessor);

		if (place != ZKH_LOCK_PLACE_BEHIND)
			continue;
		PROMISE(predecessor < n);
		PROMISE(zkh_lock_name_parse(names[0], &own));
		PROMISE(zkh_lock_name_parse(names[predecessor], &other));
		PROMISE(zkh_lock_name_before(other.sequence, own.sequence));
		PROMISE(zkh_lock_name_blocks((enum zkh_lock_kind)kind, other.reader));
	}
	if (*names[0])
		PROMISE(zkh_lock_name_find((const char *const *)names, n, names[0]) < n);
	free(block);
	return 0;
}
