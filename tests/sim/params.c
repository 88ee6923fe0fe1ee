/* SPDX-License-Identifier: Apache-2.0 */
#include "sim.h"

#include <stdio.h>
#include <string.h>

/*
 * What a run draws before it begins: every run has its own timing, its own set of faults and their
 * rates.
 */

static int64_t draw_session_us(struct sim *w)
{
	static const int64_t choices[] = { 2 * SEC, 3 * SEC, 4 * SEC, 6 * SEC, 10 * SEC, 20 * SEC };

	return choices[rng_below(&w->rng, sizeof(choices) / sizeof(choices[0]))];
}

/* Servers differ in the bounds of what they grant, nodes in what they ask for. */
static void draw_grants(struct sim *w)
{
	struct sim_params *p = &w->params;
	int64_t floor_us = p->session_us / 3;
	bool differ = w->options->unequal_servers || rng_chance(&w->rng, 300);
	bool nodes_differ = rng_chance(&w->rng, 300);

	p->least_us = p->session_us;
	for (int s = 0; s < w->server_count; s++) {
		p->granted_us[s] = p->session_us;
		if (differ && rng_chance(&w->rng, 600))
			p->granted_us[s] = rng_range(&w->rng, floor_us, p->session_us);
		if (p->granted_us[s] < p->least_us)
			p->least_us = p->granted_us[s];
	}
	for (int i = 0; i < w->node_count; i++) {
		int64_t *wants_us = &w->nodes[i].wants_us;

		*wants_us = p->session_us;
		if (nodes_differ && rng_chance(&w->rng, 500))
			*wants_us = rng_range(&w->rng, floor_us, p->session_us);
		if (*wants_us < p->least_us)
			p->least_us = *wants_us;
	}
}

static void draw_weights(struct sim *w)
{
	struct sim_params *p = &w->params;

	p->weight_sum = 0;
	for (int i = 0; i < FAULT_COUNT; i++) {
		p->weight[i] = rng_chance(&w->rng, 450) ? (uint8_t)rng_range(&w->rng, 1, 12) : 0;
		/* Operators are rare; a maintenance or a drain for ever would hide all else. */
		if (i >= FAULT_SWITCHOVER && p->weight[i])
			p->weight[i] = (uint8_t)(p->weight[i] / 3 + 1);
		p->weight_sum += p->weight[i];
	}
	for (int i = 0; i < FAULT_COUNT; i++)
		if (w->options->often & UINT64_C(1) << i) {
			p->weight[i] += 20;
			p->weight_sum += 20;
		}
	/* These cost much time each. */
	for (int i = FAULT_DELETE_EPOCH; i <= FAULT_RESTORE; i++)
		if (p->weight[i] > 1 && rng_chance(&w->rng, 600)) {
			p->weight_sum -= p->weight[i] - 1u;
			p->weight[i] = 1;
		}
	if (p->weight[FAULT_RESTORE] && rng_chance(&w->rng, 500)) {
		p->weight_sum -= p->weight[FAULT_RESTORE];
		p->weight[FAULT_RESTORE] = 0;
	}
	/*
	 * As of the memory of epochs, see below; nor with deleted keys: nothing at all tells of the machine of before then
	 * (doc/promises.md, What it cannot do).
	 */
	if (p->least_us != p->session_us || p->weight[FAULT_DELETE_NODE] ||
	    p->weight[FAULT_DELETE_ROOT]) {
		p->weight_sum -= p->weight[FAULT_REPLACED];
		p->weight[FAULT_REPLACED] = 0;
	}
	p->restores = p->weight[FAULT_RESTORE] != 0;
	if (p->restores) {
		p->weight_sum -= p->weight[FAULT_MEMORY_LOST] + p->weight[FAULT_REPLACED];
		p->weight[FAULT_MEMORY_LOST] = p->weight[FAULT_REPLACED] = 0;
	}
	if (p->restores || p->weight[FAULT_DELETE_ROOT]) {
		p->weight_sum += 4;
		p->weight[FAULT_ACCEPT] += 4;
	}
	if (w->options->refusals) {
		p->weight[FAULT_REFUSED] += 20;
		p->weight_sum += 20;
	}
	if (p->weight[FAULT_DRAIN]) {
		p->weight_sum += 4;
		p->weight[FAULT_UNDRAIN] += 4;
	}
	if (p->weight[FAULT_MAINT_ON]) {
		p->weight_sum += 6;
		p->weight[FAULT_MAINT_OFF] += 6;
	}
}

