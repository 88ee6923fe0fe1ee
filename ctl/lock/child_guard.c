/* SPDX-License-Identifier: Apache-2.0 */
#include "child_guard.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/process_group.h"
#include "base/timer.h"

#define NAME "primaryctl-grd"
#define OWNER_FD 3
#define TIMER_FD 4
#define TICK_US 20000 /* between two kills of what is still there */

struct child_guard_page *child_guard_map(void)
{
	void *page = mmap(NULL, sizeof(struct child_guard_page), PROT_READ | PROT_WRITE,
			  MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	return page == MAP_FAILED ? NULL : page;
}

void child_guard_unmap(struct child_guard_page *page)
{
	if (page)
		munmap(page, sizeof(*page));
}

/* -- in the guard -- */

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

/* -- in its owner -- */

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
		prctl(PR_SET_NAME, NAME);
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

int child_guard_start(struct child_guard *ret_guard, struct child_guard_page *page)
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

void child_guard_finish(struct child_guard *guard)
{
	if (!guard->pid)
		return;
	kill(guard->pid, SIGKILL);
	(void)waitpid(guard->pid, NULL, 0);
	close(guard->pidfd);
	guard->pid = 0;
}
