/* SPDX-License-Identifier: Apache-2.0 */
#include "bus_internal.h"

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* The stop of the unit and of what hangs on it, and the kill when that is late. */

/* -- killing -- */

static void ask_killer(struct bus *b)
{
	char name[BUS_UNIT_SIZE + sizeof(UNIT_KILLER) + 16];

	if (b->killer_asked || !b->bus)
		return;
	b->killer_asked = true;
	snprintf(name, sizeof(name), "%s@%s.service", UNIT_KILLER, b->unit);
	(void)sd_bus_call_method_async(b->bus, NULL, SYSTEMD, MANAGER_PATH, MANAGER, "StartUnit",
				       NULL, NULL, "ss", name, "replace");
}

static int on_killed(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
	const sd_bus_error *failure = sd_bus_message_get_error(message);

	(void)error;
	if (failure &&
	    (sd_bus_error_has_name(failure, SD_BUS_ERROR_ACCESS_DENIED) ||
	     sd_bus_error_has_name(failure, SD_BUS_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED)))
		ask_killer(userdata);
	return 0;
}

/* Each part once: what systemd runs afterwards to clean up (ExecStopPost=) must be let. */
static void kill_parts(struct bus *b)
{
	for (size_t i = 0; i < b->parts.n; i++) {
		struct bus_part *part = &b->parts.list[i];

		if (part->killed || !part->up)
			continue;
		part->killed = true;
		(void)sd_bus_call_method_async(b->bus, NULL, SYSTEMD, MANAGER_PATH, MANAGER,
					       "KillUnit", on_killed, b, "ssi", part->name, "all",
					       SIGKILL);
	}
}

void bus_kill_unit(struct bus *bus)
{
	bus->killing = true;
	bus->killer_asked = false;
	for (size_t i = 0; i < bus->parts.n; i++)
		bus->parts.list[i].killed = false;
	if (bus->bus && bus->vetted)
		kill_parts(bus);
}

/* -- stop: what hangs on it, the job, and then looks until all of it is down -- */

static void survey_over(struct bus *b);

static void add_dependents(struct bus *b, sd_bus_message *message, bool apart)
{
	const char *unit;

	if (unit_enter_list(message))
		while (sd_bus_message_read(message, "s", &unit) > 0)
			bus_parts_add(&b->parts, unit, apart);
	b->n_asked--;
	survey_over(b);
}

static int on_dependents(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
	(void)error;
	add_dependents(userdata, message, false);
	return 0;
}

static int on_apart(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
	(void)error;
	add_dependents(userdata, message, true);
	return 0;
}

/* Asks for the dependents of everything found so far; goes on when no answer is outstanding. */
static void ask_dependents(struct bus *b)
{
	static const char *const properties[] = { "ConsistsOf", "BoundBy", "RequiredBy" };
	struct bus_part *part;

	while ((part = bus_parts_next(&b->parts)))
		for (size_t i = 0; i < sizeof(properties) / sizeof(properties[0]); i++)
			if (bus_get_property(b, part->name, properties[i],
					     part->apart ? on_apart : on_dependents, NULL) >= 0)
				b->n_asked++;
	/* Last: by now it is known what of that hangs on the unit, too. */
	if (b->n_asked || b->guard_asked)
		return;
	b->guard_asked = true;
	if (bus_get_property(b, b->guard, "BoundBy", on_apart, NULL) >= 0)
		b->n_asked++;
}

static void go_on(struct bus *b)
{
	if (b->killing)
		kill_parts(b);
	if (b->look_again)
		bus_survey(b);
}

/* The guard goes when the lease is over, and the last of what is bound to it before it does. */
static void stop_apart(struct bus *b)
{
	if (!b->guard_stopped)
		bus_stop_guard(b);
	b->guard_stopped = true;
	go_on(b);
}

static void states_known(struct bus *b)
{
	if (!bus_parts_up(&b->parts, false)) {
		if (bus_parts_up(&b->parts, true)) {
			stop_apart(b);
			return;
		}
		b->ours = false; /* who starts it next may be another daemon */
		bus_job_over(b, true, *b->refused ? "down already" : "done");
	} else if (*b->refused) {
		char text[BUS_TEXT_SIZE];

		snprintf(text, sizeof(text), "%s", b->refused);
		bus_job_over(b, false, text);
	} else {
		go_on(b);
	}
}

static int on_states(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
	struct bus *b = userdata;
	const char *name, *active, *skip;
	uint32_t id;

	(void)error;
	b->looking = false;
	if (b->job != JOB_STOP)
		return 0;
	if (sd_bus_message_is_method_error(message, NULL) ||
	    sd_bus_message_enter_container(message, 'a', "(ssssssouso)") <= 0)
		return 0;
	while (sd_bus_message_read(message, "(ssssssouso)", &name, &skip, &skip, &active, &skip,
				   &skip, &skip, &id, &skip, &skip) > 0)
		bus_parts_set_state(&b->parts, name, active);
	states_known(b);
	return 0;
}

static int ask_states(struct bus *b)
{
	sd_bus_message *message = NULL;
	int r = sd_bus_message_new_method_call(b->bus, &message, SYSTEMD, MANAGER_PATH, MANAGER,
					       "ListUnitsByNames");

	if (r >= 0)
		r = sd_bus_message_open_container(message, 'a', "s");
	for (size_t i = 0; r >= 0 && i < b->parts.n; i++)
		r = sd_bus_message_append(message, "s", b->parts.list[i].name);
	if (r >= 0)
		r = sd_bus_message_close_container(message);
	if (r >= 0)
		r = sd_bus_call_async(b->bus, NULL, message, on_states, b, 0);
	sd_bus_message_unref(message);
	return r;
}

static void survey_over(struct bus *b)
{
	ask_dependents(b);
	if (b->n_asked || b->job != JOB_STOP) {
		b->looking = b->n_asked;
		return;
	}
	if (!b->unit_asked) {
		b->looking = false;
		b->unit_asked = true;
		bus_job_call(b, "StopUnit", b->unit);
	} else if (ask_states(b) < 0) {
		b->looking = false;
	}
}

void bus_survey(struct bus *b)
{
	if (b->looking || !b->bus) {
		b->look_again = true;
		return;
	}
	b->looking = true;
	b->look_again = b->guard_asked = false;
	bus_parts_again(&b->parts);
	survey_over(b);
}

void bus_on_look(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct bus *b = timer->data;

	(void)loop;
	(void)events;
	/* Before that the job's end is what is waited for. */
	if (b->unit_asked && !*b->job_path)
		bus_survey(b);
}

/* Whatever is wrong with the guard, or with what can be learnt of it: the unit has to be down. */
static void on_guard_known(struct bus *b, const char *failure)
{
	(void)failure;
	bus_survey(b);
}

void bus_stop_unit(struct bus *bus, bus_job_fn done)
{
	bus_job_begin(bus, JOB_STOP, done);
	bus_parts_reset(&bus->parts, bus->unit);
	if (!bus->bus) {
		bus_expect(bus, -ENOTCONN);
		return;
	}
	ev_timer_again(bus->loop, &bus->look);
	if (bus->vetted)
		bus_survey(bus);
	else
		bus_look_for_guard(bus, on_guard_known);
}
