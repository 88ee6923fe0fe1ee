/* SPDX-License-Identifier: Apache-2.0 */
#include "sim.h"

#include <stdlib.h>
#include <string.h>

/* Faults, drawn by the weights of the run, and the end of all faults. */

static struct sim_node *any_node(struct sim *w)
{
	return &w->nodes[rng_below(&w->rng, (uint32_t)w->node_count)];
}

/* The one whose failure hurts, most of the time. */
static struct sim_node *victim(struct sim *w)
{
	if (w->tree.post >= 0 && rng_chance(&w->rng, 600))
		return &w->nodes[w->tree.post];
	if (w->tree.key >= 0 && w->tree.key < w->node_count && rng_chance(&w->rng, 300))
		return &w->nodes[w->tree.key];
	return any_node(w);
}

/* From a blink to well beyond a session. */
static int64_t span(struct sim *w)
{
	int64_t longest = w->params.session_us * 2;

	switch (rng_below(&w->rng, 3)) {
	case 0:
		return rng_range(&w->rng, MS, longest / 40);
	case 1:
		return rng_range(&w->rng, MS, longest / 4);
	default:
		return rng_range(&w->rng, MS, longest);
	}
}

static void cut_path(struct sim *w, struct sim_node *n, int server, bool up, bool down,
		     int64_t for_us)
{
	int64_t *cut = w->path_cut[n->id][server];

	if (up && cut[0] < w->now + for_us)
		cut[0] = w->now + for_us;
	if (down && cut[1] < w->now + for_us)
		cut[1] = w->now + for_us;
	SIM_TRACE(w, "fault path of node %d and server %d cut%s%s for %lld ms", n->id, server,
		  up ? ", up" : "", down ? ", down" : "", (long long)(for_us / MS));
}

static void cut_node(struct sim *w, struct sim_node *n, int64_t for_us)
{
	bool up = rng_chance(&w->rng, 850), down = !up || rng_chance(&w->rng, 850);

	for (int s = 0; s < w->server_count; s++)
		cut_path(w, n, s, up, down, for_us);
}

static void pause_host(struct sim *w, struct sim_node *n)
{
	/* A pause spends the margin of the lease: half of it, once a session. */
	int64_t longest = lease_margin_us(w->params.least_us) / 2;
	int64_t pause_us = rng_range(&w->rng, MS, longest);

	if (w->now < n->pause_credit_at)
		return;
	n->pause_credit_at = w->now + w->params.session_us * 2;
	host_pause(w, n, pause_us, rng_chance(&w->rng, 500));
}

/*
 * Only without work: a host that sleeps with work up and wakes after its lease is the stated
 * impossible case.
 */
static void suspend_host(struct sim *w, struct sim_node *n)
{
	int64_t pause_us = span(w);

	if (n->work.truth != TRUTH_DOWN && !w->options->frozen_hosts)
		return;
	/* A clock that stands still for long is the same case: no session looks old to it. */
	host_pause(w, n, pause_us, w->options->frozen_hosts && rng_chance(&w->rng, 300));
}

static void fail_health(struct sim *w, struct sim_node *n)
{
	process_post(w, n, 0, TELL_SICK);
	if (n->work.truth == TRUTH_DOWN || rng_chance(&w->rng, 500))
		process_post(w, n, span(w), TELL_WELL);
}

#define BLIND(key) (1u << SIM_KEY_##key)

static void make_blind(struct sim *w, struct sim_node *n)
{
	const uint32_t view = BLIND(PRIMARY) | BLIND(POST) | BLIND(ALIVE) | BLIND(DRAIN) |
			      BLIND(MAINTENANCE) | BLIND(EPOCH);
	const uint32_t keys[] = { BLIND(PRIMARY),     BLIND(POST),   BLIND(ALIVE),    BLIND(DRAIN),
				  BLIND(MAINTENANCE), BLIND(EPOCH),  BLIND(CLUSTER),  view,
				  BLIND(NODE),	      BLIND(ROUTER), BLIND(KEEPALIVE) };

	n->blind = keys[rng_below(&w->rng, sizeof(keys) / sizeof(keys[0]))];
	n->blind_denied = rng_chance(&w->rng, 500);
	n->blind_until = w->now + span(w);
	SIM_TRACE(w, "fault node %d may not read keys %#x", n->id, n->blind);
}

