/* SPDX-License-Identifier: Apache-2.0 */

/* drain, undrain and maintenance: an operator sets a key, and waits for the effect. */

#include <stdio.h>
#include <string.h>

#include "base/wall.h"
#include "cluster/snapshot.h"
#include "progress.h"

struct switches {
	char node[NAME_SIZE];
	bool moves;	/* the role has to go elsewhere, or to be filled */
	bool wanted;	/* of what is switched */
	int64_t end_ms; /* of the maintenance; 0: none */
};

/* Writes one key, or removes it (NULL). What is as it should be already is fine. */
static int write_switch(struct progress *p, const char *path, const char *text, bool there)
{
	struct zkh_txn *txn = ctl_need(zkh_txn_create(p->ctl->session));
	struct ctl_commit commit;
	int code;

	if (!text)
		zkh_txn_delete(txn, path, ZKH_ANY_VERSION);
	else if (there)
		zkh_txn_set_text(txn, path, text, ZKH_ANY_VERSION);
	else
		zkh_txn_create_text(txn, path, text, ZKH_PERSISTENT);
	code = ctl_commit(p->ctl, txn, "writing", &commit);
	/* Somebody else did the same: the effect is waited for all the same. */
	if (code != CTL_DONE || commit.result == ZKH_NODE_EXISTS ||
	    (!text && commit.result == ZKH_NO_NODE))
		return code;
	/* Lost on the way: seen by what happens, or not. */
	if (commit.result == ZKH_UNKNOWN)
		return progress_look_again(p);
	return ctl_explain_result(p->ctl, commit.result,
				  *commit.failed_path ? commit.failed_path : path);
}

/* The role is where it belongs, or nobody can take it. */
static bool is_settled(const struct facts *facts)
{
	return move_is_primary(facts, facts->named) ||
	       (facts_vacant(facts) && !facts_candidate(facts, "", false));
}

/* Waits for the effect of what was written (code), and reports. */
static int see_through(struct progress *p, struct switches *s,
		       bool (*is_over)(struct progress *progress), int code, const char *waiting,
		       bool moved)
{
	p->is_over = is_over;
	p->userdata = s;
	if (code == CTL_DONE)
		code = progress_wait(p, waiting);
	return progress_report(p, code, moved);
}

/* -- drain -- */

static bool drain_over(struct progress *p)
{
	const struct switches *s = p->userdata;
	const struct node_facts *n = facts_find(&p->facts, s->node);

	if (!n)
		return progress_end(p, CTL_REFUSED, "%s was removed in the meantime", s->node);
	if (s->wanted && !n->drained)
		return progress_end(p, CTL_REFUSED, "%s was undrained by somebody else", s->node);
	if (!s->wanted && n->drained)
		return false;
	if (s->wanted && (n->acting || n->named || (n->alive && router_state_is_acting(n->router))))
		return false;
	if (s->moves && !is_settled(&p->facts))
		return false;
	return progress_end(p, CTL_DONE, "%s is %sdrained", s->node, s->wanted ? "" : "not ");
}

static int may_drain(struct ctl *ctl, const struct facts *facts, const struct node_facts *n)
{
	if (!(n->acting || n->named) || ctl->options.force)
		return CTL_DONE;
	if (facts->maintenance)
		ctl_error(
			"%s is the primary, and during maintenance no node would succeed it (switchover NODE --force first, or --force to leave the cluster without a primary)",
			n->name);
	else if (!facts_candidate(facts, n->name, false))
		ctl_error(
			"%s is the primary, and no other node is eligible to succeed it (primaryctl explain says why; --force drains it anyway and leaves the cluster without a primary)",
			n->name);
	else
		return CTL_DONE;
	return CTL_REFUSED;
}

