/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What waits for the election's next steps: several packets may be read before it steps.
 *
 * When a session is lost, what waits was told of that session: it says nothing any more, and whatever follows from it would be
 * done without a session. So the loss goes ahead of everything that waits, and what was told before is dropped. Only that an
 * operation is over is still told, with an unknown result.
 *
 * Pure.
 */

#include <stdbool.h>

#include "election.h"

/* Of one turn of the loop, in which up to 32 packets are read, and what they lead to. */
#define ELECTION_INBOX_MAX 256

/* All zero: empty. */
struct election_inbox {
	struct election_event events[ELECTION_INBOX_MAX];
	unsigned head, length;
};

/* False: it is full. */
bool election_inbox_put(struct election_inbox *inbox, const struct election_event *event);

/* False: it is empty. */
bool election_inbox_take(struct election_inbox *inbox, struct election_event *ret_event);

/*
 * Before an action is carried out: if it asks a question anew, or takes one back, an answer that waits is void. (UNLOCK:
 * LOCK; COUNT_PEERS: PEERS; SCAN: CORPSES.)
 */
void election_inbox_act(struct election_inbox *inbox, enum election_action_type action);
