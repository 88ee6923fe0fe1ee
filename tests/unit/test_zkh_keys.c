/* SPDX-License-Identifier: Apache-2.0 */

/* Write, delete, rename, tree: what they do, and what they leave alone. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test_zkh_common.h"
#include "zk/tree/zkh_keys.h"

#define SOON_MS 3000
#define FULL(path) "/its/root" path
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct answer {
	bool done;
	unsigned calls;
	int result;
	char path[ZKH_PATH_MAX];
	char tree[1024]; /* "PATH=DATA;..." */
	size_t count;
	struct zkh_task *task;
	size_t deleted;
};

static void on_task(void *userdata, int result, const char *path)
{
	struct answer *answer = userdata;

	answer->done = true;
	answer->calls++;
	answer->result = result;
	answer->deleted = zkh_task_deleted(answer->task);
	snprintf(answer->path, sizeof(answer->path), "%s", path);
}

static void on_tree(void *userdata, int result, const struct zkh_entry *entries, size_t count)
{
	struct answer *answer = userdata;
	size_t used = 0;

	answer->done = true;
	answer->calls++;
	answer->result = result;
	answer->count = count;
	for (size_t i = 0; i < count && count < 20; i++) {
		assert_true(entries[i].denied == (entries[i].data == NULL));
		if (!entries[i].denied)
			assert_int_equal(entries[i].length, strlen(entries[i].data));
		if (!entries[i].denied)
			assert_int_equal(entries[i].length, entries[i].stat.data_length);
		used += (size_t)snprintf(answer->tree + used, sizeof(answer->tree) - used, "%s=%s;",
					 entries[i].path,
					 entries[i].denied ? "?" : entries[i].data);
	}
}

static struct answer wait_answer(struct world *world, struct answer *answer)
{
	struct answer got;

	assert_true(world_wait(world, &answer->done, SOON_MS));
	assert_int_equal(answer->calls, 1);
	got = *answer;
	*answer = (struct answer){ 0 };
	return got;
}

static struct world begin(void)
{
	struct world world;

	world_init(&world, "/its/root");
	return world;
}

static struct answer write_keys(struct world *world, const struct zkh_pair *pairs, size_t count)
{
	struct answer answer = { 0 };
	struct zkh_task *task;
	int r = zkh_write(world->session, pairs, count, on_task, &answer, &task);

	if (r != 0)
		return (struct answer){ .result = r };
	return wait_answer(world, &answer);
}

static struct answer delete_key(struct world *world, const char *path, bool recursive)
{
	struct answer answer = { 0 };
	int r = zkh_delete(world->session, path, recursive, on_task, &answer, &answer.task);

	if (r != 0)
		return (struct answer){ .result = r };
	return wait_answer(world, &answer);
}

static struct answer rename_keys(struct world *world, const struct zkh_move *moves, size_t count)
{
	struct answer answer = { 0 };
	struct zkh_task *task;
	int r = zkh_rename(world->session, moves, count, on_task, &answer, &task);

	if (r != 0)
		return (struct answer){ .result = r };
	return wait_answer(world, &answer);
}

static struct answer rename_key(struct world *world, const char *from, const char *to)
{
	return rename_keys(world, &(struct zkh_move){ from, to }, 1);
}

static struct answer read_tree(struct world *world, const char *path, size_t limit)
{
	struct answer answer = { 0 };
	struct zkh_task *task;
	int r = zkh_tree(world->session, path, limit, on_tree, &answer, &task);

	if (r != 0)
		return (struct answer){ .result = r };
	return wait_answer(world, &answer);
}

static void assert_answer(struct answer answer, int result, const char *path)
{
	assert_string_equal(zkh_result_text(answer.result), zkh_result_text(result));
	assert_string_equal(answer.path, path);
}

/* The stranger's deeds at a request, for the hook. */
struct deed {
	enum { DEED_SET, DEED_CREATE, DEED_DELETE } what;
	const char *path;
};

static void do_deed(void *userdata, zhandle_t *handle)
{
	const struct deed *deed = userdata;
	int r = ZOK;

	switch (deed->what) {
	case DEED_SET:
		r = fake_zk_set(deed->path, "stranger");
		break;
	case DEED_CREATE:
		r = fake_zk_create(deed->path, "stranger", 0);
		break;
	case DEED_DELETE:
		r = fake_zk_delete(deed->path);
		break;
	}
	assert_int_equal(r, ZOK);
}

