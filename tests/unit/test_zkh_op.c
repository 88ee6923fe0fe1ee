/* SPDX-License-Identifier: Apache-2.0 */

/* Single operations, transactions and watches. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test_zkh_common.h"

#define SOON_MS 2000
#define FULL(path) "/its/root" path

struct answer {
	bool done;
	unsigned calls;
	int result;
	char *data;
	size_t length;
	struct zkh_stat stat;
	char names[256]; /* children, sorted by the caller's luck; joined with ',' */
	size_t count;
	char failed_path[128];
	size_t failed;
	char created[128];
	const char **order; /* where to note that it came, may be NULL */
	const char *name;
};

static void answered(struct answer *answer, int result)
{
	answer->done = true;
	answer->calls++;
	answer->result = result;
	if (answer->order) {
		while (*answer->order)
			answer->order++;
		*answer->order = answer->name;
	}
}

static void on_get(void *userdata, int result, const char *data, size_t length,
		   const struct zkh_stat *stat)
{
	struct answer *answer = userdata;

	answered(answer, result);
	if (result != ZKH_OK)
		return;
	assert_int_equal(data[length], 0);
	free(answer->data);
	answer->data = malloc(length + 1);
	memcpy(answer->data, data, length + 1);
	answer->length = length;
	answer->stat = *stat;
}

