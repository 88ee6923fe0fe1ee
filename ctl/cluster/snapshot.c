/* SPDX-License-Identifier: Apache-2.0 */
#include "snapshot.h"

#include <stdio.h>

#include "renewal.h"

int snapshot_read(struct ctl *ctl, struct snapshot *ret)
{
	int code;

	ret->facts = (struct facts){ .nodes = NULL };
	cluster_open(&ret->cluster, ctl, false);
	code = cluster_wait(&ret->cluster);
	return code == CTL_DONE && !facts_gather(&ret->cluster, &ret->facts) ? CTL_REFUSED : code;
}

void snapshot_close(struct snapshot *snapshot)
{
	facts_finish(&snapshot->facts);
	cluster_close(&snapshot->cluster);
}

static bool has_looked(void *userdata)
{
	const struct renewal *r = userdata;

	return r->over || r->seen.known;
}

/* *ret_waited: what was read before may be over. */
static int decide(struct ctl *ctl, struct renewal *r, bool *ret_waited)
{
	char doing[NAME_SIZE + 48];
	int code = ctl_wait(ctl, has_looked, r);

	*ret_waited = code == CTL_DONE && !renewal_decided(r);
	if (*ret_waited) {
		ctl_set_timeout(ctl, r->seen.session_us / 2 + CONNECT_TIMEOUT_US);
		code = ctl_wait(ctl, renewal_decided, r);
	}
	snprintf(doing, sizeof(doing), "looking whether %s renews its lease", r->name);
	return code == CTL_DONE ? code : ctl_explain_wait(ctl, code, doing);
}

int snapshot_read_renewals(struct ctl *ctl, struct snapshot *ret)
{
	struct renewal_verdict verdict;
	struct renewal r;
	bool waited = false;
	int code = snapshot_read(ctl, ret);

	if (code != CTL_DONE)
		return code;
	renewal_open(&r, ctl, &ret->facts, NULL, NULL);
	code = decide(ctl, &r, &waited);
	if (code == CTL_DONE && waited) {
		snapshot_close(ret);
		code = snapshot_read(ctl, ret);
	}
	verdict = renewal_judge(&r.seen);
	if (code == CTL_DONE && renewal_follows(&r, &ret->facts))
		facts_take_renewal(&ret->facts, &verdict);
	renewal_close(&r);
	return code;
}

const struct node_facts *snapshot_argument(struct ctl *ctl, const struct facts *facts, int index)
{
	const char *name = ctl_node_argument(ctl, index);
	const struct node_facts *node = name ? facts_find(facts, name) : NULL;

	if (name && !node)
		ctl_error("no node is called '%s' (primaryctl status lists them)", name);
	return node;
}
