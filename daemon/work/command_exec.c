/* SPDX-License-Identifier: Apache-2.0 */
#include "command_exec.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/process_group.h"
#include "base/timer.h"
#include "command_environment.h"

struct exec_plan {
	const struct command_options *options;
	struct command_environment environment;
	int output;
	int failure;
	sigset_t all_signals;
};

/* From here to the exec: async-signal-safe calls only. */

static void close_between(int below, int above)
{
	/* All are close-on-exec anyway, except those of libraries that do not know of it. */
	int first = below + 1 > 3 ? below + 1 : 3;

	if (first < above)
		(void)close_range((unsigned)first, (unsigned)above - 1, 0);
}

static int arrange_descriptors(struct exec_plan *plan)
{
	int low = plan->output < plan->failure ? plan->output : plan->failure;
	int high = plan->output < plan->failure ? plan->failure : plan->output;
	int null;

	/* First, so that there is room for the others even when the parent has no number left. */
	close_between(-1, low);
	close_between(low, high);
	close_between(high, INT_MAX);
	/* Our own standard descriptors may be closed, and the pipes have taken their numbers. */
	plan->output = fcntl(plan->output, F_DUPFD_CLOEXEC, 3);
	plan->failure = fcntl(plan->failure, F_DUPFD_CLOEXEC, 3);
	null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (plan->output < 0 || plan->failure < 0 || null < 0)
		return -errno;
	null = fcntl(null, F_DUPFD_CLOEXEC, 3);
	if (null < 0 || dup2(null, 0) < 0 || dup2(plan->output, 1) < 0 || dup2(plan->output, 2) < 0)
		return -errno;
	return 0;
}

static _Noreturn void run_child(struct exec_plan *plan)
{
	const struct command_options *options = plan->options;
	bool wanted = true;
	int failure;
	ssize_t n;

	(void)setpgid(0, 0);
	/* While its descriptors are open. */
	if (options->on_fork)
		wanted = options->on_fork(options->userdata, getpid());
	failure = -arrange_descriptors(plan);
	process_reset_signals();
	/* The unit protects the daemon from the memory killer, not its commands: they may be what uses up the memory. */
	process_set_oom("0");
	if (failure == 0 && options->not_after_us && time_boot_us() > options->not_after_us)
		failure = ETIME;
	if (failure == 0 && !wanted)
		failure = ECANCELED;
	if (failure == 0) {
		(void)execve(options->argv[0], options->argv,
			     (char *const *)plan->environment.list);
		failure = errno;
		if (failure == ENOENT && access(options->argv[0], F_OK) == 0)
			failure = COMMAND_NO_INTERPRETER;
	}
	n = write(plan->failure, &failure, sizeof(failure));
	_exit(n == (ssize_t)sizeof(failure) ? 127 : 126);
}

static pid_t fork_child(struct exec_plan *plan)
{
	sigset_t before;
	pid_t pid;

	/* The parent's handlers must not run in the child: they would write into its pipes. */
	(void)sigfillset(&plan->all_signals);
	(void)sigprocmask(SIG_SETMASK, &plan->all_signals, &before);
	pid = fork();
	if (pid == 0)
		run_child(plan);
	(void)sigprocmask(SIG_SETMASK, &before, NULL);
	if (pid < 0)
		return -errno;
	/* Both sides do it: whoever is first, the group exists from here on. */
	(void)setpgid(pid, pid);
	return pid;
}

static void close_pair(int fds[2])
{
	(void)close(fds[0]);
	(void)close(fds[1]);
}

int command_exec(const struct command_options *options, struct command_child *ret)
{
	struct exec_plan plan = { .options = options };
	int output[2], failure[2];
	int r;

	assert(options->argv != NULL && options->argv[0] != NULL);
	command_environment(options->environment, &plan.environment);
	if (pipe2(output, O_CLOEXEC) < 0)
		return -errno;
	if (pipe2(failure, O_CLOEXEC) < 0) {
		r = -errno;
		close_pair(output);
		return r;
	}
	/* Our ends only: the child's output should be an ordinary, blocking pipe. */
	(void)fcntl(output[0], F_SETFL, O_RDONLY | O_NONBLOCK);
	(void)fcntl(failure[0], F_SETFL, O_RDONLY | O_NONBLOCK);
	plan.output = output[1];
	plan.failure = failure[1];
	ret->pid = fork_child(&plan);
	if (ret->pid < 0) {
		close_pair(output);
		close_pair(failure);
		return ret->pid;
	}
	(void)close(output[1]);
	(void)close(failure[1]);
	ret->output = output[0];
	ret->failure = failure[0];
	return 0;
}
