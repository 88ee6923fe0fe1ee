/* SPDX-License-Identifier: Apache-2.0 */
#include "claim.h"

#include <stdio.h>
#include <string.h>

#include "base/history_entry.h"
#include "base/wall.h"

#define TRIES 3

static bool entry_text(const struct progress *p, const char *node, const char *from,
		       const char *reason, int64_t takeover_us, int64_t time_ms,
		       char text[KEY_VALUE_MAX])
{
	struct history_entry entry = { .takeover_us = takeover_us };
	char time[WALL_TEXT_SIZE];

	(void)p;
	snprintf(entry.time, sizeof(entry.time), "%.39s", wall_utc(time_ms, time));
	snprintf(entry.to, sizeof(entry.to), "%s", node);
	snprintf(entry.from, sizeof(entry.from), "%s", from);
	snprintf(entry.reason, sizeof(entry.reason), "%s", reason);
	return history_entry_format(&entry, text, KEY_VALUE_MAX);
}

static struct zkh_txn *build(struct progress *p, const char *node, const char *reason,
			     bool make_history)
{
	struct zkh_txn *txn = zkh_txn_create(p->ctl->session);
	const struct facts *facts = &p->facts;
	char text[KEY_VALUE_MAX], path[KEY_PATH_SIZE];

	if (!txn)
		return NULL;
	if (facts->key_there)
		zkh_txn_set_text(txn, PATH_PRIMARY, node ? node : NAME_NONE, facts->key_version);
	else
		zkh_txn_create_text(txn, PATH_PRIMARY, node ? node : NAME_NONE, ZKH_PERSISTENT);
	if (!node)
		return txn;
	if (make_history)
		zkh_txn_create_text(txn, PATH_HISTORY, "", ZKH_PERSISTENT);
	if (entry_text(p, node, facts->named, reason, -1, wall_now_ms(), text))
		zkh_txn_create_text(txn, HISTORY_PREFIX, text, ZKH_CREATE_SEQUENCE);
	node_key_path(node, NODE_KEY_ALIVE, path);
	zkh_txn_check(txn, path, ZKH_ANY_VERSION);
	return txn;
}

/* The connection was lost under way: what stands in the key now decides. */
static int find_out(struct progress *p, const char *node, int32_t version, bool was_there,
		    struct claim *claim)
{
	int code = progress_look_again(p);
	const struct facts *now = &p->facts;
	bool moved = now->key_there != was_there || now->key_version != version;

	if (code != CTL_DONE)
		return code;
	if (!moved) {
		ctl_error("the connection to ZooKeeper was lost; nothing was done (try again)");
		return CTL_REFUSED;
	}
	if (strcmp(now->named, node ? node : "") != 0) {
		ctl_error(
			"the connection to ZooKeeper was lost, and somebody else wrote %s meanwhile (look, and try again)",
			PATH_PRIMARY);
		return CTL_REFUSED;
	}
	claim->mzxid = now->key_mzxid;
	return CTL_DONE;
}

static int refused(struct progress *p, const char *node, const struct ctl_commit *commit)
{
	if (!strcmp(commit->failed_path, PATH_PRIMARY) &&
	    (commit->result == ZKH_CONFLICT || commit->result == ZKH_NO_NODE ||
	     commit->result == ZKH_NODE_EXISTS)) {
		ctl_error(
			"somebody else wrote %s meanwhile; nothing was done (see primaryctl status, and try again)",
			PATH_PRIMARY);
		return CTL_REFUSED;
	}
	if (node && commit->result == ZKH_NO_NODE) {
		ctl_error("%s is not alive any more; nothing was done", node);
		return CTL_REFUSED;
	}
	return ctl_explain_result(p->ctl, commit->result, commit->failed_path);
}

/* True: /history is, or is not, as the transaction took it to be. */
static bool history_trouble(const struct ctl_commit *commit)
{
	return zkh_path_is_below(commit->failed_path, PATH_HISTORY) &&
	       (commit->result == ZKH_NO_NODE || commit->result == ZKH_NODE_EXISTS);
}

static bool caught_up(struct progress *p)
{
	const struct claim *claim = p->userdata;

	p->code = CTL_DONE;
	return p->facts.key_mzxid >= claim->mzxid;
}

int claim_write(struct progress *p, const char *node, const char *reason, struct claim *ret_claim)
{
	int32_t version = p->facts.key_version;
	bool was_there = p->facts.key_there, make_history = false;
	struct ctl_commit commit;
	int code = CTL_DONE;

	memset(ret_claim, 0, sizeof(*ret_claim));
	for (int i = 0; i < TRIES; i++) {
		code = ctl_commit(p->ctl, build(p, node, reason, make_history), &commit);
		if (code != CTL_DONE)
			return ctl_explain_wait(
				p->ctl, code,
				"writing the key: it may be written, and then the move goes on by itself");
		if (!history_trouble(&commit))
			break;
		make_history = commit.result == ZKH_NO_NODE;
	}
	if (commit.result == ZKH_UNKNOWN || commit.result == ZKH_NOT_CONNECTED)
		code = find_out(p, node, version, was_there, ret_claim);
	else if (commit.result != ZKH_OK)
		code = refused(p, node, &commit);
	else
		ret_claim->mzxid = commit.stat.mzxid;
	if (code != CTL_DONE)
		return code;
	snprintf(ret_claim->entry_path, sizeof(ret_claim->entry_path), "%s",
		 commit.result == ZKH_OK ? commit.created_path : "");
	p->is_over = caught_up;
	p->userdata = ret_claim;
	return progress_wait(p, "reading what was written; the move goes on by itself");
}

void claim_record(struct progress *p, const struct claim *claim, const char *node, const char *from,
		  const char *reason, int64_t takeover_us)
{
	char text[KEY_VALUE_MAX];
	struct ctl_commit commit;
	struct zkh_txn *txn;

	if (!*claim->entry_path ||
	    !entry_text(p, node, from, reason, takeover_us, p->facts.key_mtime_ms, text))
		return;
	txn = zkh_txn_create(p->ctl->session);
	if (!txn)
		return;
	zkh_txn_set_text(txn, claim->entry_path, text, 0);
	(void)ctl_commit(p->ctl, txn, &commit);
}
