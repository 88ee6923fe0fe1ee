/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Keys that are removed in the background. A removal that fails is tried again on the next occasion.
 *
 * History: every claim adds an entry (writes.h). A node that has become primary removes the oldest ones beyond
 * HISTORY_KEPT.
 *
 * Lock nodes below /primary_node that the previous process left in a session that was resumed: they would block every
 * contender until the session ends, and no other node could remove them.
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
