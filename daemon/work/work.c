/* SPDX-License-Identifier: Apache-2.0 */
#include "work.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/timer.h"

static void run_relinquish(struct work *work);
static void stop_unit(struct work *work);

static void remember(struct work *work, const struct script_facts *facts)
{
	work->facts = *facts;
	snprintf(work->primary, sizeof(work->primary), "%s", facts->primary);
	snprintf(work->previous, sizeof(work->previous), "%s", facts->previous);
	snprintf(work->reason, sizeof(work->reason), "%s", facts->reason);
	work->facts.primary = work->primary;
	work->facts.previous = work->previous;
	work->facts.reason = work->reason;
}

static void tell_unit(struct work *work, enum work_unit_word word, bool ok, const char *text)
{
	work->unit_us = time_boot_us() - work->unit_since_us;
	work->on_unit(work->userdata, word, ok, text);
	work->unit_us = 0;
}

/* -- start: unit, then command -- */

static void started(struct work *work, bool ok)
{
	ev_timer_stop(work->loop, &work->timer);
	work->starting = false;
	work->up = ok;
	/* It may have gone down since its start was done. */
	if (ok && work->bus)
		bus_ask_state(work->bus);
	work->on_started(work->userdata, ok);
}

static void takeover_ended(void *userdata, struct script *script,
			   const struct command_result *result)
{
	struct work *work = userdata;

	work->on_end(work->userdata, script, result);
	work->group = result->has_leftovers ? result->group : 0;
	started(work, command_succeeded(result));
}

static void start_command(struct work *work)
{
	char **argv = work->config->takeover.command.argv;

	if (!argv) {
		started(work, true);
		return;
	}
	work->takeover.not_after_us = work->start_by_us(work->userdata);
	script_run(&work->takeover, argv, work->config->takeover.timeout_us, &work->facts);
}

static void on_unit_started(void *userdata, bool ok, const char *text)
{
	struct work *work = userdata;

	tell_unit(work, WORK_UNIT_START, ok, text);
	if (!work->starting)
		return;
	ev_timer_stop(work->loop, &work->timer);
	if (ok)
		start_command(work);
	else
		started(work, false);
}

void work_start(struct work *work, const struct script_facts *facts)
{
	remember(work, facts);
	work->starting = true;
	if (!work->bus) {
		start_command(work);
		return;
	}
	ev_timer_set(&work->timer, (double)work->config->takeover.timeout_us / 1e6, 0.);
	ev_timer_start(work->loop, &work->timer);
	work->unit_since_us = time_boot_us();
	bus_start_unit(work->bus, on_unit_started);
}

void work_resume(struct work *work)
{
	work->up = true;
	if (work->bus)
		bus_is_ours(work->bus);
}

/* -- stop: command, then unit -- */

static void stopped(struct work *work)
{
	ev_timer_stop(work->loop, &work->timer);
	if (work->group && command_group_exists(work->group))
		command_group_signal(work->group, SIGKILL);
	work->group = 0;
	work->trouble[0] = '\0';
	work->stopping = work->unit_stopping = false;
	work->on_stopped(work->userdata);
}

static void relinquish_ended(void *userdata, struct script *script,
			     const struct command_result *result)
{
	struct work *work = userdata;

	work->on_end(work->userdata, script, result);
	if (command_succeeded(result) || work->killed ||
	    (work->cold && ++work->tries == WORK_COLD_TRIES)) {
		stop_unit(work);
		return;
	}
	ev_timer_set(&work->timer, WORK_STOP_PAUSE_S, 0.);
	ev_timer_start(work->loop, &work->timer);
}

static void run_relinquish(struct work *work)
{
	/* The bound is the election's: it knows the lease and says when to kill. */
	if (!work->config->relinquish.command.argv) {
		stop_unit(work);
		return;
	}
	script_run(&work->relinquish, work->config->relinquish.command.argv, 0, &work->facts);
}

