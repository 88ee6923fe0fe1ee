/* SPDX-License-Identifier: Apache-2.0 */
#include "guard/guard.h"

#include "base/timer.h"
#include "guard/args.h"
#include "guard/main.h"
#include "base/lock_file.h"
#include "test_guard_lab.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* What the guard keeps: the daemon's head start, and the time for killing. */
#define SHARE_US (LEASE_TIMEOUT_US / 8)

/* Told by the lease file, it counts instead of the argument. */
#define LONG_TIMEOUT_US (3 * LEASE_TIMEOUT_US)

static struct lab_run runs[LAB_RUNS_MAX];

/* One run of the relinquish command, with what it must know, between those times. */
static void assert_one_stop(int64_t from_us, int64_t until_us)
{
	assert_int_equal(lab_runs(runs), 1);
	assert_string_equal(runs[0].event, "relinquish");
	assert_string_equal(runs[0].node, "hv1");
	assert_string_equal(runs[0].epoch, "77");
	assert_string_equal(runs[0].primary, "hv1");
	assert_string_equal(runs[0].previous, "hv1");
	assert_string_equal(runs[0].reason, "the_lease_runs_out");
	assert_true(runs[0].begin_us >= from_us);
	assert_true(runs[0].end_us >= runs[0].begin_us);
	assert_true(runs[0].end_us <= until_us);
}

static int64_t first_act_us(int64_t end_us)
{
	return end_us - LEASE_TIMEOUT_US + SHARE_US;
}

static long count_waits(pid_t pid)
{
	char path[64], line[128];
	long n = -1;
	FILE *file;

	(void)snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	file = fopen(path, "re");
	assert_non_null(file);
	while (fgets(line, sizeof(line), file) != NULL)
		(void)sscanf(line, "voluntary_ctxt_switches: %ld", &n);
	assert_int_equal(fclose(file), 0);
	assert_true(n >= 0);
	return n;
}

static bool extended_enough(void)
{
	return lab.n_extended >= 400;
}

/* Extended every 5 ms for two seconds: it wakes once a lease (of a quarter second beyond the stop). */
static void test_extended(void **unused)
{
	long before;

	lab_guard(lab_command(0), NULL);
	lab.extend_us = LEASE_TIMEOUT_US + 250 * MS;
	lab_start(lab.extend_us);
	assert_int_equal(lab.done_result, 0);
	before = count_waits(guard_pid(lab.guard));
	lab_until(extended_enough);
	assert_true(count_waits(guard_pid(lab.guard)) - before < 40);
	assert_true(guard_is_alive(lab.guard));
	assert_false(lab.extend_failed);
	assert_int_equal(lab.n_died, 0);
	assert_int_equal(lab_runs(runs), 0);
}

static void test_not_extended(void **unused)
{
	int64_t end_us;

	lab_guard(lab_command(0), NULL);
	lab_start(2 * LEASE_TIMEOUT_US);
	end_us = lease_file_end_us(lab.lease);
	lab_until(lab_has_died);
	assert_true(lab.acted);
	assert_int_equal(lease_file_mark(lab.lease), LEASE_STOPPED);
	assert_one_stop(first_act_us(end_us), end_us);
	assert_false(lease_file_set(lab.lease, time_boot_us() + LEASE_TIMEOUT_US));
}

static void test_daemon_killed(void **unused)
{
	pid_t daemon = lab_daemon(2 * LEASE_TIMEOUT_US);
	int64_t end_us;

	assert_int_equal(kill(daemon, SIGKILL), 0);
	assert_int_equal(WTERMSIG(lab_reap(daemon)), SIGKILL);
	end_us = lease_file_end_us(lab.lease);
	lab_until(lab_has_ended_run);
	lab_guard(lab_command(0), NULL);
	while (guard_adopt(lab.guard) != GUARD_NONE) {
		lab.n_died = 0;
		lab_until(lab_has_died);
	}
	assert_one_stop(first_act_us(end_us), end_us);
	assert_int_equal(lease_file_mark(lab.lease), LEASE_STOPPED);
}

