/* SPDX-License-Identifier: Apache-2.0 */
#include "bus_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* The guard that the unit is to be bound to, and whether it is. */

static void looked(struct bus *b, const char *failure)
{
	bus_guard_fn then = b->then;

	b->then = NULL;
	b->vetted = true;
	if (then)
		then(b, failure);
}

/* What cannot be learnt is no reason to leave work running: only what is surely another's is left alone. */
static int on_binding(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
	struct bus *b = userdata;
	char failure[BUS_TEXT_SIZE] = "", other[BUS_UNIT_SIZE] = "";
	const char *unit;

	bus_failure(message, failure);
	b->bound = false;
	if (!*failure && unit_enter_list(message))
		while (sd_bus_message_read(message, "s", &unit) > 0) {
			b->bound = b->bound || !strcmp(unit, b->guard);
			if (!strncmp(unit, UNIT_GUARD_PREFIX, strlen(UNIT_GUARD_PREFIX)))
				snprintf(other, sizeof(other), "%s", unit);
		}
	if (!b->bound && *other)
		snprintf(failure, sizeof(failure), "it is bound to %.120s, not to %.120s", other,
			 b->guard);
	/* A job of work that is not ours is neither carried out nor ended: the daemon leaves. */
	if (!b->bound && *other && !b->ours)
		b->on_foreign(b->userdata, failure);
	else
		looked(b, *failure ? failure : NULL);
	return 0;
}

void bus_look_for_guard(struct bus *b, bus_guard_fn then)
{
	b->then = then;
	b->call_slot = sd_bus_slot_unref(b->call_slot);
	bus_expect(b, b->bus ? bus_get(b, b->unit, UNIT, "BindsTo", on_binding, b, &b->call_slot)
			     : -ENOTCONN);
}
