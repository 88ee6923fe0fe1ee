/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "zkh_task.h"
#include "zkh_walk.h"

#define ZKH_DELETE_TRIES_MAX 16u	      /* readings of the subtree */
#define ZKH_DELETE_KEYS_MAX ((size_t)1000000) /* keys of a subtree */
#define ZKH_DELETE_CHUNK 1000u		      /* keys of one of several transactions */
#define ZKH_DELETE_CHUNK_BYTES (ZKH_TXN_BYTES_MAX / 4)

struct delete_task {
	struct zkh_task task;
	struct zkh_walk walk;
	unsigned tries;
	size_t left;  /* keys found that are not deleted yet: the first ones, parents first */
	size_t chunk; /* keys in the transaction under way */
	bool large;   /* several transactions */
	char path[ZKH_PATH_MAX];
};

static void on_deleted(void *userdata, int result, const struct zkh_txn_reply *reply);
static void on_walked(struct zkh_walk *walk, int result, const char *path);

static void delete_stop(struct zkh_task *task)
{
	zkh_walk_stop(&((struct delete_task *)task)->walk);
}

static void delete_release(struct zkh_task *task)
{
	struct delete_task *del = (struct delete_task *)task;

	zkh_walk_finish(&del->walk);
	free(del);
}

static void delete_finish(struct delete_task *del, int result, const char *path)
{
	zkh_task_finish(&del->task, result, path);
}

static int delete_walk(struct delete_task *del)
{
	del->tries++;
	return zkh_walk_start(&del->walk, del->task.session, del->path, 0, ZKH_DELETE_KEYS_MAX,
			      ZKH_WALK_BYTES_MAX, on_walked);
}

/* Deletes the last `chunk` of those left, children first. */
static int delete_commit(struct delete_task *del, size_t chunk)
{
	struct zkh_txn *txn = zkh_txn_create(del->task.session);
	size_t i;

	if (txn == NULL)
		return -ENOMEM;
	assert(chunk > 0 && chunk <= del->left);
	for (i = del->left; i-- > del->left - chunk;)
		zkh_txn_delete(txn, del->walk.nodes[i].path,
			       del->large ? ZKH_ANY_VERSION : del->walk.nodes[i].stat.version);
	del->chunk = chunk;
	return zkh_commit(txn, on_deleted, del, &del->task.commit);
}

static void delete_next_chunk(struct delete_task *del)
{
	size_t chunk = 0, bytes = 0;
	int r;

	while (chunk < del->left && chunk < ZKH_DELETE_CHUNK && bytes < ZKH_DELETE_CHUNK_BYTES)
		bytes += strlen(del->walk.nodes[del->left - ++chunk].path);
	r = delete_commit(del, chunk);
	if (r != 0)
		delete_finish(del, r, del->path);
}

static void on_walked(struct zkh_walk *walk, int result, const char *path)
{
	struct delete_task *del =
		(struct delete_task *)(void *)((char *)walk - offsetof(struct delete_task, walk));
	int r = ZKH_TOO_LARGE;

	if (result == ZKH_NO_NODE && del->tries > 1) {
		delete_finish(del, ZKH_OK, ""); /* it was there, and somebody else finished it */
		return;
	}
	if (result == ZKH_NOT_CONNECTED && del->task.deleted > 0)
		result = ZKH_UNKNOWN;
	if (result != ZKH_OK) {
		delete_finish(del, result, path);
		return;
	}

	del->left = walk->count;
	del->large = false;
	if (walk->count <= ZKH_TXN_OPS_MAX)
		r = delete_commit(del, walk->count);
	if (r == ZKH_TOO_LARGE) {
		del->large = true;
		delete_next_chunk(del);
	} else if (r != 0) {
		delete_finish(del, r, del->path);
	}
}

/* Something changed since it was read: reads it again, but not for ever. */
static void delete_again(struct delete_task *del, int result, const char *path)
{
	int r;

	if (del->tries >= ZKH_DELETE_TRIES_MAX) {
		delete_finish(del, result == ZKH_NO_NODE ? ZKH_CONFLICT : result, path);
		return;
	}
	r = delete_walk(del);
	if (r != 0)
		delete_finish(del, r, del->path);
}

static void on_deleted(void *userdata, int result, const struct zkh_txn_reply *reply)
{
	struct delete_task *del = userdata;
	char path[ZKH_PATH_MAX];

	del->task.commit = NULL;
	if (result == ZKH_OK) {
		del->task.deleted += del->chunk;
		del->left -= del->chunk;
		if (del->left == 0)
			delete_finish(del, ZKH_OK, "");
		else
			delete_next_chunk(del);
		return;
	}
	if (result == ZKH_NOT_CONNECTED && del->task.deleted > 0)
		result = ZKH_UNKNOWN;
	zkh_task_delete_path(reply, result, path);
	if (result == ZKH_CONFLICT || result == ZKH_NO_NODE || result == ZKH_NOT_EMPTY)
		delete_again(del, result, path);
	else
		delete_finish(del, result, path);
}

/* One key without children: the server checks that. */
static void on_single_deleted(void *userdata, int result, const struct zkh_txn_reply *reply)
{
	struct delete_task *del = userdata;
	char path[ZKH_PATH_MAX];

	del->task.commit = NULL;
	zkh_task_delete_path(reply, result, path);
	if (result != ZKH_OK && path[0] == '\0')
		strcpy(path, del->path);
	delete_finish(del, result, path);
}

static int delete_single(struct delete_task *del)
{
	struct zkh_txn *txn = zkh_txn_create(del->task.session);

	if (txn == NULL)
		return -ENOMEM;
	zkh_txn_delete(txn, del->path, ZKH_ANY_VERSION);
	return zkh_commit(txn, on_single_deleted, del, &del->task.commit);
}

int zkh_delete(struct zkh_session *session, const char *path, bool recursive, zkh_task_fn fn,
	       void *userdata, struct zkh_task **ret_task)
{
	struct delete_task *del;
	int r;

	if (!zkh_path_valid(path) || strcmp(path, "/") == 0)
		return ZKH_INVALID;
	del = calloc(1, sizeof(*del));
	if (del == NULL)
		return -ENOMEM;
	strcpy(del->path, path);
	zkh_task_begin(&del->task, session, delete_stop, delete_release, fn, userdata);
	r = recursive ? delete_walk(del) : delete_single(del);
	return zkh_task_begun(&del->task, r, ret_task);
}
