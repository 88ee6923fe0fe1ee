/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_zk_internal.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/fnv.h"

#define BUCKETS 4096u
#define CLOCK_START_MS 1700000000000 /* the servers' wall clock: one ms a transaction */

static struct fz_node *buckets[BUCKETS];
static struct fz_node *root;
static int64_t last_zxid;

/* What a transaction did, newest first. */
struct change {
	struct change *next;
	int type;
	struct fz_node *node;
	char *old_data;
	int old_length;
	struct Stat old_stat, old_parent_stat;
	int old_creates;
};

void fz_ops_free(struct fz_op *ops, int count)
{
	for (int i = 0; ops && i < count; i++) {
		free(ops[i].path);
		free(ops[i].data);
		free(ops[i].credential);
	}
	free(ops);
}

void fz_results_free(struct fz_result *results, int count)
{
	for (int i = 0; results && i < count; i++)
		free(results[i].path);
	free(results);
}

static struct fz_node **bucket_of(const char *path)
{
	return &buckets[fnv_text(path) % BUCKETS];
}

struct fz_node *fz_tree_find(const char *path)
{
	struct fz_node *node = *bucket_of(path);

	while (node && strcmp(node->path, path) != 0)
		node = node->hash_next;
	return node;
}

int64_t fz_tree_zxid(void)
{
	return last_zxid;
}

static struct fz_node *parent_of(const char *path)
{
	char *copy = fz_strdup(path), *slash = strrchr(copy, '/');
	struct fz_node *parent;

	if (slash == copy)
		slash++;
	*slash = 0;
	parent = fz_tree_find(copy);
	free(copy);
	return parent;
}

static void link_node(struct fz_node *node)
{
	struct fz_node **bucket = bucket_of(node->path);

	node->hash_next = *bucket;
	*bucket = node;
	if (!node->parent)
		return;
	node->sibling = node->parent->child;
	node->parent->child = node;
	node->parent->stat.numChildren++;
}

static void unlink_node(struct fz_node *node)
{
	struct fz_node **link = bucket_of(node->path);

	while (*link != node)
		link = &(*link)->hash_next;
	*link = node->hash_next;
	link = &node->parent->child;
	while (*link != node)
		link = &(*link)->sibling;
	*link = node->sibling;
	node->parent->stat.numChildren--;
}

static void free_node(struct fz_node *node)
{
	free(node->path);
	free(node->data);
	free(node->credential);
	free(node);
}

void fz_tree_reset(void)
{
	for (unsigned i = 0; i < BUCKETS; i++) {
		while (buckets[i]) {
			struct fz_node *node = buckets[i];

			buckets[i] = node->hash_next;
			free_node(node);
		}
	}
	root = fz_alloc(sizeof(*root));
	root->path = fz_strdup("/");
	link_node(root);
	last_zxid = 0x100000000;
}

void fz_tree_set_back(void)
{
	last_zxid = 0x80000000;
}

bool fz_tree_may(const struct fz_node *node, const char *credential)
{
	return !node->credential || (credential && (strcmp(node->credential, credential) == 0 ||
						    strcmp(credential, "super") == 0));
}

static void count_child_change(struct fz_node *parent, int64_t zxid)
{
	parent->stat.cversion++;
	parent->stat.pzxid = zxid;
}

static int create(const struct fz_op *op, int64_t session, const char *credential, int64_t zxid,
		  struct change *change, struct fz_result *result)
{
	struct fz_node *parent = strcmp(op->path, "/") == 0 ? NULL : parent_of(op->path), *node;
	char *path;

