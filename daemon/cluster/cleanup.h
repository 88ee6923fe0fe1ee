/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Keys that are removed in the background. A removal that fails is tried again on the next occasion.
 *
 * History: every claim adds an entry (writes.h). A node that has become primary removes the oldest ones beyond
 * HISTORY_KEPT.
 *
 * Lock nodes below /primary_node that belong to this session, and to no lock of this process: the previous process left
 * them in a session that was resumed, or they came back with a restored store. They would block every contender until the
 * session ends, and no other node could remove them. So they are looked for at every reconnection in a session, and until
 * they are known to be gone this process asks for no lock.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/keys.h"
#include "zk/lock/zkh_lock.h"

/* Removed at a time: more than were ever added between two looks. */
#define CLEANUP_ENTRIES_MAX 200

struct cleanup;

struct cleanup_lock {
	struct zkh_op *op;
	struct cleanup *cleanup;
	char path[KEY_PATH_SIZE];
};

struct cleanup {
	struct zkh_session *session;
	struct zkh_lock *const
		*lock; /* where the owner keeps the lock of this process; NULL in it: none */
	int64_t session_id;
	bool former; /* the lock nodes may be those of the previous process */
	struct zkh_op *history_op, *locks_op;
	struct cleanup_lock *locks; /* being looked at */
	size_t n_locks, n_open;
	bool lost; /* an answer is missing, or proves nothing */
	bool locks_gone;
};

/* former_session: that of the previous process, which is resumed; 0: none. lock: where the own lock stands. */
void cleanup_init(struct cleanup *cleanup, int64_t former_session, struct zkh_lock *const *lock);

void cleanup_history(struct cleanup *cleanup, struct zkh_session *session);

/* Connected to the known ensemble: removes such lock nodes. */
void cleanup_attached(struct cleanup *cleanup, struct zkh_session *session);

/* Whether a lock may be asked for. If not, and nothing is under way, it tries once more. */
bool cleanup_locks_gone(struct cleanup *cleanup);

/* Before the session goes. */
void cleanup_finish(struct cleanup *cleanup);