static int follower(struct sim *w)
{
	int s = (int)rng_below(&w->rng, (uint32_t)w->server_count);

	return s == w->leader ? (s + 1) % w->server_count : s;
}

/* Where it hurts: the server that the victim is attached to. */
static int server_of(struct sim *w, const struct sim_node *n)
{
	if (n->client.link == LINK_ATTACHED && rng_chance(&w->rng, 500))
		return n->client.server;
	return (int)rng_below(&w->rng, (uint32_t)w->server_count);
}

static void fault_on_servers(struct sim *w, enum sim_fault what, struct sim_node *n)
{
	bool dark = rng_chance(&w->rng, 300);
	int64_t for_us = span(w);
	int s = server_of(w, n);

	if (what == FAULT_SERVER_CRASH) {
		server_crash(w, s, for_us, dark);
	} else if (what == FAULT_LEADER_CRASH && w->leader >= 0) {
		server_crash(w, w->leader, for_us, dark);
	} else if (what == FAULT_LEADER_ISOLATED && w->leader >= 0) {
		server_isolate(w, w->leader, w->now + for_us);
	} else if (what == FAULT_FOLLOWER_ISOLATED) {
		server_isolate(w, s == w->leader ? follower(w) : s, w->now + for_us);
	} else if (what == FAULT_FSYNC) {
		/* Up to T/4 from sending to acknowledgement, or beyond. */
		w->fsync_us = rng_range(&w->rng, MS,
					w->params.session_us / (rng_chance(&w->rng, 700) ? 9 : 3));
		w->fsync_until = w->now + 3 * for_us;
	} else if (what == FAULT_CLOCK_STEP) {
		session_step_clock(w, rng_chance(&w->rng, 500) ? for_us : -for_us);
	} else if (what == FAULT_LAG) {
		w->servers[follower(w)].lag_until = w->now + for_us;
	}
}

static void fault_on_node(struct sim *w, enum sim_fault what, struct sim_node *n)
{
	if (what == FAULT_CONN_RESET)
		sim_schedule(w, w->now, EVENT_CLOSED, n->id, n->client.conn, 1);
	else if (what == FAULT_PATH_SILENT)
		cut_path(w, n, n->client.server, true, true, span(w));
	else if (what == FAULT_PATH_UP)
		cut_path(w, n, n->client.server, true, false, span(w));
	else if (what == FAULT_PATH_DOWN)
		cut_path(w, n, n->client.server, false, true, span(w));
	else if (what == FAULT_NODE_CUT)
		cut_node(w, n, span(w));
	else if (what == FAULT_DAEMON_PAUSE)
		host_pause_daemon(w, n, span(w));
	else if (what == FAULT_BLIND)
		make_blind(w, n);
	else if (what == FAULT_GUARD_DIES)
		guard_die(w, n);
	else if (what == FAULT_HOST_PAUSE)
		pause_host(w, n);
	else if (what == FAULT_HOST_SUSPEND)
		suspend_host(w, n);
	else if (what == FAULT_DAEMON_CRASH || what == FAULT_STATE_LOST)
		host_crash_daemon(w, n, what == FAULT_STATE_LOST,
				  rng_chance(&w->rng, 500) ? rng_range(&w->rng, MS, 50 * MS)
							   : span(w));
	else if (what == FAULT_HOST_CRASH)
		host_power_off(w, n, span(w));
	else if (what == FAULT_REPLACED)
		host_replace(w, n, span(w));
	else if (what == FAULT_COPIED)
		host_copy(w, n);
	else if (what == FAULT_STATE_FAILS)
		n->state_fails_until = w->now + 2 * span(w);
	else if (what == FAULT_SHUTDOWN)
		process_post(w, n, 0, TELL_SHUTDOWN);
	else if (what == FAULT_HEALTH)
		fail_health(w, n);
	else if (what == FAULT_WORK_DIES)
		work_die(w, n);
}

