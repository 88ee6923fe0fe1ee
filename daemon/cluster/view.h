/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What the election knows of ZooKeeper: /epoch, the primary key, whether the node named there is alive, the post, this
 * node's drain and alive keys, and maintenance. Each part is a mirror (zkh_mirror.h). After a change, a part is unknown
 * until it has been read again. A client mirrors only the key and the post.
 *
 * A part that may not be read is reported once. Its existence is then known, its value is not.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/keys.h"
#include "election/election.h"
#include "zk/mirror/zkh_mirror.h"

struct view;

enum view_part {
	VIEW_EPOCH, /* read before the post: see delete_post() in writes.c */
	VIEW_KEY,
	VIEW_HOLDER,
	VIEW_POST,
	VIEW_DRAIN,
	VIEW_MAINTENANCE,
	VIEW_ALIVE,
	VIEW_PARTS
};

struct view_slot {
	struct zkh_mirror mirror;
	struct view *view;
	enum view_part part;
	bool used;    /* mirrored at all */
	bool known;   /* read since the last change */
	bool refused; /* the last read was */
};

typedef void (*view_fn)(void *userdata);
/* A key holds something that cannot be, or may not be read: reported once per value. */
typedef void (*view_junk_fn)(void *userdata, const char *path, const char *what);

struct view {
	struct zkh_session *session;
	const char *name;
	bool coordinator;
	view_fn on_change; /* something was read; view_election() tells. Runs from the loop. */
	view_junk_fn on_junk;
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
	int64_t maintenance_end_ms; /* since 1970; 0: it has none */
	int32_t maintenance_version;
	int64_t maintenance_mzxid;	/* of the key; 0: it is missing */
	uint64_t junk_seen[VIEW_PARTS]; /* hash of the junk said last; 0: none */
};

/* name must outlive the view; session may be NULL until view_start(). */
void view_init(struct view *view, const char *name, bool coordinator, view_fn on_change,
	       view_junk_fn on_junk, void *userdata);
void view_finish(struct view *view);

/* Attached to a server of the known ensemble: reads everything, and again on each new connection. */
void view_start(struct view *view, struct zkh_session *session);

/* Reads nothing any more, and knows nothing: the session is lost, or another ensemble answers. */
void view_stop(struct view *view);

/* The connection is gone: nothing is known until it is read again. */
void view_forget(struct view *view);

/* Reads epoch, key and post again. */
void view_refresh(struct view *view);

/* Our own transaction committed: what it wrote is known at once. */
void view_key_written(struct view *view, const char *holder, const struct zkh_stat *stat);
void view_post_written(struct view *view, bool mine, int64_t epoch);
/* From before this process, or from another store of the same cluster. */
void view_remember_epoch(struct view *view, int64_t epoch);
/* owner: "" if it is not known. */
void view_epoch_written(struct view *view, int64_t epoch, const char *owner, int32_t version);

/* True: /epoch is being read, and is not refused. */
bool view_epoch_is_awaited(const struct view *view);

/* True: the post, or /epoch, may not be read: so this node cannot tell whether the post is its own, nor release it. */
bool view_is_refused(const struct view *view);

/* True: the key, the post or /epoch may not be read, so this node could not take over. */
bool view_is_blind(const struct view *view);

/* Everything but epoch, key and post has been read at least once since view_start(). */
bool view_complete(const struct view *view);

/* For the election. Parts that are being read again are UNKNOWN (or as they were, for the switches). */
void view_election(const struct view *view, struct election_view *ret_view);