	if (strcmp(op->path, "/") == 0)
		return ZNODEEXISTS;
	if (!parent)
		return ZNONODE;
	if (!fz_tree_may(parent, credential))
		return ZNOAUTH;
	if ((op->creator_only && !credential) || (op->credential && !strchr(op->credential, ':')))
		return ZINVALIDACL;
	path = fz_alloc(strlen(op->path) + 12);
	if (op->flags & 2)
		sprintf(path, "%s%010d", op->path, parent->creates);
	else
		strcpy(path, op->path);
	if (fz_tree_find(path) || parent->stat.ephemeralOwner) {
		bool exists = fz_tree_find(path);

		free(path);
		return exists ? ZNODEEXISTS : ZNOCHILDRENFOREPHEMERALS;
	}
	node = fz_alloc(sizeof(*node));
	node->path = path;
	node->data = fz_memdup(op->data, op->length);
	node->length = op->data ? op->length : 0;
	if (op->creator_only || op->credential)
		node->credential = fz_strdup(op->creator_only ? credential : op->credential);
	node->parent = parent;
	node->stat = (struct Stat){
		.czxid = zxid,
		.mzxid = zxid,
		.pzxid = zxid,
		.ctime = CLOCK_START_MS + (zxid & 0xffffffff),
		.mtime = CLOCK_START_MS + (zxid & 0xffffffff),
		.ephemeralOwner = op->flags & 1 ? session : 0,
		.dataLength = node->length,
	};
	change->old_parent_stat = parent->stat;
	change->old_creates = parent->creates;
	change->node = node;
	parent->creates++;
	link_node(node);
	count_child_change(parent, zxid);
	result->path = fz_strdup(path);
	result->stat = node->stat;
	return ZOK;
}

static int delete (const struct fz_op *op, const char *credential, int64_t zxid,
		   struct change *change)
{
	struct fz_node *node = fz_tree_find(op->path);

	if (!node)
		return ZNONODE;
	if (node == root)
		return ZBADARGUMENTS;
	if (!fz_tree_may(node->parent, credential))
		return ZNOAUTH;
	if (op->version != -1 && op->version != node->stat.version)
		return ZBADVERSION;
	if (node->child)
		return ZNOTEMPTY;
	change->node = node;
	change->old_parent_stat = node->parent->stat;
	change->old_creates = node->parent->creates;
	unlink_node(node);
	count_child_change(node->parent, zxid);
	return ZOK;
}

static int set(const struct fz_op *op, const char *credential, int64_t zxid, struct change *change,
	       struct fz_result *result)
{
	struct fz_node *node = fz_tree_find(op->path);

	if (!node)
		return ZNONODE;
	if (!fz_tree_may(node, credential))
		return ZNOAUTH;
	if (op->version != -1 && op->version != node->stat.version)
		return ZBADVERSION;
	change->node = node;
	change->old_data = node->data;
	change->old_length = node->length;
	change->old_stat = node->stat;
	node->data = fz_memdup(op->data, op->length);
	node->length = op->data ? op->length : 0;
	node->stat.version++;
	node->stat.mzxid = zxid;
	node->stat.mtime = CLOCK_START_MS + (zxid & 0xffffffff);
	node->stat.dataLength = node->length;
	result->stat = node->stat;
	return ZOK;
}

static int check(const struct fz_op *op, const char *credential)
{
	const struct fz_node *node = fz_tree_find(op->path);

	if (!node)
		return ZNONODE;
	if (!fz_tree_may(node, credential))
		return ZNOAUTH;
	return op->version == -1 || op->version == node->stat.version ? ZOK : ZBADVERSION;
}

static int apply(const struct fz_op *op, int64_t session, const char *credential, int64_t zxid,
		 struct change *change, struct fz_result *result)
{
	switch (op->type) {
	case ZOO_CREATE_OP:
		return create(op, session, credential, zxid, change, result);
	case ZOO_DELETE_OP:
		return delete (op, credential, zxid, change);
	case ZOO_SETDATA_OP:
		return set(op, credential, zxid, change, result);
	case ZOO_CHECK_OP:
		return check(op, credential);
	default:
		abort();
	}
}

static void undo(struct change *change)
{
	struct fz_node *node = change->node, *parent = node->parent;

	switch (change->type) {
	case ZOO_CREATE_OP:
		unlink_node(node);
		free_node(node);
		break;
	case ZOO_DELETE_OP:
		link_node(node);
		break;
	default:
		free(node->data);
		node->data = change->old_data;
		node->length = change->old_length;
		node->stat = change->old_stat;
		return;
	}
	parent->stat = change->old_parent_stat;
	parent->creates = change->old_creates;
}

static struct change *reverse(struct change *list)
{
	struct change *reversed = NULL;

	while (list) {
		struct change *next = list->next;

		list->next = reversed;
		reversed = list;
		list = next;
	}
	return reversed;
}

