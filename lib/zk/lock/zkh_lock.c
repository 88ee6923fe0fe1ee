/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "zkh_lock_private.h"

static void lock_watch_own(struct zkh_lock *lock);

/* ---- Lifetime and the caller's callback ---- */

void zkh_lock_cancel_requests(struct zkh_lock *lock)
{
	zkh_op_cancel(lock->write_op);
	zkh_op_cancel(lock->read_op);
	lock->write_op = lock->read_op = NULL;
}

void zkh_lock_quiet(struct zkh_lock *lock)
{
	zkh_lock_cancel_requests(lock);
	zkh_watch_remove(&lock->watch);
	if (lock->session != NULL) {
		ev_timer_stop(zkh_session_loop(lock->session), &lock->deadline);
		ev_timer_stop(zkh_session_loop(lock->session), &lock->pause);
	}
}

void zkh_lock_free(struct zkh_lock *lock)
{
	if (lock->session != NULL) {
		zkh_lock_quiet(lock);
		zkh_listener_remove(&lock->listener);
		lock->session = NULL;
	}
	if (lock->calling) {
		lock->state = ZKH_LOCK_OVER;
		return;
	}
	for (size_t i = 0; i < lock->junk_count; i++)
		free(lock->junk[i]);
	free(lock->waited_for);
	free(lock->identifier);
	free(lock);
}

/* Returns false when the lock is no more. */
static bool lock_call(struct zkh_lock *lock, zkh_lock_fn fn, int result)
{
	assert(lock->calling);
	fn(lock->userdata, result);
	lock->calling = false;
	if (lock->state != ZKH_LOCK_OVER)
		return true;
	zkh_lock_free(lock);
	return false;
}

/* The last callback. The removal is sent first, so that what the callback asks for comes behind it. */
void zkh_lock_end(struct zkh_lock *lock, int result)
{
	zkh_lock_fn fn = lock->fn;

	assert(result != ZKH_OK && fn != NULL);
	lock->calling = true;
	zkh_lock_remove(lock);
	lock_call(lock, fn, result);
}

static void lock_end_lost(struct zkh_lock *lock)
{
	lock->node = ZKH_LOCK_NODE_NONE;
	zkh_lock_end(lock, ZKH_LOST);
}

/* ---- When a request fails ---- */

static void lock_go_offline(struct zkh_lock *lock)
{
	zkh_lock_cancel_requests(lock);
	if (lock->state != ZKH_LOCK_HELD)
		lock->state = ZKH_LOCK_OFFLINE;
	zkh_lock_start_pause(lock);
}

/* A request was not answered with what it asked for: waits for better times, or ends. */
void zkh_lock_trouble(struct zkh_lock *lock, int result)
{
	if (lock->state != ZKH_LOCK_HELD) {
		if (!zkh_is_unanswered(result)) {
			zkh_lock_end(lock, result);
			return;
		}
		if (lock->timeout_ms == 0) {
			zkh_lock_end(lock, ZKH_TIMEOUT);
			return;
		}
	}
	lock_go_offline(lock);
}

/* The own node vanished while waiting: somebody deleted it. */
void zkh_lock_start_over(struct zkh_lock *lock)
{
	int r;

	lock->node = ZKH_LOCK_NODE_NONE;
	if (lock->timeout_ms == 0) {
		zkh_lock_end(lock, ZKH_TIMEOUT);
		return;
	}
	r = zkh_lock_create(lock);
	if (r != 0)
		zkh_lock_end(lock, r);
}

/* ---- Holding ---- */

static void on_own_read(void *userdata, int result, const char *const *names, size_t count,
			const struct zkh_stat *stat)
{
	struct zkh_lock *lock = userdata;

	lock->read_op = NULL;
	if (result == ZKH_NO_NODE ||
	    (result == ZKH_OK && stat->ephemeral_owner != lock->session_id))
		lock_end_lost(lock);
	else if (result != ZKH_OK)
		zkh_lock_trouble(lock, result);
}

/*
 * The event only asks for another look: when the holder deleted the node in a transaction of its own, that
 * transaction's callback comes behind the event, but before the answer to a read that is sent now.
 */
