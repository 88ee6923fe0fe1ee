/* SPDX-License-Identifier: Apache-2.0 */

/* Work that is a unit: its guard is a service to which it is bound. Commands may run in addition. */

#include "internal.h"

#include <stdio.h>
#include <string.h>

#include "work_env.h"

/* Until a refused stop of the unit is asked for again. */
#define UNIT_RETRY_S 0.2

static void say(struct work *work, enum event event, const char *what, const char *text,
		int64_t usec)
{
	const struct log_fields f = { .target = work->config->takeover.unit, .usec = usec };

	log_event(work->options.log, event, &f, "%s: %s: %s", f.target, what, text);
	/* No step of the election follows, and systemctl status shall show what the stop waits for. */
	if (*work->obstacle)
		work_emit(work, WORK_OBSTACLE);
}

static void say_job(struct work *work, bool start, bool ok, const char *text)
{
	say(work,
	    !ok	    ? EVENT_REQUEST_FAILED
	    : start ? EVENT_UNIT_STARTED
		    : EVENT_UNIT_STOPPED,
	    start ? "start" : "stop", text, time_boot_us() - work->unit_since_us);
}

static void write_facts(struct work *work)
{
	int r = work_env_write(work->config->node.runtime_directory, &work->facts);

	if (r < 0)
		log_event(work->options.log, EVENT_STATE_FILE_FAILED, NULL,
			  "cannot write the environment of units, %s/" WORK_ENV_FILE ": %s",
			  work->config->node.runtime_directory, strerror(-r));
}

/* -- the guard -- */

/* Whether a guard on standby could be started matters only once it is needed: then another one is started. */
static void on_guard_started(void *userdata, bool ok, const char *text)
{
	struct work *work = userdata;

	/* A service of that name that watches over something else guards nothing here. */
	if (ok && !guard_watches(work->config->node.runtime_directory, work->lease)) {
		ok = false;
		text = "guard: it does not watch the lease in the runtime directory of this daemon";
	}
	if (!ok && work->keeper.state == KEEPER_ARMING)
		say_job(work, true, false, text);
	work->guard_runs = ok;
	work_answer(work, KEEPER_ON_ARMED, ok);
}

static void arm(struct work *work)
{
	if (!work->lease || work->guard_runs) {
		work_answer(work, KEEPER_ON_ARMED, true);
		return;
	}
	work->lease_is_over = false;
	lease_file_begin_watch(work->lease);
	write_facts(work);
	bus_start_guard(work->bus, on_guard_started);
}

static void wake(struct work *work)
{
	(void)guard_wake(work->config->node.runtime_directory);
}

/*
 * It may have been told to end before, with the lease still on, as at a shutdown of the system. One on standby is not
 * called: if it ended before systemd stops it, that would be a failed start.
 */
static void disarm(struct work *work)
{
	work->guard_runs = false;
	ev_timer_stop(work->options.loop, &work->unit_timer);
	if (!bus_guard_is_starting(work->bus))
		wake(work);
	bus_stop_guard(work->bus);
}

/* -- start: unit, then command -- */

static void command_started(struct work *work, bool ok)
{
	ev_timer_stop(work->options.loop, &work->unit_timer);
	/* It may have gone down since its start was done. */
	if (ok)
		bus_look(work->bus);
	work_answer(work, KEEPER_ON_STARTED, ok);
}

/* The command gets what the unit has left of the time for both. */
static void on_unit_started(void *userdata, bool ok, const char *text)
{
	struct work *work = userdata;
	int64_t left_us = work->config->takeover.timeout_us -
			  (time_boot_us() - work->unit_since_us);

	say_job(work, true, ok, text);
	if (!work->unit_starting)
		return;
	work->unit_starting = false;
	ev_timer_stop(work->options.loop, &work->unit_timer);
	if (work->keeper.doing != KEEPER_DOES_START)
		return; /* a stop waits for the lock: nothing more is started */
	if (ok)
		commands_start(work, left_us > 0 ? left_us : 1);
	else
		work_answer(work, KEEPER_ON_STARTED, false);
}

static void begin(struct work *work)
{
	ev_timer_set(&work->unit_timer, (double)work->config->takeover.timeout_us / 1e6, 0.);
	ev_timer_start(work->options.loop, &work->unit_timer);
	work->unit_since_us = time_boot_us();
}

static void start(struct work *work)
{
	write_facts(work);
	work->unit_starting = true;
	bus_start_unit(work->bus, on_unit_started);
}

/* -- stop: command, then unit -- */

/* Also ends the stop that a kill begins while the command is still being stopped: that result is logged, and answers nothing. */
static void on_unit_stopped(void *userdata, bool ok, const char *text)
{
	struct work *work = userdata;

	snprintf(work->obstacle, sizeof(work->obstacle), "%s", ok ? "" : text);
	say_job(work, false, ok, text);
	if (!work->unit_stopping)
		return;
	if (ok) {
		work->unit_stopping = false;
		work_answer(work, KEEPER_ON_ENDED, true);
		return;
	}
	/* No bus, no permission, a job in the way: asked for again and again. */
	ev_timer_set(&work->unit_timer, UNIT_RETRY_S, 0.);
	ev_timer_start(work->options.loop, &work->unit_timer);
}

