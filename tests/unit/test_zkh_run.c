/* SPDX-License-Identifier: Apache-2.0 */
#include "test_zkh_run.h"

#include <stdio.h>
#include <string.h>

#define STEPS_MAX 1500u
#define PATIENCE_STEPS 40u /* then a connection that hangs is cut */
#define FOREIGN_STEPS 9u   /* the foreign holder's time */
#define FOREIGN_ID "0123456789abcdef0123456789abcdef"
#define FOREIGN_LOCK "/locks/a/" FOREIGN_ID "__lock__0000000000"
#define FOREIGN_READ "/locks/a/" FOREIGN_ID "__rlock__0000000000"

static void called(struct run *run, int result)
{
	assert_true(run->world.turning);
	assert_false(run->is_over);
	assert_true(run->started);
	if (run->calls++ == 0)
		run->result = result;
	run->last = result;
}

static void ended(struct run *run, int result)
{
	called(run, result);
	assert_int_equal(run->calls, 1);
	run->op = NULL;
	run->task = NULL;
	run->done = true;
}

static void cancel_op(struct run *run)
{
	zkh_op_cancel(run->op);
}

static void cancel_task(struct run *run)
{
	zkh_task_cancel(run->task);
}

static void cancel_lock(struct run *run)
{
	run->lock = zkh_lock_release(run->lock);
}

/* ---- Single operations ---- */

static void prepare_tree(struct run *run)
{
	plant(&run->world, "/t", "top");
	plant(&run->world, "/t/a", "one");
	plant(&run->world, "/t/b", "");
	plant(&run->world, "/t/b/c", "three");
	plant(&run->world, "/t/b/t", "four");
	plant(&run->world, "/other", "stays");
}

static void on_get(void *userdata, int result, const char *data, size_t length,
		   const struct zkh_stat *stat)
{
	struct run *run = userdata;

	if (result == ZKH_OK)
		run->seen = length == strlen("one") && strcmp(data, "one") == 0 &&
			    stat->data_length == 3;
	ended(run, result);
}

static int start_get(struct run *run)
{
	return zkh_get(run->world.session, "/t/a", true, on_get, run, &run->op);
}

static void on_exists(void *userdata, int result, const struct zkh_stat *stat)
{
	struct run *run = userdata;

	if (result == ZKH_OK)
		run->seen = stat->data_length == 3 && stat->ephemeral_owner == 0;
	ended(run, result);
}

static int start_exists(struct run *run)
{
	return zkh_exists(run->world.session, "/t/a", true, on_exists, run, &run->op);
}

static void on_children(void *userdata, int result, const char *const *names, size_t count,
			const struct zkh_stat *stat)
{
	struct run *run = userdata;

	if (result == ZKH_OK)
		run->seen = count == 2 && names[0][0] + names[1][0] == 'a' + 'b' &&
			    stat->children == 2;
	ended(run, result);
}

static int start_children(struct run *run)
{
	return zkh_children(run->world.session, "/t", true, on_children, run, &run->op);
}

static void on_sync(void *userdata, int result)
{
	struct run *run = userdata;

	run->seen = true;
	ended(run, result);
}

static int start_sync(struct run *run)
{
	return zkh_sync(run->world.session, on_sync, run, &run->op);
}

static void on_commit(void *userdata, int result, const struct zkh_txn_reply *reply)
{
	struct run *run = userdata;

	assert_non_null(reply);
	assert_non_null(reply->failed_path);
	if (result == ZKH_OK) {
		assert_int_equal(reply->count, 4);
		assert_string_equal(reply->created_paths[1], "/t/new");
		assert_null(reply->created_paths[2]);
		assert_int_equal(reply->stats[2].version, 1);
	} else if (result == ZKH_CONFLICT || result == ZKH_NO_NODE || result == ZKH_NODE_EXISTS) {
		assert_true(reply->failed < reply->count);
		snprintf(run->path, sizeof(run->path), "%s", reply->failed_path);
	}
	ended(run, result);
}

static int start_txn(struct run *run)
{
	struct zkh_txn *txn = zkh_txn_create(run->world.session);

	zkh_txn_check(txn, "/t", 0);
	zkh_txn_create_text(txn, "/t/new", "fresh", ZKH_PERSISTENT);
	zkh_txn_set_text(txn, "/t/a", "changed", 0);
	zkh_txn_delete(txn, "/t/b/c", 0);
	return zkh_commit(txn, on_commit, run, &run->op);
}

