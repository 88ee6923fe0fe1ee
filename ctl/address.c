/* SPDX-License-Identifier: Apache-2.0 */

/* Where clients reach the primary, or a node: what that node publishes as node.address. */

#include <stdio.h>
#include <string.h>

#include "cluster/snapshot.h"

enum { NODE, ADDRESS };
static const struct table_column columns[] = {
	[NODE] = { "node", "node", 0 },
	[ADDRESS] = { "address", "address", 0 },
};

static int print_json(struct ctl *ctl, const struct node_facts *n)
{
	struct table *t = TABLE_SINGLE("address", columns);
	int code;

	table_row(t);
	table_put(t, NODE, n->name);
	table_put(t, ADDRESS, n->self.address);
	code = ctl_print(ctl, &t, 1);
	table_destroy(t);
	return code;
}

/* The acting primary whose work is up, or the node that was named. NULL: said. */
static const struct node_facts *find_node(struct ctl *ctl, const struct facts *facts)
{
	const struct node_facts *primary = facts_primary(facts);
	char trouble[FACTS_TROUBLE_SIZE];

	if (ctl->options.argument_count)
		return snapshot_argument(ctl, facts, 0);
	if (primary && primary->alive && !strcmp(primary->router, "primary"))
		return primary;
	facts_trouble(facts, trouble, sizeof(trouble));
	ctl_error("there is no primary: %s", trouble);
	return NULL;
}

int verb_address(struct ctl *ctl)
{
	struct snapshot now = { 0 };
	const struct node_facts *n = NULL;
	int code = snapshot_read(ctl, &now);

	if (code == CTL_DONE) {
		n = find_node(ctl, &now.facts);
		code = n ? CTL_DONE : CTL_REFUSED;
	}
	if (n && !*n->self.address) {
		ctl_error(n->alive ? "%s publishes no address (set node.address there)"
				   : "%s is not alive",
			  n->name);
		code = CTL_REFUSED;
	} else if (n && ctl->options.json) {
		code = print_json(ctl, n);
	} else if (n) {
		puts(n->self.address);
		code = ctl_flush();
	}
	snapshot_close(&now);
	return code;
}
