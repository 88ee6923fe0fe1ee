/* SPDX-License-Identifier: Apache-2.0 */

/* The fence check's part in ZooKeeper: which nodes there are, and what others read of its results. */

#include "internal.h"

#include <string.h>

static void on_nodes(void *userdata, int result, const char *const *names, size_t count,
		     const struct zkh_stat *stat)
{
	struct cluster *c = userdata;
	const struct cluster_event event = { .type = CLUSTER_NODES,
					     .names = result == ZKH_OK ? names : NULL,
					     .name_count = count };

	c->fence_check.list_op = NULL;
	if (zkh_is_unanswered(result))
		return;
	c->fence_check.asked = false;
	c->on_event(c->userdata, &event);
}

static void on_written(void *userdata, int result, const struct zkh_txn_reply *reply)
{
	struct cluster *c = userdata;

	c->fence_check.write_op = NULL;
	if (zkh_is_unanswered(result))
		c->fence_check.untold = true;
	else if (result == ZKH_NO_NODE)
		cluster_repair(c);
}

void cluster_settle_fence_check(struct cluster *c)
{
	if (!c->election->attached || !c->election->registered || c->farewell)
		return;
	if (c->fence_check.asked && !c->fence_check.list_op &&
	    zkh_children(c->session, PATH_NODES, false, on_nodes, c, &c->fence_check.list_op) != 0)
		c->fence_check.list_op = NULL;
	if (!c->fence_check.untold)
		return;
	c->fence_check.untold = false;
	cluster_describe_again(c);
	cluster_publish(c, NODE_KEY_DETAIL, c->registration.detail, on_written,
			&c->fence_check.write_op);
}

void cluster_ask_nodes(struct cluster *cluster)
{
	cluster->fence_check.asked = true;
	cluster_settle_fence_check(cluster);
}

void cluster_publish_fence_check(struct cluster *cluster, const char *failed)
{
	if (!strcmp(cluster->fence_check.failed, failed))
		return;
	strcpy(cluster->fence_check.failed, failed);
	cluster->fence_check.untold = true;
	cluster_settle_fence_check(cluster);
}

void cluster_fence_check_cancel(struct cluster *c)
{
	zkh_op_cancel(c->fence_check.list_op);
	zkh_op_cancel(c->fence_check.write_op);
	c->fence_check.list_op = c->fence_check.write_op = NULL;
}