static void draw_config(struct sim *w, struct sim_node *n, const struct election_config *common)
{
	n->config = *common;
	n->config.coordinator = n->id == 0 || rng_chance(&w->rng, 800);
	n->config.contend_delay_us = rng_chance(&w->rng, 700) ? 0 : rng_range(&w->rng, 0, 300 * MS);
	n->clock_offset = rng_range(&w->rng, SEC, 100000 * SEC);
	n->clock_ppm = rng_range(&w->rng, -100, 100);
	n->host_up = 1;
	n->machine = ++w->machines;
	n->boot = 1;
}

/* Beside the other draws: seeds of before ranks go on as they did. */
static void draw_ranks(struct sim *w)
{
	struct rng rng = { .state = ~w->rng.state };

	for (int i = 0; i < w->node_count; i++)
		w->nodes[i].rank = rng_chance(&rng, 400) ? 0 : rng_range(&rng, 1, 3);
}

static void draw_configs(struct sim *w)
{
	int64_t session_us = w->params.least_us;
	int64_t fits_us = session_us / 3 - lease_margin_us(session_us);
	struct election_config c = { .lease_timeout_us = fits_us };

	c.lock_timeout_us = rng_range(&w->rng, 50 * MS, 400 * MS);
	c.handover_timeout_us = rng_range(&w->rng, 500 * MS, 5 * SEC);
	c.penalty_us = rng_range(&w->rng, 100 * MS, 3 * SEC);
	c.acquire_delay_us = rng_chance(&w->rng, 600) ? 0 : rng_range(&w->rng, 0, 2 * SEC);
	w->params.relinquish_timeout_us = rng_range(&w->rng, 100 * MS, 10 * SEC);
	if (rng_chance(&w->rng, 500))
		c.lease_timeout_us = rng_range(&w->rng, fits_us / 3, fits_us);
	c.transition_delay_us = c.lock_timeout_us + rng_range(&w->rng, 20 * MS, 300 * MS);
	for (int i = 0; i < w->node_count; i++)
		draw_config(w, &w->nodes[i], &c);
}

void params_draw(struct sim *w)
{
	struct sim_params *p = &w->params;
	struct rng *r = &w->rng;
	bool roomy = rng_chance(r, 500);

	w->node_count = w->options->nodes ? w->options->nodes : (int32_t)rng_range(r, 3, 5);
	w->server_count = rng_chance(r, 700) ? 3 : 5;
	for (int i = 0; i < w->node_count; i++)
		w->nodes[i].id = (uint8_t)i;
	p->session_us = draw_session_us(w);
	draw_grants(w);
	p->tick_us = rng_chance(r, 500) ? p->least_us / 2
					: rng_range(r, p->session_us / 20, p->least_us / 2);
	/* Four or five hops are a request; T/8 without its answer is a silent server. */
	p->latency_us = rng_chance(r, 700) ? rng_range(r, 100, 3 * MS)
					   : rng_range(r, MS, p->least_us / 200 + MS);
	p->lag_us = rng_range(r, MS, 3 * SEC);
	p->timer_late_us = rng_chance(r, 500) ? 0 : rng_range(r, 0, 3 * MS);
	p->chaos_us = rng_range(r, p->session_us / 10, p->session_us * (roomy ? 8 : 1));
	p->fault_phase_us = p->session_us * (w->options->quick ? 40 : 150);
	p->takeover_timeout_us = rng_range(r, 200 * MS, 10 * SEC);
	p->start_us = rng_range(r, 10 * MS, rng_chance(r, 700) ? SEC : 12 * SEC);
	p->stop_us = rng_range(r, 10 * MS, rng_chance(r, 700) ? SEC : 5 * SEC);
	p->fence_us = rng_range(r, 10 * MS, SEC);
	p->fence_timeout_us = rng_range(r, SEC, 4 * SEC);
	p->restart_us = rng_range(r, 5 * MS, rng_chance(r, 500) ? 200 * MS : p->session_us);
	draw_weights(w);
	p->start_fails = p->weight[FAULT_START_FAILS] ? (uint32_t)rng_range(r, 1, 400) : 0;
	p->stop_hangs = p->weight[FAULT_STOP_HANGS] ? (uint32_t)rng_range(r, 1, 700) : 0;
	p->fence_fails = p->weight[FAULT_FENCE_FAILS] ? (uint32_t)rng_range(r, 1, 500) : 0;
	p->fence_hangs = p->weight[FAULT_FENCE_HANGS] ? (uint32_t)rng_range(r, 1, 300) : 0;
	p->ambush = p->weight[FAULT_AMBUSH] ? (uint32_t)rng_range(r, 1, 300) : 0;
	p->stop_in_step = p->weight[FAULT_STOP_IN_STEP] ? (uint32_t)rng_range(r, 1, 40) : 0;
	p->guard_fails = p->weight[FAULT_GUARD_FAILS] ? (uint32_t)rng_range(r, 1, 500) : 0;
	p->stop_fails = p->weight[FAULT_STOP_FAILS] ? (uint32_t)rng_range(r, 1, 700) : 0;
	p->self_fence = rng_chance(r, 500);
	p->guard_late = p->weight[FAULT_GUARD_LATE] ? (uint32_t)rng_range(r, 1, 300) : 0;
	/*
	 * What nobody remembers and no key tells is waited for by the own T: keys deleted, the memory of them lost (or the machine
	 * replaced), and a primary that is cut off and has a longer T than its successor are too much together (doc/promises.md, What it
	 * cannot).
	 */
	p->memory_lost = p->weight[FAULT_MEMORY_LOST] && p->least_us == p->session_us
				 ? (uint32_t)rng_range(r, 1, 600)
				 : 0;
	p->fence_exists = rng_chance(r, 500);
	p->fence_continues = rng_chance(r, 300);
	p->hides_stat = rng_chance(r, 500);
	p->apart = rng_chance(r, 500);
	p->for_ever = p->weight[FAULT_REFUSED] && rng_chance(r, 300);
	draw_configs(w);
	draw_ranks(w);
	if (p->start_us > p->takeover_timeout_us)
		p->start_us = p->takeover_timeout_us;
}