/* ---- Write ---- */

static void test_write(void **state)
{
	static const struct zkh_pair pairs[] = {
		{ .path = "/z", .data = "last", .length = 4 },
		{ .path = "/a/b/c", .data = "deep", .length = 4 },
		{ .path = "/a/b", .data = "middle", .length = 6 },
		{ .path = "/old", .data = "new", .length = 3 },
		{ .path = "/a/d/e/f", .data = "", .length = 0 },
	};
	struct world world = begin();
	struct Stat stat;

	plant(&world, "/old", "old");
	plant(&world, "/bystander", "");
	world_open(&world);
	assert_answer(write_keys(&world, pairs, COUNT(pairs)), ZKH_OK, "");
	assert_string_equal(fake_zk_dump(),
			    "/its=\n/its/root=\n/its/root/a=\n/its/root/a/b=middle\n"
			    "/its/root/a/b/c=deep\n/its/root/a/d=\n/its/root/a/d/e=\n"
			    "/its/root/a/d/e/f=\n/its/root/bystander=\n/its/root/old=new\n"
			    "/its/root/z=last\n");
	assert_int_equal(fake_zk_counts().multis, 1);
	assert_true(fake_zk_stat(FULL("/old"), &stat));
	assert_int_equal(stat.version, 1);
	assert_int_equal(stat.ephemeralOwner, 0);
	/* Again: everything is set now. */
	assert_answer(write_keys(&world, pairs, COUNT(pairs)), ZKH_OK, "");
	assert_true(fake_zk_stat(FULL("/a/d"), &stat));
	assert_int_equal(stat.version, 0);
	assert_true(fake_zk_stat(FULL("/z"), &stat));
	assert_int_equal(stat.version, 1);
	world_finish(&world);
}

static void test_write_versioned(void **state)
{
	static const struct {
		struct zkh_pair pair;
		int result;
	} cases[] = {
		{ { .path = "/k", .versioned = true, .version = 1 }, ZKH_OK },
		{ { .path = "/k", .versioned = true, .version = 0 }, ZKH_CONFLICT },
		{ { .path = "/k", .versioned = true, .version = 2 }, ZKH_OK },
		{ { .path = "/k", .versioned = true, .version = -1 }, ZKH_NODE_EXISTS },
		{ { .path = "/none", .versioned = true, .version = 0 }, ZKH_NO_NODE },
		{ { .path = "/none", .versioned = true, .version = -1 }, ZKH_OK },
		{ { .path = "/none", .versioned = true, .version = -1 }, ZKH_NODE_EXISTS },
	};
	struct world world = begin();

	plant(&world, "/k", "");
	fake_zk_set(FULL("/k"), "version 1");
	plant(&world, "/other", "");
	world_open(&world);
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct zkh_pair pairs[] = { { .path = "/other", .data = "x", .length = 1 },
					    cases[i].pair };
		char *before = strdup(fake_zk_dump_stats());
		struct answer answer = write_keys(&world, pairs, 2);

		assert_answer(answer, cases[i].result,
			      cases[i].result == ZKH_OK ? "" : cases[i].pair.path);
		if (cases[i].result != ZKH_OK)
			assert_string_equal(fake_zk_dump_stats(), before);
		free(before);
	}
	world_finish(&world);
}

