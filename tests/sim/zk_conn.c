/* SPDX-License-Identifier: Apache-2.0 */
#include "sim.h"

#include <string.h>

/*
 * Connections. Each direction is a FIFO; what meets a cut path waits there as TCP would, and lands
 * late, also when its sender has long given the connection up. A server treats the requests of one
 * connection one by one.
 */

enum { UP, DOWN };

struct sim_conn *conn_get(struct sim *w, int node, uint32_t gen)
{
	struct sim_conn *c = &w->conns[node][gen % CONNS_PER_NODE];

	return c->gen == gen ? c : NULL;
}

struct sim_request *request_create(struct sim *w, struct sim_node *n, uint8_t type, uint8_t purpose)
{
	uint32_t slot = w->request_free;
	struct sim_request *r = &w->requests[slot];

	if (slot >= REQUESTS_MAX - 1) {
		sim_fail(w, "simulator: too many requests under way");
		return r;
	}
	w->request_free = r->next_free;
	r->type = type;
	r->purpose = purpose;
	r->stage = STAGE_FLIGHT;
	r->node = (int8_t)n->id;
	r->gen = n->client.conn;
	r->order = ++w->order;
	r->proposed = 0;
	r->epoch = 0;
	r->key = SIM_KEY_NONE;
	r->op = OP_NONE;
	r->of = 0;
	r->bit = -1;
	r->watch = r->exists = false;
	r->txn = (struct sim_txn){ .node = (int8_t)n->id, .session = n->client.session };
	return r;
}

void request_free(struct sim *w, struct sim_request *r)
{
	if (r->stage == STAGE_FREE) {
		sim_fail(w, "simulator: a request freed twice");
		return;
	}
	r->stage = STAGE_FREE;
	r->next_free = w->request_free;
	w->request_free = (uint16_t)(r - w->requests);
}

int64_t conn_arrival(struct sim *w, struct sim_conn *c, int direction)
{
	int64_t at = w->now;

	/* What is sent in one moment comes together, unless they are to come apart. */
	if (w->params.apart || c->planned[direction] != w->now)
		at += path_latency(w);
	c->planned[direction] = w->now;
	if (at < c->arrival[direction])
		at = c->arrival[direction];
	c->arrival[direction] = at;
	return at;
}

/* What is sent, or on its way, meanwhile comes after it, also when the path is whole again before that. */
int64_t conn_held_up(const struct sim *w, struct sim_conn *c, int direction)
{
	int64_t cut = w->path_cut[c->node][c->server][direction];

	if (cut > c->held[direction])
		c->held[direction] = cut;
	if (c->held[direction] <= w->now)
		return 0;
	if (c->arrival[direction] < c->held[direction])
		c->arrival[direction] = c->held[direction];
	return c->held[direction];
}

void request_send(struct sim *w, struct sim_request *r)
{
	struct sim_conn *c = conn_get(w, r->node, r->gen);

	oracle_send(w, r);
	r->sent_local = clock_local(w, &w->nodes[r->node]);
	w->nodes[r->node].client.spoke = w->now;
	w->nodes[r->node].client.waiting++;
	if (w->path_cut[r->node][c->server][UP] > w->now ||
	    w->path_cut[r->node][c->server][DOWN] > w->now || !c->open)
		sim_schedule(w, w->now + lease_cut_us(w->nodes[r->node].client.timeout),
			     EVENT_UNACKED, r->node, r->gen, 0);
	sim_schedule(w, conn_arrival(w, c, UP), EVENT_ARRIVE, r->node, 0,
		     (uint32_t)(r - w->requests));
}

/* The answer leaves the server, if anybody is there to take it. */
void request_reply(struct sim *w, struct sim_conn *c, struct sim_request *r)
{
	if (!c || !c->open) {
		request_free(w, r);
		return;
	}
	if (r->type == REQUEST_SYNC || r->type == REQUEST_TXN) {
		c->busy--;
		c->syncing = 0;
		if (r->type == REQUEST_SYNC) {
			r->type = REQUEST_READ;
			c->queue[--c->head % CONN_QUEUE] = (uint16_t)(r - w->requests);
			c->count++;
			r->stage = STAGE_QUEUED;
			conn_pump(w, c);
			return;
		}
	}
	r->stage = STAGE_REPLY;
	sim_schedule(w, conn_arrival(w, c, DOWN), EVENT_REPLY, r->node, r->gen,
		     (uint32_t)(r - w->requests));
	conn_pump(w, c);
}

static void watch_lock(struct sim *w, struct sim_conn *c, int32_t uid)
{
	int free = -1;

	for (int i = 0; i < LOCKS_WATCHED; i++) {
		if (c->locks[i] == uid)
			return;
		free = c->locks[i] ? free : i;
	}
	if (free < 0)
		sim_fail(w, "simulator: too many lock nodes are watched");
	else
		c->locks[free] = uid;
}

