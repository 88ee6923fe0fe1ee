/* SPDX-License-Identifier: Apache-2.0 */

/* switchover and release. */

#include "move.h"

#include <stdio.h>
#include <string.h>

#include "advice.h"
#include "claim.h"

struct move {
	struct claim claim;
	char from[NAME_SIZE];	/* who was named or acting before; "": nobody */
	char target[NAME_SIZE]; /* "": whoever claims it */
	bool maintenance;	/* nobody will claim it */
};

static int refuse(const char *why)
{
	ctl_error("%s", why);
	return CTL_REFUSED;
}

static bool verdict(struct progress *p, int code, const char *text)
{
	p->code = code;
	snprintf(p->verdict, sizeof(p->verdict), "%s", text);
	return true;
}

bool move_is_primary(const struct facts *facts, const char *name)
{
	const struct node_facts *primary = facts_primary(facts);

	return primary && primary->named && !strcmp(primary->router, "primary") &&
	       !strcmp(primary->name, name);
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

/* The key names another than the target, and not because of us. */
static bool handed_back(struct progress *p, const struct move *move)
{
	char text[sizeof(p->verdict)];

	if (*p->facts.named) {
		snprintf(text, sizeof(text), "%s was named instead of %s", p->facts.named,
			 move->target);
		return verdict(p, CTL_REFUSED, text);
	}
	snprintf(text, sizeof(text), "%s handed the role back: %s (its log says more)",
		 move->target, back_because(facts_find(&p->facts, move->target)));
	return verdict(p, CTL_REFUSED, text);
}

static bool switchover_over(struct progress *p)
{
	const struct move *move = p->userdata;
	const struct node_facts *target = facts_find(&p->facts, move->target);
	char text[sizeof(p->verdict)];

	if (move_is_primary(&p->facts, move->target)) {
		snprintf(text, sizeof(text), "%s is primary", move->target);
		return verdict(p, CTL_DONE, text);
	}
	if (strcmp(p->facts.named, move->target) != 0)
		return handed_back(p, move);
	if (target && target->alive)
		return false;
	snprintf(text, sizeof(text), "%s died on the way (another node will claim the role)",
		 move->target);
	return verdict(p, CTL_REFUSED, text);
}

/* Who the role is to go to. NULL: nobody can take it, said. */
static const struct node_facts *choose(struct ctl *ctl, const struct facts *facts)
{
	const char *name = ctl->options.argument_count ? ctl_node_argument(ctl, 0) : NULL;
	const char *from = *facts->acting ? facts->acting : facts->named;
	const struct node_facts *target;

	if (ctl->options.argument_count && !name)
		return NULL;
	if (name) {
		target = facts_find(facts, name);
		if (!target)
			ctl_error("no node is called '%s' (primaryctl status lists them)", name);
		return target;
	}
	target = facts_candidate(facts, from, ctl->options.force);
	if (target)
		return target;
	ctl_error("no other node can take the role:");
	for (size_t i = 0; i < facts->node_count; i++)
		if (strcmp(facts->nodes[i].name, from) != 0)
			advice_say(facts, &facts->nodes[i],
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
		return refuse(PATH_POST " holds junk, so that nobody can take the role "
					"(primaryctl key delete " PATH_POST ")");
	if (!bits)
		return CTL_DONE;
	advice_say(facts, target, bits);
	return CTL_REFUSED;
}

static int switch_over(struct progress *p, struct move *move)
{
	char reason[160];
	int code;

	snprintf(reason, sizeof(reason), "switchover by %s", ctl_who());
	progress_begin(p);
	if (strcmp(p->facts.named, move->target) != 0) {
		code = claim_write(p, move->target, reason, &move->claim);
		if (code != CTL_DONE)
			return code;
	}
	p->is_over = switchover_over;
	p->userdata = move;
	code = progress_wait(p, "waiting for the new primary; the move goes on by itself");
	if (code == CTL_DONE && p->start_ms)
		claim_record(p, &move->claim, move->target, move->from, reason,
			     (p->start_ms - p->facts.key_mtime_ms) * 1000);
	return progress_report(p, code, true);
}

int verb_switchover(struct ctl *ctl)
{
	static struct progress p;
	const struct node_facts *target = NULL;
	struct move move = { 0 };
	int code;

	code = progress_open(&p, ctl);
	if (code == CTL_DONE) {
		target = choose(ctl, &p.facts);
		code = target ? may_switch(ctl, &p.facts, target) : CTL_REFUSED;
	}
	if (code == CTL_DONE && ctl->options.dry_run) {
		code = move_dry_run(ctl, &p.facts, target);
	} else if (code == CTL_DONE) {
		strcpy(move.target, target->name);
		strcpy(move.from, p.facts.named);
		ctl_set_timeout(ctl, MOVE_TIMEOUT_US);
		if (move_is_primary(&p.facts, target->name))
			ctl_error("%s is primary already", target->name);
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
	const struct node_facts *primary = facts_primary(facts);
	char text[sizeof(p->verdict)];

	if (move->maintenance)
		return verdict(p, CTL_DONE, "nobody is named primary");
	/* Its own claim on the way, or taken back because nobody else came. */
	if (!strcmp(facts->named, move->from) && move_is_primary(facts, move->from)) {
		snprintf(text, sizeof(text), "nobody else claimed the role: %s keeps it",
			 move->from);
		return verdict(p, CTL_REFUSED, text);
	}
	if (!primary || !move_is_primary(facts, primary->name))
		return false;
	snprintf(text, sizeof(text), "%s is primary", primary->name);
	return verdict(p, CTL_DONE, text);
}

static int may_release(struct ctl *ctl, const struct facts *facts)
{
	bool force = ctl->options.force;

	if (!*facts->named)
		return refuse("nobody is named primary: there is nothing to release");
	if (facts->maintenance && !force)
		return refuse(
			"maintenance: nobody would claim the role (primaryctl maintenance off, "
			"switchover NODE --force, or --force to leave it vacant)");
	if (!facts->maintenance && !force && !facts_candidate(facts, facts->named, false))
		return refuse("no other node is fit to claim the role, so it would not move "
			      "(primaryctl explain tells why; --force releases it all the same)");
	return CTL_DONE;
}

static int release(struct progress *p, struct move *move)
{
	int code;

	progress_begin(p);
	code = claim_write(p, NULL, "", &move->claim);
	if (code != CTL_DONE)
		return code;
	p->is_over = release_over;
	p->userdata = move;
	code = progress_wait(p, "waiting for another node to claim the role");
	return progress_report(p, code, !move->maintenance);
}

int verb_release(struct ctl *ctl)
{
	static struct progress p;
	struct move move = { 0 };
	int code = progress_open(&p, ctl);

	if (code == CTL_DONE)
		code = may_release(ctl, &p.facts);
	if (code == CTL_DONE && ctl->options.dry_run) {
		code = move_dry_run(ctl, &p.facts, NULL);
	} else if (code == CTL_DONE) {
		strcpy(move.from, p.facts.named);
		move.maintenance = p.facts.maintenance;
		ctl_set_timeout(ctl, MOVE_TIMEOUT_US);
		code = release(&p, &move);
	}
	progress_close(&p);
	return code;
}
