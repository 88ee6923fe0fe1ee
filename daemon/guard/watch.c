/* SPDX-License-Identifier: Apache-2.0 */
#include "watch.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/reboot.h>
#include <sys/wait.h>
#include <syslog.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/lock_file.h"
#include "base/notify.h"
#include "command.h"
#include "main.h"

#define TELL_US 10000 /* until systemd, which had no room for it, is told again */

/* With the event's fields where they are understood, else as a line like the others. */
static void say(struct watch *watch, enum event event, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static void say(struct watch *watch, enum event event, const char *format, ...)
{
	const struct log_fields fields = { .epoch = lease_file_epoch(watch->lease) };
	char text[256];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (watch->log != NULL)
		log_event(watch->log, event, &fields, "guard: %s", text);
	else
		guard_say(LOG_WARNING, "%s", text);
}

/* -- the lease -- */

bool watch_is_over(const struct watch *watch)
{
	return lease_file_watch(watch->lease) != watch->number;
}

/* False: there is none any more, or it is another watch's; before the first one: none yet. */
bool watch_read(struct watch *watch)
{
	int64_t timeout_us = lease_file_timeout_us(watch->lease);

	watch->config.lease_timeout_us = timeout_us > 0 ? timeout_us
							: watch->args->lease_timeout_us;
	watch->end_us = watch_is_over(watch) ? 0 : lease_file_end_us(watch->lease);
	return watch->end_us != 0;
}

static void post(struct watch *watch, enum keeper_event_type type, enum keeper_result result,
		 int64_t lease_end_us)
{
	assert(watch->queue_length < WATCH_QUEUE_MAX);
	watch->queue[watch->queue_length++] = (struct keeper_event){ .type = (uint8_t)type,
								     .result = (uint8_t)result,
								     .lease_end_us = lease_end_us };
}

/* -- the work lock -- */

/* Not when its exit is all that is needed. */
static bool has_something_to_stop(const struct watch *watch)
{
	return watch->args->command != NULL ||
	       lease_file_group(watch->lease, LEASE_GROUP_TAKEOVER) != 0 ||
	       lease_file_group(watch->lease, LEASE_GROUP_WORK) != 0;
}

/* Nobody else starts or stops the work, or it is not asked whether. */
static enum keeper_result may_stop(struct watch *watch, bool force)
{
	bool stopping = lease_file_command_runs(watch->lease, LEASE_GROUP_STOP);
	int r = 0;

	if (force) {
		if (lease_file_group_kill(watch->lease, LEASE_GROUP_STOP))
			guard_say(LOG_ERR, "the stop under way takes too long: killed");
		else
			guard_say(LOG_WARNING, "the work lock is not released: ignoring it");
		return KEEPER_OK;
	}
	if (!has_something_to_stop(watch))
		return KEEPER_OK;
	if (watch->work_lock < 0)
		r = lock_file_take(watch->args->runtime_directory, WORK_LOCK_FILE,
				   &watch->work_lock);
	if (r < 0)
		guard_say(LOG_WARNING, "work lock: %s; continuing without it", strerror(-r));
	if (stopping)
		return KEEPER_BUSY;
	return r == LOCK_FILE_BUSY ? KEEPER_IDLE : KEEPER_OK;
}

/* Says so to the daemon, then looks for the last time. */
static enum keeper_result decide(struct watch *watch)
{
	int64_t before_us = watch->end_us;

	if (!lease_file_set_mark(watch->lease, watch->number, LEASE_STOPPING)) {
		watch->end_us = 0;
		return KEEPER_OFF;
	}
	if (watch_read(watch) && watch->end_us <= before_us)
		return KEEPER_OK;
	(void)lease_file_set_mark(watch->lease, watch->number, LEASE_WATCHED);
	return KEEPER_OFF;
}

static void begin_acting(struct watch *watch)
{
	watch->acted = true;
	/* It would go on starting what the relinquish command stops. */
	if (lease_file_command_runs(watch->lease, LEASE_GROUP_TAKEOVER))
		(void)lease_file_group_kill(watch->lease, LEASE_GROUP_TAKEOVER);
	/* The daemon may have begun a stop before it could see the mark: that of the guard takes its place. */
	if (watch->args->command != NULL && lease_file_command_runs(watch->lease, LEASE_GROUP_STOP))
		(void)lease_file_group_kill(watch->lease, LEASE_GROUP_STOP);
}

static void lock_work(struct watch *watch, bool force)
{
	enum keeper_result result = KEEPER_OK;

	if (!watch->said_acts)
		say(watch, EVENT_GUARD_ACTS, "the lease of epoch %lld was not extended",
		    (long long)lease_file_epoch(watch->lease));
	watch->said_acts = true;
	if (!watch->acted) {
		result = may_stop(watch, force);
		if (result == KEEPER_OK)
			result = decide(watch);
		if (result == KEEPER_OK)
			begin_acting(watch);
	}
	post(watch, KEEPER_ON_LOCK, result, watch->end_us);
}

/* -- the stop -- */

/* Never waits: what systemd had no room for is told again. */
static void tell_systemd(struct watch *watch)
{
	watch->told = notify_send("STOPPING=1\nSTATUS=The lease is over: stopping the work\n") == 0;
}

/*
 * The command is through, or there is none. A service says that it stops, so that systemd stops what is bound to it; when it
 * ends, at the time of the kill, what is left of that is killed.
 */
static void stop_units(struct watch *watch)
{
	if (watch->args->ready_fd >= 0) {
		post(watch, KEEPER_ON_ENDED, KEEPER_OK, 0);
		return;
	}
	watch->stops_units = true;
	tell_systemd(watch);
}

static void start_command(struct watch *watch)
{
	pid_t pid;

	if (watch->args->command == NULL) {
		stop_units(watch);
		return;
	}
	pid = guard_command_start(watch->args->command, watch->args->node, watch->lease);
	if (pid < 0) {
		guard_say(LOG_CRIT, "no process for the relinquish command: %s",
			  strerror(-(int)pid));
		post(watch, KEEPER_ON_ENDED, KEEPER_FAILED, 0);
		return;
	}
	watch->command = pid;
	watch->command_killed = false;
	lease_file_set_group(watch->lease, LEASE_GROUP_STOP, pid);
}

static void reap_command(struct watch *watch)
{
	int status;

	if (watch->command == 0 || waitpid(watch->command, &status, WNOHANG) != watch->command)
		return;
	watch->command = 0;
	lease_file_set_group(watch->lease, LEASE_GROUP_STOP, 0);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
		stop_units(watch);
		return;
	}
	if (!watch->command_killed)
		guard_say(LOG_ERR, "the relinquish command failed: %s %d",
			  WIFEXITED(status) ? "status" : "signal",
			  WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
	post(watch, KEEPER_ON_ENDED, KEEPER_FAILED, 0);
}

/* Returns whether nothing is left of what was started. */
static bool clean_up(struct watch *watch)
{
	pid_t killed = 0;
	bool gone = lease_file_clear_work(watch->lease, &killed);

	if (killed != 0 && !watch->said_cleaned) {
		watch->said_cleaned = true;
		guard_say(LOG_WARNING, "process group %d of the takeover command killed",
			  (int)killed);
	}
	return gone;
}

static void kill_all(struct watch *watch)
{
	if (watch->command != 0) {
		guard_say(LOG_ERR, "the relinquish command takes too long: killed");
		watch->command_killed = true;
		(void)kill(-watch->command, SIGKILL);
	}
	(void)clean_up(watch);
	if (watch->stops_units)
		post(watch, KEEPER_ON_ENDED, KEEPER_OK, 0);
}

/* No sync(): the disk may be what hangs. */
static void self_fence(struct watch *watch)
{
	say(watch, EVENT_SELF_FENCE, "the work is not down: this host reboots now");
	if (reboot(RB_AUTOBOOT) < 0)
		say(watch, EVENT_SELF_FENCE, "cannot reboot: %s",
		    errno == EPERM ? "CAP_SYS_BOOT is missing" : strerror(errno));
}

static void end(struct watch *watch, bool down)
{
	/* A service has only told systemd, which knows what is down by now. */
	bool is_service = watch->args->ready_fd < 0;
	bool is_known = watch->acted && watch->args->command != NULL && (!down || !is_service);

	if (is_known && down)
		(void)lease_file_set_mark(watch->lease, watch->number, LEASE_STOPPED);
	if (is_known)
		say(watch, EVENT_GUARD_DONE, "%s %lld ms before the end of the lease",
		    down ? "the work is down" : "gave up",
		    (long long)(watch->end_us - time_boot_us()) / 1000);
	if (!down && watch->command != 0)
		(void)kill(-watch->command, SIGKILL);
	if (!down && watch->args->command != NULL && watch->args->self_fence)
		self_fence(watch);
	watch->work_lock = lock_file_release(watch->work_lock);
	watch->code = watch->acted ? GUARD_ACTED : GUARD_DISARMED;
}

/*
 * The daemon has seen the work down while the stop was under way, or begun another watch since: what this one started must not
 * run on beside the next start. Nobody starts anything as long as this guard has its lock.
 */
static void give_way(struct watch *watch)
{
	if (watch->command != 0) {
		guard_say(LOG_NOTICE, "the watch is over: ending the relinquish command");
		(void)kill(-watch->command, SIGKILL);
	}
	watch->work_lock = lock_file_release(watch->work_lock);
	watch->code = GUARD_DISARMED;
}

/* -- the keeper -- */

static void carry_out(struct watch *watch, enum keeper_action action)
{
	switch (action) {
	case KEEPER_DO_LOCK:
	case KEEPER_DO_SEIZE:
		lock_work(watch, action == KEEPER_DO_SEIZE);
		break;
	case KEEPER_DO_STOP:
		start_command(watch);
		break;
	case KEEPER_DO_CLEAN:
		post(watch, KEEPER_ON_CLEAN, clean_up(watch) ? KEEPER_OK : KEEPER_FAILED, 0);
		break;
	case KEEPER_DO_KILL:
		kill_all(watch);
		break;
	case KEEPER_DO_FENCE:
		end(watch, false);
		break;
	case KEEPER_DO_TELL_DOWN:
		end(watch, true);
		break;
	case KEEPER_DO_UNLOCK:
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

static void drain(struct watch *watch)
{
	while (watch->queue_length > 0 && watch->code < 0) {
		struct keeper_event event = watch->queue[0];
		struct keeper_actions actions;

		memmove(watch->queue, watch->queue + 1, --watch->queue_length * sizeof(event));
		event.now_us = time_boot_us();
		keeper_step(&watch->config, &watch->keeper, &event, &actions);
		for (int32_t i = 0; i < actions.count; i++)
			carry_out(watch, (enum keeper_action)actions.list[i]);
	}
	if (watch->keeper.state == KEEPER_UP && watch->said_acts) {
		guard_say(LOG_NOTICE, "the lease was extended meanwhile");
		watch->said_acts = false;
		watch->work_lock = lock_file_release(watch->work_lock);
	}
}

void watch_begin(struct watch *watch)
{
	watch->config.guard = 1;
	watch->work_lock = watch->code = -1;
	keeper_init(&watch->config, &watch->keeper);
	post(watch, KEEPER_ON_RESUME, KEEPER_OK, watch->end_us);
}

/* Tells systemd what it has not heard yet; returns when to look again. */
static int64_t end_look(struct watch *watch)
{
	int64_t again_us = time_boot_us() + TELL_US;
	int64_t next_us = keeper_next_us(&watch->config, &watch->keeper);

	if (!watch->stops_units || watch->told)
		return next_us;
	tell_systemd(watch);
	return !watch->told && again_us < next_us ? again_us : next_us;
}

int64_t watch_look(struct watch *watch)
{
	(void)watch_read(watch);
	reap_command(watch);
	if (watch->acted && watch_is_over(watch))
		give_way(watch);
	drain(watch);
	/* At the end the lease, of which the keeper judges by the time. */
	if (watch->code < 0)
		post(watch, watch->acted ? KEEPER_ON_TIME : KEEPER_ON_LEASE, KEEPER_OK,
		     watch->end_us);
	drain(watch);
	return end_look(watch);
}
