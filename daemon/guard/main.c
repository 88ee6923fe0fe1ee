/* SPDX-License-Identifier: Apache-2.0 */
#include "main.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "args.h"
#include "base/boot.h"
#include "base/lock_file.h"
#include "base/clock.h"
#include "command.h"
#include "base/notify.h"
#include "lease_file.h"
#include "log/log.h"
#include "watch.h"

#define TICK_US 10000	/* between two looks while waiting for the former guard to go */
#define EVICT_US 100000 /* between two calls to it */

/* On standby, between two looks whether the daemon lives. */
#define STANDBY_LOOK_US (600 * INT64_C(1000000))

struct guard {
	struct guard_args args;
	int timer_fd, signal_fd, lock_fd;
	bool ready; /* and said so */
	struct watch watch;
};

/* Until then, or until a signal: SIGTERM and SIGINT mean "look again", SIGCHLD that a command ended. */
static void nap_until(struct guard *g, int64_t until_us)
{
	struct pollfd fds[] = { { .fd = g->timer_fd, .events = POLLIN },
				{ .fd = g->signal_fd, .events = POLLIN } };
	struct signalfd_siginfo info;

	time_boot_arm(g->timer_fd, until_us);
	(void)poll(fds, 2, -1);
	while (read(g->signal_fd, &info, sizeof(info)) > 0)
		;
}

static void nap(struct guard *g)
{
	nap_until(g, time_boot_us() + TICK_US);
}

static int write_identity(struct guard *g, int fd)
{
	struct guard_identity self = { getpid(), g->watch.number, g->args.fingerprint };
	char text[LOCK_FILE_TEXT_SIZE];

	return lock_file_write(fd, guard_identity_format(&self, text));
}

static void report_ready(struct guard *g)
{
	int fd = g->args.ready_fd;
	ssize_t n;

	g->ready = true;
	if (fd < 0) {
		/* A service of its own, not the daemon's child. */
		(void)notify_send("READY=1\nSTATUS=Watching over the lease\n");
		return;
	}
	n = write(fd, "", 1);
	(void)n;
	(void)close(fd);
}

static bool daemon_lives(const struct guard *g)
{
	char text[LOCK_FILE_TEXT_SIZE];

	return lock_file_look(g->args.runtime_directory, ".", text) != LOCK_FILE_OK;
}

/* What is bound to a service starts when that says that it is ready: not on a lease that is over. */
static bool may_be_ready(const struct guard *g)
{
	return g->args.ready_fd >= 0 ||
	       (lease_file_mark(g->watch.lease) == LEASE_WATCHED &&
		time_boot_us() < keeper_guard_acts_us(&g->watch.config, g->watch.end_us));
}

/*
 * On standby, for a node that is named and not primary yet: until there is a lease. What is bound to a service must wait for
 * that, also when somebody else starts it. False: the watch is over.
 */
static bool stand_by(struct guard *g)
{
	while (!watch_read(&g->watch)) {
		if (watch_is_over(&g->watch) || !daemon_lives(g))
			return false;
		if (g->args.ready_fd >= 0 && !g->ready)
			report_ready(g);
		else if (!g->ready)
			(void)notify_send("STATUS=Waiting for the lease\n");
		nap_until(g, time_boot_us() + STANDBY_LOOK_US);
	}
	if (!g->ready && may_be_ready(g))
		report_ready(g);
	return true;
}

static int keep_watch(struct guard *g)
{
	if (!stand_by(g))
		return GUARD_DISARMED;
	watch_begin(&g->watch);
	for (;;) {
		int64_t next_us = watch_look(&g->watch);

		if (g->watch.code >= 0)
			return g->watch.code;
		nap_until(g, next_us);
	}
}

/* One guard at a time. Returns 0, -errno, or -ECANCELED when there is nothing to watch any more. */
static int take_post(struct guard *g)
{
	char text[LOCK_FILE_TEXT_SIZE];
	struct guard_identity other;
	int64_t evict_us = 0;
	int r;

	while ((r = lock_file_take(g->args.runtime_directory, GUARD_LOCK_FILE, &g->lock_fd)) > 0) {
		if (watch_is_over(&g->watch))
			return -ECANCELED;
		/* Of a former watch: it goes when it looks. Of this one: it stays, we wait. */
		if (time_boot_us() >= evict_us &&
		    lock_file_look(g->args.runtime_directory, GUARD_LOCK_FILE, text) > 0 &&
		    guard_identity_parse(text, &other) == 0) {
			(void)kill(other.pid, SIGTERM);
			evict_us = time_boot_us() + EVICT_US;
		}
		nap(g);
	}
	if (r < 0)
		return r;
	/* Kept open, and locked, for the life of the process. */
	r = write_identity(g, g->lock_fd);
	if (r < 0)
		return r;
	return watch_is_over(&g->watch) ? -ECANCELED : 0;
}