/* ---- Tasks ---- */

static void on_task(void *userdata, int result, const char *path)
{
	struct run *run = userdata;

	assert_non_null(path);
	snprintf(run->path, sizeof(run->path), "%s", path);
	ended(run, result);
}

static int start_write(struct run *run)
{
	static const struct zkh_pair pairs[] = {
		{ .path = "/t/a", .data = "1", .length = 1 },
		{ .path = "/t/x/y/z", .data = "2", .length = 1 },
		{ .path = "/t/b", .data = "3", .length = 1, .versioned = true, .version = 0 },
		{ .path = "/fresh", .data = NULL, .length = 0, .versioned = true, .version = -1 },
	};

	return zkh_write(run->world.session, pairs, 4, on_task, run, &run->task);
}

static int start_delete(struct run *run)
{
	return zkh_delete(run->world.session, "/t/b/c", false, on_task, run, &run->task);
}

static int start_delete_tree(struct run *run)
{
	return zkh_delete(run->world.session, "/t", true, on_task, run, &run->task);
}

static int start_rename(struct run *run)
{
	return zkh_rename(run->world.session, &(struct zkh_move){ "/t", "/other/u" }, 1, on_task,
			  run, &run->task);
}

static int start_rename_taken(struct run *run)
{
	return zkh_rename(run->world.session, &(struct zkh_move){ "/t/b", "/other" }, 1, on_task,
			  run, &run->task);
}

static void on_tree(void *userdata, int result, const struct zkh_entry *entries, size_t count)
{
	struct run *run = userdata;

	if (result == ZKH_OK)
		run->seen = count == 5 && strcmp(entries[0].path, "/t") == 0 &&
			    strcmp(entries[4].path, "/t/b/t") == 0 &&
			    strcmp(entries[4].data, "four") == 0;
	ended(run, result);
}

static int start_tree(struct run *run)
{
	return zkh_tree(run->world.session, "/t", 100, on_tree, run, &run->task);
}

/* ---- Locks ---- */

static void prepare_free_lock(struct run *run)
{
	plant(&run->world, "/locks/a", "");
}

static void prepare_held_lock(struct run *run)
{
	plant(&run->world, "/locks/a", "");
	assert_int_equal(fake_zk_create(at(&run->world, FOREIGN_LOCK), "them", FOREIGN_SESSION),
			 ZOK);
}

static void prepare_read_lock(struct run *run)
{
	plant(&run->world, "/locks/a", "");
	assert_int_equal(fake_zk_create(at(&run->world, FOREIGN_READ), "them", FOREIGN_SESSION),
			 ZOK);
}

static void prepare_nothing(struct run *run)
{
}

static void assert_held(struct run *run)
{
	const char *path = zkh_lock_path(run->lock);
	struct Stat stat;

	assert_non_null(path);
	assert_null(fake_zk_data(at(&run->world, FOREIGN_LOCK)));
	/* If the session has expired meanwhile, nobody could know yet; nor of a deletion just made. */
	if (!fake_zk_session_alive(zkh_session_id(run->world.session)) ||
	    !fake_zk_stat(at(&run->world, path), &stat))
		return;
	assert_int_equal(stat.ephemeralOwner, zkh_session_id(run->world.session));
	assert_true(zkh_lock_epoch(run->lock) >= stat.czxid);
}

/* Held until the next turn, then given up by the tick. */
static void on_lock(void *userdata, int result)
{
	struct run *run = userdata;

	called(run, result);
	if (result == ZKH_OK) {
		assert_int_equal(run->calls, 1);
		assert_held(run);
		return;
	}
	assert_true(run->calls == 1 || (run->calls == 2 && result == ZKH_LOST));
	assert_null(zkh_lock_path(run->lock));
	run->lock = NULL;
	run->done = true;
}

static void on_lock_release_inside(void *userdata, int result)
{
	struct run *run = userdata;

	on_lock(run, result);
	if (result == ZKH_OK)
		run->lock = zkh_lock_release(run->lock);
	run->done = true;
}

static void tick_release(struct run *run)
{
	if (!run->lock || run->calls == 0 || run->step < FOREIGN_STEPS)
		return;
	run->lock = zkh_lock_release(run->lock);
	run->done = true;
}

static void tick_foreign(struct run *run)
{
	if (run->step == FOREIGN_STEPS)
		fake_zk_delete(at(&run->world, FOREIGN_LOCK));
	tick_release(run);
}

