/* SPDX-License-Identifier: Apache-2.0 */
#include "sim.h"

/*
 * The contention lock as lib/ keeps it: one sequential node, created and listed in one flush, a
 * watch on the predecessor, a bound of the wait for it and a longer one for the commit, and the
 * removal of what is not wanted any more, repeated after every reconnect.
 */

static void send_lock(struct sim *w, struct sim_node *n, enum request_type type)
{
	struct sim_request *r = request_create(w, n, (uint8_t)type, FOR_LOCK);

	r->txn.type = TXN_LOCK;
	r->txn.uid = n->shell.lock_uid;
	request_send(w, r);
}

static void send_removal(struct sim *w, struct sim_node *n, int32_t uid)
{
	struct sim_request *r = request_create(w, n, REQUEST_TXN, FOR_REMOVAL);

	r->txn.type = TXN_UNLOCK;
	r->txn.uid = uid;
	request_send(w, r);
}

static void bound(struct sim *w, struct sim_node *n, int64_t timeout_us)
{
	sim_schedule(w, clock_true(w, n, clock_local(w, n) + timeout_us), EVENT_LOCK, n->id,
		     n->shell.lock_gen, 0);
}

void lock_acquire(struct sim *w, struct sim_node *n)
{
	struct sim_shell *s = &n->shell;

	if (s->lock != SHELL_LOCK_NONE)
		sim_fail(w, "node %d: a lock while another is wanted", n->id);
	s->lock = SHELL_LOCK_WAITING;
	s->lock_uid = ++w->lock_uid;
	s->lock_began = w->now;
	s->lock_placed = 0;
	s->lock_gen++;
	/* With that much left to remove, nothing has been answered for a while. */
	s->lock_sent = client_connected(n) && s->removal_count < REMOVALS_MAX / 2;
	if (!s->lock_sent) {
		sim_schedule(w, w->now, EVENT_LOCK, n->id, s->lock_gen, 1);
		return;
	}
	send_lock(w, n, REQUEST_TXN);
	bound(w, n, n->config.lock_timeout_us + lease_patience_us(n->core.session_us));
}

/* There is somebody before it: the clock begins anew. */
static void place(struct sim *w, struct sim_node *n)
{
	struct sim_shell *s = &n->shell;

	if (s->lock_placed)
		return;
	s->lock_placed = w->now;
	s->lock_gen++;
	bound(w, n, n->config.lock_timeout_us);
}

static void forget(struct sim *w, struct sim_node *n, int32_t uid)
{
	struct sim_shell *s = &n->shell;

	if (s->removal_count == REMOVALS_MAX) {
		sim_fail(w, "node %d: too many lock nodes to be removed", n->id);
		return;
	}
	s->removals[s->removal_count++] = uid;
	if (client_connected(n))
		send_removal(w, n, uid);
}

void lock_release(struct sim *w, struct sim_node *n)
{
	struct sim_shell *s = &n->shell;

	if (s->lock == SHELL_LOCK_NONE)
		return;
	s->lock = SHELL_LOCK_NONE;
	s->lock_gen++;
	if (s->lock_sent)
		forget(w, n, s->lock_uid);
}

void lock_consumed(struct sim_node *n)
{
	n->shell.lock = SHELL_LOCK_NONE;
	n->shell.lock_gen++;
}

static void removed(struct sim_node *n, int32_t uid)
{
	struct sim_shell *s = &n->shell;

	for (int i = 0; i < s->removal_count; i++)
		if (s->removals[i] == uid)
			s->removals[i--] = s->removals[--s->removal_count];
}

/* The lock is over without having been held, or was lost while held. */
static void end(struct sim *w, struct sim_node *n, uint8_t result)
{
	lock_release(w, n);
	shell_tell_result(w, n, ELECTION_LOCK, 0, result, 0);
}

void lock_reply(struct sim *w, struct sim_node *n, struct sim_request *r)
{
	struct sim_shell *s = &n->shell;

	if (r->purpose == FOR_REMOVAL) {
		removed(n, r->txn.uid);
		return;
	}
	if (s->lock == SHELL_LOCK_NONE || r->txn.uid != s->lock_uid)
		return;
	if (!r->lock_found) { /* refused, or gone with its parent */
		end(w, n, RESULT_FAILED);
	} else if (s->lock == SHELL_LOCK_WAITING && r->lock_wait) {
		place(w, n);
	} else if (s->lock == SHELL_LOCK_WAITING) {
		s->lock = SHELL_LOCK_HELD;
		shell_tell_result(w, n, ELECTION_LOCK, 0, RESULT_OK, 0);
	}
}

void lock_watch(struct sim *w, struct sim_node *n)
{
	if (n->shell.lock != SHELL_LOCK_NONE)
		send_lock(w, n, REQUEST_LIST);
}

void lock_on_timeout(struct sim *w, struct sim_node *n, const struct queue_event *ev)
{
	if (ev->gen == n->shell.lock_gen && ev->arg) {
		/* Nothing was sent. */
		n->shell.lock = SHELL_LOCK_NONE;
		shell_tell_result(w, n, ELECTION_LOCK, 0, RESULT_FAILED, 0);
		return;
	}
	if (ev->gen == n->shell.lock_gen && n->daemon == DAEMON_UP &&
	    n->shell.lock == SHELL_LOCK_WAITING)
		end(w, n, RESULT_CONFLICT);
}

/*
 * What is not wanted any more is searched for again; a process that came back removes what the one
 * before left.
 */
void lock_attached(struct sim *w, struct sim_node *n, bool fresh)
{
	struct sim_shell *s = &n->shell;

	if (n->client.link != LINK_ATTACHED)
		return;
	if (fresh) {
		s->removal_count = 0;
		return;
	}
	for (int i = 0; i < s->removal_count; i++)
		send_removal(w, n, s->removals[i]);
	if (s->lock == SHELL_LOCK_NONE && !sim_mutated(w, MUTATION_LOCK_ORPHANS)) {
		struct sim_request *r = request_create(w, n, REQUEST_TXN, FOR_NOTHING);

		r->txn.type = TXN_UNLOCK_OWN;
		request_send(w, r);
	}
}
