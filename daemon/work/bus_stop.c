/* SPDX-License-Identifier: Apache-2.0 */
#include "bus_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* The stop of the unit and of everything that depends on it, and the kill when the stop is late. */

/* -- killing -- */

/*
 * Not by KillUnit: that makes systemd 257 kill a control group as a whole, after which Linux also kills at once what systemd
 * starts there to clean up (ExecStopPost=).
 */
void bus_ask_killer(struct bus *b)
{
	char name[BUS_UNIT_SIZE + sizeof(UNIT_KILLER) + 16];

	if (!b->bus)
		return;
	b->killer_asked = true;
	snprintf(name, sizeof(name), "%s@%s.service", UNIT_KILLER, b->unit);
	(void)sd_bus_call_method_async(b->bus, NULL, SYSTEMD, MANAGER_PATH, MANAGER, "StartUnit",
				       NULL, NULL, "ss", name, "replace");
}

void bus_kill_unit(struct bus *bus)
{
	bus->killing = true;
	bus->killer_asked = false;
	if (bus->vetted)
		bus_ask_killer(bus);
}

/* -- stop: what hangs on it, the job, and then looks until all of it is down -- */

static void surveyed(struct bus *b);

static void answered(struct bus *b)
{
	if (--b->n_asked == 0)
		surveyed(b);
}

static void add_dependents(struct bus *b, sd_bus_message *message, bool apart)
{
	const char *unit;

	if (!unit_enter_list(message))
		b->unheard = true;
	else
		while (sd_bus_message_read(message, "s", &unit) > 0)
			bus_parts_add(&b->parts, unit, apart);
	answered(b);
}

static int on_dependents(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
	const struct bus_part *part = userdata;

	add_dependents(part->bus, message, part->apart);
	return 0;
}

static int on_apart(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
	add_dependents(userdata, message, true);
	return 0;
}

static void ask(struct bus *b, const char *unit, const char *property,
		sd_bus_message_handler_t handler, void *userdata)
{
	if (bus_get(b, unit, UNIT, property, handler, userdata, NULL) >= 0)
		b->n_asked++;
}

static void ask_dependents(struct bus *b)
{
	struct bus_part *part;

	for (int i = 0; i < BUS_ASKED_MAX && (part = bus_parts_next(&b->parts)); i++) {
		ask(b, part->name, "ConsistsOf", on_dependents, part);
		ask(b, part->name, "BoundBy", on_dependents, part);
		ask(b, part->name, "RequiredBy", on_dependents, part);
		ask(b, part->name, "Triggers", on_apart, b);
	}
	if (!b->guard_asked)
		ask(b, b->guard, "BoundBy", on_apart, b);
	b->guard_asked = true;
}

/* A job to start it that waits would be carried out after all. */
static const char *state_of(const struct bus_row *row)
{
	bool starts = !strcmp(row->job, "start") || !strcmp(row->job, "restart");

	return starts && bus_state_is_down(row->active) ? "activating" : row->active;
}

static int on_states(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
	struct bus *b = userdata;
	struct bus_row row;

	if (bus_list_read(message)) {
		bus_parts_forget_states(&b->parts);
		while (bus_list_read_row(message, &row)) {
			bus_parts_set_state(&b->parts, row.name, state_of(&row));
			/* The signal of its end may be lost: systemd forgets who subscribed when its own connection breaks. */
			if (!*row.job && !strcmp(row.name, b->unit))
				b->job_path[0] = '\0';
		}
		b->seen = true;
	}
	answered(b);
	return 0;
}

static void ask_states(struct bus *b)
{
	struct bus_list list;

	bus_list_begin(b, &list);
	for (size_t i = 0; i < b->parts.n; i++)
		bus_list_add(&list, b->parts.list[i].name);
	if (bus_list_send(b, &list, on_states) >= 0)
		b->n_asked++;
}

/* What is known is asked in one flush; the rest of it, and what turns out to belong to it as well, in further ones. */
static void ask_all(struct bus *b)
{
	b->seen = false;
	ask_dependents(b);
	if (b->job == JOB_STOP && b->unit_asked)
		ask_states(b);
	b->looking = true;
	if (!b->n_asked)
		surveyed(b);
}

