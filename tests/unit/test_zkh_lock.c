/* SPDX-License-Identifier: Apache-2.0 */

/* Locks among several sessions: order, kinds, waking only who is next, losing and giving up. */

#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test_zkh_common.h"
#include "zk/lock/zkh_lock.h"

#define SOON_MS 2000
#define CONTENDERS 5
#define PATH "/locks/here"

struct contender {
	struct world world;
	struct zkh_lock *lock;
	unsigned calls;
	int results[4];
	bool held, over;
	unsigned *order; /* counts acquisitions */
	unsigned place;
};

static void on_lock(void *userdata, int result)
{
	struct contender *contender = userdata;

	assert_true(contender->calls < 4);
	contender->results[contender->calls++] = result;
	if (result == ZKH_OK) {
		assert_false(contender->held);
		contender->held = true;
		if (contender->order)
			contender->place = ++*contender->order;
		return;
	}
	contender->held = false;
	contender->over = true;
	contender->lock = NULL;
}

static void acquire(struct contender *contender, enum zkh_lock_kind kind, int timeout_ms)
{
	contender->held = contender->over = false;
	contender->calls = 0;
	assert_int_equal(zkh_lock_acquire(contender->world.session, kind, PATH, "who", timeout_ms,
					  on_lock, contender, &contender->lock),
			 0);
}

static void release(struct contender *contender)
{
	contender->lock = zkh_lock_release(contender->lock);
	assert_null(contender->lock);
	contender->held = false;
}

static void begin(struct contender *contenders, unsigned count)
{
	memset(contenders, 0, count * sizeof(*contenders));
	world_init(&contenders[0].world, "/its/root");
	world_open(&contenders[0].world);
	for (unsigned i = 1; i < count; i++)
		world_join(&contenders[i].world, &contenders[0].world);
}

static void finish(struct contender *contenders, unsigned count)
{
	for (unsigned i = count; i-- > 1;)
		world_leave(&contenders[i].world);
	world_finish(&contenders[0].world);
}

static void turns(struct contender *contenders, unsigned count)
{
	world_steps(&contenders[0].world, count);
}

static unsigned nodes(const char *below)
{
	unsigned count = 0;

	for (const char *line = fake_zk_dump(); *line; line += strcspn(line, "\n") + 1)
		count += strncmp(line, below, strlen(below)) == 0;
	return count;
}

/* The name and the data are what kazoo makes. */
static void test_wire(void **state)
{
	static const struct {
		enum zkh_lock_kind kind;
		const char *pattern;
	} cases[] = {
		{ ZKH_LOCK_EXCLUSIVE, "^" PATH "/[0-9a-f]{32}__lock__[0-9]{10}$" },
		{ ZKH_LOCK_WRITE, "^" PATH "/[0-9a-f]{32}__lock__[0-9]{10}$" },
		{ ZKH_LOCK_READ, "^" PATH "/[0-9a-f]{32}__rlock__[0-9]{10}$" },
	};
	struct contender one;
	char path[256];
	regex_t regex;
	struct Stat stat;

	begin(&one, 1);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		acquire(&one, cases[i].kind, -1);
		assert_null(zkh_lock_path(one.lock));
		assert_int_equal(zkh_lock_epoch(one.lock), 0);
		assert_true(world_wait(&one.world, &one.held, SOON_MS));
		assert_int_equal(regcomp(&regex, cases[i].pattern, REG_EXTENDED | REG_NOSUB), 0);
		assert_int_equal(regexec(&regex, zkh_lock_path(one.lock), 0, NULL, 0), 0);
		regfree(&regex);
		snprintf(path, sizeof(path), "%s", at(&one.world, zkh_lock_path(one.lock)));
		assert_string_equal(fake_zk_data(path), "who");
		assert_true(fake_zk_stat(path, &stat));
		assert_int_equal(stat.ephemeralOwner, zkh_session_id(one.world.session));
		release(&one);
		world_settle(&one.world);
		assert_null(fake_zk_data(path));
	}
	finish(&one, 1);
}

/* One round trip when nobody else is there and the key exists: create and list in one flush. */
static void test_round_trips(void **state)
{
	struct contender one;
	unsigned requests;

	begin(&one, 1);
	fake_zk_create("/its/root" PATH, "", 0);
	requests = fake_zk_counts().requests;
	acquire(&one, ZKH_LOCK_EXCLUSIVE, -1);
	assert_int_equal(fake_zk_counts().requests, requests + 2);
	turns(&one, 1);
	turns(&one, 1);
	turns(&one, 1);
	assert_true(one.held);
	release(&one);
	world_settle(&one.world);
	finish(&one, 1);
}