static void on_exists(void *userdata, int result, const struct zkh_stat *stat)
{
	struct answer *answer = userdata;

	answered(answer, result);
	if (result == ZKH_OK)
		answer->stat = *stat;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void on_children(void *userdata, int result, const char *const *names, size_t count,
			const struct zkh_stat *stat)
{
	struct answer *answer = userdata;
	const char *sorted[8];

	answered(answer, result);
	if (result != ZKH_OK)
		return;
	answer->count = count;
	answer->names[0] = 0;
	answer->stat = *stat;
	if (!count || count > 8)
		return;
	memcpy(sorted, names, count * sizeof(sorted[0]));
	qsort(sorted, count, sizeof(sorted[0]), compare_names);
	for (size_t i = 0; i < count; i++) {
		strcat(answer->names, i ? "," : "");
		strcat(answer->names, sorted[i]);
	}
}

static void on_done(void *userdata, int result)
{
	answered(userdata, result);
}

static void on_commit(void *userdata, int result, const struct zkh_txn_reply *reply)
{
	struct answer *answer = userdata;

	answered(answer, result);
	assert_true(reply->failed <= reply->count);
	answer->count = reply->count;
	answer->failed = reply->failed;
	snprintf(answer->failed_path, sizeof(answer->failed_path), "%s", reply->failed_path);
	if (result == ZKH_OK && reply->created_paths[0])
		snprintf(answer->created, sizeof(answer->created), "%s", reply->created_paths[0]);
}

static void wait_for(struct world *world, struct answer *answer)
{
	assert_true(world_wait(world, &answer->done, SOON_MS));
}

static struct world world_rooted(void)
{
	struct world world;

	world_init(&world, "/its/root");
	return world;
}

/* ---- Reads ---- */

static void test_get(void **state)
{
	struct answer answer = { 0 };
	struct world world = world_rooted();
	struct Stat stat;
	char *big = malloc(5001);

	memset(big, 'x', 5000);
	big[5000] = 0;
	plant(&world, "/a/text", "value");
	plant(&world, "/a/empty", "");
	plant(&world, "/a/null", NULL);
	plant(&world, "/a/big", big);
	world_open(&world);
	assert_int_equal(zkh_get(world.session, "/a/text", false, on_get, &answer, NULL), 0);
	wait_for(&world, &answer);
	assert_int_equal(answer.result, ZKH_OK);
	assert_string_equal(answer.data, "value");
	assert_true(fake_zk_stat(FULL("/a/text"), &stat));
	assert_int_equal(answer.stat.czxid, stat.czxid);
	assert_int_equal(answer.stat.mzxid, stat.mzxid);
	assert_int_equal(answer.stat.pzxid, stat.pzxid);
	assert_int_equal(answer.stat.ctime_ms, stat.ctime);
	assert_int_equal(answer.stat.mtime_ms, stat.mtime);
	assert_int_equal(answer.stat.version, 0);
	assert_int_equal(answer.stat.data_length, 5);
	answer.done = false;
	assert_int_equal(zkh_get(world.session, "/a/empty", false, on_get, &answer, NULL), 0);
	wait_for(&world, &answer);
	assert_int_equal(answer.length, 0);
	answer.done = false;
	assert_int_equal(zkh_get(world.session, "/a/null", false, on_get, &answer, NULL), 0);
	wait_for(&world, &answer);
	assert_int_equal(answer.result, ZKH_OK);
	assert_int_equal(answer.length, 0);
	answer.done = false;
	assert_int_equal(zkh_get(world.session, "/a/big", false, on_get, &answer, NULL), 0);
	wait_for(&world, &answer);
	assert_string_equal(answer.data, big);
	answer.done = false;
	assert_int_equal(zkh_get(world.session, "/a/none", false, on_get, &answer, NULL), 0);
	wait_for(&world, &answer);
	assert_int_equal(answer.result, ZKH_NO_NODE);
	assert_int_equal(answer.calls, 5);
	free(answer.data);
	free(big);
	world_finish(&world);
}

static void test_exists_and_children(void **state)
{
	struct answer answer = { 0 };
	struct world world = world_rooted();

	plant(&world, "/a/x", "");
	plant(&world, "/a/y", "");
	fake_zk_create("/its/rooted", "a sibling, not below", 0);
	fake_zk_create(FULL("/e"), "", 0x77);
	world_open(&world);
	assert_int_equal(zkh_exists(world.session, "/e", false, on_exists, &answer, NULL), 0);
	wait_for(&world, &answer);
	assert_int_equal(answer.stat.ephemeral_owner, 0x77);
	answer.done = false;
	assert_int_equal(zkh_exists(world.session, "/none", false, on_exists, &answer, NULL), 0);
	wait_for(&world, &answer);
	assert_int_equal(answer.result, ZKH_NO_NODE);
	answer.done = false;
	assert_int_equal(zkh_children(world.session, "/a", false, on_children, &answer, NULL), 0);
	wait_for(&world, &answer);
	assert_string_equal(answer.names, "x,y");
	assert_int_equal(answer.stat.children, 2);
	answer.done = false;
	/* "/" is the root of the session. */
	assert_int_equal(zkh_children(world.session, "/", false, on_children, &answer, NULL), 0);
	wait_for(&world, &answer);
	assert_string_equal(answer.names, "a,e");
	answer.done = false;
	assert_int_equal(zkh_children(world.session, "/a/x", false, on_children, &answer, NULL), 0);
	wait_for(&world, &answer);
	assert_int_equal(answer.result, ZKH_OK);
	assert_int_equal(answer.count, 0);
	answer.done = false;
	assert_int_equal(zkh_children(world.session, "/none", false, on_children, &answer, NULL),
			 0);
	wait_for(&world, &answer);
	assert_int_equal(answer.result, ZKH_NO_NODE);
	world_finish(&world);
}

/* Nothing that libzookeeper would choke on gets there. */
static void test_invalid_paths(void **state)
{
	static const char *const paths[] = { "",    "a",      "/a/",  "//",   "/a//b",
					     "/..", "/a/./b", "/a\n", "/\xff" };
	struct answer answer = { 0 };
	struct world world = world_rooted();
	struct zkh_watch watch = { .userdata = NULL };
	struct zkh_op *op = NULL;
	char longest[ZKH_PATH_MAX];

	world_open(&world);
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		struct zkh_txn *txn = zkh_txn_create(world.session);

		assert_int_equal(zkh_get(world.session, paths[i], true, on_get, &answer, &op),
				 ZKH_INVALID);
		assert_int_equal(zkh_exists(world.session, paths[i], true, on_exists, &answer, &op),
				 ZKH_INVALID);
		assert_int_equal(zkh_children(world.session, paths[i], true, on_children, &answer,
					      &op),
				 ZKH_INVALID);
		zkh_txn_check(txn, "/fine", 0);
		zkh_txn_create_text(txn, paths[i], "", ZKH_PERSISTENT);
		assert_int_equal(zkh_commit(txn, on_commit, &answer, &op), ZKH_INVALID);
		watch = (struct zkh_watch){ .fn = (void (*)(void *, enum zkh_watch_event,
							    const char *))abort };
		assert_int_equal(zkh_watch_add(world.session, &watch, paths[i]), ZKH_INVALID);
		zkh_watch_remove(&watch);
	}
	/* Valid by itself, too long below the root. */
	memset(longest, 'l', sizeof(longest));
	longest[0] = '/';
	longest[sizeof(longest) - 1] = 0;
	assert_true(zkh_path_valid(longest));
	assert_int_equal(zkh_get(world.session, longest, true, on_get, &answer, &op), ZKH_INVALID);
	world_steps(&world, 3);
	assert_null(op);
	assert_int_equal(answer.calls, 0);
	assert_int_equal(fake_zk_counts().requests, 0);
	world_finish(&world);
}

