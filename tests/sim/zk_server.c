/* SPDX-License-Identifier: Apache-2.0 */
#include "sim.h"

#include <string.h>

/*
 * Servers: one log of what a quorum agreed on, applied by each server in its own time; at most one
 * leader that can commit; an isolated leader or follower that goes on answering reads and pings
 * until it notices.
 */

static const char *const state_texts[] = { "down", "looking", "following", "leading" };

static void set_state(struct sim *w, int s, enum server_state state)
{
	w->servers[s].state = (uint8_t)state;
	w->servers[s].stint++;
	SIM_TRACE(w, "zk    server %d is %s", s, state_texts[state]);
}

/* Hears its leader, or is it. */
bool server_linked(const struct sim *w, int s)
{
	const struct sim_server *sv = &w->servers[s];

	if (w->leader < 0 || sv->epoch != w->epoch || sv->state < SERVER_FOLLOWING)
		return false;
	return s == w->leader || (!sv->cut && !w->servers[w->leader].cut);
}

bool server_can_commit(const struct sim *w)
{
	int count = 0;

	if (w->leader < 0 || w->servers[w->leader].cut)
		return false;
	for (int s = 0; s < w->server_count; s++)
		count += server_linked(w, s);
	return 2 * count > w->server_count;
}

/*
 * Applies what is due, tells those who watch, then answers the one who asked: watch events precede
 * the reply.
 */
void server_advance(struct sim *w, int s)
{
	struct sim_server *sv = &w->servers[s];

	while (sv->applied < w->log_end) {
		struct sim_entry *e = &w->log[sv->applied % LOG_MAX];
		uint64_t changed;
		enum txn_result result;

		if (e->at[s] > w->now)
			return;
		sv->applied++;
		result = tree_apply(&sv->tree, &e->txn, sv->tree.zxid + 1, &changed);
		if (changed)
			conn_tell_watches(w, s, changed);
		if (e->origin == s && e->request >= 0) {
			struct sim_request *r = &w->requests[e->request];

			e->request = -1;
			r->result = (uint8_t)result;
			r->zxid = sv->tree.zxid;
			r->keep_version = sv->tree.keepalive[r->node].version;
			r->lock_sequence = sv->tree.lock_sequence - 1;
			request_reply(w, conn_get(w, r->node, r->gen), r);
		}
		if (e->txn.type == TXN_CLOSE)
			conn_close_session(w, s, e->txn.node, e->txn.session);
	}
}

static void plan_apply(struct sim *w, int s)
{
	struct sim_server *sv = &w->servers[s];

	for (int64_t i = sv->applied; i < w->log_end; i++) {
		struct sim_entry *e = &w->log[i % LOG_MAX];

		if (e->at[s] != NEVER)
			continue;
		e->at[s] = sv->apply_at = w->now + path_latency(w);
		sim_schedule(w, e->at[s], EVENT_APPLY, 0, sv->stint, (uint32_t)s);
	}
}

/* Requests whose answer this server owed. */
static void forget_requests(struct sim *w, int s)
{
	if (w->servers[s].applied < 0)
		return;
	for (int64_t i = w->servers[s].applied; i < w->log_end; i++) {
		struct sim_entry *e = &w->log[i % LOG_MAX];

		if (e->origin != s || e->request < 0)
			continue;
		request_free(w, &w->requests[e->request]);
		e->request = -1;
	}
}

static void leave(struct sim *w, int s, enum server_state state, bool silent)
{
	session_server_gone(w, s);
	conn_close_all(w, s, silent);
	forget_requests(w, s);
	set_state(w, s, state);
	w->servers[s].applied = -1;
	if (s == w->leader) {
		w->leader = -1;
		sim_schedule(w, w->now + rng_range(&w->rng, MS, 500 * MS), EVENT_LEADER_LOST, 0,
			     (uint32_t)w->epoch, 0);
	}
}