static int set_drain(struct ctl *ctl, bool wanted)
{
	static struct progress p;
	struct switches s = { .wanted = wanted };
	char path[KEY_PATH_SIZE], text[256], time[WALL_TEXT_SIZE];
	const struct node_facts *n = NULL;
	int code = progress_open(&p, ctl);

	if (code == CTL_DONE) {
		n = snapshot_argument(ctl, &p.facts, 0);
		code = !n ? CTL_REFUSED : wanted ? may_drain(ctl, &p.facts, n) : CTL_DONE;
	}
	if (code == CTL_DONE) {
		strcpy(s.node, n->name);
		/* Undrained it fills a vacancy at once, if there is one. */
		s.moves = wanted ? n->acting || n->named
				 : facts_vacant(&p.facts) && !(facts_obstacles(n, false) &
							       ~(uint32_t)OBSTACLE_DRAINED);
		node_key_path(s.node, NODE_KEY_DRAIN, path);
		snprintf(text, sizeof(text), "by %s at %s", ctl_who(),
			 wall_utc(wall_now_ms(), time));
		progress_begin(&p);
		if (n->drained != wanted)
			code = write_switch(&p, path, wanted ? text : NULL, !wanted);
		code = see_through(&p, &s, drain_over, code,
				   wanted ? "waiting for the handover; the node stays drained"
					  : "waiting for the role to be claimed",
				   wanted && s.moves);
	}
	progress_close(&p);
	return code;
}

int verb_drain(struct ctl *ctl)
{
	return set_drain(ctl, true);
}

int verb_undrain(struct ctl *ctl)
{
	return set_drain(ctl, false);
}

/* -- maintenance -- */

static bool maintenance_over(struct progress *p)
{
	const struct switches *s = p->userdata;
	const struct facts *facts = &p->facts;
	char text[FACTS_TEXT_SIZE];

	(void)facts_maintenance(facts, text);
	if (facts->maintenance != s->wanted || facts->maintenance_end_ms != s->end_ms)
		return progress_end(
			p, CTL_REFUSED,
			"maintenance is %s: another operator changed it, or its end has passed on the clock of a node",
			text);
	/* Off: a vacancy that arose meanwhile is filled now. */
	return !(s->moves && !is_settled(facts)) &&
	       progress_end(p, CTL_DONE, "maintenance is %s", text);
}

int verb_maintenance(struct ctl *ctl)
{
	static struct progress p;
	struct switches s = { .wanted = !strcmp(ctl->options.arguments[0], "on") };
	char text[WALL_TEXT_SIZE + 32] = "true", time[WALL_TEXT_SIZE];
	int code;

	if (ctl->options.for_us && !s.wanted) {
		ctl_error("maintenance off does not take --for");
		return CTL_USAGE;
	}
	if (ctl->options.for_us) {
		s.end_ms = wall_now_ms() + ctl->options.for_us / 1000;
		snprintf(text, sizeof(text), "true" MAINTENANCE_UNTIL "%s",
			 wall_utc(s.end_ms, time));
	}
	code = progress_open(&p, ctl);

	if (code == CTL_DONE) {
		const struct cluster_slot *key = &p.cluster.keys[CLUSTER_MAINTENANCE];

		s.moves = !s.wanted && facts_vacant(&p.facts);
		progress_begin(&p);
		if (s.wanted)
			code = ctl_make_root(ctl, false);
		/* The nodes could not read it either: it would stay off. */
		if (code == CTL_DONE && s.wanted && key->denied)
			code = ctl_explain_result(ctl, ZKH_DENIED, PATH_MAINTENANCE);
		if (code == CTL_DONE &&
		    (s.wanted ? !p.facts.maintenance || p.facts.maintenance_end_ms != s.end_ms
			      : key->there))
			code = write_switch(&p, PATH_MAINTENANCE, s.wanted ? text : NULL,
					    key->there);
		code = see_through(&p, &s, maintenance_over, code,
				   "waiting for the role to be claimed", false);
	}
	progress_close(&p);
	return code;
}