static void on_own_event(void *userdata, enum zkh_watch_event event, const char *path)
{
	struct zkh_lock *lock = userdata;

	if (lock->read_op == NULL)
		lock_watch_own(lock);
}

static void lock_watch_own(struct zkh_lock *lock)
{
	int r = 0;

	if (lock->watch.path == NULL) {
		lock->watch.fn = on_own_event;
		lock->watch.userdata = lock;
		r = zkh_watch_add(lock->session, &lock->watch, lock->path);
	}
	if (r == 0)
		r = zkh_children(lock->session, lock->path, true, on_own_read, lock,
				 &lock->read_op);
	if (r != 0)
		zkh_lock_trouble(lock, r);
}

static void lock_acquired(struct zkh_lock *lock)
{
	lock->state = ZKH_LOCK_HELD;
	zkh_watch_remove(&lock->watch);
	ev_timer_stop(zkh_session_loop(lock->session), &lock->deadline);
	lock->calling = true;
	if (lock_call(lock, lock->fn, ZKH_OK) && lock->state == ZKH_LOCK_HELD)
		lock_watch_own(lock);
}

/* ---- Waiting for the predecessor ---- */

static bool is_junk(const struct zkh_lock *lock, const char *name)
{
	for (size_t i = 0; i < lock->junk_count; i++)
		if (strcmp(lock->junk[i], name) == 0)
			return true;
	return false;
}

/* True when the predecessor was put on the list of those that are passed over. */
static bool note_junk(struct zkh_lock *lock)
{
	if (lock->junk_count == ZKH_LOCK_JUNK_MAX || lock->waited_for == NULL)
		return false;
	lock->junk[lock->junk_count++] = lock->waited_for;
	lock->waited_for = NULL;
	return true;
}

static void on_predecessor_read(void *userdata, int result, const char *const *names, size_t count,
				const struct zkh_stat *stat)
{
	struct zkh_lock *lock = userdata;

	lock->read_op = NULL;
	if (result == ZKH_NO_NODE ||
	    (result == ZKH_OK && stat->ephemeral_owner == 0 && note_junk(lock)))
		zkh_lock_list(lock);
	else if (result != ZKH_OK)
		zkh_lock_trouble(lock, result);
}

static void on_predecessor_event(void *userdata, enum zkh_watch_event event, const char *path)
{
	struct zkh_lock *lock = userdata;

	/* A read under way reaches the server after what caused the event. */
	if (lock->read_op == NULL && lock->state == ZKH_LOCK_WAITING)
		zkh_lock_list(lock);
}

static void lock_watch_predecessor(struct zkh_lock *lock, const char *name)
{
	char path[ZKH_PATH_MAX];
	int r;

	zkh_watch_remove(&lock->watch);
	free(lock->waited_for);
	lock->waited_for = strdup(name);
	lock->watch.fn = on_predecessor_event;
	lock->watch.userdata = lock;
	r = zkh_path_join(lock->parent, name, path);
	if (r == 0)
		r = zkh_watch_add(lock->session, &lock->watch, path);
	/* Not get or exists: they would leave a watch behind for a node that never comes back. */
	if (r == 0)
		r = zkh_children(lock->session, path, true, on_predecessor_read, lock,
				 &lock->read_op);
	if (r != 0)
		zkh_lock_end(lock, r);
}

static void lock_judge(struct zkh_lock *lock, const char *const *names, size_t count)
{
	size_t predecessor = count;

	assert(lock->node == ZKH_LOCK_NODE_KNOWN);
	switch (zkh_lock_name_place(lock->kind, zkh_path_name(lock->path), names, count,
				    &predecessor)) {
	case ZKH_LOCK_PLACE_FIRST:
		lock_acquired(lock);
		break;
	case ZKH_LOCK_PLACE_BEHIND:
		if (lock->timeout_ms == 0) {
			zkh_lock_end(lock, ZKH_TIMEOUT);
			break;
		}
		if (!lock->placed)
			zkh_lock_start_deadline(lock, 0);
		lock->placed = true;
		lock_watch_predecessor(lock, names[predecessor]);
		break;
	case ZKH_LOCK_PLACE_GONE:
		zkh_lock_start_over(lock);
		break;
	}
}

