/* SPDX-License-Identifier: Apache-2.0 */
#include "sim.h"

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
	cleanup_attached(&n->cleanup, zkh_session_of(n));
	shell_tell(w, n, &ev);
}

/* In the order of lib/zk and cluster.c; the core steps after all of it. */
void shell_detached(struct sim *w, struct sim_node *n)
{
	bool held = shell_hold(n);

	zkh_detached(n);
	ensemble_detached(&n->ensemble, false);
	witness_detached(&n->witness);
	view_forget(&n->view);
	shell_tell_result(w, n, ELECTION_SESSION_DOWN, 0, 0, 0);
	shell_let_go(w, n, held);
}

void shell_reply(struct sim *w, struct sim_node *n, struct sim_request *r)
{
	switch ((enum request_purpose)r->purpose) {
	case FOR_CALL:
		zkh_reply(w, r);
		break;
	case FOR_NOTHING:
	case FOR_FAREWELL:
		break;
	}
}
