/* SPDX-License-Identifier: Apache-2.0 */
#include "base/timer.h"
#include "work/command.h"
#include "work/command_output.h"
#include "work/script.h"

#include <dirent.h>
#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define MS INT64_C(1000)
#define S INT64_C(1000000)
#define HANG_S 60.0 /* nothing here takes that long unless it hangs */
#define LINES_MAX 8192

struct probe {
	int64_t not_after_us;
	struct ev_loop *loop;
	struct command *command;
	ev_timer hang;
	int n_ends;
	struct command_result result;
	unsigned n_lines;
	size_t longest;
	char *first; /* the first line, a copy */
	char *last;
	char *all;	      /* the first lines, joined by '|' */
	const char *stop_on;  /* command_kill() when this line comes */
	const char *break_on; /* leave the loop when this line comes */
	bool destroy_at_end;
	unsigned n_beats;
	int n_fds_before;
};

static struct probe the_probe;

static int count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	assert_non_null(dir);
	while (readdir(dir) != NULL)
		n++;
	closedir(dir);
	return n;
}

static void on_hang(struct ev_loop *loop, ev_timer *timer, int revents)
{
	fail_msg("hangs");
}

static void on_line(void *userdata, const char *line)
{
	struct probe *probe = userdata;

	if (probe->n_lines++ == 0)
		probe->first = strdup(line);
	if (strlen(line) > probe->longest)
		probe->longest = strlen(line);
	free(probe->last);
	probe->last = strdup(line);
	if (probe->n_lines <= 20) {
		char *all = NULL;

		assert_true(asprintf(&all, "%s%s%s", probe->all != NULL ? probe->all : "",
				     probe->all != NULL ? "|" : "", line) >= 0);
		free(probe->all);
		probe->all = all;
	}
	if (probe->stop_on != NULL && strcmp(line, probe->stop_on) == 0)
		command_kill(probe->command);
	if (probe->break_on != NULL && strcmp(line, probe->break_on) == 0)
		ev_break(probe->loop, EVBREAK_ALL);
}

static void on_end(void *userdata, const struct command_result *result)
{
	struct probe *probe = userdata;

	assert_false(command_is_running(probe->command));
	probe->n_ends++;
	probe->result = *result;
	if (probe->destroy_at_end)
		probe->command = command_destroy(probe->command);
	ev_break(probe->loop, EVBREAK_ALL);
}

static int setup(void **state)
{
	struct probe *probe = &the_probe;
	struct ev_loop *loop;

	memset(probe, 0, sizeof(*probe));
	probe->n_fds_before = count_fds();
	loop = ev_default_loop(EVFLAG_AUTO);
	assert_non_null(loop);
	probe->loop = loop;
	ev_timer_init(&probe->hang, on_hang, HANG_S, 0.);
	ev_timer_start(loop, &probe->hang);
	ev_unref(loop);
	*state = probe;
	return 0;
}

/* Whatever the test did: nothing is left behind. */
static int teardown(void **state)
{
	struct probe *probe = *state;

	probe->command = command_destroy(probe->command);
	/* A command that was destroyed while it ran has been killed. */
	while (waitpid(-1, NULL, 0) > 0)
		;
	assert_int_equal(errno, ECHILD);
	ev_ref(probe->loop);
	ev_timer_stop(probe->loop, &probe->hang);
	ev_loop_destroy(probe->loop);
	assert_int_equal(count_fds(), probe->n_fds_before);
	free(probe->first);
	free(probe->last);
	free(probe->all);
	return 0;
}

static void start_argv(struct probe *probe, const char *const *argv, int64_t timeout_us,
		       int64_t grace_us)
{
	static const char *const environment[] = { "PRIMARYD_EVENT=takeover", "LANG=xx", NULL };
	const struct command_options options = {
		.argv = (char *const *)argv,
		.environment = environment,
		.timeout_us = timeout_us,
		.grace_us = grace_us,
		.not_after_us = probe->not_after_us,
		.on_line = on_line,
		.on_end = on_end,
		.userdata = probe,
	};

	assert_int_equal(command_start(probe->loop, &options, &probe->command), 0);
	assert_true(command_is_running(probe->command));
	assert_int_equal(probe->n_ends, 0);
}