const char *params_text(const struct sim *w)
{
	static char text[512];
	const struct sim_params *p = &w->params;
	const struct election_config *c = &w->nodes[0].config;

	snprintf(text, sizeof(text),
		 "%d nodes, %d servers, T %lld ms, tick %lld ms, latency %lld us, "
		 "lock-timeout %lld ms, transition-delay %lld ms, handover %lld ms, "
		 "penalty %lld ms, acquire-delay %lld ms, relinquish %lld ms, "
		 "lease-timeout %lld ms, fence %d",
		 w->node_count, w->server_count, (long long)(p->session_us / MS),
		 (long long)(p->tick_us / MS), (long long)p->latency_us,
		 (long long)(c->lock_timeout_us / MS), (long long)(c->transition_delay_us / MS),
		 (long long)(c->handover_timeout_us / MS), (long long)(c->penalty_us / MS),
		 (long long)(c->acquire_delay_us / MS), (long long)(p->relinquish_timeout_us / MS),
		 (long long)(c->lease_timeout_us / MS), p->fence_exists);
	return text;
}

/* The longest penalty that is still to be served. */
static int64_t penalty_left_us(const struct sim *w)
{
	int64_t longest = 0;

	for (int i = 0; i < w->node_count; i++) {
		const struct election *e = &w->nodes[i].core;
		int64_t left = e->penalty_until_us - clock_local(w, &w->nodes[i]);
		int64_t next = w->nodes[i].config.penalty_us << e->failures;

		if (left < next)
			left = next;
		longest = left > longest ? left : longest;
	}
	return longest;
}

/* Until each node has read again what it was not told. */
static int64_t untold_us(const struct sim *w)
{
	int64_t longest = 0;

	for (int i = 0; i < w->node_count; i++) {
		const struct sim_node *n = &w->nodes[i];
		int64_t us = n->untold ? LOOK_ROUND * n->client.timeout : 0;

		longest = us > longest ? us : longest;
	}
	return longest;
}

/*
 * The bound of liveness: what is under way ends by its timeouts, sessions of before expire (T + tick), the servers find a
 * leader, penalties and refusals are served, terms of before are waited for, and then one contention with one takeover, all
 * that twice.
 */
int64_t params_liveness_us(const struct sim *w)
{
	const struct sim_params *p = &w->params;
	const struct election_config *c = &w->nodes[0].config;
	int64_t round = p->session_us + p->tick_us + c->lock_timeout_us * 2 +
			c->transition_delay_us * 2 + 300 * MS + c->acquire_delay_us +
			c->handover_timeout_us + p->relinquish_timeout_us + p->takeover_timeout_us +
			p->start_us + p->stop_us + p->fence_timeout_us * w->node_count;

	int64_t refused = c->lock_timeout_us << 6;
	int64_t terms = 3 * lease_unknown_promise_us(p->session_us);
	/* Until each node has looked again at an ensemble that was accepted. */
	int64_t looks = p->restores ? 20 * SEC + 2 * p->session_us : 0;

	return 2 * round + penalty_left_us(w) + 3 * p->session_us + 2 * OLD_SERVER_US + refused +
	       terms + looks + untold_us(w);
}
