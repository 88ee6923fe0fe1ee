/* SPDX-License-Identifier: Apache-2.0 */

/* The status page: what a reader believes, and what a writer survives. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "status/internal.h"

#define S INT64_C(1000000)

static char directory[64], path[PATH_MAX];

static struct status_page *open_page(const char *node)
{
	struct status_page *page;
	int error = 1;

	page = status_page_open(path, node, "/r", &error);
	assert_non_null(page);
	assert_int_equal(error, 0);
	return page;
}

static int read_page(struct status *ret, int64_t *ret_now_us)
{
	struct status_clock clock;

	assert_int_equal(status_clock_read(&clock), 0);
	return status_read(path, &clock, ret, ret_now_us);
}

static int setup(void **state)
{
	strcpy(directory, "/tmp/status.XXXXXX");
	if (!mkdtemp(directory))
		return -1;
	return status_path(directory, "/run/primaryd-x/", path);
}

static int teardown(void **state)
{
	(void)unlink(path);
	return rmdir(directory);
}

static void put(size_t offset, const void *bytes, size_t size)
{
	int fd = open(path, O_WRONLY);

	assert_int_equal(pwrite(fd, bytes, size, (off_t)offset), size);
	close(fd);
}

static void test_life(void **state)
{
	struct status_page *page;
	struct status s, seen;
	struct stat st;
	int64_t now_us;

	assert_int_equal(strcmp(strrchr(path, '/'), "/primaryd-x"), 0);
	assert_int_equal(read_page(&seen, &now_us), -ENOENT);
	(void)umask(0077);
	page = open_page("n1");
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0644);
	assert_int_equal(read_page(&seen, &now_us), STATUS_OK);
	assert_int_equal(status_primary_left_us(&seen, now_us), 0);

	s = *status_page_get(page);
	s.primary_until_us = time_boot_us() + 5 * S;
	s.lease_end_us = s.primary_until_us + S;
	s.counters[STATUS_CLAIMS] = 7;
	status_page_write(page, &s);
	assert_int_equal(read_page(&seen, &now_us), STATUS_OK);
	assert_memory_equal(&seen, &s, sizeof(s));
	assert_in_range(status_primary_left_us(&seen, now_us), 4 * S, 5 * S);
	/* The clock alone ends it, whatever became of the daemon. */
	assert_int_equal(status_primary_left_us(&seen, s.primary_until_us), 0);

	/* The next process goes on with it: role, counters. One of another name begins anew. */
	page = status_page_close(page);
	page = open_page("n1");
	assert_memory_equal(status_page_get(page), &s, sizeof(s));
	status_page_withdraw(page);
	assert_int_equal(read_page(&seen, &now_us), STATUS_OK);
	assert_int_equal(status_primary_left_us(&seen, now_us), 0);
	assert_int_equal(seen.counters[STATUS_CLAIMS], 7);
	status_page_turn(page, now_us);
	page = status_page_close(page);
	page = open_page("n2");
	assert_int_equal(status_page_get(page)->counters[STATUS_CLAIMS], 0);
	page = status_page_close(page);
}

static void test_not_believed(void **state)
{
	static const struct {
		size_t offset, size;
		const char *bytes;
		int result;
	} changes[] = {
		{ 0, 1, "P", STATUS_FOREIGN },
		{ offsetof(struct status_record, format), 1, "\x7f", STATUS_FOREIGN },
		{ offsetof(struct status_record, size), 1, "\1", STATUS_FOREIGN },
		{ offsetof(struct status_record, sequence), 1, "\x5", STATUS_TORN },
		{ offsetof(struct status_record, clock.boot_id), 1, "x", STATUS_OLD_BOOT },
		{ offsetof(struct status_record, clock.time_namespace), 8, "timetime",
		  STATUS_OTHER_CLOCK },
		{ offsetof(struct status_record, status.primary_until_us), 8, "\0\0\0\0\0\0\0\x7f",
		  STATUS_FOREIGN },
		{ offsetof(struct status_record, status.node), 1, "\n", STATUS_FOREIGN },
		{ offsetof(struct status_record, status.connected), 1, "\2", STATUS_FOREIGN },
		{ offsetof(struct status_record, status.reason), 1, "\xff", STATUS_FOREIGN },
	};
	struct status_page *page;
	struct status seen;
	int64_t now_us;

	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		page = open_page("n1"); /* repairs what the last one did */
		assert_int_equal(read_page(&seen, &now_us), STATUS_OK);
		put(changes[i].offset, changes[i].bytes, changes[i].size);
		assert_int_equal(read_page(&seen, &now_us), changes[i].result);
		page = status_page_close(page);
		if (changes[i].result == STATUS_TORN) {
			/* Its writer died in the middle: the next write makes it whole. */
			page = open_page("n1");
			assert_int_equal(read_page(&seen, &now_us), STATUS_TORN);
			status_page_withdraw(page);
			assert_int_equal(read_page(&seen, &now_us), STATUS_OK);
			page = status_page_close(page);
		}
	}
}

static void test_cut(void **state)
{
	struct status_page *page = open_page("n1");
	struct status seen;
	int64_t now_us;

	assert_int_equal(truncate(path, 0), 0);
	assert_int_equal(read_page(&seen, &now_us), STATUS_FOREIGN);
	status_page_withdraw(page); /* a write to what is not there any more */
	status_page_turn(page, S);
	assert_int_equal(status_page_get(page)->turned_us, S);
	page = status_page_close(page);
	page = open_page("n1");
	assert_int_equal(read_page(&seen, &now_us), STATUS_OK);
	page = status_page_close(page);
}

static void test_nowhere(void **state)
{
	int error = 0;
	struct status_page *page = status_page_open("/proc/no/such/page", "n1", "/", &error);

	assert_int_equal(error, -ENOENT);
	status_page_withdraw(page);
	page = status_page_close(page);
}

/* Beside a writer that never rests, what is read is whole or refused. */
static void test_race(void **state)
{
	struct status_page *page = open_page("n1");
	pid_t pid = fork();
	unsigned whole = 0;

	if (pid == 0) {
		struct status s = *status_page_get(page);

		for (;;) {
			s.lease_end_us++;
			s.epoch = s.since_us = s.penalty_until_us = s.lease_end_us;
			s.takeover.sum_us = s.renewal.sum_us = s.lease_end_us;
			status_page_write(page, &s);
		}
	}
	for (int i = 0; i < 4000; i++) {
		struct status s;
		int64_t now_us;
		int r = read_page(&s, &now_us);

		assert_true(r == STATUS_OK || r == STATUS_TORN);
		if (r != STATUS_OK)
			continue;
		whole++;
		assert_true(s.epoch == s.lease_end_us && s.renewal.sum_us == s.lease_end_us);
	}
	assert_true(whole > 0);
	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, NULL, 0);
	page = status_page_close(page);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_life, setup, teardown),
		cmocka_unit_test_setup_teardown(test_not_believed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cut, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nowhere, setup, teardown),
		cmocka_unit_test_setup_teardown(test_race, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
