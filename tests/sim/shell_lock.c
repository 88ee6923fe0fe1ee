/* SPDX-License-Identifier: Apache-2.0 */
#include "sim.h"

#include "cluster/lock_outcome.h"
#include "zk/lock/zkh_lock_private.h"

/* The contention lock is lib/zk's. Here is what the node around it does with it, as in answers.c. */

static void on_lock(void *userdata, int result)
{
	struct sim_node *n = userdata;

	if (result != ZKH_OK)
		n->lock = NULL;
	shell_tell_result(n->world, n, ELECTION_LOCK, 0, (uint8_t)lock_outcome(result), 0);
}

void lock_acquire(struct sim *w, struct sim_node *n)
{
	int32_t timeout_ms = (int32_t)(n->config.lock_timeout_us / MS);
	int r;

	if (n->lock)
		sim_fail(w, "node %d: a lock while another is wanted", n->id);
	n->shell.lock_began = w->now;
	n->shell.lock_placed = 0;
	if (!cleanup_locks_gone(&n->cleanup)) {
		on_lock(n, ZKH_TIMEOUT);
		return;
	}
	r = zkh_lock_acquire(zkh_session_of(n), ZKH_LOCK_EXCLUSIVE, PATH_PRIMARY, node_name(n->id),
			     timeout_ms, on_lock, n, &n->lock);
	if (r != 0)
		on_lock(n, r > 0 ? r : ZKH_FAILED);
}

void lock_release(struct sim_node *n)
{
	(void)zkh_session_of(n);
	n->lock = zkh_lock_release(n->lock);
}

void lock_consumed(struct sim_node *n)
{
	n->lock = zkh_lock_consumed(n->lock);
}

bool lock_waits(const struct sim_node *n)
{
	return n->lock && n->lock->placed && n->lock->state != ZKH_LOCK_HELD;
}