static void start_shell(struct probe *probe, const char *script, int64_t timeout_us,
			int64_t grace_us)
{
	const char *const argv[] = { "/bin/sh", "-c", script, NULL };

	start_argv(probe, argv, timeout_us, grace_us);
}

static void run_shell(struct probe *probe, const char *script, int64_t timeout_us, int64_t grace_us)
{
	start_shell(probe, script, timeout_us, grace_us);
	ev_run(probe->loop, 0);
	assert_int_equal(probe->n_ends, 1);
}

static void test_exit_codes(void **state)
{
	struct probe *probe = *state;
	static const int codes[] = { 0, 1, 3, 127, 255 };
	char script[32];
	char text[COMMAND_TEXT_SIZE];

	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		(void)snprintf(script, sizeof(script), "exit %d", codes[i]);
		run_shell(probe, script, 30 * S, S);
		assert_int_equal(probe->result.end, COMMAND_EXITED);
		assert_int_equal(probe->result.value, codes[i]);
		assert_int_equal(command_succeeded(&probe->result), codes[i] == 0);
		assert_false(probe->result.has_leftovers);
		assert_true(probe->result.duration_us >= 0);
		probe->command = command_destroy(probe->command);
		probe->n_ends = 0;
	}
	assert_string_equal(command_result_format(&probe->result, text), "exited with 255");
}

static void test_signalled(void **state)
{
	struct probe *probe = *state;
	char text[COMMAND_TEXT_SIZE];

	run_shell(probe, "kill -SEGV $$", 30 * S, S);
	assert_int_equal(probe->result.end, COMMAND_SIGNALLED);
	assert_int_equal(probe->result.value, SIGSEGV);
	assert_false(command_succeeded(&probe->result));
	assert_string_equal(command_result_format(&probe->result, text),
			    "killed by signal 11 (Segmentation fault)");
}

static void check_not_started(struct probe *probe, const char *file, int error)
{
	const char *const argv[] = { file, NULL };

	start_argv(probe, argv, 30 * S, S);
	ev_run(probe->loop, 0);
	assert_int_equal(probe->n_ends, 1);
	assert_int_equal(probe->result.end, COMMAND_NOT_STARTED);
	assert_int_equal(probe->result.value, error);
	assert_int_equal(probe->n_lines, 0);
	probe->command = command_destroy(probe->command);
	probe->n_ends = 0;
}

static void test_not_started(void **state)
{
	struct probe *probe = *state;
	char text[COMMAND_TEXT_SIZE];
	char file[] = "/tmp/test_command.XXXXXX";
	int fd = mkstemp(file);

	assert_true(fd >= 0);
	check_not_started(probe, file, EACCES);
	assert_int_equal(fchmod(fd, 0700), 0);
	assert_int_equal(write(fd, "garbage\n", 8), 8);
	assert_int_equal(close(fd), 0);
	check_not_started(probe, file, ENOEXEC);
	assert_int_equal(unlink(file), 0);
	check_not_started(probe, file, ENOENT);
	fd = open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0700);
	assert_int_equal(write(fd, "#!/bin/sh\r\n", 11), 11);
	assert_int_equal(close(fd), 0);
	check_not_started(probe, file, COMMAND_NO_INTERPRETER);
	assert_int_equal(unlink(file), 0);
	check_not_started(probe, "/", EACCES);
	check_not_started(probe, "/bin/sh/x", ENOTDIR);
	assert_string_equal(command_result_format(&probe->result, text),
			    "could not be started: Not a directory");
}