static void test_not_connected(void **state)
{
	struct zkh_session_config config;
	struct answer answers[5] = { 0 };
	struct world world = world_rooted();
	struct zkh_op *op;
	struct zkh_txn *txn;

	fake_zk_fail_connects(10000, FAKE_ZK_REFUSED);
	config = world_config(&world);
	assert_int_equal(zkh_session_create(world.loop, &config, &world.session), 0);
	assert_int_equal(zkh_get(world.session, "/", true, on_get, &answers[0], &op), 0);
	assert_int_equal(zkh_exists(world.session, "/", true, on_exists, &answers[1], &op), 0);
	assert_int_equal(zkh_children(world.session, "/", true, on_children, &answers[2], &op), 0);
	assert_int_equal(zkh_sync(world.session, on_done, &answers[3], &op), 0);
	txn = zkh_txn_create(world.session);
	zkh_txn_check(txn, "/", 0);
	assert_int_equal(zkh_commit(txn, on_commit, &answers[4], &op), 0);
	/* From the loop, not from within the call. */
	for (int i = 0; i < 5; i++)
		assert_false(answers[i].done);
	for (int i = 0; i < 5; i++) {
		wait_for(&world, &answers[i]);
		assert_int_equal(answers[i].result, ZKH_NOT_CONNECTED);
	}
	/* Cancelled before it comes. */
	answers[0].calls = 0;
	assert_int_equal(zkh_get(world.session, "/", true, on_get, &answers[0], &op), 0);
	zkh_op_cancel(op);
	world_steps(&world, 3);
	assert_int_equal(answers[0].calls, 0);
	assert_int_equal(fake_zk_counts().requests, 0);
	world_finish(&world);
}

static void test_order(void **state)
{
	const char *order[8] = { 0 };
	struct answer get = { .order = order, .name = "get" },
		      exists = { .order = order, .name = "exists" },
		      commit = { .order = order, .name = "commit" },
		      sync = { .order = order, .name = "sync" },
		      children = { .order = order, .name = "children" };
	struct world world = world_rooted();
	struct zkh_txn *txn;

	world_open(&world);
	txn = zkh_txn_create(world.session);
	zkh_txn_create_text(txn, "/new", "", ZKH_PERSISTENT);
	assert_int_equal(zkh_exists(world.session, "/new", false, on_exists, &exists, NULL), 0);
	assert_int_equal(zkh_commit(txn, on_commit, &commit, NULL), 0);
	assert_int_equal(zkh_get(world.session, "/new", false, on_get, &get, NULL), 0);
	assert_int_equal(zkh_sync(world.session, on_done, &sync, NULL), 0);
	assert_int_equal(zkh_children(world.session, "/", false, on_children, &children, NULL), 0);
	wait_for(&world, &children);
	assert_int_equal(exists.result, ZKH_NO_NODE);
	assert_int_equal(get.result, ZKH_OK);
	assert_string_equal(children.names, "new");
	assert_string_equal(order[0], "exists");
	assert_string_equal(order[1], "commit");
	assert_string_equal(order[2], "get");
	assert_string_equal(order[3], "sync");
	assert_string_equal(order[4], "children");
	free(get.data);
	world_finish(&world);
}

struct canceller {
	struct answer answer;
	struct zkh_op *self, *other;
};

static void on_get_cancel(void *userdata, int result, const char *data, size_t length,
			  const struct zkh_stat *stat)
{
	struct canceller *canceller = userdata;

	answered(&canceller->answer, result);
	zkh_op_cancel(canceller->self);
	zkh_op_cancel(canceller->other);
	canceller->other = NULL;
	assert_int_equal(strlen(data), length);
}

