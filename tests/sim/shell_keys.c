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
	term_attached(&n->term, zkh_session_of(n));
	if (ensemble_attached(&n->ensemble, fresh))
		shell_attach(w, n, fresh);
}

/* Nothing that this session holds there is worth anything. */
void shell_foreign(struct sim *w, struct sim_node *n)
{
	bool registering = n->shell.op == OP_REGISTER;

	if (n->shell.repairing)
		repair_cancel(n);
	if (registering)
		n->shell.op = OP_NONE;
	term_left(&n->term);
	witness_detached(&n->witness);
	view_stop(&n->view);
	shell_tell_result(w, n, ELECTION_SESSION_LOST, 0, 0, 0);
	if (registering)
		shell_tell_result(w, n, ELECTION_DONE, OP_REGISTER, RESULT_UNKNOWN, 0);
}

void shell_attach(struct sim *w, struct sim_node *n, bool fresh)
{
	struct election_event ev = {
		.type = ELECTION_SESSION_UP,
		.session_us = n->client.timeout,
		.fresh = fresh,
	};

	n->shell.router = 0;
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
	uint8_t op = s->op;

	ensemble_detached(&n->ensemble, false);
	view_forget(&n->view);
	/* What was on its way may have written it. */
	if (op != OP_NONE || s->repairing || s->telling)
		s->router = 0;
	s->op = s->telling = 0;
	witness_detached(&n->witness);
	if (s->repairing) {
		repair_cancel(n);
		repair_later(w, n);
	}
	zkh_detached(n);
	if (first)
		shell_tell_result(w, n, ELECTION_SESSION_DOWN, 0, 0, 0);
	w->stats.unknown += op != OP_NONE;
	if (op != OP_NONE)
		shell_tell_result(w, n, ELECTION_DONE, op, RESULT_UNKNOWN, 0);
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
	struct sim_request *r = request_create(w, n, REQUEST_TXN, FOR_OP);

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

	if (n->shell.op != OP_REGISTER)
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
	n->shell.op = OP_NONE;
	shell_tell_result(w, n, ELECTION_DONE, OP_REGISTER, result, 0);
}

/* As own_debt() in do.c. */
static const char *own_debt(const struct sim *w, const struct sim_node *n)
{
	int64_t epoch = n->view.memory_epoch;

	if (epoch == ensemble_own(&n->ensemble) || sim_mutated(w, MUTATION_FOREIGN_EPOCH))
		return NAME_NOBODY;
	return epoch == n->shell.takeover_epoch ? n->shell.owner_before : "";
}

/* As owner_before() there. */
static const char *owner_known(const struct sim *w, const struct sim_node *n)
{
	const struct view *view = &n->view;

	if (view->top_version < 0 || view->top_epoch < view->memory_epoch)
		return "";
	return strcmp(view->top_owner, view->name) ? view->top_owner : own_debt(w, n);
}

/* As check_epoch() in writes.c. */
static int32_t checked_epoch(const struct sim_node *n)
{
	struct election_view now;

	view_election(&n->view, &now);
	return now.epoch_known && n->view.top_version >= 0 ? n->view.top_version : UNCHECKED;
}

static void fill_leave(struct sim *w, struct sim_node *n, struct sim_txn *t)
{
	const struct view *view = &n->view;
	struct election_view now;

	view_election(view, &now);
	t->type = TXN_LEAVE;
	t->value = now.post == POST_MINE ? LEAVE_DELETE : LEAVE_KEEP;
	t->epoch_version = sim_mutated(w, MUTATION_LEAVE_EPOCH) ? UNCHECKED : view->top_version;
	t->makes = n->shell.leave_makes;
	if (t->value == LEAVE_KEEP)
		t->epoch_version = checked_epoch(n);
	if (t->value == LEAVE_KEEP ||
	    (view->top_version >= 0 && strcmp(view->top_owner, view->name) != 0))
		return;
	n->shell.leaves = own_debt(w, n);
	t->epoch = view->memory_epoch;
	t->owner = owner_of_name(n->shell.leaves);
	n->shell.epoch_version = view->top_version + 1;
}

