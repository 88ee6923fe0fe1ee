/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Inside lib/ only: what the operations of zkh_keys.h share. A task is embedded first in the object of its kind,
 * calls back exactly once, and goes without a callback when it is cancelled or when its session is destroyed.
 */

#include <stdbool.h>
#include <stddef.h>

#include "zk/session/zkh_hooks.h"
#include "zkh_keys.h"

struct zkh_task {
	struct zkh_session *session;
	struct zkh_listener listener;
	struct zkh_op *commit;			/* the transaction under way */
	void (*stop)(struct zkh_task *task);	/* cancels the kind's other requests */
	void (*release)(struct zkh_task *task); /* frees what the kind owns, and the task itself */
	zkh_task_fn fn;
	void *userdata;
	size_t deleted; /* keys, by transactions that are over */
	bool calling;	/* the last callback is on the stack */
};

/* task is zeroed. fn NULL: a kind with another callback. Ends with zkh_task_finish() or zkh_task_cancel(). */
void zkh_task_begin(struct zkh_task *task, struct zkh_session *session,
		    void (*stop)(struct zkh_task *task), void (*release)(struct zkh_task *task),
		    zkh_task_fn fn, void *userdata);

/* The requests were sent: *ret_task. Or that failed (r, which is returned): the task is freed. */
int zkh_task_begun(struct zkh_task *task, int r, struct zkh_task **ret_task);

/* Cancels all requests, calls back and frees the task. path may belong to the task. */
void zkh_task_finish(struct zkh_task *task, int result, const char *path);

/* The same for kinds with another callback: everything is cancelled at return; then call, then release. */
void zkh_task_stop(struct zkh_task *task);

/* Reads alone change nothing: when their answers are lost, the operation did not happen. */
int zkh_task_read_result(int result);

/* The path that a failed transaction names, or "". */
const char *zkh_task_failed_path(const struct zkh_txn_reply *reply);

/*
 * The key in whose way a delete of a failed transaction is, or "", into ret_path[ZKH_PATH_MAX]. With ZKH_DENIED that is
 * the parent of the key that the transaction names: it is the parent's access list that forbids it.
 */
void zkh_task_delete_path(const struct zkh_txn_reply *reply, int result, char *ret_path);

/* Order for sorting: parents first, each subtree in one piece. */
int zkh_task_compare_paths(const char *a, const char *b);
