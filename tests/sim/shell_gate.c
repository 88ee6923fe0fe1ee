/* SPDX-License-Identifier: Apache-2.0 */
#include "sim.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/*
 * The gate between the session and the election: whether the ensemble that answers is the one that this node belongs to.
 * The judgement is the daemon's own (identity.h), what follows from it is as in ensemble.c.
 */

#define LOOK_MIN_US (250 * MS)
#define LOOK_MAX_US (5 * SEC)

static bool mutated(const struct sim *w, enum sim_mutation m)
{
	return w->options->mutations & UINT64_C(1) << m;
}

/* -- the memory -- */

static void keep(struct sim *w, struct sim_node *n)
{
	n->disk_next = n->gate.known;
	disk_keep(w, n);
}

void gate_note_epoch(struct sim *w, struct sim_node *n, int64_t epoch)
{
	struct sim_gate *g = &n->gate;

	if (!identity_note_epoch(&g->known, epoch) || !*g->known.id)
		return;
	if (g->state == GATE_OPEN && n->client.link == LINK_ATTACHED)
		gate_ask(w, n, false);
	else
		keep(w, n);
}

void gate_note_made(struct sim *w, struct sim_node *n, int64_t czxid)
{
	if (identity_note_made(&n->gate.known, czxid) && *n->gate.known.id)
		keep(w, n);
}

void gate_note_own(struct sim *w, struct sim_node *n, int64_t epoch)
{
	if (identity_note_own(&n->gate.known, epoch) && *n->gate.known.id)
		keep(w, n);
}

/* -- looking again -- */

static void look_later(struct sim *w, struct sim_node *n)
{
	struct sim_gate *g = &n->gate;

	if (g->looks)
		return;
	g->looks = 1;
	sim_schedule(w, w->now + g->pause_us, EVENT_GATE, n->id, ++g->look, 0);
	g->pause_us = 2 * g->pause_us < LOOK_MAX_US ? 2 * g->pause_us : LOOK_MAX_US;
}

static void stop_looking(struct sim_gate *g)
{
	g->looks = 0;
	g->look++;
}

void gate_on_look(struct sim *w, struct sim_node *n, const struct queue_event *ev)
{
	struct sim_gate *g = &n->gate;

	if (ev->gen != g->look || n->daemon != DAEMON_UP)
		return;
	g->looks = 0;
	if (n->client.link != LINK_ATTACHED)
		return;
	if (g->state == GATE_OPEN)
		gate_ask(w, n, false);
	else
		client_give_up(w, n);
}

/* -- verdicts -- */

static void open_gate(struct sim *w, struct sim_node *n)
{
	struct sim_gate *g = &n->gate;

	stop_looking(g);
	g->pause_us = LOOK_MIN_US;
	if (identity_differs(&g->known, &n->disk_next))
		keep(w, n);
	g->state = GATE_OPEN;
	g->told = IDENTITY_FINE;
	if (!n->core.attached)
		shell_attach(w, n, true);
}

static void close_gate(struct sim *w, struct sim_node *n, enum identity_reason reason)
{
	struct sim_gate *g = &n->gate;
	bool is_news = g->state != GATE_CLOSED || g->told != reason;

	SIM_TRACE(w, "node  %d meets another ensemble: %s", n->id, identity_reason_text(reason));
	w->stats.foreign += g->state != GATE_CLOSED;
	g->state = GATE_CLOSED;
	g->told = (uint8_t)reason;
	look_later(w, n);
	if (*g->known.id &&
	    (g->known.zxid != n->disk_next.zxid || g->known.change != n->disk_next.change))
		keep(w, n);
	if (is_news && !mutated(w, MUTATION_FOREIGN_WRITE))
		shell_foreign(w, n);
}

static void refused(struct sim *w, struct sim_node *n)
{
	if (n->gate.state == GATE_OPEN)
		look_later(w, n);
	else
		close_gate(w, n, IDENTITY_NO_ACCESS);
}

static void make(struct sim *w, struct sim_node *n)
{
	struct sim_gate *g = &n->gate;
	struct sim_request *r;

	if (g->making)
		return;
	if (!g->made)
		g->made = ++w->ids;
	g->making = 1;
	r = request_create(w, n, REQUEST_TXN, FOR_MAKE);
	r->txn.type = TXN_MAKE;
	r->txn.id = *g->known.id ? (int32_t)strtol(g->known.id, NULL, 16) : g->made;
	r->txn.generation = *g->known.id ? g->known.generation : 1;
	request_send(w, r);
}

