/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "zkh_task.h"

#define ZKH_WRITE_KEYS_MAX ((size_t)2 * ZKH_TXN_OPS_MAX) /* pairs and their parents */

struct write_task;

/* A key to be written, or a parent that must be there. */
struct write_key {
	struct write_task *write;
	struct zkh_op *op;
	char *path;
	char *data;
	size_t length;
	bool pair, versioned, exists;
	int32_t wanted, version;
	bool ephemeral;
};

struct write_task {
	struct zkh_task task;
	struct write_key *keys; /* sorted, parents first; each path once */
	size_t count, capacity;
	size_t outstanding;
};

static void write_stop(struct zkh_task *task)
{
	struct write_task *write = (struct write_task *)task;
	size_t i;

	for (i = 0; i < write->count; i++) {
		zkh_op_cancel(write->keys[i].op);
		write->keys[i].op = NULL;
	}
}

static void write_release(struct zkh_task *task)
{
	struct write_task *write = (struct write_task *)task;
	size_t i;

	for (i = 0; i < write->count; i++) {
		free(write->keys[i].path);
		free(write->keys[i].data);
	}
	free(write->keys);
	free(write);
}

/* ---- The transaction ---- */

static void on_written(void *userdata, int result, const struct zkh_txn_reply *reply)
{
	struct write_task *write = userdata;

	write->task.commit = NULL;
	zkh_task_finish(&write->task, result, zkh_task_failed_path(reply));
}

/* Whether what was read allows the key to be written: else the result that says why not. */
static int write_check(const struct write_key *key, const struct write_key *parent)
{
	if (!key->exists && parent != NULL && parent->exists && parent->ephemeral)
		return ZKH_EPHEMERAL;
	if (!key->exists && strcmp(key->path, "/") == 0)
		return ZKH_NO_NODE;
	if (!key->versioned)
		return ZKH_OK;
	if (key->wanted == -1)
		return key->exists ? ZKH_NODE_EXISTS : ZKH_OK;
	if (!key->exists)
		return ZKH_NO_NODE;
	return key->version == key->wanted ? ZKH_OK : ZKH_CONFLICT;
}

/* The parent is among the keys in front; its subtree is in one piece, so the way back is by ancestors only. */
static const struct write_key *find_parent(const struct write_task *write, size_t index)
{
	char parent[ZKH_PATH_MAX];
	size_t low = 0, high = index;

	if (strcmp(write->keys[index].path, "/") == 0)
		return NULL;
	zkh_path_parent(write->keys[index].path, parent);
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = zkh_task_compare_paths(write->keys[middle].path, parent);

		if (order == 0)
			return &write->keys[middle];
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL; /* the root, which is not read */
}

static void write_commit(struct write_task *write)
{
	struct zkh_txn *txn = zkh_txn_create(write->task.session);
	size_t i;
	int r = txn == NULL ? -ENOMEM : 0;

	for (i = 0; i < write->count && r == 0; i++) {
		const struct write_key *key = &write->keys[i];

		r = write_check(key, find_parent(write, i));
		if (r != 0)
			break;
		if (!key->exists)
			zkh_txn_create_key(txn, key->path, key->data, key->length, ZKH_PERSISTENT);
		else if (key->pair)
			zkh_txn_set(txn, key->path, key->data, key->length, key->version);
	}
	if (r != 0) {
		zkh_txn_destroy(txn);
		zkh_task_finish(&write->task, r, i < write->count ? write->keys[i].path : "");
		return;
	}
	r = zkh_commit(txn, on_written, write, &write->task.commit);
	if (r != 0)
		zkh_task_finish(&write->task, r, "");
}

/* ---- Reading ---- */

static void on_read(void *userdata, int result, const struct zkh_stat *stat)
{
	struct write_key *key = userdata;
	struct write_task *write = key->write;

	key->op = NULL;
	/* Of a parent nothing else is needed than that it is there. */
	if (result == ZKH_OK || (stat && !key->pair)) {
		key->exists = true;
		key->version = stat->version;
		key->ephemeral = result == ZKH_OK && stat->ephemeral_owner;
	} else if (result != ZKH_NO_NODE) {
		zkh_task_finish(&write->task, zkh_task_read_result(result), key->path);
		return;
	}
	assert(write->outstanding > 0);
	if (--write->outstanding == 0)
		write_commit(write);
}