/* Somebody deletes the node of a lock that is held. */
static void tick_rob(struct run *run)
{
	const char *path = run->lock && run->calls ? zkh_lock_path(run->lock) : NULL;

	if (path && run->step >= FOREIGN_STEPS)
		fake_zk_delete(at(&run->world, path));
}

static int acquire(struct run *run, enum zkh_lock_kind kind, int timeout_ms, zkh_lock_fn fn)
{
	return zkh_lock_acquire(run->world.session, kind, "/locks/a", "us", timeout_ms, fn, run,
				&run->lock);
}

static int start_exclusive(struct run *run)
{
	return acquire(run, ZKH_LOCK_EXCLUSIVE, -1, on_lock);
}

static int start_write_lock(struct run *run)
{
	return acquire(run, ZKH_LOCK_WRITE, 200, on_lock);
}

static int start_read_lock(struct run *run)
{
	return acquire(run, ZKH_LOCK_READ, -1, on_lock);
}

static int start_inside(struct run *run)
{
	return acquire(run, ZKH_LOCK_EXCLUSIVE, 100, on_lock_release_inside);
}

static int start_short(struct run *run)
{
	return acquire(run, ZKH_LOCK_EXCLUSIVE, 12, on_lock);
}

static int start_once(struct run *run)
{
	return acquire(run, ZKH_LOCK_EXCLUSIVE, 0, on_lock);
}

/* Locked, used up by a transaction of the holder's own, forgotten: as a claim does. */
static void on_consumed(void *userdata, int result, const struct zkh_txn_reply *reply)
{
	struct run *run = userdata;

	run->op = NULL;
	if (run->is_over)
		fail();
	if (run->lock && result == ZKH_OK)
		run->lock = zkh_lock_consumed(run->lock);
	else
		run->lock = zkh_lock_release(run->lock);
	run->done = true;
}

static void on_lock_claim(void *userdata, int result)
{
	struct run *run = userdata;
	struct zkh_txn *txn;

	on_lock(run, result);
	if (result != ZKH_OK)
		return;
	run->done = false;
	txn = zkh_txn_create(run->world.session);
	zkh_txn_set_text(txn, "/locks", "claimed", ZKH_ANY_VERSION);
	zkh_txn_delete(txn, zkh_lock_path(run->lock), ZKH_ANY_VERSION);
	if (zkh_commit(txn, on_consumed, run, &run->op) != 0) {
		run->lock = zkh_lock_release(run->lock);
		run->done = true;
	}
}

static int start_claim(struct run *run)
{
	return acquire(run, ZKH_LOCK_EXCLUSIVE, 100, on_lock_claim);
}

static void tick_claim(struct run *run)
{
	/* Lost meanwhile: the transaction's callback still comes. */
	if (run->op)
		run->done = false;
}

static void cancel_claim(struct run *run)
{
	zkh_op_cancel(run->op);
	run->lock = zkh_lock_release(run->lock);
}