/* Resumed too late, it sees with its next renewal that the guard has acted. */
static void test_daemon_stopped(void **unused)
{
	pid_t daemon = lab_daemon(2 * LEASE_TIMEOUT_US);
	int64_t end_us;
	int status;

	assert_int_equal(kill(daemon, SIGSTOP), 0);
	assert_int_equal(waitpid(daemon, &status, WUNTRACED), daemon);
	end_us = lease_file_end_us(lab.lease);
	lab_until(lab_has_ended_run);
	assert_int_equal(kill(daemon, SIGCONT), 0);
	assert_int_equal(lab_reap(daemon), 0);
	assert_one_stop(first_act_us(end_us), end_us);
}

static bool is_late(void)
{
	return time_boot_us() > lease_file_end_us(lab.lease) - LEASE_TIMEOUT_US * 3 / 8;
}

/* The daemon's own stop runs, longer than the guard's patience with an idle lock; then it disarms. */
static void test_stop_under_way(void **unused)
{
	pid_t stop;
	int fd;

	lab_guard(lab_command(0), NULL);
	lab_start(2 * LEASE_TIMEOUT_US);
	lab_pid = guard_pid(lab.guard);
	assert_int_equal(lock_file_take(lab.directory, WORK_LOCK_FILE, &fd), 0);
	stop = lab_spawn(LAB_HANG);
	lease_file_set_group(lab.lease, LEASE_GROUP_STOP, stop);
	lab_until(is_late);
	guard_disarm(lab.guard);
	lab_until(lab_is_gone);
	assert_int_equal(kill(stop, SIGKILL), 0);
	(void)lab_reap(stop);
	assert_int_equal(lock_file_release(fd), -1);
	assert_int_equal(lab_runs(runs), 1); /* the daemon's */
	assert_int_equal(runs[0].pid, stop);
	assert_int_equal(lab.n_died, 0);
	assert_int_equal(lease_file_mark(lab.lease), LEASE_WATCHED);
}

/* The daemon died during its stop: the guard's begins when that one is through. */
static void test_orphaned_stop(void **unused)
{
	pid_t stop;
	int64_t end_us;

	lab_guard(lab_command(0), NULL);
	lease_file_set_timeout(lab.lease, LONG_TIMEOUT_US);
	lab_start(LONG_TIMEOUT_US + LEASE_TIMEOUT_US);
	end_us = lease_file_end_us(lab.lease);
	stop = lab_spawn((int)(LONG_TIMEOUT_US * 3 / 4 / MS));
	lease_file_set_group(lab.lease, LEASE_GROUP_STOP, stop);
	lab_until(lab_has_died);
	assert_int_equal(lab_reap(stop), 0);
	assert_int_equal(lab_runs(runs), 2);
	assert_int_equal(runs[0].pid, stop);
	assert_true(runs[1].begin_us >= runs[0].end_us);
	assert_true(runs[1].end_us != 0 && runs[1].end_us <= end_us);
}

/* It hangs: it is killed while there is time, then the guard's own runs. */
static void test_hanging_stop(void **unused)
{
	pid_t stop;
	int64_t end_us;
	int fd;

	lab_guard(lab_command(0), NULL);
	lease_file_set_timeout(lab.lease, LONG_TIMEOUT_US);
	lab_start(LONG_TIMEOUT_US + LEASE_TIMEOUT_US);
	end_us = lease_file_end_us(lab.lease);
	assert_int_equal(lock_file_take(lab.directory, WORK_LOCK_FILE, &fd), 0);
	stop = lab_spawn(LAB_HANG);
	lease_file_set_group(lab.lease, LEASE_GROUP_STOP, stop);
	lab_until(lab_has_died);
	assert_int_equal(WTERMSIG(lab_reap(stop)), SIGKILL);
	assert_int_equal(lab_runs(runs), 2);
	assert_int_equal(runs[0].end_us, 0);
	assert_true(runs[1].begin_us >= end_us - LONG_TIMEOUT_US / 8);
	assert_int_equal(lease_file_mark(lab.lease), LEASE_STOPPED);
	assert_int_equal(lock_file_release(fd), -1);
}

