/* SPDX-License-Identifier: Apache-2.0 */
#include "guard/lease_file.h"

#include "base/process_group.h"
#include "base/lock_file.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static const char boot[] = "01234567-89ab-cdef-0123-456789abcdef";
static const char other_boot[] = "11234567-89ab-cdef-0123-456789abcdef";

static char directory[64];
static char message[LEASE_FILE_MESSAGE_SIZE];

static int setup(void **unused)
{
	strcpy(directory, "/tmp/test_lease.XXXXXX");
	return mkdtemp(directory) == NULL ? -1 : 0;
}

static char *path_of(const char *name)
{
	static char path[128];

	(void)snprintf(path, sizeof(path), "%s/%s", directory, name);
	return path;
}

static int teardown(void **unused)
{
	(void)unlink(path_of("lease"));
	(void)unlink(path_of("lease.new"));
	(void)unlink(path_of("work.lock"));
	return rmdir(directory);
}

static int open_file(const char *boot_id, struct lease_file **ret)
{
	message[0] = '\0';
	return lease_file_open(directory, boot_id, ret, message, sizeof(message));
}

static void test_outlives_the_daemon(void **unused)
{
	struct lease_file *file, *guard;
	struct stat st;

	assert_int_equal(lease_file_attach(directory, boot, &file), -ENOENT);
	assert_int_equal(open_file(boot, &file), 0);
	assert_int_equal(stat(path_of("lease"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(lease_file_end_us(file), 0);
	assert_int_equal(lease_file_mark(file), LEASE_WATCHED);

	assert_int_equal(lease_file_attach(directory, boot, &guard), 0);
	assert_true(lease_file_set(file, 123456789012));
	lease_file_set_epoch(file, INT64_C(0x700000001));
	lease_file_set_timeout(file, 3000000);
	assert_true(lease_file_end_us(guard) == 123456789012);
	assert_true(lease_file_epoch(guard) == INT64_C(0x700000001));
	assert_int_equal(lease_file_timeout_us(guard), 3000000);

	file = lease_file_close(file);
	assert_null(file);
	assert_int_equal(open_file(boot, &file), 0);
	assert_true(lease_file_end_us(file) == 123456789012);
	lease_file_disarm(file);
	assert_int_equal(lease_file_end_us(guard), 0);
	(void)lease_file_close(file);
	(void)lease_file_close(guard);
	(void)lease_file_close(NULL);
}

static void test_marks_belong_to_a_watch(void **unused)
{
	struct lease_file *file;
	uint64_t first, second;

	assert_int_equal(open_file(boot, &file), 0);
	assert_true(lease_file_watch(file) == 0);
	lease_file_begin_watch(file);
	assert_true(lease_file_set(file, 1000));
	first = lease_file_watch(file);
	assert_true(lease_file_set(file, 2000));
	assert_true(lease_file_watch(file) == first);
	assert_true(lease_file_set_mark(file, first, LEASE_STOPPING));
	assert_false(lease_file_set(file, 3000));
	assert_true(lease_file_set_mark(file, first, LEASE_STOPPED));
	assert_int_equal(lease_file_mark(file), LEASE_STOPPED);

	/* Disarmed: the watch is over, and the old guard cannot mark the next one. */
	lease_file_disarm(file);
	assert_true(lease_file_watch(file) == 0);
	lease_file_begin_watch(file);
	second = lease_file_watch(file);
	assert_true(lease_file_set(file, 4000));
	assert_true(lease_file_watch(file) == second);
	assert_true(second > first);
	assert_int_equal(lease_file_mark(file), LEASE_WATCHED);
	assert_false(lease_file_set_mark(file, first, LEASE_STOPPED));
	assert_int_equal(lease_file_mark(file), LEASE_WATCHED);
	lease_file_begin_watch(file);
	assert_true(lease_file_watch(file) > second);
	(void)lease_file_close(file);
}

static void test_other_boot(void **unused)
{
	struct lease_file *file, *guard;

	assert_int_equal(open_file(boot, &file), 0);
	assert_true(lease_file_set(file, 1000));
	(void)lease_file_close(file);
	assert_int_equal(lease_file_attach(directory, other_boot, &guard), LEASE_FILE_DAMAGED);
	assert_int_equal(open_file(other_boot, &file), LEASE_FILE_DAMAGED);
	assert_non_null(strstr(message, "boot"));
	assert_int_equal(lease_file_end_us(file), 0);
	(void)lease_file_close(file);
	assert_int_equal(open_file(other_boot, &file), 0);
	(void)lease_file_close(file);
}

/* Replaced, while who has the old one open keeps it: damaged, it says what was known last. */
static void test_damaged(void **unused)
{
	static const off_t sizes[] = { 0, 1, 40, 4096, 100000 };
	struct lease_file *file, *old;
	struct stat st;
	int fd;

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		assert_int_equal(truncate(path_of("lease"), sizes[i]), i ? 0 : -1);
		assert_int_equal(open_file(boot, &file), i ? LEASE_FILE_DAMAGED : 0);
		assert_int_equal(lease_file_end_us(file), 0);
		assert_true(lease_file_set(file, 1000));
		(void)lease_file_close(file);
	}
	assert_int_equal(open_file(boot, &old), 0);
	assert_int_equal(lease_file_end_us(old), 1000);
	fd = open(path_of("lease"), O_RDWR | O_CLOEXEC);
	assert_int_equal(pwrite(fd, "X", 1, 3), 1);
	assert_int_equal(close(fd), 0);
	assert_int_equal(open_file(boot, &file), LEASE_FILE_DAMAGED);
	assert_int_equal(lease_file_end_us(file), 0);
	assert_int_equal(lease_file_end_us(old), 1000);
	(void)lease_file_close(file);
	(void)lease_file_close(old);

	assert_int_equal(unlink(path_of("lease")), 0);
	assert_int_equal(symlink("/dev/null", path_of("lease")), 0);
	assert_int_equal(open_file(boot, &file), LEASE_FILE_DAMAGED);
	assert_int_equal(lstat(path_of("lease"), &st), 0);
	assert_true(S_ISREG(st.st_mode));
	(void)lease_file_close(file);
	assert_int_equal(lease_file_open("/nowhere", boot, &file, message, sizeof(message)),
			 -ENOENT);
}

/* A copy is as good as none: whoever goes by the original does not see what is written there. */
static void test_copy(void **unused)
{
	struct lease_file *file, *guard;
	char bytes[4096];
	ssize_t n;
	int fd;

	assert_int_equal(open_file(boot, &file), 0);
	assert_true(lease_file_set(file, 1000));
	fd = open(path_of("lease"), O_RDONLY | O_CLOEXEC);
	n = read(fd, bytes, sizeof(bytes));
	assert_true(n > 0);
	assert_int_equal(close(fd), 0);
	assert_int_equal(unlink(path_of("lease")), 0);
	fd = open(path_of("lease"), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	assert_int_equal(write(fd, bytes, (size_t)n), n);
	assert_int_equal(close(fd), 0);
	assert_int_equal(lease_file_attach(directory, boot, &guard), LEASE_FILE_DAMAGED);
	(void)lease_file_close(file);
	assert_int_equal(open_file(boot, &file), LEASE_FILE_DAMAGED);
	assert_non_null(strstr(message, "a copy"));
	assert_int_equal(lease_file_end_us(file), 0);
	(void)lease_file_close(file);
}

/* A process that waits for its end; how: 'g' in a group of its own, 's' in a session of its own. */
static pid_t spawn(char how, pid_t join)
{
	int ready[2];
	char byte;
	pid_t pid;

	assert_int_equal(pipe(ready), 0);
	pid = fork();
	if (pid == 0) {
		if (how == 's')
			(void)setsid();
		else
			(void)setpgid(0, join);
		(void)close(ready[0]);
		(void)close(ready[1]);
		for (;;)
			(void)pause();
	}
	assert_int_equal(close(ready[1]), 0);
	assert_int_equal(read(ready[0], &byte, 1), 0);
	assert_int_equal(close(ready[0]), 0);
	return pid;
}

static void reap(pid_t pid, int signal)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(WTERMSIG(status), signal);
}

static void test_groups(void **unused)
{
	struct lease_file *file;
	pid_t leader = spawn('g', 0);
	pid_t member = spawn('g', leader);

	assert_int_equal(open_file(boot, &file), 0);
	assert_int_equal(lease_file_group(file, LEASE_GROUP_WORK), 0);
	assert_false(lease_file_group_runs(file, LEASE_GROUP_WORK));
	assert_false(lease_file_group_kill(file, LEASE_GROUP_WORK));
	lease_file_set_group(file, LEASE_GROUP_WORK, leader);
	assert_int_equal(lease_file_group(file, LEASE_GROUP_WORK), leader);
	assert_int_equal(lease_file_group(file, LEASE_GROUP_STOP), 0);
	assert_true(lease_file_command_runs(file, LEASE_GROUP_WORK));
	assert_true(lease_file_group_runs(file, LEASE_GROUP_WORK));

	/* A zombie is dead; and the group goes on without its leader. */
	assert_int_equal(kill(leader, SIGKILL), 0);
	while (lease_file_command_runs(file, LEASE_GROUP_WORK))
		(void)usleep(1000);
	assert_true(lease_file_group_runs(file, LEASE_GROUP_WORK));
	reap(leader, SIGKILL);
	assert_false(lease_file_command_runs(file, LEASE_GROUP_WORK));
	assert_true(lease_file_group_kill(file, LEASE_GROUP_WORK));
	reap(member, SIGKILL);
	assert_false(lease_file_group_runs(file, LEASE_GROUP_WORK));
	assert_false(lease_file_group_kill(file, LEASE_GROUP_WORK));
	lease_file_set_group(file, LEASE_GROUP_WORK, 0);
	assert_int_equal(lease_file_group(file, LEASE_GROUP_WORK), 0);
	(void)lease_file_close(file);
}

/* The number is in use anew, by a group of another session: not touched. */
static void test_foreign_group(void **unused)
{
	pid_t pid = spawn('g', 0);
	struct process_group group = { .id = pid, .session = getsid(0) + 1 };
	pid_t leader;

	assert_false(process_group_leader_runs(group));
	assert_false(process_group_runs(group));
	assert_false(process_group_kill(group));
	group.session = getsid(0);
	assert_true(process_group_kill(group));
	reap(pid, SIGKILL);

	leader = spawn('s', 0);
	group.id = leader;
	assert_false(process_group_leader_runs(group));
	assert_false(process_group_runs(group));
	assert_false(process_group_kill(group));
	group = process_group_of(leader);
	assert_int_equal(group.session, leader);
	assert_true(process_group_leader_runs(group));
	assert_true(process_group_kill(group));
	reap(leader, SIGKILL);
}

/* As in the sandbox of the service: processes of other users cannot be seen. 0: the group runs; 1: it does not. */
static _Noreturn void look_from_a_sandbox(struct process_group group)
{
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("proc", "/proc", "proc", 0, "hidepid=2") < 0 || setgid(65534) < 0 ||
	    setuid(65534) < 0)
		_exit(77);
	_exit(process_group_runs(group) ? 0 : 1);
}

/* What the work left running may belong to another user, who cannot be seen, nor killed. */
static void test_hidden_group(void **unused)
{
	pid_t pid = spawn('g', 0), looking;
	struct process_group group = process_group_of(pid);
	int status;

	for (int runs = 1; runs >= 0; runs--) {
		looking = fork();
		if (looking == 0)
			look_from_a_sandbox(group);
		assert_int_equal(waitpid(looking, &status, 0), looking);
		assert_true(WIFEXITED(status));
		if (runs) {
			assert_int_equal(kill(pid, SIGKILL), 0);
			reap(pid, SIGKILL);
		}
		if (WEXITSTATUS(status) == 77)
			skip(); /* needs root */
		assert_int_equal(WEXITSTATUS(status), runs ? 0 : 1);
	}
}

/* Cut or overwritten: nobody dies, all stays as it was known last, and the daemon takes the work for going down. */
static void test_cut(void **unused)
{
	static const off_t sizes[] = { 0, 1, 60, 135 };
	struct lease_file *file, *guard;
	uint64_t watch;

	assert_int_equal(open_file(boot, &file), 0);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		assert_true(lease_file_set(file, 1000));
		assert_int_equal(lease_file_attach(directory, boot, &guard), 0);
		watch = lease_file_watch(guard);
		assert_int_equal(lease_file_end_us(guard), 1000);
		assert_int_equal(truncate(path_of("lease"), sizes[i]), 0);
		assert_true(lease_file_is_damaged(file));
		assert_int_equal(lease_file_mark(file), LEASE_STOPPING);
		assert_false(lease_file_set(file, 2000));
		assert_int_equal(lease_file_end_us(file), 2000);
		assert_int_equal(lease_file_end_us(guard), 1000);
		assert_true(lease_file_watch(guard) == watch);
		assert_true(lease_file_set_mark(guard, watch, LEASE_STOPPING));
		assert_int_equal(lease_file_end_us(guard), 1000);

		/* The work is down: whole again, and the guard is told so. */
		lease_file_disarm(file);
		assert_false(lease_file_is_damaged(file));
		assert_int_equal(lease_file_end_us(guard), 0);
		(void)lease_file_close(guard);
	}
	(void)lease_file_close(file);
}

