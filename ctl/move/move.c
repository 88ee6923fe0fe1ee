/* SPDX-License-Identifier: Apache-2.0 */

/* switchover and release, and what they would do (--dry-run). */

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "advice.h"
#include "claim.h"
#include "cluster/snapshot.h"

struct move {
	struct claim claim;
	char from[NAME_SIZE];	/* who was named or acting before; "": nobody */
	char target[NAME_SIZE]; /* "": whoever claims it */
	bool maintenance;	/* nobody will claim it */
};

/* -- what would happen -- */

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

static void plan_handover(struct table *t, struct ctl *ctl, const struct facts *facts,
			  const struct node_facts *target)
{
	const struct node_facts *old = facts_primary(facts);
	const char *who = target ? target->name : "the claimant";
	char text[DURATION_TEXT_SIZE];

	if (old && old != target) {
		step(t, old->name,
		     "waits for its transition-delay (%s); naming it again before the delay is over cancels the move",
		     delay(ctl, old, text));
		step(t, old->name, "stops its work, and kills it after its relinquish.timeout");
		step(t, old->name, "releases the post (%s)", PATH_POST);
	} else if (!old) {
		step(t, who, "waits for its transition-delay (%s)", delay(ctl, target, text));
	}
	step(t, who, "takes the post when it is free, with the new epoch");
	for (size_t i = 0; i < facts->node_count; i++)
		if (!facts->nodes[i].alive && router_state_is_acting(facts->nodes[i].router))
			step(t, who,
			     "fences %s, which died in state %s; if that fails, the takeover ends",
			     facts->nodes[i].name, facts->nodes[i].router);
	step(t, who, "starts its work (undone if it takes longer than its takeover.timeout)");
	step(t, who, "is primary");
}

/* Prints, step by step, what would happen if target (NULL: `none`) were named. The exit code. */
static int dry_run(struct ctl *ctl, const struct facts *facts, const struct node_facts *target)
{
	struct table *t = TABLE_OF("plan", plan_columns);
	const struct node_facts *next = facts_candidate(facts, facts->named, false);
	bool moves = target ? !move_is_primary(facts, target->name) : next && !facts->maintenance;
	int code;

	if (target && !moves)
		step(t, "-", "does nothing: %s is already the primary", target->name);
	else if (target && target->named)
		step(t, "primaryctl", "waits: %s is already named", target->name);
	else
		step(t, "primaryctl", "%s %s %s %s, if that still is at version %d (%s)",
		     target ? "names" : "writes", target ? target->name : NAME_NONE,
		     target ? "in" : "into", PATH_PRIMARY,
		     facts->key_there ? facts->key_version : -1,
		     *facts->named ? facts->named : NAME_NONE);
	if (!target && facts->maintenance)
		step(t, "-", "does not claim the role during maintenance");
	else if (!target)
		step(t, next ? next->name : "-", "%s",
		     next ? "claims the role, or another eligible node does"
			  : "no node is eligible to claim the role");
	if (moves)
		plan_handover(t, ctl, facts, target);
	code = ctl_print(ctl, &t, 1);
	table_destroy(t);
	return code;
}

/* -- switchover -- */

static const char *back_because(const struct node_facts *target)
{
	if (!target || !target->alive)
		return "it is gone";
	if (target->drained)
		return "it is drained";
	if (!target->healthy)
		return "it is not healthy";
	return *target->detail.reason ? target->detail.reason : "its work did not start";
}

static bool switchover_over(struct progress *p)
{
	const struct move *move = p->userdata;
	const struct node_facts *target = facts_find(&p->facts, move->target);

	if (move_is_primary(&p->facts, move->target))
		return progress_end(p, CTL_DONE, "%s is primary", move->target);
	if (*p->facts.named && strcmp(p->facts.named, move->target) != 0)
		return progress_end(p, CTL_REFUSED, "%s was named instead of %s", p->facts.named,
				    move->target);
	if (!*p->facts.named)
		return progress_end(p, CTL_REFUSED,
				    "%s handed the role back: %s (its log says more)", move->target,
				    back_because(target));
	return !(target && target->alive) &&
	       progress_end(p, CTL_REFUSED,
			    "%s died during the move (another node will claim the role)",
			    move->target);
}

/* The node that is to get the role. NULL: no node can take it; reported. */
static const struct node_facts *choose(struct ctl *ctl, const struct facts *facts)
{
	const char *from = *facts->acting ? facts->acting : facts->named;
	const struct node_facts *target;

	if (ctl->options.argument_count)
		return snapshot_argument(ctl, facts, 0);
	target = facts_candidate(facts, from, ctl->options.force);
	if (target)
		return target;
	ctl_error("no other node can take the role:");
	for (size_t i = 0; i < facts->node_count; i++)
		if (strcmp(facts->nodes[i].name, from) != 0)
			advice_say(&facts->nodes[i],
				   facts_obstacles(&facts->nodes[i], ctl->options.force));
	return NULL;
}