static void test_cancel_inside(void **state)
{
	struct canceller canceller = { 0 };
	struct answer other = { 0 }, third = { 0 };
	struct world world = world_rooted();

	plant(&world, "/a", "text");
	world_open(&world);
	zkh_op_cancel(NULL);
	for (int lost = 0; lost < 2; lost++) {
		canceller = (struct canceller){ 0 };
		other = third = (struct answer){ 0 };
		if (lost)
			fake_zk_fail(1, FAKE_ZK_LOST_BEFORE);
		assert_int_equal(zkh_get(world.session, "/a", false, on_get_cancel, &canceller,
					 &canceller.self),
				 0);
		assert_int_equal(zkh_get(world.session, "/a", false, on_get, &other,
					 &canceller.other),
				 0);
		assert_int_equal(zkh_exists(world.session, "/a", false, on_exists, &third, NULL),
				 0);
		wait_for(&world, &third);
		assert_int_equal(canceller.answer.calls, 1);
		assert_int_equal(other.calls, 0);
		assert_int_equal(third.calls, 1);
		world_settle(&world);
	}
	world_finish(&world);
}

/* ---- Transactions ---- */

static void test_txn(void **state)
{
	struct answer answer = { 0 };
	struct world world = world_rooted();
	struct zkh_txn *txn;

	plant(&world, "/a", "old");
	plant(&world, "/b", "");
	world_open(&world);
	txn = zkh_txn_create(world.session);
	zkh_txn_create_text(txn, "/s-", "first", ZKH_CREATE_SEQUENCE);
	zkh_txn_create_key(txn, "/e", "\0x", 2, ZKH_CREATE_EPHEMERAL);
	zkh_txn_set_text(txn, "/a", "new", 0);
	zkh_txn_check(txn, "/b", 0);
	zkh_txn_delete(txn, "/b", ZKH_ANY_VERSION);
	assert_int_equal(zkh_txn_count(txn), 5);
	assert_int_equal(zkh_commit(txn, on_commit, &answer, NULL), 0);
	wait_for(&world, &answer);
	assert_int_equal(answer.result, ZKH_OK);
	assert_int_equal(answer.count, 5);
	assert_int_equal(answer.failed, 5);
	assert_string_equal(answer.created, "/s-0000000002");
	assert_string_equal(fake_zk_data(FULL("/a")), "new");
	assert_string_equal(fake_zk_data(FULL("/s-0000000002")), "first");
	assert_null(fake_zk_data(FULL("/b")));
	assert_int_equal(fake_zk_counts().multis, 1);
	assert_null(zkh_txn_destroy(NULL));
	zkh_txn_destroy(zkh_txn_create(world.session));
	world_finish(&world);
}

static void add(struct zkh_txn *txn, unsigned which)
{
	switch (which) {
	case 0:
		zkh_txn_check(txn, "/a", 7);
		break;
	case 1:
		zkh_txn_set_text(txn, "/a", "x", 7);
		break;
	case 2:
		zkh_txn_delete(txn, "/a", 7);
		break;
	case 3:
		zkh_txn_set_text(txn, "/none", "x", ZKH_ANY_VERSION);
		break;
	case 4:
		zkh_txn_delete(txn, "/none", ZKH_ANY_VERSION);
		break;
	case 5:
		zkh_txn_check(txn, "/none", ZKH_ANY_VERSION);
		break;
	case 6:
		zkh_txn_create_text(txn, "/none/child", "x", ZKH_PERSISTENT);
		break;
	case 7:
		zkh_txn_create_text(txn, "/a", "x", ZKH_PERSISTENT);
		break;
	case 8:
		zkh_txn_delete(txn, "/p", ZKH_ANY_VERSION);
		break;
	default:
		zkh_txn_create_text(txn, "/e/child", "x", ZKH_PERSISTENT);
		break;
	}
}

/* The one that fails is named, whatever stands before and behind it, and nothing happens. */
static void test_txn_failures(void **state)
{
	static const struct {
		int result;
		const char *path;
	} expected[] = {
		{ ZKH_CONFLICT, "/a" },		{ ZKH_CONFLICT, "/a" },	   { ZKH_CONFLICT, "/a" },
		{ ZKH_NO_NODE, "/none" },	{ ZKH_NO_NODE, "/none" },  { ZKH_NO_NODE, "/none" },
		{ ZKH_NO_NODE, "/none/child" }, { ZKH_NODE_EXISTS, "/a" }, { ZKH_NOT_EMPTY, "/p" },
		{ ZKH_EPHEMERAL, "/e/child" },
	};
	struct world world = world_rooted();

	plant(&world, "/a", "old");
	plant(&world, "/p/q", "");
	fake_zk_create(FULL("/e"), "", 0x77);
	world_open(&world);
	for (unsigned which = 0; which < sizeof(expected) / sizeof(expected[0]); which++) {
		struct answer answer = { 0 };
		struct zkh_txn *txn = zkh_txn_create(world.session);
		char *before = strdup(fake_zk_dump_stats());

		zkh_txn_create_text(txn, "/made", "", ZKH_PERSISTENT);
		zkh_txn_set_text(txn, "/p", "changed", 0);
		add(txn, which);
		zkh_txn_delete(txn, "/p/q", 0);
		assert_int_equal(zkh_commit(txn, on_commit, &answer, NULL), 0);
		wait_for(&world, &answer);
		assert_int_equal(answer.result, expected[which].result);
		assert_int_equal(answer.failed, 2);
		assert_string_equal(answer.failed_path, expected[which].path);
		assert_string_equal(fake_zk_dump_stats(), before);
		free(before);
	}
	world_finish(&world);
}

