/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"

#include "base/fnv.h"
#include "host/state.h"

#include <errno.h>
#include <inttypes.h>

/* Behind a right checksum, so that what stands before it is looked at. */
static size_t seal(const uint8_t *data, size_t size, uint8_t *ret)
{
	memcpy(ret, data, size);
	return size + (size_t)snprintf((char *)ret + size, 40, "sum=%016" PRIx64 "\n",
				       fnv_add(FNV_START, (const char *)data, size));
}

static void check(const uint8_t *data, size_t size)
{
	const struct state expected = { .node = "n1",
					.cluster = 0x1122334455667788u,
					.boot_id = "00000000-0000-4000-8000-000000000000" };
	char message[STATE_MESSAGE_SIZE] = "";
	struct state state;
	int r = state_load(fuzz_file("state", data, size), &expected, &state, message,
			   sizeof(message));

	PROMISE(r >= 0 || r == -ENOENT);
	PROMISE((r == 0) == (*message == '\0'));
	if (r != 0)
		return;
	PROMISE(!strcmp(state.node, expected.node) && !strcmp(state.boot_id, expected.boot_id));
	PROMISE(state.work <= STATE_WORK_UP && state.epoch >= 0 && state.session_us >= 0);
}

/* The state file; the first byte says whether the rest is sealed. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t sealed[STATE_FILE_MAX + 64];

	if (size == 0 || size > STATE_FILE_MAX)
		return 0;
	if (data[0] == '+')
		check(sealed, seal(data + 1, size - 1, sealed));
	else
		check(data + 1, size - 1);
	return 0;
}