static void test_write_refused(void **state)
{
	static char big[ZKH_DATA_MAX + 1];
	static const struct zkh_pair twice[] = { { .path = "/a" },
						 { .path = "/b" },
						 { .path = "/a" } };
	static const struct zkh_pair invalid[] = { { .path = "/a" }, { .path = "/b/" } };
	static const struct zkh_pair large[] = {
		{ .path = "/a", .data = big, .length = ZKH_DATA_MAX + 1 }
	};
	static const struct zkh_pair larger[] = {
		{ .path = "/a", .data = big, .length = ZKH_DATA_MAX },
		{ .path = "/b", .data = big, .length = ZKH_DATA_MAX },
	};
	static const struct zkh_pair below_ephemeral[] = { { .path = "/e/x/y" } };
	struct world world = begin();
	char *before;
	int r;

	fake_zk_create(FULL("/e"), "", 0x77);
	world_open(&world);
	before = strdup(fake_zk_dump_stats());
	assert_int_equal(write_keys(&world, twice, 3).result, ZKH_INVALID);
	assert_int_equal(write_keys(&world, invalid, 2).result, ZKH_INVALID);
	assert_int_equal(write_keys(&world, NULL, 0).result, ZKH_INVALID);
	r = write_keys(&world, large, 1).result;
	assert_true(r == ZKH_INVALID || r == ZKH_TOO_LARGE);
	assert_int_equal(write_keys(&world, larger, 2).result, ZKH_TOO_LARGE);
	assert_int_equal(write_keys(&world, below_ephemeral, 1).result, ZKH_EPHEMERAL);
	assert_string_equal(fake_zk_dump_stats(), before);
	free(before);
	world_finish(&world);
}

/* Between the reading and the transaction somebody was there: nothing is written, and the key is named. */
static void test_write_conflict(void **state)
{
	static const struct {
		struct deed deed;
		int result;
		const char *path;
	} cases[] = {
		{ { DEED_SET, FULL("/a") }, ZKH_CONFLICT, "/a" },
		{ { DEED_DELETE, FULL("/a") }, ZKH_NO_NODE, "/a" },
		{ { DEED_CREATE, FULL("/n/m") }, ZKH_NODE_EXISTS, "/n" },
		{ { DEED_DELETE, FULL("/p") }, ZKH_NO_NODE, "/p/q" },
		{ { DEED_CREATE, FULL("/p/q") }, ZKH_NODE_EXISTS, "/p/q" },
	};
	static const struct zkh_pair pairs[] = {
		{ .path = "/a", .data = "1", .length = 1 },
		{ .path = "/n/m", .data = "2", .length = 1 },
		{ .path = "/p/q", .data = "3", .length = 1 },
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct deed deed = cases[i].deed;
		struct world world = begin();
		struct answer answer = { 0 };
		struct zkh_task *task;
		unsigned reads;

		plant(&world, "/a", "");
		plant(&world, "/p", "");
		world_open(&world);
		assert_int_equal(zkh_write(world.session, pairs, 3, on_task, &answer, &task), 0);
		reads = fake_zk_counts()
				.requests; /* sent in one flush: the next is the transaction */
		assert_true(reads >= 3);
		fake_zk_before(1, do_deed, &deed);
		assert_answer(wait_answer(&world, &answer), cases[i].result, cases[i].path);
		assert_int_equal(fake_zk_counts().requests, reads + 1);
		assert_true(!fake_zk_data(FULL("/a")) ||
			    strcmp(fake_zk_data(FULL("/a")), "1") != 0);
		world_finish(&world);
	}
}

/* ---- Delete ---- */

static void test_delete(void **state)
{
	struct world world = begin();

	plant(&world, "/a/b/c", "");
	plant(&world, "/a/d", "");
	plant(&world, "/ab", "");
	plant(&world, "/e", "");
	world_open(&world);
	assert_answer(delete_key(&world, "/a", false), ZKH_NOT_EMPTY, "/a");
	assert_answer(delete_key(&world, "/e", false), ZKH_OK, "");
	assert_int_equal(delete_key(&world, "/e", false).result, ZKH_NO_NODE);
	assert_int_equal(delete_key(&world, "/e", true).result, ZKH_NO_NODE);
	assert_int_equal(delete_key(&world, "/", true).result, ZKH_INVALID);
	assert_int_equal(delete_key(&world, "/", false).result, ZKH_INVALID);
	assert_int_equal(delete_key(&world, "a", false).result, ZKH_INVALID);
	assert_answer(delete_key(&world, "/a", true), ZKH_OK, "");
	assert_string_equal(fake_zk_dump(), "/its=\n/its/root=\n/its/root/ab=\n");
	world_finish(&world);
}

