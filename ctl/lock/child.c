/* SPDX-License-Identifier: Apache-2.0 */
#include "child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/process_group.h"

#define GUARD_NAME "primaryctl-grd"
#define OWNER_FD 3
#define TIMER_FD 4
#define TICK_US 20000 /* between two kills of what is still there */

#define TERMINAL STDIN_FILENO
#define TERMINAL_S 0.2 /* between two looks */

/* -- the guard -- */

/* Until then, or until the owner is dead: true. */
static bool nap_until(int64_t until_us)
{
	struct itimerspec when = {
		.it_value = { .tv_sec = (time_t)(until_us / 1000000),
			      .tv_nsec = (long)(until_us % 1000000) * 1000 + 1 },
	};
	struct pollfd fds[] = { { .fd = OWNER_FD, .events = POLLIN },
				{ .fd = TIMER_FD, .events = POLLIN } };

	(void)timerfd_settime(TIMER_FD, TFD_TIMER_ABSTIME, &when, NULL);
	(void)poll(fds, 2, -1);
	return fds[0].revents != 0;
}

static _Noreturn void guard(struct child_guard_page *page, pid_t session)
{
	struct process_group group = { .session = session };
	bool orphaned = false;

	do {
		int64_t now_us = time_boot_us(), kill_us = page->kill_us;

		orphaned = orphaned || nap_until(now_us < kill_us ? kill_us : now_us + TICK_US);
		/* Read after the owner was seen dead: its child writes it before it looks whether it has a parent. */
		group.id = page->group;
		if (orphaned || time_boot_us() >= page->kill_us)
			process_group_kill(group);
		if (orphaned && process_group_runs(group))
			usleep(TICK_US);
	} while (!orphaned || process_group_runs(group));
	_exit(0);
}

/* Of our owner's descriptors it keeps none: connections and pipes must end with the owner. */
static void arrange_descriptors(int owner, int timer)
{
	int null = open("/dev/null", O_RDWR);

	/* Above those that they are copied to. */
	owner = fcntl(owner, F_DUPFD, TIMER_FD + 1);
	timer = fcntl(timer, F_DUPFD, TIMER_FD + 1);
	for (int fd = 0; fd < OWNER_FD; fd++) {
		if (null < 0)
			close(fd);
		else if (null != fd)
			dup2(null, fd);
	}
	dup2(owner, OWNER_FD);
	dup2(timer, TIMER_FD);
	close_range(TIMER_FD + 1, ~0U, 0);
}

static pid_t fork_guard(struct child_guard_page *page, int owner, int timer)
{
	pid_t pid, session = getsid(0);
	sigset_t all, before;
	int ready[2];
	char none;

	if (pipe2(ready, O_CLOEXEC) < 0)
		return -errno;
	/* They stay blocked in it: only its owner's end and SIGKILL end it. */
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	pid = fork();
	if (pid == 0) {
		/* Out of reach of the terminal, and of who signals our group. */
		setsid();
		prctl(PR_SET_NAME, GUARD_NAME);
		/* Out of the reach of the memory killer and of swapping, as far as allowed. */
		process_set_oom("-1000");
		(void)mlockall(MCL_CURRENT);
		arrange_descriptors(owner, timer);
		guard(page, session);
	}
	if (pid < 0)
		pid = -errno;
	sigprocmask(SIG_SETMASK, &before, NULL);
	close(ready[1]);
	/* Until it has closed its end: then it is out of reach. */
	while (pid > 0 && read(ready[0], &none, 1) < 0 && errno == EINTR)
		;
	close(ready[0]);
	return pid;
}

static int start_guard(struct child_guard *ret_guard, struct child_guard_page *page)
{
	int owner = pidfd_open(getpid(), 0), timer = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC);
	struct child_guard started = { .pidfd = -1 };
	int r = owner < 0 || timer < 0 ? -errno : 0;

	if (r == 0)
		started.pid = fork_guard(page, owner, timer);
	if (owner >= 0)
		close(owner);
	if (timer >= 0)
		close(timer);
	if (r != 0 || started.pid < 0)
		return r != 0 ? r : (int)started.pid;
	started.pidfd = pidfd_open(started.pid, 0);
	if (started.pidfd < 0) {
		r = -errno;
		kill(started.pid, SIGKILL);
		waitpid(started.pid, NULL, 0);
		return r;
	}
	*ret_guard = started;
	return 0;
}

static void finish_guard(struct child_guard *guard)
{
	if (!guard->pid)
		return;
	kill(guard->pid, SIGKILL);
	(void)waitpid(guard->pid, NULL, 0);
	close(guard->pidfd);
	guard->pid = 0;
}

/* -- the command -- */

/* Gives the terminal to a group; from the background, too. */
static void give_terminal(pid_t group)
{
	sigset_t set, before;

	sigemptyset(&set);
	sigaddset(&set, SIGTTOU);
	sigprocmask(SIG_BLOCK, &set, &before);
	(void)tcsetpgrp(TERMINAL, group);
	sigprocmask(SIG_SETMASK, &before, NULL);
}

