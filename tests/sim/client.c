/* SPDX-License-Identifier: Apache-2.0 */
#include "sim.h"

/*
 * The client library in a node: connects to one server after the other, pings after T/3 of silence,
 * takes the connection for lost after 2T/3, and learns of an expired session only when it has
 * reached a server again.
 */

int64_t path_latency(struct sim *w)
{
	int64_t mean = w->params.latency_us;
	int64_t latency = mean / 4 + rng_below(&w->rng, (uint32_t)(mean * 3 / 2));

	if (w->now < w->slow_until && rng_chance(&w->rng, 300))
		latency += rng_range(&w->rng, 0, w->params.session_us / 6);
	return latency;
}

static void set_timer(struct sim *w, struct sim_node *n, int64_t at)
{
	n->client.timer++;
	sim_schedule(w, at, EVENT_CLIENT, n->id, n->client.timer, 0);
}

static void wait_a_moment(struct sim *w, struct sim_node *n)
{
	n->client.link = LINK_WAIT;
	set_timer(w, n, w->now + rng_range(&w->rng, 100, 20 * MS));
}

static void forget_doubt(struct sim_client *k)
{
	k->failures = k->next_probe = 0;
	k->probing = PROBE_NONE;
	k->granted = 0;
}

/* It is over, or is left as it is. */
static void lose_session(struct sim_node *n)
{
	n->client.session = 0;
	n->client.leaving = 0;
	n->client.last_zxid = 0;
	forget_doubt(&n->client);
	zkh_expired(n);
}

bool client_connected(const struct sim_node *n)
{
	return n->client.link == LINK_ATTACHED && !n->client.leaving;
}

void client_begin(struct sim *w, struct sim_node *n)
{
	n->client.leaving = 0;
	n->client.last_zxid = 0;
	n->client.down_since = w->now;
	forget_doubt(&n->client);
	n->client.timeout = n->wants_us;
	n->client.waiting = 0;
	n->client.server = (int8_t)rng_below(&w->rng, (uint32_t)w->server_count);
	wait_a_moment(w, n);
}

/* The socket closes; what it had sent may still arrive, or go down with it. */
static void drop_connection(struct sim *w, struct sim_node *n)
{
	struct sim_conn *c = conn_get(w, n->id, n->client.conn);

	if (c && n->client.link >= LINK_CONNECTING && !c->lost)
		c->lost = rng_chance(&w->rng, 500);
	n->client.timer++;
	n->client.conn++; /* nothing that still comes back is for us */
	n->client.waiting = 0;
}

void client_end(struct sim *w, struct sim_node *n)
{
	drop_connection(w, n);
	n->client.link = LINK_NONE;
}

void client_lose(struct sim *w, struct sim_node *n)
{
	bool attached = n->client.link == LINK_ATTACHED;

	if (n->client.link == LINK_NONE)
		return;
	drop_connection(w, n);
	wait_a_moment(w, n);
	if (attached) {
		n->client.down_since = w->now;
		SIM_TRACE(w, "node  %d lost its connection", n->id);
		zkh_detached(n);
	}
}

static void connect_next(struct sim *w, struct sim_node *n)
{
	struct sim_client *k = &n->client;
	struct sim_conn *c;

	k->server = (int8_t)((k->server + 1) % w->server_count);
	k->conn++;
	c = &w->conns[n->id][k->conn % CONNS_PER_NODE];
	if (c->open)
		conn_close_by_server(w, c, true);
	*c = (struct sim_conn){ .gen = k->conn, .server = k->server, .node = (int8_t)n->id };
	k->link = LINK_CONNECTING;
	sim_schedule(w, conn_arrival(w, c, 0), EVENT_CONNECT, n->id, k->conn, (uint32_t)k->session);
	set_timer(w, n, w->now + lease_cut_us(k->timeout));
}

