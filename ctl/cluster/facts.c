/* SPDX-License-Identifier: Apache-2.0 */
#include "facts.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "election/lease.h"
#include "base/wall.h"

static void junk(struct facts *facts, const char *path, const char *what)
{
	if (facts->junk_count < FACTS_JUNK_MAX)
		snprintf(facts->junk[facts->junk_count], sizeof(facts->junk[0]), "%s %s", path,
			 what);
	facts->junk_count++;
}

/* Whether it is there, but may not be read. */
static bool denied(struct facts *facts, const struct cluster_slot *slot)
{
	if (!slot->denied)
		return false;
	if (facts->junk_count < FACTS_JUNK_MAX)
		facts->junk_unreadable[facts->junk_count] = true;
	junk(facts, slot->path, "cannot be read (access list)");
	return true;
}

/* The text of a slot: false when it is not there; junk is noted and taken as absent. */
static bool text_of(struct facts *facts, const struct cluster_slot *slot, char *ret_text,
		    size_t size)
{
	if (!slot->there || denied(facts, slot))
		return false;
	if (slot->data && value_text(slot->data, slot->length, ret_text, size))
		return true;
	junk(facts, slot->path, slot->data ? "is not plain text, or too long" : "is too long");
	return false;
}

/* -- of a node -- */

static void take_word(struct facts *facts, const struct cluster_slot *slot,
		      const char *const *words, char *ret_word, size_t size)
{
	char text[KEY_VALUE_MAX];

	*ret_word = '\0';
	if (!text_of(facts, slot, text, sizeof(text)))
		return;
	for (; *words; words++) {
		if (!strcmp(*words, text)) {
			snprintf(ret_word, size, "%s", *words);
			return;
		}
	}
	junk(facts, slot->path, "has a value that primaryd never writes");
}

static void take_words(struct facts *facts, const struct cluster_slot *keys, struct node_facts *n)
{
	static const char *const modes[] = { "coordinator", "client", NULL };
	static const char *const states[] = { "init", "run",	"shutdown", "stop",
					      "dead", "fenced", NULL };
	static const char *const routers[] = { "client",  "secondary",	"takeover",
					       "primary", "relinquish", NULL };

	take_word(facts, &keys[NODE_KEY_MODE], modes, n->mode, sizeof(n->mode));
	take_word(facts, &keys[NODE_KEY_STATE], states, n->state, sizeof(n->state));
	take_word(facts, &keys[NODE_KEY_ROUTER], routers, n->router, sizeof(n->router));
	n->coordinator = !strcmp(n->mode, "coordinator");
}

static void take_alive(struct facts *facts, const struct cluster_slot *slot, struct node_facts *n)
{
	if (!slot->there)
		return;
	if (!slot->stat.ephemeral_owner) {
		junk(facts, slot->path, "is not ephemeral");
		return;
	}
	n->alive = true;
	(void)denied(facts, slot);
	if (slot->data)
		value_alive(slot->data, slot->length, &n->self);
}

static void take_health(struct facts *facts, const struct cluster_slot *slot, struct node_facts *n)
{
	char text[KEY_VALUE_MAX];

	if (!text_of(facts, slot, text, sizeof(text)))
		return;
	n->healthy = !strcmp(text, "ok");
	snprintf(n->health, sizeof(n->health), "%.*s", (int)sizeof(n->health) - 1, text);
}

static void take_drain(struct facts *facts, const struct cluster_slot *slot, struct node_facts *n)
{
	char text[KEY_VALUE_MAX];

	n->drained = slot->there;
	if (n->drained && text_of(facts, slot, text, sizeof(text)))
		snprintf(n->drain, sizeof(n->drain), "%.*s", (int)sizeof(n->drain) - 1, text);
}

static uint32_t obstacles(const struct facts *facts, const struct node_facts *n)
{
	const struct election_candidate candidate = {
		.coordinator = n->coordinator,
		.online = n->alive,
		.shutdown = !strcmp(n->state, "shutdown") || !strcmp(n->state, "stop"),
		.healthy = n->healthy,
		.drained = n->drained,
		.maintenance = facts->maintenance,
		.penalty = n->detail.penalty_until_ms > wall_now_ms(),
		.secondary = !strcmp(n->router, "secondary") || !strcmp(n->router, "client"),
	};

	return election_obstacles(&candidate);
}

