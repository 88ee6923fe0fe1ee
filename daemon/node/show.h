/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the node shows on the status page (status/page.h), and what it counts there. */

#include <ev.h>

#include "cluster/cluster.h"
#include "status/page.h"
#include "story.h"
#include "work/work.h"

struct show {
	/* Set by the owner. */
	struct ev_loop *loop;
	const struct config *config;
	struct status_page *page; /* NULL: none, and nothing is shown */
	const struct election_config *rules;
	const struct election *election;
	const struct cluster *cluster;
	const struct work *work;
	const struct scripts *scripts;
	const struct story *story;

	struct status shown; /* what the page says, but for the turns of the loop */
	ev_check turn;
};

void show_init(struct show *show);
void show_finish(struct show *show); /* also of one that is zeroed */

/* The present state. */
void show_update(struct show *show);

/* At once, before anything is done about it: this node is not primary. */
void show_withdraw(struct show *show);

/* What a step adds to the counters. `before`: the state before it. */
void show_count(struct show *show, const struct election *before,
		const struct election_event *event);
void show_count_guard_stop(struct show *show);