static void test_delete_under_change(void **state)
{
	static const struct deed deeds[] = {
		{ DEED_SET, FULL("/a/b") },
		{ DEED_CREATE, FULL("/a/b/new") },
		{ DEED_CREATE, FULL("/a/other/deep") },
		{ DEED_DELETE, FULL("/a/b/c") },
	};

	/* At each request, the transaction too: in the end all is gone. */
	for (size_t i = 0; i < COUNT(deeds); i++) {
		for (unsigned k = 1; k <= 7; k++) {
			struct deed deed = deeds[i];
			struct world world = begin();

			plant(&world, "/a/b/c", "");
			world_open(&world);
			fake_zk_before(k, do_deed, &deed);
			assert_answer(delete_key(&world, "/a", true), ZKH_OK, "");
			if (k == 4 && fake_zk_unplan() == 0) /* three reads, then the transaction */
				assert_int_equal(fake_zk_counts().multis, 2);
			fake_zk_unplan();
			assert_string_equal(fake_zk_dump(), "/its=\n/its/root=\n");
			world_finish(&world);
		}
	}
}

/* Somebody who never stops replacing a child: an error, not for ever. */
static void fill_in(void *userdata, zhandle_t *handle)
{
	static unsigned number;
	char path[64];

	snprintf(path, sizeof(path), FULL("/a/%u"), number++);
	fake_zk_delete(path);
	snprintf(path, sizeof(path), FULL("/a/%u"), number);
	fake_zk_create(path, "", 0);
	fake_zk_before(1, fill_in, NULL);
}

static void test_delete_in_vain(void **state)
{
	struct world world = begin();
	struct answer answer;

	plant(&world, "/a/b", "");
	world_open(&world);
	fake_zk_before(1, fill_in, NULL);
	answer = delete_key(&world, "/a", true);
	assert_int_equal(fake_zk_unplan(), 1);
	assert_true(answer.result == ZKH_NOT_EMPTY || answer.result == ZKH_CONFLICT);
	assert_in_range(fake_zk_counts().multis, 2, 100);
	assert_non_null(fake_zk_data(FULL("/a/b")));
	world_finish(&world);
}

static void plant_many(struct world *world, const char *parent, unsigned count)
{
	char path[128];

	plant(world, parent, "");
	for (unsigned i = 0; i < count; i++) {
		snprintf(path, sizeof(path), "%s/%05u", parent, i);
		plant(world, path, "");
	}
}

static void protect(void *userdata, zhandle_t *handle)
{
	fake_zk_protect(userdata, "them:secret");
}

static void test_delete_large(void **state)
{
	struct world world = begin();

	plant_many(&world, "/many", 5200);
	world_open(&world);
	fake_zk_pace(false);
	assert_answer(delete_key(&world, "/many", true), ZKH_OK, "");
	assert_string_equal(fake_zk_dump(), "/its=\n/its/root=\n");
	assert_in_range(fake_zk_counts().multis, 2, 10);
	world_finish(&world);
}

/* Of several transactions a later one is refused: how many keys are gone is told. */
static void test_delete_half(void **state)
{
	struct world world = begin();
	struct answer answer;

	plant(&world, "/t/locked/below", "");
	plant_many(&world, "/t/many/deep", 5200);
	world_open(&world);
	fake_zk_pace(false);
	/* Not readable would be refused before: it becomes so after the reads, five thousand and six of them. */
	fake_zk_before(5206, protect, (void *)(uintptr_t)FULL("/t/locked"));
	answer = delete_key(&world, "/t", true);
	assert_answer(answer, ZKH_DENIED, "/t/locked");
	assert_int_equal(answer.deleted, 5000);
	assert_non_null(fake_zk_data(FULL("/t/locked/below")));
	world_finish(&world);

	/* Or the connection is lost with the third under way: two are certain. */
	world = begin();
	plant_many(&world, "/t", 5200);
	world_open(&world);
	fake_zk_pace(false);
	fake_zk_fail(5201 + 3, FAKE_ZK_LOST_AFTER);
	answer = delete_key(&world, "/t", true);
	assert_int_equal(answer.result, ZKH_UNKNOWN);
	assert_int_equal(answer.deleted, 2000);
	world_finish(&world);
}

/* ---- Rename ---- */