/*
 * Servers that know less than the session close its connection; so do those without a quorum. Once all had their turn, a
 * probe that has seen nothing asks the last one for a session of its own. If that is granted, and the session refused right
 * afterwards, it is given up. See zkh_doubt.c.
 */
static void doubt(struct sim *w, struct sim_node *n)
{
	struct sim_client *k = &n->client;

	if (k->granted && k->doubted == k->server) {
		SIM_TRACE(w, "node  %d: the ensemble was set back", n->id);
		lose_session(n);
		return;
	}
	k->granted = 0;
	if (!k->session || k->failures < w->server_count || k->failures < k->next_probe)
		return;
	k->next_probe = k->failures + w->server_count;
	k->doubted = k->server;
	k->probing = PROBE_WANTED;
}

/* True while it waits for the answer: the server gives it once it has applied what made the session. */
static bool probe(struct sim *w, struct sim_node *n)
{
	struct sim_client *k = &n->client;
	const int64_t *cut = w->path_cut[n->id][k->doubted];

	if (!server_linked(w, k->doubted) || !server_can_commit(w) || cut[0] > w->now ||
	    cut[1] > w->now) {
		k->probing = PROBE_NONE;
		return false;
	}
	if (k->probing == PROBE_SENT && w->zxid < k->probe_zxid) /* set back meanwhile */
		k->probing = PROBE_WANTED;
	if (k->probing == PROBE_WANTED) {
		(void)commit_txn(w, &(struct sim_txn){ .type = TXN_NOP }, -1, w->leader);
		k->probing = PROBE_SENT;
		k->probe_zxid = w->zxid;
	}
	server_advance(w, k->doubted);
	if (w->servers[k->doubted].tree.zxid < k->probe_zxid) {
		set_timer(w, n, w->now + MS);
		return true;
	}
	k->probing = PROBE_NONE;
	k->granted = 1;
	/* The same server once more. */
	k->server = (int8_t)((k->doubted + w->server_count - 1) % w->server_count);
	return false;
}

static void ping(struct sim *w, struct sim_node *n)
{
	struct sim_request *r = request_create(w, n, REQUEST_PING, FOR_NOTHING);

	request_send(w, r);
}

static void watch_over(struct sim *w, struct sim_node *n)
{
	struct sim_client *k = &n->client;
	int64_t lost = k->heard + k->timeout * 2 / 3, idle;

	if (w->now >= lost) {
		client_lose(w, n);
		return;
	}
	if (w->now >= k->spoke + k->timeout / 3 && k->waiting <= 0)
		ping(w, n);
	idle = k->spoke + k->timeout / 3;
	if (idle <= w->now)
		idle = lost;
	set_timer(w, n, idle < lost ? idle : lost);
}

/* Silently. Every attempt may keep the session alive, and what hangs on it: see link_is_one_way(). */
static void attempt_failed(struct sim *w, struct sim_node *n)
{
	struct sim_client *k = &n->client;

	k->failures++;
	client_lose(w, n);
	if (k->session && w->now - k->down_since >= k->timeout) {
		SIM_TRACE(w, "node  %d gives its session up: no server answers", n->id);
		lose_session(n);
	}
}

void client_on_timer(struct sim *w, struct sim_node *n, const struct queue_event *ev)
{
	if (ev->gen != n->client.timer)
		return;
	if (n->client.link == LINK_WAIT) {
		if (!n->client.probing || !probe(w, n))
			connect_next(w, n);
	} else if (n->client.link == LINK_CONNECTING) {
		attempt_failed(w, n);
	} else if (n->client.link == LINK_ATTACHED) {
		watch_over(w, n);
	}
}

/* True if the message has to wait for its path. */
static bool held_up(struct sim *w, const struct queue_event *ev, struct sim_conn *c)
{
	int64_t until = conn_held_up(w, c, 1);

	if (!until)
		return false;
	sim_hold(w, ev, until);
	return true;
}

