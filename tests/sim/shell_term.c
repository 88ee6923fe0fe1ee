/* SPDX-License-Identifier: Apache-2.0 */
#include "sim.h"

#include <string.h>

/*
 * The keepalive of the own term. Renewals overlap; each is sent at the version of the one before. What is known to be
 * committed is told, by its acknowledgement or because its counter was read back. Function by function as in term.c.
 */

#define MAKES_MAX 3 /* OWN_KEY_MAKES_MAX */

static bool mutated(const struct sim *w, enum sim_mutation m)
{
	return w->options->mutations & UINT64_C(1) << m;
}

static void tell(struct sim *w, struct sim_node *n, uint8_t result, int64_t sent_local)
{
	struct election_event ev = { .type = ELECTION_RENEWED,
				     .result = result,
				     .time_us = sent_local };

	shell_tell(w, n, &ev);
}

/* A process draws its nonce; what those before it had is in the state file. */
void term_begin(struct sim *w, struct sim_node *n, bool resumes)
{
	n->term = (struct sim_term){ .nonce = ++w->nonces };
	if (!resumes)
		return;
	memcpy(n->term.before, n->file.nonces, sizeof(n->term.before));
	n->term.ours = 1;
	n->term.epoch_version = n->file.epoch_version;
	n->term.session_us = n->file.term_us;
}

void term_nonces(const struct sim_node *n, int64_t ret_nonces[TERM_NONCES])
{
	const struct sim_term *t = &n->term;
	int count = 0;

	if (t->claimed)
		ret_nonces[count++] = t->nonce;
	for (int i = 0; count < TERM_NONCES; i++)
		ret_nonces[count++] = t->before[i];
}

static int find_before(const int64_t nonces[TERM_NONCES], int64_t nonce)
{
	for (int i = 0; i < TERM_NONCES; i++)
		if (nonce && nonces[i] == nonce)
			return i;
	return -1;
}

bool term_is_before(const int64_t nonces[TERM_NONCES], int64_t nonce)
{
	return find_before(nonces, nonce) >= 0;
}

static void next_value(struct sim *w, struct sim_node *n, struct sim_txn *txn)
{
	struct sim_term *t = &n->term;
	int slot = (int)(++t->counter % TERM_RENEWALS);

	t->counters[slot] = t->counter;
	t->sent[slot] = clock_local(w, n);
	txn->sent_local = t->sent[slot];
	txn->nonce = t->nonce;
	txn->counter = t->counter;
	txn->session_us = t->session_us;
	txn->lease_us = lease_owing_promise_us(t->session_us, t->debt_us, txn->sent_local);
	txn->machine = n->machine;
	txn->boot = n->boot;
}

void term_open(struct sim *w, struct sim_node *n, struct sim_txn *txn)
{
	struct sim_term *t = &n->term;

	/* The counter goes on: a takeover of before that lands late is not taken for this one. */
	*t = (struct sim_term){ .nonce = t->nonce,
				.counter = mutated(w, MUTATION_COUNTER_ANEW) ? 0 : t->counter,
				.serial = t->serial + 1,
				.claimed = 1,
				.session_us = n->core.term_us };
	if (n->shell.remembers && n->shell.owner_before != OWNER_NOBODY &&
	    !mutated(w, MUTATION_NO_DEBT))
		t->debt_us = clock_local(w, n) + lease_unknown_promise_us(n->core.term_us);
	t->epoch_version = txn->epoch_version + 1;
	next_value(w, n, txn);
}

/* The version of the keepalive is that of the takeover's set. */
void term_opened(struct sim *w, struct sim_node *n, const struct sim_request *r)
{
	(void)w;
	n->term.version = r->keep_version;
	n->term.known = n->term.ours = 1;
	n->term.makes = 0;
}

void term_owes(struct sim_node *n, int64_t until_us)
{
	n->term.debt_us = until_us;
}

void term_started(struct sim *w, struct sim_node *n)
{
	n->term.debt_us = 0;
	term_renew(w, n);
}

void term_close(struct sim_node *n)
{
	struct sim_term *t = &n->term;

	term_detached(n);
	memset(t->counters, 0, sizeof(t->counters));
	memset(t->sent, 0, sizeof(t->sent));
	t->session_us = 0;
	t->serial++;
}

void term_detached(struct sim_node *n)
{
	struct sim_term *t = &n->term;

	memset(t->open, 0, sizeof(t->open));
	t->known = t->wanted = t->reading = t->proven = 0;
}

static void look(struct sim *w, struct sim_node *n, bool watch)
{
	struct sim_request *r;

	n->term.known = 0;
	if (n->term.reading)
		return;
	n->term.decisive = n->term.wanted;
	n->term.reading = 1;
	r = request_create(w, n, REQUEST_READ, FOR_KEEPALIVE);
	r->parts = watch ? PART_KEEPALIVE : 0;
	r->holder = -1;
	r->txn.uid = n->term.serial;
	request_send(w, r);
}

void term_attached(struct sim *w, struct sim_node *n)
{
	term_detached(n);
	if (n->term.session_us && n->client.link == LINK_ATTACHED)
		look(w, n, true);
}

