/* SPDX-License-Identifier: Apache-2.0 */
#include "sim.h"

/*
 * What the shell asks of ZooKeeper, but for the mirror of the keys (shell_view.c).
 */

static bool mutated(const struct sim *w, enum sim_mutation m)
{
	return w->options->mutations & 1u << m;
}

void shell_attached(struct sim *w, struct sim_node *n, bool fresh)
{
	struct election_event ev = {
		.type = ELECTION_SESSION_UP,
		.session_us = n->client.timeout,
		.fresh = fresh,
	};

	n->mirror.known = n->mirror.reading = n->mirror.refused = 0;
	n->shell.router = 0;
	shell_tell(w, n, &ev);
	if (!fresh && n->core.work != WORK_DOWN && n->guard.end_local)
		oracle_lease(w, n);
	lock_attached(w, n, fresh);
	shell_read(w, n, PARTS_ALL & ~PART_ALIVE, true);
}

/*
 * Everything under way ends without an answer; the core hears of it before or after it hears of the
 * connection.
 */
void shell_detached(struct sim *w, struct sim_node *n)
{
	struct sim_shell *s = &n->shell;
	bool first = rng_chance(&w->rng, 500);
	uint8_t op = s->op, renewing = s->renewing, scanning = s->scanning, counting = s->counting;
	bool marking = s->marks > 0;

	n->mirror.known = n->mirror.reading = n->mirror.refused = 0;
	s->op = s->renewing = s->scanning = s->counting = s->router = 0;
	repair_cancel(n);
	s->marks = 0;
	if (first)
		shell_tell_result(w, n, ELECTION_SESSION_DOWN, 0, 0, 0);
	w->stats.unknown += op != OP_NONE;
	if (op != OP_NONE)
		shell_tell_result(w, n, ELECTION_DONE, op, RESULT_UNKNOWN, 0);
	if (renewing)
		shell_tell_result(w, n, ELECTION_RENEWED, 0, RESULT_UNKNOWN, 0);
	if (scanning)
		shell_tell_result(w, n, ELECTION_CORPSES, 0, RESULT_UNKNOWN, 0);
	if (counting)
		shell_tell_result(w, n, ELECTION_PEERS, 0, RESULT_UNKNOWN, 0);
	if (marking)
		shell_tell_result(w, n, ELECTION_FENCED, 0, RESULT_UNKNOWN, 0);
	if (!first)
		shell_tell_result(w, n, ELECTION_SESSION_DOWN, 0, 0, 0);
}

/* As in writes.c. */
#define MISSING_MAX 20
#define MISSING_LEAVE_MAX 2

static void fill_op(struct sim *w, struct sim_node *n, const struct election_action *a,
		    struct sim_txn *t)
{
	switch ((enum election_op)a->op) {
	case OP_REGISTER:
		t->type = TXN_REGISTER;
		t->router = n->config.coordinator ? 's' : 'c';
		break;
	case OP_CREATE_KEY:
		t->type = TXN_CREATE_KEY;
		break;
	case OP_CLAIM:
		t->type = TXN_CLAIM;
		t->version = mutated(w, MUTATION_CLAIM_VERSION) ? -1 : a->version;
		t->uid = n->shell.lock_uid;
		t->bare = n->shell.note_refused >= MISSING_MAX;
		break;
	case OP_ENTER:
		t->type = TXN_ENTER;
		t->version = mutated(w, MUTATION_ENTER_VERSION) ? -1 : a->version;
		t->epoch = n->core.epoch;
		break;
	case OP_LEAVE:
		t->type = TXN_LEAVE;
		t->value = shell_post_seen(n) == POST_MINE ? LEAVE_DELETE : LEAVE_KEEP;
		if (shell_post_seen(n) == POST_UNKNOWN && !mutated(w, MUTATION_BLIND_LEAVE))
			t->value = LEAVE_IF_OWN;
		t->bare = n->shell.own_refused >= MISSING_LEAVE_MAX;
		break;
	case OP_HAND_BACK:
	case OP_RECLAIM:
		t->type = TXN_SET_KEY;
		t->version = a->version;
		t->value = a->op == OP_RECLAIM ? (int8_t)n->id : NAME_NONE;
		break;
	case OP_NONE:
	case OP_COUNT:
		break;
	}
}

