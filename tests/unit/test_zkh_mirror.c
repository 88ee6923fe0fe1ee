/* SPDX-License-Identifier: Apache-2.0 */

/* Mirrors: what they tell of one key, or of a key's children, and what they cost. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test_zkh_common.h"
#include "zk/mirror/zkh_mirror.h"

#define FULL(path) "/its/root" path
#define LATE_MS 3000 /* beyond the first pause after a refusal */
#define TOLD_MAX 64
#define MANY 1000

struct owner {
	struct world *world;
	struct zkh_mirror mirror;
	/* What was told, one after the other: "=VALUE", "-" missing, "?" changed, "!CODE" refused, "!CODE+" and it is there. */
	char told[1024];
	unsigned count;
	size_t children;
	bool over; /* told something other than a change */
	bool closes, destroys;
};

static void note(struct owner *owner, int result, const char *text, const struct zkh_stat *stat)
{
	size_t n = strlen(owner->told);

	assert_true(owner->world->turning);
	owner->count++;
	owner->over = result != ZKH_UNKNOWN;
	if (result == ZKH_OK)
		snprintf(owner->told + n, sizeof(owner->told) - n, "=%s", text);
	else if (result == ZKH_NO_NODE || result == ZKH_UNKNOWN)
		snprintf(owner->told + n, sizeof(owner->told) - n, "%s",
			 result == ZKH_UNKNOWN ? "?" : "-");
	else
		snprintf(owner->told + n, sizeof(owner->told) - n, "!%d%s", result,
			 stat ? "+" : "");
	assert_true(result != ZKH_OK || stat);
	assert_true((result != ZKH_NO_NODE && result != ZKH_UNKNOWN) || !stat);
	if (owner->closes)
		zkh_mirror_close(&owner->mirror);
	if (owner->destroys)
		owner->world->session = zkh_session_destroy(owner->world->session);
}

