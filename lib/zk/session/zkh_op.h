/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Single operations on a session: read, list, sync, and the transaction, which is the only way to
 * write. One request each, pipelined in the order of the calls; replies come in the same order.
 *
 * Every call that returns 0 leads to exactly one callback, whatever happens to the connection, or
 * to none after zkh_op_cancel(). A call that returns non-zero never calls back. While the session
 * is not connected a call still returns 0 and its callback gets ZKH_NOT_CONNECTED from the loop.
 *
 * Pointers handed to a callback are valid only while it runs.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "zk/zkh_path.h"
#include "zk/zkh_result.h"
#include "zkh_session.h"

struct zkh_op;

/*
 * What a key is: ZooKeeper's Stat, the fields that matter. Times in ms since 1970 (server's
 * clock).
 */
struct zkh_stat {
	int64_t czxid, mzxid, pzxid;
	int64_t ctime_ms, mtime_ms;
	int64_t ephemeral_owner; /* session id, 0: persistent */
	int32_t version, cversion;
	int32_t data_length, children;
};

/* The callback will not run any more. What was sent may still happen. Takes NULL. */
void zkh_op_cancel(struct zkh_op *op);

/*
 * Reads. data is NUL-terminated behind data[length]. `watch` is for lib/zk alone (zkh_watch.h); to follow a key, use a
 * mirror (mirror/zkh_mirror.h).
 */
typedef void (*zkh_get_fn)(void *userdata, int result, const char *data, size_t length,
			   const struct zkh_stat *stat);
int zkh_get(struct zkh_session *session, const char *path, bool watch, zkh_get_fn fn,
	    void *userdata, struct zkh_op **ret_op);

/*
 * stat: NULL unless the key is there. ZKH_DENIED: it is there, but from ZooKeeper 3.9 on its stat is told only to those who
 * may read it. What is handed out then is the worst that it can be: of some session, with children, of any version.
 */
typedef void (*zkh_exists_fn)(void *userdata, int result, const struct zkh_stat *stat);
int zkh_exists(struct zkh_session *session, const char *path, bool watch, zkh_exists_fn fn,
	       void *userdata, struct zkh_op **ret_op);

/* Names of the children, unsorted, not validated (anybody may have made them). */
typedef void (*zkh_children_fn)(void *userdata, int result, const char *const *names, size_t count,
				const struct zkh_stat *stat);
int zkh_children(struct zkh_session *session, const char *path, bool watch, zkh_children_fn fn,
		 void *userdata, struct zkh_op **ret_op);

typedef void (*zkh_done_fn)(void *userdata, int result);

/*
 * Creates the session's root where it is missing, key by key and empty; a root that exists is
 * ZKH_OK. A session on "/" has nothing to do: ZKH_OK as well, when connected.
 */
int zkh_make_root(struct zkh_session *session, zkh_done_fn fn, void *userdata,
		  struct zkh_op **ret_op);

/*
 * Brings the connected server up to date with the leader; reads called after it see everything
 * that was committed before it.
 */
int zkh_sync(struct zkh_session *session, zkh_done_fn fn, void *userdata, struct zkh_op **ret_op);

/*
 * Transactions: checked, set, created and deleted together or not at all. Adding to a transaction
 * never fails on the spot: a bad path, a value over ZKH_DATA_MAX, too many operations or bytes, or
 * no memory is remembered and returned by zkh_commit(). Paths and data are copied.
 */
struct zkh_txn;

struct zkh_txn *zkh_txn_create(struct zkh_session *session); /* NULL: out of memory */
struct zkh_txn *zkh_txn_destroy(struct zkh_txn *txn);	     /* takes NULL, returns NULL */

#define ZKH_ANY_VERSION (-1)

/* The key exists and has this version. */
void zkh_txn_check(struct zkh_txn *txn, const char *path, int32_t version);
void zkh_txn_set(struct zkh_txn *txn, const char *path, const void *data, size_t length,
		 int32_t version);
void zkh_txn_delete(struct zkh_txn *txn, const char *path, int32_t version);

#define ZKH_PERSISTENT 0u
#define ZKH_CREATE_EPHEMERAL 1u
#define ZKH_CREATE_SEQUENCE 2u
void zkh_txn_create_key(struct zkh_txn *txn, const char *path, const void *data, size_t length,
			unsigned flags);
/* Convenience: text without its NUL. */
void zkh_txn_set_text(struct zkh_txn *txn, const char *path, const char *text, int32_t version);
void zkh_txn_create_text(struct zkh_txn *txn, const char *path, const char *text, unsigned flags);

size_t zkh_txn_count(const struct zkh_txn *txn);

struct zkh_txn_reply {
	size_t count;		      /* operations, in the order of the calls */
	size_t failed;		      /* index of the first that failed, or count */
	const char *failed_path;      /* its path, "" when unknown */
	const struct zkh_stat *stats; /* [count], of sets and creates; valid only with ZKH_OK */
	const char *const
		*created_paths; /* [count], of creates (with sequence number), else NULL */
};

/*
 * Sends it and takes ownership of txn in every case (also when it fails). fn gets ZKH_OK,
 * ZKH_UNKNOWN, ... or the result of the first operation that failed: ZKH_CONFLICT, ZKH_NO_NODE,
 * ZKH_NODE_EXISTS, ZKH_NOT_EMPTY.
 */
typedef void (*zkh_commit_fn)(void *userdata, int result, const struct zkh_txn_reply *reply);
int zkh_commit(struct zkh_txn *txn, zkh_commit_fn fn, void *userdata, struct zkh_op **ret_op);