static void test_rename(void **state)
{
	struct world world = begin();

	plant(&world, "/node1", "top");
	plant(&world, "/node1/sub/node1", "inner");
	fake_zk_set(FULL("/node1/sub"), "middle");
	plant(&world, "/node10", "a longer name");
	plant(&world, "/x/node1", "elsewhere");
	world_open(&world);
	assert_answer(rename_key(&world, "/node1", "/node2"), ZKH_OK, "");
	assert_string_equal(fake_zk_dump(), "/its=\n/its/root=\n/its/root/node10=a longer name\n"
					    "/its/root/node2=top\n/its/root/node2/sub=middle\n"
					    "/its/root/node2/sub/node1=inner\n/its/root/x=\n"
					    "/its/root/x/node1=elsewhere\n");
	assert_int_equal(fake_zk_counts().multis, 1);
	/* Below another key, and to a name that begins with the old one. */
	assert_answer(rename_key(&world, "/node2", "/x/node2"), ZKH_OK, "");
	assert_answer(rename_key(&world, "/x/node1", "/x/node11"), ZKH_OK, "");
	assert_string_equal(fake_zk_data(FULL("/x/node2/sub/node1")), "inner");
	assert_string_equal(fake_zk_data(FULL("/x/node11")), "elsewhere");
	world_finish(&world);
}

static void test_rename_refused(void **state)
{
	static const struct {
		const char *from, *to;
		int result;
		const char *path;
	} cases[] = {
		{ "/a", "/a", ZKH_INVALID, "" },
		{ "/a", "/a/b/c", ZKH_INVALID, "" },
		{ "/", "/z", ZKH_INVALID, "" },
		{ "/a", "/", ZKH_INVALID, "" },
		{ "/a/", "/z", ZKH_INVALID, "" },
		{ "/a", "z", ZKH_INVALID, "" },
		{ "/none", "/z", ZKH_NO_NODE, "/none" },
		{ "/none", "/new/z", ZKH_NO_NODE, "/none" },
		{ "/a", "/e/f/g/z", ZKH_EPHEMERAL, "/e/f/g" },
		{ "/a", "/t", ZKH_NODE_EXISTS, "/t" },
		{ "/a/b", "/a", ZKH_NODE_EXISTS, "/a" },
		{ "/e", "/z", ZKH_EPHEMERAL, "/e/f" },
		{ "/many", "/z", ZKH_TOO_LARGE, NULL },
	};
	struct world world = begin();
	char *before;

	plant(&world, "/a/b", "");
	plant(&world, "/t", "");
	plant(&world, "/e", "");
	fake_zk_create(FULL("/e/f"), "", 0x77);
	plant_many(&world, "/many", 2600);
	world_open(&world);
	fake_zk_pace(false);
	before = strdup(fake_zk_dump_stats());
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct answer answer = rename_key(&world, cases[i].from, cases[i].to);

		assert_answer(answer, cases[i].result, cases[i].path ? cases[i].path : answer.path);
		assert_string_equal(fake_zk_dump_stats(), before);
	}
	free(before);
	world_finish(&world);
}

/* 2,500 keys are 5,000 operations: just within. */
static void test_rename_large(void **state)
{
	struct world world = begin();

	plant_many(&world, "/many", 2499);
	world_open(&world);
	fake_zk_pace(false);
	assert_answer(rename_key(&world, "/many", "/more"), ZKH_OK, "");
	assert_null(fake_zk_data(FULL("/many")));
	assert_non_null(fake_zk_data(FULL("/more/02498")));
	world_finish(&world);
}