static void lock_judge_without_junk(struct zkh_lock *lock, const char *const *names, size_t count)
{
	const char **left;
	size_t n = 0;

	if (lock->junk_count == 0) {
		lock_judge(lock, names, count);
		return;
	}
	left = calloc(count + 1, sizeof(*left));
	if (left == NULL) {
		zkh_lock_end(lock, ZKH_FAILED);
		return;
	}
	for (size_t i = 0; i < count; i++)
		if (!is_junk(lock, names[i]))
			left[n++] = names[i];
	lock_judge(lock, left, n);
	free(left);
}

static void on_listed(void *userdata, int result, const char *const *names, size_t count,
		      const struct zkh_stat *stat)
{
	struct zkh_lock *lock = userdata;

	lock->read_op = NULL;
	if (result == ZKH_OK) {
		lock->epoch = stat->pzxid;
		lock_judge_without_junk(lock, names, count);
	} else if (result == ZKH_NO_NODE) {
		zkh_lock_start_over(lock);
	} else {
		zkh_lock_trouble(lock, result);
	}
}

int zkh_lock_send_list(struct zkh_lock *lock)
{
	return zkh_children(lock->session, lock->parent, false, on_listed, lock, &lock->read_op);
}

void zkh_lock_list(struct zkh_lock *lock)
{
	int r;

	lock->state = ZKH_LOCK_WAITING;
	r = zkh_lock_send_list(lock);
	if (r != 0)
		zkh_lock_end(lock, r);
}

/* ---- Time and connection ---- */

static void on_deadline(struct ev_loop *loop, ev_timer *timer, int events)
{
	zkh_lock_end(timer->data, ZKH_TIMEOUT);
}

void zkh_lock_start_deadline(struct zkh_lock *lock, int32_t more_ms)
{
	struct ev_loop *loop = zkh_session_loop(lock->session);

	if (lock->timeout_ms < 0)
		return;
	/* The loop's idea of now may be as old as the callback that we are called from. */
	ev_now_update(loop);
	ev_timer_stop(loop, &lock->deadline);
	ev_timer_set(&lock->deadline, (lock->timeout_ms + (double)more_ms) / 1e3, 0.);
	ev_timer_start(loop, &lock->deadline);
}

/* Connected (again), or the pause is over: takes up where it stopped. */
static void lock_resume(struct zkh_lock *lock)
{
	int r;

	if (lock->state == ZKH_LOCK_HELD) {
		lock_watch_own(lock);
		return;
	}
	switch (lock->node) {
	case ZKH_LOCK_NODE_NONE:
		r = zkh_lock_create(lock);
		if (r != 0)
			zkh_lock_end(lock, r);
		break;
	case ZKH_LOCK_NODE_MAYBE:
		zkh_lock_search(lock);
		break;
	case ZKH_LOCK_NODE_KNOWN:
		zkh_lock_list(lock);
		break;
	}
}

static void lock_on_connected(struct zkh_lock *lock)
{
	ev_timer_stop(zkh_session_loop(lock->session), &lock->pause);
	/* Already under way on this connection, when the lock was asked for by another listener. */
	if (lock->write_op != NULL || lock->read_op != NULL)
		return;
	if (lock->state == ZKH_LOCK_REMOVING)
		zkh_lock_remove_resume(lock);
	else if (lock->node != ZKH_LOCK_NODE_NONE &&
		 lock->session_id != zkh_session_id(lock->session))
		lock_end_lost(lock);
	else
		lock_resume(lock);
}

static void on_pause_over(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct zkh_lock *lock = timer->data;

	if (zkh_session_connected(lock->session))
		lock_on_connected(lock);
}

void zkh_lock_start_pause(struct zkh_lock *lock)
{
	struct ev_loop *loop = zkh_session_loop(lock->session);

	ev_timer_stop(loop, &lock->pause);
	ev_timer_set(&lock->pause, ZKH_LOCK_RETRY_S, 0.);
	ev_timer_start(loop, &lock->pause);
}

