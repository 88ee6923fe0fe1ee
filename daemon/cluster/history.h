/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Keeps /history short: entries are made by the claims themselves (writes.h); whoever became primary removes the oldest
 * beyond HISTORY_KEPT. What fails is tried again by the next primary.
 */

#include "base/keys.h"
#include "zk/session/zkh_op.h"

/* Removed at a time: more than were ever added between two looks. */
#define HISTORY_TRIM_MAX 200

struct history {
	struct zkh_session *session;
	struct zkh_op *op;
};

void history_trim(struct history *history, struct zkh_session *session);
void history_finish(struct history *history);
