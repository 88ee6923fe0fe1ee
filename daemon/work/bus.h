/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * systemd over the bus, on the loop: starts, stops and kills a unit and the guard to which it is bound, and reports
 * when the unit goes away. In the daemon only bus*.c know sd-bus. Nothing here waits: every call is asynchronous, and a
 * lost bus is opened again.
 *
 * The unit must be bound (BindsTo=) to this daemon's guard (unit_guard_name()). A unit that is not bound is never
 * started, because nothing would stop it when this daemon dies. A unit that is bound to the guard of another daemon is
 * neither started nor stopped.
 */

#include <stdbool.h>

#include "bus_parts.h"

struct ev_loop;
struct bus;

#define BUS_TEXT_SIZE 384

/* What a job of ours came to. text: what happened, or what went wrong; valid during the call. */
typedef void (*bus_job_fn)(void *userdata, bool ok, const char *text);

/*
 * The work does not run, as text says, and nothing is under way that brings it back: the unit is down or going down, or
 * systemd has given up a unit that it requires. Told again whenever one of them was looked at.
 */
typedef void (*bus_down_fn)(void *userdata, const char *text);

/* The unit is bound to the guard of another daemon, as text says: it is that one's work, and nothing was done to it. */
typedef void (*bus_foreign_fn)(void *userdata, const char *text);

/* The bus cannot be reached (error text), or can be again (NULL). */
typedef void (*bus_link_fn)(void *userdata, const char *error);

/* What a stop that takes long waits for: a unit and a process of it, or a clean-up that failed. It goes on. */
typedef void (*bus_wait_fn)(void *userdata, const char *obstacle);

struct bus_options {
	const char *unit;	       /* the one unit that this bus object is about; copied */
	const char *runtime_directory; /* of this daemon; copied */
	bus_down_fn on_down;
	bus_foreign_fn
		on_foreign; /* whatever job was wanted never ends; the bus object is to be destroyed */
	bus_link_fn on_link;
	bus_wait_fn on_wait;
	void *userdata;
};

/* Returns 0 or -ENOMEM. A bus that does not answer is opened again and again from the loop. */
int bus_create(struct ev_loop *loop, const struct bus_options *options, struct bus **ret_bus);

/* Takes NULL. Returns NULL. Running jobs go on; their callbacks do not run. */
struct bus *bus_destroy(struct bus *bus);

/*
 * Looks how the unit is: on_down follows if it is down. Also notes what belongs to it now: the next stop waits for all of that,
 * whatever unit files say by then. Nothing when the bus is not there: then that follows once it is.
 */
void bus_look(struct bus *bus);

/* As of the last news of the unit: the whole system is going down, and takes the unit along. */
bool bus_system_stops(const struct bus *bus);

/*
 * The unit runs, and this daemon, or one before it, has started it: whoever guards it, stops are carried out. A start
 * that finds another daemon's guard fails then, and on_foreign is not called.
 */
void bus_is_ours(struct bus *bus);

/*
 * Starts a new guard; ok: it watches. `done` runs exactly once, from the loop, unless a later job of this bus object
 * takes its place, bus_stop_guard() takes it back, or the object is destroyed. A bus that is not there fails the job.
 */
void bus_start_guard(struct bus *bus, bus_job_fn done);

/* It does not watch yet. */
bool bus_guard_is_starting(const struct bus *bus);

/* Starts the unit; its guard watches. `done` as above. */
void bus_start_unit(struct bus *bus, bus_job_fn done);

/*
 * Stops the unit, and when it and all that systemd stops along with it are down, whoever stopped them, the guard, and
 * with that what is bound to it alone. ok: all of that is down: no unit is active, none has a process left, and none
 * has failed to clean up after itself. A unit that does not exist is down. `done` as above.
 */
void bus_stop_unit(struct bus *bus, bus_job_fn done);

/* SIGKILL to every process of the unit and of what systemd stops along with it. */
void bus_kill_unit(struct bus *bus);

/* The work is down, the lease disarmed: the guard may end. Nobody waits for it. */
void bus_stop_guard(struct bus *bus);
