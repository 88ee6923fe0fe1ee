/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Everything that this node writes after its registration, except for its renewals (term.h): the transactions of the
 * election and its router state. /primary_node is only ever set at the version that the election saw.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/detail.h"
#include "base/history_entry.h"
#include "base/keys.h"
#include "election/election.h"
#include "term.h"
#include "view.h"

/* An election transaction ended. zxid: of what it wrote, with RESULT_OK. Runs from the loop. */
typedef void (*writes_done_fn)(void *userdata, enum election_op op, enum election_result result,
			       int64_t zxid);
/* One of this node's own keys is missing (somebody deleted it): it must be made again. */
typedef void (*writes_missing_fn)(void *userdata, const char *path);
/* A write was refused by the server for good (access denied, ...). */
typedef void (*writes_refused_fn)(void *userdata, enum election_op op, int result,
				  const char *path);

/* The router state could not be told: it is to be written again after a while. */
typedef void (*writes_stale_fn)(void *userdata);

struct writes {
	struct zkh_session *session;
	struct view *view;
	struct term *term;
	const char *name;
	writes_done_fn on_done;
	writes_missing_fn on_missing;
	writes_refused_fn on_refused;
	writes_stale_fn on_stale;
	void *userdata;

	struct zkh_op *op, *publication, *record, *farewell;
	enum election_op doing;
	int32_t version;
	int64_t epoch;				   /* ENTER */
	int64_t session_us;			   /* ENTER: T of the term */
	int32_t epoch_version;			   /* of /epoch, once it is set */
	char lock_path[KEY_PATH_SIZE + NAME_SIZE]; /* CLAIM: own lock node */
	char detail[DETAIL_SIZE]; /* LEAVE, HAND_BACK: of this node, written along; "": as it is */
	char reason[96];
	int64_t post_session; /* the post may stand in it: a resumed one, or one in which a takeover was sent; 0: none */
	char history_path[KEY_PATH_SIZE]; /* of the last claim, "": none */
	struct history_entry entry;
	int64_t claimed_ms; /* the last claim, by the servers' clock */
	int64_t left_epoch; /* of the primary that the last claim follows, if it still acts; 0: it does not */
	bool detail_refused; /* HAND_BACK: the last one failed, perhaps because of it */
	char published[16];  /* router state written last, "": unknown */
	bool owes;	     /* ENTER: whoever was primary before has not left in order */
	/* LEAVE: who may be at work after it; "": it is not known; NAME_NOBODY. */
	char leaves[NAME_SIZE];
	int makes;	   /* LEAVE: see own_key.h */
	bool leave_failed; /* the last one */
	bool deletes_post; /* LEAVE: not when another node has it */
	bool sets_epoch;   /* with deletes_post: /epoch too, unless somebody else has raised it */
};

void writes_init(struct writes *writes, struct view *view, struct term *term, const char *name);
void writes_finish(struct writes *writes);

/*
 * Runs a transaction other than REGISTER; on_done follows exactly once. version: of /primary_node. epoch, session_us:
 * for ENTER. lock_path: for CLAIM. reason: kept in the history. One at a time.
 */
void writes_do(struct writes *writes, enum election_op op, int32_t version, int64_t epoch,
	       int64_t session_us, const char *lock_path, const char *reason);

/*
 * A post that may not be looked at can neither be proven nor released, and nobody else gets the role: it goes with the
 * session. True: give that up.
 */
bool writes_leave_session(struct writes *writes, const struct election *election);

/* Writes this router state unless it was the last one written, or a transaction under way sets one. */
void writes_publish(struct writes *writes, const char *router_state);

/* Somebody else has written it, too: the next writes_publish() writes in any case. */
void writes_unpublish(struct writes *writes);

/* A registration that began after the last writes_unpublish(), or a repair, has committed this router state. */
void writes_registered(struct writes *writes, const char *router_state);

/*
 * Adds to the history entry of the last claim how long the takeover took, and, within that, the way to the post and the
 * start of the work.
 */
void writes_record_takeover(struct writes *writes, int64_t duration_us, int64_t post_us,
			    int64_t start_us);