/* From here on as the leader has it. */
static void take_snapshot(struct sim *w, int s)
{
	w->servers[s].tree = w->tree;
	w->servers[s].applied = w->log_end;
	w->servers[s].apply_at = w->now;
	w->servers[s].epoch = w->epoch;
}

static void plan_join(struct sim *w, int s)
{
	sim_schedule(w, w->now + rng_range(&w->rng, MS, 300 * MS), EVENT_JOIN, 0,
		     w->servers[s].stint, (uint32_t)s);
}

static void on_join(struct sim *w, int s)
{
	if (w->servers[s].state != SERVER_LOOKING || w->servers[s].cut)
		return;
	if (w->leader < 0 || w->servers[w->leader].cut)
		return; /* the next election takes it along */
	take_snapshot(w, s);
	set_state(w, s, SERVER_FOLLOWING);
	commit_resume_stalled(w);
}

static void drop_followers(struct sim *w)
{
	for (int s = 0; s < w->server_count; s++)
		if (w->servers[s].state == SERVER_FOLLOWING && !w->servers[s].cut)
			leave(w, s, SERVER_LOOKING, false);
}

/* The followers notice: they drop their clients and elect. */
static void on_leader_lost(struct sim *w, uint32_t epoch)
{
	if ((uint32_t)w->epoch != epoch || (w->leader >= 0 && server_can_commit(w)))
		return;
	drop_followers(w);
	sim_schedule(w, w->now + rng_range(&w->rng, 20 * MS, 500 * MS), EVENT_ELECT, 0, epoch, 0);
}

static int choose_leader(struct sim *w)
{
	int candidates[SERVERS_MAX], count = 0;

	for (int s = 0; s < w->server_count; s++)
		if (w->servers[s].state == SERVER_LOOKING && !w->servers[s].cut)
			candidates[count++] = s;
	if (2 * count <= w->server_count)
		return -1;
	return candidates[rng_below(&w->rng, (uint32_t)count)];
}

static void on_elect(struct sim *w, uint32_t epoch)
{
	int leader;

	if ((uint32_t)w->epoch != epoch || (w->leader >= 0 && server_can_commit(w)))
		return;
	/* A leader that came back after its followers had left it looks for a new one with them. */
	if (w->leader >= 0 && !w->servers[w->leader].cut)
		leave(w, w->leader, SERVER_LOOKING, false);
	drop_followers(w);
	leader = choose_leader(w);
	if (leader < 0) {
		sim_schedule(w, w->now + 100 * MS, EVENT_ELECT, 0, epoch, 0);
		return;
	}
	w->leader = leader;
	w->epoch++;
	w->stats.leaders++;
	take_snapshot(w, leader);
	set_state(w, leader, SERVER_LEADING);
	for (int s = 0; s < w->server_count; s++) {
		if (w->servers[s].state != SERVER_LOOKING || w->servers[s].cut)
			continue;
		take_snapshot(w, s);
		set_state(w, s, SERVER_FOLLOWING);
	}
	commit_inherited(w);
	session_new_leader(w);
}

static void on_server_up(struct sim *w, int s)
{
	if (w->servers[s].state != SERVER_DOWN)
		return;
	set_state(w, s, SERVER_LOOKING);
	plan_join(w, s);
}

static void heal(struct sim *w, int s)
{
	struct sim_server *sv = &w->servers[s];

	if (!sv->cut)
		return;
	sv->cut = 0;
	SIM_TRACE(w, "zk    server %d is linked again", s);
	if (sv->state == SERVER_LOOKING) {
		plan_join(w, s);
		return;
	}
	if (sv->state == SERVER_DOWN)
		return;
	if (sv->epoch != w->epoch || w->leader < 0) {
		leave(w, s, SERVER_LOOKING, false);
		plan_join(w, s);
		return;
	}
	for (int i = 0; i < w->server_count; i++) {
		if (server_linked(w, i)) {
			session_server_linked(w, i);
			plan_apply(w, i);
		}
		if (w->servers[i].state == SERVER_LOOKING)
			plan_join(w, i);
	}
	commit_resume_stalled(w);
}

