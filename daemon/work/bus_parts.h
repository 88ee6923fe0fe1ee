/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A unit and everything that belongs to it: units that are part of it, bound to it, that require it, or that it triggers,
 * and theirs in turn. A stop is over when all of them are down, not when the job of the first one is: systemd stops a
 * target before what the target started.
 *
 * Apart are units that systemd does not stop along with it: those that are bound to its guard alone, whose stop begins
 * when everything else is down and the guard is told to end; and what a timer, a socket or a path has started.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BUS_UNIT_SIZE 256

/* With more units than that, nobody can tell whether all of them are down. */
#define BUS_PARTS_MAX 256

struct bus;

struct bus_part {
	char name[BUS_UNIT_SIZE];
	char state[32];	 /* "active", "inactive" ..., as of the last look */
	struct bus *bus; /* for the answers of systemd about this part; the same for all */
	bool asked;	 /* for what hangs on it, in this survey */
	bool up;	 /* as of the last look */
	bool apart;
	bool remains; /* a service that is active without a process: its ExecStop= does the work of the stop */
	uint64_t
		exit_us; /* CLOCK_MONOTONIC: end of its main process since its last start; 0: not known */
};

struct bus_parts {
	struct bus *bus; /* of all parts */
	struct bus_part list[BUS_PARTS_MAX];
	size_t n;
	bool cut; /* there are more than that */
};

/* Only the unit itself: all of it was down. bus: of it and of all that will be added. */
void bus_parts_reset(struct bus_parts *parts, struct bus *bus, const char *unit);

/* A new survey of the same set: what was found before stays. */
void bus_parts_again(struct bus_parts *parts);

/* Once each; names that are too long for systemd are left out; one too many sets cut. What was added as apart may turn out not to be. */
void bus_parts_add(struct bus_parts *parts, const char *unit, bool apart);

/* One that was not asked yet, marked as asked; NULL: none is left. */
struct bus_part *bus_parts_next(struct bus_parts *parts);

/* A stop begins: what is noted may have left the work since. Apart, unless the answers say that it is stopped along. */
void bus_parts_doubt(struct bus_parts *parts);

bool bus_parts_all_asked(const struct bus_parts *parts);

/* They are to be told anew: all are up until somebody says otherwise. */
void bus_parts_forget_states(struct bus_parts *parts);

/* Of units that are not in the set nothing is kept. */
void bus_parts_set_state(struct bus_parts *parts, const char *unit, const char *active_state);

/* The first one of those, apart or not, that is not down; NULL: all are. */
struct bus_part *bus_parts_up(struct bus_parts *parts, bool apart);

bool bus_parts_has(const struct bus_parts *parts, const char *unit);

/* "inactive" or "failed". */
bool bus_state_is_down(const char *active_state);
