/* SPDX-License-Identifier: Apache-2.0 */
#include "status.h"

#include <string.h>

#include "cluster/snapshot.h"
#include "base/wall.h"

enum {
	PRIMARY,
	IN_ORDER,
	TROUBLE,
	SINCE,
	SINCE_UTC,
	EPOCH,
	NAMED,
	MAINTENANCE,
	UNTIL,
	UNTIL_UTC,
	CONNECTED,
	STRANGERS
};
static const struct table_column cluster_columns[] = {
	[PRIMARY] = { "primary", "primary", 0 },
	[IN_ORDER] = { "in order", "in_order", 0 },
	[TROUBLE] = { "trouble", "trouble", 0 },
	[SINCE] = { "since", "since_local", TABLE_FOR_PEOPLE },
	[SINCE_UTC] = { "since", "since", TABLE_FOR_JSON },
	[EPOCH] = { "epoch", "epoch", 0 },
	[NAMED] = { "named", "named", 0 },
	[MAINTENANCE] = { "maintenance", "maintenance", 0 },
	[UNTIL] = { "until", "maintenance_until_local", TABLE_FOR_PEOPLE },
	[UNTIL_UTC] = { "until", "maintenance_until", TABLE_FOR_JSON },
	[CONNECTED] = { "connected", "connected", TABLE_FOR_JSON },
	[STRANGERS] = { "strange keys", "strangers", TABLE_FOR_JSON },
};

enum {
	NODE,
	MODE,
	RANK,
	STATE,
	ROLE,
	ALIVE,
	HEALTH,
	DRAIN,
	VERSION,
	HOST,
	ADDRESS,
	STARTED,
	WAITING
};
static const struct table_column node_columns[] = {
	[NODE] = { "NODE", "node", 0 },
	[MODE] = { "MODE", "mode", 0 },
	[RANK] = { "RANK", "rank", TABLE_FOR_JSON },
	[STATE] = { "STATE", "state", 0 },
	[ROLE] = { "ROLE", "role", 0 },
	[ALIVE] = { "ALIVE", "alive", 0 },
	[HEALTH] = { "HEALTH", "health", TABLE_WRAP },
	[DRAIN] = { "DRAIN", "drain", 0 },
	[VERSION] = { "VERSION", "version", 0 },
	[HOST] = { "HOST", "host", TABLE_FOR_JSON },
	[ADDRESS] = { "ADDRESS", "address", TABLE_FOR_JSON },
	[STARTED] = { "STARTED", "started", TABLE_FOR_JSON },
	[WAITING] = { "WAITS FOR", "waits_for", TABLE_WRAP },
};

enum { F_FROM, F_TARGET, F_SINCE, F_SINCE_UTC };
static const struct table_column unfenceable_columns[] = {
	[F_FROM] = { "FENCING WOULD FAIL FROM", "from", 0 },
	[F_TARGET] = { "OF", "target", 0 },
	[F_SINCE] = { "SINCE", "since_local", TABLE_FOR_PEOPLE },
	[F_SINCE_UTC] = { "SINCE", "since", TABLE_FOR_JSON },
};

static const struct table_column junk_columns[] = { { "JUNK IN THE KEYS", "what", TABLE_WRAP } };

static const char *or_null(const char *text)
{
	return *text ? text : NULL;
}

static struct table *cluster_table(const struct facts *facts)
{
	struct table *t = TABLE_SINGLE("cluster", cluster_columns);
	char trouble[FACTS_TROUBLE_SIZE], time[WALL_TEXT_SIZE], age[WALL_TEXT_SIZE];
	bool in_order = facts_in_order(facts);

	facts_trouble(facts, trouble, sizeof(trouble));
	table_row(t);
	table_put(t, PRIMARY, or_null(facts->acting));
	table_color(t, PRIMARY, in_order ? TABLE_GOOD : TABLE_WARN);
	table_put_boolean(t, IN_ORDER, in_order);
	table_color(t, IN_ORDER, in_order ? TABLE_GOOD : TABLE_BAD);
	table_put(t, TROUBLE, or_null(trouble));
	table_color(t, TROUBLE, TABLE_BAD);
	if (facts->post_there) {
		table_putf(t, SINCE, "%s (%s)", wall_local(facts->post_since_ms, time),
			   wall_age(facts->post_since_ms, age));
		table_put(t, SINCE_UTC, wall_utc(facts->post_since_ms, time));
	}
	if (facts->epoch)
		table_put_number(t, EPOCH, facts->epoch);
	table_put(t, NAMED, *facts->named ? facts->named : NAME_NONE);
	if (strcmp(facts->named, facts->acting) != 0)
		table_color(t, NAMED, TABLE_WARN);
	table_put_boolean(t, MAINTENANCE, facts->maintenance);
	if (facts->maintenance)
		table_color(t, MAINTENANCE, TABLE_WARN);
	if (facts->maintenance_end_ms) {
		table_putf(t, UNTIL, "%.19s", wall_local(facts->maintenance_end_ms, time));
		table_put(t, UNTIL_UTC, wall_utc(facts->maintenance_end_ms, time));
	}
	table_put_boolean(t, CONNECTED, facts->connected);
	table_put_number(t, STRANGERS, (int64_t)facts->strangers);
	return t;
}

