/* SPDX-License-Identifier: Apache-2.0 */
#include "main.h"

#include <assert.h>
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
#include "base/clock.h"
#include "command.h"
#include "base/notify.h"
#include "lease_file.h"
#include "log/internal.h"
#include "log/log.h"
#include "work/keeper.h"

#define TICK_US 10000	/* between two looks while waiting for the former guard to go */
#define EVICT_US 100000 /* between two calls to it */

/* Answers that wait for the step under way: one at a time can be outstanding. */
#define QUEUE_MAX 4

/* The start of a service on standby may take as long as that lasts, and this. */
#define STANDBY_SLACK_US 5000000

struct guard {
	struct guard_args args;
	struct lease_file *lease;
	struct log *log; /* NULL: plain lines */
	char boot_id[BOOT_ID_SIZE];
	uint64_t watch;
	int timer_fd, signal_fd, lock_fd;
	bool ready; /* and said so */

	struct keeper_config config;
	struct keeper keeper;
	struct keeper_event queue[QUEUE_MAX];
	unsigned queue_length;
	int64_t end_us; /* of the lease, as of the last look */
	int work_lock;	/* -1: not held */
	pid_t command;	/* the relinquish command's, and its group; 0: it does not run */
	bool command_killed, said_acts, said_sweep;
	bool acted;	  /* and the lease file says so */
	bool stops_units; /* systemd does, as it was told */
	int code;	  /* enum guard_exit, once it is over; -1 before */
};

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

/* -- the lease -- */

/* False: there is none any more, or it is another watch's. */
static bool read_lease(struct guard *g)
{
	int64_t timeout_us = lease_file_timeout_us(g->lease);

	g->config.lease_timeout_us = timeout_us > 0 ? timeout_us : g->args.lease_timeout_us;
	g->end_us = lease_file_watch(g->lease) == g->watch ? lease_file_end_us(g->lease) : 0;
	return g->end_us != 0;
}

static void post(struct guard *g, enum keeper_event_type type, enum keeper_result result,
		 int64_t lease_end_us)
{
	assert(g->queue_length < QUEUE_MAX);
	g->queue[g->queue_length++] = (struct keeper_event){ .type = (uint8_t)type,
							     .result = (uint8_t)result,
							     .lease_end_us = lease_end_us };
}

/* -- whose turn it is -- */

/* Not when its exit is all that is needed. */
static bool has_something_to_stop(const struct guard *g)
{
	return g->args.command != NULL || lease_file_group(g->lease, LEASE_GROUP_TAKEOVER) != 0 ||
	       lease_file_group(g->lease, LEASE_GROUP_WORK) != 0;
}

/* Nobody else starts or stops the work, or it is not asked whether. */
static enum keeper_result look_whose_turn(struct guard *g, bool force)
{
	bool stopping = lease_file_command_runs(g->lease, LEASE_GROUP_STOP);
	int r = 0;

	if (force) {
		if (lease_file_group_kill(g->lease, LEASE_GROUP_STOP))
			guard_say(LOG_ERR, "the stop under way takes too long: killed");
		else
			guard_say(LOG_WARNING, "the work lock is not let go: passed over");
		return KEEPER_OK;
	}
	if (!has_something_to_stop(g))
		return KEEPER_OK;
	if (g->work_lock < 0)
		r = lock_file_take(g->args.runtime_directory, WORK_LOCK_FILE, &g->work_lock);
	if (r < 0)
		guard_say(LOG_WARNING, "work lock: %s; going on without", strerror(-r));
	if (stopping)
		return KEEPER_BUSY;
	return r == LOCK_FILE_BUSY ? KEEPER_IDLE : KEEPER_OK;
}

/* Says so to the daemon, then looks for the last time. */
static enum keeper_result decide(struct guard *g)
{
	int64_t before_us = g->end_us;

	if (!lease_file_set_mark(g->lease, g->watch, LEASE_STOPPING)) {
		g->end_us = 0;
		return KEEPER_OFF;
	}
	if (read_lease(g) && g->end_us <= before_us)
		return KEEPER_OK;
	(void)lease_file_set_mark(g->lease, g->watch, LEASE_WATCHED);
	return KEEPER_OFF;
}