static void on_key(void *userdata, int result, const char *data, size_t length,
		   const struct zkh_stat *stat)
{
	assert_true(result != ZKH_OK || (data[length] == 0 && strlen(data) == length));
	assert_true(result == ZKH_OK || (!data && !length));
	note(userdata, result, data, stat);
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void on_children(void *userdata, int result, const char *const *names, size_t count,
			const struct zkh_stat *stat)
{
	struct owner *owner = userdata;
	const char *sorted[MANY];
	char text[64] = "";

	assert_true(count <= MANY && (result == ZKH_OK || (!names && !count)));
	for (size_t i = 0; i < count; i++)
		sorted[i] = names[i];
	qsort(sorted, count, sizeof(*sorted), compare_names);
	for (size_t i = 0; i < count && i < 4; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s", sorted[i]);
	owner->children = count;
	note(owner, result, text, stat);
}

static struct world world_rooted(void)
{
	struct world world;

	world_init(&world, "/its/root");
	return world;
}

static void open_key(struct world *world, struct owner *owner, const char *path, unsigned flags)
{
	*owner = (struct owner){ .world = world };
	assert_int_equal(zkh_mirror_open(&owner->mirror, world->session, path, flags, on_key,
					 owner),
			 0);
	assert_true(zkh_mirror_is_open(&owner->mirror));
	assert_false(zkh_mirror_is_current(&owner->mirror));
	assert_string_equal(zkh_mirror_path(&owner->mirror), path);
}

/* Everything that is told until nothing is asked any more. */
static void tells(struct world *world, struct owner *owner, const char *told)
{
	world_settle(world);
	world_steps(world, 3);
	assert_string_equal(owner->told, told);
	owner->told[0] = 0;
}

/* Waits for what comes after a pause. */
static void tells_late(struct world *world, struct owner *owner, const char *told)
{
	owner->over = false;
	assert_true(world_wait(world, &owner->over, LATE_MS));
	tells(world, owner, told);
}

static unsigned requests(void)
{
	static unsigned before;
	unsigned now = fake_zk_counts().requests, since = now - before;

	before = now;
	return since;
}

static void finish(struct world *world, struct owner *owner)
{
	zkh_mirror_close(&owner->mirror);
	zkh_mirror_close(&owner->mirror);
	assert_false(zkh_mirror_is_open(&owner->mirror));
	if (world->session)
		assert_int_equal(zkh_mirrors_unread(world->session), 0);
	world_finish(world);
}

static void test_follows(void **state)
{
	struct owner owner;
	struct world world = world_rooted();

	plant(&world, "/a", "1");
	world_open(&world);
	requests();
	open_key(&world, &owner, "/a", 0);
	assert_int_equal(zkh_mirrors_unread(world.session), 1);
	tells(&world, &owner, "=1");
	assert_true(zkh_mirror_is_current(&owner.mirror));
	assert_int_equal(zkh_mirrors_unread(world.session), 0);
	assert_int_equal(requests(), 1);
	fake_zk_set(FULL("/a"), "2");
	tells(&world, &owner, "?=2");
	assert_int_equal(requests(), 1);
	/* Children are not its business. */
	fake_zk_create(FULL("/a/child"), "", 0);
	tells(&world, &owner, "");
	assert_int_equal(requests(), 0);
	zkh_mirror_refresh(&owner.mirror);
	assert_false(zkh_mirror_is_current(&owner.mirror));
	tells(&world, &owner, "=2");
	/* Two changes before the news of the first one: one read. */
	fake_zk_set(FULL("/a"), "3");
	fake_zk_set(FULL("/a"), "4");
	tells(&world, &owner, "?=4");
	assert_int_equal(requests(), 2);
	zkh_mirror_close(&owner.mirror);
	fake_zk_set(FULL("/a"), "5");
	tells(&world, &owner, "");
	assert_int_equal(requests(), 0);
	finish(&world, &owner);
}

static void test_comes_and_goes(void **state)
{
	for (unsigned rare = 0; rare < 2; rare++) {
		struct owner owner;
		struct world world = world_rooted();

		world_open(&world);
		requests();
		open_key(&world, &owner, "/a", rare ? ZKH_MIRROR_RARE : 0);
		tells(&world, &owner, "-");
		assert_int_equal(requests(), rare ? 1 : 2);
		fake_zk_create(FULL("/a"), "1", 0);
		tells(&world, &owner, "?=1");
		assert_int_equal(requests(), 1);
		/* The news of a deletion tells all; one request arms the watch anew. */
		fake_zk_delete(FULL("/a"));
		owner.over = false;
		assert_true(world_wait(&world, &owner.over, LATE_MS));
		assert_true(zkh_mirror_is_current(&owner.mirror));
		tells(&world, &owner, "-");
		assert_int_equal(requests(), 1);
		/* Deleted and made again at once. */
		fake_zk_create(FULL("/a"), "2", 0);
		tells(&world, &owner, "?=2");
		fake_zk_delete(FULL("/a"));
		fake_zk_create(FULL("/a"), "3", 0);
		tells(&world, &owner, "-?=3");
		finish(&world, &owner);
	}
}

static void change(void *userdata, zhandle_t *handle)
{
	const char *value = userdata;

	if (!value)
		fake_zk_delete(FULL("/a"));
	else if (fake_zk_set(FULL("/a"), value) != ZOK)
		fake_zk_create(FULL("/a"), value, 0);
}

/* Whatever happens between its requests, the last value is told. */
static void test_changes_while_it_is_read(void **state)
{
	static char value[] = "new";
	char *const values[] = { value, NULL };

	for (unsigned there = 0; there < 2; there++) {
		for (unsigned k = 1; k <= 4; k++) {
			for (unsigned i = 0; i < 2; i++) {
				struct owner owner;
				struct world world = world_rooted();
				size_t n;

				if (there)
					plant(&world, "/a", "old");
				world_open(&world);
				fake_zk_before(k, change, values[i]);
				open_key(&world, &owner, "/a", 0);
				world_settle(&world);
				if (fake_zk_unplan())
					change(values[i], NULL);
				world_settle(&world);
				world_steps(&world, 3);
				n = strlen(owner.told);
				assert_true(zkh_mirror_is_current(&owner.mirror));
				if (values[i])
					assert_string_equal(owner.told + n - 4, "=new");
				else
					assert_int_equal(owner.told[n - 1], '-');
				finish(&world, &owner);
			}
		}
	}
}

/* What was told last is what the servers have. */
static bool is_true(const struct owner *owner)
{
	const char *data = fake_zk_data(FULL("/a"));
	char text[64] = "-";
	size_t n = strlen(owner->told), length;

	if (data)
		snprintf(text, sizeof(text), "=%s", data);
	length = strlen(text);
	return zkh_mirror_is_current(&owner->mirror) && n >= length &&
	       !strcmp(owner->told + n - length, text);
}

/* Whatever becomes of its requests. */
static void test_faults(void **state)
{
	char later[] = "later";

	for (unsigned way = 0; way < FAKE_ZK_WAY_COUNT; way++) {
		for (unsigned k = 1; k <= 4; k++) {
			struct owner owner;
			struct world world = world_rooted();
			struct zkh_session_config config = world_config(&world);
			int64_t end = world_now_ms() + LATE_MS;

			config.timeout_ms = 300; /* a server that hangs is given up soon */
			if (k % 2)
				plant(&world, "/a", "old");
			assert_int_equal(zkh_session_create(world.loop, &config, &world.session),
					 0);
			assert_true(world_wait_connected(&world));
			fake_zk_fail(k, (enum fake_zk_way)way);
			open_key(&world, &owner, "/a", ZKH_MIRROR_SYNCED);
			world_steps(&world, 10);
			change(later, NULL);
			world_steps(&world, 10);
			while (!is_true(&owner) && world_now_ms() < end)
				world_step(&world);
			fake_zk_unplan();
			if (!is_true(&owner))
				fail_msg("request %u: %s: told %s", k,
					 fake_zk_way_text((enum fake_zk_way)way), owner.told);
			finish(&world, &owner);
		}
	}
}

static void test_reconnects(void **state)
{
	struct owner kept, changed, deleted, created;
	struct world world = world_rooted();

	plant(&world, "/kept", "k");
	plant(&world, "/changed", "1");
	plant(&world, "/deleted", "d");
	world_open(&world);
	open_key(&world, &kept, "/kept", 0);
	open_key(&world, &changed, "/changed", 0);
	open_key(&world, &deleted, "/deleted", 0);
	open_key(&world, &created, "/created", 0);
	world_settle(&world);
	kept.told[0] = changed.told[0] = deleted.told[0] = created.told[0] = 0;
	fake_zk_disconnect(zkh_session_id(world.session));
	fake_zk_set(FULL("/changed"), "2");
	fake_zk_delete(FULL("/deleted"));
	fake_zk_create(FULL("/created"), "c", 0);
	assert_true(world_wait_event(&world, ZKH_DISCONNECTED, 1));
	assert_int_equal(zkh_mirrors_unread(world.session), 4);
	assert_true(world_wait_event(&world, ZKH_CONNECTED, 2));
	world_settle(&world);
	tells(&world, &kept, "=k");
	tells(&world, &changed, "=2");
	tells(&world, &deleted, "-");
	tells(&world, &created, "=c");
	/* In a new session as well. */
	fake_zk_expire(zkh_session_id(world.session));
	fake_zk_set(FULL("/changed"), "3");
	assert_true(world_wait_event(&world, ZKH_CONNECTED, 3));
	tells(&world, &changed, "=3");
	fake_zk_set(FULL("/changed"), "4");
	tells(&world, &changed, "?=4");
	/* Its read is lost under way. */
	fake_zk_fail(1, FAKE_ZK_LOST_BEFORE);
	fake_zk_set(FULL("/changed"), "5");
	assert_true(world_wait_event(&world, ZKH_CONNECTED, 4));
	tells(&world, &changed, "?=5");
	zkh_mirror_close(&kept.mirror);
	zkh_mirror_close(&deleted.mirror);
	zkh_mirror_close(&created.mirror);
	finish(&world, &changed);
}

static void test_order(void **state)
{
	struct owner first, second, plain;
	struct world world = world_rooted();

	plant(&world, "/a", "a");
	world_open(&world);
	requests();
	open_key(&world, &first, "/a", ZKH_MIRROR_SYNCED);
	open_key(&world, &second, "/a", ZKH_MIRROR_SYNCED);
	open_key(&world, &plain, "/a", 0);
	world_settle(&world);
	/* One sync for all. */
	assert_int_equal(fake_zk_counts().syncs, 1);
	assert_int_equal(requests(), 4);
	fake_zk_set(FULL("/a"), "b");
	world_settle(&world);
	assert_int_equal(fake_zk_counts().syncs, 1);
	requests();
	/* On a new connection the plain one goes ahead of it. */
	fake_zk_fail(2, FAKE_ZK_HANG_BEFORE);
	fake_zk_disconnect(zkh_session_id(world.session));
	first.over = second.over = plain.over = false;
	assert_true(world_wait(&world, &plain.over, LATE_MS));
	assert_false(first.over || second.over);
	fake_zk_disconnect(zkh_session_id(world.session));
	assert_true(world_wait(&world, &second.over, LATE_MS));
	assert_true(first.over);
	zkh_mirror_close(&first.mirror);
	zkh_mirror_close(&second.mirror);
	finish(&world, &plain);
}

static void test_refused(void **state)
{
	struct owner owner;
	struct world world = world_rooted();
	unsigned count;
	char told[16];

	plant(&world, "/a", "1");
	fake_zk_protect(FULL("/a"), "others");
	world_open(&world);
	open_key(&world, &owner, "/a", 0);
	snprintf(told, sizeof(told), "!%d+", ZKH_DENIED);
	tells(&world, &owner, told);
	assert_true(zkh_mirror_is_current(&owner.mirror));
	/* Tried again without another word, until it is allowed. */
	count = fake_zk_counts().gets;
	while (fake_zk_counts().gets < count + 1)
		world_step(&world);
	tells(&world, &owner, "");
	fake_zk_protect(FULL("/a"), NULL);
	tells_late(&world, &owner, "=1");
	/* It follows as before, and tells of a refusal as of one that is new. */
	fake_zk_protect(FULL("/a"), "others");
	fake_zk_set(FULL("/a"), "2");
	snprintf(told, sizeof(told), "?!%d+", ZKH_DENIED);
	tells(&world, &owner, told);
	/* What is to be seen of it changed. */
	fake_zk_set(FULL("/a"), "3");
	tells(&world, &owner, told);
	fake_zk_delete(FULL("/a"));
	tells(&world, &owner, "-");
	finish(&world, &owner);
}

static void test_refused_children(void **state)
{
	struct owner owner = { 0 };
	struct world world = world_rooted();
	char told[16];

	plant(&world, "/p/a", "");
	fake_zk_protect(FULL("/p"), "others");
	world_open(&world);
	owner.world = &world;
	assert_int_equal(zkh_mirror_open_children(&owner.mirror, world.session, "/p", 0,
						  on_children, &owner),
			 0);
	snprintf(told, sizeof(told), "!%d+", ZKH_DENIED);
	tells(&world, &owner, told);
	fake_zk_protect(FULL("/p"), NULL);
	tells_late(&world, &owner, "=a");
	finish(&world, &owner);
}

static void test_children(void **state)
{
	struct owner owner = { 0 };
	struct world world = world_rooted();

	world_open(&world);
	owner.world = &world;
	assert_int_equal(zkh_mirror_open_children(&owner.mirror, world.session, "/p", 0,
						  on_children, &owner),
			 0);
	tells(&world, &owner, "-");
	fake_zk_create(FULL("/p"), "", 0);
	tells(&world, &owner, "?=");
	fake_zk_create(FULL("/p/b"), "", 0);
	tells(&world, &owner, "?=b");
	fake_zk_create(FULL("/p/a"), "", 0);
	tells(&world, &owner, "?=ab");
	requests();
	fake_zk_set(FULL("/p"), "data are not its business");
	fake_zk_set(FULL("/p/a"), "nor those of a child");
	tells(&world, &owner, "");
	assert_int_equal(requests(), 0);
	fake_zk_delete(FULL("/p/a"));
	fake_zk_delete(FULL("/p/b"));
	tells(&world, &owner, "?=");
	fake_zk_delete(FULL("/p"));
	tells(&world, &owner, "-");
	finish(&world, &owner);
}

static void wait_until_read(struct world *world)
{
	for (int i = 0; i < 5000 && zkh_mirrors_unread(world->session) > 0; i++)
		world_step(world);
	assert_int_equal(zkh_mirrors_unread(world->session), 0);
}

static void test_many(void **state)
{
	static struct owner owners[MANY];
	struct owner list = { 0 };
	struct world world = world_rooted();
	char path[32];

	for (int i = 0; i < MANY; i++) {
		snprintf(path, sizeof(path), "/p/%d", i);
		plant(&world, path, "x");
	}
	world_open(&world);
	fake_zk_pace(false);
	requests();
	list.world = &world;
	assert_int_equal(zkh_mirror_open_children(&list.mirror, world.session, "/p", 0, on_children,
						  &list),
			 0);
	for (int i = 0; i < MANY; i++) {
		snprintf(path, sizeof(path), "/p/%d", i);
		open_key(&world, &owners[i], path, 0);
	}
	wait_until_read(&world);
	assert_int_equal(list.children, MANY);
	assert_int_equal(requests(), MANY + 1);
	/* One change costs one read; a new connection one of each. */
	fake_zk_set(FULL("/p/500"), "y");
	tells(&world, &owners[500], "=x?=y");
	assert_int_equal(requests(), 1);
	fake_zk_disconnect(zkh_session_id(world.session));
	assert_true(world_wait_event(&world, ZKH_CONNECTED, 2));
	wait_until_read(&world);
	assert_int_equal(requests(), MANY + 1);
	for (int i = 0; i < MANY; i++)
		zkh_mirror_close(&owners[i].mirror);
	finish(&world, &list);
}

static void test_once(void **state)
{
	struct owner there, missing, denied;
	struct world world = world_rooted();
	char told[16];

	plant(&world, "/a", "1");
	plant(&world, "/d", "1");
	fake_zk_protect(FULL("/d"), "others");
	world_open(&world);
	requests();
	open_key(&world, &there, "/a", ZKH_MIRROR_ONCE);
	open_key(&world, &missing, "/b", ZKH_MIRROR_ONCE);
	tells(&world, &there, "=1");
	tells(&world, &missing, "-");
	assert_int_equal(requests(), 2);
	assert_int_equal(fake_zk_counts().watches, 0);
	fake_zk_set(FULL("/a"), "2");
	fake_zk_create(FULL("/b"), "2", 0);
	tells(&world, &there, "");
	tells(&world, &missing, "");
	assert_int_equal(requests(), 0);
	open_key(&world, &denied, "/d", ZKH_MIRROR_ONCE);
	snprintf(told, sizeof(told), "!%d+", ZKH_DENIED);
	tells(&world, &denied, told);
	/* On the next connection once more. */
	fake_zk_disconnect(zkh_session_id(world.session));
	assert_true(world_wait_event(&world, ZKH_CONNECTED, 2));
	world_settle(&world);
	tells(&world, &there, "=2");
	tells(&world, &missing, "=2");
	assert_int_equal(fake_zk_counts().watches, 0);
	zkh_mirror_close(&there.mirror);
	zkh_mirror_close(&denied.mirror);
	finish(&world, &missing);
}

/* Of each thing that can be told: the owner closes the mirror, or destroys the session, while it is told. */
static void test_ends_in_the_callback(void **state)
{
	for (unsigned kind = 0; kind < 5; kind++) {
		for (unsigned destroys = 0; destroys < 2; destroys++) {
			struct owner owner, other;
			struct world world = world_rooted();

			if (kind != 1)
				plant(&world, "/a", "1");
			if (kind == 2)
				fake_zk_protect(FULL("/a"), "others");
			world_open(&world);
			open_key(&world, &owner, "/a", 0);
			open_key(&world, &other, "/a", 0);
			if (kind >= 3)
				world_settle(&world);
			owner.count = 0;
			owner.closes = !destroys;
			owner.destroys = destroys;
			if (kind == 3)
				fake_zk_set(FULL("/a"), "2");
			else if (kind == 4)
				fake_zk_delete(FULL("/a"));
			owner.over = false;
			for (int i = 0; i < 200 && !owner.count; i++)
				world_step(&world);
			world_steps(&world, 10);
			assert_int_equal(owner.count, 1);
			assert_false(zkh_mirror_is_open(&owner.mirror));
			assert_int_equal(zkh_mirror_is_open(&other.mirror), !destroys);
			zkh_mirror_close(&other.mirror);
			finish(&world, &owner);
		}
	}
}

/* Opened before there is a connection; and what cannot be opened. */
static void test_open(void **state)
{
	struct owner owner = { 0 };
	struct zkh_session_config config;
	struct world world = world_rooted();

	plant(&world, "/a", "1");
	config = world_config(&world);
	assert_int_equal(zkh_session_create(world.loop, &config, &world.session), 0);
	assert_int_equal(zkh_mirrors_unread(world.session), 0);
	owner.world = &world;
	assert_int_equal(zkh_mirror_open(&owner.mirror, world.session, "no path", 0, on_key,
					 &owner),
			 ZKH_INVALID);
	assert_false(zkh_mirror_is_open(&owner.mirror));
	zkh_mirror_refresh(&owner.mirror);
	open_key(&world, &owner, "/a", 0);
	assert_true(world_wait_event(&world, ZKH_CONNECTED, 1));
	tells(&world, &owner, "=1");
	/* It outlives the session, closed. */
	world.session = zkh_session_destroy(world.session);
	finish(&world, &owner);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_follows),
		cmocka_unit_test(test_comes_and_goes),
		cmocka_unit_test(test_changes_while_it_is_read),
		cmocka_unit_test(test_faults),
		cmocka_unit_test(test_reconnects),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_refused_children),
		cmocka_unit_test(test_children),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_once),
		cmocka_unit_test(test_ends_in_the_callback),
		cmocka_unit_test(test_open),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