/* Several at once, with the parents that are missing, in one transaction. */
static void test_rename_several(void **state)
{
	static const struct zkh_move good[] = { { "/a", "/new/deep/a" },
						{ "/b/c", "/new/c" },
						{ "/d", "/b/d" } };
	static const struct {
		struct zkh_move moves[2];
		int result;
		const char *path;
	} bad[] = {
		{ { { "/a", "/x" }, { "/b", "/x" } }, ZKH_INVALID, "" },
		{ { { "/a", "/x" }, { "/a", "/y" } }, ZKH_INVALID, "" },
		{ { { "/b", "/x" }, { "/b/c", "/y" } }, ZKH_INVALID, "" },
		{ { { "/a", "/x" }, { "/b", "/x/y" } }, ZKH_INVALID, "" },
		{ { { "/a", "/d/a" }, { "/d", "/x" } }, ZKH_INVALID, "" },
		{ { { "/a", "/d" }, { "/d", "/a" } }, ZKH_INVALID, "" },
		{ { { "/a", "/new/a" }, { "/d", "/b/c" } }, ZKH_NODE_EXISTS, "/b/c" },
		{ { { "/a", "/new/a" }, { "/none", "/x" } }, ZKH_NO_NODE, "/none" },
	};
	struct world world = begin();
	unsigned multis;
	char *before;

	plant(&world, "/a/x", "1");
	plant(&world, "/b/c", "2");
	plant(&world, "/d", "3");
	world_open(&world);
	before = strdup(fake_zk_dump_stats());
	for (size_t i = 0; i < COUNT(bad); i++) {
		assert_answer(rename_keys(&world, bad[i].moves, 2), bad[i].result, bad[i].path);
		assert_string_equal(fake_zk_dump_stats(), before);
	}
	free(before);
	multis = fake_zk_counts().multis;
	assert_answer(rename_keys(&world, good, COUNT(good)), ZKH_OK, "");
	assert_int_equal(fake_zk_counts().multis, multis + 1);
	assert_string_equal(fake_zk_dump(), "/its=\n/its/root=\n/its/root/b=\n/its/root/b/d=3\n"
					    "/its/root/new=\n/its/root/new/c=2\n"
					    "/its/root/new/deep=\n/its/root/new/deep/a=\n"
					    "/its/root/new/deep/a/x=1\n");
	world_finish(&world);
}

/* A parent that comes or goes between the reads and the transaction. */
static void test_rename_parents_under_change(void **state)
{
	static const struct {
		struct deed deed;
		const char *to;
		int result;
		const char *path;
	} cases[] = {
		{ { DEED_CREATE, FULL("/new") }, "/new/z", ZKH_CONFLICT, "/new" },
		{ { DEED_DELETE, FULL("/p") }, "/p/z", ZKH_NO_NODE, "/p" },
		{ { DEED_DELETE, FULL("/p") }, "/p/new/z", ZKH_NO_NODE, "/p" },
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct deed deed = cases[i].deed;
		struct world world = begin();
		bool deeper = strlen(cases[i].to) > strlen("/new/z");

		plant(&world, "/a", "");
		plant(&world, "/p", "");
		world_open(&world);
		/* sync, get, parents, list, transaction */
		fake_zk_before(deeper ? 6 : 5, do_deed, &deed);
		assert_answer(rename_key(&world, "/a", cases[i].to), cases[i].result,
			      cases[i].path);
		assert_int_equal(fake_zk_unplan(), 0);
		assert_non_null(fake_zk_data(FULL("/a")));
		world_finish(&world);
	}
}

static void test_rename_conflict(void **state)
{
	static const struct {
		struct deed deed;
		int result;
		const char *path;
	} cases[] = {
		{ { DEED_SET, FULL("/a/b") }, ZKH_CONFLICT, "/a/b" },
		{ { DEED_SET, FULL("/a") }, ZKH_CONFLICT, "/a" },
		{ { DEED_CREATE, FULL("/a/c") }, ZKH_CONFLICT, "/a" },
		{ { DEED_DELETE, FULL("/a/b") }, ZKH_CONFLICT, "/a/b" },
		{ { DEED_CREATE, FULL("/z") }, ZKH_NODE_EXISTS, "/z" },
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct deed deed = cases[i].deed;
		struct world world = begin();
		char *before;

		plant(&world, "/a/b", "");
		world_open(&world);
		/* sync, get, list, children, get, list, transaction */
		fake_zk_before(7, do_deed, &deed);
		before = strdup(fake_zk_dump());
		assert_answer(rename_key(&world, "/a", "/z"), cases[i].result, cases[i].path);
		assert_int_equal(fake_zk_unplan(), 0);
		assert_string_not_equal(fake_zk_dump(), before); /* by the stranger alone: */
		assert_null(fake_zk_data(FULL("/z/b")));
		free(before);
		world_finish(&world);
	}
}

/* A session with a credential of its own; "super" may do everything. */
static void open_with(struct world *world, const char *credential)
{
	struct zkh_session_config config = world_config(world);

	config.auth[0].scheme = "digest";
	config.auth[0].credential = credential;
	assert_int_equal(zkh_session_create(world->loop, &config, &world->session), 0);
	assert_true(world_wait_event(world, ZKH_CONNECTED, 1));
}

