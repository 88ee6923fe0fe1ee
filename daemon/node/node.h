/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The shell around the election: turns news from ZooKeeper, timers, commands and signals into events, and actions into
 * calls. One node; several may share a loop.
 *
 * Nothing here waits. All callbacks run from the loop.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/config/config.h"
#include "cluster/cluster.h"
#include "election/election.h"
#include "host/host.h"
#include "log/log.h"

struct ev_loop;
struct lease_file;
struct node;
struct status_page;

/*
 * The node is through; `code` is the exit code: 0, 1 (the configuration is refused), or as in sysexits.h. Only
 * node_destroy() is allowed afterwards.
 */
typedef void (*node_exit_fn)(void *userdata, int code);

/* Something that people and the service manager are told changed: state, primary, epoch. */
typedef void (*node_status_fn)(void *userdata, const struct node *node);

struct node_options {
	struct ev_loop *loop;
	const struct config *config;	/* must outlive the node */
	const struct config_auth *auth; /* NULL: none; copied */
	struct log *log;		/* must outlive the node */
	const char *boot_id;		/* BOOT_ID_SIZE; must outlive the node */
	uint64_t place;			/* place_id() */
	const struct state *resume;	/* what the process before left; NULL: nothing */
	struct lease_file
		*lease; /* must outlive the node; NULL: no guard (only for tests and load) */
	struct status_page *page; /* must outlive the node; NULL: none (only for tests and load) */
	bool keep_state;	  /* write the state file */
	node_exit_fn on_exit;
	node_status_fn on_status; /* may be NULL */
	void *userdata;
};

/* Starts it. Returns 0, -ENOMEM or another -errno, or ZKH_INVALID. */
int node_create(const struct node_options *options, struct node **ret_node);

/*
 * Ends it at once, without hand-over; what it owns in ZooKeeper stays until the session expires, so that a new process
 * may resume it. Takes NULL. Returns NULL.
 */
struct node *node_destroy(struct node *node);

/* Hands over, stops the work, removes what this node owns; on_exit(0) follows. */
void node_shutdown(struct node *node);

/* Neither taking over nor giving up at the moment: a good time to execute the binary anew. */
bool node_is_settled(const struct node *node);

/* A new process would find all it needs to go on where this one is, as of the last look. */
bool node_is_kept(const struct node *node);

/* The same, after another look, and another attempt to write what is missing. */
bool node_can_be_resumed(struct node *node);

/* What stands in the way of the work's stop, which is tried again and again; "": nothing that is known. */
const char *node_trouble(const struct node *node);

/* Why this node does nothing with the ensemble that answers; "": it is the known one. */
const char *node_foreign(const struct node *node);

/* The lease logic is in order (see election_in_order() and work_in_order()): a watchdog may be fed. */
bool node_in_order(const struct node *node);

const struct election *node_election(const struct node *node);

/* Who is primary, as this node sees it. */
struct cluster_seen node_seen(const struct node *node);
