/* SPDX-License-Identifier: Apache-2.0 */
#include "sim.h"

#include <errno.h>

/*
 * Hosts and their clocks. A local clock is true time, shifted and drifting; a paused virtual
 * machine may lose time besides.
 */

static int64_t shown_at(const struct sim_node *n, int64_t at)
{
	return at + n->clock_offset + at / 1000 * n->clock_ppm / 1000;
}

int64_t clock_local(const struct sim *w, const struct sim_node *n)
{
	return shown_at(n, w->now);
}

/* The first instant at which the local clock shows at least `local`, as far as is known now. */
int64_t clock_true(const struct sim *w, const struct sim_node *n, int64_t local)
{
	int64_t left = local - clock_local(w, n), at;

	if (left <= 0)
		return w->now;
	at = w->now + left - left / 1000 * n->clock_ppm / 1000;
	for (;;) {
		int64_t there = shown_at(n, at);

		if (there >= local)
			return at;
		at += local - there;
	}
}

void disk_settle(struct sim *w, struct sim_node *n)
{
	if (n->disk_due && w->now >= n->disk_due) {
		n->disk = n->disk_next;
		n->disk_due = 0;
	}
}

/* Beside the loop: what is noted is on disk a moment later, one after the other. */
void disk_keep(struct sim *w, struct sim_node *n)
{
	int64_t due = w->now + rng_range(&w->rng, 0, 20 * MS);

	disk_settle(w, n);
	n->disk_due = n->disk_due > due ? n->disk_due : due;
	if (n->disk_due <= w->now)
		n->disk_due = w->now + 1;
}

static const struct identity empty_disk;

/* The process ends; what it had not written yet is lost. */
static void forget_epochs(struct sim *w, struct sim_node *n)
{
	disk_settle(w, n);
	n->disk_due = 0;
	if (!rng_chance(&w->rng, w->params.memory_lost))
		return;
	w->stats.faults[FAULT_MEMORY_LOST]++;
	n->disk = empty_disk;
}

void host_crash_daemon(struct sim *w, struct sim_node *n, bool state_lost, int64_t down_us)
{
	if (n->daemon != DAEMON_UP || guard_missing(n))
		return;
	SIM_TRACE(w, "fault daemon of node %d is killed%s", n->id,
		  state_lost ? ", state file lost" : "");
	process_kill(w, n);
	if (state_lost)
		n->file_there = false;
	forget_epochs(w, n);
	sim_schedule(w, w->now + down_us, EVENT_BOOT, n->id, n->incarnation, 0);
}

const struct identity *host_known(const struct sim_node *n)
{
	return n->node && *process_known(n)->id ? process_known(n) : &n->disk;
}

void host_forget(struct sim *w, struct sim_node *n)
{
	if (n->daemon == DAEMON_UP) {
		process_kill(w, n);
		sim_schedule(w, w->now + w->params.restart_us, EVENT_BOOT, n->id, n->incarnation,
			     0);
	}
	n->disk_due = 0;
	n->disk = n->disk_next = empty_disk;
}

/*
 * Another machine takes its name, and knows nothing. That of before is off, or cut off and works until its guard stops it.
 */
void host_replace(struct sim *w, struct sim_node *n, int64_t down_us)
{
	bool works = n->work.truth != TRUTH_DOWN && n->guard.alive && rng_chance(&w->rng, 700);
	int64_t until = clock_true(w, n, n->page.end_local);

	host_power_off(w, n, down_us);
	if (works)
		oracle_ghost(w, n, until);
	SIM_TRACE(w, "fault node %d is another machine from now on", n->id);
	n->machine = ++w->machines;
	n->boot = 1;
	n->left.memory_epoch = 0;
	n->disk = n->disk_next = empty_disk;
	n->clock_offset = rng_range(&w->rng, SEC, 100000 * SEC);
	n->lease_proof = 0;
	n->core = (struct election){ .now_us = 0 };
}

static bool is_of(const uint64_t nonces[TERM_NONCES], int64_t nonce)
{
	for (int i = 0; i < TERM_NONCES; i++)
		if (nonces[i] == (uint64_t)nonce)
			return true;
	return false;
}

/*
 * The runtime directory was copied: another process goes on with the session and the term that the state tells of, by the
 * rules of term.c, on a connection that never fails.
 */
void host_copy(struct sim *w, struct sim_node *n)
{
	const struct tree_keepalive *k = &w->tree.keepalive[n->id];
	const struct state *f = &n->file;

	if (n->twin.nonce || !n->file_there || w->tree.post != (int8_t)n->id ||
	    w->tree.post_session != (int32_t)f->session.id || !k->nonce ||
	    !is_of(f->nonces, k->nonce))
		return;
	n->twin = (struct sim_twin){ .nonce = -++w->nonces,
				     .since = w->now,
				     .version = k->version,
				     .session = (int32_t)f->session.id,
				     .epoch_version = f->epoch_version };
	SIM_TRACE(w, "fault node %d: another process goes on with its term", n->id);
	host_on_twin(w, n);
	if (rng_chance(&w->rng, 500))
		sim_schedule(w, w->now, EVENT_CLOSED, n->id, n->client.conn, CLOSED_BY_SERVER);
}

