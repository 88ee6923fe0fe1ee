/* SPDX-License-Identifier: Apache-2.0 */
#include "sim.h"

/*
 * What the shell does when somebody deleted keys of its node: looks what is there, writes all of
 * them, and looks a few times whether they stayed. See registration.c and repair.c in daemon/cluster.
 */

#define REPAIR_LOOKS 6
#define REPAIR_LOOK_US (50 * MS)
#define REPAIR_REFUSED_US SEC
#define REPAIR_DOUBLINGS 4
#define REPAIR_TRIES 3

static void send_look(struct sim *w, struct sim_node *n, uint8_t purpose)
{
	struct sim_request *r = request_create(w, n, REQUEST_READ, purpose);

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
	bool later = s->repairing || n->core.phase == PHASE_ENTER || !client_connected(n) ||
		     !ensemble_is_open(&n->ensemble);

	if (s->repair_refused || sim_mutated(w, MUTATION_NO_REPAIR))
		return;
	s->repair_wanted = n->core.registered && later;
	if (!n->core.registered || later)
		return;
	s->repairing = 1;
	s->repair_gen++;
	s->repair_router = election_router_state(&n->config, &n->core);
	if (!*s->repair_router)
		s->repair_router = "secondary";
	s->repair_tries = 0;
	send_look(w, n, check ? FOR_LOOK : FOR_REPAIR);
}

void repair_begin(struct sim *w, struct sim_node *n)
{
	repair(w, n, false);
}

static void look_later(struct sim *w, struct sim_node *n, int64_t delay)
{
	sim_schedule(w, w->now + delay, EVENT_REPAIR, n->id, ++n->shell.look_gen, 0);
}

void repair_later(struct sim *w, struct sim_node *n)
{
	struct sim_shell *s = &n->shell;

	s->repair_refused = 1;
	s->repair_looks = 0;
	look_later(w, n, REPAIR_REFUSED_US << s->repair_refusals);
	if (s->repair_refusals < REPAIR_DOUBLINGS)
		s->repair_refusals++;
}

static void over(struct sim *w, struct sim_node *n, uint8_t result, bool wrote)
{
	struct sim_shell *s = &n->shell;

	s->repairing = 0;
	if (result != TXN_OK)
		writes_unpublish(&n->writes);
	else if (wrote)
		writes_registered(&n->writes, s->repair_router);
	if (result == TXN_OK) {
		s->repair_refusals = 0;
		s->repair_looks = wrote ? 0 : s->repair_looks + 1;
		if (s->repair_looks < REPAIR_LOOKS)
			look_later(w, n, REPAIR_LOOK_US << s->repair_looks);
		shell_publish(w, n);
	} else {
		repair_later(w, n);
	}
	if (s->repair_wanted)
		repair(w, n, false);
}

void repair_reply(struct sim *w, struct sim_node *n, const struct sim_request *r)
{
	struct sim_shell *s = &n->shell;
	struct sim_request *write;

	if (!s->repairing || (uint32_t)r->lock_wait != s->repair_gen)
		return;
	if (r->purpose == FOR_REPAIRED && r->result == TXN_CONFLICT &&
	    s->repair_tries++ < REPAIR_TRIES) {
		send_look(w, n, FOR_REPAIR);
	} else if (r->purpose == FOR_REPAIRED) {
		over(w, n, r->result, true);
	} else if (r->seen.alive_session && r->seen.alive_session != n->client.session) {
		over(w, n, TXN_REFUSED, false);
	} else if (r->purpose == FOR_LOOK && r->seen.there &&
		   n->view.memory_epoch <= r->seen.epoch) {
		over(w, n, TXN_OK, false);
	} else {
		write = request_create(w, n, REQUEST_TXN, FOR_REPAIRED);
		write->txn.type = TXN_REGISTER;
		write->txn.router = *s->repair_router;
		write->txn.machine = n->machine;
		write->txn.boot = n->boot;
		write->lock_wait = (int32_t)s->repair_gen;
		shell_raise(w, n, &r->seen, &write->txn);
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
