/* SPDX-License-Identifier: Apache-2.0 */
#include "work/health.h"

#include <ev.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define MS INT64_C(1000)
#define HANG_S 60.0

struct probe {
	struct ev_loop *loop;
	struct health *health;
	ev_timer hang;
	int n_changes;
	bool is_healthy;
	char reason[HEALTH_REASON_SIZE];
	int n_lines;
	int n_groups;
	pid_t group;
	int stop_after_lines;
	bool destroy_in_change;
	char directory[32];
	char script[256];
	const char *argv[6];
};

static struct probe the_probe;

static void on_hang(struct ev_loop *loop, ev_timer *timer, int revents)
{
	fail_msg("hangs");
}

static void on_change(void *userdata, bool is_healthy, const char *reason)
{
	struct probe *probe = userdata;

	probe->n_changes++;
	probe->is_healthy = is_healthy;
	(void)snprintf(probe->reason, sizeof(probe->reason), "%s", reason);
	if (probe->destroy_in_change)
		probe->health = health_destroy(probe->health);
	ev_break(probe->loop, EVBREAK_ALL);
}

static void on_line(void *userdata, const char *line)
{
	struct probe *probe = userdata;

	if (++probe->n_lines == probe->stop_after_lines)
		ev_break(probe->loop, EVBREAK_ALL);
}

/* One at a time: each group is told when it begins, and 0 before the next. */
static void on_group(void *userdata, pid_t group)
{
	struct probe *probe = userdata;

	assert_true((group > 0) == (probe->group == 0));
	assert_true(group == 0 || getpgid(group) == group);
	probe->group = group;
	probe->n_groups++;
}

static int setup(void **state)
{
	struct probe *probe = &the_probe;

	memset(probe, 0, sizeof(*probe));
	probe->loop = ev_default_loop(EVFLAG_AUTO);
	(void)strcpy(probe->directory, "/tmp/test_health.XXXXXX");
	assert_non_null(mkdtemp(probe->directory));
	ev_timer_init(&probe->hang, on_hang, HANG_S, 0.);
	ev_timer_start(probe->loop, &probe->hang);
	ev_unref(probe->loop);
	*state = probe;
	return 0;
}

static void remove_file(struct probe *probe, const char *name)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "%s/%s", probe->directory, name);
	(void)unlink(path);
}

static void touch(struct probe *probe, const char *name)
{
	char path[64];
	FILE *file;

	(void)snprintf(path, sizeof(path), "%s/%s", probe->directory, name);
	file = fopen(path, "w");
	assert_non_null(file);
	assert_int_equal(fclose(file), 0);
}

static int teardown(void **state)
{
	struct probe *probe = *state;

	probe->health = health_destroy(probe->health);
	ev_run(probe->loop, 0);
	ev_ref(probe->loop);
	ev_timer_stop(probe->loop, &probe->hang);
	ev_loop_destroy(probe->loop);
	remove_file(probe, "bad");
	assert_int_equal(rmdir(probe->directory), 0);
	return 0;
}

static void create(struct probe *probe, const char *script, int64_t timeout_us, unsigned failures)
{
	struct health_options options = {
		.interval_us = 1 * MS,
		.timeout_us = timeout_us,
		.failures = failures,
		.on_change = on_change,
		.on_line = on_line,
		.on_group = on_group,
		.userdata = probe,
	};

	(void)snprintf(probe->script, sizeof(probe->script), "%s", script);
	probe->argv[0] = "/bin/sh";
	probe->argv[1] = "-c";
	probe->argv[2] = probe->script;
	probe->argv[3] = probe->directory;
	options.argv = (char *const *)probe->argv;
	assert_int_equal(health_create(probe->loop, &options, &probe->health), 0);
	assert_int_equal(probe->n_changes, 0);
}

static void test_good_says_nothing(void **state)
{
	struct probe *probe = *state;

	probe->stop_after_lines = 5;
	create(probe, "echo run $$", 30000 * MS, 1);
	ev_run(probe->loop, 0);
	assert_int_equal(probe->n_changes, 0);
	assert_true(probe->n_groups >= 8);
}

static void test_fails_after_so_many_and_heals_at_once(void **state)
{
	struct probe *probe = *state;

	create(probe, "echo first; echo disk gone; test ! -e $0/bad", 30000 * MS, 3);
	touch(probe, "bad");
	ev_run(probe->loop, 0);
	assert_int_equal(probe->n_changes, 1);
	assert_false(probe->is_healthy);
	assert_string_equal(probe->reason, "exited with 1: disk gone");
	assert_int_equal(probe->n_lines, 6);

	/* It stays failed, without another word, for as long as it lasts. */
	probe->stop_after_lines = 20;
	ev_run(probe->loop, 0);
	assert_int_equal(probe->n_changes, 1);

	remove_file(probe, "bad");
	ev_run(probe->loop, 0);
	assert_int_equal(probe->n_changes, 2);
	assert_true(probe->is_healthy);
	assert_string_equal(probe->reason, "");
}

/* Bad, good, bad, good...: never two in a row. */
static void test_counts_in_a_row_only(void **state)
{
	struct probe *probe = *state;

	probe->stop_after_lines = 12;
	create(probe, "echo run $$; if test -e $0/bad; then rm $0/bad; else : > $0/bad; exit 1; fi",
	       30000 * MS, 2);
	ev_run(probe->loop, 0);
	assert_int_equal(probe->n_changes, 0);
}

static void test_late_is_bad(void **state)
{
	struct probe *probe = *state;

	create(probe, "exec sleep 1000", 20 * MS, 2);
	ev_run(probe->loop, 0);
	assert_false(probe->is_healthy);
	assert_ptr_equal(strstr(probe->reason, "timed out after "), probe->reason);
}

static void test_missing_command_is_bad(void **state)
{
	struct probe *probe = *state;
	static const char *const argv[] = { "/does/not/exist", NULL };
	const struct health_options options = {
		.argv = (char *const *)argv,
		.interval_us = 0,
		.timeout_us = 1000 * MS,
		.failures = 2,
		.on_change = on_change,
		.userdata = probe,
	};

	assert_int_equal(health_create(probe->loop, &options, &probe->health), 0);
	ev_run(probe->loop, 0);
	assert_string_equal(probe->reason, "could not be started: No such file or directory");
}

static void test_destroy_while_running(void **state)
{
	struct probe *probe = *state;

	probe->stop_after_lines = 1;
	create(probe, "echo run; sleep 1000", 30000 * MS, 1);
	ev_run(probe->loop, 0);
	probe->health = health_destroy(probe->health);
	ev_run(probe->loop, 0);
	assert_int_equal(probe->n_changes, 0);
	assert_null(health_destroy(NULL));
}

static void test_destroy_in_change(void **state)
{
	struct probe *probe = *state;

	probe->destroy_in_change = true;
	create(probe, "exit 1", 30000 * MS, 1);
	ev_run(probe->loop, 0);
	assert_int_equal(probe->n_changes, 1);
	assert_null(probe->health);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_good_says_nothing),	   TEST(test_fails_after_so_many_and_heals_at_once),
		TEST(test_counts_in_a_row_only),   TEST(test_late_is_bad),
		TEST(test_missing_command_is_bad), TEST(test_destroy_while_running),
		TEST(test_destroy_in_change),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