static void take_turn(struct guard *g, bool force)
{
	enum keeper_result result = KEEPER_OK;

	if (!g->said_acts)
		say(g, EVENT_GUARD_ACTS, "the lease of epoch %lld was not extended",
		    (long long)lease_file_epoch(g->lease));
	g->said_acts = true;
	if (!g->acted)
		result = look_whose_turn(g, force);
	if (!g->acted && result == KEEPER_OK)
		result = decide(g);
	if (result == KEEPER_OK && !g->acted) {
		g->acted = true;
		/* It would go on starting what the relinquish command stops. */
		if (lease_file_command_runs(g->lease, LEASE_GROUP_TAKEOVER))
			(void)lease_file_group_kill(g->lease, LEASE_GROUP_TAKEOVER);
	}
	post(g, KEEPER_ON_TURN, result, g->end_us);
}

/* -- the stop -- */

/*
 * The command is through, or there is none. A service says that it stops, so that systemd stops what is bound to it; when it
 * ends, at the time of the kill, what is left of that is killed.
 */
static void stop_units(struct guard *g)
{
	if (g->args.ready_fd >= 0) {
		post(g, KEEPER_ON_ENDED, KEEPER_OK, 0);
		return;
	}
	g->stops_units = true;
	(void)notify_send("STOPPING=1\nSTATUS=The lease is over: stopping the work\n");
}

static void start_command(struct guard *g)
{
	pid_t pid;

	if (g->args.command == NULL) {
		stop_units(g);
		return;
	}
	pid = guard_command_start(g->args.command, g->args.node, lease_file_epoch(g->lease));
	if (pid < 0) {
		guard_say(LOG_CRIT, "no process for the relinquish command: %s",
			  strerror(-(int)pid));
		post(g, KEEPER_ON_ENDED, KEEPER_FAILED, 0);
		return;
	}
	g->command = pid;
	g->command_killed = false;
	lease_file_set_group(g->lease, LEASE_GROUP_STOP, pid);
}

static void reap_command(struct guard *g)
{
	int status;

	if (g->command == 0 || waitpid(g->command, &status, WNOHANG) != g->command)
		return;
	g->command = 0;
	lease_file_set_group(g->lease, LEASE_GROUP_STOP, 0);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
		stop_units(g);
		return;
	}
	if (!g->command_killed)
		guard_say(LOG_ERR, "the relinquish command failed: %s %d",
			  WIFEXITED(status) ? "status" : "signal",
			  WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
	post(g, KEEPER_ON_ENDED, KEEPER_FAILED, 0);
}

/* Returns whether nothing is left of what was started. */
static bool sweep(struct guard *g)
{
	pid_t killed = 0;
	bool gone = lease_file_clear_work(g->lease, &killed);

	if (killed != 0 && !g->said_sweep) {
		g->said_sweep = true;
		guard_say(LOG_WARNING, "process group %d of the takeover command killed",
			  (int)killed);
	}
	return gone;
}

static void kill_all(struct guard *g)
{
	if (g->command != 0) {
		guard_say(LOG_ERR, "the relinquish command takes too long: killed");
		g->command_killed = true;
		(void)kill(-g->command, SIGKILL);
	}
	(void)sweep(g);
	if (g->stops_units)
		post(g, KEEPER_ON_ENDED, KEEPER_OK, 0);
}

/* No sync(): the disk may be what hangs. */
static void self_fence(struct guard *g)
{
	say(g, EVENT_SELF_FENCE, "the work is not down: this host reboots now");
	if (reboot(RB_AUTOBOOT) < 0)
		say(g, EVENT_SELF_FENCE, "cannot reboot: %s",
		    errno == EPERM ? "CAP_SYS_BOOT is missing" : strerror(errno));
}

static void end(struct guard *g, bool down)
{
	if (g->acted && down && g->args.command != NULL)
		(void)lease_file_set_mark(g->lease, g->watch, LEASE_STOPPED);
	if (g->acted && g->args.command != NULL)
		say(g, EVENT_GUARD_DONE, "%s %lld ms before the end of the lease",
		    down ? "the work is down" : "gave up",
		    (long long)(g->end_us - time_boot_us()) / 1000);
	if (!down && g->command != 0)
		(void)kill(-g->command, SIGKILL);
	if (!down && g->args.command != NULL && g->args.self_fence)
		self_fence(g);
	g->work_lock = lock_file_release(g->work_lock);
	g->code = g->acted ? GUARD_ACTED : GUARD_DISARMED;
}

