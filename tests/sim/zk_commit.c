/* SPDX-License-Identifier: Apache-2.0 */
#include "sim.h"

/*
 * Requests that need the leader: transactions and syncs. A transaction commits at the instant of
 * its EVENT_COMMIT if a quorum can be reached then; otherwise it stalls, until the link is back or
 * another leader decides what becomes of it. One whose session has re-attached elsewhere never
 * commits any more.
 */

int64_t commit_latency(struct sim *w)
{
	return path_latency(w);
}

static int64_t apply_latency(struct sim *w, int s)
{
	int64_t latency = path_latency(w) / 2;

	if (w->now < w->servers[s].lag_until)
		latency += rng_range(&w->rng, 0, w->params.lag_us);
	return latency;
}

static uint64_t watched_at(const struct sim *w, int s)
{
	uint64_t watched = 0;

	for (int n = 0; n < w->node_count; n++) {
		const struct sim_conn *c = &w->conns[n][w->nodes[n].client.conn % CONNS_PER_NODE];

		if (c->open && c->server == s)
			watched |= c->watch;
	}
	return watched;
}

static void plan_entry(struct sim *w, struct sim_entry *e, int s, uint64_t changed)
{
	struct sim_server *sv = &w->servers[s];

	if (!server_linked(w, s)) {
		e->at[s] = NEVER;
		return;
	}
	e->at[s] = s == w->leader ? w->now : w->now + apply_latency(w, s);
	if (e->at[s] < sv->apply_at)
		e->at[s] = sv->apply_at;
	sv->apply_at = e->at[s];
	if (e->at[s] > w->now &&
	    ((e->origin == s && e->request >= 0) || (changed & watched_at(w, s))))
		sim_schedule(w, e->at[s], EVENT_APPLY, 0, sv->stint, (uint32_t)s);
}

/* Room for one more entry: whoever is up has applied the oldest long ago. */
static void make_room(struct sim *w)
{
	for (int s = 0; s < w->server_count; s++) {
		struct sim_server *sv = &w->servers[s];

		if (sv->applied < 0 || sv->applied + LOG_MAX > w->log_end)
			continue;
		server_advance(w, s);
		if (sv->applied + LOG_MAX <= w->log_end)
			sim_fail(w, "simulator: the log is too short for server %d", s);
	}
}

enum txn_result commit_txn(struct sim *w, const struct sim_txn *txn, int32_t request, int origin)
{
	struct sim_entry *e = &w->log[w->log_end % LOG_MAX];
	struct sim_before before = { .key_mzxid = w->tree.key_mzxid,
				     .key = w->tree.key,
				     .post = w->tree.post };
	enum txn_result result;
	uint64_t changed;

	make_room(w);
	w->zxid++;
	result = tree_apply(&w->tree, txn, w->zxid, &changed);
	e->txn = *txn;
	e->request = request;
	e->origin = (int8_t)origin;
	w->log_end++;
	for (int s = 0; s < w->server_count; s++)
		plan_entry(w, e, s, changed);
	if (txn->type == TXN_CLOSE)
		session_closed(w, txn->session);
	if (result == TXN_OK && (txn->type == TXN_ENTER || txn->type == TXN_RENEW))
		oracle_term(w, txn);
	oracle_commit(w, txn, result, before);
	if (w->leader >= 0)
		server_advance(w, w->leader);
	return result;
}

static bool may_commit(struct sim *w, const struct sim_request *r)
{
	const struct sim_session *s = session_get(w, r->txn.session);

	return s && s->alive && !s->closing && (!s->owner || s->owner == r->gen);
}

static void trace_commit(struct sim *w, const struct sim_request *r, enum txn_result result)
{
	static const char *const texts[] = { "nop",
					     "register",
					     "create key",
					     "set key",
					     "claim",
					     "enter",
					     "leave",
					     "renew",
					     "router",
					     "lock",
					     "unlock",
					     "mark",
					     "close",
					     "delete key",
					     "delete post",
					     "drain",
					     "maintenance",
					     "delete alive",
					     "delete node",
					     "delete root",
					     "refuse",
					     "delete epoch",
					     "delete keepalive",
					     "make cluster",
					     "accept",
					     "make root",
					     "try rights" };

	SIM_TRACE(w, "zk    node %d: %s %s, zxid %lld", r->node, texts[r->txn.type],
		  result == TXN_OK ? "committed" : "refused", (long long)w->zxid);
}

static void commit_request(struct sim *w, struct sim_request *r, int origin)
{
	struct sim_node *n = &w->nodes[r->node];
	enum txn_result result;

	r->stage = STAGE_APPLYING;
	if (r->op != OP_NONE || r->txn.type == TXN_REGISTER)
		chaos_ambush(w, n);
	result = commit_txn(w, &r->txn, (int32_t)(r - w->requests), origin);
	w->stats.conflicts += result != TXN_OK;
	trace_commit(w, r, result);
}

