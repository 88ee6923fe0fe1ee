/* SPDX-License-Identifier: Apache-2.0 */
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"

#define READS_MAX 3

/* Beyond it additions might overflow: about 146,000 years. */
#define TIME_LIMIT (INT64_C(1) << 62)

int status_path(const char *directory, const char *runtime_directory, char *ret_path)
{
	return file_instance_path(directory, runtime_directory, "", ret_path);
}

int status_clock_read(struct status_clock *ret_clock)
{
	const char *told = getenv(STATUS_BOOT_VARIABLE);
	char text[BOOT_ID_SIZE], *to = ret_clock->boot_id;
	struct stat st;
	int r;

	memset(ret_clock, 0, sizeof(*ret_clock));
	if (stat("/proc/self/ns/time", &st) == 0)
		ret_clock->time_namespace = st.st_ino;
	if (told && strlen(told) == 32 && strspn(told, "0123456789abcdef") == 32) {
		strcpy(to, told);
		return 0;
	}
	r = boot_id_read(text);
	for (const char *from = text; r == 0 && *from; from++)
		if (*from != '-')
			*to++ = *from;
	return r;
}

/* -- what the bytes say -- */

/* Printed as it is: no control characters. */
static bool is_text(const char *text, size_t size)
{
	size_t length = strnlen(text, size);

	for (size_t i = 0; i < length; i++)
		if ((unsigned char)text[i] < ' ' || text[i] == 0x7f)
			return false;
	return length < size;
}

static bool are_numbers(const int64_t *list, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (list[i] < 0 || list[i] >= TIME_LIMIT)
			return false;
	return true;
}

static bool has_magic(const struct status_record *record)
{
	return memcmp(record->magic, STATUS_MAGIC, sizeof(record->magic)) == 0;
}

/* All numbers of the struct stand before its texts. */
#define NUMBERS (offsetof(struct status, node) / sizeof(int64_t))

static bool is_valid(const struct status *s)
{
	uint8_t flags = s->coordinator | s->connected | s->registered | s->healthy | s->drained |
			s->maintenance | s->guarded;

#define TEXT_IS_FINE(member) is_text(s->member, sizeof(s->member))
	return are_numbers(&s->primary_until_us, NUMBERS) && flags <= 1 &&
	       s->reason < REASON_COUNT && s->primary_until_us <= s->lease_end_us &&
	       TEXT_IS_FINE(node) && TEXT_IS_FINE(primary) && TEXT_IS_FINE(cluster) &&
	       TEXT_IS_FINE(version) && TEXT_IS_FINE(state) && TEXT_IS_FINE(root);
#undef TEXT_IS_FINE
}

int status_parse(const void *bytes, size_t size, const struct status_clock *clock,
		 struct status *ret_status)
{
	struct status_record record;

	if (size != STATUS_PAGE_SIZE)
		return STATUS_FOREIGN;
	memcpy(&record, bytes, sizeof(record));
	if (!has_magic(&record) || record.format != STATUS_FORMAT ||
	    record.size != sizeof(record.status) || !is_valid(&record.status))
		return STATUS_FOREIGN;
	if (memcmp(record.clock.boot_id, clock->boot_id, sizeof(clock->boot_id)) != 0)
		return STATUS_OLD_BOOT;
	if (record.clock.time_namespace != clock->time_namespace)
		return STATUS_OTHER_CLOCK;
	*ret_status = record.status;
	return STATUS_OK;
}

/* -- the file -- */

/* Whole if no write was under way before it, and none had begun after it. */
static int read_page(int fd, void *page)
{
	const struct status_record *record = page;
	uint64_t after;
	int tries = 0;

	do {
		ssize_t n = pread(fd, page, STATUS_PAGE_SIZE, 0);

		if (n < 0)
			return -errno;
		atomic_thread_fence(memory_order_seq_cst);
		if (n != STATUS_PAGE_SIZE || !has_magic(record) ||
		    pread(fd, &after, sizeof(after), offsetof(struct status_record, sequence)) !=
			    (ssize_t)sizeof(after))
			return STATUS_FOREIGN;
		if (record->sequence % 2 == 0 && record->sequence == after)
			return STATUS_OK;
	} while (++tries < READS_MAX);
	return STATUS_TORN;
}

int status_read(const char *path, const struct status_clock *clock, struct status *ret_status,
		int64_t *ret_now_us)
{
	uint64_t page[STATUS_PAGE_SIZE / sizeof(uint64_t)];
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	int r;

	if (fd < 0)
		return errno == ELOOP ? STATUS_FOREIGN : -errno;
	r = read_page(fd, page);
	(void)close(fd);
	/* A reader that is held up here finds that more of the lease is gone. */
	*ret_now_us = time_boot_us();
	return r == STATUS_OK ? status_parse(page, sizeof(page), clock, ret_status) : r;
}

/* -- what it means -- */

const char *status_result_text(int result)
{
	switch (result) {
#define X(name, text)                                                                              \
	case STATUS_##name:                                                                        \
		return text;
		STATUS_RESULTS(X)
#undef X
	case -ENOENT:
		return "there is none: no daemon has run here since the boot";
	default:
		return strerror(result < 0 ? -result : EIO);
	}
}

int64_t status_left_us(int64_t until_us, int64_t now_us)
{
	return until_us > now_us ? until_us - now_us : 0;
}

int64_t status_primary_left_us(const struct status *status, int64_t now_us)
{
	return status_left_us(status->primary_until_us, now_us);
}

bool status_is_fresh(const struct status *status, int64_t now_us)
{
	return now_us - status->turned_us <= status->turns_us;
}
