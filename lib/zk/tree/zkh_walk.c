/* SPDX-License-Identifier: Apache-2.0 */
#include "zkh_walk.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "zkh_task.h"

static void walk_pump(struct zkh_walk *walk);

static void walk_fail(struct zkh_walk *walk, int result, size_t index)
{
	assert(index < walk->count);
	zkh_walk_stop(walk);
	walk->fn(walk, zkh_task_read_result(result), walk->nodes[index].path);
}

static int walk_append(struct zkh_walk *walk, const char *path)
{
	struct zkh_walk_node *nodes;
	size_t capacity;

	if (walk->count == walk->limit || walk->bytes > walk->limit_bytes)
		return ZKH_TOO_LARGE;
	if (walk->count == walk->capacity) {
		capacity = walk->capacity == 0 ? 64 : 2 * walk->capacity;
		nodes = reallocarray(walk->nodes, capacity, sizeof(*nodes));
		if (nodes == NULL)
			return -ENOMEM;
		walk->nodes = nodes;
		walk->capacity = capacity;
	}
	nodes = &walk->nodes[walk->count];
	memset(nodes, 0, sizeof(*nodes));
	nodes->path = strdup(path);
	if (nodes->path == NULL)
		return -ENOMEM;
	walk->bytes += strlen(path) + 1;
	walk->count++;
	return 0;
}

static void free_slot(struct zkh_walk_slot *slot)
{
	slot->op = NULL;
	slot->next_free = slot->walk->free_slots;
	slot->walk->free_slots = slot;
	slot->walk->outstanding--;
}

/* The outcome of the requests for one node. A key that is gone is no error, unless it is the one that was asked for. */
static void walk_answered(struct zkh_walk *walk, size_t index, int r)
{
	if (r == ZKH_NO_NODE && index > 0) {
		walk->nodes[index].gone = true;
		r = 0;
	}
	if (r != 0)
		walk_fail(walk, r, index);
	else
		walk_pump(walk);
}

static int append_children(struct zkh_walk *walk, size_t index, const char *const *names,
			   size_t count)
{
	char path[ZKH_PATH_MAX];
	size_t i;
	int r = 0;

	for (i = 0; i < count && r == 0; i++) {
		r = zkh_path_join(walk->nodes[index].path, names[i], path);
		if (r == 0)
			r = walk_append(walk, path);
	}
	return r;
}

static void on_children(void *userdata, int result, const char *const *names, size_t count,
			const struct zkh_stat *stat)
{
	struct zkh_walk_slot *slot = userdata;
	struct zkh_walk *walk = slot->walk;
	size_t index = slot->index;
	int r = result;

	free_slot(slot);
	if (result == ZKH_OK) {
		if (!walk->with_data)
			walk->nodes[index].stat = *stat;
		r = append_children(walk, index, names, count);
	}
	walk_answered(walk, index, r);
}

static int store_data(struct zkh_walk *walk, size_t index, const char *data, size_t length,
		      const struct zkh_stat *stat)
{
	struct zkh_walk_node *node = &walk->nodes[index];

	node->stat = *stat;
	node->data = malloc(length + 1);
	if (node->data == NULL)
		return -ENOMEM;
	if (length > 0)
		memcpy(node->data, data, length);
	node->data[length] = '\0';
	node->length = length;
	walk->bytes += length + 1;
	return walk->bytes > walk->limit_bytes ? ZKH_TOO_LARGE : 0;
}

static void on_stat(void *userdata, int result, const struct zkh_stat *stat)
{
	struct zkh_walk_slot *slot = userdata;
	struct zkh_walk *walk = slot->walk;
	size_t index = slot->index;

	free_slot(slot);
	if (stat) {
		walk->nodes[index].stat = *stat;
		walk->nodes[index].denied = true;
	}
	walk_answered(walk, index, stat ? ZKH_OK : result);
}

/* That it is there anybody may see. */
static int stat_denied(struct zkh_walk_slot *slot)
{
	struct zkh_walk *walk = slot->walk;

	return zkh_exists(walk->session, walk->nodes[slot->index].path, false, on_stat, slot,
			  &slot->op);
}