const struct scenario scenarios[] = {
	{ "get", CHECK_READ, ZKH_OK, prepare_tree, start_get, cancel_op, NULL },
	{ "exists", CHECK_READ, ZKH_OK, prepare_tree, start_exists, cancel_op, NULL },
	{ "children", CHECK_READ, ZKH_OK, prepare_tree, start_children, cancel_op, NULL },
	{ "sync", CHECK_READ, ZKH_OK, prepare_tree, start_sync, cancel_op, NULL },
	{ "tree", CHECK_READ, ZKH_OK, prepare_tree, start_tree, cancel_task, NULL },
	{ "transaction", CHECK_ATOMIC, ZKH_OK, prepare_tree, start_txn, cancel_op, NULL },
	{ "write", CHECK_ATOMIC, ZKH_OK, prepare_tree, start_write, cancel_task, NULL },
	{ "delete", CHECK_ATOMIC, ZKH_OK, prepare_tree, start_delete, cancel_task, NULL },
	{ "delete a tree", CHECK_ATOMIC, ZKH_OK, prepare_tree, start_delete_tree, cancel_task,
	  NULL },
	{ "rename", CHECK_ATOMIC, ZKH_OK, prepare_tree, start_rename, cancel_task, NULL },
	{ "rename to a key that exists", CHECK_ATOMIC, ZKH_NODE_EXISTS, prepare_tree,
	  start_rename_taken, cancel_task, NULL },
	{ "exclusive lock, free", CHECK_LOCK, ZKH_OK, prepare_free_lock, start_exclusive,
	  cancel_lock, tick_release },
	{ "exclusive lock, no parents", CHECK_LOCK, ZKH_OK, prepare_nothing, start_exclusive,
	  cancel_lock, tick_release },
	{ "exclusive lock, contended", CHECK_LOCK, ZKH_OK, prepare_held_lock, start_exclusive,
	  cancel_lock, tick_foreign },
	{ "exclusive lock, released by its callback", CHECK_LOCK, ZKH_OK, prepare_free_lock,
	  start_inside, cancel_lock, NULL },
	{ "exclusive lock, robbed", CHECK_LOCK, ZKH_OK, prepare_free_lock, start_exclusive,
	  cancel_lock, tick_rob },
	{ "exclusive lock, used up by a claim", CHECK_LOCK, ZKH_OK, prepare_free_lock, start_claim,
	  cancel_claim, tick_claim },
	{ "exclusive lock, timed out", CHECK_LOCK, ZKH_TIMEOUT, prepare_held_lock, start_short,
	  cancel_lock, tick_release },
	{ "exclusive lock, tried once, free", CHECK_LOCK, ZKH_OK, prepare_free_lock, start_once,
	  cancel_lock, tick_release },
	{ "exclusive lock, tried once, held", CHECK_LOCK, ZKH_TIMEOUT, prepare_held_lock,
	  start_once, cancel_lock, tick_release },
	{ "write lock, free", CHECK_LOCK, ZKH_OK, prepare_free_lock, start_write_lock, cancel_lock,
	  tick_release },
	{ "write lock, contended", CHECK_LOCK, ZKH_OK, prepare_held_lock, start_write_lock,
	  cancel_lock, tick_foreign },
	{ "read lock, free", CHECK_LOCK, ZKH_OK, prepare_free_lock, start_read_lock, cancel_lock,
	  tick_release },
	{ "read lock beside another", CHECK_LOCK, ZKH_OK, prepare_read_lock, start_read_lock,
	  cancel_lock, tick_release },
	{ "read lock, contended", CHECK_LOCK, ZKH_OK, prepare_held_lock, start_read_lock,
	  cancel_lock, tick_foreign },
};
const size_t scenario_count = sizeof(scenarios) / sizeof(scenarios[0]);

/* ---- Running ---- */

void run_init(struct run *run, const struct scenario *scenario, bool rooted)
{
	memset(run, 0, sizeof(*run));
	run->scenario = scenario;
	run->result = run->last = NO_RESULT;
	world_init(&run->world, rooted ? "/its/root" : "/");
	scenario->prepare(run);
	world_open(&run->world);
}

void run_start(struct run *run)
{
	int r;

	run->started = true; /* a callback from within the call is caught by world.turning */
	r = run->scenario->start(run);
	if (r == 0)
		return;
	assert_int_equal(run->calls, 0);
	run->started = false;
	run->result = run->last = r;
	run->op = NULL;
	run->task = NULL;
	run->lock = NULL;
	run->done = true;
}

void run_step(struct run *run)
{
	world_step(&run->world);
	run->step++;
	if (run->scenario->tick && !run->is_over)
		run->scenario->tick(run);
}

bool run_finish(struct run *run, bool hangs)
{
	while (!run->done && run->step < STEPS_MAX) {
		run_step(run);
		if (hangs && run->step == PATIENCE_STEPS)
			zkh_session_cut(run->world.session);
	}
	if (hangs && run->step < PATIENCE_STEPS)
		zkh_session_cut(run->world.session);
	return run->done;
}

static bool is_lock_node(const char *name, size_t length)
{
	static const char *const markers[] = { "__lock__", "__rlock__" };

	for (int i = 0; i < 2; i++) {
		size_t tail = strlen(markers[i]) + 10;

		if (length > tail && strncmp(name + length - tail, markers[i], tail - 10) == 0)
			return true;
	}
	return false;
}

void run_assert_no_lock_node(struct run *run)
{
	for (const char *line = fake_zk_dump(); *line;) {
		size_t length = strcspn(line, "="), end = strcspn(line, "\n");

		/* What a stranger made anew is not ephemeral. */
		if (is_lock_node(line, length) && memmem(line, end, "(ephemeral)", 11) &&
		    !memmem(line, length, FOREIGN_ID, strlen(FOREIGN_ID)))
			fail_msg("left behind: %.*s", (int)end, line);
		line += end + (line[end] == '\n');
	}
}
