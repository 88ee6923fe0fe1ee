/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A unit and everything that systemd stops along with it: units that are part of it, bound to it, or that require it,
 * and theirs in turn. A stop is over when all of them are down, not when the job of the first one is: systemd stops a
 * target before what the target started.
 *
 * Apart are units that systemd does not stop along with it, but with its guard: they are bound to that alone. Their
 * stop begins when everything else is down, and the guard is told to end.
 */

#include <stdbool.h>
#include <stddef.h>

#define BUS_UNIT_SIZE 256

/* What does not fit is left to systemd; nobody hangs that much on one role. */
#define BUS_PARTS_MAX 64

struct bus_part {
	char name[BUS_UNIT_SIZE];
	bool asked; /* for what hangs on it, in this survey */
	bool up;    /* as of the last look */
	bool killed;
	bool apart;
};

struct bus_parts {
	struct bus_part list[BUS_PARTS_MAX];
	size_t n;
};

/* Only the unit itself. */
void bus_parts_reset(struct bus_parts *parts, const char *unit);

/* A new survey of the same set: what was found before stays. */
void bus_parts_again(struct bus_parts *parts);

/* Once each; names that are too long, or one too many, are left out. What was added as apart may turn out not to be. */
void bus_parts_add(struct bus_parts *parts, const char *unit, bool apart);

/* One that was not asked yet, marked as asked; NULL: none is left. */
struct bus_part *bus_parts_next(struct bus_parts *parts);

/* "active", "inactive" ...; of units that are not in the set nothing is kept. */
void bus_parts_set_state(struct bus_parts *parts, const char *unit, const char *active_state);

/* The first one of those, apart or not, that is not down; NULL: all are. */
const struct bus_part *bus_parts_up(const struct bus_parts *parts, bool apart);

bool bus_parts_has(const struct bus_parts *parts, const char *unit);

/* "inactive" or "failed". */
bool bus_state_is_down(const char *active_state);