static void gather_node(struct facts *facts, const struct cluster_node *node, struct node_facts *n)
{
	const struct cluster_slot *keys = node->keys;

	memset(n, 0, sizeof(*n));
	strcpy(n->name, node->name);
	for (int i = 0; i < NODE_KEY_COUNT; i++) {
		n->since_ms[i] = keys[i].there ? keys[i].stat.mtime_ms : 0;
		n->unreadable |= keys[i].denied ? UINT32_C(1) << i : 0;
	}
	take_words(facts, keys, n);
	take_alive(facts, &keys[NODE_KEY_ALIVE], n);
	take_health(facts, &keys[NODE_KEY_HEALTH], n);
	take_drain(facts, &keys[NODE_KEY_DRAIN], n);
	(void)denied(facts, &keys[NODE_KEY_DETAIL]);
	if (keys[NODE_KEY_DETAIL].data)
		detail_parse(keys[NODE_KEY_DETAIL].data, keys[NODE_KEY_DETAIL].length, &n->detail);
	n->named = !strcmp(facts->named, n->name);
	n->acting = facts->post_there && !strcmp(facts->acting, n->name);
	n->obstacles = obstacles(facts, n);
}

/* -- of the cluster -- */

static void gather_key(const struct cluster *cluster, struct facts *facts)
{
	const struct cluster_slot *slot = &cluster->keys[CLUSTER_PRIMARY];
	char text[NAME_SIZE] = "";

	facts->key_there = slot->there;
	if (!slot->there)
		return;
	facts->key_version = slot->stat.version;
	facts->key_mzxid = slot->stat.mzxid;
	facts->key_mtime_ms = slot->stat.mtime_ms;
	facts->contenders = slot->stat.children;
	if (slot->data && value_name(slot->data, slot->length, facts->named))
		return;
	if (slot->data && value_text(slot->data, slot->length, text, sizeof(text)) &&
	    !strcmp(text, NAME_NONE))
		return;
	facts->key_junk = true;
	junk(facts, slot->path, "is not the name of a node: ignored");
}

static void gather_post(const struct cluster *cluster, struct facts *facts)
{
	const struct cluster_slot *slot = &cluster->keys[CLUSTER_POST];

	facts->post_there = slot->there;
	if (!slot->there)
		return;
	facts->post_since_ms = slot->stat.ctime_ms;
	if (!slot->stat.ephemeral_owner)
		junk(facts, slot->path,
		     "is not ephemeral: delete it, or no node can take the role");
	else if (slot->data && value_post(slot->data, slot->length, facts->acting, &facts->epoch))
		return;
	else if (!denied(facts, slot))
		junk(facts, slot->path, "does not say NAME EPOCH");
	facts->post_junk = true;
	facts->acting[0] = '\0';
}

static void gather_maintenance(const struct cluster *cluster, struct facts *facts)
{
	const struct cluster_slot *slot = &cluster->keys[CLUSTER_MAINTENANCE];
	bool clear = false;

	/* One that may not be read is off, as it is to the nodes. */
	if (!slot->there || denied(facts, slot))
		return;
	/* Without data it is too long to be anything. */
	facts->maintenance = !slot->data || value_maintenance(slot->data, slot->length, &clear,
							      &facts->maintenance_end_ms);
	if (facts->maintenance)
		facts->maintenance_since_ms = slot->stat.mtime_ms;
	if (!clear)
		junk(facts, slot->path, "is neither true nor false: counts as true");
}

/* For a new session, as a daemon that starts now would take it. */
static void gather_identity(const struct cluster *cluster, struct facts *facts)
{
	const struct cluster_slot *slot = &cluster->keys[CLUSTER_IDENTITY];
	const struct cluster_slot *primary = &cluster->keys[CLUSTER_PRIMARY];
	struct identity_seen *seen = &facts->identity;

	seen->zxid = zkh_session_zxid(cluster->ctl->session);
	seen->change = primary->there ? primary->stat.mzxid : 0;
	if (!slot->there)
		seen->key = IDENTITY_MISSING;
	else if (denied(facts, slot))
		seen->key = IDENTITY_REFUSED;
	else if (slot->data)
		identity_parse_value(slot->data, slot->length, seen);
	else
		seen->key = IDENTITY_JUNK;
	(void)identity_judge(&cluster->known, seen, false, &facts->foreign);
	(void)identity_explain(facts->foreign, &cluster->known, seen,
			       cluster->ctl->config.zookeeper.servers, facts->foreign_text);
}

bool facts_gather(const struct cluster *cluster, struct facts *ret_facts)
{
	struct facts *facts = ret_facts;
	size_t i = 0;

	memset(facts, 0, sizeof(*facts));
	facts->nodes = calloc(cluster->node_count + 1, sizeof(*facts->nodes));
	if (!facts->nodes)
		return false;
	facts->connected = true;
	facts->strangers = cluster->strangers;
	gather_identity(cluster, facts);
	gather_key(cluster, facts);
	gather_post(cluster, facts);
	gather_maintenance(cluster, facts);
	for (const struct cluster_node *node = cluster->nodes; node; node = node->next)
		gather_node(facts, node, &facts->nodes[i++]);
	facts->node_count = i;
	return true;
}