static void test_txn_bounds(void **state)
{
	struct answer answer = { 0 };
	struct world world = world_rooted();
	struct zkh_txn *txn;
	char *data = malloc(ZKH_DATA_MAX + 1);

	memset(data, 'd', ZKH_DATA_MAX + 1);
	plant(&world, "/a", "");
	world_open(&world);
	assert_int_equal(zkh_commit(zkh_txn_create(world.session), on_commit, &answer, NULL),
			 ZKH_INVALID);
	txn = zkh_txn_create(world.session);
	zkh_txn_set(txn, "/a", data, ZKH_DATA_MAX + 1, 0);
	assert_int_equal(zkh_commit(txn, on_commit, &answer, NULL), ZKH_TOO_LARGE);
	txn = zkh_txn_create(world.session);
	zkh_txn_set(txn, "/a", data, ZKH_DATA_MAX, 0);
	zkh_txn_set(txn, "/a", data, ZKH_DATA_MAX, 1);
	assert_int_equal(zkh_commit(txn, on_commit, &answer, NULL), ZKH_TOO_LARGE);
	txn = zkh_txn_create(world.session);
	for (int i = 0; i <= ZKH_TXN_OPS_MAX; i++)
		zkh_txn_check(txn, "/a", 0);
	assert_int_equal(zkh_commit(txn, on_commit, &answer, NULL), ZKH_TOO_LARGE);
	txn = zkh_txn_create(world.session);
	zkh_txn_create_key(txn, "/x", NULL, 0, 64u);
	assert_int_equal(zkh_commit(txn, on_commit, &answer, NULL), ZKH_INVALID);
	assert_int_equal(fake_zk_counts().requests, 0);
	/* Just within. */
	txn = zkh_txn_create(world.session);
	zkh_txn_set(txn, "/a", data, ZKH_DATA_MAX, 0);
	for (int i = 1; i < ZKH_TXN_OPS_MAX && i < 2000; i++)
		zkh_txn_check(txn, "/a", 1);
	assert_int_equal(zkh_commit(txn, on_commit, &answer, NULL), 0);
	wait_for(&world, &answer);
	assert_int_equal(answer.result, ZKH_OK);
	answer.done = false;
	txn = zkh_txn_create(world.session);
	for (int i = 0; i < ZKH_TXN_OPS_MAX; i++)
		zkh_txn_check(txn, "/a", 1);
	assert_int_equal(zkh_commit(txn, on_commit, &answer, NULL), 0);
	wait_for(&world, &answer);
	assert_int_equal(answer.result, ZKH_OK);
	free(data);
	world_finish(&world);
}

/* ---- Watches ---- */

struct hearer {
	struct zkh_watch watch;
	unsigned calls;
	bool heard;
	enum zkh_watch_event event;
	char path[128];
	struct zkh_watch *remove; /* taken off by the callback */
	const char **order;
};

static void on_watch(void *userdata, enum zkh_watch_event event, const char *path)
{
	struct hearer *hearer = userdata;

	hearer->calls++;
	hearer->heard = true;
	hearer->event = event;
	snprintf(hearer->path, sizeof(hearer->path), "%s", path);
	if (hearer->remove)
		zkh_watch_remove(hearer->remove);
	if (hearer->order) {
		while (*hearer->order)
			hearer->order++;
		*hearer->order = "event";
	}
}

static void listen_to(struct world *world, struct hearer *hearer, const char *path)
{
	*hearer = (struct hearer){ .watch = { .fn = on_watch, .userdata = hearer } };
	assert_int_equal(zkh_watch_add(world->session, &hearer->watch, path), 0);
}