static void answer(struct sim *w, struct sim_conn *c, struct sim_request *r)
{
	const struct sim_tree *t = &w->servers[c->server].tree;

	if (r->type == REQUEST_READ)
		c->watch |= zkh_answer(w, t, r);
	if (r->type == REQUEST_READ && r->key == SIM_KEY_LOCK && r->watch &&
	    r->sight.result == ZKH_OK)
		watch_lock(w, c, r->txn.uid);
	r->result = TXN_OK;
	r->zxid = t->zxid;
	if (r->txn.type == TXN_RENEW)
		r->result = t->post >= 0 ? TXN_OK : TXN_CONFLICT;
	request_reply(w, c, r);
}

/* A log that is slow to be written is written in groups. */
static int64_t commit_at(struct sim *w, struct sim_conn *c, int64_t latency)
{
	int64_t at = w->now + latency;

	if (w->now < w->fsync_until)
		at = (at / w->fsync_us + 2) * w->fsync_us;
	if (at < c->commit_at)
		at = c->commit_at;
	c->commit_at = at;
	return at;
}

static void propose(struct sim *w, struct sim_conn *c, struct sim_request *r)
{
	int64_t latency = path_latency(w);

	r->epoch = w->servers[c->server].epoch;
	/* A leader answers syncs by itself, also an isolated one. */
	if (r->type == REQUEST_SYNC && w->servers[c->server].state == SERVER_LEADING) {
		request_reply(w, c, r);
		return;
	}
	r->previous = c->proposed;
	c->proposed = r->order;
	if (!server_linked(w, c->server)) {
		r->stage = STAGE_STALLED;
		return;
	}
	if (c->server != w->leader)
		latency += path_latency(w);
	r->stage = STAGE_PROPOSED;
	r->proposed = c->server != w->leader || !w->servers[c->server].cut;
	sim_schedule(w, commit_at(w, c, latency), EVENT_COMMIT, 0, 0, (uint32_t)(r - w->requests));
}

static bool may_go(const struct sim *w, const struct sim_conn *c)
{
	uint8_t type;

	if (!c->open || !c->count)
		return false;
	type = w->requests[c->queue[c->head % CONN_QUEUE]].type;
	/* Transactions follow each other; reads wait for them, and they for a sync. */
	return !c->busy || (type == REQUEST_TXN && !c->syncing);
}

/* Reads behind a write that hangs wait with it. */
void conn_pump(struct sim *w, struct sim_conn *c)
{
	while (may_go(w, c)) {
		struct sim_request *r = &w->requests[c->queue[c->head % CONN_QUEUE]];
		struct sim_session *s = session_get(w, c->session);

		c->head++;
		c->count--;
		if (s)
			session_touch(w, s, c->server, c->timeout);
		server_advance(w, c->server);
		if (r->type == REQUEST_TXN || r->type == REQUEST_SYNC) {
			c->busy++;
			c->syncing = r->type == REQUEST_SYNC;
			propose(w, c, r);
		} else {
			answer(w, c, r);
			return; /* request_reply() has gone on with the queue */
		}
	}
}

void conn_arrive(struct sim *w, const struct queue_event *ev)
{
	struct sim_request *r = &w->requests[ev->arg];
	struct sim_conn *c = conn_get(w, r->node, r->gen);
	int64_t held;

	if (!c || c->lost || !c->open) {
		request_free(w, r);
		return;
	}
	if (c->count == CONN_QUEUE)
		sim_fail(w, "simulator: too many requests on one connection");
	held = conn_held_up(w, c, UP);
	if (held) {
		sim_hold(w, ev, held);
		return;
	}
	if (r->order < c->arrived)
		sim_fail(w, "simulator: a request overtook another on its connection");
	c->arrived = r->order;
	r->stage = STAGE_QUEUED;
	c->queue[(uint8_t)(c->head + c->count++) % CONN_QUEUE] = (uint16_t)ev->arg;
	conn_pump(w, c);
}

void conn_close_by_server(struct sim *w, struct sim_conn *c, bool silent)
{
	if (!c->open && !c->asking)
		return;
	c->open = c->asking = 0;
	for (; c->count; c->count--)
		request_free(w, &w->requests[c->queue[c->head++ % CONN_QUEUE]]);
	if (!silent)
		sim_schedule(w, conn_arrival(w, c, DOWN), EVENT_CLOSED, c->node, c->gen, 0);
}

void conn_close_all(struct sim *w, int server, bool silent)
{
	for (int n = 0; n < w->node_count; n++)
		for (int k = 0; k < CONNS_PER_NODE; k++)
			if (w->conns[n][k].server == server)
				conn_close_by_server(w, &w->conns[n][k], silent);
}

/* A server that learns of a session's end hangs up. */
void conn_close_session(struct sim *w, int server, int node, int32_t session)
{
	for (int k = 0; k < CONNS_PER_NODE; k++) {
		struct sim_conn *c = &w->conns[node][k];

		if (c->open && c->session == session && c->server == server)
			conn_close_by_server(w, c, false);
	}
}