static enum sim_fault draw_fault(struct sim *w)
{
	uint32_t at = rng_below(&w->rng, w->params.weight_sum);

	for (int i = 0; i < FAULT_COUNT; i++) {
		if (at < w->params.weight[i])
			return (enum sim_fault)i;
		at -= w->params.weight[i];
	}
	return FAULT_CONN_RESET;
}

static void inflict(struct sim *w, enum sim_fault what, struct sim_node *n)
{
	w->stats.faults[what]++;
	if (what >= FAULT_SWITCHOVER)
		operator_do(w, what);
	else if (what == FAULT_SLOW)
		w->slow_until = w->now + span(w);
	else if (what >= FAULT_SERVER_CRASH)
		fault_on_servers(w, what, n);
	else
		fault_on_node(w, what, n);
}

void chaos_on_event(struct sim *w)
{
	if (w->calm)
		return;
	if (w->params.weight[FAULT_RESTORE] && server_can_commit(w) && rng_chance(&w->rng, 50))
		server_backup(w);
	if (w->params.weight_sum) {
		struct sim_node *n = victim(w);

		inflict(w, draw_fault(w), n);
	}
	/* Faults come in flocks: some at once, then a pause. */
	sim_schedule(w,
		     w->now + (rng_chance(&w->rng, 300)
				       ? rng_range(&w->rng, 1, 200 * MS)
				       : rng_range(&w->rng, MS, w->params.chaos_us)),
		     EVENT_CHAOS, 0, 0, 0);
}

/*
 * Something goes wrong at the very moment of a transaction: when it is sent, when it commits, when
 * it is answered.
 */
void chaos_ambush(struct sim *w, struct sim_node *n)
{
	static const enum sim_fault kinds[] = {
		FAULT_CONN_RESET,      FAULT_PATH_SILENT,	FAULT_PATH_DOWN,
		FAULT_PATH_UP,	       FAULT_NODE_CUT,		FAULT_DAEMON_PAUSE,
		FAULT_DAEMON_CRASH,    FAULT_SERVER_CRASH,	FAULT_LEADER_CRASH,
		FAULT_LEADER_ISOLATED, FAULT_FOLLOWER_ISOLATED,
	};
	uint32_t kind;

	if (w->calm || !w->params.ambush || !rng_chance(&w->rng, w->params.ambush))
		return;
	kind = kinds[rng_below(&w->rng, sizeof(kinds) / sizeof(kinds[0]))];
	if (!w->params.weight[kind])
		return;
	w->stats.faults[FAULT_AMBUSH]++;
	sim_schedule(w,
		     w->now + (rng_chance(&w->rng, 500)
				       ? 0
				       : rng_range(&w->rng, 0, 2 * w->params.latency_us)),
		     EVENT_OPERATOR, n->id, 0, kind);
}

/* An ambush comes as an event of its own, so that nothing happens in the middle of anything. */
void operator_on_event(struct sim *w, const struct queue_event *ev)
{
	if (w->calm)
		return;
	if (ev->arg < FAULT_SWITCHOVER)
		inflict(w, (enum sim_fault)ev->arg, &w->nodes[ev->node]);
	else
		operator_do(w, (enum sim_fault)ev->arg);
}

static void refuse(struct sim *w, int node)
{
	static const uint16_t kinds[] = { REFUSE_KEY,  REFUSE_POST,  REFUSE_LEAVE, REFUSE_OWN,
					  REFUSE_NOTE, REFUSE_LOCK,  REFUSE_MARK,  REFUSE_RENEW,
					  REFUSE_LOOK, REFUSE_WATCH, REFUSE_ALL };
	struct sim_txn txn = { .type = TXN_REFUSE, .node = (int8_t)node };

	if (rng_chance(&w->rng, 500))
		txn.version = kinds[rng_below(&w->rng, sizeof(kinds) / sizeof(kinds[0]))];
	if (server_can_commit(w))
		commit_txn(w, &txn, -1, w->leader);
}

