/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "zkh_lock_private.h"

unsigned zkh_lock_pending(const struct zkh_session *session)
{
	return zkh_session_held(session);
}

void zkh_lock_remove_forget(struct zkh_lock *lock)
{
	assert(lock->state == ZKH_LOCK_REMOVING);
	zkh_session_hold(lock->session, -1);
	zkh_lock_free(lock);
}

/* Neither gone nor known to be there: the next connection, or the pause, tries again. */
static void remove_later(struct zkh_lock *lock)
{
	zkh_lock_cancel_requests(lock);
	zkh_lock_start_pause(lock);
}

static void on_deleted(void *userdata, int result, const struct zkh_txn_reply *reply)
{
	struct zkh_lock *lock = userdata;

	lock->write_op = NULL;
	if (result == ZKH_OK || result == ZKH_NO_NODE)
		zkh_lock_remove_forget(lock);
	else
		remove_later(lock);
}

static void remove_by_path(struct zkh_lock *lock)
{
	struct zkh_txn *txn = zkh_txn_create(lock->session);

	if (txn == NULL) {
		remove_later(lock);
		return;
	}
	zkh_txn_delete(txn, lock->path, ZKH_ANY_VERSION);
	if (zkh_commit(txn, on_deleted, lock, &lock->write_op) != 0)
		remove_later(lock);
}

static void on_listed(void *userdata, int result, const char *const *names, size_t count,
		      const struct zkh_stat *stat)
{
	struct zkh_lock *lock = userdata;
	size_t found;

	lock->read_op = NULL;
	if (lock->unsure)
		result = ZKH_UNKNOWN;
	if (result == ZKH_NO_NODE) {
		zkh_lock_remove_forget(lock);
		return;
	}
	if (result != ZKH_OK) {
		remove_later(lock);
		return;
	}
	found = zkh_lock_name_find(names, count, lock->prefix);
	if (found == count || zkh_path_join(lock->parent, names[found], lock->path) != 0) {
		zkh_lock_remove_forget(lock);
		return;
	}
	lock->node = ZKH_LOCK_NODE_KNOWN;
	remove_by_path(lock);
}

void zkh_lock_remove_resume(struct zkh_lock *lock)
{
	assert(lock->state == ZKH_LOCK_REMOVING);
	if (zkh_session_id(lock->session) != lock->session_id) {
		/* The node went with its session. */
		zkh_lock_remove_forget(lock);
		return;
	}
	if (lock->node == ZKH_LOCK_NODE_KNOWN) {
		remove_by_path(lock);
		return;
	}
	if (zkh_lock_send_search(lock, on_listed) != 0)
		remove_later(lock);
}

void zkh_lock_remove(struct zkh_lock *lock)
{
	assert(lock->state != ZKH_LOCK_REMOVING && lock->state != ZKH_LOCK_OVER);
	zkh_lock_quiet(lock);
	lock->fn = NULL;
	if (lock->node == ZKH_LOCK_NODE_NONE) {
		zkh_lock_free(lock);
		return;
	}
	lock->state = ZKH_LOCK_REMOVING;
	zkh_session_hold(lock->session, 1);
	if (zkh_session_connected(lock->session))
		zkh_lock_remove_resume(lock);
}