void shell_do(struct sim *w, struct sim_node *n, const struct election_action *a)
{
	struct sim_request *r;

	if (n->shell.op != OP_NONE)
		sim_fail(w, "node %d: a transaction while another is under way", n->id);
	if (n->client.link != LINK_ATTACHED) {
		shell_post(w, n, 0, ELECTION_DONE, a->op,
			   rng_chance(&w->rng, 500) ? RESULT_UNKNOWN : RESULT_CONFLICT);
		return;
	}
	oracle_do(w, n, a->op);
	chaos_ambush(w, n);
	n->shell.op = a->op;
	r = request_create(w, n, REQUEST_TXN, FOR_OP);
	r->op = a->op;
	fill_op(w, n, a, &r->txn);
	request_send(w, r);
}

/* A renewal, or a touch: any read will do for that. */
void shell_renew(struct sim *w, struct sim_node *n, bool touch)
{
	bool read = touch || mutated(w, MUTATION_RENEW_BY_READ);
	struct sim_request *r;

	if (n->shell.renewing)
		sim_fail(w, "node %d: a renewal while another is under way", n->id);
	if (n->client.link != LINK_ATTACHED) {
		shell_post(w, n, 0, ELECTION_RENEWED, 0, RESULT_UNKNOWN);
		return;
	}
	n->shell.renewing = 1;
	r = request_create(w, n, read ? REQUEST_READ : REQUEST_TXN, touch ? FOR_TOUCH : FOR_RENEW);
	r->parts = 0;
	r->holder = -1;
	r->txn.type = TXN_RENEW;
	request_send(w, r);
}

void shell_scan(struct sim *w, struct sim_node *n, uint8_t purpose)
{
	if (n->client.link != LINK_ATTACHED) {
		shell_post(w, n, 0, purpose == FOR_SCAN ? ELECTION_CORPSES : ELECTION_PEERS, 0,
			   RESULT_UNKNOWN);
		return;
	}
	if (purpose == FOR_SCAN)
		n->shell.scanning = 1;
	else
		n->shell.counting = 1;
	request_send(w, request_create(w, n, REQUEST_SCAN, purpose));
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
	if (n->shell.op == OP_ENTER || n->shell.op == OP_LEAVE)
		return;
	n->shell.router = want;
	r = request_create(w, n, REQUEST_TXN, FOR_ROUTER);
	r->txn.type = TXN_ROUTER;
	r->txn.router = want;
	request_send(w, r);
}

static void key_written(struct sim_node *n, const struct sim_request *r, int8_t name)
{
	struct sim_mirror *m = &n->mirror;

	m->seen.key = name;
	m->seen.key_version = r->txn.version + 1;
	m->seen.key_mzxid = r->zxid;
	m->known |= PART_KEY;
}

static void post_written(struct sim_node *n, int8_t holder)
{
	n->mirror.seen.holder = holder;
	n->mirror.seen.post_session = n->client.session;
	n->mirror.known |= PART_POST;
}

/* What the committed transaction made known, before anybody reads it. */
static void committed(struct sim *w, struct sim_node *n, const struct sim_request *r)
{
	struct sim_shell *s = &n->shell;

	if (r->op == OP_ENTER) {
		s->router = 't';
		n->lease_proof = r->sent_local + lease_length_us(n->client.timeout);
		post_written(n, (int8_t)n->id);
	} else if (r->op == OP_LEAVE) {
		s->router = r->txn.bare ? 0 : 's';
		if (r->txn.value == LEAVE_DELETE)
			post_written(n, -1);
	} else if (r->op == OP_REGISTER) {
		s->router = n->config.coordinator ? 's' : 'c';
	} else if (r->op == OP_CLAIM) {
		s->lock = SHELL_LOCK_NONE;
		s->lock_gen++;
		key_written(n, r, (int8_t)n->id);
	} else if (r->op == OP_RECLAIM || r->op == OP_HAND_BACK) {
		key_written(n, r, r->txn.value);
	}
}

