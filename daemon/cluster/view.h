/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The mirror of ZooKeeper that the election decides on: the primary key, whether the node it names is
 * alive, the post, this node's drain and alive keys, maintenance. Each part is read with a watch; when the
 * watch fires, the part is unknown until it has been read again. A client only follows: it mirrors key and
 * post, nothing else.
 *
 * A part that may not be read is said, and taken for what its mere existence tells (the primary key alone stays unknown).
 * No watch fires when it may be read again, so it is to be tried again and again: view_retry().
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/keys.h"
#include "election/election.h"
#include "zk/session/zkh_op.h"

struct view;

enum view_part {
	VIEW_EPOCH, /* read before the post: see writes.c, release */
	VIEW_KEY,
	VIEW_HOLDER,
	VIEW_POST,
	VIEW_DRAIN,
	VIEW_MAINTENANCE,
	VIEW_ALIVE,
	VIEW_PARTS
};

struct view_slot {
	struct zkh_watch watch;
	struct zkh_op *op;
	struct view *view;
	enum view_part part;
	bool used;    /* mirrored at all */
	bool known;   /* read since the last change */
	bool refused; /* the last read failed, though connected */
};

typedef void (*view_fn)(void *userdata);
/* A key held something that cannot be: said once per value. */
typedef void (*view_junk_fn)(void *userdata, const char *path, const char *what);
/* A read was refused: view_retry() is to be called after a while. */
typedef void (*view_refused_fn)(void *userdata);

struct view {
	struct zkh_session *session;
	const char *name;
	bool coordinator;
	view_fn on_change; /* something was read; view_election() tells. Runs from the loop. */
	view_junk_fn on_junk;
	view_refused_fn on_refused;
	void *userdata;

	struct view_slot slots[VIEW_PARTS];
	/* VIEW_KEY */
	char holder[NAME_SIZE]; /* the node named; "": none */
	bool key_missing;
	int32_t key_version;
	int64_t key_mzxid;
	int64_t key_mtime_ms;
	/* VIEW_HOLDER */
	bool holder_alive;
	/* VIEW_POST */
	char primary[NAME_SIZE]; /* the acting primary; "": none */
	int64_t post_owner;	 /* session; 0: no post */
	int64_t epoch;
	/* VIEW_EPOCH: as value_epoch() tells */
	int64_t top_epoch;
	char top_owner[NAME_SIZE];
	int32_t top_version;  /* of the key; -1: it is missing */
	int64_t memory_epoch; /* the highest that this node ever saw there */
	int64_t floor_epoch; /* any handed out before this node registered is no larger; never written */
	/* others */
	bool drained, maintenance, alive;
	uint64_t junk_seen[VIEW_PARTS]; /* hash of the junk said last; 0: none */
};

/* name must outlive the view; session may be NULL until view_start(). */
void view_init(struct view *view, const char *name, bool coordinator, view_fn on_change,
	       view_junk_fn on_junk, view_refused_fn on_refused, void *userdata);
void view_finish(struct view *view);

/* Attached to a server: reads everything. */
int view_start(struct view *view, struct zkh_session *session);

/* The connection is gone: nothing is known any more. Watches stay armed in the session unless it expired. */
void view_forget(struct view *view);

/* Reads epoch, key and post again. */
void view_refresh(struct view *view);

/* Reads again what was refused. */
void view_retry(struct view *view);

/* Our own transaction committed: what it wrote is known at once. */
void view_key_written(struct view *view, const char *holder, const struct zkh_stat *stat);
void view_post_written(struct view *view, bool mine, int64_t epoch);
/* From before this process, or from another store of the same cluster. */
void view_remember_epoch(struct view *view, int64_t epoch);
/* owner: "" if it is not known. */
void view_epoch_written(struct view *view, int64_t epoch, const char *owner, int32_t version);

/* Everything but epoch, key and post has been read at least once since view_start(). */
bool view_complete(const struct view *view);

/* For the election. Parts that are being read again are UNKNOWN (or as they were, for the switches). */
void view_election(const struct view *view, struct election_view *ret_view);