static void test_order(void **state)
{
	struct contender all[CONTENDERS];
	unsigned order = 0;
	int64_t epoch = 0;

	begin(all, CONTENDERS);
	for (unsigned i = 0; i < CONTENDERS; i++) {
		all[i].order = &order;
		acquire(&all[i], ZKH_LOCK_EXCLUSIVE, -1);
		turns(all, 12);
	}
	for (unsigned i = 0; i < CONTENDERS; i++) {
		assert_true(world_wait(&all[0].world, &all[i].held, SOON_MS));
		for (unsigned j = i + 1; j < CONTENDERS; j++)
			assert_false(all[j].held);
		assert_int_equal(all[i].place, i + 1);
		assert_true(zkh_lock_epoch(all[i].lock) > epoch);
		epoch = zkh_lock_epoch(all[i].lock);
		release(&all[i]);
	}
	turns(all, 10);
	assert_int_equal(nodes("/its/root" PATH "/"), 0);
	finish(all, CONTENDERS);
}

/* When one goes, one other asks the servers, not all. */
static void test_no_herd(void **state)
{
	struct contender all[CONTENDERS];
	unsigned before;

	begin(all, CONTENDERS);
	for (unsigned i = 0; i < CONTENDERS; i++) {
		acquire(&all[i], ZKH_LOCK_EXCLUSIVE, -1);
		turns(all, 12);
	}
	assert_true(all[0].held);
	before = fake_zk_counts().requests;
	release(&all[0]);
	turns(all, 12);
	assert_true(all[1].held);
	/* The delete, the next one's list, and its watch of its own node. */
	assert_in_range(fake_zk_counts().requests - before, 2, 3);
	/* One in the middle of the queue gives up: its follower looks again and goes on waiting. */
	before = fake_zk_counts().requests;
	release(&all[2]);
	turns(all, 12);
	assert_false(all[3].held);
	assert_in_range(fake_zk_counts().requests - before, 3, 4);
	for (unsigned i = 1; i < CONTENDERS; i++)
		release(&all[i]);
	turns(all, 10);
	assert_int_equal(nodes("/its/root" PATH "/"), 0);
	finish(all, CONTENDERS);
}

static void test_readers_and_writers(void **state)
{
	static const enum zkh_lock_kind kinds[CONTENDERS] = { ZKH_LOCK_READ, ZKH_LOCK_READ,
							      ZKH_LOCK_WRITE, ZKH_LOCK_READ,
							      ZKH_LOCK_EXCLUSIVE };
	struct contender all[CONTENDERS];

	begin(all, CONTENDERS);
	for (unsigned i = 0; i < CONTENDERS; i++) {
		acquire(&all[i], kinds[i], -1);
		turns(all, 12);
	}
	/* Two readers; the writer waits for both, the third reader and the exclusive one for the writer. */
	assert_true(all[0].held && all[1].held);
	assert_false(all[2].held || all[3].held || all[4].held);
	release(&all[0]);
	turns(all, 12);
	assert_false(all[2].held);
	release(&all[1]);
	turns(all, 12);
	assert_true(all[2].held);
	assert_false(all[3].held || all[4].held);
	release(&all[2]);
	turns(all, 12);
	/* An exclusive lock does not look at readers, as kazoo's Lock does not. */
	assert_true(all[3].held);
	assert_true(all[4].held);
	release(&all[3]);
	release(&all[4]);
	turns(all, 10);
	assert_int_equal(nodes("/its/root" PATH "/"), 0);
	finish(all, CONTENDERS);
}

static void test_same_session(void **state)
{
	struct contender pair[2];

	begin(pair, 2);
	pair[1].world.session = zkh_session_destroy(pair[1].world.session);
	acquire(&pair[0], ZKH_LOCK_EXCLUSIVE, -1);
	pair[1].world.session = pair[0].world.session;
	acquire(&pair[1], ZKH_LOCK_EXCLUSIVE, -1);
	turns(pair, 15);
	assert_true(pair[0].held);
	assert_false(pair[1].held);
	release(&pair[0]);
	assert_true(world_wait(&pair[0].world, &pair[1].held, SOON_MS));
	release(&pair[1]);
	world_settle(&pair[0].world);
	pair[1].world.session = NULL;
	finish(pair, 2);
}