/* The kernel's word: what was sent is not acknowledged for T/8. Unless something gets through, it is the same path still. */
void client_on_unacked(struct sim *w, struct sim_node *n, const struct queue_event *ev)
{
	const struct sim_conn *c = conn_get(w, n->id, ev->gen);
	const int64_t *cut;

	if (!c || ev->gen != n->client.conn || n->client.link != LINK_ATTACHED)
		return;
	cut = w->path_cut[n->id][c->server];
	if (cut[0] > w->now || cut[1] > w->now || !c->open)
		client_lose(w, n);
}

void client_give_up(struct sim *w, struct sim_node *n)
{
	SIM_TRACE(w, "node  %d leaves its session as it is", n->id);
	client_lose(w, n);
	lose_session(n);
}

void client_on_attached(struct sim *w, struct sim_node *n, const struct queue_event *ev)
{
	struct sim_conn *c = conn_get(w, n->id, ev->gen);
	struct sim_client *k = &n->client;
	bool fresh = k->session == 0;

	if (!c || ev->gen != k->conn || k->link != LINK_CONNECTING || held_up(w, ev, c))
		return;
	if (!ev->arg) {
		SIM_TRACE(w, "node  %d learns that its session expired", n->id);
		drop_connection(w, n);
		wait_a_moment(w, n);
		lose_session(n);
		return;
	}
	k->session = (int32_t)ev->arg;
	k->link = LINK_ATTACHED;
	forget_doubt(k);
	w->stats.faults[FAULT_TIMEOUT] += !fresh &&
					  k->timeout != session_granted(w, n->id, c->server);
	k->timeout = session_granted(w, n->id, c->server);
	k->heard = k->spoke = w->now;
	k->waiting = 0;
	set_timer(w, n, w->now + k->timeout / 3);
	SIM_TRACE(w, "node  %d attached to server %d, session %d", n->id, c->server, k->session);
	zkh_attached(n, fresh);
}

/* arg: enum closed_by */
void client_on_closed(struct sim *w, struct sim_node *n, const struct queue_event *ev)
{
	struct sim_conn *c = conn_get(w, n->id, ev->gen);

	if (!c || ev->gen != n->client.conn || n->client.link < LINK_CONNECTING)
		return;
	if (ev->arg || !held_up(w, ev, c)) {
		if (n->client.link == LINK_CONNECTING) {
			n->client.failures++;
			doubt(w, n);
		}
		client_lose(w, n);
	}
}

void client_on_reply(struct sim *w, struct sim_node *n, const struct queue_event *ev)
{
	struct sim_request *r = &w->requests[ev->arg];
	struct sim_conn *c = conn_get(w, n->id, r->gen);
	struct sim_request reply;
	int64_t held;

	/* Of a session that is given up nothing more is read. */
	if (!c || r->gen != n->client.conn || !client_connected(n)) {
		request_free(w, r);
		return;
	}
	held = conn_held_up(w, c, 1);
	if (held) {
		sim_hold(w, ev, held);
		return;
	}
	n->client.heard = w->now;
	n->client.waiting--;
	/* As the client library has it, which does not look whether it goes back. */
	if (r->zxid > 0)
		n->client.last_zxid = r->zxid;
	reply = *r; /* it may be stopped, or killed, within */
	request_free(w, r);
	if (reply.purpose == FOR_CALL)
		zkh_reply(w, &reply);
}

void client_on_watch(struct sim *w, struct sim_node *n, const struct queue_event *ev)
{
	struct sim_conn *c = conn_get(w, n->id, ev->gen);

	if (!c || ev->gen != n->client.conn || !client_connected(n) || held_up(w, ev, c))
		return;
	n->client.heard = w->now;
	if (ev->arg % 256 == BIT_LOCKS)
		zkh_hooks_fire_lock(n, (int32_t)(ev->arg / 256));
	else
		zkh_hooks_fire(n, ev->arg % 256, ev->arg / 256);
}