static void fire(const struct change *change)
{
	switch (change->type) {
	case ZOO_CREATE_OP:
		fz_server_fire(ZOO_CREATED_EVENT, change->node->path);
		break;
	case ZOO_DELETE_OP:
		fz_server_fire(ZOO_DELETED_EVENT, change->node->path);
		break;
	default:
		fz_server_fire(ZOO_CHANGED_EVENT, change->node->path);
		return;
	}
	fz_server_fire(ZOO_CHILD_EVENT, change->node->parent->path);
}

/* Deleted nodes stay allocated until here: later deletes of the transaction and events name them. */
static void settle(struct change *changes, bool committed)
{
	struct change *list = committed ? reverse(changes) : changes, *change;

	for (change = list; change; change = change->next) {
		if (committed)
			fire(change);
		else
			undo(change);
	}
	while (list) {
		change = list;
		list = change->next;
		if (committed && change->type == ZOO_DELETE_OP)
			free_node(change->node);
		if (committed && change->type == ZOO_SETDATA_OP)
			free(change->old_data);
		free(change);
	}
}

int fz_tree_commit(const struct fz_op *ops, int count, int64_t session, const char *credential,
		   struct fz_result *results)
{
	struct change *changes = NULL;
	int64_t zxid = ++last_zxid;
	int rc = ZOK;

	for (int i = 0; i < count; i++) {
		struct change *change = fz_alloc(sizeof(*change));

		if (rc != ZOK) {
			results[i].err = ZRUNTIMEINCONSISTENCY;
			free(change);
			continue;
		}
		change->type = ops[i].type;
		rc = results[i].err = apply(&ops[i], session, credential, zxid, change,
					    &results[i]);
		if (rc != ZOK || ops[i].type == ZOO_CHECK_OP) {
			free(change);
			continue;
		}
		change->next = changes;
		changes = change;
	}
	settle(changes, rc == ZOK);
	return rc;
}

void fz_tree_drop_ephemerals(int64_t session)
{
	int64_t zxid = ++last_zxid;
	struct change *changes = NULL;

	for (unsigned i = 0; i < BUCKETS; i++) {
		struct fz_node *next;

		for (struct fz_node *node = buckets[i]; node; node = next) {
			struct change *change;

			next = node->hash_next;
			if (!session || node->stat.ephemeralOwner != session)
				continue;
			change = fz_alloc(sizeof(*change));
			*change = (struct change){ .type = ZOO_DELETE_OP,
						   .node = node,
						   .next = changes };
			unlink_node(node);
			count_child_change(node->parent, zxid);
			changes = change;
		}
	}
	settle(changes, true);
}

static int compare_nodes(const void *a, const void *b)
{
	const struct fz_node *const *left = a, *const *right = b;

	return strcmp((*left)->path, (*right)->path);
}

static void dump_node(FILE *out, const struct fz_node *node, bool stats)
{
	fprintf(out, "%s=", node->path);
	if (node->data)
		fwrite(node->data, 1, (size_t)node->length, out);
	if (stats)
		fprintf(out, " v%d c%d m%" PRIx64 " C%" PRIx64 " p%" PRIx64, node->stat.version,
			node->stat.cversion, node->stat.mzxid, node->stat.czxid, node->stat.pzxid);
	fprintf(out, "%s\n", node->stat.ephemeralOwner ? " (ephemeral)" : "");
}

char *fz_tree_dump(bool stats)
{
	struct fz_node **nodes = NULL;
	size_t count = 0, size;
	char *text = NULL;
	FILE *out = open_memstream(&text, &size);

	assert(out);
	for (unsigned i = 0; i < BUCKETS; i++) {
		for (struct fz_node *node = buckets[i]; node; node = node->hash_next) {
			if (node == root && !stats)
				continue;
			nodes = realloc(nodes, (count + 1) * sizeof(struct fz_node *));
			assert(nodes);
			nodes[count++] = node;
		}
	}
	if (count)
		qsort(nodes, count, sizeof(struct fz_node *), compare_nodes);
	for (size_t i = 0; i < count; i++)
		dump_node(out, nodes[i], stats);
	free(nodes);
	fclose(out);
	return text;
}
