/* SPDX-License-Identifier: Apache-2.0 */
#include "main.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/reboot.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <syslog.h>
#include <unistd.h>

#include "args.h"
#include "base/boot.h"
#include "base/lock_file.h"
#include "base/timer.h"
#include "command.h"
#include "host/notify.h"
#include "lease_file.h"
#include "log/internal.h"
#include "log/log.h"
#include "work_lock.h"

#define SHARE 8		/* of the lease timeout: head start of the daemon, and time to kill */
#define TICK_US 10000	/* between two looks while waiting for what tells nobody that it ended */
#define EVICT_US 100000 /* between two calls to a former guard to go */
#define TRY_US 1000000	/* between two tries of a relinquish command that fails: as the daemon's */

/* The start of a service on standby may take as long as that lasts, and this. */
#define STANDBY_SLACK_US 5000000

struct guard {
	struct guard_args args;
	struct lease_file *lease;
	struct log *log; /* NULL: plain lines */
	char boot_id[BOOT_ID_SIZE];
	uint64_t watch;
	int timer_fd, signal_fd, lock_fd;
	bool ready;		    /* and said so */
	int64_t end_us, timeout_us; /* as of the last look */
};

enum look { LOOK_LATER, LOOK_OVER, LOOK_DONE };

/* With the event's fields where they are understood, else as a line like the others. */
static void say(struct guard *g, enum event event, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static void say(struct guard *g, enum event event, const char *format, ...)
{
	const struct log_fields fields = { .epoch = lease_file_epoch(g->lease) };
	char text[256];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (g->log != NULL)
		log_event(g->log, event, &fields, "guard: %s", text);
	else
		guard_say(LOG_WARNING, "%s", text);
}

static enum look look(struct guard *g)
{
	g->timeout_us = lease_file_timeout_us(g->lease);
	if (g->timeout_us <= 0)
		g->timeout_us = g->args.lease_timeout_us;
	g->end_us = lease_file_end_us(g->lease);
	if (g->end_us == 0 || lease_file_watch(g->lease) != g->watch)
		return LOOK_DONE;
	return time_boot_us() < g->end_us - g->timeout_us + g->timeout_us / SHARE ? LOOK_LATER
										  : LOOK_OVER;
}

/* Until then, or until a signal: SIGTERM and SIGINT mean "look again", SIGCHLD that a command ended. */
static void nap_until(struct guard *g, int64_t until_us)
{
	struct itimerspec when = {
		.it_value = { .tv_sec = (time_t)(until_us / 1000000),
			      .tv_nsec = (long)(until_us % 1000000) * 1000 + 1 },
	};
	struct pollfd fds[] = { { .fd = g->timer_fd, .events = POLLIN },
				{ .fd = g->signal_fd, .events = POLLIN } };
	struct signalfd_siginfo info;

	(void)timerfd_settime(g->timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
	(void)poll(fds, 2, -1);
	while (read(g->signal_fd, &info, sizeof(info)) > 0)
		;
}

static void nap(struct guard *g)
{
	nap_until(g, time_boot_us() + TICK_US);
}

/* Waits until nobody else starts or stops the work; false when that is not needed any more. */
static bool await_turn(struct guard *g, int *lock_fd)
{
	while (look(g) == LOOK_OVER) {
		bool stopping = lease_file_command_runs(g->lease, LEASE_GROUP_STOP);
		int64_t now_us = time_boot_us();
		int r = 0;

		if (*lock_fd < 0)
			r = work_lock_try(g->args.runtime_directory, "guard", lock_fd);
		if (r < 0)
			guard_say(LOG_WARNING, "work lock: %s; going on without", strerror(-r));
		if (!stopping && r <= 0)
			return true;
		if (stopping && now_us >= g->end_us - g->timeout_us / SHARE &&
		    lease_file_group_kill(g->lease, LEASE_GROUP_STOP))
			guard_say(LOG_ERR, "the stop under way takes too long: killed");
		/* Its holder is stopped or hangs: it runs nothing, and must look at the mark first. */
		if ((!stopping && now_us >= g->end_us - g->timeout_us / 2) || now_us >= g->end_us) {
			guard_say(LOG_WARNING, "the work lock is not let go: passed over");
			return true;
		}
		nap(g);
	}
	return false;
}

/* Says so to the daemon, then looks for the last time. */
static bool decide(struct guard *g)
{
	if (!lease_file_set_mark(g->lease, g->watch, LEASE_STOPPING))
		return false;
	if (look(g) == LOOK_OVER)
		return true;
	(void)lease_file_set_mark(g->lease, g->watch, LEASE_WATCHED);
	return false;
}

static pid_t start_command(struct guard *g, int64_t until_us)
{
	for (;;) {
		pid_t pid = guard_command_start(g->args.command, g->args.node,
						lease_file_epoch(g->lease));

		if (pid > 0)
			return pid;
		if (time_boot_us() >= until_us) {
			guard_say(LOG_CRIT, "no process for the relinquish command: %s",
				  strerror(-(int)pid));
			return 0;
		}
		nap(g);
	}
}

/* Returns whether it ended with 0. */
static bool run_command(struct guard *g, int64_t kill_us)
{
	pid_t pid = start_command(g, kill_us);
	int64_t give_up_us = kill_us + g->timeout_us / SHARE;
	bool killed = false;
	int status;

	if (pid == 0)
		return false;
	lease_file_set_group(g->lease, LEASE_GROUP_STOP, pid);
	while (waitpid(pid, &status, WNOHANG) == 0) {
		int64_t now_us = time_boot_us();

		if (now_us >= kill_us && !killed) {
			guard_say(LOG_ERR, "the relinquish command takes too long: killed");
			(void)kill(-pid, SIGKILL);
			killed = true;
		}
		if (now_us >= give_up_us) {
			guard_say(LOG_CRIT, "the relinquish command cannot be killed");
			return false;
		}
		nap_until(g, killed ? now_us + TICK_US : kill_us);
	}
	lease_file_set_group(g->lease, LEASE_GROUP_STOP, 0);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return true;
	if (!killed)
		guard_say(LOG_ERR, "the relinquish command failed: %s %d",
			  WIFEXITED(status) ? "status" : "signal",
			  WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
	return false;
}

/* Returns whether the group is gone. */
static bool kill_group(struct guard *g, enum lease_group which)
{
	int64_t until_us = time_boot_us() + g->timeout_us / SHARE;

	if (lease_file_group_kill(g->lease, which))
		guard_say(LOG_WARNING, "process group %d of the takeover command killed",
			  (int)lease_file_group(g->lease, which));
	while (lease_file_group_runs(g->lease, which)) {
		if (time_boot_us() >= until_us) {
			guard_say(LOG_CRIT, "process group %d cannot be killed",
				  (int)lease_file_group(g->lease, which));
			return false;
		}
		nap(g);
	}
	return true;
}

/* Ending with anything but 0 it says that the work is not down: run again and again, as the daemon does. */
static bool run_until_it_succeeds(struct guard *g, int64_t kill_us)
{
	while (!run_command(g, kill_us)) {
		int64_t next_us = time_boot_us() + TRY_US;
		bool late = next_us >= kill_us;

		if (late)
			next_us = kill_us;
		while (time_boot_us() < next_us)
			nap_until(g, next_us);
		if (late)
			return false;
	}
	return true;
}

/* No sync(): the disk may be what hangs. */
static void self_fence(struct guard *g)
{
	say(g, EVENT_SELF_FENCE, "the work is not down: this host reboots now");
	if (reboot(RB_AUTOBOOT) < 0)
		say(g, EVENT_SELF_FENCE, "cannot reboot: %s",
		    errno == EPERM ? "CAP_SYS_BOOT is missing" : strerror(errno));
}

static void stop_work(struct guard *g)
{
	int64_t began_us = time_boot_us();
	int64_t share_us = g->timeout_us / SHARE;
	int64_t kill_us = g->end_us - share_us;
	bool down;

	/* Late, because the machine slept: the command gets the least that makes sense. */
	if (kill_us < began_us + share_us)
		kill_us = began_us + share_us;
	/* It would go on starting what the relinquish command stops. */
	if (lease_file_command_runs(g->lease, LEASE_GROUP_TAKEOVER))
		(void)kill_group(g, LEASE_GROUP_TAKEOVER);
	down = g->args.command != NULL && run_until_it_succeeds(g, kill_us);
	down = kill_group(g, LEASE_GROUP_TAKEOVER) && down;
	down = kill_group(g, LEASE_GROUP_WORK) && down;
	if (down)
		(void)lease_file_set_mark(g->lease, g->watch, LEASE_STOPPED);
	if (g->args.command != NULL)
		say(g, EVENT_GUARD_DONE, "%s %lld ms before the end of the lease",
		    down ? "the work is down" : "gave up",
		    (long long)(g->end_us - time_boot_us()) / 1000);
	if (!down && g->args.command != NULL && g->args.self_fence)
		self_fence(g);
}

/* Not when its exit is all that is needed. */
static bool has_something_to_stop(const struct guard *g)
{
	return g->args.command != NULL || lease_file_group(g->lease, LEASE_GROUP_TAKEOVER) != 0 ||
	       lease_file_group(g->lease, LEASE_GROUP_WORK) != 0;
}

/* True when it has acted. */
static bool act(struct guard *g)
{
	int lock_fd = -1;
	bool acted;

	say(g, EVENT_GUARD_ACTS, "the lease of epoch %lld was not extended",
	    (long long)lease_file_epoch(g->lease));
	acted = (!has_something_to_stop(g) || await_turn(g, &lock_fd)) && decide(g);
	if (acted)
		stop_work(g);
	else
		guard_say(LOG_NOTICE, "extended, or ended, meanwhile");
	(void)work_lock_release(lock_fd);
	return acted;
}

static int write_identity(struct guard *g, int fd)
{
	struct guard_identity self = { getpid(), g->watch, g->args.fingerprint };
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

/*
 * A service on standby, for a node that is named and not primary yet: what is bound to it must wait until there is a lease
 * indeed, also what others start. Returns whether that is so. The daemon tells it by the epoch, and calls.
 */
static bool stands_by(struct guard *g)
{
	int64_t left_us = g->end_us - time_boot_us();

	if (g->ready || g->args.ready_fd >= 0 || lease_file_epoch(g->lease) != 0)
		return false;
	(void)notify_send("STATUS=Waiting for the lease\nEXTEND_TIMEOUT_USEC=%lld\n",
			  (long long)(left_us > 0 ? left_us : 0) + STANDBY_SLACK_US);
	return true;
}

static int keep_watch(struct guard *g)
{
	for (;;) {
		enum look found = look(g);
		bool standby = stands_by(g);

		/* A standby that is not extended: nothing runs, and nobody is there who would start it. */
		if (found == LOOK_DONE || (standby && found == LOOK_OVER))
			return GUARD_DISARMED;
		if (!standby && !g->ready)
			report_ready(g);
		if (found == LOOK_LATER)
			nap_until(g, g->end_us - g->timeout_us + g->timeout_us / SHARE);
		else if (act(g))
			return GUARD_ACTED;
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
		if (look(g) == LOOK_DONE)
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
	return look(g) == LOOK_DONE ? -ECANCELED : 0;
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

static void open_log(struct guard *g)
{
	const struct log_options options = { .node = g->args.node, .target = LOG_TARGET_JOURNAL };

	if (log_journal_is_behind(STDERR_FILENO) && log_create(&options, &g->log) < 0)
		g->log = NULL;
}

static int prepare(struct guard *g)
{
	sigset_t signals;
	int r;

	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGHUP, SIG_IGN);
	(void)signal(SIGCHLD, SIG_DFL);
	(void)sigemptyset(&signals);
	(void)sigaddset(&signals, SIGTERM);
	(void)sigaddset(&signals, SIGINT);
	(void)sigaddset(&signals, SIGCHLD);
	(void)sigprocmask(SIG_SETMASK, &signals, NULL);
	open_log(g);
	g->signal_fd = signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC);
	g->timer_fd = timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK | TFD_CLOEXEC);
	if (g->signal_fd < 0 || g->timer_fd < 0)
		return -errno;
	r = boot_id_read(g->boot_id);
	if (r == 0)
		r = lease_file_attach(g->args.runtime_directory, g->boot_id, &g->lease);
	if (r == LEASE_FILE_DAMAGED)
		r = -EBADMSG;
	if (r == 0)
		g->watch = lease_file_watch(g->lease);
	return r;
}

int guard_main(int argc, char *argv[])
{
	struct guard g = { .signal_fd = -1 };
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
	g.log = log_destroy(g.log);
	g.lease = lease_file_close(g.lease);
	return r;
}