/* Children that no lock made are no contenders, whatever they are called. */
static void test_junk(void **state)
{
	static const char *const names[] = {
		"junk",
		"__lock__0000000000",
		"0123456789abcdef0123456789abcdef__lock__",
		"0123456789abcdef0123456789abcdef__lock__00000000",
		"0123456789abcdef0123456789abcdef__lock__0000000000x",
		"0123456789abcdef0123456789abcdef_lock_0000000000",
		"\xc3\xa9__LOCK__0000000000",
	};
	struct contender one;
	char path[128];

	begin(&one, 1);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (i == 1)
			continue; /* kazoo would take this one for a contender */
		snprintf(path, sizeof(path), "/its/root" PATH "/%s", names[i]);
		assert_int_equal(fake_zk_create(path, "", 0), ZOK);
	}
	acquire(&one, ZKH_LOCK_WRITE, -1);
	assert_true(world_wait(&one.world, &one.held, SOON_MS));
	release(&one);
	world_settle(&one.world);
	assert_int_equal(nodes("/its/root" PATH "/"), sizeof(names) / sizeof(names[0]) - 1);
	finish(&one, 1);
}

static void test_timeout(void **state)
{
	struct contender pair[2];
	int64_t began;

	begin(pair, 2);
	acquire(&pair[0], ZKH_LOCK_EXCLUSIVE, -1);
	assert_true(world_wait(&pair[0].world, &pair[0].held, SOON_MS));
	began = world_now_ms();
	acquire(&pair[1], ZKH_LOCK_EXCLUSIVE, 25);
	assert_true(world_wait(&pair[0].world, &pair[1].over, SOON_MS));
	assert_true(world_now_ms() - began >= 24);
	assert_int_equal(pair[1].results[0], ZKH_TIMEOUT);
	turns(pair, 6);
	assert_int_equal(nodes("/its/root" PATH "/"), 1);
	/* Tried once: at once. */
	acquire(&pair[1], ZKH_LOCK_EXCLUSIVE, 0);
	assert_true(world_wait(&pair[0].world, &pair[1].over, SOON_MS));
	assert_int_equal(pair[1].results[0], ZKH_TIMEOUT);
	turns(pair, 6);
	assert_int_equal(nodes("/its/root" PATH "/"), 1);
	/* A held lock has no deadline. */
	release(&pair[0]);
	acquire(&pair[1], ZKH_LOCK_EXCLUSIVE, 20);
	assert_true(world_wait(&pair[0].world, &pair[1].held, SOON_MS));
	turns(pair, 30);
	assert_true(pair[1].held);
	assert_int_equal(pair[1].calls, 1);
	release(&pair[1]);
	turns(pair, 6);
	finish(pair, 2);
}

static void note_over(struct world *world, const struct zkh_session_report *report)
{
	const struct contender *contender = world->userdata;

	/* The holder knows by then: it must not act on while the new session is being opened. */
	if (report->event == ZKH_EXPIRED)
		assert_true(contender->over);
}

static void test_lost(void **state)
{
	struct contender pair[2];

	begin(pair, 2);
	acquire(&pair[0], ZKH_LOCK_EXCLUSIVE, -1);
	assert_true(world_wait(&pair[0].world, &pair[0].held, SOON_MS));
	acquire(&pair[1], ZKH_LOCK_EXCLUSIVE, -1);
	turns(pair, 12);
	/* The holder's session expires: it is told, the other one follows. */
	pair[0].world.on_event = note_over;
	pair[0].world.userdata = &pair[0];
	fake_zk_expire(zkh_session_id(pair[0].world.session));
	assert_true(world_wait(&pair[0].world, &pair[0].over, SOON_MS));
	assert_int_equal(pair[0].calls, 2);
	assert_int_equal(pair[0].results[1], ZKH_LOST);
	assert_true(world_wait(&pair[0].world, &pair[1].held, SOON_MS));
	/* The node is deleted by an operator. */
	turns(pair, 4);
	fake_zk_delete(at(&pair[1].world, zkh_lock_path(pair[1].lock)));
	assert_true(world_wait(&pair[0].world, &pair[1].over, SOON_MS));
	assert_int_equal(pair[1].results[1], ZKH_LOST);
	pair[0].world.on_event = NULL;
	/* Expired while waiting. */
	assert_true(world_wait_connected(&pair[0].world));
	acquire(&pair[0], ZKH_LOCK_EXCLUSIVE, -1);
	assert_true(world_wait(&pair[0].world, &pair[0].held, SOON_MS));
	acquire(&pair[1], ZKH_LOCK_EXCLUSIVE, -1);
	turns(pair, 12);
	fake_zk_expire(zkh_session_id(pair[1].world.session));
	assert_true(world_wait(&pair[0].world, &pair[1].over, SOON_MS));
	assert_int_equal(pair[1].calls, 1);
	assert_int_equal(pair[1].results[0], ZKH_LOST);
	release(&pair[0]);
	turns(pair, 10);
	assert_int_equal(nodes("/its/root" PATH "/"), 0);
	finish(pair, 2);
}