static void operator_txn(struct sim *w, uint8_t type, int node, int8_t value, int32_t version)
{
	struct sim_txn txn = {
		.type = type, .node = (int8_t)node, .value = value, .version = version
	};

	if (server_can_commit(w))
		commit_txn(w, &txn, -1, w->leader);
}

static int8_t draw_name(struct sim *w)
{
	if (rng_chance(&w->rng, 100))
		return NAMED_STRANGER;
	return (int8_t)rng_below(&w->rng, (uint32_t)w->node_count);
}

/* The primary hangs: it is removed with all its keys, and so is the post of its successor if the work does not start at once. */
static void remove_primary(struct sim *w)
{
	if (w->tree.post < 0)
		return;
	cut_node(w, &w->nodes[w->tree.post], w->params.session_us);
	operator_txn(w, TXN_DELETE_NODE, w->tree.post, 0, 0);
	sim_schedule(w, w->now + rng_range(&w->rng, MS, w->params.session_us / 8), EVENT_OPERATOR,
		     0, 0, FAULT_DELETE_POST);
}

/* As impatient operators do it: they name another node, and do not wait until the old one has stopped. */
static void delete_post(struct sim *w, int node)
{
	if (w->params.weight[FAULT_DELETE_NODE] && rng_chance(&w->rng, 300))
		remove_primary(w);
	if (rng_chance(&w->rng, 700))
		operator_txn(w, TXN_SET_KEY, node, draw_name(w), w->tree.key_version);
	operator_txn(w, TXN_DELETE_POST, node, 0, 0);
}

static const char *fault_text(enum sim_fault what)
{
	static const char *const texts[] = {
#define X(name, text) text,
		SIM_FAULTS(X)
#undef X
	};

	return texts[what];
}

static void delete_keys(struct sim *w, enum sim_fault what, int node)
{
	static const uint8_t types[] = {
		[FAULT_DELETE_ALIVE] = TXN_DELETE_ALIVE,
		[FAULT_DELETE_NODE] = TXN_DELETE_NODE,
		[FAULT_DELETE_ROOT] = TXN_DELETE_ROOT,
		[FAULT_DELETE_EPOCH] = TXN_DELETE_EPOCH,
		[FAULT_DELETE_KEEPALIVE] = TXN_DELETE_KEEPALIVE,
	};

	SIM_TRACE(w, "fault of node %d: %s", node, fault_text(what));
	operator_txn(w, types[what], node, 0, 0);
}

static void close_session(struct sim *w, const struct sim_node *n)
{
	struct sim_txn txn = { .type = TXN_CLOSE,
			       .node = (int8_t)n->id,
			       .session = n->client.session };

	if (n->client.session && session_get(w, n->client.session) && server_can_commit(w))
		commit_txn(w, &txn, -1, w->leader);
}

static int32_t id_of(const struct sim_node *n)
{
	return (int32_t)strtol(host_known(n)->id, NULL, 16);
}

/*
 * `primaryctl cluster accept`, by a node that remembers the cluster and does not take this ensemble for it. The old servers
 * are off by then.
 */