static int may_switch(struct ctl *ctl, const struct facts *facts, const struct node_facts *target)
{
	uint32_t bits = facts_obstacles(target, ctl->options.force);

	/* Named already: it only has to be waited for. */
	if (target->named)
		bits &= ~(uint32_t)(OBSTACLE_BUSY | OBSTACLE_MAINTENANCE);
	if (facts->post_junk)
		ctl_error(
			"the key %s has an invalid value, so no node can take the role (primaryctl key delete %s)",
			PATH_POST, PATH_POST);
	else
		advice_say(target, bits);
	return facts->post_junk || bits ? CTL_REFUSED : CTL_DONE;
}

static int switch_over(struct progress *p, struct move *move)
{
	char reason[160];
	int code = CTL_DONE;

	snprintf(reason, sizeof(reason), "switchover by %s", ctl_who());
	progress_begin(p);
	if (strcmp(p->facts.named, move->target) != 0)
		code = claim_write(p, move->target, reason, &move->claim);
	if (code != CTL_DONE)
		return code;
	p->is_over = switchover_over;
	p->userdata = move;
	code = progress_wait(p, "waiting for the new primary; the move continues by itself");
	if (code == CTL_DONE && p->start_ms)
		claim_record(p, &move->claim, (p->start_ms - p->facts.key_mtime_ms) * 1000);
	return progress_report(p, code, true);
}

int verb_switchover(struct ctl *ctl)
{
	static struct progress p;
	const struct node_facts *target = NULL;
	static struct move move;
	int code = progress_open(&p, ctl);

	if (code == CTL_DONE) {
		target = choose(ctl, &p.facts);
		code = target ? may_switch(ctl, &p.facts, target) : CTL_REFUSED;
	}
	if (code == CTL_DONE && ctl->options.dry_run) {
		code = dry_run(ctl, &p.facts, target);
	} else if (code == CTL_DONE) {
		strcpy(move.target, target->name);
		if (move_is_primary(&p.facts, target->name))
			ctl_error("%s is already the primary", target->name);
		code = switch_over(&p, &move);
	}
	progress_close(&p);
	return code;
}

/* -- release -- */

static bool release_over(struct progress *p)
{
	const struct move *move = p->userdata;
	const struct facts *facts = &p->facts;

	if (move->maintenance)
		return progress_end(p, CTL_DONE, "nobody is named primary");
	/* Its own claim on the way, or taken back because nobody else came. */
	if (!strcmp(facts->named, move->from) && move_is_primary(facts, move->from))
		return progress_end(p, CTL_REFUSED, "no other node claimed the role: %s keeps it",
				    move->from);
	return move_is_primary(facts, facts->acting) &&
	       progress_end(p, CTL_DONE, "%s is primary", facts->acting);
}

static int may_release(struct ctl *ctl, const struct facts *facts)
{
	bool force = ctl->options.force;

	if (!*facts->named)
		ctl_error("no node is named primary: there is nothing to release");
	else if (facts->maintenance && !force)
		ctl_error(
			"during maintenance no node would claim the role (primaryctl maintenance off, switchover NODE --force, or --force: then no node is named, and a primary at work continues)");
	else if (!force && !facts_candidate(facts, facts->named, false))
		ctl_error(
			"no other node is eligible to claim the role, so it would not move (primaryctl explain says why; --force releases it anyway)");
	else
		return CTL_DONE;
	return CTL_REFUSED;
}

int verb_release(struct ctl *ctl)
{
	static struct progress p;
	static struct move move;
	int code = progress_open(&p, ctl);

	if (code == CTL_DONE)
		code = may_release(ctl, &p.facts);
	if (code == CTL_DONE && ctl->options.dry_run) {
		code = dry_run(ctl, &p.facts, NULL);
	} else if (code == CTL_DONE) {
		strcpy(move.from, p.facts.named);
		move.maintenance = p.facts.maintenance;
		progress_begin(&p);
		code = claim_write(&p, NULL, "", &move.claim);
		if (code == CTL_DONE) {
			p.is_over = release_over;
			p.userdata = &move;
			code = progress_wait(&p, "waiting for another node to claim the role");
			code = progress_report(&p, code, !move.maintenance);
		}
	}
	progress_close(&p);
	return code;
}
