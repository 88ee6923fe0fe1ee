/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The daemon's side of the guard: starts it, or adopts the one that a previous daemon left; watches that it lives; ends
 * it when the work is down. guard/main.h says what a guard does.
 *
 * Nothing blocks: the guard is a child (or, if adopted, perhaps not), and is watched through a pidfd. No SIGCHLD
 * handler is used; SIGCHLD must not be ignored. libev's default loop may reap all children.
 *
 * A guard belongs to a watch: from guard_start() to guard_disarm(). When a new watch begins, the guards of previous
 * watches end by themselves. The new guard reports ready only after the old one is gone, so that there is always one.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "args.h"
#include "lease_file.h"

struct ev_loop;
struct guard;

/* How long a started guard may take until it reports that it is ready. */
#define GUARD_READY_TIMEOUT_US INT64_C(5000000)
#define GUARD_ARGS_MAX 96

#define GUARD_PROGRAM "primaryd-guard"

/*
 * The guard that was ready, or adopted, is gone without guard_disarm(). acted: it has begun to stop the
 * work (lease_file_mark() tells how far it came): the work must be taken as down or going down. Not
 * acted: start another with guard_start(). Runs from the loop. May call anything here but
 * guard_destroy().
 */
typedef void (*guard_died_fn)(struct guard *guard, bool acted, void *userdata);

/*
 * result: 0, the guard watches; -ETIMEDOUT: not ready in time, killed; -ECHILD: it ended before (its stderr
 * says why, or there is no binary). Runs from the loop, exactly once for each guard_start() that returned
 * 0, unless guard_disarm() or guard_destroy() comes first. May call anything here but guard_destroy().
 */
typedef void (*guard_done_fn)(struct guard *guard, int result, void *userdata);

struct guard_config {
	const char *runtime_directory; /* absolute */
	const char *node;
	const char *binary;	  /* NULL: GUARD_PROGRAM beside this program */
	char *const *relinquish;  /* NULL: none, the guard just exits and its exit stops units */
	int64_t lease_timeout_us; /* > 0 */
	bool self_fence;	  /* the guard reboots the host when the work is not down in time */
	struct lease_file *lease; /* must outlive the guard object */
	guard_died_fn on_died;
	void *userdata; /* of both callbacks */
};

enum guard_result {
	GUARD_OK,
	GUARD_NONE,  /* no guard is alive */
	GUARD_OTHER, /* one is alive, but of another watch or with other arguments */
};

/* Copies what it needs of config, the lease file excepted. Returns 0 or -ENOMEM, -E2BIG. */
int guard_create(struct ev_loop *loop, const struct guard_config *config, struct guard **ret_guard);

/* Leaves the guard process alive, watching. Takes NULL. Returns NULL. */
struct guard *guard_destroy(struct guard *guard);

/*
 * Begins a new watch and starts a guard for it, on standby if there is no lease yet; done follows. A
 * former guard, adopted or own, ends and is replaced. Returns 0; -EALREADY: a start is under way; or
 * another -errno (EAGAIN, EMFILE, ENOMEM: no process could be made; a former guard will end, too).
 */
int guard_start(struct guard *guard, guard_done_fn done);

/*
 * For a daemon that resumes: takes the guard that is alive under its wing, without changing anything.
 * Returns 0 (on_died may follow), GUARD_NONE, GUARD_OTHER (it is watched too; guard_start() replaces it)
 * or -errno.
 */
int guard_adopt(struct guard *guard);

/* Tells it to look at the lease now: after one that was set to end sooner than the guard had seen. */
void guard_poke(struct guard *guard);

/*
 * The same for a guard that is a service of its own: whichever holds the directory's guard.lock. Returns 0, GUARD_NONE
 * or -errno.
 */
int guard_wake(const char *runtime_directory);

/* Whether a guard holds the directory's guard.lock that watches over this lease in its present watch. */
bool guard_watches(const char *runtime_directory, struct lease_file *lease);

/* A guard reported ready, or was adopted, and has not been seen dead. */
bool guard_is_alive(const struct guard *guard);

/* Its process, 0 when not alive: for people. */
int guard_pid(const struct guard *guard);

/*
 * The work is down: disarms the lease and tells the guard to end. It is reaped in the loop; on_died is not
 * called for it.
 */
void guard_disarm(struct guard *guard);