/* A connection that breaks does not cost the lock, held or waited for, nor the place in the queue. */
static void test_reconnect(void **state)
{
	struct contender all[3];

	begin(all, 3);
	for (unsigned i = 0; i < 3; i++) {
		acquire(&all[i], ZKH_LOCK_EXCLUSIVE, -1);
		turns(all, 12);
	}
	for (unsigned i = 0; i < 3; i++)
		fake_zk_disconnect(zkh_session_id(all[i].world.session));
	turns(all, 20);
	assert_true(all[0].held);
	assert_int_equal(all[0].calls, 1);
	fake_zk_disconnect(zkh_session_id(all[1].world.session));
	release(&all[0]);
	assert_true(world_wait(&all[0].world, &all[1].held, SOON_MS));
	turns(all, 10);
	assert_false(all[2].held);
	/* Held, away while the node is deleted: told after the reconnect. */
	fake_zk_disconnect(zkh_session_id(all[1].world.session));
	fake_zk_delete(at(&all[1].world, zkh_lock_path(all[1].lock)));
	assert_true(world_wait(&all[0].world, &all[1].over, SOON_MS));
	assert_int_equal(all[1].results[1], ZKH_LOST);
	assert_true(world_wait(&all[0].world, &all[2].held, SOON_MS));
	release(&all[2]);
	turns(all, 10);
	assert_int_equal(nodes("/its/root" PATH "/"), 0);
	finish(all, 3);
}

/* Released while there is no connection: removed when there is one again. */
static void test_release_offline(void **state)
{
	struct contender one;

	begin(&one, 1);
	acquire(&one, ZKH_LOCK_EXCLUSIVE, -1);
	assert_true(world_wait(&one.world, &one.held, SOON_MS));
	turns(&one, 3);
	fake_zk_fail_connects(2, FAKE_ZK_REFUSED);
	fake_zk_disconnect(zkh_session_id(one.world.session));
	assert_true(world_wait_event(&one.world, ZKH_DISCONNECTED, 1));
	release(&one);
	assert_int_equal(zkh_lock_pending(one.world.session), 1);
	assert_int_equal(nodes("/its/root" PATH "/"), 1);
	world_settle(&one.world);
	assert_int_equal(nodes("/its/root" PATH "/"), 0);
	assert_int_equal(one.calls, 1);
	finish(&one, 1);
}

/* Asked for while there is no connection: waits, within its time. */
static void test_acquire_offline(void **state)
{
	struct contender one;

	begin(&one, 1);
	fake_zk_fail_connects(4, FAKE_ZK_REFUSED);
	fake_zk_disconnect(zkh_session_id(one.world.session));
	assert_true(world_wait_event(&one.world, ZKH_DISCONNECTED, 1));
	acquire(&one, ZKH_LOCK_EXCLUSIVE, SOON_MS);
	assert_true(world_wait(&one.world, &one.held, SOON_MS));
	release(&one);
	world_settle(&one.world);
	fake_zk_fail_connects(100000, FAKE_ZK_REFUSED);
	fake_zk_disconnect(zkh_session_id(one.world.session));
	assert_true(world_wait_event(&one.world, ZKH_DISCONNECTED, 2));
	acquire(&one, ZKH_LOCK_EXCLUSIVE, 20);
	assert_true(world_wait(&one.world, &one.over, SOON_MS));
	assert_int_equal(one.results[0], ZKH_TIMEOUT);
	fake_zk_fail_connects(0, FAKE_ZK_REFUSED);
	world_settle(&one.world);
	assert_int_equal(nodes("/its/root" PATH "/"), 0);
	finish(&one, 1);
}

