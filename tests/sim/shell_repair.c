/* SPDX-License-Identifier: Apache-2.0 */
#include "sim.h"

/*
 * What the shell does when somebody deleted keys of its node: looks what is there, writes all of
 * them, and looks a few times whether they stayed. See registration.c and node_session.c.
 */

#define REPAIR_LOOKS 6
#define REPAIR_LOOK_US (50 * MS)
#define REPAIR_REFUSED_US SEC

static void send_look(struct sim *w, struct sim_node *n, uint8_t purpose)
{
	struct sim_request *r = request_create(w, n, REQUEST_READ, purpose);

	r->parts = 0;
	r->holder = -1;
	r->lock_wait = (int32_t)n->shell.repair_gen;
	request_send(w, r);
}

void repair_cancel(struct sim_node *n)
{
	n->shell.repairing = 0;
	n->shell.repair_gen++;
}

static void repair(struct sim *w, struct sim_node *n, bool check)
{
	struct sim_shell *s = &n->shell;
	/* What the router state shall be is not known while the takeover transaction is under way. */
	bool entering = n->core.phase == PHASE_ENTER;
	bool later = s->repairing ||
		     (entering && (s->op == OP_ENTER || shell_post_seen(n) != POST_MINE));

	if (s->repair_refused || w->options->mutations & UINT64_C(1) << MUTATION_NO_REPAIR)
		return;
	if (later || !n->core.registered || n->client.link != LINK_ATTACHED) {
		s->repair_wanted = later;
		return;
	}
	s->repair_wanted = 0;
	s->repairing = 1;
	s->repair_gen++;
	s->repair_router = election_router_state(&n->config, &n->core)[0];
	if (!s->repair_router)
		s->repair_router = entering ? 't' : 's';
	send_look(w, n, check ? FOR_LOOK : FOR_REPAIR);
}

void repair_begin(struct sim *w, struct sim_node *n)
{
	repair(w, n, false);
}

static void look_later(struct sim *w, struct sim_node *n, int64_t delay)
{
	sim_schedule(w, w->now + delay, EV_REPAIR, n->id, ++n->shell.look_gen, 0);
}

/* The servers refused it. */
static void repair_later(struct sim *w, struct sim_node *n)
{
	n->shell.repair_refused = 1;
	n->shell.repair_looks = 0;
	look_later(w, n, REPAIR_REFUSED_US);
}

static void over(struct sim *w, struct sim_node *n, uint8_t result, bool wrote)
{
	struct sim_shell *s = &n->shell;

	s->repairing = 0;
	if (result != TXN_OK || (wrote && s->router && s->router != s->repair_router))
		s->router = 0;
	else if (wrote)
		s->router = s->repair_router;
	if (result == TXN_OK) {
		s->repair_looks = wrote ? 0 : s->repair_looks + 1;
		if (s->repair_looks < REPAIR_LOOKS)
			look_later(w, n, REPAIR_LOOK_US << s->repair_looks);
	} else if (result == TXN_REFUSED_OWN) {
		repair_later(w, n);
		return;
	}
	shell_publish(w, n);
	if (s->repair_wanted)
		repair(w, n, false);
}

void repair_reply(struct sim *w, struct sim_node *n, const struct sim_request *r)
{
	struct sim_shell *s = &n->shell;
	struct sim_request *write;

	if (r->purpose == FOR_ROUTER) {
		if (r->result == TXN_OK)
			return;
		s->router = 0;
		if (r->result == TXN_MISSING)
			repair(w, n, false);
		else
			repair_later(w, n);
		return;
	}
	if (!s->repairing || (uint32_t)r->lock_wait != s->repair_gen)
		return;
	if (r->purpose == FOR_REPAIRED) {
		over(w, n, r->result, true);
	} else if (r->purpose == FOR_LOOK && r->seen.there) {
		over(w, n, TXN_OK, false);
	} else {
		write = request_create(w, n, REQUEST_TXN, FOR_REPAIRED);
		write->txn.type = TXN_REGISTER;
		write->txn.router = s->repair_router;
		write->txn.machine = n->machine;
		write->txn.boot = n->boot;
		write->lock_wait = (int32_t)s->repair_gen;
		request_send(w, write);
	}
}

void repair_on_event(struct sim *w, struct sim_node *n, const struct queue_event *ev)
{
	bool refused = n->shell.repair_refused;

	if (ev->gen != n->shell.look_gen || n->daemon != DAEMON_UP)
		return;
	n->shell.repair_refused = 0;
	if (!n->shell.repairing)
		repair(w, n, !refused);
}
