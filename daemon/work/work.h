/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The work of the primary, as the node sees it: start, stop, down. It is a systemd unit (takeover.unit), commands
 * (takeover.command, relinquish.command), or both: the unit is started first and stopped last.
 *
 * keeper.h decides what is done when. This is the shell around it, with the guard, the lease file and the lock that a
 * process holds while it starts or stops the work. A process that left the process group of its command is out of
 * reach: if every process must be killed for sure, use units.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/config/config.h"
#include "command.h"
#include "command_environment.h"
#include "guard/guard.h"
#include "keeper.h"
#include "log/log.h"
#include "script_facts.h"
#include "scripts.h"

#define WORK_TEXT_SIZE 384

struct ev_loop;
struct work;

enum work_event {
	WORK_IS_UP,	  /* after work_start() */
	WORK_NOT_STARTED, /* after work_start() */
	WORK_IS_DOWN,	  /* after work_stop() */
	WORK_NOT_UP, /* not any more; before anything else is done about it. May come again and again */
	WORK_TROUBLE,  /* work_trouble() changed */
	WORK_OBSTACLE, /* work_obstacle() changed */
	WORK_IS_FOREIGN, /* the unit is another daemon's: nothing was done to it, and nothing will be */
};

/* Runs from the loop, or from within the functions below; must not destroy the work. */
typedef void (*work_fn)(void *userdata, enum work_event event);

struct work_options {
	struct ev_loop *loop;
	const struct config *config; /* must outlive it, like the next two */
	struct log *log;
	struct lease_file *lease; /* NULL: no guard (only for tests and load) */
	work_fn on_event;
	void *userdata;
};

/* Returns 0 or -errno. A guard that a former process left is adopted. */
int work_create(const struct work_options *options, struct work **ret_work);

/* Leaves running what runs, but for a takeover or relinquish command itself: that is killed. Takes NULL. Returns NULL. */
struct work *work_destroy(struct work *work);

/* First, one of: the process before left nothing; or left it running, as of that lease; or neither, and it is not known. */
void work_is_down(struct work *work);
void work_resume(struct work *work, int64_t lease_end_us);

/* A start is to be expected: a guard is made ready. May be said again and again. */
void work_named(struct work *work, const struct script_facts *facts);
void work_unnamed(struct work *work);

/* The present lease, of that epoch. */
void work_lease(struct work *work, int64_t end_us, int64_t epoch);

/* WORK_IS_UP or WORK_NOT_STARTED follows once, maybe at once, unless work_stop() comes first. */
void work_start(struct work *work, const struct script_facts *facts);

/* Stops it, also one that is starting. WORK_IS_DOWN follows once, maybe at once. cold: most likely nothing runs. */
void work_stop(struct work *work, const struct script_facts *facts, bool cold);

/* Why this node should not be primary; "": no reason. */
const char *work_trouble(const struct work *work);

/* False: the work is not known to be down at the end of its lease, and was not killed. */
bool work_in_order(const struct work *work, int64_t now_us);

/* It runs, and neither this process nor the guard has begun to stop it. */
bool work_is_up(const struct work *work);

/* A guard watches over it. */
bool work_is_guarded(const struct work *work);

/* work_trouble() is that the guard has stopped it. */
bool work_guard_acted(const struct work *work);

/* What stands in the way of the stop, which is tried again and again; "": nothing that is known. */
const char *work_obstacle(const struct work *work);