static void go_on(struct bus *b)
{
	if (b->killing && !b->killer_asked)
		bus_ask_killer(b);
	if (b->look_again)
		bus_survey(b);
}

static bool is_time_to_tell(struct bus *b)
{
	ev_tstamp now = ev_now(b->loop);

	if (now < b->tell_at)
		return false;
	b->tell_at = now + TELL_S;
	return true;
}

/* The guard goes when the lease is over, and the last of what is bound to it before it does. */
static void stop_apart(struct bus *b)
{
	if (!b->guard_stopped)
		bus_stop_guard(b);
	b->guard_stopped = true;
}

static void states_known(struct bus *b)
{
	struct bus_part *part = bus_parts_up(&b->parts, false);
	char text[BUS_TEXT_SIZE];

	if (part && *b->refused) {
		snprintf(text, sizeof(text), "%s", b->refused);
		bus_job_over(b, false, text);
		return;
	}
	if (!part) {
		part = bus_parts_up(&b->parts, true);
		if (part)
			stop_apart(b);
	}
	if (part && is_time_to_tell(b))
		bus_left_ask_blocker(b, part);
	else if (part || *b->job_path)
		go_on(b); /* a job that is not over would stop what is started next */
	else
		bus_left_ask(b);
}

/* False: it was not for the present job. */
static bool end_survey(struct bus *b)
{
	bool stale = b->stale || b->job != JOB_STOP;

	b->looking = b->stale = false;
	if (stale && b->job == JOB_STOP)
		bus_survey(b);
	return !stale;
}

void bus_left_known(struct bus *b)
{
	const struct bus_part *part = bus_parts_up(&b->parts, false);

	if (!end_survey(b))
		return;
	if (!part)
		part = bus_parts_up(&b->parts, true);
	if (*b->obstacle && (part || is_time_to_tell(b)))
		b->on_wait(b->userdata, b->obstacle);
	if (*b->obstacle) {
		go_on(b);
		return;
	}
	bus_parts_reset(&b->parts, b, b->unit);
	b->ours = false; /* who starts it next may be another daemon */
	bus_job_over(b, true, *b->refused ? "down already" : "done");
}

static void surveyed(struct bus *b)
{
	/* While it runs, only what belongs to it is noted: a unit that is taken out of the work goes on running. */
	if (b->job == JOB_NONE && !bus_parts_all_asked(&b->parts)) {
		ask_all(b);
		return;
	}
	if (!end_survey(b))
		return;
	if (!bus_parts_all_asked(&b->parts)) {
		ask_all(b);
	} else if (!b->unit_asked) {
		b->unit_asked = true;
		bus_job_call(b, "StopUnit", b->unit);
	} else if (b->seen && !b->unheard) {
		states_known(b);
	} else {
		if (b->unheard && is_time_to_tell(b))
			b->on_wait(b->userdata, "systemd does not report what depends on it");
		go_on(b);
	}
}

void bus_survey(struct bus *b)
{
	if (b->looking || !b->bus) {
		b->look_again = true;
		return;
	}
	b->look_again = b->guard_asked = b->unheard = false;
	bus_parts_again(&b->parts);
	ask_all(b);
}

void bus_on_look(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct bus *b = timer->data;

	if (b->job == JOB_NONE)
		bus_watch_look_again(b);
	else if (b->unit_asked)
		bus_survey(b);
}

/* Whatever is wrong with the guard, or with what can be learnt of it: the unit has to be down. */
static void on_guard_known(struct bus *b, const char *failure)
{
	bus_survey(b);
}

void bus_stop_unit(struct bus *bus, bus_job_fn done)
{
	bus_job_begin(bus, JOB_STOP, done);
	bus_parts_doubt(&bus->parts);
	if (!bus->bus) {
		bus_expect(bus, -ENOTCONN);
		return;
	}
	bus->tell_at = ev_now(bus->loop) + TELL_S;
	ev_timer_again(bus->loop, &bus->look);
	if (bus->vetted)
		bus_survey(bus);
	else
		bus_look_for_guard(bus, on_guard_known);
}
