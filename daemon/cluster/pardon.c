/* SPDX-License-Identifier: Apache-2.0 */

/*
 * An operator ends this node's penalty: the key asks for it, and its deletion, together with the penalty in the detail, is
 * the answer. The election hears of it once that is written.
 */

#include "internal.h"

static void answer(struct cluster *c, bool with_detail);

static void on_answered(void *userdata, int result, const struct zkh_txn_reply *reply)
{
	struct cluster *c = userdata;
	struct election_event event = { .type = ELECTION_PARDON };

	c->pardon.op = NULL;
	/* An answer that is lost may have been committed. If it was not, the key is read, and answered, once more. */
	if (result == ZKH_OK || zkh_is_unanswered(result))
		cluster_post(c, &event);
	else if (result == ZKH_NO_NODE && reply->failed == 1)
		answer(c, false);
	/* What has changed meanwhile is read again. */
	else if (result != ZKH_NO_NODE && result != ZKH_CONFLICT)
		cluster_say_pardon(c, "", result);
}

static void answer(struct cluster *c, bool with_detail)
{
	struct zkh_txn *txn = zkh_txn_create(c->session);
	char path[KEY_PATH_SIZE];

	if (!txn)
		return;
	zkh_txn_delete(txn, zkh_mirror_path(&c->pardon.mirror), c->pardon.version);
	c->move[0] = '\0'; /* the penalty */
	cluster_describe_again(c);
	node_key_path(c->name, NODE_KEY_DETAIL, path);
	if (with_detail)
		zkh_txn_set_text(txn, path, c->registration.detail, ZKH_ANY_VERSION);
	(void)zkh_commit(txn, on_answered, c, &c->pardon.op);
}

static void on_key(void *userdata, int result, const char *data, size_t length,
		   const struct zkh_stat *stat)
{
	struct cluster *c = userdata;
	char text[KEY_VALUE_MAX] = "";

	if (result != ZKH_OK || c->pardon.op || c->farewell || !ensemble_is_open(&c->ensemble))
		return;
	(void)value_text(data, length, text, sizeof(text));
	cluster_say_pardon(c, text, ZKH_OK);
	c->pardon.version = stat->version;
	answer(c, true);
}

void cluster_pardon_start(struct cluster *c, bool fresh)
{
	char path[KEY_PATH_SIZE];

	if (!c->rules->coordinator)
		return;
	if (zkh_mirror_is_open(&c->pardon.mirror)) {
		if (fresh)
			zkh_mirror_refresh(&c->pardon.mirror);
		return;
	}
	node_pardon_path(c->name, path);
	(void)zkh_mirror_open(&c->pardon.mirror, c->session, path, ZKH_MIRROR_RARE, on_key, c);
}

void cluster_pardon_finish(struct cluster *c)
{
	zkh_mirror_close(&c->pardon.mirror);
	zkh_op_cancel(c->pardon.op);
	c->pardon.op = NULL;
}