static void test_overwritten(void **unused)
{
	struct lease_file *file;
	uint64_t generation;
	int fd;

	assert_int_equal(open_file(boot, &file), 0);
	assert_true(lease_file_set(file, 1000));
	generation = lease_file_generation(file);
	fd = open(path_of("lease"), O_RDWR | O_CLOEXEC);
	assert_int_equal(pwrite(fd, "X", 1, 3), 1);
	assert_int_equal(close(fd), 0);
	assert_false(lease_file_set(file, 2000));
	assert_int_equal(lease_file_raise(file, directory, 0), 0);
	assert_true(lease_file_generation(file) == generation + 1);
	assert_true(lease_file_set(file, 3000));
	(void)lease_file_close(file);
}

/* Of each file, and of each takeover, another one. */
static void test_generation(void **unused)
{
	struct lease_file *file, *guard;
	uint64_t first, raised;

	assert_int_equal(open_file(boot, &file), 0);
	first = lease_file_generation(file);
	assert_true(first > 0);
	assert_int_equal(lease_file_raise(file, directory, 0), 0);
	raised = lease_file_generation(file);
	assert_true(raised > first);
	assert_int_equal(lease_file_raise(file, directory, raised + 10), 0);
	assert_true(lease_file_generation(file) == raised + 11);
	assert_int_equal(lease_file_attach(directory, boot, &guard), 0);
	assert_true(lease_file_generation(guard) == raised + 11);
	(void)lease_file_close(guard);

	/* Deleted, or replaced: what is raised there would be found by nobody. */
	assert_true(lease_file_is_there(file, directory));
	assert_int_equal(unlink(path_of("lease")), 0);
	assert_false(lease_file_is_there(file, directory));
	assert_int_equal(lease_file_raise(file, directory, 0), -ENOENT);
	assert_true(lease_file_set(file, 1000));
	assert_int_equal(lease_file_end_us(file), 1000);
	(void)usleep(1000);
	assert_int_equal(open_file(boot, &guard), 0);
	assert_true(lease_file_generation(guard) > first);
	assert_int_equal(lease_file_end_us(guard), 0);
	assert_int_equal(lease_file_raise(file, directory, 0), -ENOENT);
	(void)lease_file_close(guard);
	(void)lease_file_close(file);
}