static void test_too_late(void **state)
{
	struct probe *probe = *state;

	probe->not_after_us = time_boot_us() - 1;
	check_not_started(probe, "/bin/true", ETIME);
	probe->not_after_us = time_boot_us() + 30 * S;
	run_shell(probe, "exit 0", 30 * S, S);
	assert_true(command_succeeded(&probe->result));
}

static void on_script_end(void *userdata, struct script *script,
			  const struct command_result *result)
{
	struct probe *probe = userdata;

	probe->result = *result;
	ev_break(probe->loop, EVBREAK_ALL);
}

/* Under the lock, before the guard marked that it stops the work; the run is due after that. */
static void test_guard_has_begun(void **state)
{
	struct probe *probe = *state;
	struct lease_file *lease;
	char message[LEASE_FILE_MESSAGE_SIZE], directory[] = "/tmp/test-command-XXXXXX", path[64];
	char program[] = "/bin/true", *argv[] = { program, NULL };
	const struct script_facts facts = { .event = "relinquish", .node = "n1" };
	struct script script;

	assert_non_null(mkdtemp(directory));
	assert_int_equal(lease_file_open(directory, "01234567-89ab-cdef-0123-456789abcdef", &lease,
					 message, sizeof(message)),
			 0);
	lease_file_begin_watch(lease);
	script_init(&script, probe->loop, NULL, "relinquish", on_script_end, probe);
	script_note_group(&script, lease, LEASE_GROUP_STOP);
	script_heed_mark(&script);
	assert_true(lease_file_set_mark(lease, lease_file_watch(lease), LEASE_STOPPING));
	script_run(&script, argv, 30 * S, &facts);
	ev_run(probe->loop, 0);
	assert_int_equal(probe->result.end, COMMAND_NOT_STARTED);
	assert_int_equal(probe->result.value, ECANCELED);
	/* The next try has seen it. */
	script_heed_mark(&script);
	script_run(&script, argv, 30 * S, &facts);
	ev_run(probe->loop, 0);
	assert_true(command_succeeded(&probe->result));
	script_finish(&script);
	(void)lease_file_close(lease);
	(void)snprintf(path, sizeof(path), "%s/" LEASE_FILE, directory);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(directory), 0);
}

static void test_child_setup(void **state)
{
	struct probe *probe = *state;
	int stray = open("/dev/null", O_RDONLY); /* not close-on-exec */
	sigset_t some;

	assert_true(stray >= 0);
	(void)sigemptyset(&some);
	(void)sigaddset(&some, SIGUSR1);
	(void)sigprocmask(SIG_BLOCK, &some, NULL);
	(void)signal(SIGPIPE, SIG_IGN);
	setenv("TZ", "UTC", 1);
	setenv("NOTIFY_SOCKET", "/x", 1);
	run_shell(
		probe,
		"echo $PRIMARYD_EVENT $LANG $TZ \"$NOTIFY_SOCKET\"\n"
		"cd /proc/$$/fd\n"
		"for fd in 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16; do test -e $fd && f=\"$f $fd\"; done; "
		"echo $f\n"
		"readlink 0\n"
		/* Signals 32 and 33 are glibc's own. Its posix_spawn() leaves them ignored, for example below make(1). */
		/* Read by the shell itself: while it starts a program, some of them block everything (vfork). */
		"while read -r n v; do case $n in SigBlk:|SigIgn:) s=\"$s$n $v\\n\" ;; esac; done <../status\n"
		"printf \"$s\" | sed -E 's/[01][08]0{7}$/000000000/' | tr -s 0 ' '\n"
		"test $(cut -d' ' -f5 ../stat) = $$ && echo group\n"
		"echo to stderr >&2\n",
		30 * S, S);
	(void)signal(SIGPIPE, SIG_DFL);
	(void)sigprocmask(SIG_UNBLOCK, &some, NULL);
	(void)close(stray);
	unsetenv("NOTIFY_SOCKET");
	assert_string_equal(probe->all,
			    "takeover xx UTC |0 1 2|/dev/null|SigBlk: |SigIgn: |group|to stderr");
}

