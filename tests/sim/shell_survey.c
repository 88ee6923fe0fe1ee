/* SPDX-License-Identifier: Apache-2.0 */
#include "sim.h"

/*
 * How the terms of others are waited for is the daemon's: witness.c, recovery.c. Here is what the node around them does: the
 * fence command, and what the election is told.
 */

enum fence_end { FENCE_DONE, FENCE_FAILED };

static void on_silent(void *userdata)
{
	struct sim_node *n = userdata;

	client_lose(n->world, n);
}

static void on_note(void *userdata, enum recovery_news news, const char *name,
		    const char *router_state, int64_t wait_us)
{
	struct sim_node *n = userdata;
	struct sim *w = n->world;

	(void)w;
	SIM_TRACE(w, "node  %d survey: %d, %s %s, %lld ms", n->id, news, name, router_state,
		  (long long)(wait_us / MS));
}

/* The commands run one after the other; what the first failure leaves undone stays a corpse. */
static void fence(void *userdata, const char *name)
{
	struct sim_node *n = userdata;
	struct sim *w = n->world;
	bool fails = rng_chance(&w->rng, w->params.fence_fails);
	bool hangs = rng_chance(&w->rng, w->params.fence_hangs);
	uint32_t end = fails || hangs ? FENCE_FAILED : FENCE_DONE;
	int64_t took = hangs ? w->params.fence_timeout_us
			     : rng_range(&w->rng, MS, w->params.fence_us);

	if (!w->params.fence_exists) {
		recovery_fenced(&n->recovery, true, "dead");
		return;
	}
	w->stats.faults[FAULT_FENCE_FAILS] += fails;
	w->stats.faults[FAULT_FENCE_HANGS] += hangs;
	sim_schedule(w, w->now + took, EVENT_FENCE, n->id, ++n->shell.fence_gen,
		     end << 16 | (uint32_t)node_of_name(name));
}

void shell_on_fence(struct sim *w, struct sim_node *n, const struct queue_event *ev)
{
	uint32_t target = ev->arg & 0xffff;
	bool done = ev->arg >> 16 == FENCE_DONE;

	if (ev->gen != n->shell.fence_gen || n->daemon != DAEMON_UP)
		return;
	if (done) {
		w->stats.fences++;
		SIM_TRACE(w, "node  %d fenced node %u", n->id, target);
		host_power_off(w, &w->nodes[target],
			       100 * MS + rng_range(&w->rng, 0, w->params.restart_us * 2));
	}
	recovery_fenced(&n->recovery, done, "fenced");
}

void shell_survey_begin(struct sim_node *n)
{
	recovery_init(&n->recovery, &n->survivor, node_name(n->id), fence, on_note, n);
	witness_init(&n->witness, (struct ev_loop *)n, &n->survivor, on_silent, n);
}

void shell_survey_end(struct sim_node *n)
{
	recovery_cancel(&n->recovery);
	peers_cancel(&n->peers);
	witness_finish(&n->witness);
	cleanup_finish(&n->cleanup);
	n->shell.fence_gen++;
}

static void on_scan(void *userdata, enum election_result result, int32_t count)
{
	struct sim_node *n = userdata;
	struct sim *w = n->world;
	struct election_event ev = { .type = ELECTION_CORPSES,
				     .result = (uint8_t)result,
				     .count = count,
				     .time_us = n->recovery.until_us };
	int64_t now_us = clock_local(w, n);

	if (result == RESULT_OK) {
		term_owes(&n->term, ev.time_us);
		if (count || ev.time_us > now_us)
			term_renew(&n->term, now_us);
		n->waits_over = ev.time_us;
	}
	shell_tell(w, n, &ev);
}

void shell_scan(struct sim_node *n)
{
	recovery_scan(&n->recovery, zkh_session_of(n), on_scan);
}

static void on_peers(void *userdata, enum election_result result, int32_t count)
{
	struct sim_node *n = userdata;

	if (result == RESULT_OK && n->core.phase == PHASE_CONTEND)
		oracle_peers(n->world, n, count);
	shell_tell_result(n->world, n, ELECTION_PEERS, 0, (uint8_t)result, count);
}

void shell_count_peers(struct sim_node *n)
{
	int64_t above = n->core.phase == PHASE_CONTEND ? n->rank : PEERS_ANY_RANK;

	peers_count(&n->peers, zkh_session_of(n), node_name(n->id), above, on_peers, n);
}

static void on_fenced(void *userdata, enum election_result result)
{
	struct sim_node *n = userdata;

	shell_tell_result(n->world, n, ELECTION_FENCED, 0, (uint8_t)result, 0);
}

void shell_fence(struct sim *w, struct sim_node *n)
{
	recovery_fence(&n->recovery, w->params.fence_continues, on_fenced);
}

void shell_recovery_cancel(struct sim_node *n)
{
	n->shell.fence_gen++;
	recovery_cancel(&n->recovery);
}

/* A takeover is sent. */
void shell_recovery_begin(struct sim_node *n)
{
	recovery_begin(&n->recovery, n->debt.owner, n->debt.remembers, n->core.term_us);
}