#define RACE_ROUNDS 20000

/* The guard's side of a race: whatever end it sees after it has marked its watch goes into the pipe. */
static _Noreturn void race_guard(int64_t first_end_us, int go, int out)
{
	struct lease_file *guard;
	char byte;

	if (lease_file_attach(directory, boot, &guard) != 0)
		_exit(1);
	while (read(go, &byte, 1) == 1) {
		int64_t end_us = 0; /* awake */

		if (write(out, &end_us, sizeof(end_us)) != (ssize_t)sizeof(end_us))
			_exit(2);
		while (lease_file_end_us(guard) < first_end_us)
			;
		(void)lease_file_set_mark(guard, lease_file_watch(guard), LEASE_STOPPING);
		end_us = lease_file_end_us(guard);
		if (write(out, &end_us, sizeof(end_us)) != (ssize_t)sizeof(end_us))
			_exit(2);
	}
	_exit(0);
}

/* Either the daemon sees the mark, or the guard sees the new end: never neither. */
static void test_race(void **unused)
{
	struct lease_file *file;
	int go[2], out[2], status, n_guard = 0;
	pid_t pid;

	assert_int_equal(open_file(boot, &file), 0);
	assert_int_equal(pipe2(go, O_CLOEXEC), 0);
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0) {
		(void)close(go[1]);
		race_guard(1000, go[0], out[1]);
	}
	(void)close(go[0]);
	for (int i = 0; i < RACE_ROUNDS; i++) {
		int64_t seen_us;
		bool extended;

		lease_file_disarm(file);
		assert_int_equal(write(go[1], "", 1), 1);
		assert_int_equal(read(out[0], &seen_us, sizeof(seen_us)), sizeof(seen_us));
		assert_true(lease_file_set(file, 1000) || lease_file_end_us(file) == 1000);
		for (volatile int spin = 0; spin < i % 20000; spin++)
			;
		extended = lease_file_set(file, 2000);
		assert_int_equal(read(out[0], &seen_us, sizeof(seen_us)), sizeof(seen_us));
		assert_true(!extended || seen_us == 2000);
		n_guard += seen_us == 2000;
	}
	(void)close(go[1]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	print_message("the guard saw the new end in %d of %d rounds\n", n_guard, RACE_ROUNDS);
	(void)close(out[0]);
	(void)close(out[1]);
	(void)lease_file_close(file);
}

