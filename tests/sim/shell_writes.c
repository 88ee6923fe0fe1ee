/* SPDX-License-Identifier: Apache-2.0 */
#include "sim.h"

#include <string.h>

/* What this node writes after its registration is the daemon's: writes.c. Here is what the node around it does, as do.c and answers.c. */

/* -- answers -- */

static void on_done(void *userdata, enum election_op op, enum election_result result, int64_t zxid)
{
	struct election_event ev = {
		.type = ELECTION_DONE, .op = (uint8_t)op, .result = (uint8_t)result, .zxid = zxid
	};
	struct sim_node *n = userdata;
	struct sim *w = n->world;

	if (op == OP_CLAIM && result == RESULT_OK)
		lock_consumed(n);
	if (op == OP_ENTER && result == RESULT_FAILED)
		n->refused_claim = n->enter_claim;
	w->stats.unknown += result == RESULT_UNKNOWN;
	chaos_ambush(w, n);
	shell_tell(w, n, &ev);
}

static void on_missing(void *userdata, const char *path)
{
	struct sim_node *n = userdata;

	(void)path;
	repair_begin(n->world, n);
}

static void on_refused(void *userdata, enum election_op op, int result, const char *path)
{
	struct sim_node *n = userdata;
	struct sim *w = n->world;

	(void)result;
	(void)path;
	w->stats.faults[FAULT_REFUSED]++;
	/* The work is down; the post goes with its session. */
	if (op == OP_LEAVE && !sim_mutated(w, MUTATION_KEEP_POST))
		zkh_session_renew(zkh_session_of(n));
}

static void on_stale(void *userdata)
{
	struct sim_node *n = userdata;

	repair_later(n->world, n);
}

void shell_writes_begin(struct sim_node *n)
{
	writes_init(&n->writes, &n->view, &n->term, node_name(n->id));
	n->writes.on_done = on_done;
	n->writes.on_missing = on_missing;
	n->writes.on_refused = on_refused;
	n->writes.on_stale = on_stale;
	n->writes.userdata = n;
	n->writes.post_session = n->client.session;
}

/* -- what the election wants, as in do.c -- */

/* False: it is not sent. */
static bool save_enter(struct sim *w, struct sim_node *n)
{
	/* What a process that comes back would be told by the file of before is void. */
	if (!sim_mutated(w, MUTATION_OLD_STATE))
		shell_raise_generation(n);
	if (shell_persist(w, n) || sim_mutated(w, MUTATION_UNSAVED))
		return true;
	n->refused_claim = 0;
	shell_post(w, n, 0, ELECTION_DONE, OP_ENTER, RESULT_FAILED);
	return false;
}

static void note_enter(struct sim_node *n)
{
	debt_begin(&n->debt, &n->view, ensemble_own(&n->ensemble), n->core.epoch);
	n->writes.owes = debt_is_owed(&n->debt);
	shell_recovery_begin(n);
}

static bool may_send(const struct sim_node *n, enum election_op op)
{
	struct election_view now;

	view_election(&n->view, &now);
	return election_may_send(&n->core, op, &now) && (op != OP_CLAIM || n->lock);
}

void shell_do(struct sim *w, struct sim_node *n, const struct election_action *a)
{
	enum election_op op = (enum election_op)a->op;
	uint32_t incarnation = n->incarnation;

	if (n->writes.doing != OP_NONE || n->shell.registering)
		sim_fail(w, "node %d: a transaction while another is under way", n->id);
	if (!may_send(n, op)) {
		shell_post(w, n, 0, ELECTION_DONE, a->op, RESULT_CONFLICT);
		return;
	}
	if (client_connected(n)) {
		oracle_do(w, n, a->op);
		chaos_ambush(w, n);
	}
	if (n->incarnation != incarnation)
		return;
	if (op == OP_REGISTER) {
		shell_register(n);
		return;
	}
	if (op == OP_ENTER && !save_enter(w, n))
		return;
	if (op == OP_ENTER)
		note_enter(n);
	strcpy(n->writes.leaves, debt_owner(&n->debt, &n->view, ensemble_own(&n->ensemble)));
	(void)zkh_session_of(n);
	writes_do(&n->writes, op, a->version, n->core.epoch, n->core.term_us,
		  n->lock ? zkh_lock_path(n->lock) : NULL, "");
}

/* As cluster_settle() has it. */
void shell_settle(struct sim *w, struct sim_node *n)
{
	if (!n->core.attached)
		return;
	(void)zkh_session_of(n);
	if (writes_leave_session(&n->writes, &n->core)) {
		shell_tell_result(w, n, ELECTION_SESSION_LOST, 0, 0, 0);
		zkh_session_renew(zkh_session_of(n));
		return;
	}
	/* What was refused is written again along with the next repair. */
	if (client_connected(n) && !n->shell.repair_refused && n->core.phase != PHASE_LEAVE)
		writes_publish(&n->writes, election_router_state(&n->config, &n->core));
	if (n->shell.repair_wanted)
		repair_begin(w, n);
}