/* Each key keeps its list: neither that of new keys is given, nor that of its parent. */
static void test_rename_access(void **state)
{
	struct world world = begin();

	plant(&world, "/a/mine/open", "");
	plant(&world, "/a/theirs", "");
	fake_zk_protect(FULL("/a/mine"), "us:secret");
	fake_zk_protect(FULL("/a/theirs"), "them:secret");
	open_with(&world, "super");
	assert_answer(rename_key(&world, "/a", "/z"), ZKH_OK, "");
	assert_null(fake_zk_data(FULL("/a")));
	assert_null(fake_zk_protected(FULL("/z")));
	assert_null(fake_zk_protected(FULL("/z/mine/open")));
	assert_string_equal(fake_zk_protected(FULL("/z/mine")), "us:secret");
	assert_string_equal(fake_zk_protected(FULL("/z/theirs")), "them:secret");
	assert_int_equal(fake_zk_counts().acls, 4);
	assert_int_equal(fake_zk_counts().syncs, 1); /* no list of yesterday */
	world_finish(&world);
}

/* A list that the server does not take, or does not show whole, is named; nothing is done. */
static void test_rename_access_refused(void **state)
{
	static const struct {
		const char *key, *credential;
		int result;
		const char *path;
	} cases[] = {
		{ FULL("/a/b"), "no colon", ZKH_ACL_REFUSED, "/a/b" },
		{ FULL("/a/b/c"), "no colon", ZKH_ACL_REFUSED, "/a/b/c" },
		{ FULL("/a/b"), "masked:x", ZKH_DENIED, "/a/b" },
		{ FULL("/a"), "masked:x", ZKH_DENIED, "/a" },
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct world world = begin();
		char *before;

		plant(&world, "/a/b/c", "");
		plant(&world, "/a/d", "");
		fake_zk_protect(cases[i].key, cases[i].credential);
		open_with(&world, "super");
		before = strdup(fake_zk_dump_stats());
		assert_answer(rename_key(&world, "/a", "/z"), cases[i].result, cases[i].path);
		assert_string_equal(fake_zk_dump_stats(), before);
		free(before);
		world_finish(&world);
	}
}

/* As many keys as go with short lists; with long ones the packet would be twice as large as it may be. */
static void test_rename_access_large(void **state)
{
	char path[64], credential[128] = "them:";
	struct world world = begin();

	memset(credential + 5, 'x', sizeof(credential) - 6);
	plant_many(&world, "/many", 2499);
	for (unsigned i = 0; i < 2499; i++) {
		snprintf(path, sizeof(path), FULL("/many/%05u"), i);
		fake_zk_protect(path, credential);
	}
	open_with(&world, "super");
	fake_zk_pace(false);
	assert_answer(rename_key(&world, "/many", "/more"), ZKH_TOO_LARGE, "/many");
	assert_int_equal(fake_zk_counts().multis, 0);
	world_finish(&world);
}

/* ---- Tree ---- */

static void test_tree(void **state)
{
	struct world world = begin();
	struct answer answer;

	plant(&world, "/t", "0");
	plant(&world, "/t/b", "2");
	plant(&world, "/t/a/x", "1x");
	plant(&world, "/t/a-", "3");
	plant(&world, "/t/c", NULL);
	plant(&world, "/tt", "not it");
	world_open(&world);
	answer = read_tree(&world, "/t", 6);
	assert_int_equal(answer.result, ZKH_OK);
	assert_string_equal(answer.tree, "/t=0;/t/a=;/t/a/x=1x;/t/a-=3;/t/b=2;/t/c=;");
	answer = read_tree(&world, "/t", 5);
	assert_int_equal(answer.result, ZKH_TOO_LARGE);
	assert_int_equal(answer.count, 0);
	assert_int_equal(read_tree(&world, "/none", 5).result, ZKH_NO_NODE);
	assert_int_equal(read_tree(&world, "none", 5).result, ZKH_INVALID);
	answer = read_tree(&world, "/", 100);
	assert_int_equal(answer.result, ZKH_OK);
	assert_int_equal(answer.count, 8);
	assert_memory_equal(answer.tree, "/=;/t=0;", 8);
	world_finish(&world);
}

