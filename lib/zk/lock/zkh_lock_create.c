/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "zkh_lock_private.h"

/* ---- Creating the node ---- */

static void lock_create_parent(struct zkh_lock *lock);

static void on_parent_created(void *userdata, int result, const struct zkh_txn_reply *reply)
{
	struct zkh_lock *lock = userdata;
	int r;

	lock->write_op = NULL;
	if (result != ZKH_OK && result != ZKH_NODE_EXISTS) {
		zkh_lock_trouble(lock, result);
		return;
	}
	if (lock->parent[lock->parent_length] != '\0') {
		lock_create_parent(lock);
		return;
	}
	r = zkh_lock_create(lock);
	if (r != 0)
		zkh_lock_end(lock, r);
}

/* The next key on the way to the lock's, from the top: the one that is refused tells why. */
static void lock_create_parent(struct zkh_lock *lock)
{
	struct zkh_txn *txn = zkh_txn_create(lock->session);
	char path[ZKH_PATH_MAX];
	int r = -ENOMEM;

	lock->parent_length++;
	lock->parent_length += strcspn(lock->parent + lock->parent_length, "/");
	memcpy(path, lock->parent, lock->parent_length);
	path[lock->parent_length] = '\0';
	if (txn != NULL) {
		zkh_txn_create_key(txn, path, NULL, 0, ZKH_PERSISTENT);
		r = zkh_commit(txn, on_parent_created, lock, &lock->write_op);
	}
	if (r != 0)
		zkh_lock_end(lock, r);
}

static void lock_create_parents(struct zkh_lock *lock)
{
	if (strcmp(lock->parent, "/") == 0) {
		zkh_lock_end(lock, ZKH_NO_NODE);
		return;
	}
	lock->state = ZKH_LOCK_PARENTS;
	lock->parent_length = 0;
	lock_create_parent(lock);
}

static void on_created(void *userdata, int result, const struct zkh_txn_reply *reply)
{
	struct zkh_lock *lock = userdata;

	lock->write_op = NULL;
	if (result == ZKH_OK) {
		if (strlen(reply->created_paths[0]) >= sizeof(lock->path)) {
			zkh_lock_end(lock, ZKH_FAILED); /* no server counts that far */
			return;
		}
		strcpy(lock->path, reply->created_paths[0]);
		lock->node = ZKH_LOCK_NODE_KNOWN;
		lock->state = ZKH_LOCK_WAITING; /* for the list, which was sent along */
		return;
	}

	zkh_lock_cancel_requests(lock);
	if (result != ZKH_UNKNOWN)
		lock->node = ZKH_LOCK_NODE_NONE;
	if (result == ZKH_NO_NODE)
		lock_create_parents(lock);
	else
		zkh_lock_trouble(lock, result);
}

/* Sends create and list in one flush. The prefix is a new one each time. */
int zkh_lock_create(struct zkh_lock *lock)
{
	uint8_t random[ZKH_LOCK_RANDOM_SIZE];
	char path[ZKH_PATH_MAX];
	struct zkh_txn *txn;
	int r;

	assert(lock->node == ZKH_LOCK_NODE_NONE && lock->write_op == NULL && lock->read_op == NULL);
	zkh_watch_remove(&lock->watch);
	if (lock->attempts++ >= ZKH_LOCK_ATTEMPTS_MAX)
		return ZKH_FAILED;
	if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
		return -EIO;
	zkh_lock_name_make(lock->kind, random, lock->prefix);
	r = zkh_path_join(lock->parent, lock->prefix, path);
	if (r != 0)
		return r;
	txn = zkh_txn_create(lock->session);
	if (txn == NULL)
		return -ENOMEM;
	zkh_txn_create_text(txn, path, lock->identifier,
			    ZKH_CREATE_EPHEMERAL | ZKH_CREATE_SEQUENCE);
	r = zkh_commit(txn, on_created, lock, &lock->write_op);
	if (r != 0)
		return r;

	lock->state = ZKH_LOCK_CREATING;
	lock->node = ZKH_LOCK_NODE_MAYBE;
	lock->session_id = zkh_session_id(lock->session);
	if (!lock->clock_began && lock->timeout_ms > 0)
		zkh_lock_start_deadline(lock, zkh_session_timeout_ms(lock->session) /
						      ZKH_LOCK_COMMIT_PART);
	else if (lock->timeout_ms == 0)
		ev_timer_stop(zkh_session_loop(lock->session), &lock->deadline);
	lock->clock_began = true;
	return zkh_lock_send_list(lock);
}

/* ---- After a lost connection ---- */

static void on_adopted(void *userdata, int result, const struct zkh_stat *stat)
{
	struct zkh_lock *lock = userdata;

	lock->read_op = NULL;
	if (result == ZKH_OK && stat->ephemeral_owner == lock->session_id) {
		lock->node = ZKH_LOCK_NODE_KNOWN;
		zkh_lock_list(lock);
	} else if (result == ZKH_OK || result == ZKH_NO_NODE) {
		zkh_lock_start_over(lock);
	} else {
		zkh_lock_trouble(lock, result);
	}
}

static void on_searched(void *userdata, int result, const char *const *names, size_t count,
			const struct zkh_stat *stat)
{
	struct zkh_lock *lock = userdata;
	size_t found;
	int r;

	lock->read_op = NULL;
	if (lock->unsure)
		result = ZKH_UNKNOWN;
	if (result == ZKH_NO_NODE)
		count = 0;
	else if (result != ZKH_OK) {
		zkh_lock_trouble(lock, result);
		return;
	}
	found = zkh_lock_name_find(names, count, lock->prefix);
	if (found == count) {
		zkh_lock_start_over(lock);
		return;
	}
	r = zkh_path_join(lock->parent, names[found], lock->path);
	if (r == 0)
		r = zkh_exists(lock->session, lock->path, false, on_adopted, lock, &lock->read_op);
	if (r != 0)
		zkh_lock_end(lock, r);
}

int zkh_lock_barrier(struct zkh_session *session, const char *path, zkh_commit_fn fn,
		     void *userdata, struct zkh_op **ret_op)
{
	char nobody[ZKH_PATH_MAX];
	struct zkh_txn *txn;
	int r = zkh_path_join(path, "__barrier__", nobody);

	if (r != 0)
		return r;
	txn = zkh_txn_create(session);
	if (txn == NULL)
		return -ENOMEM;
	zkh_txn_delete(txn, nobody, ZKH_ANY_VERSION);
	return zkh_commit(txn, fn, userdata, ret_op);
}

bool zkh_lock_barrier_passed(int result)
{
	return result == ZKH_OK || result == ZKH_NO_NODE || result == ZKH_DENIED;
}

static void on_barrier(void *userdata, int result, const struct zkh_txn_reply *reply)
{
	struct zkh_lock *lock = userdata;

	lock->write_op = NULL;
	lock->unsure = !zkh_lock_barrier_passed(result);
}

int zkh_lock_send_search(struct zkh_lock *lock, zkh_children_fn fn)
{
	int r = zkh_lock_barrier(lock->session, lock->parent, on_barrier, lock, &lock->write_op);

	return r != 0 ? r
		      : zkh_children(lock->session, lock->parent, false, fn, lock, &lock->read_op);
}

void zkh_lock_search(struct zkh_lock *lock)
{
	int r;

	lock->state = ZKH_LOCK_SEARCHING;
	r = zkh_lock_send_search(lock, on_searched);
	if (r != 0)
		zkh_lock_end(lock, r);
}
