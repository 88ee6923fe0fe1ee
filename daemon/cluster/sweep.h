/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * After a session was resumed: lock nodes below /primary_node that the process before left in this very session are
 * removed. Nobody else could do it, and they would stand in the way until the session ends.
 */

#include <stddef.h>

#include "zk/session/zkh_op.h"

#define SWEEP_MAX 16 /* nodes of one process: it never has more than one or two */

struct sweep;

struct sweep_slot {
	struct sweep *sweep;
	struct zkh_op *op;
	char path[ZKH_PATH_MAX];
};

struct sweep {
	struct zkh_session *session;
	struct zkh_op *list_op;
	struct sweep_slot slots[SWEEP_MAX];
	size_t n_slots;
};

/* Runs in the background; what fails is only litter. */
void sweep_run(struct sweep *sweep, struct zkh_session *session);
void sweep_finish(struct sweep *sweep);
