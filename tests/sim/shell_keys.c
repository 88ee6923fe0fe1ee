/* SPDX-License-Identifier: Apache-2.0 */
#include "sim.h"

#include <string.h>

/*
 * What the shell asks of ZooKeeper, but for what is linked of the daemon.
 */

/* Once it is known that all terms of before are over, the next process need not wait for them. */
static void see_cluster(struct sim *w, struct sim_node *n)
{
	if (n->ensemble.czxid)
		survivor_see_cluster(&n->survivor, n->ensemble.czxid, clock_local(w, n));
	if (!n->survivor.cluster_new_us)
		ensemble_note_made(&n->ensemble, n->survivor.cluster_czxid);
	else
		sim_schedule(w, w->now + lease_unknown_promise_us(n->client.timeout), EVENT_MEMORY,
			     n->id, ++n->shell.memory_gen, 0);
}

void shell_memory_due(struct sim *w, struct sim_node *n, const struct queue_event *ev)
{
	int64_t now = clock_local(w, n);
	int64_t left;

	if (ev->gen != n->shell.memory_gen || n->daemon != DAEMON_UP)
		return;
	left = survivor_untold_us(&n->survivor, false, true, n->client.timeout, now) - now;
	if (left > 0) {
		sim_schedule(w, w->now + left, EVENT_MEMORY, n->id, n->shell.memory_gen, 0);
		return;
	}
	n->survivor.cluster_new_us = 0;
	ensemble_note_made(&n->ensemble, n->survivor.cluster_czxid);
}

void shell_attached(struct sim *w, struct sim_node *n, bool fresh)
{
	/* Not behind the sync, which may take as long as a commit. */
	zkh_hooks_attached(n);
	term_attached(&n->term, zkh_session_of(n), fresh);
	if (ensemble_attached(&n->ensemble, fresh))
		shell_attach(w, n, fresh);
}

void shell_attach(struct sim *w, struct sim_node *n, bool fresh)
{
	struct election_event ev = {
		.type = ELECTION_SESSION_UP,
		.session_us = n->client.timeout,
		.fresh = fresh,
	};

	n->writes.session = zkh_session_of(n);
	writes_unpublish(&n->writes);
	see_cluster(w, n);
	view_remember_epoch(&n->view, ensemble_epoch(&n->ensemble));
	witness_attached(&n->witness, zkh_session_of(n), ev.session_us);
	view_start(&n->view, zkh_session_of(n));
	lock_attached(w, n, fresh);
	shell_tell(w, n, &ev);
	if (n->shell.repair_wanted && n->client.link == LINK_ATTACHED)
		repair_begin(w, n);
}

/*
 * Everything under way ends without an answer; the core hears of it before or after it hears of the
 * connection.
 */
void shell_detached(struct sim *w, struct sim_node *n)
{
	struct sim_shell *s = &n->shell;
	bool first = rng_chance(&w->rng, 500);
	bool registering = s->registering;

	ensemble_detached(&n->ensemble, false);
	view_forget(&n->view);
	/* What was on its way may have written it. */
	if (registering || s->repairing)
		writes_unpublish(&n->writes);
	s->registering = 0;
	witness_detached(&n->witness);
	if (s->repairing) {
		repair_cancel(n);
		repair_later(w, n);
	}
	if (first)
		shell_tell_result(w, n, ELECTION_SESSION_DOWN, 0, 0, 0);
	zkh_detached(n);
	if (registering)
		shell_tell_result(w, n, ELECTION_DONE, OP_REGISTER, RESULT_UNKNOWN, 0);
	if (!first)
		shell_tell_result(w, n, ELECTION_SESSION_DOWN, 0, 0, 0);
}

/* -- registration -- */

/* Until when the term in the own keepalive is waited for. */
static int64_t own_term_us(struct sim *w, struct sim_node *n, const struct tree_keepalive *k)
{
	return survivor_until_us(&n->survivor, node_name(n->id),
				 k->nonce ? k->mzxid : SURVIVOR_UNREADABLE, k->lease_us, 0,
				 clock_local(w, n));
}

