/* SPDX-License-Identifier: Apache-2.0 */
#include "spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "args.h"
#include "base/duration.h"
#include "base/lock_file.h"
#include "lease_file.h"

#define SELF "/proc/self/exe"
#define FIRST_OPTION 1 /* behind the program */

static void add(const char **list, int *n, const char *text)
{
	list[(*n)++] = text;
}

/* Beside this program, wherever that is installed or built. */
static int find_program(char ret_path[PATH_MAX])
{
	ssize_t n = readlink(SELF, ret_path, PATH_MAX - sizeof(GUARD_PROGRAM));
	char *slash;

	if (n < 0)
		return -errno;
	ret_path[n] = '\0';
	slash = strrchr(ret_path, '/');
	if (slash == NULL)
		return -ENOENT;
	(void)strcpy(slash + 1, GUARD_PROGRAM);
	return 0;
}

static int collect(const struct guard_config *config, const char *program,
		   const char *lease_timeout, const char **list)
{
	int n = 0;

	add(list, &n, program);
	add(list, &n, "--runtime-directory");
	add(list, &n, config->runtime_directory);
	add(list, &n, "--lease-timeout");
	add(list, &n, lease_timeout);
	add(list, &n, "--node");
	add(list, &n, config->node);
	if (config->self_fence) {
		add(list, &n, "--self-fence");
		add(list, &n, "reboot");
	}
	if (config->relinquish == NULL)
		return n;
	add(list, &n, "--");
	for (char *const *arg = config->relinquish; *arg != NULL; arg++) {
		if (n == GUARD_ARGS_MAX)
			return -E2BIG;
		add(list, &n, *arg);
	}
	return n;
}

int guard_argv_create(const struct guard_config *config, struct guard_argv **ret_argv)
{
	char lease_timeout[DURATION_TEXT_SIZE], program[PATH_MAX];
	const char *list[GUARD_ARGS_MAX];
	struct guard_argv *argv;
	size_t n_texts = 0;
	char *p;
	int n = config->binary != NULL ? 0 : find_program(program);

	if (n < 0)
		return n;
	(void)duration_format(config->lease_timeout_us, lease_timeout);
	n = collect(config, config->binary != NULL ? config->binary : program, lease_timeout, list);
	if (n < 0)
		return n;
	for (int i = 0; i < n; i++)
		n_texts += strlen(list[i]) + 1;
	argv = calloc(1, sizeof(*argv) + n_texts);
	if (argv == NULL)
		return -ENOMEM;
	p = argv->texts;
	for (int i = 0; i < n; i++) {
		argv->list[i] = p;
		p = stpcpy(p, list[i]) + 1;
	}
	argv->n = n;
	*ret_argv = argv;
	return 0;
}

/* --ready-fd FD stands before the rest, so that it is never taken for part of the command. */
static void insert_ready_fd(const struct guard_argv *argv, char *number,
			    char *ret_list[GUARD_ARGS_MAX + 3])
{
	static char option[] = "--ready-fd";

	memcpy(ret_list, argv->list, FIRST_OPTION * sizeof(char *));
	ret_list[FIRST_OPTION] = option;
	ret_list[FIRST_OPTION + 1] = number;
	memcpy(ret_list + FIRST_OPTION + 2, argv->list + FIRST_OPTION,
	       (size_t)(argv->n - FIRST_OPTION + 1) * sizeof(char *));
}

/* In the child: async-signal-safe calls only. */
static _Noreturn void run_child(char *const *list, int ready_fd)
{
	/* Whoever signals the daemon's group, as a terminal or a supervisor may, must not hit it. */
	(void)setsid();
	/* All signals stay blocked, until the guard can read its own: one that is told early to look again would die of it. */
	(void)fcntl(ready_fd, F_SETFD, 0);
	(void)execv(list[0], list);
	_exit(127);
}

/* The descriptor gets a number above 2, even where the daemon runs with those closed. */
static int open_pipe(int fds[2])
{
	int low[2];
	int r = 0;

	if (pipe2(low, O_CLOEXEC) < 0)
		return -errno;
	fds[0] = fcntl(low[0], F_DUPFD_CLOEXEC, 3);
	fds[1] = fds[0] < 0 ? -1 : fcntl(low[1], F_DUPFD_CLOEXEC, 3);
	if (fds[1] < 0) {
		r = -errno;
		if (fds[0] >= 0)
			(void)close(fds[0]);
	}
	(void)close(low[0]);
	(void)close(low[1]);
	/* Only the reader: the guard's one byte always fits. */
	if (r == 0)
		(void)fcntl(fds[0], F_SETFL, O_NONBLOCK);
	return r;
}