/* Gives up on a leader, or on followers, not heard of for so long. */
static void on_resign(struct sim *w, int s)
{
	if (w->servers[s].state < SERVER_FOLLOWING)
		return;
	if (server_linked(w, s) && server_can_commit(w))
		return;
	if (!w->servers[s].cut && s != w->leader)
		return; /* that is EVENT_LEADER_LOST's business */
	leave(w, s, SERVER_LOOKING, false);
	if (!w->servers[s].cut)
		plan_join(w, s);
}

static void plan_doubts(struct sim *w, int s)
{
	int64_t late = rng_range(&w->rng, 50 * MS, OLD_SERVER_US);

	sim_schedule(w, w->now + late, EVENT_RESIGN, 0, w->servers[s].stint, (uint32_t)s);
	late = rng_chance(&w->rng, 500) ? rng_range(&w->rng, 20 * MS, 500 * MS)
					: rng_range(&w->rng, 50 * MS, OLD_SERVER_US);
	if (w->leader >= 0 && !server_can_commit(w)) {
		sim_schedule(w, w->now + late, EVENT_LEADER_LOST, 0, (uint32_t)w->epoch, 0);
		sim_schedule(w, w->now + OLD_SERVER_US, EVENT_RESIGN, 0,
			     w->servers[w->leader].stint, (uint32_t)w->leader);
	}
}

void server_isolate(struct sim *w, int s, int64_t until)
{
	struct sim_server *sv = &w->servers[s];

	if (sv->cut || sv->state == SERVER_DOWN)
		return;
	SIM_TRACE(w, "fault server %d is isolated until %.6f", s, (double)until / 1e6);
	session_server_cut(w, s);
	/* What was agreed on, but not yet delivered there, stays outside. */
	if (sv->applied >= 0)
		server_advance(w, s);
	for (int64_t k = sv->applied; k >= 0 && k < w->log_end; k++)
		w->log[k % LOG_MAX].at[s] = NEVER;
	sv->cut = 1;
	sim_schedule(w, until, EVENT_SERVER_HEAL, 0, 0, (uint32_t)s);
	plan_doubts(w, s);
}

void server_crash(struct sim *w, int s, int64_t down_us, bool dark)
{
	if (w->servers[s].state == SERVER_DOWN)
		return;
	SIM_TRACE(w, "fault server %d is killed", s);
	leave(w, s, SERVER_DOWN, dark);
	sim_schedule(w, w->now + down_us, EVENT_SERVER_UP, 0, w->servers[s].stint, (uint32_t)s);
	if (w->leader >= 0)
		plan_doubts(w, s);
}

void server_heal_all(struct sim *w)
{
	for (int s = 0; s < w->server_count; s++) {
		heal(w, s);
		on_server_up(w, s);
	}
}

/* -- backups -- */

void server_backup(struct sim *w)
{
	w->backup.tree = w->tree;
	w->backup.there = 1;
	for (int i = 0; i < SESSIONS_MAX; i++)
		w->backup.sessions[i] = w->sessions[i].alive ? w->sessions[i].id : 0;
}

/* What had not been committed by then never is. */
static void drop_proposals(struct sim *w)
{
	for (int i = 0; i < REQUESTS_MAX; i++) {
		struct sim_request *r = &w->requests[i];

		if (r->stage == STAGE_STALLED)
			request_free(w, r);
		else if (r->stage == STAGE_PROPOSED)
			r->epoch = -1;
	}
}

/* Sessions of then are alive again, for one timeout at least; the others were never heard of. */
static void set_back_sessions(struct sim *w, bool wiped)
{
	for (int i = 0; i < SESSIONS_MAX; i++) {
		struct sim_session *s = &w->sessions[i];
		int32_t id = wiped ? 0 : w->backup.sessions[i];
		uint64_t changed;

		s->alive = id && id == s->id;
		s->closing = 0;
		s->closed_zxid = INT64_MAX;
		if (!id || s->alive)
			continue;
		(void)tree_apply(&w->tree, &(struct sim_txn){ .type = TXN_CLOSE, .session = id },
				 ++w->zxid, &changed);
	}
}