static void test_work_lock(void **unused)
{
	int fd = -1, second = -1, inherited;

	assert_int_equal(lock_file_take(directory, WORK_LOCK_FILE, &fd), 0);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(lock_file_take(directory, WORK_LOCK_FILE, &second), LOCK_FILE_BUSY);
	assert_int_equal(second, -1);
	/* Who inherited it keeps it. */
	inherited = dup(fd);
	assert_int_equal(lock_file_release(fd), -1);
	assert_int_equal(lock_file_take(directory, WORK_LOCK_FILE, &second), LOCK_FILE_BUSY);
	assert_int_equal(close(inherited), 0);
	assert_int_equal(lock_file_take(directory, WORK_LOCK_FILE, &second), 0);
	assert_int_equal(lock_file_release(second), -1);
	assert_int_equal(lock_file_release(-1), -1);
	assert_int_equal(lock_file_take("/nowhere", WORK_LOCK_FILE, &fd), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_outlives_the_daemon, setup, teardown),
		cmocka_unit_test_setup_teardown(test_marks_belong_to_a_watch, setup, teardown),
		cmocka_unit_test_setup_teardown(test_other_boot, setup, teardown),
		cmocka_unit_test_setup_teardown(test_damaged, setup, teardown),
		cmocka_unit_test_setup_teardown(test_copy, setup, teardown),
		cmocka_unit_test_setup_teardown(test_groups, setup, teardown),
		cmocka_unit_test_setup_teardown(test_foreign_group, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hidden_group, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cut, setup, teardown),
		cmocka_unit_test_setup_teardown(test_overwritten, setup, teardown),
		cmocka_unit_test_setup_teardown(test_generation, setup, teardown),
		cmocka_unit_test_setup_teardown(test_race, setup, teardown),
		cmocka_unit_test_setup_teardown(test_work_lock, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