/* A trace that another machine left under this name is not overwritten before its term is over. */
static bool trace_of_another(const struct sim_node *n, const struct sim_request *r)
{
	char router = r->seen.router;
	const struct tree_keepalive *k = &r->seen.keepalive;

	if (router != 't' && router != 'p' && router != 'r')
		return false;
	return !k->nonce || k->machine != n->machine;
}

static void send_register(struct sim *w, struct sim_node *n, const struct sim_snapshot *seen)
{
	struct sim_request *r = request_create(w, n, REQUEST_TXN, FOR_REGISTER);

	r->op = OP_REGISTER;
	r->txn.type = TXN_REGISTER;
	r->txn.router = n->config.coordinator ? 's' : 'c';
	r->txn.value = n->config.coordinator != 0;
	r->txn.machine = n->machine;
	r->txn.boot = n->boot;
	shell_raise(w, n, seen, &r->txn);
	request_send(w, r);
}

/* The store knows of fewer takeovers than this node does. */
void shell_raise(struct sim *w, struct sim_node *n, const struct sim_snapshot *seen,
		 struct sim_txn *txn)
{
	if (n->view.memory_epoch <= seen->epoch || sim_mutated(w, MUTATION_NO_RAISE))
		return;
	txn->epoch = n->view.memory_epoch;
	txn->owner = sim_mutated(w, MUTATION_RAISE_NOBODY) ? OWNER_NOBODY : OWNER_UNKNOWN;
	txn->epoch_version = seen->epoch_version;
}

static void reply_look_first(struct sim *w, struct sim_node *n, const struct sim_request *r)
{
	int32_t session = r->seen.alive_session;
	uint8_t result = RESULT_OK;

	if (!n->shell.registering)
		return;
	if (session && session != n->client.session)
		result = RESULT_CONFLICT;
	else if (trace_of_another(n, r) &&
		 clock_local(w, n) < own_term_us(w, n, &r->seen.keepalive))
		result = RESULT_CONFLICT;
	if (result == RESULT_OK) {
		send_register(w, n, &r->seen);
		return;
	}
	n->shell.registering = 0;
	shell_tell_result(w, n, ELECTION_DONE, OP_REGISTER, result, 0);
}

void shell_register(struct sim *w, struct sim_node *n)
{
	n->shell.registering = 1;
	request_send(w, request_create(w, n, REQUEST_READ, FOR_LOOK_FIRST));
}

static uint8_t result_of(struct sim *w, const struct sim_request *r)
{
	if (r->result == TXN_OK || r->result == TXN_CONFLICT)
		return r->result == TXN_OK ? RESULT_OK : RESULT_CONFLICT;
	w->stats.faults[FAULT_REFUSED]++;
	return RESULT_FAILED;
}

static void reply_register(struct sim *w, struct sim_node *n, const struct sim_request *r)
{
	struct election_event ev = { .type = ELECTION_DONE, .op = OP_REGISTER, .zxid = r->zxid };

	if (!n->shell.registering)
		return; /* that was called off */
	n->shell.registering = 0;
	ev.result = result_of(w, r);
	if (ev.result == RESULT_OK) {
		writes_registered(&n->writes, n->config.coordinator ? "secondary" : "client");
		shell_registered(w, n, r->zxid);
	} else {
		writes_unpublish(&n->writes);
	}
	chaos_ambush(w, n);
	shell_tell(w, n, &ev);
}

void shell_reply(struct sim *w, struct sim_node *n, struct sim_request *r)
{
	switch ((enum request_purpose)r->purpose) {
	case FOR_REGISTER:
		reply_register(w, n, r);
		break;
	case FOR_CALL:
		zkh_reply(w, r);
		break;
	case FOR_LOOK_FIRST:
		reply_look_first(w, n, r);
		break;
	case FOR_LOCK:
	case FOR_REMOVAL:
		lock_reply(w, n, r);
		break;
	case FOR_REPAIR:
	case FOR_REPAIRED:
	case FOR_LOOK:
		repair_reply(w, n, r);
		break;
	case FOR_NOTHING:
	case FOR_FAREWELL:
		break;
	}
}
