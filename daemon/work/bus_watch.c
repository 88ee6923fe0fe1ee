/* SPDX-License-Identifier: Apache-2.0 */
#include "bus_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * Whether the work still runs: the unit, and the units that it requires. If a required unit crashes and restarts itself
 * (Restart=), the unit stays up. Once systemd has given the required unit up, that unit is failed, and the work is
 * lost. A unit that an operator restarts is down only for a moment.
 */

/* -- states -- */

/* A job other than a stop brings it up again. */
static bool is_coming_back(const struct bus_row *row)
{
	return *row->job && strcmp(row->job, "stop") != 0;
}

static void judge(struct bus *b, const struct bus_row *unit, const char *culprit)
{
	bool down = bus_state_is_down(unit->active) || !strcmp(unit->active, "deactivating");
	char text[BUS_TEXT_SIZE];

	if (is_coming_back(unit))
		return;
	if (down && b->system_stops)
		snprintf(text, sizeof(text), "%.250s is %.20s: the system is going down", b->unit,
			 unit->active);
	else if (down && *culprit)
		snprintf(text, sizeof(text), "%.120s is %.20s, because %.120s has failed", b->unit,
			 unit->active, culprit);
	else if (down)
		snprintf(text, sizeof(text), "%.250s is %.20s although primaryd did not stop it",
			 b->unit, unit->active);
	else if (*culprit)
		snprintf(text, sizeof(text), "%.120s has failed, and %.120s requires it", culprit,
			 b->unit);
	else if (b->needed.cut)
		snprintf(text, sizeof(text),
			 "%.250s requires more than %d units: not all of them can be watched",
			 b->unit, BUS_NEEDED_MAX);
	else
		return;
	b->on_down(b->userdata, text);
}

static int on_states(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
	struct bus *b = userdata;
	struct bus_row row, unit = { "", "", "" };
	char culprit[BUS_UNIT_SIZE] = "";

	if (!bus_list_read(message))
		return 0;
	while (bus_list_read_row(message, &row)) {
		if (!strcmp(row.name, b->unit))
			unit = row;
		else if (!strcmp(row.active, "failed") && !is_coming_back(&row))
			snprintf(culprit, sizeof(culprit), "%s", row.name);
	}
	if (b->failing)
		b->on_link(b->userdata, NULL);
	b->failing = false;
	if (*unit.name)
		judge(b, &unit, culprit);
	return 0;
}

static int on_system_read(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
	struct bus *b = userdata;
	const char *state;

	b->system_stops = !sd_bus_message_is_method_error(message, NULL) &&
			  sd_bus_message_read(message, "v", "s", &state) > 0 &&
			  !strcmp(state, "stopping");
	return 0;
}

/* Answers come in the order of the questions: when the unit's state is told, it is known what to say of it. */
static int ask_states(struct bus *b)
{
	const struct bus_needed *needed = &b->needed;
	struct bus_list list;
	int r = sd_bus_call_method_async(b->bus, NULL, SYSTEMD, MANAGER_PATH, PROPERTIES, "Get",
					 on_system_read, b, "ss", MANAGER, "SystemState");

	if (r < 0)
		return r;
	bus_list_begin(b, &list);
	bus_list_add(&list, b->unit);
	for (size_t i = 0; i < needed->n; i++)
		bus_list_add(&list, needed->names[i]);
	return bus_list_send(b, &list, on_states);
}

/* -- signals -- */

/* Which properties changed does not matter: those that do are read. */
static int on_properties(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
	const char *interface;

	if (sd_bus_message_read(message, "s", &interface) >= 0 && !strcmp(interface, UNIT))
		(void)ask_states(userdata);
	return 0;
}

static int watch(struct bus *b, const char *unit, sd_bus_slot **ret_slot)
{
	char *path;
	int r = sd_bus_path_encode(SYSTEMD_UNITS, unit, &path);

	if (r < 0)
		return r;
	r = sd_bus_match_signal_async(b->bus, ret_slot, SYSTEMD, path, PROPERTIES,
				      "PropertiesChanged", on_properties, NULL, b);
	free(path);
	return r;
}

/* -- what it requires -- */

void bus_watch_forget(struct bus *b)
{
	while (b->needed.n)
		sd_bus_slot_unref(b->needed.slots[--b->needed.n]);
	b->needed.cut = b->needed.unheard = false;
}

static void need(struct bus *b, const char *unit)
{
	struct bus_needed *needed = &b->needed;

	if (strlen(unit) >= BUS_UNIT_SIZE || !strcmp(unit, b->guard))
		return;
	needed->cut = needed->n == BUS_NEEDED_MAX;
	if (needed->cut)
		return;
	needed->slots[needed->n] = NULL;
	if (watch(b, unit, &needed->slots[needed->n]) >= 0)
		strcpy(needed->names[needed->n++], unit);
}

static int on_required(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
	struct bus *b = userdata;
	const char *unit;

	if (!unit_enter_list(message))
		b->needed.unheard = true;
	else
		while (sd_bus_message_read(message, "s", &unit) > 0)
			need(b, unit);
	return 0;
}

static int on_all_required(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
	struct bus *b = userdata;

	(void)on_required(message, b, error);
	(void)ask_states(b);
	if (b->needed.unheard && b->job == JOB_NONE) {
		ev_timer_stop(b->loop, &b->look);
		ev_timer_set(&b->look, TELL_S, LOOK_S);
		ev_timer_start(b->loop, &b->look);
	}
	return 0;
}

/* Asks anew what the unit requires, which may have changed, and then for the states of all of them. */
static int begin(struct bus *b)
{
	int r;

	bus_watch_forget(b);
	r = bus_get(b, b->unit, UNIT, "Requires", on_required, b, NULL);
	return r < 0 ? r : bus_get(b, b->unit, UNIT, "BindsTo", on_all_required, b, NULL);
}

int bus_watch_open(struct bus *b)
{
	int r = watch(b, b->unit, NULL);

	return r < 0 ? r : begin(b);
}

void bus_look(struct bus *bus)
{
	if (!bus->bus)
		return;
	(void)begin(bus);
	if (bus->job == JOB_NONE)
		bus_survey(bus);
}

void bus_watch_look_again(struct bus *b)
{
	ev_timer_stop(b->loop, &b->look);
	if (b->needed.unheard)
		bus_look(b);
}
