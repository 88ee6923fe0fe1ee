/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Keys that are removed in the background. A removal that fails is tried again on the next occasion.
 *
 * History: every claim adds an entry (writes.h). A node that has become primary removes the oldest ones beyond
 * HISTORY_KEPT.
 *
 * Lock nodes below /primary_node that the previous process left in a session that was resumed: they would block every
 * contender until the session ends, and no other node could remove them. Until they are known to be gone this process
 * asks for no lock; from then on every lock node of the session has its owner here.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/keys.h"
#include "zk/session/zkh_op.h"

/* Removed at a time: more than were ever added between two looks. */
#define CLEANUP_ENTRIES_MAX 200

struct cleanup;

struct cleanup_lock {
	struct zkh_op *op;
	struct cleanup *cleanup;
	char path[KEY_PATH_SIZE];
};

/* All zero to begin with, but for the session that was resumed. */
struct cleanup {
	int64_t former_session; /* 0: none */
	struct zkh_session *session;
	struct zkh_op *history_op, *locks_op;
	struct cleanup_lock *locks; /* being looked at */
	size_t n_locks, n_open;
	bool lost; /* a request was not answered */
	bool locks_gone;
};

void cleanup_history(struct cleanup *cleanup, struct zkh_session *session);

/* Connected to the known ensemble: removes the lock nodes, unless they are gone. */
void cleanup_attached(struct cleanup *cleanup, struct zkh_session *session);

/* Whether a lock may be asked for. If not, and nothing is under way, it tries once more. */
bool cleanup_locks_gone(struct cleanup *cleanup);

/* Before the session goes. */
void cleanup_finish(struct cleanup *cleanup);