static void test_standard_descriptors_closed(void **state)
{
	struct probe *probe = *state;
	int saved[3];

	for (int i = 0; i < 3; i++) {
		saved[i] = fcntl(i, F_DUPFD_CLOEXEC, 10);
		(void)close(i);
	}
	start_shell(probe, "echo out; echo err >&2; cat", 30 * S, S);
	for (int i = 0; i < 3; i++) {
		/* The command's own descriptors may have taken the numbers. */
		if (saved[i] < 0)
			continue;
		if (fcntl(i, F_GETFD) < 0)
			(void)dup2(saved[i], i);
	}
	ev_run(probe->loop, 0);
	probe->command = command_destroy(probe->command);
	for (int i = 0; i < 3; i++) {
		if (saved[i] < 0)
			continue;
		(void)dup2(saved[i], i);
		(void)close(saved[i]);
	}
	assert_int_equal(probe->result.end, COMMAND_EXITED);
	assert_int_equal(probe->result.value, 0);
	assert_string_equal(probe->all, "out|err");
}

static void test_output_lines(void **state)
{
	struct probe *probe = *state;

	run_shell(probe, "printf 'a\\n\\nb\\r\\n\\000\\001\\377x\\nlast'", 30 * S, S);
	assert_string_equal(probe->all, "a|b|?\001\377x|last");
}

static void test_long_line(void **state)
{
	struct probe *probe = *state;

	run_shell(probe, "head -c 300000 /dev/zero | tr '\\0' x; echo; echo y", 30 * S, S);
	assert_int_equal(probe->n_lines, 2);
	assert_int_equal(strlen(probe->first), COMMAND_LINE_MAX + 3);
	assert_string_equal(probe->first + COMMAND_LINE_MAX, "...");
	assert_string_equal(probe->last, "y");
}

static void on_beat(struct ev_loop *loop, ev_timer *timer, int revents)
{
	the_probe.n_beats++;
}

/* Other watchers run between the reads, and every line gets through. */
static void test_spew(void **state)
{
	struct probe *probe = *state;
	ev_timer beat;

	ev_timer_init(&beat, on_beat, 0., 0.0001);
	ev_timer_start(probe->loop, &beat);
	run_shell(probe, "yes 0123456789012345678 | head -c 2000000; echo finished", 60 * S, S);
	ev_timer_stop(probe->loop, &beat);
	assert_int_equal(probe->result.end, COMMAND_EXITED);
	assert_int_equal(probe->n_lines, 100001);
	assert_string_equal(probe->last, "finished");
	assert_true(probe->n_beats >= 20);
}

static void test_hangs(void **state)
{
	struct probe *probe = *state;
	char text[COMMAND_TEXT_SIZE];

	run_shell(probe, "echo started; sleep 1000 & wait", 100 * MS, 30 * S);
	assert_int_equal(probe->result.end, COMMAND_TIMED_OUT);
	assert_false(probe->result.has_leftovers);
	assert_true(probe->result.duration_us >= 100 * MS);
	assert_string_equal(probe->last, "started");
	assert_ptr_equal(strstr(command_result_format(&probe->result, text), "timed out"), text);
}

static void test_timed_out_is_no_success(void **state)
{
	struct probe *probe = *state;

	run_shell(probe, "trap 'echo bye; exit 0' TERM; while :; do sleep 0.01; done", 100 * MS,
		  30 * S);
	assert_int_equal(probe->result.end, COMMAND_TIMED_OUT);
	assert_false(command_succeeded(&probe->result));
	assert_string_equal(probe->last, "bye");
}

static void test_ignores_term(void **state)
{
	struct probe *probe = *state;

	run_shell(probe, "trap '' TERM; echo $$; sleep 1000", 50 * MS, 50 * MS);
	assert_int_equal(probe->result.end, COMMAND_TIMED_OUT);
	assert_false(probe->result.has_leftovers);
	assert_true(probe->result.duration_us >= 100 * MS);
	assert_int_equal(kill(atoi(probe->first), 0), -1);
}

