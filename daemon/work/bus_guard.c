/* SPDX-License-Identifier: Apache-2.0 */
#include "bus_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* The guard that the unit is bound to, and whether it is this daemon's. */

static void remember_guard(struct bus *b, sd_bus_message *message)
{
	const char *unit;

	if (sd_bus_message_is_method_error(message, NULL))
		return;
	b->guard[0] = '\0';
	if (!unit_enter_list(message))
		return;
	while (sd_bus_message_read(message, "s", &unit) > 0)
		if (!strncmp(unit, UNIT_GUARD_PREFIX, strlen(UNIT_GUARD_PREFIX)))
			snprintf(b->guard, sizeof(b->guard), "%s", unit);
}

/* What cannot be learnt is no reason to leave work running: only what is surely another's is left alone. */
static bool is_foreign(struct bus *b, sd_bus_message *message)
{
	char directory[UNIT_DIRECTORY_SIZE];

	if (!unit_guard_directory(message, directory) ||
	    unit_guard_is_same(directory, b->runtime_directory))
		return false;
	snprintf(b->foreign, sizeof(b->foreign), "%s watches over %s, not over %s", b->guard,
		 directory, b->runtime_directory);
	return true;
}

static void looked(struct bus *b, const char *failure)
{
	bus_guard_fn then = b->then;

	b->then = NULL;
	b->vetted = true;
	if (then)
		then(b, failure);
}

/* A job of work that is not ours is neither carried out nor ended: the daemon leaves. */
static int on_command_told(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
	struct bus *b = userdata;

	(void)error;
	if (!is_foreign(b, message))
		looked(b, NULL);
	else if (b->ours)
		looked(b, b->foreign);
	else
		b->on_foreign(b->userdata, b->foreign);
	return 0;
}

static int on_guard_told(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
	struct bus *b = userdata;
	char failure[BUS_TEXT_SIZE] = "";

	(void)error;
	bus_failure(message, failure);
	remember_guard(b, message);
	if (*failure || !*b->guard) {
		looked(b, *failure ? failure : NULL);
		return 0;
	}
	b->call_slot = sd_bus_slot_unref(b->call_slot);
	bus_expect(b, bus_get(b, b->guard, SYSTEMD ".Service", "ExecStart", on_command_told,
			      &b->call_slot));
	return 0;
}

void bus_look_for_guard(struct bus *b, bus_guard_fn then)
{
	b->then = then;
	b->call_slot = sd_bus_slot_unref(b->call_slot);
	bus_expect(b, b->bus ? bus_get(b, b->unit, UNIT, "BindsTo", on_guard_told, &b->call_slot)
			     : -ENOTCONN);
}