static void on_get(void *userdata, int result, const char *data, size_t length,
		   const struct zkh_stat *stat)
{
	struct zkh_walk_slot *slot = userdata;
	struct zkh_walk *walk = slot->walk;
	size_t index = slot->index;
	int r = result;

	slot->op = NULL;
	if (result == ZKH_OK) {
		r = store_data(walk, index, data, length, stat);
		if (r == 0 && stat->children > 0 && !(walk->one_level && index > 0)) {
			r = zkh_children(walk->session, walk->nodes[index].path, false, on_children,
					 slot, &slot->op);
			if (r == 0)
				return;
		}
	} else if (result == ZKH_DENIED && walk->with_denied && index > 0) {
		r = stat_denied(slot);
		if (r == 0)
			return;
	}
	free_slot(slot);
	walk_answered(walk, index, r);
}

static void on_acl(void *userdata, int result, struct zkh_acl *acl)
{
	struct zkh_walk_slot *slot = userdata;
	struct zkh_walk *walk = slot->walk;
	size_t index = slot->index;
	int r = result;

	free_slot(slot);
	if (result == ZKH_OK) {
		walk->nodes[index].acl = acl;
		walk->bytes += zkh_acl_bytes(acl);
		if (walk->bytes > walk->limit_bytes)
			r = ZKH_TOO_LARGE;
	}
	walk_answered(walk, index, r);
}

static void free_node(struct zkh_walk_node *node)
{
	free(node->path);
	free(node->data);
	free(node->acl);
}

/* Takes those out that were gone when it was their turn. */
static void walk_compact(struct zkh_walk *walk)
{
	size_t kept = 0;
	size_t i;

	for (i = 0; i < walk->count; i++) {
		if (walk->nodes[i].gone)
			free_node(&walk->nodes[i]);
		else
			walk->nodes[kept++] = walk->nodes[i];
	}
	walk->count = kept;
}

/* Whether the list of a node that was asked for is to be asked for. */
static bool acl_is_due(const struct zkh_walk *walk)
{
	return walk->with_acl && walk->next_acl < walk->next;
}

static int walk_send(struct zkh_walk *walk)
{
	struct zkh_walk_slot *slot = walk->free_slots;
	size_t *next = acl_is_due(walk) ? &walk->next_acl : &walk->next;
	const char *path = walk->nodes[*next].path;
	int r;

	assert(slot != NULL);
	slot->index = *next;
	if (next == &walk->next_acl)
		r = zkh_acl_get(walk->session, path, on_acl, slot, &slot->op);
	else if (walk->with_data)
		r = zkh_get(walk->session, path, false, on_get, slot, &slot->op);
	else
		r = zkh_children(walk->session, path, false, on_children, slot, &slot->op);
	if (r != 0)
		return r;
	walk->free_slots = slot->next_free;
	walk->outstanding++;
	(*next)++;
	return 0;
}

static void walk_pump(struct zkh_walk *walk)
{
	int r;

	while ((walk->next < walk->count || acl_is_due(walk)) &&
	       walk->outstanding < ZKH_WALK_WINDOW) {
		r = walk_send(walk);
		if (r != 0) {
			walk_fail(walk, r, walk->free_slots->index); /* the slot that was tried */
			return;
		}
	}
	if (walk->outstanding > 0)
		return;
	walk_compact(walk);
	walk->fn(walk, ZKH_OK, "");
}

int zkh_walk_start(struct zkh_walk *walk, struct zkh_session *session, const char *path,
		   unsigned flags, size_t limit, size_t limit_bytes, zkh_walk_fn fn)
{
	size_t i;
	int r;

	assert(limit > 0);
	zkh_walk_stop(walk);
	zkh_walk_finish(walk);
	*walk = (struct zkh_walk){ .session = session,
				   .fn = fn,
				   .with_data = flags & ZKH_WALK_DATA,
				   .with_acl = flags & ZKH_WALK_ACL,
				   .with_denied = flags & ZKH_WALK_DENIED,
				   .one_level = flags & ZKH_WALK_ONE_LEVEL,
				   .limit = limit,
				   .limit_bytes = limit_bytes };
	for (i = 0; i < ZKH_WALK_WINDOW; i++) {
		walk->slots[i].walk = walk;
		walk->slots[i].next_free = walk->free_slots;
		walk->free_slots = &walk->slots[i];
	}
	r = walk_append(walk, path);
	if (r == 0)
		r = walk_send(walk);
	if (r == 0 && walk->with_acl)
		r = walk_send(walk);
	if (r != 0)
		zkh_walk_stop(walk);
	return r;
}