/* A stopped daemon holds the lock and runs nothing. */
static void test_idle_lock_is_passed_over(void **unused)
{
	int64_t end_us;
	int fd;

	lab_guard(lab_command(0), NULL);
	lab_start(2 * LEASE_TIMEOUT_US);
	end_us = lease_file_end_us(lab.lease);
	assert_int_equal(lock_file_take(lab.directory, WORK_LOCK_FILE, &fd), 0);
	lab_until(lab_has_died);
	assert_one_stop(end_us - LEASE_TIMEOUT_US / 2, end_us);
	assert_int_equal(lock_file_release(fd), -1);
}

static bool guard_waits(void)
{
	return time_boot_us() > first_act_us(lease_file_end_us(lab.lease)) + 100 * MS;
}

/* The daemon wins while the guard waits for its turn. */
static void test_extended_at_the_last_moment(void **unused)
{
	int fd;

	lab_guard(lab_command(0), NULL);
	lab_start(2 * LEASE_TIMEOUT_US);
	assert_int_equal(lock_file_take(lab.directory, WORK_LOCK_FILE, &fd), 0);
	lab_until(guard_waits);
	lab.extend_us = 3 * LEASE_TIMEOUT_US;
	lab_until(extended_enough);
	assert_int_equal(lock_file_release(fd), -1);
	assert_true(guard_is_alive(lab.guard));
	assert_false(lab.extend_failed);
	assert_int_equal(lab_runs(runs), 0);
}

/* Neither the command nor what the takeover left outlives the lease. */
static void test_hanging_command(void **unused)
{
	pid_t work;
	int64_t end_us;

	lab_guard(lab_command(LAB_HANG), NULL);
	work = lab_spawn(LAB_HANG);
	lease_file_set_group(lab.lease, LEASE_GROUP_WORK, work);
	lab_start(LEASE_TIMEOUT_US);
	end_us = lease_file_end_us(lab.lease);
	lab_until(lab_has_died);
	assert_true(time_boot_us() >= end_us - SHARE_US);
	assert_int_equal(WTERMSIG(lab_reap(work)), SIGKILL);
	assert_int_equal(lab_runs(runs), 2);
	assert_int_equal(runs[1].end_us, 0);
	assert_int_equal(kill(runs[1].pid, 0), -1);
	/* Nobody knows how far the command came. */
	assert_int_equal(lease_file_mark(lab.lease), LEASE_STOPPING);
	assert_true(lab.acted);
}

/* Told what the daemon would tell, in an environment that is as small. */
static void test_environment(void **unused)
{
	assert_int_equal(setenv("SECRET", "of-the-daemon", 1), 0);
	lab_guard(lab_command(0), NULL);
	lab_start(LEASE_TIMEOUT_US);
	lab_until(lab_has_died);
	assert_int_equal(lab_runs(runs), 1);
	assert_string_equal(runs[0].secret, "-");
	assert_int_equal(unsetenv("SECRET"), 0);
}

/* As the daemon does: again after a second. */
static void test_command_fails_once(void **unused)
{
	int64_t end_us;

	lab.self_fence = true;
	lab_guard(lab_command(LAB_FAILS_ONCE), NULL);
	lease_file_set_timeout(lab.lease, LONG_TIMEOUT_US);
	lab_start(LONG_TIMEOUT_US + LEASE_TIMEOUT_US);
	end_us = lease_file_end_us(lab.lease);
	lab_until(lab_has_died);
	assert_int_equal(lab_runs(runs), 2);
	assert_true(runs[1].begin_us - runs[0].begin_us >= 1000 * MS);
	assert_true(runs[1].end_us != 0 && runs[1].end_us <= end_us);
	assert_int_equal(lease_file_mark(lab.lease), LEASE_STOPPED);
	assert_int_equal(lab_reboots(), 0);
}

/* Until the time to kill; then what is left of the work is killed, and where that is configured the host reboots. */
static void test_command_fails(void **unused)
{
	pid_t work;
	int64_t end_us;

	for (int self_fence = 0; self_fence < 2; self_fence++) {
		lab.self_fence = self_fence != 0;
		lab.n_died = 0;
		lab_guard(lab_command(LAB_FAILS), NULL);
		work = lab_spawn(LAB_HANG);
		lease_file_set_group(lab.lease, LEASE_GROUP_WORK, work);
		lab_start(LEASE_TIMEOUT_US);
		end_us = lease_file_end_us(lab.lease);
		lab_until(lab_has_died);
		assert_int_equal(WTERMSIG(lab_reap(work)), SIGKILL);
		assert_true(time_boot_us() >= end_us - SHARE_US);
		assert_int_equal(lease_file_mark(lab.lease), LEASE_STOPPING);
		assert_int_equal(lab_reboots(), self_fence);
		lab.guard = guard_destroy(lab.guard);
		lease_file_disarm(lab.lease);
	}
}