static void judge(struct sim *w, struct sim_node *n, const struct identity_seen *seen)
{
	struct sim_gate *g = &n->gate;
	enum identity_reason reason;
	enum identity_verdict verdict = identity_judge(&g->known, seen, g->state == GATE_OPEN,
						       &reason);

	if (verdict == IDENTITY_FOREIGN && reason == IDENTITY_OLD_ZXID &&
	    mutated(w, MUTATION_OLD_STORE))
		verdict = IDENTITY_ADOPT;
	if (verdict == IDENTITY_FOREIGN && reason == IDENTITY_NO_ID &&
	    mutated(w, MUTATION_EMPTY_STORE))
		verdict = IDENTITY_MAKE;
	switch (verdict) {
	case IDENTITY_KNOWN:
	case IDENTITY_ADOPT:
		identity_take(&g->known, seen);
		open_gate(w, n);
		break;
	case IDENTITY_MAKE:
		make(w, n);
		break;
	case IDENTITY_FOREIGN:
		close_gate(w, n, reason);
		break;
	}
}

/* -- asking -- */

void gate_ask(struct sim *w, struct sim_node *n, bool sync)
{
	struct sim_request *r = request_create(w, n, sync ? REQUEST_SYNC : REQUEST_READ, FOR_GATE);

	r->parts = PART_CLUSTER;
	r->holder = -1;
	r->lock_wait = (int32_t)++n->gate.ask;
	request_send(w, r);
}

void gate_see(const struct sim_tree *t, struct identity_seen *ret_seen)
{
	*ret_seen = (struct identity_seen){
		.key = t->cluster_czxid ? IDENTITY_READ : IDENTITY_MISSING,
		.generation = t->cluster_generation,
		.format = IDENTITY_FORMAT,
		.zxid = t->zxid,
		.change = t->key == NAMED_MISSING ? 0 : t->key_mzxid,
	};
	if (t->cluster_czxid)
		snprintf(ret_seen->id, sizeof(ret_seen->id), "%032" PRIx32,
			 (uint32_t)t->cluster_id);
}

static void reply_ask(struct sim *w, struct sim_node *n, const struct sim_request *r)
{
	struct identity_seen seen;

	if ((uint32_t)r->lock_wait != n->gate.ask)
		return;
	gate_see(&(struct sim_tree){ .key = r->seen.key,
				     .key_mzxid = r->seen.key_mzxid,
				     .zxid = n->client.last_zxid,
				     .cluster_czxid = r->seen.cluster_czxid,
				     .cluster_id = r->seen.cluster_id,
				     .cluster_generation = r->seen.cluster_generation },
		 &seen);
	if (r->seen.cluster_czxid)
		n->gate.czxid = r->seen.cluster_czxid;
	if (w->now < n->blind_until && n->blind & PART_CLUSTER)
		seen.key = IDENTITY_REFUSED;
	if (seen.key == IDENTITY_REFUSED && n->gate.state == GATE_OPEN)
		refused(w, n);
	else
		judge(w, n, &seen);
}

void gate_reply(struct sim *w, struct sim_node *n, const struct sim_request *r)
{
	if (r->purpose == FOR_GATE) {
		reply_ask(w, n, r);
		return;
	}
	n->gate.making = 0;
	if (r->result == TXN_OK || r->result == TXN_CONFLICT)
		gate_ask(w, n, false);
	else
		refused(w, n);
}

/* -- life -- */

void gate_start(struct sim_node *n, bool resumes)
{
	struct sim_gate *g = &n->gate;

	*g = (struct sim_gate){ .known = n->disk,
				.state = resumes ? GATE_OPEN : GATE_UNKNOWN,
				.pause_us = LOOK_MIN_US,
				.look = g->look + 1,
				.ask = g->ask + 1 };
}

bool gate_attached(struct sim *w, struct sim_node *n, bool fresh)
{
	if (fresh)
		n->gate.state = GATE_UNKNOWN;
	gate_ask(w, n, true);
	return n->gate.state == GATE_OPEN;
}

bool gate_detached(struct sim_node *n, bool expired)
{
	struct sim_gate *g = &n->gate;
	bool leaves = !expired && g->state == GATE_CLOSED;

	stop_looking(g);
	g->ask++;
	g->making = 0;
	if (g->state == GATE_OPEN)
		identity_note_zxid(&g->known, n->client.last_zxid);
	if (expired || leaves)
		g->state = GATE_UNKNOWN;
	return leaves;
}
