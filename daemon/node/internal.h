/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Shared by node.c and life.c only. */

#include <ev.h>

#include "base/timer.h"
#include "cluster/cluster.h"
#include "election/inbox.h"
#include "kept.h"
#include "node.h"
#include "show.h"
#include "story.h"
#include "work/work.h"

struct node {
	struct node_options options;
	const struct config *config;
	struct lease_file *lease;

	struct election_config election_config;
	struct election election;
	struct election_inbox inbox;
	ev_io drain; /* is fed when something waits there */
	struct timer timer,
		former; /* former: until the lease of work that only its guard can stop is over */
	const char *no_takeover; /* why it could not succeed; "": it could */
	uint8_t named_because;	 /* enum election_reason: how this node came to be named */
	int exit_code;

	struct cluster *cluster;
	struct work *work;
	struct scripts *scripts;
	struct kept kept;
	struct story story;
	struct show show;
};

void node_post(struct node *node, const struct election_event *event);
void node_tell_status(struct node *node);

/* Callbacks. */
void node_drain(struct ev_loop *loop, ev_io *watcher, int events);
void node_timer(struct timer *timer, void *userdata);
void node_cluster_event(void *userdata, const struct cluster_event *event);
void node_work_event(void *userdata, enum work_event event);
void node_scripts_event(void *userdata, enum scripts_event event);
void node_kept_event(void *userdata);
