/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The work of being primary, as the election sees it: started, stopped, killed. A systemd unit (takeover.unit), commands
 * (takeover.command, relinquish.command), or both: the unit is started first and stopped last.
 *
 * What is known to be down:
 * - a unit: systemd says that its stop is done, or that it is inactive or failed;
 * - commands: relinquish.command succeeded, or the time for it is over; then what the takeover command
 *   left in its process group is killed, too. A process that left that group is beyond reach: services that shall be
 *   killed for sure are run as units.
 */

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/config/config.h"
#include "bus.h"
#include "script.h"

/* A relinquish command that fails has not stopped the work: it is run again until the election has it killed. */
#define WORK_STOP_PAUSE_S 1.0

/* At a cold start, when most likely there is nothing to stop, it is run this often at the most. */
#define WORK_COLD_TRIES 3

/* Until a refused stop of the unit is asked for again. */
#define WORK_UNIT_RETRY_S 0.2

struct work;

typedef void (*work_started_fn)(void *userdata, bool ok);
typedef void (*work_stopped_fn)(void *userdata);
typedef void (*work_failed_fn)(void *userdata, const char *state);
/* Nothing was done to the unit, and nothing will be: it is another daemon's. */
typedef void (*work_foreign_fn)(void *userdata, const char *text);
/* For the journal: a job of the unit ended, or the bus was lost or is back. work.unit_us tells how long a job took. */
enum work_unit_word { WORK_UNIT_START, WORK_UNIT_STOP, WORK_UNIT_BUS };
typedef void (*work_unit_fn)(void *userdata, enum work_unit_word word, bool ok, const char *text);

struct work {
	const struct config *config;
	work_started_fn on_started;
	work_stopped_fn on_stopped;
	work_failed_fn on_failed; /* the unit went away though nobody here stopped it */
	work_foreign_fn on_foreign;
	work_unit_fn on_unit;
	int64_t (*start_by_us)(void *userdata); /* nothing is started later; 0: no bound */
	script_line_fn on_line;
	script_end_fn on_end; /* for the journal, before the others */
	void *userdata;

	struct ev_loop *loop;
	struct bus *bus; /* NULL: no unit */
	ev_timer timer; /* bound of the unit's start, or pause before its stop is asked for again */
	struct script takeover, relinquish;
	struct script_facts facts; /* of the command to come; points into the texts */
	char primary[NAME_SIZE], previous[NAME_SIZE], reason[96];
	unsigned tries;
	bool cold; /* set before work_stop(): a stop at the start of the daemon */
	bool starting, up, stopping, killed;
	int64_t unit_since_us,
		unit_us; /* begin of the unit's job; what it took, while on_unit runs */
	char trouble
		[BUS_TEXT_SIZE]; /* why the unit's stop did not work last time; "": nothing known */
	bool unit_stopping;	 /* the commands are through, the unit is going down */
	pid_t group;		 /* of what the takeover command left running; 0: none */
};

int work_init(struct work *work, struct ev_loop *loop, const struct config *config);

/* Leaves running what runs, but for a takeover or relinquish command itself: that is killed. */
void work_finish(struct work *work);

/* A process before us started it: it is watched from here on. */
void work_resume(struct work *work);

/* With a unit: starts the service that guards it, for a work_start() to come; work_release_guard() takes it back. */
void work_prepare(struct work *work);
bool work_is_prepared(const struct work *work);

/* That start is under way: the service stands by, and is started once there is an epoch. */
bool work_is_preparing(const struct work *work);

/* on_started follows once (maybe at once), unless work_stop() comes first. */
void work_start(struct work *work, const struct script_facts *facts);

/* Stops it, also one that is starting. on_stopped follows once (maybe at once). */
void work_stop(struct work *work, const struct script_facts *facts);

/* The time for an orderly stop is over: everything in reach is killed; on_stopped follows. */
void work_kill(struct work *work);

/* on_failed was told of a unit that goes down with the whole system. */
bool work_system_stops(const struct work *work);

/* The work is down and the lease disarmed: with a unit, the service that guards it may end. */
void work_release_guard(struct work *work);