static void hears(struct world *world, struct hearer *hearer, enum zkh_watch_event event,
		  const char *path)
{
	assert_true(world_wait(world, &hearer->heard, SOON_MS));
	world_steps(world, 3);
	assert_int_equal(hearer->calls, 1);
	assert_int_equal(hearer->event, event);
	assert_string_equal(hearer->path, path);
	hearer->calls = 0;
	hearer->heard = false;
}

static void hears_nothing(struct world *world, struct hearer *hearer)
{
	world_steps(world, 4);
	assert_int_equal(hearer->calls, 0);
}

static void arm_get(struct world *world, const char *path, int result)
{
	struct answer answer = { 0 };

	assert_int_equal(zkh_get(world->session, path, true, on_get, &answer, NULL), 0);
	wait_for(world, &answer);
	assert_int_equal(answer.result, result);
	free(answer.data);
}

static void arm_exists(struct world *world, const char *path, int result)
{
	struct answer answer = { 0 };

	assert_int_equal(zkh_exists(world->session, path, true, on_exists, &answer, NULL), 0);
	wait_for(world, &answer);
	assert_int_equal(answer.result, result);
}

static void arm_children(struct world *world, const char *path, int result)
{
	struct answer answer = { 0 };

	assert_int_equal(zkh_children(world->session, path, true, on_children, &answer, NULL), 0);
	wait_for(world, &answer);
	assert_int_equal(answer.result, result);
}

static void test_watch(void **state)
{
	struct hearer hearer;
	struct world world = world_rooted();

	plant(&world, "/a/b", "");
	world_open(&world);
	listen_to(&world, &hearer, "/a");
	/* Nothing armed. */
	fake_zk_set(FULL("/a"), "0");
	hears_nothing(&world, &hearer);
	/* Once only. */
	arm_get(&world, "/a", ZKH_OK);
	fake_zk_set(FULL("/a"), "1");
	fake_zk_set(FULL("/a"), "2");
	hears(&world, &hearer, ZKH_WATCH_CHANGED, "/a");
	arm_exists(&world, "/a", ZKH_OK);
	fake_zk_create(FULL("/a/other"), "", 0);
	hears_nothing(&world, &hearer);
	fake_zk_set(FULL("/a"), "3");
	hears(&world, &hearer, ZKH_WATCH_CHANGED, "/a");
	arm_children(&world, "/a", ZKH_OK);
	fake_zk_set(FULL("/a/b"), "deeper");
	hears_nothing(&world, &hearer);
	fake_zk_create(FULL("/a/c"), "", 0);
	hears(&world, &hearer, ZKH_WATCH_CHILDREN, "/a");
	arm_children(&world, "/a", ZKH_OK);
	fake_zk_delete(FULL("/a/c"));
	hears(&world, &hearer, ZKH_WATCH_CHILDREN, "/a");
	zkh_watch_remove(&hearer.watch);
	zkh_watch_remove(&hearer.watch);
	world_finish(&world);
}

static void test_watch_life(void **state)
{
	struct hearer hearer;
	struct world world = world_rooted();

	world_open(&world);
	listen_to(&world, &hearer, "/a");
	arm_exists(&world, "/a", ZKH_NO_NODE);
	fake_zk_create(FULL("/a"), "", 0);
	hears(&world, &hearer, ZKH_WATCH_CREATED, "/a");
	arm_exists(&world, "/a", ZKH_OK);
	fake_zk_delete(FULL("/a"));
	hears(&world, &hearer, ZKH_WATCH_DELETED, "/a");
	/* A get that finds nothing arms nothing. */
	arm_get(&world, "/a", ZKH_NO_NODE);
	fake_zk_create(FULL("/a"), "", 0);
	hears_nothing(&world, &hearer);
	arm_get(&world, "/a", ZKH_OK);
	arm_children(&world, "/a", ZKH_OK);
	fake_zk_delete(FULL("/a"));
	hears(&world, &hearer, ZKH_WATCH_DELETED, "/a");
	/* children neither. */
	arm_children(&world, "/a", ZKH_NO_NODE);
	fake_zk_create(FULL("/a"), "", 0);
	hears_nothing(&world, &hearer);
	zkh_watch_remove(&hearer.watch);
	world_finish(&world);
}

