/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The work of being primary, as the election sees it: started, stopped, killed. In command mode it is whatever
 * takeover.command starts and relinquish.command stops.
 *
 * What is known to be down: relinquish.command succeeded, or was killed, or failed WORK_STOP_TRIES times; then what the
 * takeover command left in its process group is killed, too. A process that left that group is beyond reach:
 * services that shall be killed for sure are run as units.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "config.h"
#include "script.h"

#define WORK_STOP_TRIES 3

struct work;

typedef void (*work_started_fn)(void *userdata, bool ok);
typedef void (*work_stopped_fn)(void *userdata);

struct work {
	const struct config *config;
	work_started_fn on_started;
	work_stopped_fn on_stopped;
	script_line_fn on_line;
	script_end_fn on_end; /* for the journal, before the two above */
	void *userdata;

	struct script takeover, relinquish;
	struct script_facts facts; /* of the stop under way; points into the texts */
	char primary[NAME_SIZE], previous[NAME_SIZE], reason[96];
	unsigned tries;
	bool starting, stopping, killed;
	pid_t group; /* of what the takeover command left running; 0: none */
};

void work_init(struct work *work, struct ev_loop *loop, const struct config *config);

/* Leaves running what runs, but for a takeover or relinquish command itself: that is killed. */
void work_finish(struct work *work);

/* on_started follows once (maybe at once), unless work_stop() comes first. */
void work_start(struct work *work, const struct script_facts *facts);

/* Stops it, also one that is starting. on_stopped follows once (maybe at once). */
void work_stop(struct work *work, const struct script_facts *facts);

/* The time for an orderly stop is over: everything in reach is killed; on_stopped follows. */
void work_kill(struct work *work);