static void test_refused(void **state)
{
	struct contender one;
	struct zkh_lock *lock = NULL;
	char path[ZKH_PATH_MAX];

	begin(&one, 1);
	memset(path, 'l', sizeof(path));
	path[0] = '/';
	path[sizeof(path) - 1 - 20] = 0;
	assert_int_equal(zkh_lock_acquire(one.world.session, ZKH_LOCK_READ, path, "", -1, on_lock,
					  &one, &lock),
			 ZKH_INVALID);
	assert_int_equal(zkh_lock_acquire(one.world.session, ZKH_LOCK_READ, "x", "", -1, on_lock,
					  &one, &lock),
			 ZKH_INVALID);
	assert_null(lock);
	assert_null(zkh_lock_release(NULL));
	/* Below an ephemeral key, and where access is denied: an error, not a wait. */
	fake_zk_create("/its/root/e", "", 0x77);
	assert_int_equal(zkh_lock_acquire(one.world.session, ZKH_LOCK_EXCLUSIVE, "/e/x", "",
					  SOON_MS, on_lock, &one, &one.lock),
			 0);
	assert_true(world_wait(&one.world, &one.over, SOON_MS));
	assert_int_equal(one.results[0], ZKH_EPHEMERAL);
	fake_zk_create("/its/root" PATH, "", 0);
	fake_zk_protect("/its/root" PATH, "user:secret");
	acquire(&one, ZKH_LOCK_EXCLUSIVE, SOON_MS);
	assert_true(world_wait(&one.world, &one.over, SOON_MS));
	assert_int_equal(one.results[0], ZKH_DENIED);
	turns(&one, 3);
	finish(&one, 1);
}

/* The parent goes while the lock is waited for, with every contender's node: start over. */
static void test_parent_deleted(void **state)
{
	struct contender one;

	begin(&one, 1);
	fake_zk_create("/its/root" PATH "/0123456789abcdef0123456789abcdef__lock__0000000000", "",
		       0x77);
	acquire(&one, ZKH_LOCK_EXCLUSIVE, -1);
	turns(&one, 10);
	assert_false(one.held);
	for (const char *line; (line = strstr(fake_zk_dump(), PATH "/")) != NULL;) {
		char path[256];

		snprintf(path, sizeof(path), "/its/root%.*s", (int)strcspn(line, "="), line);
		assert_int_equal(fake_zk_delete(path), ZOK);
	}
	fake_zk_delete("/its/root" PATH);
	assert_true(world_wait(&one.world, &one.held, SOON_MS));
	assert_int_equal(nodes("/its/root" PATH "/"), 1);
	release(&one);
	world_settle(&one.world);
	assert_int_equal(nodes("/its/root" PATH "/"), 0);
	finish(&one, 1);
}

/* Destroyed with locks held, waited for and being removed: no callback; what is left goes with the session. */
static void test_destroy(void **state)
{
	struct contender pair[2];
	int64_t id;

	begin(pair, 2);
	acquire(&pair[0], ZKH_LOCK_EXCLUSIVE, -1);
	assert_true(world_wait(&pair[0].world, &pair[0].held, SOON_MS));
	id = zkh_session_id(pair[0].world.session);
	acquire(&pair[1], ZKH_LOCK_EXCLUSIVE, 1000);
	turns(pair, 8);
	world_leave(&pair[1].world);
	release(&pair[0]);
	pair[0].world.session = zkh_session_destroy(pair[0].world.session);
	turns(pair, 5);
	assert_int_equal(pair[0].calls, 1);
	assert_int_equal(pair[1].calls, 0);
	fake_zk_expire(id);
	assert_in_range(nodes("/its/root" PATH "/"), 0, 1);
	finish(pair, 2);
}

/* A waiter whose predecessor vanishes between its list and its watch. */
static void vanish(void *userdata, zhandle_t *handle)
{
	fake_zk_delete("/its/root" PATH "/0123456789abcdef0123456789abcdef__lock__0000000000");
}

static void test_predecessor_race(void **state)
{
	for (unsigned k = 1; k <= 4; k++) {
		struct contender one;

		begin(&one, 1);
		fake_zk_create("/its/root" PATH
			       "/0123456789abcdef0123456789abcdef__lock__0000000000",
			       "", 0x77);
		fake_zk_before(k, vanish, NULL);
		acquire(&one, ZKH_LOCK_EXCLUSIVE, -1);
		turns(&one, 10);
		if (fake_zk_unplan())
			vanish(NULL, NULL);
		assert_true(world_wait(&one.world, &one.held, SOON_MS));
		release(&one);
		world_settle(&one.world);
		finish(&one, 1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_wire),
		cmocka_unit_test(test_round_trips),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_no_herd),
		cmocka_unit_test(test_readers_and_writers),
		cmocka_unit_test(test_same_session),
		cmocka_unit_test(test_junk),
		cmocka_unit_test(test_timeout),
		cmocka_unit_test(test_lost),
		cmocka_unit_test(test_reconnect),
		cmocka_unit_test(test_release_offline),
		cmocka_unit_test(test_acquire_offline),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_parent_deleted),
		cmocka_unit_test(test_destroy),
		cmocka_unit_test(test_predecessor_race),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