void host_on_twin(struct sim *w, struct sim_node *n)
{
	const struct tree_keepalive *k = &w->tree.keepalive[n->id];
	struct sim_twin *twin = &n->twin;
	struct sim_txn txn = { .type = TXN_RENEW,
			       .node = (int8_t)n->id,
			       .session = twin->session,
			       .nonce = twin->nonce,
			       .counter = 1,
			       .version = sim_mutated(w, MUTATION_RENEW_VERSION) ? ANY_VERSION
										 : twin->version,
			       .epoch_version = twin->epoch_version,
			       .lease_us = k->lease_us,
			       .machine = k->machine,
			       .boot = k->boot };
	enum txn_result result = TXN_CONFLICT;

	if (!twin->nonce)
		return;
	if (server_can_commit(w) && !w->calm && session_get(w, twin->session) &&
	    session_get(w, twin->session)->alive)
		result = commit_txn(w, &txn, -1, w->leader);
	if (result == TXN_OK)
		twin->version = k->version;
	else if (result == TXN_KEEP_MOVED && sim_mutated(w, MUTATION_ANY_NONCE))
		twin->version = k->version;
	else
		twin->nonce = 0; /* it knows better */
	if (twin->nonce)
		sim_schedule(w, w->now + lease_renew_us(w->params.session_us), EVENT_TWIN, n->id, 0,
			     0);
}

/* Everything on it goes at once; the boot that follows knows nothing. */
void host_power_off(struct sim *w, struct sim_node *n, int64_t down_us)
{
	SIM_TRACE(w, "node  %d host goes down", n->id);
	work_off(w, n);
	process_kill(w, n);
	n->file_there = false;
	n->page_generation = 0;
	n->shown_until = 0;
	n->page_epoch = 0;
	n->boot++;
	n->term_session = 0;
	forget_epochs(w, n);
	n->frozen_until = 0;
	sim_schedule(w, w->now + down_us, EVENT_BOOT, n->id, n->incarnation, 0);
}

static void disturb(struct sim_node *n, int64_t until)
{
	if (n->disturbed < until)
		n->disturbed = until;
}

void host_pause_daemon(struct sim *w, struct sim_node *n, int64_t pause_us)
{
	if (n->daemon != DAEMON_UP || n->paused_until > w->now || guard_missing(n))
		return;
	SIM_TRACE(w, "fault daemon of node %d is stopped for %lld ms", n->id,
		  (long long)(pause_us / MS));
	n->paused_until = w->now + pause_us;
	disturb(n, n->paused_until);
}

void host_pause(struct sim *w, struct sim_node *n, int64_t pause_us, bool clock_stops)
{
	if (n->frozen_until > w->now)
		return;
	SIM_TRACE(w, "fault host of node %d is paused for %lld ms%s", n->id,
		  (long long)(pause_us / MS), clock_stops ? ", its clock too" : "");
	n->frozen_until = w->now + pause_us;
	disturb(n, n->frozen_until);
	/* Nothing looks at the clock until then: it may stand still at once. */
	if (clock_stops)
		n->clock_offset -= shown_at(n, w->now + pause_us) - shown_at(n, w->now);
}

/* Asked for if there is a connection; then it takes a while, or all the time that there is. */
int zkh_session_close(struct zkh_session *session, int32_t timeout_ms,
		      void (*done)(void *userdata, int result), void *userdata)
{
	struct sim_node *n = zkh_node_of(session);
	struct sim *w = n->world;
	int64_t took = 4 * w->params.latency_us + rng_range(&w->rng, 1, 20 * MS);
	struct sim_request *r;

	if (n->on_closed)
		return -EALREADY;
	n->on_closed = done;
	n->closed_userdata = userdata;
	n->closed_session = n->client.session;
	if (!client_connected(n) || !rng_chance(&w->rng, 800)) {
		process_post(w, n, timeout_ms * MS, TELL_CLOSED);
		return 0;
	}
	process_post(w, n, took, TELL_CLOSED);
	r = request_create(w, n, REQUEST_TXN, FOR_FAREWELL);
	r->txn.type = TXN_CLOSE;
	request_send(w, r);
	return 0;
}

/* What is not so is not told. */
int host_close_result(struct sim *w, const struct sim_node *n)
{
	const struct sim_session *s = session_get(w, n->closed_session);

	return s && s->alive ? ZKH_TIMEOUT : ZKH_OK;
}

/* An orderly end. */
void host_depart(struct sim *w, struct sim_node *n)
{
	SIM_TRACE(w, "node  %d departs", n->id);
	process_kill(w, n);
	disk_settle(w, n);
	n->daemon = DAEMON_GONE;
	sim_schedule(w, w->now + rng_range(&w->rng, MS, w->params.restart_us * 3), EVENT_BOOT,
		     n->id, n->incarnation, 0);
}

void host_self_fence(struct sim *w, struct sim_node *n)
{
	if (!w->params.self_fence)
		return;
	w->stats.self_fences++;
	SIM_TRACE(w, "node  %d fences itself", n->id);
	host_power_off(w, n, rng_range(&w->rng, MS, w->params.restart_us));
}

void host_on_boot(struct sim *w, struct sim_node *n, const struct queue_event *ev)
{
	if (n->daemon == DAEMON_UP || ev->gen != n->incarnation)
		return;
	n->host_up = 1;
	process_start(w, n, ev);
}
