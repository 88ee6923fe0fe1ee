/* SPDX-License-Identifier: Apache-2.0 */

/* pardon: an operator ends the penalty of a node, which answers by deleting the key that asks for it. */

#include <stdio.h>
#include <string.h>

#include "base/wall.h"
#include "cluster/snapshot.h"
#include "progress.h"

static bool is_pardoned(struct progress *p)
{
	const struct node_facts *n = facts_find(&p->facts, p->userdata);

	if (!n || !n->alive)
		return progress_end(p, CTL_REFUSED, "%s is no longer alive", (char *)p->userdata);
	return !(n->obstacles & OBSTACLE_PENALTY) &&
	       progress_end(p, CTL_DONE, "the penalty of %s is cleared", n->name);
}

static int ask(struct progress *p, const char *path)
{
	struct zkh_txn *txn = ctl_need(zkh_txn_create(p->ctl->session));
	char text[256], time[WALL_TEXT_SIZE];
	struct ctl_commit commit;
	int code;

	snprintf(text, sizeof(text), "by %s at %s", ctl_who(), wall_utc(wall_now_ms(), time));
	zkh_txn_create_text(txn, path, text, ZKH_PERSISTENT);
	code = ctl_commit(p->ctl, txn, "writing", &commit);
	/* Somebody else asks for the same: the effect is waited for all the same. */
	if (code != CTL_DONE || commit.result == ZKH_NODE_EXISTS)
		return code;
	if (commit.result == ZKH_UNKNOWN)
		return progress_look_again(p);
	return ctl_explain_result(p->ctl, commit.result, path);
}

/* Whether there is a penalty to be cleared: CTL_DONE; else *ret_none, or why not, said. */
static int find_penalty(const struct node_facts *n, bool *ret_none)
{
	*ret_none = n && n->alive && !(n->obstacles & OBSTACLE_PENALTY);
	if (n && !n->alive)
		ctl_error("%s is not alive: when primaryd starts there, it has no penalty",
			  n->name);
	return n && n->alive ? CTL_DONE : CTL_REFUSED;
}

int verb_pardon(struct ctl *ctl)
{
	static struct progress p;
	const struct node_facts *n = NULL;
	char path[KEY_PATH_SIZE], name[NAME_SIZE];
	bool none = false;
	int code = progress_open(&p, ctl);

	if (code == CTL_DONE) {
		n = snapshot_argument(ctl, &p.facts, 0);
		code = find_penalty(n, &none);
	}
	if (code == CTL_DONE) {
		strcpy(name, n->name);
		node_pardon_path(name, path);
		p.is_over = is_pardoned;
		p.userdata = name;
		progress_begin(&p);
		if (none)
			progress_end(&p, CTL_DONE, "%s has no penalty", name);
		else
			code = ask(&p, path);
		if (code == CTL_DONE && !none)
			code = progress_wait(&p, "waiting for the node to clear its penalty");
		code = progress_report(&p, code, false);
	}
	progress_close(&p);
	return code;
}