void zkh_walk_stop(struct zkh_walk *walk)
{
	size_t i;

	for (i = 0; i < ZKH_WALK_WINDOW; i++) {
		zkh_op_cancel(walk->slots[i].op);
		walk->slots[i].op = NULL;
	}
}

void zkh_walk_finish(struct zkh_walk *walk)
{
	size_t i;

	for (i = 0; i < walk->count; i++)
		free_node(&walk->nodes[i]);
	free(walk->nodes);
	walk->nodes = NULL;
	walk->count = walk->capacity = 0;
}

/* ---- A subtree as the caller gets it ---- */

struct tree_task {
	struct zkh_task task;
	struct zkh_walk walk;
	zkh_tree_fn fn;
	struct zkh_entry *entries;
};

static void tree_stop(struct zkh_task *task)
{
	zkh_walk_stop(&((struct tree_task *)task)->walk);
}

static void tree_release(struct zkh_task *task)
{
	struct tree_task *tree = (struct tree_task *)task;

	zkh_walk_finish(&tree->walk);
	free(tree->entries);
	free(tree);
}

static void tree_finish(struct tree_task *tree, int result, size_t count)
{
	zkh_task_stop(&tree->task);
	tree->fn(tree->task.userdata, result, tree->entries, count);
	tree->task.release(&tree->task);
}

static int compare_entries(const void *a, const void *b)
{
	return zkh_task_compare_paths(((const struct zkh_entry *)a)->path,
				      ((const struct zkh_entry *)b)->path);
}

static void on_walked(struct zkh_walk *walk, int result, const char *path)
{
	struct tree_task *tree =
		(struct tree_task *)(void *)((char *)walk - offsetof(struct tree_task, walk));
	size_t i;

	if (result != ZKH_OK) {
		tree_finish(tree, result, 0);
		return;
	}
	tree->entries = calloc(walk->count, sizeof(*tree->entries));
	if (tree->entries == NULL) {
		tree_finish(tree, -ENOMEM, 0);
		return;
	}
	for (i = 0; i < walk->count; i++)
		tree->entries[i] = (struct zkh_entry){
			.path = walk->nodes[i].path,
			.data = walk->nodes[i].data,
			.length = walk->nodes[i].length,
			.denied = walk->nodes[i].denied,
			.stat = walk->nodes[i].stat,
		};
	qsort(tree->entries, walk->count, sizeof(*tree->entries), compare_entries);
	tree_finish(tree, ZKH_OK, walk->count);
}

static int tree_start(struct zkh_session *session, const char *path, unsigned flags, size_t limit,
		      zkh_tree_fn fn, void *userdata, struct zkh_task **ret_task)
{
	struct tree_task *tree;
	int r;

	if (!zkh_path_valid(path))
		return ZKH_INVALID;
	if (limit == 0)
		return ZKH_TOO_LARGE;
	tree = calloc(1, sizeof(*tree));
	if (tree == NULL)
		return -ENOMEM;
	tree->fn = fn;
	zkh_task_begin(&tree->task, session, tree_stop, tree_release, NULL, userdata);
	r = zkh_walk_start(&tree->walk, session, path, ZKH_WALK_DATA | ZKH_WALK_DENIED | flags,
			   limit, ZKH_WALK_BYTES_MAX, on_walked);
	return zkh_task_begun(&tree->task, r, ret_task);
}

int zkh_tree(struct zkh_session *session, const char *path, size_t limit, zkh_tree_fn fn,
	     void *userdata, struct zkh_task **ret_task)
{
	return tree_start(session, path, 0, limit, fn, userdata, ret_task);
}

int zkh_level(struct zkh_session *session, const char *path, size_t limit, zkh_tree_fn fn,
	      void *userdata, struct zkh_task **ret_task)
{
	return tree_start(session, path, ZKH_WALK_ONE_LEVEL, limit, fn, userdata, ret_task);
}
