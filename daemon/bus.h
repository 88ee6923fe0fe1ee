/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * systemd over the bus, on the loop: starts, stops and kills units and hears when they go away. The only file that
 * knows sd-bus. Nothing here waits: every call is asynchronous, and a bus that is gone is opened again.
 */

#include <stdbool.h>

struct ev_loop;
struct bus;

#define BUS_UNIT_SIZE 256
#define BUS_TEXT_SIZE 256

/* What a job of ours came to. ok: systemd says `done`. text: its word for it, or the error; valid during the call. */
typedef void (*bus_job_fn)(void *userdata, bool ok, const char *text);

/* The unit's ActiveState changed, or was read after the bus (re)opened: "active", "failed", "inactive" ... */
typedef void (*bus_state_fn)(void *userdata, const char *active_state);

/* The bus cannot be reached (error text), or can be again (NULL). */
typedef void (*bus_link_fn)(void *userdata, const char *error);

struct bus_options {
	const char *unit; /* the one unit that this bus object is about; copied */
	bus_state_fn on_state;
	bus_link_fn on_link;
	void *userdata;
};

/* Returns 0 or -ENOMEM. The bus itself is opened from the loop, again and again until it answers. */
int bus_create(struct ev_loop *loop, const struct bus_options *options, struct bus **ret_bus);

/* Takes NULL. Returns NULL. Running jobs go on; their callbacks do not run. */
struct bus *bus_destroy(struct bus *bus);

/*
 * Starts or stops the unit; `done` runs exactly once, from the loop, unless a later job of this bus object takes its
 * place or the object is destroyed. A bus that is not there fails the job. A unit that does not exist is stopped.
 */
void bus_start_unit(struct bus *bus, bus_job_fn done);
void bus_stop_unit(struct bus *bus, bus_job_fn done);

/* SIGKILL to every process of the unit and of the units that are part of it (PartOf=). */
void bus_kill_unit(struct bus *bus);

/* As told last; "" while it is not known. */
const char *bus_active_state(const struct bus *bus);