void facts_take_renewal(struct facts *facts, const struct renewal_verdict *renewal)
{
	char path[KEY_PATH_SIZE];

	facts->renewal = *renewal;
	if (!renewal->unwritten)
		return;
	node_key_path(facts->acting, NODE_KEY_KEEPALIVE, path);
	junk(facts, path, "is not rewritten by the primary: check its access list, quotas, clocks");
}

void facts_finish(struct facts *facts)
{
	free(facts->nodes);
	facts->nodes = NULL;
	facts->node_count = 0;
}

/* -- questions -- */

static int compare_name(const void *name, const void *node)
{
	return strcmp(name, ((const struct node_facts *)node)->name);
}

const struct node_facts *facts_find(const struct facts *facts, const char *name)
{
	return bsearch(name, facts->nodes, facts->node_count, sizeof(*facts->nodes), compare_name);
}

const struct node_facts *facts_primary(const struct facts *facts)
{
	return facts_find(facts, facts->acting);
}

bool facts_vacant(const struct facts *facts)
{
	const struct node_facts *named = facts_find(facts, facts->named);

	return !named || !named->alive;
}

uint32_t facts_obstacles(const struct node_facts *node, bool force)
{
	uint32_t bits = node->obstacles;

	if (force)
		bits &= ~(uint32_t)OBSTACLE_MAINTENANCE;
	if (node->acting)
		bits &= ~(uint32_t)OBSTACLE_BUSY;
	return bits;
}

const struct node_facts *facts_candidate(const struct facts *facts, const char *except, bool force)
{
	const struct node_facts *best = NULL;

	for (size_t i = 0; i < facts->node_count; i++) {
		const struct node_facts *n = &facts->nodes[i];
		bool comes_next;

		if (!strcmp(n->name, except) || facts_obstacles(n, force))
			continue;
		comes_next = best && strcmp(best->name, except) < 0 && strcmp(n->name, except) > 0;
		if (!best || n->detail.rank > best->detail.rank ||
		    (n->detail.rank == best->detail.rank && comes_next))
			best = n;
	}
	return best;
}

const struct node_facts *facts_preferred(const struct facts *facts, const struct node_facts *node)
{
	const struct node_facts *best = facts_candidate(facts, node->name, false);

	return best && best->detail.rank > node->detail.rank && !best->obstacles ? best : NULL;
}

bool facts_in_order(const struct facts *facts)
{
	char text[FACTS_TROUBLE_SIZE];

	facts_trouble(facts, text, sizeof(text));
	return !*text;
}

const char *facts_maintenance(const struct facts *facts, char text[FACTS_TEXT_SIZE])
{
	char time[WALL_TEXT_SIZE];

	snprintf(text, FACTS_TEXT_SIZE, facts->maintenance ? "on" : "off");
	if (facts->maintenance && facts->maintenance_end_ms)
		snprintf(text, FACTS_TEXT_SIZE, "on until %.19s",
			 wall_local(facts->maintenance_end_ms, time));
	return text;
}

static void no_post(const struct facts *facts, char *text, size_t size)
{
	const struct node_facts *named = facts_find(facts, facts->named);

	if (!facts->node_count)
		snprintf(text, size,
			 "no node has ever registered below this root (check --config and --root)");
	else if (*facts->named && !named)
		snprintf(text, size, "%s is named, but no node has that name", facts->named);
	else if (named && !named->alive)
		snprintf(text, size, "%s is named, but is not alive", facts->named);
	else if (named)
		snprintf(text, size, "%s is named, but has not taken the post yet", facts->named);
	else if (facts->maintenance)
		snprintf(text, size,
			 "no node is named, and during maintenance no node claims the role");
	else if (!facts_candidate(facts, "", false))
		snprintf(text, size, "no node is named, and no node is eligible to claim the role");
	else
		snprintf(text, size, "no node is named; %s may claim the role",
			 facts_candidate(facts, "", false)->name);
}

/*
 * What a silent primary means, and what comes next. After a renewal at s the work is down by s + 2T/3 (lease.h), and the
 * session ends at most T and a tick (T/2 at most) after its last touch, which comes at most T/12 after that renewal.
 */
