/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "zkh_task.h"
#include "zkh_walk.h"

/* What one pair of names comes to. */
struct rename_move {
	struct rename_task *ren;
	struct zkh_walk walk; /* of what is below `from` */
	char from[ZKH_PATH_MAX];
	char to[ZKH_PATH_MAX];
};

/* A key above a target. */
struct rename_parent {
	struct rename_task *ren;
	struct zkh_op *op;
	char path[ZKH_PATH_MAX];
	bool missing;
};

struct rename_task {
	struct zkh_task task;
	struct zkh_op *sync;
	struct rename_move *moves;
	size_t count;
	struct rename_parent *parents; /* each once, those above others first */
	size_t parent_count;
	size_t outstanding; /* walks, and reads of parents */
	size_t made;	    /* creates of parents, the first operations of the transaction */
	size_t copied;	    /* creates of copies, the next ones; deletes follow */
};

static void rename_stop(struct zkh_task *task)
{
	struct rename_task *ren = (struct rename_task *)task;

	zkh_op_cancel(ren->sync);
	ren->sync = NULL;
	for (size_t i = 0; i < ren->count; i++)
		zkh_walk_stop(&ren->moves[i].walk);
	for (size_t i = 0; i < ren->parent_count; i++) {
		zkh_op_cancel(ren->parents[i].op);
		ren->parents[i].op = NULL;
	}
}

static void rename_release(struct zkh_task *task)
{
	struct rename_task *ren = (struct rename_task *)task;

	for (size_t i = 0; i < ren->count; i++)
		zkh_walk_finish(&ren->moves[i].walk);
	free(ren->moves);
	free(ren->parents);
	free(ren);
}

/* ---- The transaction: parents that are missing, copies, deletes ---- */

/* The key that copy number i is made from, and to which move it belongs. */
static const struct zkh_walk_node *copy_source(const struct rename_task *ren, size_t i,
					       const struct rename_move **ret_move)
{
	const struct rename_move *move = ren->moves;

	for (; i >= move->walk.count; move++)
		i -= move->walk.count;
	*ret_move = move;
	return &move->walk.nodes[i];
}

/* A copy failed: the result as the caller is to see it, and the key in whose way it was into ret_path[ZKH_PATH_MAX]. */
static int explain_copy(const struct rename_task *ren, int result,
			const struct zkh_txn_reply *reply, char *ret_path)
{
	const struct rename_move *move;
	const struct zkh_walk_node *node = copy_source(ren, reply->failed - ren->made, &move);
	bool top = node == move->walk.nodes;

	if (result == ZKH_AUTH_FAILED) {
		/* By the identities of a list that is carried over: our credential has no part in it. */
		strcpy(ret_path, node->path);
		return ZKH_ACL_REFUSED;
	}
	if (result == ZKH_NO_NODE && !top) {
		/* The parent went while the lists were read, and was left out. */
		strcpy(ret_path, node->path);
		return ZKH_CONFLICT;
	}
	if (result == ZKH_NO_NODE || result == ZKH_DENIED) {
		/* What denies it is the parent's list: there already, or carried over from the source's parent. */
		zkh_path_parent(top ? move->to : node->path, ret_path);
		return result;
	}
	snprintf(ret_path, ZKH_PATH_MAX, "%s", zkh_task_failed_path(reply));
	return result;
}

/* The same for a parent. */
static int explain_parent(int result, const struct zkh_txn_reply *reply, char *ret_path)
{
	snprintf(ret_path, ZKH_PATH_MAX, "%s", zkh_task_failed_path(reply));
	if (result == ZKH_NO_NODE || result == ZKH_DENIED)
		zkh_path_parent(zkh_task_failed_path(reply), ret_path);
	return result == ZKH_NODE_EXISTS ? ZKH_CONFLICT : result;
}