static void cut_lease_file(void)
{
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/lease", lab.directory);
	assert_int_equal(truncate(path, 0), 0);
}

/* It acts at the last end that it knew: nobody can tell it a later one. */
static void test_lease_file_cut(void **unused)
{
	int64_t end_us;

	lab_guard(lab_command(0), NULL);
	lab_start(2 * LEASE_TIMEOUT_US);
	end_us = lease_file_end_us(lab.lease);
	cut_lease_file();
	assert_false(lease_file_set(lab.lease, time_boot_us() + 100 * LEASE_TIMEOUT_US));
	lab_until(lab_has_died);
	assert_true(lab.acted);
	assert_one_stop(first_act_us(end_us), end_us);
}

/* Cut, and the work taken down by the daemon: the guard is told by the file that is whole again. */
static void test_lease_file_cut_and_disarmed(void **unused)
{
	lab_guard(lab_command(0), NULL);
	lab_start(2 * LEASE_TIMEOUT_US);
	lab_pid = guard_pid(lab.guard);
	cut_lease_file();
	guard_disarm(lab.guard);
	lab_until(lab_is_gone);
	assert_int_equal(lab_runs(runs), 0);
}

static bool takeover_is_down(void)
{
	return !lease_file_command_runs(lab.lease, LEASE_GROUP_TAKEOVER);
}

/* What is just being started must not go on being started after the stop. */
static void test_takeover_is_killed_first(void **unused)
{
	pid_t takeover = lab_spawn(LAB_HANG);

	lease_file_set_group(lab.lease, LEASE_GROUP_TAKEOVER, takeover);
	lab_guard(lab_command(300), NULL);
	lab_start(LEASE_TIMEOUT_US);
	lab_until(takeover_is_down);
	assert_true(lab_runs(runs) == 1 || runs[1].end_us == 0);
	lab_until(lab_has_died);
	assert_int_equal(WTERMSIG(lab_reap(takeover)), SIGKILL);
	assert_int_equal(lab_runs(runs), 2);
	assert_string_equal(runs[1].event, "relinquish");
	assert_int_equal(lease_file_mark(lab.lease), LEASE_STOPPED);
}

static void test_without_command(void **unused)
{
	lab_guard(NULL, NULL);
	lab_start(LEASE_TIMEOUT_US);
	lab_until(lab_has_died);
	assert_true(lab.acted);
	assert_int_equal(lease_file_mark(lab.lease), LEASE_STOPPING);
}

static void test_disarmed(void **unused)
{
	lab_guard(lab_command(0), NULL);
	for (int i = 0; i < 3; i++) {
		lab_start(100 * LEASE_TIMEOUT_US);
		assert_int_equal(lab.done_result, 0);
		lab_pid = guard_pid(lab.guard);
		guard_disarm(lab.guard);
		assert_false(guard_is_alive(lab.guard));
		lab_until(lab_is_gone);
	}
	assert_int_equal(lab.n_died, 0);
	assert_int_equal(lab_runs(runs), 0);
}

static bool stop_has_begun(void)
{
	return lab_runs(runs) > 0;
}

static bool stop_is_over(void)
{
	return !lease_file_group_runs(lab.lease, LEASE_GROUP_STOP);
}

/* The daemon has seen the work down: the guard's stop does not run on, nor again, and nobody is fenced for it. */
static void test_disarmed_while_it_stops(void **unused)
{
	static const int commands[] = { LAB_HANG, LAB_FAILS };

	lab.self_fence = true;
	for (int i = 0; i < 2; i++) {
		lab_guard(lab_command(commands[i]), NULL);
		lease_file_set_timeout(lab.lease, LONG_TIMEOUT_US);
		lab_start(LONG_TIMEOUT_US);
		lab_pid = guard_pid(lab.guard);
		lab_until(stop_has_begun);
		guard_disarm(lab.guard);
		lab_until(lab_is_gone);
		lab_until(stop_is_over);
		assert_int_equal(lab_runs(runs), 1);
		assert_int_equal(lab_reboots(), 0);
		assert_int_equal(unlink(lab.log), 0);
		lab.guard = guard_destroy(lab.guard);
	}
}