/* One that nobody remembers would take whatever answers for its own. */
static bool all_remember(const struct sim *w)
{
	for (int i = 0; i < w->node_count; i++)
		if (!*w->nodes[i].disk.id)
			return false;
	return true;
}

/* Whether every node sees that the backup is older than what it knows. */
static bool all_see_through(const struct sim *w)
{
	struct identity_seen seen;
	enum identity_reason reason;

	files_see_cluster(&w->backup.tree, &seen);
	for (int i = 0; i < w->node_count; i++)
		if (identity_judge(host_known(&w->nodes[i]), &seen, false, &reason) !=
		    IDENTITY_FOREIGN)
			return false;
	return true;
}

void server_restore(struct sim *w)
{
	bool wiped = !w->backup.there || rng_chance(&w->rng, 200);
	int64_t down_us = rng_range(&w->rng, 200 * MS, 2 * w->params.session_us);
	/* One of the old servers keeps its connections for a while. */
	int old = rng_chance(&w->rng, 400) ? (int)rng_below(&w->rng, (uint32_t)w->server_count)
					   : -1;

	if (!all_remember(w))
		return;
	/* Else the servers stay off until the lease of the primary is over, as the manual wants it (What it cannot do). */
	if (!wiped && !all_see_through(w) && down_us < w->params.session_us)
		down_us = w->params.session_us;
	SIM_TRACE(w, "fault the ensemble is %s", wiped ? "emptied" : "set back");
	if (old >= 0)
		server_isolate(w, old, w->now + rng_range(&w->rng, MS, OLD_SERVER_US));
	drop_proposals(w);
	for (int s = 0; s < w->server_count; s++) {
		if (w->servers[s].state == SERVER_DOWN || s == old)
			continue;
		leave(w, s, SERVER_DOWN, false);
		sim_schedule(w, w->now + down_us, EVENT_SERVER_UP, 0, w->servers[s].stint,
			     (uint32_t)s);
	}
	w->leader = -1;
	w->epoch++;
	if (wiped)
		tree_init(&w->tree);
	else
		w->tree = w->backup.tree;
	w->zxid = w->tree.zxid;
	set_back_sessions(w, wiped);
	oracle_restored(w);
	sim_schedule(w, w->now + down_us + rng_range(&w->rng, 20 * MS, 500 * MS), EVENT_ELECT, 0,
		     (uint32_t)w->epoch, 0);
}

void server_start(struct sim *w)
{
	tree_init(&w->tree);
	w->leader = (int32_t)rng_below(&w->rng, (uint32_t)w->server_count);
	w->epoch = 1;
	for (int s = 0; s < w->server_count; s++) {
		take_snapshot(w, s);
		w->servers[s].report_phase = rng_range(&w->rng, 0, w->params.tick_us / 2) -
					     SEC * 10;
		w->servers[s].state = s == w->leader ? SERVER_LEADING : SERVER_FOLLOWING;
	}
}

void server_on_event(struct sim *w, const struct queue_event *ev)
{
	int s = (int)ev->arg;

	if (ev->type == EVENT_LEADER_LOST) {
		on_leader_lost(w, ev->gen);
	} else if (ev->type == EVENT_ELECT) {
		on_elect(w, ev->gen);
	} else if (ev->type == EVENT_SERVER_HEAL) {
		heal(w, s);
	} else if (ev->gen != w->servers[s].stint) {
		return;
	} else if (ev->type == EVENT_APPLY) {
		server_advance(w, s);
	} else if (ev->type == EVENT_RESIGN) {
		on_resign(w, s);
	} else if (ev->type == EVENT_JOIN) {
		on_join(w, s);
	} else if (ev->type == EVENT_SERVER_UP) {
		on_server_up(w, s);
	}
}
