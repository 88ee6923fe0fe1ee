/* SPDX-License-Identifier: Apache-2.0 */

/* remove and rename: a node that does not run is forgotten, or gets another name. */

#include <stdio.h>
#include <string.h>

#include "cluster/snapshot.h"
#include "key/key.h"

/* Keys of one node that are dealt with. */
#define NODE_TREE_MAX 1000

/* Whether the node may be touched: not alive, not acting, and no trace that the next primary must see. */
static int may_touch(struct ctl *ctl, const struct node_facts *n)
{
	if (!n)
		return CTL_REFUSED;
	if (n->alive || n->acting)
		ctl_error("%s is alive (host %s, pid %lld): stop primaryd there first", n->name,
			  *n->self.host ? n->self.host : "unknown", (long long)n->self.pid);
	else if (router_state_is_acting(n->router) && !ctl->options.force)
		ctl_error(
			"%s died in state %s: the next primary has to wait for it or fence it before it starts (--force removes this trace: use it only if the host is surely off)",
			n->name, n->router);
	else if (n->unreadable & UINT32_C(1) << NODE_KEY_ROUTER && !ctl->options.force)
		ctl_error(
			"%s: its routerstate cannot be read%s, so it is unknown whether it died at work (--force assumes that it did not: use it only if the host is surely off)",
			n->name, ctl_denied_hint(ctl));
	else
		return CTL_DONE;
	return CTL_REFUSED;
}

/* -- remove -- */

struct node_tree {
	struct ctl_reply reply;
	struct zkh_txn *txn;
	char alive[ZKH_PATH_MAX];  /* an ephemeral key among them */
	char closed[ZKH_PATH_MAX]; /* one with keys below it that may not be listed */
};

/* Every key is deleted at the version that was read, children first: if a daemon starts meanwhile, all of it fails. */
static void on_tree(void *userdata, int result, const struct zkh_entry *entries, size_t count)
{
	struct node_tree *tree = userdata;

	ctl_on_result(&tree->reply, result);
	for (size_t i = count; i > 0; i--) {
		const struct zkh_entry *entry = &entries[i - 1];

		if (entry->stat.ephemeral_owner)
			snprintf(tree->alive, sizeof(tree->alive), "%s", entry->path);
		if (entry->denied && entry->stat.children)
			snprintf(tree->closed, sizeof(tree->closed), "%s", entry->path);
		zkh_txn_delete(tree->txn, entry->path, entry->stat.version);
	}
}

/* ZooKeeper checks the parent's access list for a delete: name the parent. */
static int explain_commit(struct ctl *ctl, const struct ctl_commit *commit)
{
	char path[ZKH_PATH_MAX];

	snprintf(path, sizeof(path), "%s", commit->failed_path);
	if (commit->result == ZKH_DENIED && *path)
		zkh_path_parent(commit->failed_path, path);
	return ctl_explain_result(ctl,
				  commit->result == ZKH_NOT_EMPTY ? ZKH_CONFLICT : commit->result,
				  path);
}

static int remove_node(struct ctl *ctl, const char *path)
{
	struct node_tree tree = { .txn = ctl_need(zkh_txn_create(ctl->session)) };
	struct ctl_commit commit;
	struct zkh_task *task = NULL;
	int r = zkh_tree(ctl->session, path, NODE_TREE_MAX, on_tree, &tree, &task);
	int code = ctl_finish(ctl, r, &tree.reply, path, "reading its keys");

	if (!tree.reply.over)
		zkh_task_cancel(task);
	if (code == CTL_DONE && *tree.closed)
		code = ctl_explain_result(ctl, ZKH_DENIED, tree.closed);
	else if (code == CTL_DONE && *tree.alive)
		code = ctl_explain_result(ctl, ZKH_EPHEMERAL, tree.alive);
	if (code != CTL_DONE) {
		zkh_txn_destroy(tree.txn);
		return code;
	}
	code = ctl_commit(ctl, tree.txn, "removing it", &commit);
	return code == CTL_DONE ? explain_commit(ctl, &commit) : code;
}

int verb_remove(struct ctl *ctl)
{
	const char *name = ctl_node_argument(ctl, 0);
	char path[KEY_PATH_SIZE];
	struct snapshot now = { 0 };
	int code;

	if (!name)
		return CTL_USAGE;
	code = snapshot_read(ctl, &now);
	if (code == CTL_DONE)
		code = may_touch(ctl, snapshot_argument(ctl, &now.facts, 0));
	snprintf(path, sizeof(path), PATH_NODES "/%s", name);
	if (code == CTL_DONE)
		code = remove_node(ctl, path);
	if (code == CTL_DONE && !ctl->options.json)
		printf("%s was removed\n", name);
	snapshot_close(&now);
	return code == CTL_DONE ? ctl_flush() : code;
}

int verb_rename(struct ctl *ctl)
{
	const char *from = ctl_node_argument(ctl, 0), *to = ctl_node_argument(ctl, 1);
	char from_path[KEY_PATH_SIZE], to_path[KEY_PATH_SIZE];
	struct key_task task = { 0 };
	struct snapshot now = { 0 };
	int code;

	if (!from || !to)
		return CTL_USAGE;
	code = snapshot_read(ctl, &now);
	if (code == CTL_DONE)
		code = may_touch(ctl, snapshot_argument(ctl, &now.facts, 0));
	if (code == CTL_DONE && facts_find(&now.facts, to)) {
		ctl_error(
			"there is already a node called '%s' (primaryctl remove %s, if it is dead)",
			to, to);
		code = CTL_REFUSED;
	}
	if (code == CTL_DONE) {
		snprintf(from_path, sizeof(from_path), PATH_NODES "/%s", from);
		snprintf(to_path, sizeof(to_path), PATH_NODES "/%s", to);
		code = key_task_wait(ctl, &task,
				     zkh_rename(ctl->session,
						&(struct zkh_move){ from_path, to_path }, 1,
						key_task_done, &task, &task.task),
				     from_path, "renaming");
	}
	if (code == CTL_DONE && !ctl->options.json)
		printf("%s was renamed to %s; set node.name in its configuration\n", from, to);
	snapshot_close(&now);
	return code == CTL_DONE ? ctl_flush() : code;
}