/*
 * Between its server and the leader when the two were parted: it got through, or it waits for the
 * link.
 */
static bool came_through(struct sim *w, const struct sim_request *r, int server)
{
	if (server_linked(w, server))
		return true;
	return r->proposed && rng_chance(&w->rng, 500);
}

/* None that comes after it on its connection commits either. */
static void drop(struct sim *w, struct sim_request *r, struct sim_conn *c)
{
	if (c)
		c->dropped = 1;
	request_free(w, r);
}

static void stall(struct sim *w, struct sim_request *r)
{
	r->stage = STAGE_STALLED;
	r->stalled_at = w->log_end;
}

void commit_on_event(struct sim *w, uint32_t request)
{
	struct sim_request *r = &w->requests[request];
	struct sim_conn *c = conn_get(w, r->node, r->gen);
	bool here;

	if (r->epoch != w->epoch || !c || c->dropped ||
	    (r->type == REQUEST_TXN && !may_commit(w, r))) {
		drop(w, r, c);
		if (c)
			conn_close_by_server(w, c, false);
		return;
	}
	/* Behind one that waits for the link. */
	if (r->previous > c->committed) {
		sim_schedule(w, w->now + 20 * MS, EVENT_COMMIT, 0, 0, request);
		return;
	}
	here = w->servers[c->server].epoch == w->epoch &&
	       w->servers[c->server].state >= SERVER_FOLLOWING;
	if (!came_through(w, r, c->server))
		r->proposed = 0;
	if (!server_can_commit(w) || !r->proposed) {
		if (!c->open || !here)
			drop(w, r, c);
		else
			stall(w, r);
		return;
	}
	c->committed = r->order;
	if (!c->open || !here) {
		/* Nobody is left who could be answered. */
		if (r->type == REQUEST_TXN) {
			w->stats.late_commits++;
			trace_commit(w, r, commit_txn(w, &r->txn, -1, w->leader));
		}
		request_free(w, r);
		return;
	}
	commit_request(w, r, c->server);
}

static int compare_order(const struct sim_request *a, const struct sim_request *b)
{
	return a->order < b->order ? -1 : 1;
}

/* In the order in which they were sent. */
static int collect(struct sim *w, bool inherited, uint16_t *list)
{
	int count = 0;

	for (uint32_t i = 0; i < REQUESTS_MAX; i++) {
		const struct sim_request *r = &w->requests[i];
		bool stalled = r->stage == STAGE_STALLED, proposed = r->stage == STAGE_PROPOSED;
		int at;

		if (!stalled && !(inherited && proposed))
			continue;
		for (at = count++; at > 0 && compare_order(r, &w->requests[list[at - 1]]) < 0; at--)
			list[at] = list[at - 1];
		list[at] = (uint16_t)i;
	}
	return count;
}

void commit_resume_stalled(struct sim *w)
{
	uint16_t list[REQUESTS_MAX];
	int count = collect(w, false, list);
	int64_t at = w->now;

	for (int i = 0; i < count; i++) {
		struct sim_request *r = &w->requests[list[i]];
		struct sim_conn *c = conn_get(w, r->node, r->gen);

		if (r->epoch != w->epoch || !c || !c->open) {
			drop(w, r, c);
		} else if (server_linked(w, c->server) && server_can_commit(w)) {
			r->stage = STAGE_PROPOSED;
			r->proposed = 1;
			at += rng_range(&w->rng, 0, MS);
			sim_schedule(w, at, EVENT_COMMIT, 0, 0, list[i]);
		}
	}
}

void commit_inherited(struct sim *w)
{
	uint16_t list[REQUESTS_MAX];
	int count = collect(w, true, list);
	int64_t log_end = w->log_end;
	bool more = rng_chance(&w->rng, 700);

	for (int i = 0; i < count; i++) {
		struct sim_request *r = &w->requests[list[i]];
		const struct sim_session *s = session_get(w, r->txn.session);
		struct sim_conn *c = conn_get(w, r->node, r->gen);
		/*
		 * What had not reached the old leader yet is subject to its check of the session.
		 */
		bool valid = r->stage == STAGE_PROPOSED ? may_commit(w, r) : s && s->alive;

		/* Something was committed since: this had not reached the leader. */
		if (r->stage == STAGE_STALLED && r->stalled_at != log_end)
			valid = false;

		if (more && valid && r->proposed && r->epoch == w->epoch - 1 &&
		    !(c && (c->dropped || r->previous > c->committed)) && r->type == REQUEST_TXN) {
			if (c)
				c->committed = r->order;
			w->stats.late_commits++;
			trace_commit(w, r, commit_txn(w, &r->txn, -1, w->leader));
			more = rng_chance(&w->rng, 700);
		} else if (c) {
			c->dropped = 1;
		}
		r->epoch = -1;
		if (r->stage == STAGE_STALLED)
			request_free(w, r);
	}
}
