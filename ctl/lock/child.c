/* SPDX-License-Identifier: Apache-2.0 */
#include "child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/process_group.h"

#define GUARD_NAME "primaryctl-grd"
#define NEWS_FD 3
#define TICK_US 20000 /* between two kills of what is still there */

#define TERMINAL STDIN_FILENO
#define TERMINAL_S 0.2 /* between two looks */

/* -- the guard -- */

/* The guard keeps no descriptor of its owner: connections and pipes must end with the owner. */
static void keep_nothing_but(int news_fd)
{
	int null = open("/dev/null", O_RDWR);

	for (int fd = 0; fd < NEWS_FD; fd++)
		if (null < 0 || dup2(null, fd) < 0)
			close(fd);
	if (news_fd != NEWS_FD)
		dup2(news_fd, NEWS_FD);
	close_range(NEWS_FD + 1, ~0U, 0);
}

/* Kills the group when its time is over, or when nobody is left who could send news. */
static _Noreturn void guard(struct child_news news, pid_t session)
{
	struct process_group group = { .session = session };
	int timer = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC);
	struct pollfd fds[] = { { .fd = NEWS_FD, .events = POLLIN },
				{ .fd = timer, .events = POLLIN } };
	ssize_t n = -1;

	while (timer >= 0 && (n != 0 || process_group_runs(group))) {
		int64_t now_us = time_boot_us();

		time_boot_arm(timer, now_us < news.kill_us ? news.kill_us : now_us + TICK_US);
		(void)poll(fds, 2, -1);
		/* All that was sent: if the guard was stopped meanwhile, the first news are old. */
		while (n != 0 && (n = recv(NEWS_FD, &news, sizeof(news), MSG_DONTWAIT)) > 0)
			;
		if (n == 0) {
			news.kill_us = 0;
			fds[0].fd = -1;
		}
		group.id = (pid_t)news.group;
		if (time_boot_us() >= news.kill_us)
			process_group_kill(group);
	}
	_exit(0);
}

static void on_guard_dead(struct ev_loop *loop, ev_child *watcher, int events);

static int start_guard(struct child *child)
{
	pid_t pid, session = getsid(0);
	sigset_t all, before;
	int news[2], r;
	char none;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, news) < 0)
		return -errno;
	/* They stay blocked in the guard: only the end of its owner and SIGKILL end it. */
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	pid = fork();
	if (pid == 0) {
		/* Out of reach of the terminal, and of a signal to our group. */
		setsid();
		prctl(PR_SET_NAME, GUARD_NAME);
		/* As far as it is allowed, the guard is neither swapped out nor killed for lack of memory. */
		process_set_oom("-1000");
		(void)mlockall(MCL_CURRENT);
		keep_nothing_but(news[0]);
		(void)send(NEWS_FD, "", 1, 0);
		guard(child->news, session);
	}
	r = -errno;
	sigprocmask(SIG_SETMASK, &before, NULL);
	close(news[0]);
	if (pid < 0) {
		close(news[1]);
		return r;
	}
	/* Until the guard is out of reach. */
	(void)recv(news[1], &none, 1, 0);
	child->news_fd = news[1];
	ev_child_init(&child->guard, on_guard_dead, pid, 0);
	child->guard.data = child;
	ev_child_start(child->loop, &child->guard);
	return 0;
}

/* A guard that is killed is replaced: the command is never without one. */
static void on_guard_dead(struct ev_loop *loop, ev_child *watcher, int events)
{
	struct child *child = watcher->data;

	ev_child_stop(loop, watcher);
	close(child->news_fd);
	child->news_fd = -1;
	if (start_guard(child) != 0)
		child_signal(child, SIGKILL);
}

static void finish_guard(struct child *child)
{
	if (child->news_fd < 0)
		return;
	ev_child_stop(child->loop, &child->guard);
	kill(child->guard.pid, SIGKILL);
	(void)waitpid(child->guard.pid, NULL, 0);
	close(child->news_fd);
	child->news_fd = -1;
}

