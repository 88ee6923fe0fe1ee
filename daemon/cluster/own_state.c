/* SPDX-License-Identifier: Apache-2.0 */

/* What others read of this node's health and state: small writes that nobody waits for, the last of them the farewell. */

#include "internal.h"

#include <stdio.h>
#include <string.h>

/* How long the farewell may take. */
#define FAREWELL_MS 2000

static void on_health_written(void *userdata, int result, const struct zkh_txn_reply *reply)
{
	struct cluster *c = userdata;

	c->health_op = NULL;
	if (result == ZKH_NO_NODE)
		cluster_repair(c);
}

static void on_state_written(void *userdata, int result, const struct zkh_txn_reply *reply)
{
	struct cluster *c = userdata;

	c->state_op = NULL;
}

void cluster_publish(struct cluster *c, enum node_key key, const char *text, zkh_commit_fn done,
		     struct zkh_op **op)
{
	char path[KEY_PATH_SIZE];
	struct zkh_txn *txn;

	/* After the farewell the session may be another one, even in another ensemble: nobody looks any more. */
	if (!c->election->registered || c->farewell)
		return;
	txn = zkh_txn_create(c->session);
	if (!txn)
		return;
	node_key_path(c->name, key, path);
	zkh_txn_set_text(txn, path, text, ZKH_ANY_VERSION);
	zkh_op_cancel(*op);
	*op = NULL;
	zkh_commit(txn, done, c, op);
}

void cluster_publish_own_health(struct cluster *c)
{
	cluster_publish(c, NODE_KEY_HEALTH, c->health, on_health_written, &c->health_op);
}

void cluster_publish_health(struct cluster *cluster, const char *trouble)
{
	snprintf(cluster->health, sizeof(cluster->health), *trouble ? "failed: %s" : "ok", trouble);
	cluster_publish_own_health(cluster);
}

void cluster_announce_shutdown(struct cluster *cluster)
{
	cluster_publish(cluster, NODE_KEY_STATE, "shutdown", on_state_written, &cluster->state_op);
}

void cluster_record_takeover(struct cluster *cluster, int64_t duration_us, int64_t post_us,
			     int64_t start_us)
{
	writes_record_takeover(&cluster->writes, duration_us, post_us, start_us);
}

/* -- leaving -- */

static void on_closed(void *userdata, int result)
{
	cluster_emit(userdata, result == ZKH_OK ? CLUSTER_CLOSED : CLUSTER_UNCLOSED);
}

void cluster_cancel(struct cluster *c)
{
	cluster_cold_finish(c);
	registration_cancel(&c->registration);
	recovery_cancel(&c->recovery);
	peers_cancel(&c->peers);
	cleanup_finish(&c->cleanup);
	cluster_fence_check_cancel(c);
	writes_finish(&c->writes);
	term_finish(&c->term);
	witness_finish(&c->witness);
}

/* The close waits for what was sent before it, within its bound. */
void cluster_leave(struct cluster *cluster)
{
	struct cluster *c = cluster;

	cluster_cancel(c);
	cluster_publish(c, NODE_KEY_STATE, "stop", on_state_written, &c->state_op);
	c->farewell = true;
	if (zkh_session_close(c->session, FAREWELL_MS, on_closed, c) != 0)
		cluster_emit(c, CLUSTER_UNCLOSED);
}