static void send_event(struct sim *w, struct sim_conn *c, int bit)
{
	uint32_t there = tree_has(&w->servers[c->server].tree, bit);

	sim_schedule(w, conn_arrival(w, c, DOWN), EVENT_WATCH, c->node, c->gen,
		     (uint32_t)bit | there << 8);
}

/* A lock node is not changed, only deleted. */
static void tell_lock_watches(struct sim *w, struct sim_conn *c)
{
	int32_t before;

	for (int i = 0; i < LOCKS_WATCHED; i++) {
		if (!c->locks[i] ||
		    tree_find_lock(&w->servers[c->server].tree, c->locks[i], &before) >= 0)
			continue;
		sim_schedule(w, conn_arrival(w, c, DOWN), EVENT_WATCH, c->node, c->gen,
			     BIT_LOCKS | (uint32_t)c->locks[i] << 8);
		c->locks[i] = 0;
	}
}

static void tell_watch(struct sim *w, struct sim_conn *c, int bit)
{
	struct sim_node *n = &w->nodes[c->node];

	if (zkh_is_told(w, n, bit))
		send_event(w, c, bit);
	else
		n->untold = w->now;
}

void conn_tell_watches(struct sim *w, int server, uint64_t changed)
{
	for (int n = 0; n < w->node_count; n++) {
		struct sim_conn *c = &w->conns[n][w->nodes[n].client.conn % CONNS_PER_NODE];
		uint64_t fired = c->watch & changed;

		if (!c->open || c->server != server || !fired)
			continue;
		if (fired & CHANGED_LOCKS)
			tell_lock_watches(w, c);
		fired &= ~CHANGED_LOCKS;
		c->watch &= ~fired;
		for (int bit = 0; fired; bit++, fired >>= 1)
			if (fired & 1)
				tell_watch(w, c, bit);
	}
}

/* A client knocks; its session id is the event's arg, 0: it wants a new one. */
void conn_on_connect(struct sim *w, const struct queue_event *ev)
{
	struct sim_conn *c = conn_get(w, ev->node, ev->gen);
	const struct sim_server *sv;
	int64_t held;

	if (!c || c->lost)
		return;
	held = conn_held_up(w, c, UP);
	if (held) {
		sim_hold(w, ev, held);
		return;
	}
	sv = &w->servers[c->server];
	if (sv->state < SERVER_FOLLOWING) {
		sim_schedule(w, conn_arrival(w, c, DOWN), EVENT_CLOSED, ev->node, ev->gen, 0);
		return;
	}
	server_advance(w, c->server);
	if (sv->tree.zxid < w->nodes[ev->node].client.last_zxid) {
		sim_schedule(w, conn_arrival(w, c, DOWN), EVENT_CLOSED, ev->node, ev->gen, 0);
		return;
	}
	c->asking = 1;
	sim_schedule(w, w->now + path_latency(w), EVENT_REVALIDATE, ev->node, ev->gen, ev->arg);
}

static void accept_session(struct sim *w, struct sim_conn *c, struct sim_session *s)
{
	int64_t granted = session_granted(w, c->node, c->server);

	s->owner = c->gen;
	c->timeout = granted;
	session_touch(w, s, c->server, granted);
	if (server_linked(w, c->server))
		session_moved(w, s, granted);
	c->session = s->id;
	c->open = 1;
	sim_schedule(w, conn_arrival(w, c, DOWN), EVENT_ATTACHED, c->node, c->gen, (uint32_t)s->id);
}

/* The leader's word; an isolated leader gives it too. */
void conn_on_revalidate(struct sim *w, const struct queue_event *ev)
{
	struct sim_conn *c = conn_get(w, ev->node, ev->gen);
	struct sim_session *s = session_get(w, (int32_t)ev->arg);
	struct sim_server *sv;
	bool linked;

	if (!c || c->lost || !c->asking)
		return;
	c->asking = 0;
	sv = &w->servers[c->server];
	linked = server_linked(w, c->server);
	if (sv->state < SERVER_FOLLOWING || (!linked && sv->state != SERVER_LEADING))
		return; /* silence */
	if (!ev->arg) {
		int32_t id = linked && server_can_commit(w)
				     ? session_create(w, ev->node,
						      session_granted(w, ev->node, c->server))
				     : 0;

		/* It is a transaction like others. */
		if (id)
			(void)commit_txn(w, &(struct sim_txn){ .type = TXN_NOP }, -1, w->leader);
		if (id)
			accept_session(w, c, session_get(w, id));
		return;
	}
	if (s && (s->alive ? !s->closing : !linked && s->closed_zxid > sv->tree.zxid))
		accept_session(w, c, s);
	else
		sim_schedule(w, conn_arrival(w, c, DOWN), EVENT_ATTACHED, ev->node, ev->gen, 0);
}