static void send_news(const struct child *child)
{
	/* A guard that does not read any more is of no use. */
	if (send(child->news_fd, &child->news, sizeof(child->news), MSG_DONTWAIT | MSG_NOSIGNAL) <
	    0)
		kill(child->guard.pid, SIGKILL);
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
	struct child_news news = { .group = getpid(), .kill_us = child->news.kill_us };
	int error;

	setpgid(0, 0);
	/* The guard knows the group before the command runs, also if primaryctl is killed meanwhile. */
	(void)!write(child->news_fd, &news, sizeof(news));
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

/* It has ended, and was reaped. */
static void forget_command(struct child *child)
{
	ev_child_stop(child->loop, &child->command);
	ev_timer_stop(child->loop, &child->terminal);
	process_group_kill(child->group);
	child->group.id = 0;
	if (child->has_terminal)
		give_terminal(getpgrp());
	finish_guard(child);
}

/* A shell's fg gives the terminal to our group, and tells nobody. */
static void on_terminal(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct child *child = timer->data;

	if (tcgetpgrp(TERMINAL) != getpgrp())
		return;
	ev_timer_stop(loop, timer);
	child->has_terminal = true;
	give_terminal(child->group.id);
	child_signal(child, SIGCONT);
}

static void on_command(struct ev_loop *loop, ev_child *watcher, int events)
{
	struct child *child = watcher->data;
	int status = watcher->rstatus;

	if (WIFEXITED(status) || WIFSIGNALED(status)) {
		forget_command(child);
		child->on_exit(child->userdata, status);
	} else if (WIFSTOPPED(status) && WSTOPSIG(status) == SIGTSTP) {
		child_signal(child, SIGCONT);
	} else if (WIFSTOPPED(status) &&
		   (WSTOPSIG(status) == SIGTTIN || WSTOPSIG(status) == SIGTTOU)) {
		ev_timer_start(loop, &child->terminal);
	}
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
	pid_t pid, self = getpid();
	int report[2], r;

	if (pipe2(report, O_CLOEXEC) < 0)
		return -errno;
	pid = fork();
	if (pid == 0)
		run(child, self, report[1], argv);
	r = -errno;
	close(report[1]);
	if (pid < 0) {
		close(report[0]);
		return r;
	}
	setpgid(pid, pid);
	child->group = (struct process_group){ .id = pid, .session = getsid(0) };
	child->news.group = pid;
	ev_child_set(&child->command, pid, 1);
	ev_child_start(child->loop, &child->command);
	return read_report(report[0]);
}

int child_start(struct child *child, struct ev_loop *loop, char *const argv[], int64_t kill_us)
{
	int r;

	child->loop = loop;
	child->news = (struct child_news){ .kill_us = kill_us };
	child->news_fd = -1;
	child->has_terminal = isatty(TERMINAL) && tcgetpgrp(TERMINAL) == getpgrp();
	ev_child_init(&child->command, on_command, 0, 1);
	ev_timer_init(&child->terminal, on_terminal, TERMINAL_S, TERMINAL_S);
	child->command.data = child->terminal.data = child;
	r = start_guard(child);
	if (r == 0)
		r = start_command(child, argv);
	if (r != 0)
		child_finish(child);
	return r;
}

void child_guard_until(struct child *child, int64_t kill_us)
{
	if (!child->group.id)
		return;
	child->news.kill_us = kill_us;
	send_news(child);
}

bool child_runs(const struct child *child)
{
	return child->group.id != 0;
}

void child_signal(struct child *child, int number)
{
	if (child->group.id)
		kill(-child->group.id, number);
}

int child_exit_code(int status)
{
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

void child_finish(struct child *child)
{
	pid_t pid = child->group.id;

	if (pid) {
		child_signal(child, SIGKILL);
		(void)waitpid(pid, NULL, 0);
		forget_command(child);
	}
	if (child->loop)
		finish_guard(child);
}
