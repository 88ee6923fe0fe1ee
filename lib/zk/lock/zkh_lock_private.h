/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The lock object, shared by zkh_lock_create.c (making the node, or finding it again), zkh_lock.c (waiting, holding,
 * and what the caller sees) and zkh_lock_remove.c (getting rid of the node afterwards). The caller's handle and the
 * background removal are the same object: giving a lock up needs no memory.
 */

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

#include "zk/session/zkh_hooks.h"
#include "zk/session/zkh_op.h"
#include "zk/session/zkh_watch.h"
#include "zkh_lock.h"
#include "zkh_lock_name.h"

#define ZKH_LOCK_ATTEMPTS_MAX                                                                      \
	1000u /* lock nodes made for one acquisition (each was deleted by somebody) */
#define ZKH_LOCK_RETRY_S 1.0 /* pause after a request that failed though we are connected */

enum zkh_lock_state {
	ZKH_LOCK_OFFLINE,   /* waits for a connection, or for the pause to end */
	ZKH_LOCK_CREATING,  /* create and list under way */
	ZKH_LOCK_PARENTS,   /* the key and its parents are being created */
	ZKH_LOCK_SEARCHING, /* after an unknown create: looks whether it happened */
	ZKH_LOCK_WAITING,   /* own node known: lists, or watches the predecessor */
	ZKH_LOCK_HELD,
	ZKH_LOCK_REMOVING, /* the caller has no handle any more */
	ZKH_LOCK_OVER,	   /* to be freed when the callback under way returns */
};

enum zkh_lock_node {
	ZKH_LOCK_NODE_NONE,
	ZKH_LOCK_NODE_MAYBE, /* create sent, no answer: known by its prefix only */
	ZKH_LOCK_NODE_KNOWN, /* path is set */
};

/* The part of the session timeout that the servers may take to commit the node. */
#define ZKH_LOCK_COMMIT_PART 4

/* Persistent keys that look like lock nodes: no session holds them, so they would stand in the way for ever. */
#define ZKH_LOCK_JUNK_MAX 16

struct zkh_lock {
	struct zkh_session *session; /* NULL after the session was destroyed */
	struct zkh_listener listener;
	ev_timer deadline, pause;
	struct zkh_watch watch; /* of the predecessor, or of the own node while held */
	struct zkh_op *write_op, *read_op;

	enum zkh_lock_state state;
	enum zkh_lock_node node;
	enum zkh_lock_kind kind;
	bool calling;	  /* the caller's callback is on the stack */
	bool clock_began; /* the deadline counts from the first create */
	bool placed;	  /* and anew since its place behind others was known */
	bool unsure;	  /* the barrier before the search has failed: the list tells nothing */
	unsigned attempts;
	int32_t timeout_ms;
	int64_t session_id; /* the session that made the node */
	int64_t epoch;

	char *junk[ZKH_LOCK_JUNK_MAX]; /* names of such, passed over */
	size_t junk_count;
	char *waited_for; /* name of the predecessor that is being looked at */

	zkh_lock_fn fn;
	void *userdata;
	char *identifier;
	char prefix[ZKH_LOCK_PREFIX_SIZE];
	char parent[ZKH_PATH_MAX];
	size_t parent_length; /* ZKH_LOCK_PARENTS: of the part of it that is being created */
	char path[ZKH_PATH_MAX];
};

/* ---- zkh_lock.c ---- */

/* Stops everything that could still call into the lock, but for its listener. */
void zkh_lock_quiet(struct zkh_lock *lock);
void zkh_lock_cancel_requests(struct zkh_lock *lock);

/* Frees it, or lets the callback under way do so. */
void zkh_lock_free(struct zkh_lock *lock);

/* The last callback; the node, if there is one, is removed. The lock is gone. */
void zkh_lock_end(struct zkh_lock *lock, int result);

/* A request was not answered with what it asked for: waits for better times, or ends. */
void zkh_lock_trouble(struct zkh_lock *lock, int result);

/* There is no node (any more): makes another one if time remains, else ends. */
void zkh_lock_start_over(struct zkh_lock *lock);

/* Lists the contenders and goes on by what the list says; the second returns what zkh_children() returns. */
void zkh_lock_list(struct zkh_lock *lock);
int zkh_lock_send_list(struct zkh_lock *lock);

/* Starts the pause, after which the lock is resumed if the session is connected then. */
void zkh_lock_start_pause(struct zkh_lock *lock);
void zkh_lock_start_deadline(struct zkh_lock *lock, int32_t more_ms);

/* ---- zkh_lock_create.c ---- */

/* Sends create and list in one flush. 0, -errno or a result. */
int zkh_lock_create(struct zkh_lock *lock);

/* After an unknown create: finds out whether it happened, and adopts the node or makes another. */
void zkh_lock_search(struct zkh_lock *lock);

/* Lists the children of the lock's key behind a barrier, for a search by the prefix. 0, -errno or a result. */
int zkh_lock_send_search(struct zkh_lock *lock, zkh_children_fn fn);

/* ---- zkh_lock_remove.c ---- */

/* Turns the lock into a background removal, or frees it when there is no node. */
void zkh_lock_remove(struct zkh_lock *lock);

/* The session, and with it the node, is gone. */
void zkh_lock_remove_forget(struct zkh_lock *lock);

/* What a removal does when the session is connected again, and after a pause. */
void zkh_lock_remove_resume(struct zkh_lock *lock);