static void fill_op(struct sim *w, struct sim_node *n, const struct election_action *a,
		    struct sim_txn *t)
{
	switch ((enum election_op)a->op) {
	case OP_CREATE_KEY:
		t->type = TXN_CREATE_KEY;
		break;
	case OP_CLAIM:
		t->type = TXN_CLAIM;
		t->version = sim_mutated(w, MUTATION_CLAIM_VERSION) ? ANY_VERSION : a->version;
		t->uid = n->shell.lock_uid;
		break;
	case OP_ENTER:
		t->type = TXN_ENTER;
		t->version = sim_mutated(w, MUTATION_ENTER_VERSION) ? ANY_VERSION : a->version;
		t->epoch = n->core.epoch;
		t->epoch_version = n->view.top_version;
		n->shell.epoch_version = t->epoch_version + 1;
		break;
	case OP_LEAVE:
		fill_leave(w, n, t);
		break;
	case OP_HAND_BACK:
	case OP_RECLAIM:
		t->type = TXN_SET_KEY;
		t->version = a->version;
		t->value = a->op == OP_RECLAIM ? (int8_t)n->id : NAMED_NONE;
		break;
	case OP_REGISTER:
	case OP_NONE:
	case OP_COUNT:
		break;
	}
}

static void answer_later(struct sim *w, struct sim_node *n, uint8_t op, uint8_t result)
{
	n->shell.op = OP_NONE;
	shell_post(w, n, 0, ELECTION_DONE, op, result);
}

/* False: it is not sent. */
static bool prepare_enter(struct sim *w, struct sim_node *n)
{
	/* What a process that comes back would be told by the file of before is void. */
	if (!sim_mutated(w, MUTATION_OLD_STATE))
		shell_raise_generation(n);
	if (!shell_persist(w, n) && !sim_mutated(w, MUTATION_UNSAVED)) {
		n->refused_claim = 0;
		answer_later(w, n, OP_ENTER, RESULT_FAILED);
		return false;
	}
	return true;
}

/* As note_enter() in do.c, and the opening of the term in writes.c. */
static void note_enter(struct sim_node *n, const char *owner, struct sim_txn *txn)
{
	n->shell.takeover_epoch = n->core.epoch;
	strcpy(n->shell.owner_before, owner);
	n->shell.remembers = n->view.memory_epoch > 0;
	zkh_open_term(n, n->shell.remembers && strcmp(owner, NAME_NOBODY) != 0,
		      txn->epoch_version + 1, txn);
	shell_recovery_begin(n);
}

/* The connection is lost, and the election has not heard of it yet. */
static void fail_unsent(struct sim *w, struct sim_node *n, const struct election_action *a)
{
	struct sim_txn unsent = { .type = TXN_NOP };
	char owner[NAME_SIZE];

	strcpy(owner, owner_known(w, n));
	if (a->op == OP_ENTER && !prepare_enter(w, n))
		return;
	if (a->op == OP_ENTER) {
		fill_op(w, n, a, &unsent);
		note_enter(n, owner, &unsent);
	}
	shell_post(w, n, 0, ELECTION_DONE, a->op,
		   rng_chance(&w->rng, 500) ? RESULT_UNKNOWN : RESULT_CONFLICT);
}

/* As in do.c. */
static bool is_outdated(const struct sim_node *n, uint8_t op)
{
	struct election_view now;

	view_election(&n->view, &now);
	if (op == OP_CLAIM)
		return n->shell.lock == SHELL_LOCK_NONE;
	if (op == OP_ENTER)
		return n->core.epoch <= now.epoch;
	return op == OP_LEAVE && n->core.view.post != now.post;
}

void shell_do(struct sim *w, struct sim_node *n, const struct election_action *a)
{
	bool registers = a->op == OP_REGISTER;
	struct sim_request *r;
	char owner[NAME_SIZE];

	if (n->shell.op != OP_NONE)
		sim_fail(w, "node %d: a transaction while another is under way", n->id);
	if (is_outdated(n, a->op) && !sim_mutated(w, MUTATION_OUTDATED)) {
		shell_post(w, n, 0, ELECTION_DONE, a->op, RESULT_CONFLICT);
		return;
	}
	if (n->client.link != LINK_ATTACHED) {
		fail_unsent(w, n, a);
		return;
	}
	oracle_do(w, n, a->op);
	chaos_ambush(w, n);
	n->shell.op = a->op;
	strcpy(owner, owner_known(w, n));
	if (a->op == OP_ENTER && !prepare_enter(w, n))
		return;
	r = request_create(w, n, registers ? REQUEST_READ : REQUEST_TXN,
			   registers ? FOR_LOOK_FIRST : FOR_OP);
	r->op = a->op;
	fill_op(w, n, a, &r->txn);
	if (a->op == OP_ENTER)
		note_enter(n, owner, &r->txn);
	request_send(w, r);
}

