/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The cluster as this node sees it in ZooKeeper, and everything that the node writes there: the session, the
 * registration of its keys, the view on which the election decides, the transactions, renewals and locks that the
 * election asks for, and what other nodes left behind. Files outside of this directory include only this header.
 *
 * It reads the state of the election and never changes it. It reports what happened through on_event, which the owner
 * queues for the election. Nothing here waits. All callbacks run from the loop.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/config/config.h"
#include "election/election.h"
#include "log/log.h"
#include "term.h"
#include "trial.h"
#include "zk/session/zkh_session.h"

struct cluster;
struct ev_loop;

enum cluster_event_type {
	CLUSTER_ELECTION, /* `election` is for the core */
	CLUSTER_SEEN,	  /* cluster_seen() may tell something else */
	CLUSTER_NODES,	  /* the answer to cluster_ask_nodes() */
	CLUSTER_FENCE,	  /* `name` is to be fenced: cluster_fenced() answers, maybe at once */
	CLUSTER_RESUMES, /* the first renewal of a resumed term is about to be sent: cluster_left() must be kept before */
	CLUSTER_RIGHTS,	   /* cluster_rights_missing() changed */
	CLUSTER_STATUS,	   /* what people are told changed */
	CLUSTER_NAME_FREE, /* after cluster_ask_name(): no other daemon of this host has the name */
	CLUSTER_REFUSES,   /* this node must not go on: it shall end with `code`, see sysexits.h */
	CLUSTER_CLOSED,	   /* after cluster_leave(): the session is closed */
	CLUSTER_UNCLOSED, /* after cluster_leave(): it could not be closed, and lives until it expires */
};

/* Valid during the call. */
struct cluster_event {
	enum cluster_event_type type;
	int code;
	const char *name;
	const char *const *names; /* of nodes, raw; NULL: they are not known */
	size_t name_count;
	struct election_event election; /* without its time */
};

/* May call anything here but cluster_destroy(). */
typedef void (*cluster_fn)(void *userdata, const struct cluster_event *event);

struct cluster_options {
	struct ev_loop *loop;
	const struct config *config; /* must outlive it, like the next four */
	struct log *log;
	const char *boot_id;		     /* BOOT_ID_SIZE */
	const struct election_config *rules; /* of the election */
	const struct election *election;
	const struct config_auth *auth;	    /* NULL: none; copied */
	const struct zkh_client_id *resume; /* session of the previous process; NULL: none */
	bool remember;			    /* on disk, which cluster this is */
	cluster_fn on_event;
	void *userdata;
};

/* Connects. Returns 0, -errno, or ZKH_INVALID. */
int cluster_create(const struct cluster_options *options, struct cluster **ret_cluster);

/* Leaves in ZooKeeper what this node owns there: a new process may resume the session. Takes NULL. Returns NULL. */
struct cluster *cluster_destroy(struct cluster *cluster);

/* -- at the start -- */

/* The previous process knew of that epoch. */
void cluster_remember_epoch(struct cluster *cluster, int64_t epoch);

/* Goes on with the term of the previous process. session_us: T of the term. */
void cluster_resume(struct cluster *cluster, const uint64_t nonces[TERM_NONCES],
		    int32_t epoch_version, int64_t session_us);

/*
 * A start of which the runtime directory knows nothing begins with a stop of the work. But a daemon that lives on this
 * host under the same name, with another runtime directory, may be the one that runs it. So nothing is told of the
 * session before CLUSTER_NAME_FREE: that comes when ZooKeeper has told whose the name is, or after a session timeout,
 * when such a daemon would be cut off, too.
 */
void cluster_ask_name(struct cluster *cluster);

/* -- for the election, around each step -- */

/* After the step, before anything else. `before`: the state before the step. */
void cluster_stepped(struct cluster *cluster, const struct election *before);

/* The phase changed. Comes after the actions DO, LOCK and UNLOCK, and before the others. */
void cluster_moved(struct cluster *cluster, const struct election *before);

/* An action other than STOP and DEPART. START is only noted here: node.c starts the work. */
void cluster_carry_out(struct cluster *cluster, const struct election_action *action);

/* No event is waiting: publishes what follows from the state. */
void cluster_settle(struct cluster *cluster);

/* The answer to CLUSTER_FENCE. */
void cluster_fenced(struct cluster *cluster, bool ok);

/* -- what others read of this node -- */

/* trouble: why this node is not healthy; "": it is. */
void cluster_publish_health(struct cluster *cluster, const char *trouble);

/* failed: for which nodes fencing from here would fail, as in node_detail.fence_failed. */
void cluster_publish_fence_check(struct cluster *cluster, const char *failed);

/* Asks for the names of all nodes, as soon as this one is registered: CLUSTER_NODES follows. */
void cluster_ask_nodes(struct cluster *cluster);

/* The role is handed over, and then this node leaves. */
void cluster_announce_shutdown(struct cluster *cluster);

/* Ends everything, says farewell, and closes the session; CLUSTER_CLOSED or CLUSTER_UNCLOSED follows. */
void cluster_leave(struct cluster *cluster);

/* The last claim led to a takeover that took that long, see writes_record_takeover(): for the history. */
void cluster_record_takeover(struct cluster *cluster, int64_t duration_us, int64_t post_us,
			     int64_t start_us);

/* -- what is known -- */

struct cluster_seen {
	const char *holder;  /* the node that is named primary; "": none */
	const char *primary; /* the acting primary; "": none */
	const char *acted;   /* who acts, or did so last; "": not known */
	const char *before;  /* who acted before that; "": not known */
	const char *server;  /* that this node is connected to; "": none */
	int64_t epoch;	     /* of the acting primary; 0: none */
};

struct cluster_seen cluster_seen(const struct cluster *cluster);

/* Why nothing is done with the ensemble that answers; "": it is the known one. */
const char *cluster_foreign(const struct cluster *cluster);

/* The id of the cluster that this node belongs to; "": not known yet. */
const char *cluster_id(const struct cluster *cluster);

/* What this node may not do in ZooKeeper, though a primary needs it; "": nothing. */
const char *cluster_rights_missing(const struct cluster *cluster);

/* This node, a coordinator, may not read what a takeover has to know. */
bool cluster_is_blind(const struct cluster *cluster);

/* The servers refused the last takeover. */
bool cluster_was_refused(const struct cluster *cluster);

/* What the next process needs to go on. */
struct cluster_left {
	struct zkh_client_id session; /* id 0: none that is worth it */
	uint64_t nonces[TERM_NONCES];
	int32_t epoch_version;
};

void cluster_left(const struct cluster *cluster, struct cluster_left *ret_left);