static void on_unit_stopped(void *userdata, bool ok, const char *text)
{
	struct work *work = userdata;

	snprintf(work->trouble, sizeof(work->trouble), "%s", ok ? "" : text);
	tell_unit(work, WORK_UNIT_STOP, ok, text);
	if (!work->unit_stopping)
		return;
	if (ok) {
		stopped(work);
		return;
	}
	/* No bus, no permission, a job in the way: asked for again until the election has it killed, and then on. */
	ev_timer_set(&work->timer, WORK_UNIT_RETRY_S, 0.);
	ev_timer_start(work->loop, &work->timer);
}

static void stop_unit(struct work *work)
{
	if (!work->bus) {
		stopped(work);
		return;
	}
	work->unit_stopping = true;
	work->unit_since_us = time_boot_us();
	bus_stop_unit(work->bus, on_unit_stopped);
	if (work->killed)
		bus_kill_unit(work->bus);
}

void work_stop(struct work *work, const struct script_facts *facts)
{
	/* A takeover under way ends here, with everything it has started so far in its group. */
	script_cancel(&work->takeover);
	ev_timer_stop(work->loop, &work->timer);
	work->starting = work->up = false;
	work->stopping = true;
	work->killed = work->unit_stopping = false;
	work->tries = 0;
	remember(work, facts);
	run_relinquish(work);
}

void work_kill(struct work *work)
{
	if (!work->stopping)
		return;
	work->killed = true;
	if (work->unit_stopping)
		bus_kill_unit(work->bus);
	else if (script_is_running(&work->relinquish))
		script_kill(&work->relinquish);
	else
		stop_unit(work); /* between two tries */
}

/* -- the unit by itself -- */

static void on_timer(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct work *work = timer->data;

	(void)loop;
	(void)events;
	if (work->starting) {
		tell_unit(work, WORK_UNIT_START, false, "timed out");
		started(work, false);
	} else if (work->unit_stopping) {
		stop_unit(work);
	} else if (work->stopping && !script_is_running(&work->relinquish)) {
		run_relinquish(work);
	}
}

static void on_state(void *userdata, const char *state)
{
	struct work *work = userdata;

	/* A stop of ours is told by its job, which waits for all that hangs on the unit. */
	if (work->up && !work->stopping &&
	    (bus_state_is_down(state) || !strcmp(state, "deactivating"))) {
		work->up = false;
		work->on_failed(work->userdata, state);
	}
}

static void on_link(void *userdata, const char *error)
{
	struct work *work = userdata;

	work->on_unit(work->userdata, WORK_UNIT_BUS, !error, error ? error : "connected");
}

static void on_foreign(void *userdata, const char *text)
{
	struct work *work = userdata;

	work->on_foreign(work->userdata, text);
}

static void line(void *userdata, struct script *script, const char *text)
{
	struct work *work = userdata;

	work->on_line(work->userdata, script, text);
}

int work_init(struct work *work, struct ev_loop *loop, const struct config *config)
{
	const struct bus_options options = { .unit = config->takeover.unit,
					     .runtime_directory = config->node.runtime_directory,
					     .on_foreign = on_foreign,
					     .on_state = on_state,
					     .on_link = on_link,
					     .userdata = work };

	*work = (struct work){ .config = config, .loop = loop };
	script_init(&work->takeover, loop, "takeover", takeover_ended, line, work);
	script_init(&work->relinquish, loop, "relinquish", relinquish_ended, line, work);
	ev_init(&work->timer, on_timer);
	work->timer.data = work;
	return *options.unit ? bus_create(loop, &options, &work->bus) : 0;
}

void work_prepare(struct work *work)
{
	if (work->bus)
		bus_prepare_start(work->bus);
}

bool work_is_prepared(const struct work *work)
{
	return work->bus && bus_is_prepared(work->bus);
}

bool work_is_preparing(const struct work *work)
{
	return work->bus && bus_is_preparing(work->bus);
}

bool work_system_stops(const struct work *work)
{
	return work->bus && bus_system_stops(work->bus);
}

void work_release_guard(struct work *work)
{
	if (work->bus)
		bus_stop_guard(work->bus);
}

void work_finish(struct work *work)
{
	if (work->loop)
		ev_timer_stop(work->loop, &work->timer);
	script_finish(&work->takeover);
	script_finish(&work->relinquish);
	work->bus = bus_destroy(work->bus);
}
