/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>

#include "zkh_task.h"
#include "zkh_walk.h"

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

	(void)path;
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

static int start(struct zkh_session *session, const char *path, unsigned flags, size_t limit,
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
	tree->task.stop = tree_stop;
	tree->task.release = tree_release;
	tree->task.userdata = userdata;
	tree->fn = fn;
	zkh_task_begin(&tree->task, session);
	r = zkh_walk_start(&tree->walk, session, path, ZKH_WALK_DATA | ZKH_WALK_DENIED | flags,
			   limit, ZKH_WALK_BYTES_MAX, on_walked);
	if (r != 0) {
		zkh_task_cancel(&tree->task);
		return r;
	}
	*ret_task = &tree->task;
	return 0;
}

int zkh_tree(struct zkh_session *session, const char *path, size_t limit, zkh_tree_fn fn,
	     void *userdata, struct zkh_task **ret_task)
{
	return start(session, path, 0, limit, fn, userdata, ret_task);
}

int zkh_level(struct zkh_session *session, const char *path, size_t limit, zkh_tree_fn fn,
	      void *userdata, struct zkh_task **ret_task)
{
	return start(session, path, ZKH_WALK_ONE_LEVEL, limit, fn, userdata, ret_task);
}
