/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_zk_internal.h"

#include <assert.h>
#include <string.h>

static int commit_one(struct fz_op *op, int64_t owner)
{
	struct fz_result result = { 0 };
	int rc = fz_tree_commit(op, 1, owner, "super", &result);

	free(result.path);
	return rc;
}

int fake_zk_create(const char *path, const char *data, int64_t owner)
{
	char *copy = fz_strdup(path);
	struct fz_op op = { .type = ZOO_CREATE_OP, .flags = owner ? 1 : 0 };
	int rc;

	for (char *slash = strchr(copy + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = 0;
		if (!fz_tree_find(copy))
			commit_one(&(struct fz_op){ .type = ZOO_CREATE_OP,
						    .path = copy,
						    .length = -1 },
				   0);
		*slash = '/';
	}
	op.path = copy;
	op.data = (char *)(uintptr_t)data;
	op.length = data ? (int)strlen(data) : -1;
	rc = commit_one(&op, owner);
	free(copy);
	return rc;
}

int fake_zk_set(const char *path, const char *data)
{
	char *copy = fz_strdup(path);
	struct fz_op op = {
		.type = ZOO_SETDATA_OP,
		.path = copy,
		.data = (char *)(uintptr_t)data,
		.length = data ? (int)strlen(data) : -1,
		.version = -1,
	};
	int rc = commit_one(&op, 0);

	free(copy);
	return rc;
}

int fake_zk_delete(const char *path)
{
	char *copy = fz_strdup(path);
	struct fz_op op = { .type = ZOO_DELETE_OP, .path = copy, .version = -1 };
	int rc = commit_one(&op, 0);

	free(copy);
	return rc;
}

void fake_zk_protect(const char *path, const char *credential)
{
	struct fz_node *node = fz_tree_find(path);

	assert(node);
	free(node->credential);
	node->credential = credential ? fz_strdup(credential) : NULL;
}

const char *fake_zk_protected(const char *path)
{
	const struct fz_node *node = fz_tree_find(path);

	return node ? node->credential : NULL;
}

bool fake_zk_stat(const char *path, struct Stat *ret_stat)
{
	const struct fz_node *node = fz_tree_find(path);

	if (node)
		*ret_stat = node->stat;
	return node;
}

const char *fake_zk_data(const char *path)
{
	const struct fz_node *node = fz_tree_find(path);

	return !node ? NULL : node->data ? node->data : "";
}

const char *fake_zk_dump(void)
{
	static char *text;

	free(text);
	return text = fz_tree_dump(false);
}

const char *fake_zk_dump_stats(void)
{
	static char *text;

	free(text);
	return text = fz_tree_dump(true);
}
