/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What is logged of the election: one sentence for the outcome of each step. */

#include "cluster/cluster.h"
#include "election/election.h"
#include "log/log.h"
#include "work/work.h"

struct story {
	/* Set by the owner. */
	struct log *log;
	const struct election_config *rules;
	const struct election *election;
	struct cluster *cluster;
	const struct work *work;

	/* When this node last saw a vacancy, began a takeover, took the post, and began to stop; 0: never. */
	int64_t claimed_us, takeover_us, post_us, relinquish_us;
};

/* After a step. `before`: the state before it. */
void story_step(struct story *story, const struct election *before);