static void test_watch_root(void **state)
{
	struct hearer hearer, root;
	struct world world = world_rooted();

	world_open(&world);
	listen_to(&world, &root, "/");
	listen_to(&world, &hearer, "/new");
	arm_children(&world, "/", ZKH_OK);
	fake_zk_create("/its/rooted", "", 0);
	hears_nothing(&world, &root);
	fake_zk_create(FULL("/new"), "", 0);
	hears(&world, &root, ZKH_WATCH_CHILDREN, "/");
	hears_nothing(&world, &hearer);
	zkh_watch_remove(&root.watch);
	zkh_watch_remove(&hearer.watch);
	world_finish(&world);
}

static void test_watch_several(void **state)
{
	struct hearer first, second, third, other;
	struct world world = world_rooted();

	plant(&world, "/a", "");
	plant(&world, "/b", "");
	world_open(&world);
	listen_to(&world, &first, "/a");
	listen_to(&world, &second, "/a");
	listen_to(&world, &third, "/a");
	listen_to(&world, &other, "/b");
	arm_get(&world, "/a", ZKH_OK);
	arm_get(&world, "/a", ZKH_OK);
	fake_zk_set(FULL("/a"), "1");
	hears(&world, &first, ZKH_WATCH_CHANGED, "/a");
	assert_int_equal(second.calls, 1);
	assert_int_equal(third.calls, 1);
	assert_int_equal(other.calls, 0);
	/* Whoever comes first takes itself and another off. */
	first.calls = second.calls = third.calls = 0;
	third.remove = &second.watch;
	first.remove = &second.watch;
	second.remove = &second.watch;
	arm_get(&world, "/a", ZKH_OK);
	fake_zk_set(FULL("/a"), "2");
	world_steps(&world, 4);
	assert_int_equal(first.calls, 1);
	assert_int_equal(third.calls, 1);
	assert_in_range(second.calls, 0, 1);
	zkh_watch_remove(&first.watch);
	zkh_watch_remove(&second.watch);
	zkh_watch_remove(&third.watch);
	zkh_watch_remove(&other.watch);
	world_finish(&world);
}

static void test_watch_before_reply(void **state)
{
	const char *order[8] = { 0 };
	struct answer answer = { .order = order, .name = "commit" };
	struct hearer hearer;
	struct world world = world_rooted();
	struct zkh_txn *txn;

	plant(&world, "/a", "");
	world_open(&world);
	listen_to(&world, &hearer, "/a");
	hearer.order = order;
	arm_get(&world, "/a", ZKH_OK);
	txn = zkh_txn_create(world.session);
	zkh_txn_set_text(txn, "/a", "own", 0);
	assert_int_equal(zkh_commit(txn, on_commit, &answer, NULL), 0);
	wait_for(&world, &answer);
	assert_string_equal(order[0], "event");
	assert_string_equal(order[1], "commit");
	zkh_watch_remove(&hearer.watch);
	world_finish(&world);
}

/* On a new connection, of the same session or of another one, nothing is armed until it is read again. */
static void test_watch_reconnect(void **state)
{
	struct hearer changed, created, children;
	struct world world = world_rooted();

	plant(&world, "/changed", "");
	plant(&world, "/children", "");
	world_open(&world);
	listen_to(&world, &changed, "/changed");
	listen_to(&world, &created, "/created");
	listen_to(&world, &children, "/children");
	arm_get(&world, "/changed", ZKH_OK);
	arm_exists(&world, "/created", ZKH_NO_NODE);
	arm_children(&world, "/children", ZKH_OK);
	fake_zk_disconnect(zkh_session_id(world.session));
	assert_true(world_wait_event(&world, ZKH_CONNECTED, 2));
	fake_zk_set(FULL("/changed"), "1");
	fake_zk_create(FULL("/created"), "", 0);
	fake_zk_create(FULL("/children/new"), "", 0);
	hears_nothing(&world, &changed);
	hears_nothing(&world, &created);
	hears_nothing(&world, &children);
	arm_get(&world, "/changed", ZKH_OK);
	arm_exists(&world, "/created", ZKH_OK);
	arm_children(&world, "/children", ZKH_OK);
	fake_zk_set(FULL("/changed"), "2");
	hears(&world, &changed, ZKH_WATCH_CHANGED, "/changed");
	fake_zk_delete(FULL("/created"));
	hears(&world, &created, ZKH_WATCH_DELETED, "/created");
	fake_zk_delete(FULL("/children/new"));
	hears(&world, &children, ZKH_WATCH_CHILDREN, "/children");
	arm_get(&world, "/changed", ZKH_OK);
	fake_zk_expire(zkh_session_id(world.session));
	assert_true(world_wait_event(&world, ZKH_CONNECTED, 3));
	fake_zk_set(FULL("/changed"), "3");
	hears_nothing(&world, &changed);
	arm_get(&world, "/changed", ZKH_OK);
	fake_zk_set(FULL("/changed"), "4");
	hears(&world, &changed, ZKH_WATCH_CHANGED, "/changed");
	zkh_watch_remove(&changed.watch);
	zkh_watch_remove(&created.watch);
	zkh_watch_remove(&children.watch);
	world_finish(&world);
}