static void test_stopped_one_is_terminated(void **state)
{
	struct probe *probe = *state;

	run_shell(probe, "kill -STOP $$", 50 * MS, 30 * S);
	assert_int_equal(probe->result.end, COMMAND_TIMED_OUT);
}

/* The leader goes at once, its child does not: the group is killed after the grace, then the end. */
static void test_group_outlives_leader(void **state)
{
	struct probe *probe = *state;

	probe->stop_on = "ready";
	run_shell(probe,
		  "(trap '' TERM; echo ready; exec >/dev/null 2>&1; sleep 1000) & "
		  "trap 'exit 0' TERM; wait",
		  60 * S, 100 * MS);
	assert_int_equal(probe->result.end, COMMAND_KILLED);
	assert_false(probe->result.has_leftovers);
	assert_true(probe->result.duration_us >= 100 * MS);
}

static void test_group_goes_within_grace(void **state)
{
	struct probe *probe = *state;

	probe->stop_on = "ready";
	run_shell(
		probe,
		"(trap 'sleep 0.05; echo cleaned; exit' TERM; echo ready; while :; do sleep 0.01; done) & "
		"trap 'exit 0' TERM; wait",
		60 * S, 60 * S);
	assert_int_equal(probe->result.end, COMMAND_KILLED);
	assert_string_equal(probe->last, "cleaned");
	assert_false(probe->result.has_leftovers);
}

static void test_kill_now(void **state)
{
	struct probe *probe = *state;

	probe->break_on = "ready";
	start_shell(probe, "trap '' TERM; (echo ready; sleep 1000) & wait", 0, 60 * S);
	ev_run(probe->loop, 0);
	command_kill(probe->command); /* ignored by it */
	command_kill_now(probe->command);
	command_kill_now(probe->command);
	assert_int_equal(probe->n_ends, 0);
	ev_run(probe->loop, 0);
	assert_int_equal(probe->n_ends, 1);
	assert_int_equal(probe->result.end, COMMAND_KILLED);
	assert_false(probe->result.has_leftovers);
	command_kill(probe->command); /* nothing happens */
	command_kill_now(probe->command);
	assert_int_equal(probe->n_ends, 1);
}

static void test_kill_before_exec(void **state)
{
	struct probe *probe = *state;

	start_shell(probe, "sleep 1000", 0, 60 * S);
	command_kill(probe->command);
	ev_run(probe->loop, 0);
	assert_int_equal(probe->result.end, COMMAND_KILLED);
}

/* A takeover command that leaves a server behind: success at once, named leftovers, output goes on. */
static void test_leftovers_hold_the_pipe(void **state)
{
	struct probe *probe = *state;
	pid_t group;

	probe->break_on = "later";
	run_shell(probe,
		  "(sleep 0.2; echo later; exec sleep 1000) & "
		  "echo now",
		  60 * S, S);
	assert_int_equal(probe->result.end, COMMAND_EXITED);
	assert_int_equal(probe->result.value, 0);
	assert_true(probe->result.has_leftovers);
	group = probe->result.group;
	assert_true(command_group_exists(group));
	ev_run(probe->loop, 0);
	assert_string_equal(probe->last, "later");
	assert_int_equal(probe->n_ends, 1);

	assert_true(command_group_signal(group, SIGKILL));
	ev_run(probe->loop, 0); /* until the pipe is closed: nothing else is active */
	for (int i = 0; command_group_exists(group); i++) {
		assert_true(i < 1000); /* init reaps it */
		(void)usleep(10000);
	}
}

/* One with a session of its own is no leftover of the group, and does not hold up the end either. */
static void test_daemon_with_own_session(void **state)
{
	struct probe *probe = *state;

	run_shell(
		probe,
		"setsid sh -c 'echo $$; exec sleep 1000' & while :; do sleep 0.01; "
		"test -e /proc/$!/stat && test $(cut -d' ' -f5 /proc/$!/stat) = $! && break; done",
		60 * S, S);
	assert_int_equal(probe->result.end, COMMAND_EXITED);
	assert_false(probe->result.has_leftovers);
	while (probe->first == NULL)
		ev_run(probe->loop, EVRUN_ONCE);
	assert_int_equal(kill(atoi(probe->first), SIGKILL), 0);
}

