/* SPDX-License-Identifier: Apache-2.0 */

/* Why a node is, or is not, the primary: the election's own predicates, with values and remedies. */

#include <stdio.h>
#include <string.h>

#include "advice.h"
#include "cluster/snapshot.h"
#include "base/wall.h"
#include "status.h"

enum { NODE, PREDICATE, HOLDS, VALUE, SINCE, SINCE_UTC, CHANGE };
static const struct table_column columns[] = {
	[NODE] = { "NODE", "node", 0 },
	[PREDICATE] = { "ELIGIBLE IF", "predicate", 0 },
	[HOLDS] = { "HOLDS", "holds", 0 },
	[VALUE] = { "VALUE", "value", TABLE_WRAP },
	[SINCE] = { "SINCE", "since_local", TABLE_FOR_PEOPLE },
	[SINCE_UTC] = { "SINCE", "since", TABLE_FOR_JSON },
	[CHANGE] = { "WHAT WOULD CHANGE IT", "remedy", 0 },
};

enum { E_NODE, E_ELIGIBLE, E_RANK, E_PRIMARY, E_VERDICT };
static const struct table_column verdict_columns[] = {
	[E_NODE] = { "NODE", "node", 0 },	    [E_ELIGIBLE] = { "ELIGIBLE", "eligible", 0 },
	[E_RANK] = { "RANK", "rank", TABLE_RIGHT }, [E_PRIMARY] = { "PRIMARY", "primary", 0 },
	[E_VERDICT] = { "WHY", "why", 0 },
};

enum { C_PRIMARY, C_PRIMARY_NULL, C_WHY };
static const struct table_column cluster_columns[] = {
	[C_PRIMARY] = { "primary", "primary_or_none", TABLE_FOR_PEOPLE },
	[C_PRIMARY_NULL] = { "primary", "primary", TABLE_FOR_JSON },
	[C_WHY] = { "why", "why", 0 },
};

/* In the order of enum election_obstacle. */
static const char *const predicates[OBSTACLE_COUNT] = {
	[OBSTACLE_BIT_CLIENT] = "mode is coordinator",
	[OBSTACLE_BIT_OFFLINE] = "its session is alive",
	[OBSTACLE_BIT_SHUTDOWN] = "it is not shutting down",
	[OBSTACLE_BIT_UNHEALTHY] = "health is ok",
	[OBSTACLE_BIT_DRAINED] = "not drained",
	[OBSTACLE_BIT_MAINTENANCE] = "no maintenance",
	[OBSTACLE_BIT_PENALTY] = "it is not in a penalty",
	[OBSTACLE_BIT_BUSY] = "it is secondary",
};

/* into text[FACTS_TEXT_SIZE] */
static const char *penalty_of(const struct node_facts *n, char *text)
{
	if (!n->detail.there)
		return "not published: see its log";
	if (n->detail.penalty_until_ms <= wall_now_ms())
		return "none";
	if (!*n->detail.reason)
		return "runs";
	snprintf(text, FACTS_TEXT_SIZE, "runs: %.*s", FACTS_TEXT_SIZE - 8, n->detail.reason);
	return text;
}

static const char *missing(const struct node_facts *n, int key)
{
	return n->unreadable & UINT32_C(1) << key ? "cannot be read" : "missing";
}

/* The value that a predicate is read from; perhaps in text[FACTS_TEXT_SIZE]. */
static const char *value_of(const struct facts *facts, const struct node_facts *n, unsigned bit,
			    int64_t *ret_since_ms, char *text)
{
	static const int keys[] = {
		[OBSTACLE_BIT_CLIENT] = NODE_KEY_MODE,
		[OBSTACLE_BIT_OFFLINE] = NODE_KEY_ALIVE,
		[OBSTACLE_BIT_SHUTDOWN] = NODE_KEY_STATE,
		[OBSTACLE_BIT_UNHEALTHY] = NODE_KEY_HEALTH,
		[OBSTACLE_BIT_DRAINED] = NODE_KEY_DRAIN,
		[OBSTACLE_BIT_MAINTENANCE] = -1,
		[OBSTACLE_BIT_PENALTY] = -1,
		[OBSTACLE_BIT_BUSY] = NODE_KEY_ROUTER,
	};

	*ret_since_ms = keys[bit] >= 0 ? n->since_ms[keys[bit]] : 0;
	switch (bit) {
	case OBSTACLE_BIT_CLIENT:
		return *n->mode ? n->mode : missing(n, keys[bit]);
	case OBSTACLE_BIT_OFFLINE:
		return n->alive ? "alive" : "not alive";
	case OBSTACLE_BIT_SHUTDOWN:
		return *n->state ? n->state : missing(n, keys[bit]);
	case OBSTACLE_BIT_UNHEALTHY:
		return *n->health ? n->health : missing(n, keys[bit]);
	case OBSTACLE_BIT_DRAINED:
		return !n->drained ? "no" : *n->drain ? n->drain : "yes";
	case OBSTACLE_BIT_MAINTENANCE:
		*ret_since_ms = facts->maintenance_since_ms;
		return facts_maintenance(facts, text);
	case OBSTACLE_BIT_PENALTY:
		return penalty_of(n, text);
	default:
		return *n->router ? n->router : missing(n, keys[bit]);
	}
}