static int write_read(struct write_task *write)
{
	size_t i;
	int r;

	for (i = 0; i < write->count; i++) {
		r = zkh_exists(write->task.session, write->keys[i].path, false, on_read,
			       &write->keys[i], &write->keys[i].op);
		if (r != 0)
			return r;
		write->outstanding++;
	}
	return 0;
}

/* ---- The list of keys ---- */

static int add_key(struct write_task *write, const char *path, size_t path_length,
		   const struct zkh_pair *pair)
{
	struct write_key *key;
	struct write_key *keys;
	size_t capacity;

	if (write->count == ZKH_WRITE_KEYS_MAX)
		return ZKH_TOO_LARGE;
	if (write->count == write->capacity) {
		capacity = write->capacity == 0 ? 16 : 2 * write->capacity;
		keys = reallocarray(write->keys, capacity, sizeof(*keys));
		if (keys == NULL)
			return -ENOMEM;
		write->keys = keys;
		write->capacity = capacity;
	}
	key = &write->keys[write->count];
	*key = (struct write_key){ .write = write, .path = strndup(path, path_length) };
	if (key->path == NULL)
		return -ENOMEM;
	write->count++;
	if (pair == NULL)
		return 0;

	key->pair = true;
	key->versioned = pair->versioned;
	key->wanted = pair->version;
	key->length = pair->length;
	key->data = malloc(pair->length + 1);
	if (key->data == NULL)
		return -ENOMEM;
	if (pair->length > 0)
		memcpy(key->data, pair->data, pair->length);
	return 0;
}

/* Adds those parents of the pair that the keys so far don't have: what the previous pair shares, is there. */
static int add_parents(struct write_task *write, const char *path, const char *previous)
{
	size_t shared = 0;
	size_t i;
	int r = 0;

	while (path[shared] != '\0' && path[shared] == previous[shared])
		shared++;
	for (i = 1; path[i] != '\0' && r == 0; i++) {
		bool there = i < shared || (i == shared && previous[i] == '\0');

		if (path[i] == '/' && !there)
			r = add_key(write, path, i, NULL);
	}
	return r;
}

static int compare_pairs(const void *a, const void *b)
{
	return zkh_task_compare_paths((*(const struct zkh_pair *const *)a)->path,
				      (*(const struct zkh_pair *const *)b)->path);
}

static int add_pairs(struct write_task *write, const struct zkh_pair **sorted, size_t count)
{
	const char *previous = "";
	size_t i;
	int r;

	qsort(sorted, count, sizeof(*sorted), compare_pairs);
	for (i = 0; i < count; i++) {
		const char *path = sorted[i]->path;

		if (strcmp(path, previous) == 0)
			return ZKH_INVALID;
		r = add_parents(write, path, previous);
		if (r == 0)
			r = add_key(write, path, strlen(path), sorted[i]);
		if (r != 0)
			return r;
		previous = path;
	}
	return 0;
}

static int write_build(struct write_task *write, const struct zkh_pair *pairs, size_t count)
{
	const struct zkh_pair **sorted;
	size_t bytes = 0;
	size_t i;
	int r;

	if (count == 0)
		return ZKH_INVALID;
	if (count > ZKH_TXN_OPS_MAX)
		return ZKH_TOO_LARGE;
	for (i = 0; i < count; i++) {
		if (!zkh_path_valid(pairs[i].path) || pairs[i].length > ZKH_DATA_MAX)
			return ZKH_INVALID;
		bytes += pairs[i].length;
		if (bytes > ZKH_TXN_BYTES_MAX)
			return ZKH_TOO_LARGE;
	}
	sorted = calloc(count, sizeof(*sorted));
	if (sorted == NULL)
		return -ENOMEM;
	for (i = 0; i < count; i++)
		sorted[i] = &pairs[i];
	r = add_pairs(write, sorted, count);
	free(sorted);
	return r;
}

int zkh_write(struct zkh_session *session, const struct zkh_pair *pairs, size_t count,
	      zkh_task_fn fn, void *userdata, struct zkh_task **ret_task)
{
	struct write_task *write = calloc(1, sizeof(*write));
	int r;

	if (write == NULL)
		return -ENOMEM;
	zkh_task_begin(&write->task, session, write_stop, write_release, fn, userdata);
	r = write_build(write, pairs, count);
	if (r == 0)
		r = write_read(write);
	return zkh_task_begun(&write->task, r, ret_task);
}