static void not_renewed(const struct facts *facts, char *text, size_t size)
{
	const struct renewal_verdict *r = &facts->renewal;
	int64_t work_us = lease_length_us(r->session_us) - r->quiet_us;
	int64_t end_us = r->session_us * 3 / 2 + lease_renew_us(r->session_us) - r->quiet_us;
	char quiet[WALL_TEXT_SIZE], work[WALL_TEXT_SIZE], end[WALL_TEXT_SIZE];
	char guard[WALL_TEXT_SIZE + 40] = "its guard has stopped the work";

	if (work_us > 0)
		snprintf(guard, sizeof(guard), "its guard stops the work within %s",
			 wall_tenths(work_us, work));
	snprintf(
		text, size,
		"%s has not renewed its lease for %s%s: its daemon is dead, stopped or cut off; %s; %s when its "
		"session ends, at most %s from now",
		facts->acting, r->at_least ? "at least " : "", wall_tenths(r->quiet_us, quiet),
		guard,
		facts_candidate(facts, facts->acting, false) ? "another node takes over"
		: facts->maintenance
			? "the role becomes vacant, and stays vacant during maintenance,"
			: "the role becomes vacant, because no other node is eligible,",
		wall_tenths(end_us > 0 ? end_us : 0, end));
}

void facts_trouble(const struct facts *facts, char *text, size_t size)
{
	const struct node_facts *primary = facts_primary(facts);

	*text = '\0';
	if (facts->foreign != IDENTITY_FINE)
		snprintf(text, size, "%s", facts->foreign_text);
	else if (facts->post_junk)
		snprintf(text, size,
			 "%s is invalid or cannot be read: it is unknown which node acts",
			 PATH_POST);
	else if (!facts->post_there)
		no_post(facts, text, size);
	else if (!primary)
		snprintf(text, size, "%s has the post, but no keys of its own", facts->acting);
	else if (!primary->alive)
		snprintf(text, size, "%s has the post, but shows no sign of life", facts->acting);
	else if (facts->renewal.stale)
		not_renewed(facts, text, size);
	else if (strcmp(primary->router, "primary") != 0)
		snprintf(text, size, "%s has the post, and is in state %s", facts->acting,
			 *primary->router ? primary->router : "unknown");
	else if (!primary->healthy)
		snprintf(text, size, "%s is primary, but not healthy (%s)", facts->acting,
			 *primary->health ? primary->health : "unknown");
}

static void waiting_to_claim(const struct facts *facts, const struct node_facts *n, char *text,
			     size_t size)
{
	const struct node_facts *preferred = facts_preferred(facts, n);
	char delay[DURATION_TEXT_SIZE];

	if (preferred && n->detail.contend_delay_us)
		snprintf(text, size,
			 "%s (rank %" PRId64 "), which may claim the role first, for %s",
			 preferred->name, preferred->detail.rank,
			 duration_format(n->detail.contend_delay_us, delay));
	else if (facts->contenders)
		snprintf(text, size,
			 "the lock, to claim the role (%d hold it or wait: primaryctl key list %s)",
			 facts->contenders, PATH_PRIMARY);
	else
		snprintf(text, size, "the lock, to claim the role");
}

void facts_waiting(const struct facts *facts, const struct node_facts *n, char *text, size_t size)
{
	uint32_t bits = n->obstacles & ~(uint32_t)OBSTACLE_BUSY;

	*text = '\0';
	if (n->acting && facts->renewal.stale)
		return;
	if (!n->alive && facts->identity.key == IDENTITY_READ && n->detail.there &&
	    n->detail.format < facts->identity.format)
		snprintf(text, size,
			 "an upgrade: primaryd there knows format %" PRId64
			 " of the keys, but they have format %" PRId64,
			 n->detail.format, facts->identity.format);
	else if (!n->alive)
		snprintf(text, size, "%s",
			 router_state_is_acting(n->router) ? "the next primary to mark it as dead"
							   : "");
	else if (!strcmp(n->router, "takeover"))
		snprintf(text, size, "its work to start");
	else if (!strcmp(n->router, "relinquish"))
		snprintf(text, size, "its work to stop");
	else if (!n->acting && !strcmp(n->router, "primary"))
		snprintf(text, size, "its work to stop: the post is gone");
	else if (n->acting && *facts->named && !n->named)
		snprintf(text, size, "the transition delay, before it stops");
	else if (n->acting && !n->named)
		snprintf(text, size,
			 facts->maintenance ? "an operator to name a node" : "a successor");
	else if (n->acting)
		return;
	else if (n->named && facts->post_there)
		snprintf(text, size, "%s to release the post",
			 *facts->acting ? facts->acting : PATH_POST);
	else if (n->named)
		snprintf(text, size, "the transition delay, before it takes the post");
	else if (facts_vacant(facts) && bits & OBSTACLE_PENALTY)
		snprintf(text, size, "the end of its penalty");
	else if (facts_vacant(facts) && bits == OBSTACLE_MAINTENANCE)
		snprintf(text, size, "the end of maintenance");
	else if (facts_vacant(facts) && !n->obstacles)
		waiting_to_claim(facts, n, text, size);
}
