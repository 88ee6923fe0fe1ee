/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"

#include "status/internal.h"

/* The status page, as a hostile one: behind a right head (first byte '+'), or all of it. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct status_clock clock = {
		.boot_id = "00000000-0000-4000-8000-000000000000", .time_namespace = 1
	};
	struct status_record *record = calloc(1, STATUS_PAGE_SIZE);
	struct status status = { 0 };
	size_t at = 0;

	PROMISE(record);
	if (size > 0 && data[0] == '+') {
		memcpy(record->magic, STATUS_MAGIC, sizeof(record->magic));
		record->format = STATUS_FORMAT;
		record->size = sizeof(record->status);
		record->clock = clock;
		at = offsetof(struct status_record, status);
	}
	if (size > 0)
		memcpy((char *)record + at, data + 1,
		       size - 1 < STATUS_PAGE_SIZE - at ? size - 1 : STATUS_PAGE_SIZE - at);
	if (status_parse(record, STATUS_PAGE_SIZE, &clock, &status) == STATUS_OK) {
		PROMISE(memchr(status.node, '\0', sizeof(status.node)));
		PROMISE(memchr(status.root, '\0', sizeof(status.root)));
		PROMISE(status.reason < REASON_COUNT && status.healthy <= 1);
		PROMISE(status_primary_left_us(&status, 1) >= 0);
		PROMISE(status_primary_left_us(&status, status.lease_end_us) == 0);
		for (int i = 0; i < STATUS_COUNTER_COUNT; i++)
			PROMISE(status.counters[i] >= 0);
	}
	free(record);
	return 0;
}
