/* SPDX-License-Identifier: Apache-2.0 */
#include "test_guard_lab.h"

#include "base/boot.h"
#include "base/timer.h"
#include "guard/main.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define BOUND_US (30000 * MS)
#define TICK_S 0.005
#define HANG_MS 60000 /* longer than any lease here; an end for what a failed test leaves */

struct lab lab;
pid_t lab_pid;

static char self[256];

static void on_tick(struct ev_loop *loop, ev_timer *timer, int revents)
{
	if (lab.extend_us != 0) {
		if (!lease_file_set(lab.lease, time_boot_us() + lab.extend_us))
			lab.extend_failed = true;
		lab.n_extended++;
	}
}

static void open_lab(void)
{
	char boot_id[BOOT_ID_SIZE], message[LEASE_FILE_MESSAGE_SIZE];

	lab.loop = ev_loop_new(EVFLAG_AUTO);
	ev_timer_init(&lab.tick, on_tick, 0, TICK_S);
	ev_timer_start(lab.loop, &lab.tick);
	(void)snprintf(lab.log, sizeof(lab.log), "%s/log", lab.directory);
	assert_int_equal(boot_id_read(boot_id), 0);
	assert_int_equal(lease_file_open(lab.directory, boot_id, &lab.lease, message,
					 sizeof(message)),
			 0);
	lease_file_set_epoch(lab.lease, 77);
}

static int count_fds(void)
{
	DIR *fds = opendir("/proc/self/fd");
	int n = 0;

	assert_non_null(fds);
	while (readdir(fds) != NULL)
		n++;
	assert_int_equal(closedir(fds), 0);
	return n;
}

int lab_setup(void **state)
{
	memset(&lab, 0, sizeof(lab));
	strcpy(lab.directory, "/tmp/test_guard.XXXXXX");
	if (mkdtemp(lab.directory) == NULL)
		return -1;
	lab.n_fds = count_fds();
	open_lab();
	return 0;
}

int lab_teardown(void **state)
{
	static const char *const names[] = { "lease", "guard.lock", "work.lock", "log" };
	char path[128];

	if (lab.guard != NULL)
		guard_disarm(lab.guard);
	lab.guard = guard_destroy(lab.guard);
	(void)lease_file_close(lab.lease);
	ev_loop_destroy(lab.loop);
	assert_int_equal(count_fds(), lab.n_fds);
	while (waitpid(-1, NULL, 0) > 0)
		;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", lab.directory, names[i]);
		(void)unlink(path);
	}
	return rmdir(lab.directory);
}

char *const *lab_command(int run_ms)
{
	static char *argv[5];
	static char option[] = "--log", number[16];

	(void)snprintf(number, sizeof(number), "%d", run_ms);
	argv[0] = self;
	argv[1] = option;
	argv[2] = lab.log;
	argv[3] = number;
	return argv;
}

static void on_died(struct guard *guard, bool acted, void *userdata)
{
	assert_ptr_equal(guard, lab.guard);
	assert_false(guard_is_alive(guard));
	lab.n_died++;
	lab.acted = acted;
}

static void on_done(struct guard *guard, int result, void *userdata)
{
	assert_ptr_equal(guard, lab.guard);
	assert_int_equal(guard_is_alive(guard), result == 0);
	lab.n_done++;
	lab.done_result = result;
}

void lab_guard(char *const *command, const char *binary)
{
	const struct guard_config config = {
		.runtime_directory = lab.directory,
		.node = "hv1",
		.binary = binary != NULL ? binary : self,
		.relinquish = command,
		.lease_timeout_us = LEASE_TIMEOUT_US,
		.self_fence = lab.self_fence,
		.lease = lab.lease,
		.on_died = on_died,
		.userdata = &lab,
	};

	assert_int_equal(guard_create(lab.loop, &config, &lab.guard), 0);
}

void lab_until(bool (*is_so)(void))
{
	int64_t bound_us = time_boot_us() + BOUND_US;

	while (!is_so()) {
		if (time_boot_us() > bound_us)
			fail_msg("took too long");
		ev_run(lab.loop, EVRUN_ONCE);
	}
}

bool lab_is_done(void)
{
	return lab.n_done > 0;
}

bool lab_has_died(void)
{
	return lab.n_died > 0;
}

bool lab_is_gone(void)
{
	return kill(lab_pid, 0) < 0 && errno == ESRCH;
}

void lab_begin_start(int64_t lease_us)
{
	if (lease_us != 0)
		assert_true(lease_file_set(lab.lease, time_boot_us() + lease_us));
	lab.n_done = 0;
	assert_int_equal(guard_start(lab.guard, on_done), 0);
}

void lab_start(int64_t lease_us)
{
	lab_begin_start(lease_us);
	assert_int_equal(guard_start(lab.guard, on_done), -EALREADY);
	lab_until(lab_is_done);
}

