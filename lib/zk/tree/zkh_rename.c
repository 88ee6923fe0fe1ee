/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "zkh_task.h"
#include "zkh_walk.h"

struct rename_task {
	struct zkh_task task;
	struct zkh_walk walk;
	struct zkh_op *sync;
	char from[ZKH_PATH_MAX];
	char to[ZKH_PATH_MAX];
};

static void rename_stop(struct zkh_task *task)
{
	struct rename_task *ren = (struct rename_task *)task;

	zkh_op_cancel(ren->sync);
	ren->sync = NULL;
	zkh_walk_stop(&ren->walk);
}

static void rename_release(struct zkh_task *task)
{
	struct rename_task *ren = (struct rename_task *)task;

	zkh_walk_finish(&ren->walk);
	free(ren);
}

/* A create failed: the result as the caller is to see it, and the key in whose way it was into ret_path[ZKH_PATH_MAX]. */
static int explain_create(const struct rename_task *ren, int result,
			  const struct zkh_txn_reply *reply, char *ret_path)
{
	const char *source = ren->walk.nodes[reply->failed].path;
	bool top = reply->failed == 0;

	if (result == ZKH_AUTH_FAILED) {
		/* By the identities of a list that is carried over: our credential has no part in it. */
		strcpy(ret_path, source);
		return ZKH_ACL_REFUSED;
	}
	if (result == ZKH_NO_NODE && !top) {
		/* The parent went while the lists were read, and was left out. */
		strcpy(ret_path, source);
		return ZKH_CONFLICT;
	}
	if (result == ZKH_NO_NODE || result == ZKH_DENIED) {
		/* What denies it is the parent's list: there already, or carried over from the source's parent. */
		zkh_path_parent(top ? ren->to : source, ret_path);
		return result;
	}
	snprintf(ret_path, ZKH_PATH_MAX, "%s", zkh_task_failed_path(reply));
	return result;
}

/* The transaction: creates (as many as keys were read), then deletes. */
static void on_renamed(void *userdata, int result, const struct zkh_txn_reply *reply)
{
	struct rename_task *ren = userdata;
	char path[ZKH_PATH_MAX];

	ren->task.commit = NULL;
	if (reply->failed < ren->walk.count) {
		result = explain_create(ren, result, reply, path);
	} else {
		zkh_task_delete_path(reply, result, path);
		if (result == ZKH_NO_NODE || result == ZKH_NOT_EMPTY)
			result =
				ZKH_CONFLICT; /* a key of the source went, or came, since it was read */
	}
	zkh_task_finish(&ren->task, result, path);
}

static int rename_commit(struct rename_task *ren)
{
	const struct zkh_walk *walk = &ren->walk;
	struct zkh_txn *txn = zkh_txn_create(ren->task.session);
	char path[ZKH_PATH_MAX];
	size_t skip = strlen(ren->from);
	size_t i;
	int r = 0;

	if (txn == NULL)
		return -ENOMEM;
	for (i = 0; i < walk->count && r == 0; i++) {
		const struct zkh_walk_node *node = &walk->nodes[i];

		assert(zkh_path_is_below(node->path, ren->from) && node->acl != NULL);
		if (node->path[skip] == '\0')
			strcpy(path, ren->to);
		else
			r = zkh_path_join(ren->to, node->path + skip + 1, path);
		if (r == 0)
			zkh_txn_create_with_acl(txn, path, node->data, node->length, node->acl);
	}
	if (r != 0) {
		zkh_txn_destroy(txn);
		return r;
	}
	for (i = walk->count; i-- > 0;)
		zkh_txn_delete(txn, walk->nodes[i].path, walk->nodes[i].stat.version);
	return zkh_commit(txn, on_renamed, ren, &ren->task.commit);
}

static void on_walked(struct zkh_walk *walk, int result, const char *path)
{
	struct rename_task *ren =
		(struct rename_task *)(void *)((char *)walk - offsetof(struct rename_task, walk));
	size_t i;
	int r;

	if (result != ZKH_OK) {
		zkh_task_finish(&ren->task, result, path);
		return;
	}
	for (i = 0; i < walk->count; i++) {
		if (walk->nodes[i].stat.ephemeral_owner != 0) {
			zkh_task_finish(&ren->task, ZKH_EPHEMERAL, walk->nodes[i].path);
			return;
		}
	}
	r = rename_commit(ren);
	if (r != 0)
		zkh_task_finish(&ren->task, r, ren->from);
}

/* If it failed, so do the reads behind it. */
static void on_synced(void *userdata, int result)
{
	struct rename_task *ren = userdata;

	(void)result;
	ren->sync = NULL;
}

int zkh_rename(struct zkh_session *session, const char *from, const char *to, zkh_task_fn fn,
	       void *userdata, struct zkh_task **ret_task)
{
	struct rename_task *ren;
	int r;

	if (!zkh_path_valid(from) || !zkh_path_valid(to) || strcmp(from, "/") == 0 ||
	    strcmp(to, "/") == 0 || zkh_path_is_below(to, from))
		return ZKH_INVALID;
	ren = calloc(1, sizeof(*ren));
	if (ren == NULL)
		return -ENOMEM;
	ren->task.stop = rename_stop;
	ren->task.release = rename_release;
	ren->task.fn = fn;
	ren->task.userdata = userdata;
	strcpy(ren->from, from);
	strcpy(ren->to, to);
	zkh_task_begin(&ren->task, session);
	/* A server that lags behind would show lists of yesterday, and no transaction finds that out. */
	r = zkh_sync(session, on_synced, ren, &ren->sync);
	/* Each key costs two operations. */
	if (r == 0)
		r = zkh_walk_start(&ren->walk, session, from, ZKH_WALK_DATA | ZKH_WALK_ACL,
				   ZKH_TXN_OPS_MAX / 2, ZKH_TXN_BYTES_MAX, on_walked);
	if (r != 0) {
		zkh_task_cancel(&ren->task);
		return r;
	}
	*ret_task = &ren->task;
	return 0;
}