/*
 * The router state follows the phase. Takeover and secondary are written by the transactions that
 * bring them about.
 */
void shell_publish(struct sim *w, struct sim_node *n)
{
	char want = election_router_state(&n->config, &n->core)[0];
	struct sim_request *r;

	if (!want || want == n->shell.router || n->client.link != LINK_ATTACHED)
		return;
	/* What was refused is written again along with the next repair; see cluster_settle() for LEAVE. */
	if (n->shell.repair_refused || n->core.phase == PHASE_LEAVE)
		return;
	if (n->shell.op == OP_ENTER || n->shell.op == OP_LEAVE)
		return;
	if (view_epoch_is_awaited(&n->view))
		return;
	n->shell.router = want;
	n->shell.telling = 1;
	r = request_create(w, n, REQUEST_TXN, FOR_ROUTER);
	r->txn.type = TXN_ROUTER;
	r->txn.epoch_version = checked_epoch(n);
	r->txn.router = want;
	request_send(w, r);
}

/* What the committed transaction made known, before anybody reads it. */
static void committed(struct sim *w, struct sim_node *n, const struct sim_request *r)
{
	struct sim_shell *s = &n->shell;
	const struct zkh_stat stat = { .version = r->txn.version + 1, .mzxid = r->zxid };

	if (r->op == OP_ENTER) {
		s->router = 't';
		term_opened(&n->term, s->epoch_version, r->keep_version);
		view_epoch_written(&n->view, r->txn.epoch, node_name(n->id), s->epoch_version);
		view_post_written(&n->view, true, r->txn.epoch);
	} else if (r->op == OP_LEAVE) {
		s->router = 's';
		if (r->txn.value == LEAVE_DELETE)
			view_post_written(&n->view, false, 0);
		if (r->txn.value == LEAVE_DELETE && r->txn.epoch)
			view_epoch_written(&n->view, r->txn.epoch, s->leaves, s->epoch_version);
	} else if (r->op == OP_REGISTER) {
		s->router = n->config.coordinator ? 's' : 'c';
		shell_registered(w, n, r->zxid);
	} else if (r->op == OP_CLAIM) {
		s->lock = SHELL_LOCK_NONE;
		s->lock_gen++;
		view_key_written(&n->view, node_name(n->id), &stat);
	} else if (r->op == OP_RECLAIM || r->op == OP_HAND_BACK) {
		view_key_written(&n->view, r->op == OP_RECLAIM ? node_name(n->id) : NAME_NONE,
				 &stat);
	}
}

static uint8_t result_of(struct sim *w, struct sim_node *n, const struct sim_request *r)
{
	if (r->result == TXN_OK || r->result == TXN_CONFLICT)
		return r->result == TXN_OK ? RESULT_OK : RESULT_CONFLICT;
	w->stats.faults[FAULT_REFUSED] += r->result != TXN_MISSING;
	if (r->result == TXN_MISSING) {
		repair_begin(w, n);
		return RESULT_CONFLICT;
	}
	/* The work is down; the post goes with its session. */
	if (r->op == OP_LEAVE && !sim_mutated(w, MUTATION_KEEP_POST))
		sim_schedule(w, w->now, EVENT_CLOSED, n->id, n->client.conn, CLOSED_TO_RENEW);
	return RESULT_FAILED;
}

static void reply_op(struct sim *w, struct sim_node *n, const struct sim_request *r)
{
	struct election_event ev = {
		.type = ELECTION_DONE,
		.op = r->op,
		.zxid = r->zxid,
	};

	if (r->op == OP_REGISTER && n->shell.op != OP_REGISTER)
		return; /* that was called off */
	n->shell.op = OP_NONE;
	if (r->op == OP_LEAVE)
		n->shell.leave_makes = r->result == TXN_MISSING ? n->shell.leave_makes % 3 + 1 : 0;
	ev.result = result_of(w, n, r);
	if (r->op == OP_ENTER && ev.result == RESULT_FAILED)
		n->refused_claim = n->enter_claim;
	if (r->result == TXN_OK)
		committed(w, n, r);
	chaos_ambush(w, n);
	shell_tell(w, n, &ev);
}

void shell_reply(struct sim *w, struct sim_node *n, struct sim_request *r)
{
	switch ((enum request_purpose)r->purpose) {
	case FOR_OP:
		reply_op(w, n, r);
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
	case FOR_ROUTER:
		repair_reply(w, n, r);
		break;
	case FOR_NOTHING:
	case FOR_FAREWELL:
		break;
	}
}