static void on_renamed(void *userdata, int result, const struct zkh_txn_reply *reply)
{
	struct rename_task *ren = userdata;
	char path[ZKH_PATH_MAX];

	ren->task.commit = NULL;
	if (reply->failed < ren->made) {
		result = explain_parent(result, reply, path);
	} else if (reply->failed < ren->made + ren->copied) {
		result = explain_copy(ren, result, reply, path);
	} else {
		zkh_task_delete_path(reply, result, path);
		if (result == ZKH_NO_NODE || result == ZKH_NOT_EMPTY)
			result =
				ZKH_CONFLICT; /* a key of the source went, or came, since it was read */
	}
	zkh_task_finish(&ren->task, result, path);
}

static int add_copies(struct rename_task *ren, const struct rename_move *move, struct zkh_txn *txn)
{
	size_t skip = strlen(move->from);
	char path[ZKH_PATH_MAX];
	int r = 0;

	for (size_t i = 0; i < move->walk.count && r == 0; i++) {
		const struct zkh_walk_node *node = &move->walk.nodes[i];

		assert(zkh_path_is_below(node->path, move->from) && node->acl != NULL);
		if (node->path[skip] == '\0')
			strcpy(path, move->to);
		else
			r = zkh_path_join(move->to, node->path + skip + 1, path);
		if (r == 0)
			zkh_txn_create_with_acl(txn, path, node->data, node->length, node->acl);
		ren->copied++;
	}
	return r;
}

static int rename_commit(struct rename_task *ren)
{
	struct zkh_txn *txn = zkh_txn_create(ren->task.session);
	int r = 0;

	if (txn == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < ren->parent_count; i++) {
		if (!ren->parents[i].missing)
			continue;
		zkh_txn_create_key(txn, ren->parents[i].path, "", 0, ZKH_PERSISTENT);
		ren->made++;
	}
	for (size_t i = 0; i < ren->count && r == 0; i++)
		r = add_copies(ren, &ren->moves[i], txn);
	if (r != 0) {
		zkh_txn_destroy(txn);
		return r;
	}
	for (size_t i = 0; i < ren->count; i++) {
		const struct zkh_walk *walk = &ren->moves[i].walk;

		for (size_t j = walk->count; j-- > 0;)
			zkh_txn_delete(txn, walk->nodes[j].path, walk->nodes[j].stat.version);
	}
	return zkh_commit(txn, on_renamed, ren, &ren->task.commit);
}

/* ---- Reading ---- */

static void read_one(struct rename_task *ren)
{
	int r;

	assert(ren->outstanding > 0);
	if (--ren->outstanding > 0)
		return;
	r = rename_commit(ren);
	if (r != 0)
		zkh_task_finish(&ren->task, r, ren->moves[0].from);
}

static void on_walked(struct zkh_walk *walk, int result, const char *path)
{
	struct rename_move *move =
		(struct rename_move *)(void *)((char *)walk - offsetof(struct rename_move, walk));

	if (result != ZKH_OK) {
		zkh_task_finish(&move->ren->task, result, path);
		return;
	}
	for (size_t i = 0; i < walk->count; i++) {
		if (walk->nodes[i].stat.ephemeral_owner == 0)
			continue;
		zkh_task_finish(&move->ren->task, ZKH_EPHEMERAL, walk->nodes[i].path);
		return;
	}
	read_one(move->ren);
}

static void on_parent(void *userdata, int result, const struct zkh_stat *stat)
{
	struct rename_parent *parent = userdata;

	parent->op = NULL;
	parent->missing = result == ZKH_NO_NODE;
	/* With a stat it exists, though it may not be read. */
	if (result != ZKH_OK && result != ZKH_NO_NODE && stat == NULL)
		zkh_task_finish(&parent->ren->task, zkh_task_read_result(result), parent->path);
	else
		read_one(parent->ren);
}

/* If it failed, so do the reads behind it. */
static void on_synced(void *userdata, int result)
{
	struct rename_task *ren = userdata;

	ren->sync = NULL;
}

