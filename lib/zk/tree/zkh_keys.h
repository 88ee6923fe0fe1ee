/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Whole-key and whole-subtree operations on top of zkh_op.h: what a caller who knows ZooKeeper only as a
 * tree of keys wants. Same rules: exactly one callback for a call that returned 0, none after a cancel.
 * Each call is one operation that can be cancelled by zkh_task_cancel(); what was sent may still happen.
 */

#include "zk/session/zkh_op.h"

struct zkh_task;
void zkh_task_cancel(struct zkh_task *task); /* takes NULL */

/*
 * result; path: the key that stood in the way or moved, with ZKH_DENIED of a delete or a rename the one whose access list
 * forbids it ("" when none); valid during the callback.
 */
typedef void (*zkh_task_fn)(void *userdata, int result, const char *path);

/*
 * How many keys a zkh_delete() has deleted so far, in transactions that are over; 0 for the others, and for NULL. Good
 * until the callback returns, or the cancel is called.
 */
size_t zkh_task_deleted(const struct zkh_task *task);

/*
 * Writes any number of key/value pairs in one transaction. Keys that exist are set with the version that was
 * read, missing ones are created persistent, missing parents too (empty). If anything changed in between,
 * nothing is written: ZKH_CONFLICT (or ZKH_NO_NODE / ZKH_NODE_EXISTS) and the path of the key that moved.
 * ZKH_UNKNOWN: the connection was lost under way. A path named twice is ZKH_INVALID.
 */
struct zkh_pair {
	const char *path;
	const void *data;
	size_t length;
	bool versioned; /* set only if the key still has exactly `version` (-1: only if it is missing) */
	int32_t version;
};
int zkh_write(struct zkh_session *session, const struct zkh_pair *pairs, size_t count,
	      zkh_task_fn fn, void *userdata, struct zkh_task **ret_task);

/*
 * Deletes a key and everything below it. One transaction with every version checked when it fits into one
 * (then: all or nothing, ZKH_CONFLICT / ZKH_NOT_EMPTY and the path when something changed under way, retried a
 * bounded number of times); a larger subtree goes bottom-up in several transactions: when one of them is refused, those
 * before it stay done, and zkh_task_deleted() tells within the callback what is gone. ZKH_NO_NODE: there was none.
 * The root "/" itself is ZKH_INVALID. recursive=false: only a key without children (ZKH_NOT_EMPTY).
 */
int zkh_delete(struct zkh_session *session, const char *path, bool recursive, zkh_task_fn fn,
	       void *userdata, struct zkh_task **ret_task);

/*
 * Renames whole subtrees, data of inner nodes and access lists included, all of them in one transaction with every version
 * checked (of the data: a list that is changed within that moment is carried over as it was read). Parents of a target
 * that are missing are made, empty. Keys whose path merely contains the old name elsewhere are not touched. Nothing
 * changes when it returns anything but ZKH_OK (or ZKH_UNKNOWN): ZKH_NODE_EXISTS (target exists), ZKH_EPHEMERAL (and the
 * path), ZKH_TOO_LARGE (does not fit one transaction), ZKH_NO_NODE (no such key, or the target's parent went meanwhile),
 * ZKH_INVALID (a path is not valid, or zkh_moves_clash()), ZKH_CONFLICT (somebody changed the key named), ZKH_ACL_REFUSED
 * (the server does not take the list of the key named: it has an identity that this ensemble does not know), ZKH_DENIED
 * (by the access list of the key named). That may be one that cannot be read, or is not shown whole: digests take the
 * right to administer the key. Or one, also when it is carried over, that lets us make no keys below, or delete none there.
 */
#define ZKH_MOVES_MAX 100

struct zkh_move {
	const char *from, *to;
};

/*
 * Whether a target is the root, or at or below any source, or a source or target is at or below another one; then also the
 * two moves that clash, which may be the same.
 */
bool zkh_moves_clash(const struct zkh_move *moves, size_t count, size_t *ret_one,
		     size_t *ret_other);

int zkh_rename(struct zkh_session *session, const struct zkh_move *moves, size_t count,
	       zkh_task_fn fn, void *userdata, struct zkh_task **ret_task);

/*
 * Everything below path (itself included), parents first; at most `limit` keys (else ZKH_TOO_LARGE). ZKH_DENIED: path
 * itself may not be read. What may not be read below it is `denied`: without data, and without the keys below it, of
 * which stat.children tells the number.
 */
struct zkh_entry {
	const char *path;
	const char *data;
	size_t length;
	struct zkh_stat stat;
	bool denied;
};
typedef void (*zkh_tree_fn)(void *userdata, int result, const struct zkh_entry *entries,
			    size_t count);
int zkh_tree(struct zkh_session *session, const char *path, size_t limit, zkh_tree_fn fn,
	     void *userdata, struct zkh_task **ret_task);

/* The same, of path and its children alone. */
int zkh_level(struct zkh_session *session, const char *path, size_t limit, zkh_tree_fn fn,
	      void *userdata, struct zkh_task **ret_task);