static void add_predicate(struct table *t, const struct facts *facts, const struct node_facts *n,
			  unsigned bit, bool json)
{
	char text[2 * FACTS_TEXT_SIZE];
	bool holds = !(n->obstacles & UINT32_C(1) << bit);
	/* For programs it stays what the election asks; who has the post need not be secondary to be fit. */
	bool own = !json && n->acting && bit == OBSTACLE_BIT_BUSY;
	int64_t since_ms;

	table_row(t);
	table_put(t, NODE, n->name);
	table_put(t, PREDICATE, own ? "it has the post, or is secondary" : predicates[bit]);
	/* A penalty that is not published may run or not. */
	if (bit != OBSTACLE_BIT_PENALTY || n->detail.there)
		table_put_boolean(t, HOLDS, holds || own);
	table_color(t, HOLDS, holds || own ? TABLE_GOOD : TABLE_BAD);
	table_put(t, VALUE, value_of(facts, n, bit, &since_ms, text));
	if (since_ms)
		table_put_time(t, SINCE, SINCE_UTC, since_ms);
	if (holds || own)
		return;
	advice_remedy(n, UINT32_C(1) << bit, text, sizeof(text));
	table_put(t, CHANGE, text);
}

static void add_predicates(struct table *t, const struct facts *facts, const struct node_facts *n,
			   bool all, bool json)
{
	for (unsigned bit = 0; bit < OBSTACLE_COUNT; bit++)
		if (all || facts_obstacles(n, false) & UINT32_C(1) << bit)
			add_predicate(t, facts, n, bit, json);
}

static void join_obstacles(uint32_t bits, char *text, size_t size)
{
	size_t n = 0;

	for (; bits && n < size; bits &= bits - 1)
		n += (size_t)snprintf(text + n, size - n, "%s%s", n ? "; " : "not eligible: ",
				      election_obstacle_text(bits & -bits));
}

static void why(const struct facts *facts, const struct node_facts *n, char *text, size_t size)
{
	uint32_t bits = facts_obstacles(n, false);
	char waiting[FACTS_TEXT_SIZE], quiet[WALL_TEXT_SIZE];

	facts_waiting(facts, n, waiting, sizeof(waiting));
	if (n->acting && facts->renewal.stale)
		snprintf(text, size, "it has the post, but has not renewed its lease for %s%s",
			 facts->renewal.at_least ? "at least " : "",
			 wall_tenths(facts->renewal.quiet_us, quiet));
	else if (n->acting && !strcmp(n->router, "primary") && n->named)
		snprintf(text, size, "it is the primary");
	else if (*waiting)
		snprintf(text, size, "it waits for %s", waiting);
	else if (!n->alive && !strcmp(n->state, "stop"))
		snprintf(text, size, "primaryd was stopped there");
	else if (!n->alive && !strcmp(n->state, "dead"))
		snprintf(text, size,
			 "primaryd died there, or lost ZooKeeper for a session timeout");
	else if (!n->alive && !strcmp(n->state, "fenced"))
		snprintf(text, size, "it died at work, and was fenced");
	else if (bits)
		join_obstacles(bits, text, size);
	else if (!facts_vacant(facts))
		snprintf(text, size, "it is ready to take over; %s is %s", facts->named,
			 strcmp(facts->named, facts->acting) != 0 ? "named" : "primary");
	else
		snprintf(text, size, "it may claim the role");
}

static void add_verdict(struct table *t, const struct facts *facts, const struct node_facts *n)
{
	char text[3 * FACTS_TEXT_SIZE];

	why(facts, n, text, sizeof(text));
	table_row(t);
	table_put(t, E_NODE, n->name);
	table_put_boolean(t, E_ELIGIBLE, !facts_obstacles(n, false));
	table_put_number(t, E_RANK, n->detail.rank);
	table_put_boolean(t, E_PRIMARY, n->acting);
	table_put(t, E_VERDICT, text);
	if (n->acting && facts->renewal.stale)
		table_color(t, E_VERDICT, TABLE_BAD);
	else if (n->acting)
		table_color(t, E_VERDICT, TABLE_GOOD);
}

static const char *in_order(const struct facts *facts)
{
	if (!strcmp(facts->named, facts->acting))
		return "it is named, has the post, and its work runs";
	return *facts->named
		       ? "it has the post, and its work runs; another node is named and will take over"
		       : "it has the post, and its work runs; no node is named";
}

static int explain(struct ctl *ctl, const struct facts *facts, const struct node_facts *only)
{
	struct table *tables[] = { TABLE_SINGLE("cluster", cluster_columns),
				   TABLE_OF("nodes", verdict_columns),
				   TABLE_OF("predicates", columns),
				   status_unfenceable(facts, only) };
	const struct options *o = &ctl->options;
	char text[FACTS_TROUBLE_SIZE];
	int code;

	facts_trouble(facts, text, sizeof(text));
	table_row(tables[0]);
	table_put(tables[0], C_PRIMARY, *facts->acting ? facts->acting : NAME_NONE);
	table_put(tables[0], C_PRIMARY_NULL, *facts->acting ? facts->acting : NULL);
	table_put(tables[0], C_WHY, *text ? text : in_order(facts));
	for (size_t i = 0; i < facts->node_count; i++) {
		if (only && only != &facts->nodes[i])
			continue;
		add_verdict(tables[1], facts, &facts->nodes[i]);
		add_predicates(tables[2], facts, &facts->nodes[i], only || o->all || o->json,
			       o->json);
	}
	code = ctl_print(ctl, tables, 4);
	for (int i = 0; i < 4; i++)
		table_destroy(tables[i]);
	return code;
}

int verb_explain(struct ctl *ctl)
{
	bool named = ctl->options.argument_count > 0;
	const struct node_facts *only = NULL;
	struct snapshot now = { 0 };
	int code;

	if (named && !ctl_node_argument(ctl, 0))
		return CTL_USAGE;
	code = snapshot_read_renewals(ctl, &now);
	if (code == CTL_DONE && named)
		only = snapshot_argument(ctl, &now.facts, 0);
	if (code == CTL_DONE)
		code = named && !only ? CTL_REFUSED : explain(ctl, &now.facts, only);
	snapshot_close(&now);
	return code;
}
