/* SPDX-License-Identifier: Apache-2.0 */
#include "sim.h"

/* How a node registers, and makes deleted keys again, is the daemon's: registration.c. Here is what the node around it does, as
 * in repair.c: the answer to the election, and when it is looked whether the keys stayed. */

#define REPAIR_LOOKS 6
#define REPAIR_LOOK_US (50 * MS)
#define REPAIR_REFUSED_US SEC
#define REPAIR_DOUBLINGS 4

void repair_cancel(struct sim_node *n)
{
	registration_cancel(&n->registration);
}

static void repair(struct sim *w, struct sim_node *n, bool only_missing)
{
	struct sim_shell *s = &n->shell;
	/* What the router state shall be is not known while the takeover transaction is under way. */
	bool later = n->registration.running || n->core.phase == PHASE_ENTER ||
		     !client_connected(n) || !ensemble_is_open(&n->ensemble);

	if (s->repair_refused || sim_mutated(w, MUTATION_NO_REPAIR))
		return;
	s->repair_wanted = n->core.registered && later;
	if (n->core.registered && !later)
		registration_repair(&n->registration, zkh_session_of(n), "ok",
				    election_router_state(&n->config, &n->core), only_missing);
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

static void repaired(struct sim *w, struct sim_node *n, enum election_result result)
{
	struct sim_shell *s = &n->shell;

	if (result != RESULT_OK) {
		repair_later(w, n);
		return;
	}
	s->repair_looks = n->registration.wrote ? 0 : s->repair_looks + 1;
	if (s->repair_looks < REPAIR_LOOKS)
		look_later(w, n, REPAIR_LOOK_US << s->repair_looks);
	shell_settle(w, n);
}

static enum election_result outcome(struct sim *w, const struct registration_report *report)
{
	switch (report->outcome) {
	case REGISTRATION_OK:
		return RESULT_OK;
	case REGISTRATION_FOREIGN:
	case REGISTRATION_TRACE:
		return RESULT_CONFLICT;
	case REGISTRATION_UNKNOWN:
		return RESULT_UNKNOWN;
	case REGISTRATION_REFUSED:
		w->stats.faults[FAULT_REFUSED]++;
		break;
	}
	return RESULT_FAILED;
}

static void on_registration(void *userdata, const struct registration_report *report)
{
	struct sim_node *n = userdata;
	struct sim *w = n->world;
	const struct registration *reg = &n->registration;
	struct election_event ev = { .type = ELECTION_DONE, .op = OP_REGISTER, .zxid = reg->zxid };
	enum election_result result = outcome(w, report);
	bool registering = n->shell.registering;

	n->shell.registering = 0;
	if (result != RESULT_OK)
		writes_unpublish(&n->writes);
	else if (reg->wrote)
		writes_registered(&n->writes, reg->router);
	if (result == RESULT_OK)
		n->shell.repair_refusals = 0;
	if (!registering) {
		repaired(w, n, result);
		return;
	}
	if (result == RESULT_OK && !sim_mutated(w, MUTATION_NO_FLOOR))
		n->view.floor_epoch = reg->zxid;
	ev.result = (uint8_t)result;
	chaos_ambush(w, n);
	shell_tell(w, n, &ev);
}

void shell_register(struct sim_node *n)
{
	n->shell.registering = 1;
	n->shell.repair_wanted = 0;
	registration_run(&n->registration, zkh_session_of(n), "ok");
}

void repair_on_event(struct sim *w, struct sim_node *n, const struct queue_event *ev)
{
	bool refused = n->shell.repair_refused;

	if (ev->gen != n->shell.look_gen || n->daemon != DAEMON_UP)
		return;
	n->shell.repair_refused = 0;
	if (!n->registration.running)
		repair(w, n, !refused);
}

void shell_registration_begin(struct sim_node *n)
{
	struct alive self = { .pid = 1 };

	zkh_machine_text(n->machine, self.machine, sizeof(self.machine));
	zkh_machine_text(n->boot, self.boot, sizeof(self.boot));
	registration_init(&n->registration, node_name(n->id), n->config.coordinator, &self,
			  on_registration, n);
	n->registration.view = &n->view;
	n->registration.survivor = &n->survivor;
}