int lab_runs(struct lab_run runs[LAB_RUNS_MAX])
{
	FILE *file = fopen(lab.log, "re");
	char line[256];
	int n = 0;

	while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
		struct lab_run run = { .pid = 0 };

		if (strncmp(line, "reboot", 6) == 0)
			continue;
		if (sscanf(line, "begin %" SCNd64 " %d %31s %31s %31s %31s %31s %31s %31s",
			   &run.begin_us, &run.pid, run.event, run.node, run.epoch, run.primary,
			   run.previous, run.secret, run.reason) == 9) {
			assert_true(n < LAB_RUNS_MAX);
			runs[n++] = run;
			continue;
		}
		assert_int_equal(sscanf(line, "end %" SCNd64 " %d", &run.end_us, &run.pid), 2);
		for (int i = 0; i < n; i++) {
			if (runs[i].pid == run.pid)
				runs[i].end_us = run.end_us;
		}
	}
	if (file != NULL)
		(void)fclose(file);
	return n;
}

int lab_reboots(void)
{
	FILE *file = fopen(lab.log, "re");
	char line[256];
	int n = 0;

	while (file != NULL && fgets(line, sizeof(line), file) != NULL)
		n += strncmp(line, "reboot", 6) == 0;
	if (file != NULL)
		(void)fclose(file);
	return n;
}

bool lab_has_ended_run(void)
{
	struct lab_run runs[LAB_RUNS_MAX];

	return lab_runs(runs) > 0 && runs[0].end_us != 0;
}

static pid_t spawn_self(char *const *argv, bool own_group)
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		if (own_group)
			(void)setpgid(0, 0);
		execv(argv[0], argv);
		_exit(127);
	}
	if (own_group)
		(void)setpgid(pid, pid);
	return pid;
}

pid_t lab_spawn(int run_ms)
{
	return spawn_self(lab_command(run_ms), true);
}

bool lab_guard_is_there(void)
{
	char path[128];
	struct stat st;

	(void)snprintf(path, sizeof(path), "%s/guard.lock", lab.directory);
	return stat(path, &st) == 0 && st.st_size > 0;
}

pid_t lab_daemon(int64_t lease_us)
{
	static char option[] = "--daemon";
	char number[24];
	char *argv[] = { self, option, lab.directory, number, NULL };
	pid_t pid;

	(void)snprintf(number, sizeof(number), "%" PRId64, lease_us);
	pid = spawn_self(argv, false);
	lab_until(lab_guard_is_there);
	return pid;
}

int lab_reap(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

/* The other faces of this binary */

static int daemon_main(const char *directory, int64_t lease_us)
{
	(void)snprintf(lab.directory, sizeof(lab.directory), "%s", directory);
	open_lab();
	lab_guard(lab_command(0), NULL);
	lab.extend_us = lease_us;
	lab_start(lease_us);
	lab_until(lab_has_died);
	return lab.acted && lab.extend_failed ? 0 : 1;
}

static const char *value_of(const char *name)
{
	const char *value = getenv(name);

	return value != NULL && *value != '\0' ? value : "-";
}

/* Words without blanks, for sscanf(). */
static char *one_word(const char *text)
{
	static char word[32];

	(void)snprintf(word, sizeof(word), "%s", text);
	for (char *c = word; *c != '\0'; c++)
		*c = *c == ' ' ? '_' : *c;
	return word;
}

/* One write() a line: whole lines, whoever else logs. */
static int log_main(const char *log, int run_ms)
{
	int fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	bool first = lseek(fd, 0, SEEK_END) == 0;

	(void)dprintf(fd, "begin %" PRId64 " %d %s %s %s %s %s %s %s\n", time_boot_us(),
		      (int)getpid(), value_of("PRIMARYD_EVENT"), value_of("PRIMARYD_NODE"),
		      value_of("PRIMARYD_EPOCH"), value_of("PRIMARYD_PRIMARY"),
		      value_of("PRIMARYD_PREVIOUS"), value_of("SECRET"),
		      one_word(value_of("PRIMARYD_REASON")));
	if (run_ms == LAB_FAILS || (run_ms == LAB_FAILS_ONCE && first))
		return 1;
	if (run_ms == LAB_FAILS_ONCE)
		run_ms = 0;
	(void)signal(SIGTERM, SIG_IGN);
	(void)poll(NULL, 0, run_ms == LAB_HANG ? HANG_MS : run_ms);
	(void)dprintf(fd, "end %" PRId64 " %d\n", time_boot_us(), (int)getpid());
	return 0;
}

/* The guard's, in the place of the C library's. */
int reboot(int how)
{
	int fd = open(lab.log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

	(void)dprintf(fd, "reboot %d\n", how == RB_AUTOBOOT);
	return close(fd);
}

static int lab_guard_main(int argc, char *argv[])
{
	for (int i = 1; i + 1 < argc; i++) {
		if (strcmp(argv[i], "--runtime-directory") == 0)
			(void)snprintf(lab.log, sizeof(lab.log), "%.80s/log", argv[i + 1]);
	}
	return guard_main(argc, argv);
}

void lab_main(int argc, char *argv[])
{
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (n <= 0)
		abort();
	self[n] = '\0';
	/* The first words of a guard's command line, as the daemon and the tests write it. */
	if (argc > 1 &&
	    (strcmp(argv[1], "--runtime-directory") == 0 || strcmp(argv[1], "--ready-fd") == 0))
		exit(lab_guard_main(argc, argv));
	if (argc == 4 && strcmp(argv[1], "--log") == 0)
		exit(log_main(argv[2], atoi(argv[3])));
	if (argc == 4 && strcmp(argv[1], "--daemon") == 0)
		exit(daemon_main(argv[2], atoll(argv[3])));
}