static void on_hook(struct zkh_listener *listener, enum zkh_hook hook)
{
	struct zkh_lock *lock =
		(struct zkh_lock *)(void *)((char *)listener - offsetof(struct zkh_lock, listener));

	switch (hook) {
	case ZKH_HOOK_CONNECTED:
		lock_on_connected(lock);
		break;
	case ZKH_HOOK_DISCONNECTED:
		break; /* whatever was under way had its callback */
	case ZKH_HOOK_EXPIRED:
		if (lock->state == ZKH_LOCK_REMOVING)
			zkh_lock_remove_forget(lock);
		else if (lock->node != ZKH_LOCK_NODE_NONE)
			lock_end_lost(lock);
		break;
	case ZKH_HOOK_DESTROY:
		zkh_lock_free(lock);
		break;
	}
}

/* ---- What the caller sees ---- */

static int lock_check(const char *path, const char *identifier)
{
	char prefix[ZKH_LOCK_PREFIX_SIZE + ZKH_LOCK_SEQUENCE_LENGTH];
	char node[ZKH_PATH_MAX];

	if (!zkh_path_valid(path) || identifier == NULL || strlen(identifier) > ZKH_DATA_MAX)
		return ZKH_INVALID;
	/* The longest name that the server can make of it. */
	memset(prefix, '0', sizeof(prefix) - 1);
	prefix[sizeof(prefix) - 1] = '\0';
	return zkh_path_join(path, prefix, node);
}

int zkh_lock_acquire(struct zkh_session *session, enum zkh_lock_kind kind, const char *path,
		     const char *identifier, int32_t timeout_ms, zkh_lock_fn fn, void *userdata,
		     struct zkh_lock **ret_lock)
{
	struct zkh_lock *lock;
	int r = lock_check(path, identifier);

	if (r != 0)
		return r;
	lock = calloc(1, sizeof(*lock));
	if (lock == NULL)
		return -ENOMEM;
	lock->identifier = strdup(identifier);
	if (lock->identifier == NULL) {
		free(lock);
		return -ENOMEM;
	}
	lock->session = session;
	lock->listener.fn = on_hook;
	lock->kind = kind;
	lock->timeout_ms = timeout_ms;
	lock->fn = fn;
	lock->userdata = userdata;
	strcpy(lock->parent, path);
	ev_timer_init(&lock->deadline, on_deadline, 0., 0.);
	ev_timer_init(&lock->pause, on_pause_over, 0., 0.);
	lock->deadline.data = lock->pause.data = lock;
	zkh_listener_add(session, &lock->listener);

	if (zkh_session_connected(session))
		r = zkh_lock_create(lock);
	else
		zkh_lock_start_deadline(lock, 0);
	if (r != 0) {
		zkh_lock_remove(lock);
		return r;
	}
	*ret_lock = lock;
	return 0;
}

struct zkh_lock *zkh_lock_release(struct zkh_lock *lock)
{
	/* The two: released by its own last callback. */
	if (lock != NULL && lock->state != ZKH_LOCK_REMOVING && lock->state != ZKH_LOCK_OVER)
		zkh_lock_remove(lock);
	return NULL;
}

struct zkh_lock *zkh_lock_consumed(struct zkh_lock *lock)
{
	if (lock != NULL && lock->state != ZKH_LOCK_REMOVING && lock->state != ZKH_LOCK_OVER) {
		assert(lock->state == ZKH_LOCK_HELD);
		zkh_lock_free(lock);
	}
	return NULL;
}

const char *zkh_lock_path(const struct zkh_lock *lock)
{
	return lock->state == ZKH_LOCK_HELD ? lock->path : NULL;
}

bool zkh_lock_made(const struct zkh_lock *lock, const char *name)
{
	return lock != NULL && lock->node != ZKH_LOCK_NODE_NONE &&
	       strncmp(name, lock->prefix, strlen(lock->prefix)) == 0;
}

int64_t zkh_lock_epoch(const struct zkh_lock *lock)
{
	return lock->state == ZKH_LOCK_HELD ? lock->epoch : 0;
}