static void stop_unit(struct work *work)
{
	ev_timer_stop(work->options.loop, &work->unit_timer);
	work->unit_stopping = true;
	work->unit_since_us = time_boot_us();
	bus_stop_unit(work->bus, on_unit_stopped);
	if (work->keeper.state == KEEPER_KILLING)
		bus_kill_unit(work->bus);
}

static void command_stopped(struct work *work, bool ok)
{
	/* A cold start is content with a command that failed; the unit is stopped all the same. */
	if (ok || work->keeper.cold) {
		stop_unit(work);
		return;
	}
	snprintf(work->obstacle, sizeof(work->obstacle), WORK_COMMAND_FAILED);
	work_answer(work, KEEPER_ON_ENDED, false);
}

static void stop(struct work *work)
{
	ev_timer_stop(work->options.loop, &work->unit_timer);
	work->unit_starting = work->unit_stopping = false;
	commands_stop(work);
}

/*
 * systemd may refuse to stop it (no polkit, no bus). It needs no permission for what it does when the guard ends, and
 * that takes only a lease that is over.
 */
static void kill_unit(struct work *work)
{
	script_kill(&work->relinquish);
	/* Whatever becomes of the command, which is tried again. */
	if (!work->unit_stopping)
		bus_stop_unit(work->bus, on_unit_stopped);
	bus_kill_unit(work->bus);
	if (!work->lease || !lease_file_end_us(work->lease))
		return;
	work->lease_is_over = true;
	(void)lease_file_set(work->lease, time_boot_us());
	wake(work);
}

/* -- by itself -- */

static void on_timer(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct work *work = timer->data;

	if (work->unit_stopping) {
		stop_unit(work);
		return;
	}
	if (work->keeper.state != KEEPER_ARMING && !work->unit_starting)
		return;
	work->unit_starting = false;
	say_job(work, true, false, "timed out");
	work_answer(work, work->keeper.state == KEEPER_ARMING ? KEEPER_ON_ARMED : KEEPER_ON_STARTED,
		    false);
}

static void say_down(struct work *work, const char *text)
{
	const struct log_fields f = { .target = work->config->takeover.unit, .reason = text };

	log_event(work->options.log,
		  bus_system_stops(work->bus) ? EVENT_UNIT_STOPPED : EVENT_UNIT_FAILED, &f, "%s",
		  text);
}

static void on_down(void *userdata, const char *text)
{
	struct work *work = userdata;

	/* A stop of ours is told by its job, which waits for all that hangs on the unit. */
	if (work->keeper.state != KEEPER_UP)
		return;
	snprintf(work->failure, sizeof(work->failure), "%s", text);
	say_down(work, text);
	work_answer(work, KEEPER_ON_FAILED, true);
}

static void on_link(void *userdata, const char *error)
{
	struct work *work = userdata;

	say(work, error ? EVENT_BUS_LOST : EVENT_BUS_BACK, "system bus",
	    error ? error : "connected", 0);
}

static void on_wait(void *userdata, const char *obstacle)
{
	struct work *work = userdata;

	const struct log_fields f = { .reason = obstacle,
				      .usec = time_boot_us() - work->stop_since_us };

	snprintf(work->obstacle, sizeof(work->obstacle), "%s", obstacle);
	log_event(work->options.log, EVENT_WORK_STOP_WAITS, &f, "the work is not down yet: %s",
		  obstacle);
	work_emit(work, WORK_OBSTACLE);
}

static void on_foreign(void *userdata, const char *text)
{
	struct work *work = userdata;
	const struct log_fields f = { .target = work->config->takeover.unit };

	log_event(
		work->options.log, EVENT_CONFIG_INVALID, &f,
		"refusing to start: takeover.unit %s is the work of another daemon: %s; give this "
		"daemon a unit and a guard of its own",
		f.target, text);
	work_emit(work, WORK_IS_FOREIGN);
}

static int init(struct work *work)
{
	const struct bus_options options = {
		.unit = work->config->takeover.unit,
		.runtime_directory = work->config->node.runtime_directory,
		.on_foreign = on_foreign,
		.on_down = on_down,
		.on_link = on_link,
		.on_wait = on_wait,
		.userdata = work,
	};

	work->on_command_started = command_started;
	work->on_command_stopped = command_stopped;
	ev_init(&work->unit_timer, on_timer);
	work->unit_timer.data = work;
	return bus_create(work->options.loop, &options, &work->bus);
}

static void finish(struct work *work)
{
	if (work->unit_timer.data)
		ev_timer_stop(work->options.loop, &work->unit_timer);
	work->bus = bus_destroy(work->bus);
}

static void resume(struct work *work)
{
	work->guard_runs = true;
	bus_is_ours(work->bus);
}

const struct work_kind work_units = {
	.init = init,
	.finish = finish,
	.resume = resume,
	.begin = begin,
	.arm = arm,
	.disarm = disarm,
	.wake = wake,
	.start = start,
	.stop = stop,
	.kill = kill_unit,
};