/* -- the keeper -- */

static void carry_out(struct guard *g, enum keeper_action action)
{
	switch (action) {
	case KEEPER_DO_TURN:
	case KEEPER_DO_PASS:
		take_turn(g, action == KEEPER_DO_PASS);
		break;
	case KEEPER_DO_STOP:
		start_command(g);
		break;
	case KEEPER_DO_SWEEP:
		post(g, KEEPER_ON_SWEPT, sweep(g) ? KEEPER_OK : KEEPER_FAILED, 0);
		break;
	case KEEPER_DO_KILL:
		kill_all(g);
		break;
	case KEEPER_DO_FENCE:
		end(g, false);
		break;
	case KEEPER_DO_TELL_DOWN:
		end(g, true);
		break;
	case KEEPER_DO_UNLOCK:
	case KEEPER_DO_FAR_LEASE:
	case KEEPER_DO_LEASE:
	case KEEPER_DO_ARM:
	case KEEPER_DO_DISARM:
	case KEEPER_DO_START:
	case KEEPER_DO_TELL_UP:
	case KEEPER_DO_TELL_FAILED:
	case KEEPER_DO_TELL_TROUBLE:
	case KEEPER_ACTION_COUNT:
		break; /* the daemon's */
	}
}

static void drain(struct guard *g)
{
	while (g->queue_length > 0 && g->code < 0) {
		struct keeper_event event = g->queue[0];
		struct keeper_actions actions;

		memmove(g->queue, g->queue + 1, --g->queue_length * sizeof(event));
		event.now_us = time_boot_us();
		keeper_step(&g->config, &g->keeper, &event, &actions);
		for (int32_t i = 0; i < actions.count; i++)
			carry_out(g, (enum keeper_action)actions.list[i]);
	}
	if (g->keeper.state == KEEPER_UP && g->said_acts) {
		guard_say(LOG_NOTICE, "extended meanwhile");
		g->said_acts = false;
		g->work_lock = lock_file_release(g->work_lock);
	}
}

/* What has happened since the last look; at the end of it the lease, of which the keeper judges by the time. */
static void take_news(struct guard *g)
{
	reap_command(g);
	drain(g);
	if (g->code < 0)
		post(g, g->acted ? KEEPER_ON_TIME : KEEPER_ON_LEASE, KEEPER_OK, g->end_us);
	drain(g);
}

/* -- the watch -- */

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

static int64_t acts_us(const struct guard *g)
{
	return keeper_guard_acts_us(&g->config, g->end_us);
}

static int keep_watch(struct guard *g)
{
	keeper_init(&g->config, &g->keeper);
	post(g, KEEPER_ON_RESUME, KEEPER_OK, g->end_us);
	while (g->code < 0) {
		int64_t next_us;

		read_lease(g);
		if (g->end_us && stands_by(g)) {
			/* Not extended: nothing runs, and nobody is there who would start it. */
			if (time_boot_us() >= acts_us(g))
				return GUARD_DISARMED;
			nap_until(g, acts_us(g));
			continue;
		}
		if (g->end_us && !g->ready)
			report_ready(g);
		take_news(g);
		next_us = keeper_next_us(&g->config, &g->keeper);
		if (g->code < 0)
			nap_until(g, next_us);
	}
	return g->code;
}

/* One guard at a time. Returns 0, -errno, or -ECANCELED when there is nothing to watch any more. */
static int take_post(struct guard *g)
{
	char text[LOCK_FILE_TEXT_SIZE];
	struct guard_identity other;
	int64_t evict_us = 0;
	int r;

	while ((r = lock_file_take(g->args.runtime_directory, GUARD_LOCK_FILE, &g->lock_fd)) > 0) {
		if (!read_lease(g))
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
	return read_lease(g) ? 0 : -ECANCELED;
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
	struct guard g = { .signal_fd = -1, .work_lock = -1, .code = -1, .config.guard = 1 };
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