static void detach(int keep_fd)
{
	(void)setsid();
	if (chdir("/") < 0)
		guard_say(LOG_DEBUG, "cannot leave the working directory");
	(void)umask(0077);
	if (keep_fd > 3)
		(void)close_range(3, (unsigned)keep_fd - 1, 0);
	(void)close_range(keep_fd < 0 ? 3 : (unsigned)keep_fd + 1, ~0U, 0);
}

/* In the other process, until nobody is left to say anything. */
static _Noreturn void copy(int from)
{
	char text[512];
	ssize_t n;

	(void)prctl(PR_SET_NAME, "primaryd-copy");
	(void)dup2(from, STDIN_FILENO);
	(void)close_range(3, ~0U, 0);
	while ((n = read(STDIN_FILENO, text, sizeof(text))) > 0)
		(void)!write(STDERR_FILENO, text, (size_t)n);
	_exit(0);
}

/* The disk of a file may be what is lost: another process waits for it, and this one for a pipe with room. */
static void leave_file_to_another(void)
{
	int news[2];
	struct stat st;
	pid_t pid;

	if (fstat(STDERR_FILENO, &st) < 0 || !S_ISREG(st.st_mode) || pipe2(news, O_CLOEXEC) < 0)
		return;
	pid = fork();
	if (pid == 0)
		copy(news[0]);
	if (pid > 0)
		(void)dup2(news[1], STDERR_FILENO);
	(void)close(news[0]);
	(void)close(news[1]);
}

static void open_log(struct guard *g)
{
	const struct log_options options = { .node = g->args.node, .target = LOG_TARGET_JOURNAL };

	if (log_journal_is_behind(STDERR_FILENO) && log_create(&options, &g->watch.log) < 0)
		g->watch.log = NULL;
}

static int prepare(struct guard *g)
{
	char boot_id[BOOT_ID_SIZE];
	sigset_t signals;
	int r;

	tzset(); /* reads a file: not when it is time to act */
	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGHUP, SIG_IGN);
	(void)signal(SIGCHLD, SIG_DFL);
	(void)sigemptyset(&signals);
	(void)sigaddset(&signals, SIGTERM);
	(void)sigaddset(&signals, SIGINT);
	(void)sigaddset(&signals, SIGCHLD);
	/* The daemon's child comes with all of them blocked: a SIGTERM that it was sent before is still to be read. */
	(void)sigprocmask(SIG_SETMASK, &signals, NULL);
	leave_file_to_another();
	open_log(g);
	g->signal_fd = signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC);
	g->timer_fd = timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK | TFD_CLOEXEC);
	if (g->signal_fd < 0 || g->timer_fd < 0)
		return -errno;
	r = boot_id_read(boot_id);
	if (r == 0)
		r = lease_file_attach(g->args.runtime_directory, boot_id, &g->watch.lease);
	if (r == LEASE_FILE_DAMAGED)
		r = -EBADMSG;
	if (r == 0)
		g->watch.number = lease_file_watch(g->watch.lease);
	/* It was begun, and is over by now. */
	return r == 0 && g->watch.number == 0 ? -ECANCELED : r;
}

int guard_main(int argc, char *argv[])
{
	struct guard g = { .signal_fd = -1, .watch.args = &g.args };
	int r;

	if (guard_args_parse(argc, argv, &g.args) < 0)
		return GUARD_USAGE;
	detach(g.args.ready_fd);
	r = prepare(&g);
	if (r == 0)
		r = take_post(&g);
	if (r == -ECANCELED) {
		r = GUARD_DISARMED;
	} else if (r < 0) {
		guard_say(LOG_ERR, "cannot watch: %s", strerror(-r));
		r = GUARD_FAILED;
	} else {
		guard_harden();
		r = keep_watch(&g);
	}
	g.watch.log = log_destroy(g.watch.log);
	g.watch.lease = lease_file_close(g.watch.lease);
	return r;
}