/* Something has committed; if it is a renewal of this connection, its answer tells the same. */
void term_changed(struct sim *w, struct sim_node *n)
{
	if (n->term.session_us && !n->term.proven && n->client.link == LINK_ATTACHED)
		look(w, n, true);
}

static void send_renewal(struct sim *w, struct sim_node *n)
{
	struct sim_term *t = &n->term;
	bool read = mutated(w, MUTATION_RENEW_BY_READ);
	struct sim_request *r;

	/* So many without an answer: there will be none on this connection. */
	if (t->open[(t->counter + 1) % TERM_RENEWALS])
		return;
	t->wanted = 0;
	r = request_create(w, n, read ? REQUEST_READ : REQUEST_TXN, FOR_RENEW);
	r->parts = 0;
	r->holder = -1;
	r->txn.type = TXN_RENEW;
	r->txn.uid = t->serial;
	r->txn.epoch_version = mutated(w, MUTATION_RENEW_EPOCH) ? UNCHECKED : t->epoch_version;
	r->txn.version = mutated(w, MUTATION_RENEW_VERSION) ? ANY_VERSION : t->version;
	r->txn.makes = t->makes;
	next_value(w, n, &r->txn);
	t->open[t->counter % TERM_RENEWALS] = 1;
	t->version = t->makes ? 0 : t->version + 1;
	t->made = t->makes;
	t->makes = 0;
	/* on_claim(): the file tells of both before anything is sent. */
	if (!t->claimed) {
		t->claimed = 1;
		(void)shell_persist(w, n);
	}
	request_send(w, r);
}

void term_renew(struct sim *w, struct sim_node *n)
{
	if (n->client.link != LINK_ATTACHED)
		return;
	if (n->term.known) {
		send_renewal(w, n);
		return;
	}
	n->term.wanted = 1;
	look(w, n, false);
}

/* What the keepalive says decides whose term it is, and how far it is known to be committed. */
static void take(struct sim *w, struct sim_node *n, const struct tree_keepalive *k)
{
	struct sim_term *t = &n->term;
	int slot = (int)(k->counter % TERM_RENEWALS);
	bool mine = k->nonce == t->nonce;
	int place = find_before(t->before, k->nonce);

	if (!mine && place < 0 && !mutated(w, MUTATION_ANY_NONCE)) {
		/* Else it may be from before a takeover that has not committed yet. */
		if (t->ours || t->decisive)
			sim_schedule(w, w->now, EV_CLOSED, n->id, n->client.conn, CLOSED_TO_RENEW);
		return;
	}
	t->ours = t->known = 1;
	t->version = k->version;
	t->makes = 0;
	/* That is the one which is committed; the others' renewals may still be on their way. */
	if (place > 0) {
		memmove(t->before + 1, t->before, (size_t)place * sizeof(t->before[0]));
		t->before[0] = k->nonce;
	}
	if (!mine || !t->sent[slot] || t->counters[slot] != k->counter)
		return;
	memset(t->before, 0, sizeof(t->before));
	tell(w, n, RESULT_OK, t->sent[slot]);
}

static void reply_read(struct sim *w, struct sim_node *n, const struct sim_request *r)
{
	struct sim_term *t = &n->term;
	const struct tree_keepalive *k = &r->seen.keepalive;
	uint32_t incarnation = n->incarnation;

	if (r->txn.uid != t->serial || !t->reading)
		return;
	t->reading = 0;
	if (k->there && k->nonce) {
		take(w, n, k);
	} else if (k->there) {
		/* A registration made it anew. */
		tell(w, n, RESULT_CONFLICT, 0);
	} else if (!mutated(w, MUTATION_NO_MAKES)) {
		t->known = 1;
		t->makes = t->made % MAKES_MAX + 1;
	}
	if (n->incarnation == incarnation && n->client.link == LINK_ATTACHED && t->session_us &&
	    t->known && t->wanted)
		send_renewal(w, n);
}

static void reply_renewal(struct sim *w, struct sim_node *n, const struct sim_request *r)
{
	struct sim_term *t = &n->term;

	if (r->txn.uid != t->serial)
		return;
	t->open[r->txn.counter % TERM_RENEWALS] = 0;
	if (r->result == TXN_OK) {
		t->made = 0;
		t->ours = t->proven = 1;
		memset(t->before, 0, sizeof(t->before));
		tell(w, n, RESULT_OK, r->txn.sent_local);
		return;
	}
	if (r->result == TXN_CONFLICT) {
		tell(w, n, RESULT_CONFLICT, 0);
		return;
	}
	/* What is missing is made at once, one step after the other; then at the next renewal again. */
	if (r->result == TXN_KEEP_MOVED || (r->result == TXN_KEEP_MISSING && t->made < MAKES_MAX))
		t->wanted = 1;
	look(w, n, false);
}

void term_reply(struct sim *w, struct sim_node *n, const struct sim_request *r)
{
	if (r->purpose == FOR_KEEPALIVE)
		reply_read(w, n, r);
	else
		reply_renewal(w, n, r);
}