static void accept_ensemble(struct sim *w)
{
	struct sim_txn txn = { .type = TXN_ACCEPT };
	struct identity_seen seen;
	bool foreign = false;

	files_see_cluster(&w->tree, &seen);
	for (int i = 0; i < w->node_count; i++) {
		int32_t id = id_of(&w->nodes[i]);

		if (id && (!txn.id || id < txn.id))
			txn.id = id;
	}
	for (int i = 0; i < w->node_count; i++) {
		const struct identity *known = host_known(&w->nodes[i]);
		enum identity_reason reason;

		if (!*known->id || identity_judge(known, &seen, false, &reason) != IDENTITY_FOREIGN)
			continue;
		foreign = true;
		if (known->generation >= txn.generation)
			txn.generation = known->generation + 1;
	}
	for (int s = 0; s < w->server_count; s++)
		foreign = foreign && !w->servers[s].cut;
	if (seen.key == IDENTITY_READ && seen.generation >= txn.generation)
		txn.generation = seen.generation + 1;
	if (!foreign || !server_can_commit(w))
		return;
	commit_txn(w, &txn, -1, w->leader);
	/* A node that came when /cluster had been deleted, and made one of its own: its memory is removed. */
	for (int i = 0; i < w->node_count; i++)
		if (id_of(&w->nodes[i]) != txn.id)
			host_forget(w, &w->nodes[i]);
}

/* Compare-and-set, as primaryctl does it; only the deletions ask nobody. */
void operator_do(struct sim *w, enum sim_fault what)
{
	int node = any_node(w)->id;

	SIM_TRACE(w, "fault operator: %s, node %d", fault_text(what), node);
	if (what == FAULT_SWITCHOVER)
		operator_txn(w, TXN_SET_KEY, node, draw_name(w), w->tree.key_version);
	else if (what == FAULT_RELEASE)
		operator_txn(w, TXN_SET_KEY, node, NAMED_NONE, w->tree.key_version);
	else if (what == FAULT_JUNK_KEY)
		operator_txn(w, TXN_SET_KEY, node, NAMED_JUNK, w->tree.key_version);
	else if (what == FAULT_DRAIN || what == FAULT_UNDRAIN)
		operator_txn(w, TXN_DRAIN, node, what == FAULT_DRAIN, 0);
	else if (what == FAULT_MAINT_ON || what == FAULT_MAINT_OFF)
		operator_txn(w, TXN_MAINTENANCE, node, what == FAULT_MAINT_ON, 0);
	else if (what == FAULT_DELETE_KEY)
		operator_txn(w, TXN_DELETE_KEY, node, 0, 0);
	else if (what == FAULT_DELETE_POST)
		delete_post(w, node);
	else if (what == FAULT_CLOSE_SESSION)
		close_session(w, victim(w));
	else if (what == FAULT_RESTORE)
		server_restore(w);
	else if (what == FAULT_ACCEPT)
		accept_ensemble(w);
	else if (what == FAULT_REFUSED)
		refuse(w, node);
	else
		delete_keys(w, what, victim(w)->id);
}

/* All faults end; what they left behind stays, but for what only an operator can undo. */
void chaos_off(struct sim *w)
{
	bool undrain = rng_chance(&w->rng, 700);

	SIM_TRACE(w, "calm  from here on nothing fails");
	w->calm = true;
	w->slow_until = w->fsync_until = 0;
	w->params.fence_fails = w->params.fence_hangs = w->params.ambush = 0;
	w->params.stop_in_step = w->params.guard_fails = w->params.guard_late = 0;
	w->params.stop_fails = 0;
	w->params.memory_lost = 0;
	memset(w->path_cut, 0, sizeof(w->path_cut));
	server_heal_all(w);
	for (int i = 0; i < w->node_count; i++) {
		struct sim_node *n = &w->nodes[i];

		n->blind_until = n->state_fails_until = 0;
		process_post(w, n, MS, TELL_WELL);
		sim_schedule(w, w->now + 10 * MS, EVENT_BOOT, i, n->incarnation, 0);
	}
	w->liveness_bound = params_liveness_us(w);
	sim_schedule(w, w->now + 6 * SEC, EVENT_CALM, 0, 1 + undrain, 0);
	sim_schedule(w, w->now + w->liveness_bound - w->params.session_us, EVENT_CALM, 0, 3, 0);
	sim_schedule(w, w->now + w->liveness_bound, EVENT_END, 0, 0, 0);
}
