/* SPDX-License-Identifier: Apache-2.0 */
#include "cleanup.h"

#include <stdlib.h>
#include <string.h>

#include "zk/lock/zkh_lock_name.h"

#define PREFIX (&HISTORY_PREFIX[sizeof(PATH_HISTORY)]) /* "claim-" */

/* -- the history -- */

static void on_entries_deleted(void *userdata, int result, const struct zkh_txn_reply *reply)
{
	struct cleanup *cleanup = userdata;

	cleanup->history_op = NULL;
}

static bool is_entry(const char *name)
{
	return !strncmp(name, PREFIX, strlen(PREFIX)) && strlen(name) < NAME_SIZE;
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void delete_oldest(struct cleanup *cleanup, const char **entries, size_t count)
{
	struct zkh_txn *txn = zkh_txn_create(cleanup->session);
	size_t surplus = count - HISTORY_KEPT;
	char path[ZKH_PATH_MAX];

	if (!txn)
		return;
	qsort(entries, count, sizeof(*entries), compare);
	for (size_t i = 0; i < surplus && i < CLEANUP_ENTRIES_MAX; i++)
		if (zkh_path_join(PATH_HISTORY, entries[i], path) == 0)
			zkh_txn_delete(txn, path, ZKH_ANY_VERSION);
	zkh_commit(txn, on_entries_deleted, cleanup, &cleanup->history_op);
}

static void on_entries(void *userdata, int result, const char *const *names, size_t count,
		       const struct zkh_stat *stat)
{
	struct cleanup *cleanup = userdata;
	const char **entries;
	size_t n = 0;

	cleanup->history_op = NULL;
	if (result != ZKH_OK || count <= HISTORY_KEPT)
		return;
	entries = calloc(count, sizeof(*entries));
	if (!entries)
		return;
	for (size_t i = 0; i < count; i++)
		if (is_entry(names[i]))
			entries[n++] = names[i];
	if (n > HISTORY_KEPT)
		delete_oldest(cleanup, entries, n);
	free(entries);
}

void cleanup_history(struct cleanup *cleanup, struct zkh_session *session)
{
	zkh_op_cancel(cleanup->history_op);
	cleanup->history_op = NULL;
	cleanup->session = session;
	zkh_children(session, PATH_HISTORY, false, on_entries, cleanup, &cleanup->history_op);
}

/* -- lock nodes without an owner -- */

static bool is_under_way(const struct cleanup *cleanup)
{
	return cleanup->locks_op || cleanup->n_open;
}

static void cancel_locks(struct cleanup *cleanup)
{
	zkh_op_cancel(cleanup->locks_op);
	cleanup->locks_op = NULL;
	for (size_t i = 0; i < cleanup->n_locks; i++)
		zkh_op_cancel(cleanup->locks[i].op);
	free(cleanup->locks);
	cleanup->locks = NULL;
	cleanup->n_locks = cleanup->n_open = 0;
}

static void end_locks(struct cleanup *cleanup)
{
	cleanup->locks_gone = !cleanup->lost;
	if (cleanup->locks_gone)
		cleanup->former = false;
	cancel_locks(cleanup);
}

/* One more is known to be gone, or is another's; or it is not known. */
static void judge_lock(struct cleanup_lock *lock, int result)
{
	struct cleanup *cleanup = lock->cleanup;

	lock->op = NULL;
	cleanup->n_open--;
	cleanup->lost |= result != ZKH_OK && result != ZKH_NO_NODE;
	if (!cleanup->n_open)
		end_locks(cleanup);
}

static void on_lock_deleted(void *userdata, int result, const struct zkh_txn_reply *reply)
{
	judge_lock(userdata, result);
}

static void on_lock_stat(void *userdata, int result, const struct zkh_stat *stat)
{
	struct cleanup_lock *lock = userdata;
	struct zkh_session *session = lock->cleanup->session;
	struct zkh_txn *txn;

	lock->op = NULL;
	if (result != ZKH_OK || stat->ephemeral_owner != zkh_session_id(session)) {
		judge_lock(lock, result);
		return;
	}
	txn = zkh_txn_create(session);
	if (txn)
		zkh_txn_delete(txn, lock->path, ZKH_ANY_VERSION);
	if (!txn || zkh_commit(txn, on_lock_deleted, lock, &lock->op) != 0)
		judge_lock(lock, ZKH_UNKNOWN);
}

/* Any of them may be one of the session: its name does not tell. */
static void ask_whose(struct cleanup *cleanup, const char *const *names, size_t count)
{
	struct zkh_lock_name name;

	for (size_t i = 0; i < count; i++) {
		struct cleanup_lock *lock = &cleanup->locks[cleanup->n_locks];

		if (!zkh_lock_name_parse(names[i], &name) || strlen(names[i]) >= NAME_SIZE ||
		    zkh_lock_made(*cleanup->lock, names[i]) ||
		    zkh_path_join(PATH_PRIMARY, names[i], lock->path) != 0)
			continue;
		lock->cleanup = cleanup;
		cleanup->n_locks++;
		cleanup->n_open++;
		if (zkh_exists(cleanup->session, lock->path, false, on_lock_stat, lock,
			       &lock->op) != 0) {
			cleanup->n_open--;
			cleanup->lost = true;
		}
	}
	if (!cleanup->n_open)
		end_locks(cleanup);
}

static void on_locks(void *userdata, int result, const char *const *names, size_t count,
		     const struct zkh_stat *stat)
{
	struct cleanup *cleanup = userdata;

	cleanup->locks_op = NULL;
	if (result != ZKH_OK && result != ZKH_NO_NODE)
		return;
	if (result == ZKH_NO_NODE)
		count = 0;
	cleanup->locks = calloc(count + 1, sizeof(*cleanup->locks));
	if (cleanup->locks)
		ask_whose(cleanup, names, count);
}

static void list_locks(struct cleanup *cleanup)
{
	zkh_children(cleanup->session, PATH_PRIMARY, false, on_locks, cleanup, &cleanup->locks_op);
}

static void on_barrier(void *userdata, int result, const struct zkh_txn_reply *reply)
{
	struct cleanup *cleanup = userdata;

	cleanup->locks_op = NULL;
	if (zkh_lock_barrier_passed(result))
		list_locks(cleanup);
}

/* What the former process had sent may not have committed yet. */
static void remove_locks(struct cleanup *cleanup)
{
	cleanup->lost = false;
	if (cleanup->former)
		zkh_lock_barrier(cleanup->session, PATH_PRIMARY, on_barrier, cleanup,
				 &cleanup->locks_op);
	else
		list_locks(cleanup);
}

void cleanup_init(struct cleanup *cleanup, int64_t former_session, struct zkh_lock *const *lock)
{
	*cleanup = (struct cleanup){ .lock = lock, .session_id = former_session, .former = true };
}

void cleanup_attached(struct cleanup *cleanup, struct zkh_session *session)
{
	int64_t id = zkh_session_id(session);

	cancel_locks(cleanup);
	cleanup->session = session;
	cleanup->locks_gone = id != cleanup->session_id;
	if (cleanup->locks_gone)
		cleanup->former = false;
	else
		remove_locks(cleanup);
	cleanup->session_id = id;
}

bool cleanup_locks_gone(struct cleanup *cleanup)
{
	if (!cleanup->locks_gone && !is_under_way(cleanup))
		remove_locks(cleanup);
	return cleanup->locks_gone;
}

void cleanup_finish(struct cleanup *cleanup)
{
	zkh_op_cancel(cleanup->history_op);
	cleanup->history_op = NULL;
	cancel_locks(cleanup);
}