static pid_t fork_child(char *const *list, int ready_fd)
{
	sigset_t all, before;
	pid_t pid;

	/* The daemon's handlers must not run in the child: they would write into its pipes. */
	(void)sigfillset(&all);
	(void)sigprocmask(SIG_SETMASK, &all, &before);
	pid = fork();
	if (pid == 0)
		run_child(list, ready_fd);
	(void)sigprocmask(SIG_SETMASK, &before, NULL);
	return pid < 0 ? -errno : pid;
}

int guard_child_spawn(const struct guard_argv *argv, struct guard_child *ret_child)
{
	struct guard_child child;
	char *list[GUARD_ARGS_MAX + 3];
	char number[16];
	int fds[2] = { -1, -1 };
	int r = open_pipe(fds);

	if (r < 0)
		return r;
	(void)snprintf(number, sizeof(number), "%d", fds[1]);
	insert_ready_fd(argv, number, list);
	child.pid = fork_child(list, fds[1]);
	(void)close(fds[1]);
	child.ready_fd = fds[0];
	child.pidfd = child.pid < 0 ? -1 : pidfd_open(child.pid, 0);
	if (child.pidfd < 0) {
		r = child.pid < 0 ? child.pid : -errno;
		if (child.pid > 0) {
			(void)kill(child.pid, SIGKILL);
			(void)waitpid(child.pid, NULL, WNOHANG);
		}
		(void)close(fds[0]);
		return r;
	}
	*ret_child = child;
	return 0;
}

/* Who holds the lock, as a descriptor that means that process and no later one. */
static int find_holder(const char *runtime_directory, struct guard_identity *ret_identity,
		       int *ret_pidfd)
{
	char text[LOCK_FILE_TEXT_SIZE], again[LOCK_FILE_TEXT_SIZE];
	int r = lock_file_look(runtime_directory, GUARD_LOCK_FILE, text);
	int pidfd;

	/* Not written yet: a guard that begins just now. Nobody of the daemon's knows it. */
	if (r == 0 || (r > 0 && guard_identity_parse(text, ret_identity) < 0))
		return GUARD_NONE;
	if (r < 0)
		return r;
	pidfd = pidfd_open(ret_identity->pid, 0);
	if (pidfd < 0)
		return errno == ESRCH ? GUARD_NONE : -errno;
	/* Still held by the same: then the descriptor means the holder, not a later process. */
	r = lock_file_look(runtime_directory, GUARD_LOCK_FILE, again);
	if (r <= 0 || strcmp(text, again) != 0) {
		(void)close(pidfd);
		return r < 0 ? r : GUARD_NONE;
	}
	*ret_pidfd = pidfd;
	return 0;
}

int guard_wake(const char *runtime_directory)
{
	struct guard_identity identity;
	int pidfd = -1;
	int r = find_holder(runtime_directory, &identity, &pidfd);

	if (r != 0)
		return r;
	if (pidfd_send_signal(pidfd, SIGTERM, NULL, 0) < 0)
		r = errno == ESRCH ? GUARD_NONE : -errno;
	(void)close(pidfd);
	return r;
}

bool guard_watches(const char *runtime_directory, struct lease_file *lease)
{
	struct guard_identity identity;
	int pidfd = -1;
	int r = find_holder(runtime_directory, &identity, &pidfd);

	if (pidfd >= 0)
		(void)close(pidfd);
	return r == 0 && identity.watch == lease_file_watch(lease);
}

int guard_child_find(const char *runtime_directory, const struct guard_argv *argv, uint64_t watch,
		     struct guard_child *ret_child, bool *ret_same)
{
	struct guard_identity identity;
	int pidfd = -1;
	int r = find_holder(runtime_directory, &identity, &pidfd);

	if (r != 0)
		return r;
	*ret_same = identity.watch == watch &&
		    identity.fingerprint == guard_fingerprint(argv->list + FIRST_OPTION);
	*ret_child = (struct guard_child){ .pid = identity.pid, .pidfd = pidfd, .ready_fd = -1 };
	return 0;
}

void guard_child_reap(int pidfd)
{
	siginfo_t info;

	/* Not our child, or reaped by somebody else: then there is nothing to do. */
	(void)waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED | WNOHANG);
}