/* Disarmed and at once armed again: the former guard goes, the new one comes. */
static void test_new_watch(void **unused)
{
	pid_t first;

	lab_guard(lab_command(0), NULL);
	lab_start(100 * LEASE_TIMEOUT_US);
	first = guard_pid(lab.guard);
	guard_disarm(lab.guard);
	lab_start(100 * LEASE_TIMEOUT_US);
	assert_int_equal(lab.done_result, 0);
	assert_true(guard_pid(lab.guard) != first);
	lab_pid = first;
	lab_until(lab_is_gone);

	/* And without being disarmed, as after a change of the command. */
	first = guard_pid(lab.guard);
	lab_start(100 * LEASE_TIMEOUT_US);
	assert_int_equal(lab.done_result, 0);
	lab_pid = first;
	lab_until(lab_is_gone);
	assert_true(guard_is_alive(lab.guard));
	assert_int_equal(lab.n_died, 0);
}

/* Started before there is a lease: it goes with its watch, and with the daemon; else it watches once there is one. */
static void test_standby(void **unused)
{
	int daemon = open(lab.directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	lab_guard(lab_command(0), NULL);
	lab_start(0);
	assert_int_equal(lab.done_result, -ECHILD); /* nobody holds the daemon's lock */
	assert_int_equal(flock(daemon, LOCK_EX), 0);
	for (int i = 0; i < 2; i++) {
		lab_start(0);
		assert_int_equal(lab.done_result, 0);
		lab_pid = guard_pid(lab.guard);
		if (i == 0) {
			guard_disarm(lab.guard);
			lab_until(lab_is_gone);
		}
	}
	assert_true(lease_file_set(lab.lease, time_boot_us() + LEASE_TIMEOUT_US));
	guard_poke(lab.guard);
	lab_until(lab_has_died);
	assert_true(lab.acted);
	assert_int_equal(lease_file_mark(lab.lease), LEASE_STOPPED);
	assert_int_equal(close(daemon), 0);
}

static int lab_run_guard(char *argv[])
{
	pid_t pid = fork();

	if (pid == 0) {
		(void)execv(argv[0], argv);
		_exit(127);
	}
	return lab_reap(pid);
}

/* It sees by itself that its watch is over, with the lease still armed: nobody has to kill it. */
static void test_superseded(void **unused)
{
	char timeout[] = "--lease-timeout", directory[] = "--runtime-directory", duration[] = "1s";
	char *const *command = lab_command(0);
	char *argv[] = { command[0], directory, lab.directory, timeout, duration, NULL };
	pid_t pid;

	assert_int_equal(lab_run_guard(argv), GUARD_DISARMED); /* no watch is on */
	lease_file_begin_watch(lab.lease);
	assert_true(lease_file_set(lab.lease, time_boot_us() + 3 * LEASE_TIMEOUT_US));
	pid = fork();
	if (pid == 0) {
		(void)execv(argv[0], argv);
		_exit(127);
	}
	lab_until(lab_guard_is_there);
	lease_file_begin_watch(lab.lease);
	assert_int_equal(kill(pid, SIGTERM), 0);
	assert_int_equal(lab_reap(pid), GUARD_DISARMED);
	assert_int_equal(lease_file_mark(lab.lease), LEASE_WATCHED);
}

/* A former guard that does not even end does not keep the new one from its post. */
static void test_broken_former(void **unused)
{
	lab_guard(lab_command(0), NULL);
	lab_start(100 * LEASE_TIMEOUT_US);
	lab_pid = guard_pid(lab.guard);
	assert_int_equal(kill(lab_pid, SIGSTOP), 0);
	lab_start(100 * LEASE_TIMEOUT_US);
	assert_int_equal(lab.done_result, 0);
	lab_until(lab_is_gone);
	assert_true(guard_is_alive(lab.guard));
}

static void test_adopted(void **unused)
{
	lab_guard(lab_command(0), NULL);
	assert_int_equal(guard_adopt(lab.guard), GUARD_NONE);
	lab_start(100 * LEASE_TIMEOUT_US);
	lab_pid = guard_pid(lab.guard);

	/* The daemon goes, its guard stays; the next one knows it. */
	lab.guard = guard_destroy(lab.guard);
	lab_guard(lab_command(0), NULL);
	assert_int_equal(guard_adopt(lab.guard), 0);
	assert_int_equal(guard_pid(lab.guard), lab_pid);

	/* Not if it is to do something else. */
	lab.guard = guard_destroy(lab.guard);
	lab_guard(lab_command(5), NULL);
	assert_int_equal(guard_adopt(lab.guard), GUARD_OTHER);
	lab_start(100 * LEASE_TIMEOUT_US);
	lab_until(lab_is_gone);
	assert_int_equal(lab.n_died, 0);

	lab_pid = guard_pid(lab.guard);
	assert_int_equal(kill(lab_pid, SIGKILL), 0);
	lab_until(lab_has_died);
	assert_false(lab.acted);
	assert_int_equal(guard_adopt(lab.guard), GUARD_NONE);
	lab_start(100 * LEASE_TIMEOUT_US);
	assert_int_equal(lab.done_result, 0);
}

static void test_signals(void **unused)
{
	static const int signals[] = { SIGTERM, SIGINT, SIGHUP, SIGPIPE };

	lab_guard(lab_command(0), NULL);
	lab_start(100 * LEASE_TIMEOUT_US);
	lab_pid = guard_pid(lab.guard);
	assert_int_equal(getsid(lab_pid), lab_pid);
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		assert_int_equal(kill(lab_pid, signals[i]), 0);
	lab.extend_us = 50 * LEASE_TIMEOUT_US;
	lab_until(extended_enough);
	assert_true(guard_is_alive(lab.guard));
	assert_false(lab_is_gone());
}

/* The daemon may say "look again" before the guard can hear it. */
static void test_poked_while_it_starts(void **unused)
{
	lab_guard(lab_command(0), NULL);
	lab_begin_start(100 * LEASE_TIMEOUT_US);
	guard_poke(lab.guard);
	lab_until(lab_is_done);
	assert_int_equal(lab.done_result, 0);
	assert_true(guard_is_alive(lab.guard));
}

static void test_cannot_start(void **unused)
{
	static char command[] = "relative";
	char *argv[] = { command, NULL };

	lab_guard(NULL, "/nowhere/primaryd");
	lab_start(LEASE_TIMEOUT_US);
	assert_int_equal(lab.done_result, -ECHILD);
	assert_false(guard_is_alive(lab.guard));

	lab.guard = guard_destroy(lab.guard);
	lab_guard(argv, NULL);
	lab_start(LEASE_TIMEOUT_US);
	assert_int_equal(lab.done_result, -ECHILD);
	assert_int_equal(lab.n_died, 0);
}

/* The guard itself with a stderr that nobody reads, closed or full: it acts all the same. */
static void test_nobody_listens(void **unused)
{
	char timeout[] = "--lease-timeout", directory[] = "--runtime-directory", dashes[] = "--",
	     duration[] = "1s";
	char *const *command = lab_command(0);
	char *argv[] = { command[0], directory,	 lab.directory, timeout,    duration, dashes,
			 command[0], command[1], command[2],	command[3], NULL };

	for (int full = 0; full < 2; full++) {
		int fds[2];
		pid_t pid;

		assert_int_equal(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
		while (full && write(fds[1], "x", 1) == 1)
			;
		assert_int_equal(fcntl(fds[1], F_SETFL, 0), 0);
		lease_file_disarm(lab.lease);
		lease_file_begin_watch(lab.lease);
		assert_true(lease_file_set(lab.lease, time_boot_us() + LEASE_TIMEOUT_US));
		pid = fork();
		if (pid == 0) {
			(void)dup2(fds[1], STDERR_FILENO);
			if (!full)
				(void)close(fds[0]);
			(void)execv(argv[0], argv);
			_exit(127);
		}
		assert_int_equal(close(fds[1]), 0);
		if (!full)
			assert_int_equal(close(fds[0]), 0);
		assert_int_equal(WEXITSTATUS(lab_reap(pid)), GUARD_ACTED);
		if (full)
			assert_int_equal(close(fds[0]), 0);
		assert_int_equal(lab_runs(runs), full + 1);
		assert_true(runs[full].end_us != 0);
		/* Nobody waits for it to be ready: it takes itself for a service, whose units systemd knows. */
		assert_int_equal(lease_file_mark(lab.lease), LEASE_STOPPING);
	}
}

static int parse(int n, const char *const *words, struct guard_args *ret)
{
	static char texts[16][64];
	static char *argv[17];

	for (int i = 0; i < n; i++) {
		(void)snprintf(texts[i], sizeof(texts[i]), "%s", words[i]);
		argv[i] = texts[i];
	}
	argv[n] = NULL;
	return guard_args_parse(n, argv, ret);
}

static void test_arguments(void **unused)
{
	static const char *const all[] = { "primaryd-guard",
					   "--runtime-directory",
					   "/run/x",
					   "--ready-fd",
					   "9",
					   "--node",
					   "hv1",
					   "--lease-timeout",
					   "3s",
					   "--self-fence",
					   "reboot",
					   "--",
					   "/bin/false",
					   "--node" };
	static const char *const bad[][5] = {
		{ "--runtime-directory", "relative", "--lease-timeout", "3s" },
		{ "--runtime-directory", "/run/x", "--lease-timeout", "3" },
		{ "--runtime-directory", "/run/x", "--lease-timeout", "0" },
		{ "--runtime-directory", "/run/x", "--lease-timeout", NULL },
		{ "--runtime-directory", "/run/x", NULL },
		{ "--lease-timeout", "3s", NULL },
		{ "--lease-timeout", "3s", "--unknown", "3s" },
		{ "--lease-timeout", "3s", "--ready-fd", "2" },
		{ "--lease-timeout", "3s", "--self-fence", "yes" },
	};
	struct guard_args args, other;

	assert_int_equal(parse(14, all, &args), 0);
	assert_string_equal(args.runtime_directory, "/run/x");
	assert_string_equal(args.node, "hv1");
	assert_int_equal(args.ready_fd, 9);
	assert_int_equal(args.lease_timeout_us, 3000000);
	assert_true(args.self_fence);
	assert_string_equal(args.command[0], "/bin/false");
	assert_string_equal(args.command[1], "--node");
	assert_null(args.command[2]);
	assert_int_equal(parse(13, all, &other), 0);
	assert_true(args.fingerprint != other.fingerprint);
	assert_int_equal(parse(12, all, &other), -EINVAL); /* "--" without a command */
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		const char *words[8] = { "primaryd-guard" };
		int n = 1;

		for (int k = 0; k < 4 && bad[i][k] != NULL; k++)
			words[n++] = bad[i][k];
		assert_int_equal(parse(n, words, &other), -EINVAL);
	}
}

#define LAB_TEST(test) cmocka_unit_test_setup_teardown(test, lab_setup, lab_teardown)

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_arguments),
		LAB_TEST(test_extended),
		LAB_TEST(test_not_extended),
		LAB_TEST(test_daemon_killed),
		LAB_TEST(test_daemon_stopped),
		LAB_TEST(test_stop_under_way),
		LAB_TEST(test_orphaned_stop),
		LAB_TEST(test_hanging_stop),
		LAB_TEST(test_idle_lock_is_passed_over),
		LAB_TEST(test_extended_at_the_last_moment),
		LAB_TEST(test_hanging_command),
		LAB_TEST(test_environment),
		LAB_TEST(test_command_fails_once),
		LAB_TEST(test_command_fails),
		LAB_TEST(test_lease_file_cut),
		LAB_TEST(test_lease_file_cut_and_disarmed),
		LAB_TEST(test_takeover_is_killed_first),
		LAB_TEST(test_without_command),
		LAB_TEST(test_disarmed),
		LAB_TEST(test_disarmed_while_it_stops),
		LAB_TEST(test_new_watch),
		LAB_TEST(test_standby),
		LAB_TEST(test_superseded),
		LAB_TEST(test_broken_former),
		LAB_TEST(test_adopted),
		LAB_TEST(test_signals),
		LAB_TEST(test_poked_while_it_starts),
		LAB_TEST(test_cannot_start),
		LAB_TEST(test_nobody_listens),
	};

	lab_main(argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
