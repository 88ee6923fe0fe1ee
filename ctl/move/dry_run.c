/* SPDX-License-Identifier: Apache-2.0 */

/* What a switchover or a release would do. */

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "move.h"

enum { NUMBER, WHO, STEP };
static const struct table_column plan_columns[] = {
	[NUMBER] = { "", "step", TABLE_RIGHT },
	[WHO] = { "WHO", "who", 0 },
	[STEP] = { "DOES", "does", 0 },
};

static void step(struct table *t, const char *who, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static void step(struct table *t, const char *who, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	table_row(t);
	table_put_number(t, NUMBER, (int64_t)table_rows(t));
	table_put(t, WHO, who);
	table_put(t, STEP, text);
}

/* Times are the named node's own, where it says them; else those of this machine's configuration. */
static const char *delay(const struct ctl *ctl, const struct node_facts *n,
			 char text[DURATION_TEXT_SIZE])
{
	int64_t us = n && n->detail.transition_delay_us ? n->detail.transition_delay_us
							: ctl->config.election.transition_delay_us;

	return duration_format(us, text);
}

static void plan_stop(struct table *t, struct ctl *ctl, const struct facts *facts)
{
	const struct node_facts *old = facts_primary(facts);
	char text[DURATION_TEXT_SIZE];

	if (!old)
		return;
	step(t, old->name, "waits its transition-delay (%s); naming it again until then undoes all",
	     delay(ctl, old, text));
	step(t, old->name, "stops its work: within its relinquish.timeout, then it is killed");
	step(t, old->name, "releases the post (%s)", PATH_POST);
}

static void plan_start(struct table *t, struct ctl *ctl, const struct facts *facts,
		       const struct node_facts *target)
{
	const char *who = target ? target->name : "the claimant";
	char text[DURATION_TEXT_SIZE];

	if (!facts_primary(facts))
		step(t, who, "waits its transition-delay (%s)", delay(ctl, target, text));
	step(t, who, "takes the post when it is free, with the new epoch");
	for (size_t i = 0; i < facts->node_count; i++)
		if (!facts->nodes[i].alive && router_state_is_acting(facts->nodes[i].router))
			step(t, who, "fences %s, which died in state %s, or stops here",
			     facts->nodes[i].name, facts->nodes[i].router);
	step(t, who, "starts its work: within its takeover.timeout, else all is undone");
	step(t, who, "is primary");
}

int move_dry_run(struct ctl *ctl, const struct facts *facts, const struct node_facts *target)
{
	struct table *t = TABLE_OF("plan", plan_columns);
	const struct node_facts *next = facts_candidate(facts, facts->named, false);
	int code;

	if (target && move_is_primary(facts, target->name))
		step(t, "-", "nothing: %s is primary already", target->name);
	else if (target && target->named)
		step(t, "primaryctl", "waits: %s is named already", target->name);
	else if (target)
		step(t, "primaryctl", "names %s in %s, if that still is at version %d (%s)",
		     target->name, PATH_PRIMARY, facts->key_there ? facts->key_version : -1,
		     *facts->named ? facts->named : NAME_NONE);
	else
		step(t, "primaryctl", "writes none into %s, if that still is at version %d (%s)",
		     PATH_PRIMARY, facts->key_version, facts->named);
	if (!target && facts->maintenance)
		step(t, "-", "maintenance: nobody claims the role");
	else if (!target)
		step(t, next ? next->name : "-", "%s",
		     next ? "claims the role, or another node that is fit"
			  : "nobody is fit to claim the role");
	if (target ? !move_is_primary(facts, target->name) : next && !facts->maintenance) {
		if (!target || !target->acting)
			plan_stop(t, ctl, facts);
		plan_start(t, ctl, facts, target);
	}
	code = ctl_print(ctl, &t, 1);
	table_destroy(t);
	return code;
}