/* Resets the signals that primaryctl handles or ignores itself. Those it was started to ignore the command ignores, too. */
static void reset_signals(void)
{
	struct sigaction action;
	sigset_t none;

	for (int number = 1; number < _NSIG; number++)
		if (sigaction(number, NULL, &action) == 0 && action.sa_handler != SIG_IGN)
			signal(number, SIG_DFL);
	signal(SIGPIPE, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* In the new process: does not return. */
static void run(const struct child *child, pid_t parent, int report, char *const argv[])
{
	int error;

	setpgid(0, 0);
	/* Before the look at the parent: a guard that sees it dead afterwards knows the group. */
	child->page->group = getpid();
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(128 + SIGKILL);
	if (child->has_terminal)
		give_terminal(getpid());
	reset_signals();
	execvp(argv[0], argv);
	error = errno;
	(void)!write(report, &error, sizeof(error));
	_exit(127);
}

/* The way out, from wherever it stands; the command's status. */
static int end(struct child *child)
{
	int status = 0;

	if (child->pid) {
		ev_io_stop(child->loop, &child->io);
		ev_signal_stop(child->loop, &child->changed);
		ev_timer_stop(child->loop, &child->terminal);
		/* Before it is reaped its number belongs to nobody else. */
		kill(-child->pid, SIGKILL);
		child->page->group = 0;
		while (waitpid(child->pid, &status, 0) < 0 && errno == EINTR)
			;
		if (child->pidfd >= 0)
			close(child->pidfd);
		child->pid = 0;
		if (child->has_terminal)
			give_terminal(getpgrp());
	}
	if (child->guard.pid) {
		ev_io_stop(child->loop, &child->guard_io);
		finish_guard(&child->guard);
	}
	if (child->page)
		munmap(child->page, sizeof(*child->page));
	child->page = NULL;
	return status;
}

static void on_readable(struct ev_loop *loop, ev_io *io, int events)
{
	struct child *child = io->data;
	int status;

	(void)loop;
	(void)events;
	status = end(child);
	child->on_exit(child->userdata, status);
}

static void watch_guard(struct child *child);

/* Somebody killed it: the command is not left without. */
static void on_guard_dead(struct ev_loop *loop, ev_io *io, int events)
{
	struct child *child = io->data;

	(void)events;
	ev_io_stop(loop, io);
	finish_guard(&child->guard);
	if (start_guard(&child->guard, child->page) == 0)
		watch_guard(child);
	else
		child_signal(child, SIGKILL);
}

static void watch_guard(struct child *child)
{
	ev_io_init(&child->guard_io, on_guard_dead, child->guard.pidfd, EV_READ);
	child->guard_io.data = child;
	ev_io_start(child->loop, &child->guard_io);
}

/* A shell's fg gives the terminal to our group, and tells nobody. */
static void on_terminal(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct child *child = timer->data;

	(void)events;
	if (tcgetpgrp(TERMINAL) != getpgrp())
		return;
	ev_timer_stop(loop, timer);
	child->has_terminal = true;
	give_terminal(child->pid);
	kill(-child->pid, SIGCONT);
}

static void on_changed(struct ev_loop *loop, ev_signal *changed, int events)
{
	struct child *child = changed->data;
	siginfo_t info = { 0 };

	(void)events;
	if (waitid(P_PID, (id_t)child->pid, &info, WSTOPPED | WNOHANG) != 0 ||
	    info.si_pid != child->pid)
		return;
	if (info.si_status == SIGTSTP)
		kill(-child->pid, SIGCONT);
	else if (info.si_status == SIGTTIN || info.si_status == SIGTTOU)
		ev_timer_start(loop, &child->terminal);
}

/* Before it becomes the command, the new process reports an errno, or nothing. */
static int read_report(int fd)
{
	int error = 0;
	ssize_t n;

	do {
		n = read(fd, &error, sizeof(error));
	} while (n < 0 && errno == EINTR);
	close(fd);
	return n == sizeof(error) ? -error : 0;
}

/* The process, and how it gets on until it is the command. */
static int start_command(struct child *child, char *const argv[])
{
	pid_t self = getpid();
	int report[2], r;

	if (pipe2(report, O_CLOEXEC) < 0)
		return -errno;
	child->pid = fork();
	if (child->pid == 0)
		run(child, self, report[1], argv);
	r = -errno;
	close(report[1]);
	if (child->pid < 0) {
		child->pid = 0;
		close(report[0]);
		return r;
	}
	setpgid(child->pid, child->pid);
	r = read_report(report[0]);
	child->pidfd = pidfd_open(child->pid, 0);
	if (r == 0 && child->pidfd < 0)
		r = -errno;
	ev_io_set(&child->io, child->pidfd, EV_READ);
	return r;
}

int child_start(struct child *child, struct ev_loop *loop, char *const argv[], int64_t kill_us)
{
	void *page;
	int r;

	child->loop = loop;
	child->has_terminal = isatty(TERMINAL) && tcgetpgrp(TERMINAL) == getpgrp();
	ev_io_init(&child->io, on_readable, -1, EV_READ);
	ev_signal_init(&child->changed, on_changed, SIGCHLD);
	ev_timer_init(&child->terminal, on_terminal, TERMINAL_S, TERMINAL_S);
	child->io.data = child->changed.data = child->terminal.data = child;
	/* Inherited as ignored it would let no child be waited for. */
	signal(SIGCHLD, SIG_DFL);
	page = mmap(NULL, sizeof(*child->page), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		    -1, 0);
	if (page == MAP_FAILED)
		return -errno;
	child->page = page;
	child->page->kill_us = kill_us;
	r = start_guard(&child->guard, child->page);
	if (r == 0) {
		watch_guard(child);
		r = start_command(child, argv);
	}
	if (r != 0) {
		child_finish(child);
		return r;
	}
	ev_io_start(loop, &child->io);
	ev_signal_start(loop, &child->changed);
	/* The command may have stopped before the first SIGCHLD that is heard. */
	ev_feed_event(loop, &child->changed, EV_SIGNAL);
	return 0;
}

void child_guard_until(struct child *child, int64_t kill_us)
{
	if (child->page)
		child->page->kill_us = kill_us;
}

void child_signal(struct child *child, int number)
{
	if (child->pid)
		kill(-child->pid, number);
}

int child_exit_code(int status)
{
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

void child_finish(struct child *child)
{
	(void)end(child);
}
