/* SPDX-License-Identifier: Apache-2.0 */
#include "claim.h"

#include <stdio.h>
#include <string.h>

static struct zkh_txn *build(struct progress *p, const char *node, const struct claim *claim)
{
	struct zkh_txn *txn = ctl_need(zkh_txn_create(p->ctl->session));
	const struct facts *facts = &p->facts;
	char text[HISTORY_ENTRY_SIZE], path[KEY_PATH_SIZE];

	if (facts->key_there)
		zkh_txn_set_text(txn, PATH_PRIMARY, node ? node : NAME_NONE, facts->key_version);
	else
		zkh_txn_create_text(txn, PATH_PRIMARY, node ? node : NAME_NONE, ZKH_PERSISTENT);
	if (!node)
		return txn;
	if (history_entry_format(&claim->entry, text, sizeof(text)))
		zkh_txn_create_text(txn, HISTORY_PREFIX, text, ZKH_CREATE_SEQUENCE);
	node_key_path(node, NODE_KEY_ALIVE, path);
	zkh_txn_check(txn, path, ZKH_ANY_VERSION);
	return txn;
}

/* The connection was lost before the answer: the key's present value tells whether the write was done. */
static int find_out(struct progress *p, const char *node, int32_t version, bool was_there,
		    struct claim *claim)
{
	int code = progress_look_again(p);
	const struct facts *now = &p->facts;

	if (code != CTL_DONE)
		return code;
	claim->mzxid = now->key_mzxid;
	if (now->key_there == was_there && now->key_version == version)
		ctl_error("the connection to ZooKeeper was lost; nothing was changed (try again)");
	else if (strcmp(now->named, node ? node : "") != 0)
		ctl_error(
			"the connection to ZooKeeper was lost, and another client wrote %s in the meantime (check, then try again)",
			PATH_PRIMARY);
	else
		return CTL_DONE;
	return CTL_REFUSED;
}

static int refused(struct progress *p, const char *node, const struct ctl_commit *commit)
{
	if (!strcmp(commit->failed_path, PATH_PRIMARY) &&
	    (commit->result == ZKH_CONFLICT || commit->result == ZKH_NO_NODE ||
	     commit->result == ZKH_NODE_EXISTS))
		ctl_error(
			"another client wrote %s in the meantime; nothing was changed (see primaryctl status, then try again)",
			PATH_PRIMARY);
	else if (node && commit->result == ZKH_NO_NODE &&
		 !zkh_path_is_below(commit->failed_path, PATH_HISTORY))
		ctl_error("%s is no longer alive; nothing was changed", node);
	else
		return ctl_explain_result(p->ctl, commit->result, commit->failed_path);
	return CTL_REFUSED;
}

static bool caught_up(struct progress *p)
{
	const struct claim *claim = p->userdata;

	p->code = CTL_DONE;
	return p->facts.key_mzxid >= claim->mzxid;
}

int claim_write(struct progress *p, const char *node, const char *reason, struct claim *claim)
{
	int32_t version = p->facts.key_version;
	bool was_there = p->facts.key_there;
	struct ctl_commit commit;
	int code;

	*claim = (struct claim){ .entry = history_entry_empty() };
	wall_utc(wall_now_ms(), claim->entry.time);
	snprintf(claim->entry.to, sizeof(claim->entry.to), "%s", node ? node : "");
	strcpy(claim->entry.from, p->facts.named);
	snprintf(claim->entry.reason, sizeof(claim->entry.reason), "%s", reason);
	code = ctl_commit(p->ctl, build(p, node, claim),
			  "writing the key; if it was written, the move continues by itself",
			  &commit);
	if (code != CTL_DONE)
		return code;
	if (commit.result == ZKH_OK) {
		claim->mzxid = commit.stat.mzxid;
		strcpy(claim->entry_path, commit.created_path);
	} else {
		code = zkh_is_unanswered(commit.result)
			       ? find_out(p, node, version, was_there, claim)
			       : refused(p, node, &commit);
	}
	if (code != CTL_DONE)
		return code;
	p->is_over = caught_up;
	p->userdata = claim;
	return progress_wait(p, "reading what was written; the move continues by itself");
}

void claim_record(struct progress *p, struct claim *claim, int64_t takeover_us)
{
	const struct node_facts *stopper = facts_find(&p->facts, p->stopper);
	char text[HISTORY_ENTRY_SIZE], time[WALL_TEXT_SIZE];
	struct ctl_commit commit;
	struct zkh_txn *txn;

	if (!*claim->entry_path)
		return;
	claim->entry.takeover_us = takeover_us;
	claim->entry.post_us = (p->facts.post_since_ms - p->facts.key_mtime_ms) * 1000;
	if (stopper && stopper->detail.stop_us)
		claim->entry.stop_us = stopper->detail.stop_us;
	/* By the servers' clock, as the duration is. */
	strcpy(claim->entry.time, wall_utc(p->facts.key_mtime_ms, time));
	if (!history_entry_format(&claim->entry, text, sizeof(text)))
		return;
	txn = ctl_need(zkh_txn_create(p->ctl->session));
	zkh_txn_set_text(txn, claim->entry_path, text, 0);
	(void)ctl_commit(p->ctl, txn, NULL, &commit);
}
