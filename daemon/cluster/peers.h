/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Counts the other nodes that could claim the role now: the election's own predicates (election_obstacles()), read from
 * their keys. Only a preference follows from the count: how long a node waits for others to claim.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/detail.h"
#include "base/keys.h"
#include "election/election.h"
#include "zk/session/zkh_op.h"

#define PEERS_MAX 16384		   /* that are asked */
#define PEERS_ANY_RANK INT64_C(-1) /* is lower than every rank */

typedef void (*peers_fn)(void *userdata, enum election_result result, int32_t count);

struct peer;

/* One count at a time. Zeroed: none. */
struct peers {
	struct zkh_session *session;
	const char *name; /* the own one */
	int64_t above;
	struct zkh_op *list_op;
	struct peer *list;
	size_t n_waiting;
	bool lost; /* an answer is missing */
	peers_fn on_count;
	void *userdata;
};

/*
 * Those of a rank above `above`. A count that is under way is dropped. on_count follows once from the loop, or at once, with
 * RESULT_OK or RESULT_UNKNOWN. name must outlive the count.
 */
void peers_count(struct peers *peers, struct zkh_session *session, const char *name, int64_t above,
		 peers_fn on_count, void *userdata);

/* Gives up what is under way, without a callback. */
void peers_cancel(struct peers *peers);