static int rename_read(struct rename_task *ren)
{
	/* A server that lags behind would show lists of yesterday, and no transaction finds that out. */
	int r = zkh_sync(ren->task.session, on_synced, ren, &ren->sync);

	/* Each key costs two operations. */
	for (size_t i = 0; i < ren->count && r == 0; i++)
		r = zkh_walk_start(&ren->moves[i].walk, ren->task.session, ren->moves[i].from,
				   ZKH_WALK_DATA | ZKH_WALK_ACL, ZKH_TXN_OPS_MAX / 2,
				   ZKH_TXN_BYTES_MAX, on_walked);
	for (size_t i = 0; i < ren->parent_count && r == 0; i++)
		r = zkh_exists(ren->task.session, ren->parents[i].path, false, on_parent,
			       &ren->parents[i], &ren->parents[i].op);
	ren->outstanding = ren->count + ren->parent_count;
	return r;
}

/* ---- What is asked for ---- */

static bool is_clash(const struct zkh_move *a, const struct zkh_move *b)
{
	if (zkh_path_is_below(a->to, b->from))
		return true;
	if (a == b)
		return !strcmp(a->to, "/");
	return zkh_path_is_below(a->from, b->from) || zkh_path_is_below(a->to, b->to);
}

bool zkh_moves_clash(const struct zkh_move *moves, size_t count, size_t *ret_one, size_t *ret_other)
{
	for (size_t i = 0; i < count * count; i++) {
		if (!is_clash(&moves[i / count], &moves[i % count]))
			continue;
		*ret_one = i / count;
		*ret_other = i % count;
		return true;
	}
	return false;
}

static int add_parent(struct rename_task *ren, const char *path, size_t length)
{
	struct rename_parent *parents;

	for (size_t i = 0; i < ren->parent_count; i++)
		if (strlen(ren->parents[i].path) == length &&
		    !strncmp(ren->parents[i].path, path, length))
			return 0;
	if (ren->parent_count == ZKH_TXN_OPS_MAX)
		return ZKH_TOO_LARGE;
	parents = reallocarray(ren->parents, ren->parent_count + 1, sizeof(*parents));
	if (parents == NULL)
		return -ENOMEM;
	ren->parents = parents;
	parents += ren->parent_count++;
	*parents = (struct rename_parent){ .ren = ren };
	memcpy(parents->path, path, length);
	return 0;
}

static int rename_build(struct rename_task *ren, const struct zkh_move *moves, size_t count)
{
	size_t one, other;
	int r = 0;

	for (size_t i = 0; i < count; i++)
		if (!zkh_path_valid(moves[i].from) || !zkh_path_valid(moves[i].to))
			return ZKH_INVALID;
	if (zkh_moves_clash(moves, count, &one, &other))
		return ZKH_INVALID;
	ren->moves = calloc(count, sizeof(*ren->moves));
	if (ren->moves == NULL)
		return -ENOMEM;
	ren->count = count;
	for (size_t i = 0; i < count && r == 0; i++) {
		const char *to = moves[i].to;

		ren->moves[i].ren = ren;
		strcpy(ren->moves[i].from, moves[i].from);
		strcpy(ren->moves[i].to, to);
		for (const char *slash = strchr(to + 1, '/'); slash != NULL && r == 0;
		     slash = strchr(slash + 1, '/'))
			r = add_parent(ren, to, (size_t)(slash - to));
	}
	return r;
}

int zkh_rename(struct zkh_session *session, const struct zkh_move *moves, size_t count,
	       zkh_task_fn fn, void *userdata, struct zkh_task **ret_task)
{
	struct rename_task *ren;
	int r;

	if (count == 0)
		return ZKH_INVALID;
	if (count > ZKH_MOVES_MAX)
		return ZKH_TOO_LARGE;
	ren = calloc(1, sizeof(*ren));
	if (ren == NULL)
		return -ENOMEM;
	zkh_task_begin(&ren->task, session, rename_stop, rename_release, fn, userdata);
	r = rename_build(ren, moves, count);
	if (r == 0)
		r = rename_read(ren);
	return zkh_task_begun(&ren->task, r, ret_task);
}