static void test_destroy_running(void **state)
{
	struct probe *probe = *state;
	pid_t pid;

	probe->break_on = "ready";
	start_shell(probe, "trap '' TERM; (sleep 1000) & echo $$; echo ready; wait", 0, 60 * S);
	ev_run(probe->loop, 0);
	pid = atoi(probe->first);
	probe->command = command_destroy(probe->command);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(probe->n_ends, 0);
	assert_null(command_destroy(NULL));
}

static void test_destroy_in_end(void **state)
{
	struct probe *probe = *state;

	probe->destroy_at_end = true;
	start_shell(probe, "echo x", 30 * S, S);
	ev_run(probe->loop, 0);
	assert_int_equal(probe->n_ends, 1);
	assert_null(probe->command);
}

static void test_no_descriptors_left(void **state)
{
	struct probe *probe = *state;
	const char *const argv[] = { "/bin/true", NULL };
	const struct command_options options = {
		.argv = (char *const *)argv,
		.on_end = on_end,
		.userdata = probe,
	};
	int fillers[4096];
	int n = 0;
	int n_free = 0;
	int r;

	while (n < 4096 && (fillers[n] = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0)
		n++;
	assert_true(n < 4096);
	/* With ever more free numbers it fails in another place, until it works. */
	while ((r = command_start(probe->loop, &options, &probe->command)) == -EMFILE) {
		assert_true(n_free < 10);
		(void)close(fillers[--n]);
		n_free++;
	}
	assert_int_equal(r, 0);
	assert_true(n_free > 4);
	while (n > 0)
		(void)close(fillers[--n]);
	ev_run(probe->loop, 0);
	assert_int_equal(probe->n_ends, 1);
	assert_true(command_succeeded(&probe->result));
}

static void test_several_at_once(void **state)
{
	struct probe *probe = *state;
	struct probe others[8];

	memset(others, 0, sizeof(others));
	for (size_t i = 0; i < 8; i++) {
		others[i].loop = probe->loop;
		start_shell(&others[i], i % 2 == 0 ? "echo a; exit 1" : "exec sleep 1000",
			    i % 2 == 0 ? 60 * S : 50 * MS, S);
	}
	ev_run(probe->loop, EVRUN_ONCE);
	for (size_t i = 0; i < 8; i++) {
		while (others[i].n_ends == 0)
			ev_run(probe->loop, 0);
		assert_int_equal(others[i].result.end,
				 i % 2 == 0 ? COMMAND_EXITED : COMMAND_TIMED_OUT);
		command_destroy(others[i].command);
		free(others[i].first);
		free(others[i].last);
		free(others[i].all);
	}
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_exit_codes),
		TEST(test_signalled),
		TEST(test_not_started),
		TEST(test_too_late),
		TEST(test_guard_has_begun),
		TEST(test_child_setup),
		TEST(test_standard_descriptors_closed),
		TEST(test_output_lines),
		TEST(test_long_line),
		TEST(test_spew),
		TEST(test_hangs),
		TEST(test_timed_out_is_no_success),
		TEST(test_ignores_term),
		TEST(test_stopped_one_is_terminated),
		TEST(test_group_outlives_leader),
		TEST(test_group_goes_within_grace),
		TEST(test_kill_now),
		TEST(test_kill_before_exec),
		TEST(test_leftovers_hold_the_pipe),
		TEST(test_daemon_with_own_session),
		TEST(test_destroy_running),
		TEST(test_destroy_in_end),
		TEST(test_no_descriptors_left),
		TEST(test_several_at_once),
	};
	struct rlimit limit;

	/* So that they can be used up. */
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = 256;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
