/* SPDX-License-Identifier: Apache-2.0 */
#include "bus_internal.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* One job of systemd at a time, and its result; and the start of the unit, which needs the guard first. */

/* -- one job at a time -- */

void bus_job_end(struct bus *b)
{
	b->call_slot = sd_bus_slot_unref(b->call_slot);
	b->then = NULL;
	b->job = JOB_NONE;
	b->done = NULL;
	b->job_path[0] = '\0';
	ev_timer_stop(b->loop, &b->look);
}

void bus_job_over(struct bus *b, bool ok, const char *text)
{
	bus_job_fn done = b->done;

	bus_job_end(b);
	if (done)
		done(b->userdata, ok, text);
}

void bus_job_begin(struct bus *b, enum bus_job job, bus_job_fn done)
{
	bus_job_end(b);
	b->job = job;
	b->done = done;
	b->unit_asked = false;
	b->stale = b->looking;
	b->refused[0] = '\0';
	b->killing = b->killer_asked = b->guard_stopped = false;
}

/* A call that could not even be sent: told from the loop, see on_reopen(). */
void bus_expect(struct bus *b, int r)
{
	if (r >= 0)
		return;
	b->call_slot = sd_bus_slot_unref(b->call_slot);
	ev_timer_start(b->loop, &b->reopen);
}

static const char *failure_of(sd_bus_message *message)
{
	const sd_bus_error *error = sd_bus_message_get_error(message);

	if (!error)
		return NULL;
	return error->message ? error->message : error->name;
}

static int on_job_queued(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
	struct bus *b = userdata;
	const char *failure = failure_of(message);
	char text[BUS_TEXT_SIZE];
	const char *path;

	if (!failure) {
		if (sd_bus_message_read(message, "o", &path) >= 0)
			snprintf(b->job_path, sizeof(b->job_path), "%s", path);
		return 0;
	}
	if (b->job == JOB_STOP) {
		/* What counts is whether it is down: it may not even exist, or be gone already. */
		if (!sd_bus_error_has_name(sd_bus_message_get_error(message),
					   SYSTEMD ".NoSuchUnit"))
			snprintf(b->refused, sizeof(b->refused), "%.300s", failure);
		bus_survey(b);
		return 0;
	}
	snprintf(text, sizeof(text), "%s%.300s", b->job == JOB_GUARD ? "guard: " : "", failure);
	bus_job_over(b, false, text);
	return 0;
}

void bus_job_call(struct bus *b, const char *method, const char *unit)
{
	b->job_path[0] = '\0';
	b->call_slot = sd_bus_slot_unref(b->call_slot);
	bus_expect(b,
		   sd_bus_call_method_async(b->bus, &b->call_slot, SYSTEMD, MANAGER_PATH, MANAGER,
					    method, on_job_queued, b, "ss", unit, "replace"));
}

static void own_job_removed(struct bus *b, const char *result)
{
	char text[BUS_TEXT_SIZE];
	bool ok = !strcmp(result, "done");

	b->job_path[0] = '\0';
	if (b->job == JOB_STOP) {
		if (!ok)
			snprintf(b->refused, sizeof(b->refused), "job %s", result);
		bus_survey(b);
	} else {
		snprintf(text, sizeof(text), "%s%s", !ok && b->job == JOB_GUARD ? "guard: " : "",
			 result);
		bus_job_over(b, ok, text);
	}
}

void bus_failure(sd_bus_message *message, char text[BUS_TEXT_SIZE])
{
	const char *failure = failure_of(message);

	if (failure)
		snprintf(text, BUS_TEXT_SIZE, "%.300s", failure);
}

int bus_on_job_removed(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
	struct bus *b = userdata;
	const char *path, *unit, *result;
	uint32_t id;

	if (sd_bus_message_read(message, "uoss", &id, &path, &unit, &result) < 0)
		return 0;
	if (*b->job_path && !strcmp(path, b->job_path))
		own_job_removed(b, result);
	else if (b->job == JOB_STOP && b->unit_asked && bus_parts_has(&b->parts, unit))
		bus_survey(b);
	return 0;
}

/* -- start -- */

static int on_load_state(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
	struct bus *b = userdata;
	char text[BUS_TEXT_SIZE] = "";
	const char *state = "";

	bus_failure(message, text);
	if (!*text)
		(void)sd_bus_message_read(message, "v", "s", &state);
	if (!strcmp(state, "masked"))
		snprintf(text, sizeof(text), "it is masked: systemctl unmask %.200s", b->unit);
	else if (!strcmp(state, "not-found"))
		snprintf(text, sizeof(text), "there is no unit of that name");
	else if (!*text && strcmp(state, "loaded") != 0)
		snprintf(text, sizeof(text), "its unit file is not valid: systemctl status %.200s",
			 b->unit);
	else if (!*text)
		snprintf(text, sizeof(text),
			 "not bound to its guard (add BindsTo=%.100s and After=%.100s to it)",
			 b->guard, b->guard);
	bus_job_over(b, false, text);
	return 0;
}

static void on_guard_known(struct bus *b, const char *failure)
{
	char text[BUS_TEXT_SIZE];

	if (failure) {
		snprintf(text, sizeof(text), "%.350s", failure);
		bus_job_over(b, false, text);
	} else if (b->bound) {
		/* Anew: one of a former watch, that has not seen yet that it is over, is not ours. */
		bus_job_call(b, "RestartUnit", b->guard);
	} else {
		b->call_slot = sd_bus_slot_unref(b->call_slot);
		bus_expect(b,
			   bus_get(b, b->unit, UNIT, "LoadState", on_load_state, b, &b->call_slot));
	}
}

void bus_start_guard(struct bus *bus, bus_job_fn done)
{
	bus_job_begin(bus, JOB_GUARD, done);
	bus_look_for_guard(bus, on_guard_known);
}

bool bus_guard_is_starting(const struct bus *bus)
{
	return bus->job == JOB_GUARD;
}

void bus_start_unit(struct bus *bus, bus_job_fn done)
{
	bus_job_begin(bus, JOB_START, done);
	bus_parts_reset(&bus->parts, bus, bus->unit);
	if (!bus->bus) {
		bus_expect(bus, -ENOTCONN);
		return;
	}
	bus->ours = bus->unit_asked = true;
	bus_job_call(bus, "StartUnit", bus->unit);
}

void bus_stop_guard(struct bus *bus)
{
	if (bus->job == JOB_GUARD)
		bus_job_end(bus);
	if (bus->bus)
		(void)sd_bus_call_method_async(bus->bus, NULL, SYSTEMD, MANAGER_PATH, MANAGER,
					       "StopUnit", NULL, NULL, "ss", bus->guard, "replace");
}
