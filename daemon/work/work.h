/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The work of being primary, as the node sees it: started, stopped, seen down. It is a systemd unit (takeover.unit),
 * commands (takeover.command, relinquish.command), or both: the unit is started first and stopped last.
 *
 * keeper.h decides what is done when; this is the shell around it, with the guard, the lease file and the lock that whoever
 * starts or stops the work holds. A process that left the process group of its command is beyond reach: services that
 * shall be killed for sure are run as units.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/config/config.h"
#include "keeper.h"
#include "log/log.h"
#include "script.h"

/* Until a refused stop of the unit is asked for again. */
#define WORK_UNIT_RETRY_S 0.2

#define WORK_TEXT_SIZE 384

struct ev_loop;
struct lease_file;
struct work;

/* For the journal: a job of the unit ended, or the bus was lost or is back. */
enum work_unit_word { WORK_UNIT_START, WORK_UNIT_STOP, WORK_UNIT_BUS };

/* All run from the loop, or from within the functions below; none may destroy the work. */
struct work_options {
	struct ev_loop *loop;
	const struct config *config; /* must outlive it */
	struct lease_file *lease;    /* must outlive it; NULL: no guard (only for tests and load) */

	/* The work is not up, or not any more; before anything else is done about it. May come again and again. */
	void (*on_not_up)(void *userdata);
	void (*on_started)(void *userdata, bool ok);
	void (*on_stopped)(void *userdata);
	/* work_trouble() changed. */
	void (*on_trouble)(void *userdata);
	/* The unit went away though nobody here stopped it, or one that it requires has failed: text says which. */
	void (*on_failed)(void *userdata, const char *text, bool system_stops);
	/* A stop of the unit takes long: work_obstacle() tells what it waits for. */
	void (*on_obstacle)(void *userdata);
	/* Nothing was done to the unit, and nothing will be: it is another daemon's. */
	void (*on_foreign)(void *userdata, const char *text);

	/* For the journal. us: how long the job took. */
	void (*on_unit)(void *userdata, enum work_unit_word word, bool ok, const char *text,
			int64_t us);
	void (*on_guard)(void *userdata, enum event event, const char *text);
	void (*on_kill)(void *userdata);
	void (*on_fence)(void *userdata, const char *outcome);
	void (*on_unwritten)(void *userdata, int error); /* the facts for units */
	script_line_fn on_line;
	script_end_fn on_end;
	void *userdata;
};

/* Returns 0 or -errno. A guard that a former process left is adopted. */
int work_create(const struct work_options *options, struct work **ret_work);

/* Leaves running what runs, but for a takeover or relinquish command itself: that is killed. Takes NULL. Returns NULL. */
struct work *work_destroy(struct work *work);

/* First, one of: the process before left nothing; or left it running, as of that lease; or neither, and it is not known. */
void work_clear(struct work *work);
void work_resume(struct work *work, int64_t lease_end_us);

/* A start is to be expected: a guard is made ready. May be said again and again. */
void work_named(struct work *work, const struct script_facts *facts);
void work_unnamed(struct work *work);

/* The present lease, of that epoch. */
void work_lease(struct work *work, int64_t end_us, int64_t epoch);

/* on_started follows once, maybe at once, unless work_stop() comes first. */
void work_start(struct work *work, const struct script_facts *facts);

/* Stops it, also one that is starting. on_stopped follows once, maybe at once. cold: most likely nothing runs. */
void work_stop(struct work *work, const struct script_facts *facts, bool cold);

/* Why this node should not be primary; "": no reason. */
const char *work_trouble(const struct work *work);

/* It runs, and nobody here has begun to stop it. */
bool work_is_up(const struct work *work);

/* A guard watches over it. */
bool work_is_guarded(const struct work *work);

/* work_trouble() is that the guard has stopped it. */
bool work_guard_acted(const struct work *work);

/* What stands in the way of the stop, which is tried again and again; "": nothing that is known. */
const char *work_obstacle(const struct work *work);

/* Of what the takeover command left running; 0: none. */
pid_t work_group(const struct work *work);