static void color_node(struct table *t, const struct node_facts *n)
{
	if (n->acting)
		table_color(t, NODE, TABLE_GOOD);
	if (!n->alive)
		table_color(t, NODE, TABLE_DIM);
	table_color(t, ALIVE, n->alive ? TABLE_PLAIN : TABLE_BAD);
	if (n->alive && !n->healthy)
		table_color(t, HEALTH, TABLE_BAD);
	if (n->drained)
		table_color(t, DRAIN, TABLE_WARN);
	if (!strcmp(n->router, "primary"))
		table_color(t, ROLE, n->acting ? TABLE_GOOD : TABLE_BAD);
	else if (router_state_is_acting(n->router))
		table_color(t, ROLE, TABLE_WARN);
}

static void node_row(struct table *t, const struct facts *facts, const struct node_facts *n)
{
	char waiting[FACTS_TEXT_SIZE], time[WALL_TEXT_SIZE];

	facts_waiting(facts, n, waiting, sizeof(waiting));
	table_row(t);
	table_put(t, NODE, n->name);
	table_put(t, MODE, or_null(n->mode));
	table_put_number(t, RANK, n->detail.rank);
	table_put(t, STATE, or_null(n->state));
	table_put(t, ROLE, or_null(n->router));
	table_put_boolean(t, ALIVE, n->alive);
	table_put(t, HEALTH, or_null(n->health));
	table_put_boolean(t, DRAIN, n->drained);
	table_put(t, VERSION, or_null(n->self.version));
	table_put(t, HOST, or_null(n->self.host));
	table_put(t, ADDRESS, or_null(n->self.address));
	if (n->self.started_ms)
		table_put(t, STARTED, wall_utc(n->self.started_ms, time));
	table_put(t, WAITING, or_null(waiting));
	color_node(t, n);
}

struct table *status_unfenceable(const struct facts *facts, const struct node_facts *only)
{
	struct table *t = TABLE_OF("unfenceable", unfenceable_columns);
	char target[NAME_SIZE];
	int64_t since_ms;

	for (size_t i = 0; i < facts->node_count; i++) {
		const struct node_facts *n = &facts->nodes[i];
		const char *cursor = n->detail.fence_failed;

		if (!n->alive || (only && n != only))
			continue;
		while (detail_next_failed(&cursor, target, &since_ms)) {
			table_row(t);
			table_put(t, F_FROM, n->name);
			table_put(t, F_TARGET, target);
			table_color(t, F_TARGET, TABLE_WARN);
			if (since_ms)
				table_put_time(t, F_SINCE, F_SINCE_UTC, since_ms);
		}
	}
	return t;
}

static struct table *junk_table(const struct facts *facts)
{
	struct table *t = TABLE_OF("junk", junk_columns);

	for (size_t i = 0; i < facts->junk_count && i < FACTS_JUNK_MAX; i++) {
		table_row(t);
		table_put(t, 0, facts->junk[i]);
		table_color(t, 0, TABLE_WARN);
	}
	return t;
}

void status_tables(const struct facts *facts, struct table *ret_tables[STATUS_TABLES])
{
	ret_tables[0] = cluster_table(facts);
	ret_tables[1] = TABLE_OF("nodes", node_columns);
	for (size_t i = 0; i < facts->node_count; i++)
		node_row(ret_tables[1], facts, &facts->nodes[i]);
	ret_tables[2] = status_unfenceable(facts, NULL);
	ret_tables[3] = junk_table(facts);
}

void status_finish(struct table *tables[STATUS_TABLES])
{
	for (int i = 0; i < STATUS_TABLES; i++)
		tables[i] = table_destroy(tables[i]);
}

int verb_status(struct ctl *ctl)
{
	struct table *tables[STATUS_TABLES];
	struct snapshot now = { 0 };
	int code = snapshot_read_renewals(ctl, &now);

	if (code == CTL_DONE) {
		status_tables(&now.facts, tables);
		code = ctl_print(ctl, tables, STATUS_TABLES);
		status_finish(tables);
		if (code == CTL_DONE && !facts_in_order(&now.facts))
			code = CTL_REFUSED;
	}
	snapshot_close(&now);
	return code;
}
