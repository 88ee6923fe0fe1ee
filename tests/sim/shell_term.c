/* SPDX-License-Identifier: Apache-2.0 */
#include "sim.h"

#include <string.h>

/*
 * The keepalive of the own term. Renewals overlap; each is sent at the version of the one before. What is known to be
 * committed is told, by its acknowledgement or because its counter was read back. See term.c.
 */

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

/* A process draws its nonce; what the one before it had is in the state file. */
void term_begin(struct sim *w, struct sim_node *n, bool resumes)
{
	n->term = (struct sim_term){ .nonce = ++w->nonces };
	if (!resumes || !n->file.there || !n->file.term_us)
		return;
	n->term.nonce_before = n->file.nonce;
	n->term.epoch_version = n->file.epoch_version;
	n->term.session_us = n->file.term_us;
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
	txn->lease_us = lease_promise_us(t->session_us);
	txn->machine = n->machine;
	txn->boot = n->boot;
}

void term_open(struct sim *w, struct sim_node *n, struct sim_txn *txn)
{
	struct sim_term *t = &n->term;

	/* The counter goes on: a takeover of before that lands late is not taken for this one. */
	*t = (struct sim_term){ .nonce = t->nonce,
				.counter = t->counter,
				.serial = t->serial + 1,
				.session_us = n->core.term_us };
	t->epoch_version = txn->epoch_version + 1;
	next_value(w, n, txn);
}

/* The version of the keepalive is that of the takeover's set. */
void term_opened(struct sim *w, struct sim_node *n, const struct sim_request *r)
{
	(void)w;
	n->term.version = r->keep_version;
	n->term.known = 1;
	n->term.missing = 0;
}

void term_detached(struct sim_node *n)
{
	struct sim_term *t = &n->term;

	memset(t->open, 0, sizeof(t->open));
	t->known = t->wanted = t->reading = 0;
}

static void look(struct sim *w, struct sim_node *n)
{
	struct sim_request *r;

	n->term.known = 0;
	if (n->term.reading)
		return;
	n->term.reading = 1;
	r = request_create(w, n, REQUEST_READ, FOR_KEEPALIVE);
	r->parts = 0;
	r->holder = -1;
	request_send(w, r);
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
	r->txn.version = t->missing ? CREATE : t->version;
	if (mutated(w, MUTATION_RENEW_VERSION) && !t->missing)
		r->txn.version = ANY_VERSION;
	next_value(w, n, &r->txn);
	t->open[t->counter % TERM_RENEWALS] = 1;
	t->version = t->missing ? 0 : t->version + 1;
	t->missing = 0;
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
	look(w, n);
}

/* What the keepalive says decides whose term it is, and how far it is known to be committed. */
static void take(struct sim *w, struct sim_node *n, const struct tree_keepalive *k)
{
	struct sim_term *t = &n->term;
	int slot = (int)(k->counter % TERM_RENEWALS);
	bool mine = k->nonce == t->nonce,
	     own = mine || (t->nonce_before && k->nonce == t->nonce_before);

	if (!own && !mutated(w, MUTATION_ANY_NONCE)) {
		client_give_up(w, n);
		return;
	}
	t->version = k->version;
	t->known = 1;
	t->missing = 0;
	if (!mine || !t->sent[slot] || t->counters[slot] != k->counter)
		return;
	t->nonce_before = 0;
	tell(w, n, RESULT_OK, t->sent[slot]);
}

static void reply_read(struct sim *w, struct sim_node *n, const struct sim_request *r)
{
	struct sim_term *t = &n->term;
	uint32_t incarnation = n->incarnation;

	if (!t->reading)
		return;
	t->reading = 0;
	if (!t->session_us)
		return;
	if (r->seen.keepalive.there)
		take(w, n, &r->seen.keepalive);
	else
		t->known = t->missing = 1;
	if (n->incarnation == incarnation && n->client.link == LINK_ATTACHED && t->known &&
	    t->wanted)
		send_renewal(w, n);
}

static void reply_renewal(struct sim *w, struct sim_node *n, const struct sim_request *r)
{
	struct sim_term *t = &n->term;

	if (r->txn.uid != t->serial)
		return;
	t->open[r->txn.counter % TERM_RENEWALS] = 0;
	if (r->result == TXN_OK) {
		t->nonce_before = 0;
		tell(w, n, RESULT_OK, r->txn.sent_local);
		return;
	}
	if (r->result == TXN_CONFLICT) {
		tell(w, n, RESULT_CONFLICT, 0);
		return;
	}
	if (r->result == TXN_MISSING) {
		t->known = 0;
		repair_begin(w, n);
		return;
	}
	if (r->result != TXN_REFUSED_OWN)
		t->wanted = 1;
	look(w, n);
}

void term_reply(struct sim *w, struct sim_node *n, const struct sim_request *r)
{
	if (r->purpose == FOR_KEEPALIVE)
		reply_read(w, n, r);
	else
		reply_renewal(w, n, r);
}