/* Notes that it failed because of what goes along with it. */
static uint8_t note_failure(struct sim *w, struct sim_node *n, const struct sim_request *r)
{
	struct sim_shell *s = &n->shell;
	bool insists = mutated(w, MUTATION_NO_FALLBACK);

	if (r->result == TXN_OK || r->result == TXN_CONFLICT)
		return r->result == TXN_OK ? RESULT_OK : RESULT_CONFLICT;
	w->stats.faults[FAULT_REFUSED] += r->result != TXN_MISSING;
	if (r->result == TXN_MISSING) {
		s->own_refused += !insists;
		repair_begin(w, n);
		return r->op == OP_ENTER && s->own_refused >= MISSING_MAX ? RESULT_FAILED
									  : RESULT_CONFLICT;
	}
	if (r->result == TXN_REFUSED_OWN && !insists)
		s->own_refused = MISSING_MAX;
	if (r->result == TXN_REFUSED_NOTE && !insists)
		s->note_refused = MISSING_MAX;
	if (r->result == TXN_REFUSED_POST && !mutated(w, MUTATION_KEEP_POST))
		shell_post(w, n, 0, ELECTION_SHUTDOWN, 0, 0);
	return RESULT_FAILED;
}

static void reply_op(struct sim *w, struct sim_node *n, const struct sim_request *r)
{
	struct election_event ev = {
		.type = ELECTION_DONE,
		.op = r->op,
		.zxid = r->zxid,
	};

	n->shell.op = OP_NONE;
	ev.result = note_failure(w, n, r);
	if (r->op == OP_ENTER && ev.result == RESULT_FAILED)
		n->refused_epoch = r->txn.epoch;
	if (r->result == TXN_OK)
		committed(w, n, r);
	if (r->result == TXN_OK && r->op == OP_CLAIM)
		n->shell.note_refused = 0;
	if (r->result == TXN_OK && (r->op == OP_ENTER || r->op == OP_LEAVE))
		n->shell.own_refused = 0;
	chaos_ambush(w, n);
	shell_tell(w, n, &ev);
}

static void renewed(struct sim *w, struct sim_node *n, bool ours, int64_t sent_local)
{
	int64_t proof = sent_local + lease_length_us(n->client.timeout);

	n->shell.renewing = 0;
	if (ours && proof > n->lease_proof)
		n->lease_proof = proof;
	shell_tell_result(w, n, ELECTION_RENEWED, 0, ours ? RESULT_OK : RESULT_CONFLICT, 0);
}

/* That it is there says nothing of whose it is. */
static void look_at_owner(struct sim *w, struct sim_node *n, int64_t sent_local)
{
	struct sim_request *r = request_create(w, n, REQUEST_READ, FOR_OWNER);

	n->shell.renewing = 1;
	n->shell.renewal_sent = sent_local;
	r->parts = 0;
	r->holder = -1;
	request_send(w, r);
}

static void reply_renewal(struct sim *w, struct sim_node *n, const struct sim_request *r)
{
	n->shell.renewing = 0;
	/* The check of the post alone is as good a proof. */
	if (r->result == TXN_MISSING)
		repair_begin(w, n);
	if (r->result == TXN_MISSING ||
	    (r->result == TXN_REFUSED_OWN && !mutated(w, MUTATION_NO_FALLBACK))) {
		struct sim_request *again = request_create(w, n, REQUEST_TXN, FOR_RENEW);

		again->txn.type = TXN_RENEW;
		again->txn.bare = 1;
		n->shell.renewing = 1;
		request_send(w, again);
		return;
	}
	if (r->result == TXN_REFUSED_OWN) {
		shell_tell_result(w, n, ELECTION_RENEWED, 0, RESULT_UNKNOWN, 0);
		return;
	}
	if (r->result == TXN_OK && shell_post_seen(n) != POST_MINE &&
	    !mutated(w, MUTATION_ANY_POST))
		look_at_owner(w, n, r->sent_local);
	else
		renewed(w, n, r->result == TXN_OK, r->sent_local);
}

static void reply_mark(struct sim *w, struct sim_node *n, const struct sim_request *r)
{
	struct sim_shell *s = &n->shell;

	if (!s->marks)
		return;
	/* One that may not be marked is left as it is. */
	s->marked_badly |= r->result == TXN_CONFLICT;
	if (--s->marks)
		return;
	shell_tell_result(w, n, ELECTION_FENCED, 0, s->marked_badly ? RESULT_UNKNOWN : RESULT_OK,
			  0);
}

