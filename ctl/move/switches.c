/* SPDX-License-Identifier: Apache-2.0 */

/* drain, undrain and maintenance: what an operator sets, and waits for the effect of. */

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "advice.h"
#include "move.h"
#include "out/wall.h"
#include "progress.h"

struct switches {
	char node[NAME_SIZE];
	bool moves;  /* the role has to go elsewhere, or to be filled */
	bool wanted; /* of what is switched */
};

static bool verdict(struct progress *p, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static bool verdict(struct progress *p, int code, const char *fmt, ...)
{
	va_list ap;

	p->code = code;
	va_start(ap, fmt);
	vsnprintf(p->verdict, sizeof(p->verdict), fmt, ap);
	va_end(ap);
	return true;
}

/* Writes one key, or removes it. What is as it should be already is fine. */
static int write_switch(struct progress *p, const char *path, const char *text, bool there)
{
	struct zkh_txn *txn = zkh_txn_create(p->ctl->session);
	struct ctl_commit commit;
	int code;

	if (txn && text && there)
		zkh_txn_set_text(txn, path, text, ZKH_ANY_VERSION);
	else if (txn && text)
		zkh_txn_create_text(txn, path, text, ZKH_PERSISTENT);
	else if (txn)
		zkh_txn_delete(txn, path, ZKH_ANY_VERSION);
	code = ctl_commit(p->ctl, txn, &commit);
	if (code != CTL_DONE)
		return ctl_explain_wait(p->ctl, code, "writing");
	/* Somebody else did the same: the effect is waited for all the same. */
	if (commit.result == ZKH_NODE_EXISTS || (!text && commit.result == ZKH_NO_NODE))
		return CTL_DONE;
	/* Lost on the way: seen by what happens, or not. */
	if (commit.result == ZKH_UNKNOWN)
		return progress_look_again(p);
	return ctl_explain_result(p->ctl, commit.result,
				  *commit.failed_path ? commit.failed_path : path);
}

/* Somebody who could fill a vacancy is there, and a vacancy is. */
static bool to_be_filled(const struct facts *facts)
{
	return facts_vacant(facts) && facts_candidate(facts, "", false);
}

static const struct node_facts *find(struct ctl *ctl, const struct facts *facts)
{
	const char *name = ctl_node_argument(ctl, 0);
	const struct node_facts *node = name ? facts_find(facts, name) : NULL;

	if (name && !node)
		ctl_error("no node is called '%s' (primaryctl status lists them)", name);
	return node;
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
	const struct facts *facts = &p->facts;
	const struct node_facts *n = facts_find(facts, s->node);

	if (!n)
		return verdict(p, CTL_REFUSED, "%s was removed meanwhile", s->node);
	if (!n->drained)
		return verdict(p, CTL_REFUSED, "%s was undrained by somebody else", s->node);
	if (n->acting || n->named || (n->alive && router_state_is_acting(n->router)))
		return false;
	/* Handed over: until the successor's work runs, as long as one can come. */
	if (s->moves && !facts->maintenance && !move_is_primary(facts, facts->named) &&
	    (!facts_vacant(facts) || facts_candidate(facts, "", false)))
		return false;
	return verdict(p, CTL_DONE, "%s is drained", s->node);
}

static int may_drain(struct ctl *ctl, const struct facts *facts, const struct node_facts *n)
{
	if (!(n->acting || n->named) || ctl->options.force)
		return CTL_DONE;
	if (facts->maintenance) {
		ctl_error(
			"%s is primary, and in maintenance nobody would follow it (switchover NODE --force first, "
			"or --force to leave nobody)",
			n->name);
		return CTL_REFUSED;
	}
	if (!facts_candidate(facts, n->name, false)) {
		ctl_error(
			"%s is primary, and no other node is fit to follow it (primaryctl explain tells why; "
			"--force drains it all the same, and nobody is primary then)",
			n->name);
		return CTL_REFUSED;
	}
	return CTL_DONE;
}

int verb_drain(struct ctl *ctl)
{
	static struct progress p;
	struct switches s = { .wanted = true };
	char path[KEY_PATH_SIZE], text[256], time[WALL_TEXT_SIZE];
	const struct node_facts *n = NULL;
	int code = progress_open(&p, ctl);

	if (code == CTL_DONE) {
		n = find(ctl, &p.facts);
		code = n ? may_drain(ctl, &p.facts, n) : CTL_REFUSED;
	}
	if (code == CTL_DONE) {
		strcpy(s.node, n->name);
		s.moves = n->acting || n->named;
		node_key_path(s.node, NODE_KEY_DRAIN, path);
		snprintf(text, sizeof(text), "by %s at %s", ctl_who(),
			 wall_utc(wall_now_ms(), time));
		ctl_set_timeout(ctl, MOVE_TIMEOUT_US);
		progress_begin(&p);
		if (!n->drained)
			code = write_switch(&p, path, text, false);
		code = see_through(&p, &s, drain_over, code,
				   "waiting for it to hand the role over; the drain stays",
				   s.moves);
	}
	progress_close(&p);
	return code;
}

/* -- undrain -- */

static bool undrain_over(struct progress *p)
{
	const struct switches *s = p->userdata;
	const struct node_facts *n = facts_find(&p->facts, s->node);

	if (!n)
		return verdict(p, CTL_REFUSED, "%s was removed meanwhile", s->node);
	if (n->drained)
		return false;
	if (s->moves && !move_is_primary(&p->facts, p->facts.named) && to_be_filled(&p->facts))
		return false;
	if (s->moves && *p->facts.named && !move_is_primary(&p->facts, p->facts.named) &&
	    !facts_vacant(&p->facts))
		return false;
	return verdict(p, CTL_DONE, "%s is not drained", s->node);
}

int verb_undrain(struct ctl *ctl)
{
	static struct progress p;
	struct switches s = { 0 };
	char path[KEY_PATH_SIZE];
	const struct node_facts *n = NULL;
	int code = progress_open(&p, ctl);

	if (code == CTL_DONE) {
		n = find(ctl, &p.facts);
		code = n ? CTL_DONE : CTL_REFUSED;
	}
	if (code == CTL_DONE) {
		strcpy(s.node, n->name);
		/* It fills a vacancy at once, if there is one. */
		s.moves = facts_vacant(&p.facts) &&
			  !(facts_obstacles(n, false) & ~(uint32_t)OBSTACLE_DRAINED);
		node_key_path(s.node, NODE_KEY_DRAIN, path);
		ctl_set_timeout(ctl, MOVE_TIMEOUT_US);
		progress_begin(&p);
		if (n->drained)
			code = write_switch(&p, path, NULL, true);
		code = see_through(&p, &s, undrain_over, code, "waiting for the role to be claimed",
				   false);
	}
	progress_close(&p);
	return code;
}

/* -- maintenance -- */

static bool maintenance_over(struct progress *p)
{
	const struct switches *s = p->userdata;
	const struct facts *facts = &p->facts;

	if (facts->maintenance != s->wanted)
		return false;
	if (s->wanted)
		return verdict(p, CTL_DONE, "maintenance is on");
	/* A vacancy that arose meanwhile is filled now. */
	if (s->moves && !move_is_primary(facts, facts->named) &&
	    (!facts_vacant(facts) || to_be_filled(facts)))
		return false;
	return verdict(p, CTL_DONE, "maintenance is off");
}

int verb_maintenance(struct ctl *ctl)
{
	static struct progress p;
	const char *word = ctl->options.arguments[0];
	struct switches s = { .wanted = !strcmp(word, "on") };
	int code;

	if (!s.wanted && strcmp(word, "off") != 0) {
		ctl_error("usage: primaryctl maintenance on|off");
		return CTL_USAGE;
	}
	code = progress_open(&p, ctl);
	if (code == CTL_DONE) {
		const struct cluster_slot *key = &p.cluster.keys[CLUSTER_MAINTENANCE];

		s.moves = !s.wanted && facts_vacant(&p.facts);
		ctl_set_timeout(ctl, MOVE_TIMEOUT_US);
		progress_begin(&p);
		if (s.wanted)
			code = ctl_make_root(ctl, false);
		/* The nodes could not read it either: it would stay off. */
		if (code == CTL_DONE && s.wanted && key->denied)
			code = ctl_explain_result(ctl, ZKH_DENIED, PATH_MAINTENANCE);
		if (code == CTL_DONE && (s.wanted ? !p.facts.maintenance : key->there))
			code = write_switch(&p, PATH_MAINTENANCE, s.wanted ? "true" : NULL,
					    key->there);
		code = see_through(&p, &s, maintenance_over, code,
				   "waiting for the role to be claimed", false);
	}
	progress_close(&p);
	return code;
}