/* A key that goes while the others are read is left out; the one asked for is missing. */
static void test_tree_under_change(void **state)
{
	struct deed inner = { DEED_DELETE, FULL("/t/a/x") };

	for (unsigned k = 1; k <= 8; k++) {
		struct world world = begin();
		struct answer answer;

		plant(&world, "/t/a/x", "");
		plant(&world, "/t/b", "");
		world_open(&world);
		fake_zk_before(k, do_deed, &inner);
		answer = read_tree(&world, "/t", 100);
		fake_zk_unplan();
		assert_int_equal(answer.result, ZKH_OK);
		assert_in_range(answer.count, 3, 4);
		world_finish(&world);
	}
}

/* One that may not be read, and goes before it is looked whether it is there. */
static void test_tree_denied_and_gone(void **state)
{
	struct deed deed = { DEED_DELETE, FULL("/a/secret") };
	unsigned seen = 0;

	for (unsigned k = 1; k <= 8; k++) {
		struct world world = begin();
		struct answer answer;

		plant(&world, "/a/secret", "");
		plant(&world, "/b", "");
		world_open(&world);
		fake_zk_protect(FULL("/a/secret"), "user:secret");
		fake_zk_before(k, do_deed, &deed);
		answer = read_tree(&world, "/", 100);
		fake_zk_unplan();
		assert_int_equal(answer.result, ZKH_OK);
		seen |= strstr(answer.tree, "/a/secret=?;") ? 1 : 2;
		assert_non_null(strstr(answer.tree, "/b=;"));
		world_finish(&world);
	}
	assert_int_equal(seen, 3);
}

static void test_denied(void **state)
{
	static const struct zkh_pair pair = { .path = "/a/secret", .data = "x", .length = 1 };
	struct world world = begin();
	struct answer answer;
	char *before;

	plant(&world, "/a/secret/below", "");
	plant(&world, "/other", "");
	world_open(&world);
	fake_zk_protect(FULL("/a/secret"), "user:secret");
	before = strdup(fake_zk_dump_stats());
	assert_answer(write_keys(&world, &pair, 1), ZKH_DENIED, "/a/secret");
	/* What may not be read hides what is below it, and nothing else; unless it is what was asked for. */
	answer = read_tree(&world, "/", 10);
	assert_int_equal(answer.result, ZKH_OK);
	assert_string_equal(answer.tree, "/=;/a=;/a/secret=?;/other=;");
	assert_int_equal(read_tree(&world, "/a/secret", 10).result, ZKH_DENIED);
	assert_answer(rename_key(&world, "/a", "/b"), ZKH_DENIED, "/a/secret");
	assert_answer(delete_key(&world, "/a", true), ZKH_DENIED, "/a/secret");
	/* To make or to delete a key is a matter of its parent's list. */
	assert_answer(rename_key(&world, "/other", "/a/secret/x"), ZKH_DENIED, "/a/secret");
	assert_answer(delete_key(&world, "/a/secret/below", false), ZKH_DENIED, "/a/secret");
	assert_string_equal(fake_zk_dump_stats(), before);
	free(before);
	world_finish(&world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_write),
		cmocka_unit_test(test_write_versioned),
		cmocka_unit_test(test_write_refused),
		cmocka_unit_test(test_write_conflict),
		cmocka_unit_test(test_delete),
		cmocka_unit_test(test_delete_under_change),
		cmocka_unit_test(test_delete_in_vain),
		cmocka_unit_test(test_delete_large),
		cmocka_unit_test(test_rename),
		cmocka_unit_test(test_rename_refused),
		cmocka_unit_test(test_rename_large),
		cmocka_unit_test(test_rename_several),
		cmocka_unit_test(test_rename_parents_under_change),
		cmocka_unit_test(test_rename_conflict),
		cmocka_unit_test(test_tree),
		cmocka_unit_test(test_tree_under_change),
		cmocka_unit_test(test_tree_denied_and_gone),
		cmocka_unit_test(test_denied),
		cmocka_unit_test(test_rename_access),
		cmocka_unit_test(test_delete_half),
		cmocka_unit_test(test_rename_access_refused),
		cmocka_unit_test(test_rename_access_large),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