void shell_reply(struct sim *w, struct sim_node *n, struct sim_request *r)
{
	switch ((enum request_purpose)r->purpose) {
	case FOR_VIEW:
		shell_take_view(w, n, r);
		break;
	case FOR_OP:
		reply_op(w, n, r);
		break;
	case FOR_RENEW:
		reply_renewal(w, n, r);
		break;
	case FOR_TOUCH:
		n->shell.renewing = 0;
		shell_tell_result(w, n, ELECTION_RENEWED, 0, RESULT_OK, 0);
		break;
	case FOR_LOCK:
	case FOR_REMOVAL:
		lock_reply(w, n, r);
		break;
	case FOR_SCAN:
		n->shell.scanning = 0;
		n->shell.corpses = r->corpses;
		for (int i = 0; i < w->node_count; i++)
			n->shell.router_versions[i] = r->router_versions[i];
		shell_tell_result(w, n, ELECTION_CORPSES, 0,
				  r->others ? RESULT_CONFLICT : RESULT_OK,
				  __builtin_popcount(r->corpses));
		break;
	case FOR_PEERS:
		n->shell.counting = 0;
		shell_tell_result(w, n, ELECTION_PEERS, 0, RESULT_OK, r->peers);
		break;
	case FOR_MARK:
		reply_mark(w, n, r);
		break;
	case FOR_OWNER:
		renewed(w, n, r->seen.post_session == n->client.session && r->seen.holder >= 0,
			n->shell.renewal_sent);
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

static void mark_corpses(struct sim *w, struct sim_node *n)
{
	struct sim_shell *s = &n->shell;

	if (n->client.link != LINK_ATTACHED || !s->corpses) {
		shell_post(w, n, 0, ELECTION_FENCED, 0, RESULT_UNKNOWN);
		return;
	}
	s->marks = __builtin_popcount(s->corpses);
	s->marked_badly = 0;
	for (int i = 0; i < w->node_count; i++) {
		struct sim_request *r;

		if (!(s->corpses & 1u << i))
			continue;
		r = request_create(w, n, REQUEST_TXN, FOR_MARK);
		r->txn.type = TXN_MARK;
		r->txn.node = (int8_t)i;
		r->txn.version = s->router_versions[i];
		request_send(w, r);
	}
}

/* The commands run one after the other; what the first failure leaves undone stays a corpse. */
void shell_fence(struct sim *w, struct sim_node *n)
{
	struct sim_shell *s = &n->shell;
	int64_t took = 0;

	s->fence_gen++;
	if (!w->params.fence_exists) {
		mark_corpses(w, n);
		return;
	}
	for (int i = 0; i < w->node_count; i++) {
		bool fails = rng_chance(&w->rng, w->params.fence_fails);
		bool hangs = rng_chance(&w->rng, w->params.fence_hangs);
		uint32_t end = fails || hangs ? 1 : 0;

		if (!(s->corpses & 1u << i))
			continue;
		w->stats.faults[FAULT_FENCE_FAILS] += fails;
		w->stats.faults[FAULT_FENCE_HANGS] += hangs;
		took += hangs ? w->params.fence_timeout_us
			      : rng_range(&w->rng, MS, w->params.fence_us);
		sim_schedule(w, w->now + took, EV_FENCE, n->id, s->fence_gen,
			     end << 16 | (uint32_t)i);
	}
	sim_schedule(w, w->now + took, EV_FENCE, n->id, s->fence_gen, 2u << 16);
}

void shell_on_fence(struct sim *w, struct sim_node *n, const struct queue_event *ev)
{
	uint32_t end = ev->arg >> 16, target = ev->arg & 0xffff;

	if (ev->gen != n->shell.fence_gen || n->daemon != DAEMON_UP)
		return;
	if (end == 2) {
		mark_corpses(w, n);
	} else if (end == 1 && !w->params.fence_continues) {
		n->shell.fence_gen++;
		shell_tell_result(w, n, ELECTION_FENCED, 0, RESULT_FAILED, 0);
	} else if (end == 0) {
		w->stats.fences++;
		SIM_TRACE(w, "node  %d fenced node %u", n->id, target);
		host_power_off(w, &w->nodes[target],
			       100 * MS + rng_range(&w->rng, 0, w->params.restart_us * 2));
	}
}
