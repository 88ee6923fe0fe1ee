/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Keys that are removed in the background. What fails is tried again when there is reason for it the next time.
 *
 * The history: entries are made by the claims themselves (writes.h); whoever became primary removes the oldest beyond
 * HISTORY_KEPT.
 *
 * Lock nodes below /primary_node that the process before left in the session that was resumed: they would stand in the
 * way until the session ends, and nobody else could remove them.
 */

#include <stddef.h>

#include "base/keys.h"
#include "zk/session/zkh_op.h"

/* Removed at a time: more than were ever added between two looks. */
#define CLEANUP_ENTRIES_MAX 200

/* Lock nodes of one process: it never has more than one or two. */
#define CLEANUP_LOCKS_MAX 16

struct cleanup_lock {
	struct zkh_op *op;
	struct zkh_session *session;
	char path[ZKH_PATH_MAX];
};

/* All zero to begin with. */
struct cleanup {
	struct zkh_session *session;
	struct zkh_op *history_op, *locks_op;
	struct cleanup_lock locks[CLEANUP_LOCKS_MAX];
	size_t n_locks;
};

void cleanup_history(struct cleanup *cleanup, struct zkh_session *session);
void cleanup_locks(struct cleanup *cleanup, struct zkh_session *session);

/* Before the session goes. */
void cleanup_finish(struct cleanup *cleanup);