static void test_watch_many(void **state)
{
	enum { MANY = 300 };
	static struct hearer hearers[MANY];
	struct answer answer = { 0 };
	struct world world = world_rooted();
	char path[32];

	for (int i = 0; i < MANY; i++) {
		snprintf(path, sizeof(path), "/m/%d", i);
		plant(&world, path, "");
	}
	world_open(&world);
	fake_zk_pace(false);
	for (int i = 0; i < MANY; i++) {
		snprintf(path, sizeof(path), "/m/%d", i);
		listen_to(&world, &hearers[i], path);
		answer.done = false;
		assert_int_equal(zkh_exists(world.session, path, true, on_exists, &answer, NULL),
				 0);
	}
	for (unsigned i = 0; i < 1000 && answer.calls < MANY; i++)
		world_step(&world);
	for (int i = 0; i < MANY; i++) {
		snprintf(path, sizeof(path), FULL("/m/%d"), i);
		fake_zk_set(path, "x");
	}
	assert_true(world_wait(&world, &hearers[MANY - 1].heard, SOON_MS));
	world_steps(&world, 3);
	for (int i = 0; i < MANY; i++) {
		assert_int_equal(hearers[i].calls, 1);
		zkh_watch_remove(&hearers[i].watch);
	}
	world_finish(&world);
}

/* Destroyed with subscriptions left: they are let go, their owner may remove them later. */
static void test_watch_outlives(void **state)
{
	struct hearer hearer;
	struct world world = world_rooted();

	plant(&world, "/a", "");
	world_open(&world);
	listen_to(&world, &hearer, "/a");
	arm_get(&world, "/a", ZKH_OK);
	world.session = zkh_session_destroy(world.session);
	fake_zk_set(FULL("/a"), "1");
	world_steps(&world, 3);
	assert_int_equal(hearer.calls, 0);
	zkh_watch_remove(&hearer.watch);
	world_finish(&world);
}

static void test_make_root(void **state)
{
	struct answer answer = { 0 };
	struct zkh_session_config config;
	struct world world;

	world_init(&world, "/");
	world.root = "/deep/root/key";
	config = world_config(&world);
	assert_int_equal(zkh_session_create(world.loop, &config, &world.session), 0);
	assert_true(world_wait_connected(&world));
	assert_int_equal(zkh_make_root(world.session, on_done, &answer, NULL), 0);
	wait_for(&world, &answer);
	assert_int_equal(answer.result, ZKH_OK);
	assert_string_equal(fake_zk_dump(), "/deep=\n/deep/root=\n/deep/root/key=\n");
	answer.done = false;
	assert_int_equal(zkh_make_root(world.session, on_done, &answer, NULL), 0);
	wait_for(&world, &answer);
	assert_int_equal(answer.result, ZKH_OK);
	world_finish(&world);
	answer.done = false;
	world_init(&world, "/");
	world_open(&world);
	assert_int_equal(zkh_make_root(world.session, on_done, &answer, NULL), 0);
	wait_for(&world, &answer);
	assert_int_equal(answer.result, ZKH_OK);
	assert_int_equal(fake_zk_counts().multis, 0);
	world_finish(&world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_get),
		cmocka_unit_test(test_exists_and_children),
		cmocka_unit_test(test_invalid_paths),
		cmocka_unit_test(test_not_connected),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_cancel_inside),
		cmocka_unit_test(test_txn),
		cmocka_unit_test(test_txn_failures),
		cmocka_unit_test(test_txn_bounds),
		cmocka_unit_test(test_watch),
		cmocka_unit_test(test_watch_life),
		cmocka_unit_test(test_watch_root),
		cmocka_unit_test(test_watch_several),
		cmocka_unit_test(test_watch_before_reply),
		cmocka_unit_test(test_watch_reconnect),
		cmocka_unit_test(test_watch_many),
		cmocka_unit_test(test_watch_outlives),
		cmocka_unit_test(test_make_root),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
