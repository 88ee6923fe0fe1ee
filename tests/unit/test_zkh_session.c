/* SPDX-License-Identifier: Apache-2.0 */

/* The session: its events and their order, reconnecting, expiry, resuming, closing, destroying anywhere. */

#include <dlfcn.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>

#include "test_zkh_common.h"
#include "zk/lock/zkh_lock.h"
#include "zk/tree/zkh_keys.h"

#define SOON_MS 2000

struct outcome {
	bool done;
	int result;
	unsigned calls;
	struct world *world;
	unsigned events_before; /* how many session events had come when it was called */
};

static void outcome_set(struct outcome *outcome, int result)
{
	outcome->done = true;
	outcome->result = result;
	outcome->calls++;
	if (outcome->world)
		outcome->events_before = outcome->world->event_count;
}

static void on_done(void *userdata, int result)
{
	outcome_set(userdata, result);
}

static void on_get(void *userdata, int result, const char *data, size_t length,
		   const struct zkh_stat *stat)
{
	outcome_set(userdata, result);
}

static void on_commit(void *userdata, int result, const struct zkh_txn_reply *reply)
{
	outcome_set(userdata, result);
}

static int commit_ephemeral(struct world *world, const char *path, struct outcome *outcome)
{
	struct zkh_txn *txn = zkh_txn_create(world->session);

	zkh_txn_create_text(txn, path, "mine", ZKH_CREATE_EPHEMERAL);
	return zkh_commit(txn, on_commit, outcome, NULL);
}

static void assert_events(const struct world *world, unsigned count,
			  const enum zkh_session_event *events)
{
	for (unsigned i = 0; i < count && i < world->event_count; i++)
		assert_string_equal(zkh_session_event_text(world->events[i].event),
				    zkh_session_event_text(events[i]));
	assert_int_equal(world->event_count, count);
}
#define ASSERT_EVENTS(world, ...)                                                                  \
	do {                                                                                       \
		static const enum zkh_session_event events_[] = { __VA_ARGS__ };                   \
		assert_events(world, sizeof(events_) / sizeof(events_[0]), events_);               \
	} while (0)

static void test_connect(void **state)
{
	struct zkh_client_id id;
	struct world world;
	struct zkh_session_config config;

	world_init(&world, "/");
	fake_zk_limit_timeouts(500, 1000);
	config = world_config(&world);
	config.timeout_ms = 400;
	assert_int_equal(zkh_session_create(world.loop, &config, &world.session), 0);
	assert_false(zkh_session_connected(world.session));
	assert_int_equal(zkh_session_id(world.session), 0);
	assert_false(zkh_session_client_id(world.session, &id));
	assert_int_equal(zkh_session_timeout_ms(world.session), 0);
	assert_string_equal(zkh_session_server(world.session), "");
	assert_true(world_wait_connected(&world));
	ASSERT_EVENTS(&world, ZKH_CONNECTED);
	assert_true(world.events[0].fresh);
	assert_int_equal(world.events[0].timeout_ms, 500);
	assert_int_equal(zkh_session_timeout_ms(world.session), 500);
	assert_true(zkh_session_client_id(world.session, &id));
	assert_true(id.id != 0 && id.id == zkh_session_id(world.session));
	assert_true(fake_zk_session_alive(id.id));
	assert_memory_equal(zkh_session_server(world.session), "127.0.0.1:218", 13);
	world_finish(&world);
}

static void test_config(void **state)
{
	static const char *const servers[] = { "",	 "nonsense", "a:1,,b:2",  "a:1,",
					       "[::1:1", "a:70000",  "a:1/chroot" };
	struct zkh_session_config config;
	struct world world;

	world_init(&world, "/");
	for (size_t i = 0; i < sizeof(servers) / sizeof(servers[0]); i++) {
		config = world_config(&world);
		config.servers = servers[i];
		assert_int_equal(zkh_session_create(world.loop, &config, &world.session),
				 ZKH_INVALID);
		assert_null(world.session);
	}
	config = world_config(&world);
	config.root = "relative";
	assert_int_equal(zkh_session_create(world.loop, &config, &world.session), ZKH_INVALID);
	config = world_config(&world);
	config.timeout_ms = 99;
	assert_int_equal(zkh_session_create(world.loop, &config, &world.session), ZKH_INVALID);
	config.timeout_ms = 600001;
	assert_int_equal(zkh_session_create(world.loop, &config, &world.session), ZKH_INVALID);
	world_finish(&world);
}

/* Every server is tried, whatever the library's own order. */
static void test_refused(void **state)
{
	struct zkh_session_config config;
	struct world world;

	world_init(&world, "/");
	fake_zk_fail_connects(8, FAKE_ZK_REFUSED);
	config = world_config(&world);
	assert_int_equal(zkh_session_create(world.loop, &config, &world.session), 0);
	assert_true(world_wait_connected(&world));
	assert_int_equal(world_count(&world, ZKH_SERVER_FAILED), 8);
	assert_int_equal(world_count(&world, ZKH_CONNECTED), 1);
	assert_int_equal(world.event_count, 9);
	assert_int_equal(fake_zk_counts().connects, 9);
	/* "ADDRESS: why" */
	for (int i = 0; i < 3; i++) {
		assert_memory_equal(world.events[i].detail, "127.0.0.1:218", 13);
		assert_int_equal(world.events[i].detail[14], ':');
		assert_int_not_equal(world.events[i].detail[13],
				     world.events[(i + 1) % 3].detail[13]);
	}
	world_finish(&world);
}

/* A server that accepts and says nothing is given up after connect_timeout, not after two thirds of the session. */
static void test_silent(void **state)
{
	struct zkh_session_config config;
	struct world world;
	int64_t began;

	world_init(&world, "/");
	fake_zk_fail_connects(2, FAKE_ZK_SILENT);
	config = world_config(&world);
	config.timeout_ms = 60000;
	config.connect_timeout_ms = 30;
	began = world_now_ms();
	assert_int_equal(zkh_session_create(world.loop, &config, &world.session), 0);
	assert_true(world_wait_connected(&world));
	assert_true(world_now_ms() - began >= 60);
	ASSERT_EVENTS(&world, ZKH_SERVER_FAILED, ZKH_SERVER_FAILED, ZKH_CONNECTED);
	world_finish(&world);
}

/* An answer that waits in the socket when the attempt is over is read: giving it up would make the server slower still. */
static void test_answer_at_the_last_moment(void **state)
{
	struct zkh_session_config config;
	struct world world;
	int64_t over;

	world_init(&world, "/");
	config = world_config(&world);
	config.connect_timeout_ms = 30;
	assert_int_equal(zkh_session_create(world.loop, &config, &world.session), 0);
	while (!fake_zk_counts().connects)
		world_step(&world);
	over = world_now_ms() + 40;
	while (world_now_ms() < over)
		continue;
	assert_false(zkh_session_connected(world.session));
	assert_true(world_wait_connected(&world));
	world_settle(&world);
	ASSERT_EVENTS(&world, ZKH_CONNECTED);
	assert_int_equal(fake_zk_counts().connects, 1);
	world_finish(&world);
}

static void test_reconnect(void **state)
{
	struct outcome created = { 0 }, pending = { 0 };
	struct world world;
	int64_t id;

	world_init(&world, "/");
	world_open(&world);
	id = zkh_session_id(world.session);
	assert_int_equal(commit_ephemeral(&world, "/mine", &created), 0);
	assert_true(world_wait(&world, &created.done, SOON_MS));
	assert_int_equal(created.result, ZKH_OK);
	pending.world = &world;
	fake_zk_fail(1, FAKE_ZK_LOST_BEFORE);
	assert_int_equal(zkh_get(world.session, "/mine", false, on_get, &pending, NULL), 0);
	assert_true(world_wait_event(&world, ZKH_DISCONNECTED, 1));
	/* Called back before the event, not after it. */
	assert_true(pending.done);
	assert_int_equal(pending.result, ZKH_UNKNOWN);
	assert_int_equal(pending.events_before, 1);
	assert_true(world_wait_connected(&world));
	ASSERT_EVENTS(&world, ZKH_CONNECTED, ZKH_DISCONNECTED, ZKH_CONNECTED);
	assert_false(world.events[2].fresh);
	assert_int_equal(zkh_session_id(world.session), id);
	assert_string_equal(fake_zk_data("/mine"), "mine");
	world_finish(&world);
}

static void note_id(struct world *world, const struct zkh_session_report *report)
{
	int64_t *id = world->userdata;

	if (report->event == ZKH_EXPIRED)
		*id = zkh_session_id(world->session);
}

static void test_expiry(void **state)
{
	struct outcome created = { 0 };
	struct world world;
	int64_t id, seen_id = -1;

	world_init(&world, "/");
	world.on_event = note_id;
	world.userdata = &seen_id;
	world_open(&world);
	id = zkh_session_id(world.session);
	assert_int_equal(commit_ephemeral(&world, "/mine", &created), 0);
	assert_true(world_wait(&world, &created.done, SOON_MS));
	fake_zk_expire(id);
	assert_null(fake_zk_data("/mine"));
	assert_true(world_wait_event(&world, ZKH_CONNECTED, 2));
	ASSERT_EVENTS(&world, ZKH_CONNECTED, ZKH_DISCONNECTED, ZKH_EXPIRED, ZKH_CONNECTED);
	assert_true(world.events[3].fresh);
	assert_int_equal(seen_id, 0);
	assert_int_not_equal(zkh_session_id(world.session), id);
	assert_int_equal(fake_zk_sessions(), 1);
	world_finish(&world);
}

/* Behind a partition nobody tells the client anything: it finds out when it gets through again. */
static void test_silent_expiry(void **state)
{
	struct zkh_session_config config;
	struct world world;

	world_init(&world, "/");
	config = world_config(&world);
	config.timeout_ms = 150;
	assert_int_equal(zkh_session_create(world.loop, &config, &world.session), 0);
	assert_true(world_wait_connected(&world));
	fake_zk_expire_silently(zkh_session_id(world.session));
	world_steps(&world, 5);
	assert_true(zkh_session_connected(world.session));
	assert_true(world_wait_event(&world, ZKH_CONNECTED, 2));
	ASSERT_EVENTS(&world, ZKH_CONNECTED, ZKH_DISCONNECTED, ZKH_EXPIRED, ZKH_CONNECTED);
	world_finish(&world);
}

static void test_resume(void **state)
{
	struct zkh_session_config config;
	struct zkh_client_id id;
	struct world world;

	world_init(&world, "/");
	world_open(&world);
	assert_true(zkh_session_client_id(world.session, &id));
	world.session = zkh_session_destroy(world.session);
	assert_true(fake_zk_session_alive(id.id));
	world.event_count = 0;
	config = world_config(&world);
	config.resume = &id;
	assert_int_equal(zkh_session_create(world.loop, &config, &world.session), 0);
	assert_true(world_wait_connected(&world));
	ASSERT_EVENTS(&world, ZKH_CONNECTED);
	assert_false(world.events[0].fresh);
	assert_int_equal(zkh_session_id(world.session), id.id);
	world_finish(&world);
}

static void resume_in_vain(bool password)
{
	struct zkh_session_config config;
	struct zkh_client_id id;
	struct world world;

	world_init(&world, "/");
	world_open(&world);
	assert_true(zkh_session_client_id(world.session, &id));
	world.session = zkh_session_destroy(world.session);
	if (password)
		id.password[3]++;
	else
		fake_zk_expire(id.id);
	world.event_count = 0;
	config = world_config(&world);
	config.resume = &id;
	assert_int_equal(zkh_session_create(world.loop, &config, &world.session), 0);
	assert_true(world_wait_connected(&world));
	assert_int_equal(world_count(&world, ZKH_EXPIRED), 1);
	assert_int_equal(world_count(&world, ZKH_CONNECTED), 1);
	assert_int_equal(world_count(&world, ZKH_DISCONNECTED), 0);
	assert_true(world.events[world.event_count - 1].fresh);
	assert_int_not_equal(zkh_session_id(world.session), id.id);
	world_finish(&world);
}

static void test_resume_in_vain(void **state)
{
	resume_in_vain(false);
	resume_in_vain(true);
}

static void test_cut(void **state)
{
	struct outcome pending = { 0 };
	struct world world;
	int64_t id;

	world_init(&world, "/");
	world_open(&world);
	id = zkh_session_id(world.session);
	fake_zk_fail(1, FAKE_ZK_HANG_BEFORE);
	assert_int_equal(zkh_get(world.session, "/", false, on_get, &pending, NULL), 0);
	world_steps(&world, 5);
	assert_false(pending.done);
	zkh_session_cut(world.session);
	zkh_session_cut(world.session); /* twice is once */
	assert_false(pending.done);
	assert_true(world_wait_event(&world, ZKH_CONNECTED, 2));
	assert_int_equal(pending.result, ZKH_UNKNOWN);
	ASSERT_EVENTS(&world, ZKH_CONNECTED, ZKH_DISCONNECTED, ZKH_CONNECTED);
	assert_int_equal(zkh_session_id(world.session), id);
	world_finish(&world);

	/* Without a connection nothing happens. */
	world_init(&world, "/");
	fake_zk_fail_connects(3, FAKE_ZK_REFUSED);
	{
		struct zkh_session_config config = world_config(&world);

		assert_int_equal(zkh_session_create(world.loop, &config, &world.session), 0);
	}
	zkh_session_cut(world.session);
	assert_true(world_wait_connected(&world));
	world_finish(&world);
}

/* A request right behind the cut finds a socket that is shut. */
static void test_cut_then_request(void **state)
{
	struct outcome late = { 0 };
	struct world world;

	world_init(&world, "/");
	world_open(&world);
	zkh_session_cut(world.session);
	assert_int_equal(commit_ephemeral(&world, "/late", &late), 0);
	assert_true(world_wait(&world, &late.done, SOON_MS));
	assert_true(world_wait_event(&world, ZKH_CONNECTED, 2));
	world_settle(&world);
	assert_int_equal(late.calls, 1);
	assert_true(late.result == ZKH_UNKNOWN || late.result == ZKH_NOT_CONNECTED);
	assert_null(fake_zk_data("/late"));
	world_finish(&world);
}

static void test_renew(void **state)
{
	struct outcome pending = { 0 }, late = { 0 };
	struct world world;
	int64_t id;

	world_init(&world, "/");
	world_open(&world);
	id = zkh_session_id(world.session);
	fake_zk_fail(1, FAKE_ZK_HANG_BEFORE);
	assert_int_equal(zkh_get(world.session, "/", false, on_get, &pending, NULL), 0);
	zkh_session_renew(world.session);
	assert_false(pending.done);
	/* In the session that is given up nothing more is sent. */
	assert_false(zkh_session_connected(world.session));
	assert_int_equal(zkh_get(world.session, "/", false, on_get, &late, NULL), 0);
	assert_true(world_wait_event(&world, ZKH_CONNECTED, 2));
	assert_int_equal(pending.result, ZKH_UNKNOWN);
	assert_int_equal(late.result, ZKH_NOT_CONNECTED);
	ASSERT_EVENTS(&world, ZKH_CONNECTED, ZKH_DISCONNECTED, ZKH_EXPIRED, ZKH_CONNECTED);
	assert_true(world.events[3].fresh);
	assert_int_not_equal(zkh_session_id(world.session), id);
	assert_true(fake_zk_session_alive(id));
	world_finish(&world);
}

/* ---- Closing ---- */

static void test_close(void **state)
{
	struct outcome created = { 0 }, closed = { 0 }, late = { 0 };
	struct world world;
	int64_t id;

	world_init(&world, "/");
	world_open(&world);
	id = zkh_session_id(world.session);
	assert_int_equal(commit_ephemeral(&world, "/mine", &created), 0);
	/* Also with a request under way: it is finished first. */
	assert_int_equal(zkh_session_close(world.session, 500, on_done, &closed), 0);
	assert_false(closed.done);
	assert_int_equal(zkh_session_close(world.session, 500, on_done, &closed), -EALREADY);
	assert_true(world_wait(&world, &closed.done, SOON_MS));
	assert_int_equal(closed.result, ZKH_OK);
	assert_int_equal(created.result, ZKH_OK);
	assert_false(fake_zk_session_alive(id));
	assert_null(fake_zk_data("/mine"));
	world_steps(&world, 3);
	assert_int_equal(closed.calls, 1);
	assert_false(late.done);
	ASSERT_EVENTS(&world, ZKH_CONNECTED);
	assert_int_equal(fake_zk_counts().closed_sessions, 1);
	world_finish(&world);
}

/* The server does not answer: told so in time, and another one is asked meanwhile. */
static void test_close_hang(void **state)
{
	struct outcome closed = { 0 }, stuck = { 0 };
	struct world world;
	int64_t began;

	world_init(&world, "/");
	world_open(&world);
	fake_zk_fail(1, FAKE_ZK_HANG_BEFORE);
	assert_int_equal(commit_ephemeral(&world, "/stuck", &stuck), 0);
	world_steps(&world, 2);
	began = world_now_ms();
	assert_int_equal(zkh_session_close(world.session, 60, on_done, &closed), 0);
	assert_true(world_wait(&world, &closed.done, SOON_MS));
	assert_int_equal(closed.result, ZKH_TIMEOUT);
	assert_true(world_now_ms() - began >= 55);
	assert_int_equal(stuck.calls, 1);
	assert_int_equal(stuck.result, ZKH_UNKNOWN);
	world_steps(&world, 3);
	assert_int_equal(stuck.calls, 1);
	world_finish(&world);
}

static void test_close_unconnected(void **state)
{
	struct zkh_session_config config;
	struct outcome closed = { 0 };
	struct world world;

	world_init(&world, "/");
	fake_zk_fail_connects(10000, FAKE_ZK_REFUSED);
	config = world_config(&world);
	assert_int_equal(zkh_session_create(world.loop, &config, &world.session), 0);
	world_steps(&world, 3);
	assert_int_equal(zkh_session_close(world.session, 30, on_done, &closed), 0);
	assert_true(world_wait(&world, &closed.done, SOON_MS));
	assert_int_equal(closed.result, ZKH_NOT_CONNECTED);
	world_finish(&world);
}

/* The connection breaks while it is being closed: another server is asked. */
static void test_close_lost(void **state)
{
	struct outcome closed = { 0 };
	struct world world;
	int64_t id;

	world_init(&world, "/");
	world_open(&world);
	id = zkh_session_id(world.session);
	assert_int_equal(zkh_session_close(world.session, 1000, on_done, &closed), 0);
	fake_zk_disconnect(id);
	assert_true(world_wait(&world, &closed.done, SOON_MS));
	assert_int_equal(closed.result, ZKH_OK);
	assert_false(fake_zk_session_alive(id));
	world_finish(&world);
}

static void test_close_expired(void **state)
{
	struct outcome closed = { 0 };
	struct world world;

	world_init(&world, "/");
	world_open(&world);
	assert_int_equal(zkh_session_close(world.session, 1000, on_done, &closed), 0);
	fake_zk_expire(zkh_session_id(world.session));
	assert_true(world_wait(&world, &closed.done, SOON_MS));
	assert_int_equal(closed.result, ZKH_OK);
	assert_int_equal(fake_zk_sessions(), 0);
	world_finish(&world);
}

static void on_closed_destroy(void *userdata, int result)
{
	struct world *world = userdata;

	assert_int_equal(result, ZKH_OK);
	world->session = zkh_session_destroy(world->session);
}

static void test_close_destroy_inside(void **state)
{
	struct world world;

	world_init(&world, "/");
	world_open(&world);
	assert_int_equal(zkh_session_close(world.session, 500, on_closed_destroy, &world), 0);
	for (int i = 0; i < 1000 && world.session; i++)
		world_step(&world);
	assert_null(world.session);
	world_finish(&world);
}

/* ---- Destroying from within callbacks ---- */

static void destroy_on_event(struct world *world, const struct zkh_session_report *report)
{
	const enum zkh_session_event *event = world->userdata;

	if (report->event == *event)
		world->session = zkh_session_destroy(world->session);
}

static void test_destroy_on_event(void **state)
{
	static const enum zkh_session_event events[] = { ZKH_CONNECTED, ZKH_DISCONNECTED,
							 ZKH_EXPIRED, ZKH_SERVER_FAILED,
							 ZKH_AUTH_REFUSED };

	for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++) {
		struct outcome pending = { 0 };
		struct zkh_session_config config;
		struct world world;

		world_init(&world, "/");
		config = world_config(&world);
		config.auth[0].scheme = "digest";
		config.auth[0].credential = "user:wrong";
		if (events[i] == ZKH_AUTH_REFUSED)
			fake_zk_accept_credential("user:right");
		if (events[i] == ZKH_SERVER_FAILED)
			fake_zk_fail_connects(2, FAKE_ZK_REFUSED);
		world.on_event = destroy_on_event;
		world.userdata = (void *)(uintptr_t)&events[i];
		assert_int_equal(zkh_session_create(world.loop, &config, &world.session), 0);
		for (int turn = 0; turn < 3000 && world.session; turn++) {
			world_step(&world);
			if (world.session && zkh_session_connected(world.session) &&
			    !pending.done && !fake_zk_counts().gets) {
				fake_zk_fail(1, FAKE_ZK_EXPIRED_BEFORE);
				assert_int_equal(zkh_get(world.session, "/", true, on_get, &pending,
							 NULL),
						 0);
			}
		}
		assert_null(world.session);
		assert_int_equal(world.events[world.event_count - 1].event, events[i]);
		world_steps(&world, 3);
		world_finish(&world);
	}
}

static void destroy_world(struct world *world)
{
	assert_non_null(world->session);
	world->session = zkh_session_destroy(world->session);
}

static void destroy_on_get(void *userdata, int result, const char *data, size_t length,
			   const struct zkh_stat *stat)
{
	destroy_world(userdata);
	/* What was handed over lives as long as the callback. */
	if (result == ZKH_OK)
		assert_int_equal(strlen(data), length);
}

static void destroy_on_exists(void *userdata, int result, const struct zkh_stat *stat)
{
	destroy_world(userdata);
}

static void destroy_on_children(void *userdata, int result, const char *const *names, size_t count,
				const struct zkh_stat *stat)
{
	destroy_world(userdata);
	for (size_t i = 0; i < count; i++)
		assert_true(strlen(names[i]) > 0);
}

static void destroy_on_done(void *userdata, int result)
{
	destroy_world(userdata);
}

static void destroy_on_commit(void *userdata, int result, const struct zkh_txn_reply *reply)
{
	destroy_world(userdata);
	assert_int_equal(reply->count, 1);
}

static void destroy_on_task(void *userdata, int result, const char *path)
{
	destroy_world(userdata);
	assert_non_null(path);
}

static void destroy_on_tree(void *userdata, int result, const struct zkh_entry *entries,
			    size_t count)
{
	destroy_world(userdata);
	for (size_t i = 0; i < count; i++)
		assert_true(strlen(entries[i].path) > 0);
}

static void destroy_on_watch(void *userdata, enum zkh_watch_event event, const char *path)
{
	struct world *world = userdata;

	zkh_watch_remove(world->userdata);
	destroy_world(world);
}

static void begin_commit(struct world *world)
{
	struct zkh_txn *txn = zkh_txn_create(world->session);

	zkh_txn_check(txn, "/a", 0);
	assert_int_equal(zkh_commit(txn, destroy_on_commit, world, NULL), 0);
}

static void begin(struct world *world, unsigned which)
{
	static const struct zkh_pair pair = { .path = "/w/x", .data = "1", .length = 1 };
	struct zkh_session *session = world->session;
	struct zkh_task *task;
	struct zkh_lock *lock;
	int r = 0;

	switch (which) {
	case 0:
		r = zkh_get(session, "/a", true, destroy_on_get, world, NULL);
		break;
	case 1:
		r = zkh_exists(session, "/a", true, destroy_on_exists, world, NULL);
		break;
	case 2:
		r = zkh_children(session, "/", true, destroy_on_children, world, NULL);
		break;
	case 3:
		r = zkh_sync(session, destroy_on_done, world, NULL);
		break;
	case 4:
		begin_commit(world);
		break;
	case 5:
		r = zkh_write(session, &pair, 1, destroy_on_task, world, &task);
		break;
	case 6:
		r = zkh_delete(session, "/a", true, destroy_on_task, world, &task);
		break;
	case 7:
		r = zkh_rename(session, &(struct zkh_move){ "/a", "/c" }, 1, destroy_on_task, world,
			       &task);
		break;
	case 8:
		r = zkh_tree(session, "/a", 10, destroy_on_tree, world, &task);
		break;
	case 9:
		r = zkh_lock_acquire(session, ZKH_LOCK_EXCLUSIVE, "/l", "me", -1, destroy_on_done,
				     world, &lock);
		break;
	default:
		fail();
	}
	assert_int_equal(r, 0);
}

/* In each callback, answered or failed, with other requests before and behind it. */
static void destroy_in(unsigned which, bool lost)
{
	struct outcome before = { 0 }, behind = { 0 };
	struct world world;

	world_init(&world, "/");
	plant(&world, "/a/b", "data");
	world_open(&world);
	assert_int_equal(zkh_get(world.session, "/a", true, on_get, &before, NULL), 0);
	begin(&world, which);
	assert_int_equal(zkh_get(world.session, "/a", true, on_get, &behind, NULL), 0);
	if (lost)
		fake_zk_disconnect(zkh_session_id(world.session));
	for (int turn = 0; turn < 200 && world.session; turn++)
		world_step(&world);
	assert_null(world.session);
	world_steps(&world, 3);
	assert_in_range(before.calls, 0, 1);
	if (which <= 4) /* one request each */
		assert_int_equal(behind.calls, 0);
	world_finish(&world);
}

static void test_destroy_in_callback(void **state)
{
	for (unsigned which = 0; which < 9; which++) {
		destroy_in(which, false);
		destroy_in(which, true);
	}
	destroy_in(9, false);
}

static void test_destroy_in_watch(void **state)
{
	struct outcome armed = { 0 }, pending = { 0 };
	struct zkh_watch watch = { .fn = destroy_on_watch }, second;
	struct world world;

	world_init(&world, "/");
	plant(&world, "/a", "");
	world_open(&world);
	watch.userdata = &world;
	second = watch;
	world.userdata = &watch;
	assert_int_equal(zkh_watch_add(world.session, &second, "/a"), 0);
	assert_int_equal(zkh_watch_add(world.session, &watch, "/a"), 0);
	assert_int_equal(zkh_get(world.session, "/a", true, on_get, &armed, NULL), 0);
	assert_true(world_wait(&world, &armed.done, SOON_MS));
	fake_zk_set("/a", "x");
	assert_int_equal(zkh_get(world.session, "/a", true, on_get, &pending, NULL), 0);
	for (int turn = 0; turn < 100 && world.session; turn++)
		world_step(&world);
	assert_null(world.session);
	assert_false(pending.done);
	zkh_watch_remove(&second);
	world_finish(&world);
}

/* ---- Credentials, roots, names ---- */

static void test_credential(void **state)
{
	struct zkh_session_config config;
	struct outcome created = { 0 }, own = { 0 }, foreign = { 0 };
	struct world world, stranger;

	world_init(&world, "/");
	fake_zk_accept_credential("user:secret");
	config = world_config(&world);
	config.auth[0].scheme = "digest";
	config.auth[0].credential = "user:secret";
	assert_int_equal(zkh_session_create(world.loop, &config, &world.session), 0);
	assert_true(world_wait_connected(&world));
	assert_int_equal(commit_ephemeral(&world, "/mine", &created), 0);
	assert_int_equal(zkh_get(world.session, "/mine", false, on_get, &own, NULL), 0);
	assert_true(world_wait(&world, &own.done, SOON_MS));
	assert_int_equal(created.result, ZKH_OK);
	assert_int_equal(own.result, ZKH_OK);
	/* Also after a reconnect. */
	fake_zk_disconnect(zkh_session_id(world.session));
	assert_true(world_wait_event(&world, ZKH_CONNECTED, 2));
	own = (struct outcome){ 0 };
	assert_int_equal(zkh_get(world.session, "/mine", false, on_get, &own, NULL), 0);
	assert_true(world_wait(&world, &own.done, SOON_MS));
	assert_int_equal(own.result, ZKH_OK);
	world_join(&stranger, &world);
	assert_int_equal(zkh_get(stranger.session, "/mine", false, on_get, &foreign, NULL), 0);
	assert_true(world_wait(&world, &foreign.done, SOON_MS));
	assert_int_equal(foreign.result, ZKH_DENIED);
	world_leave(&stranger);
	world_finish(&world);
}

static void test_credential_refused(void **state)
{
	struct zkh_session_config config;
	struct world world;

	world_init(&world, "/");
	fake_zk_accept_credential("user:secret");
	config = world_config(&world);
	config.auth[0].scheme = "digest";
	config.auth[0].credential = "user:wrong";
	assert_int_equal(zkh_session_create(world.loop, &config, &world.session), 0);
	assert_true(world_wait_event(&world, ZKH_AUTH_REFUSED, 1));
	world_steps(&world, 30);
	assert_false(zkh_session_connected(world.session));
	/* Slowly: not again within these turns. */
	assert_int_equal(world_count(&world, ZKH_AUTH_REFUSED), 1);
	assert_in_range(fake_zk_counts().connects, 1, 1);
	world_finish(&world);
}

static void test_names(void **state)
{
	struct zkh_session_config config;
	struct world world;

	world_init(&world, "/");
	config = world_config(&world);
	config.servers = "localhost:2181";
	assert_int_equal(zkh_session_create(world.loop, &config, &world.session), 0);
	assert_true(world_wait_connected(&world));
	assert_int_equal(world_count(&world, ZKH_NAMES_FAILED), 0);
	world_finish(&world);

	/* Given up while the child is still at it. */
	world_init(&world, "/");
	config = world_config(&world);
	config.servers = "localhost:2181";
	assert_int_equal(zkh_session_create(world.loop, &config, &world.session), 0);
	world_step(&world);
	world_finish(&world);
}

/* A server that nobody can believe: told apart from one that is not there, and left at leisure. */
static void test_absurd_timeouts(void **state)
{
	static const int absurd_ms[] = { -1, 0, INT32_MIN, 3600001, INT32_MAX };
	struct zkh_session_config config;
	struct world world;

	for (size_t i = 0; i < sizeof(absurd_ms) / sizeof(absurd_ms[0]); i++) {
		world_init(&world, "/");
		config = world_config(&world);
		fake_zk_limit_timeouts(absurd_ms[i], absurd_ms[i]);
		assert_int_equal(zkh_session_create(world.loop, &config, &world.session), 0);
		assert_true(world_wait_event(&world, ZKH_SERVER_FAILED, 3));
		assert_non_null(
			strstr(world.events[0].detail, "granted an absurd session timeout of"));
		assert_int_equal(world_count(&world, ZKH_CONNECTED), 0);
		world_steps(&world, 100);
		assert_in_range(fake_zk_counts().connects, 3, 12);
		fake_zk_limit_timeouts(100, 600000);
		assert_true(world_wait_connected(&world));
		world_finish(&world);
	}
}

/* Connected, and has seen something: a server that knows less turns it away. */
static void open_with_zxid(struct world *world, struct outcome *created)
{
	world_init(world, "/");
	world_open(world);
	assert_int_equal(commit_ephemeral(world, "/mine", created), 0);
	assert_true(world_wait(world, &created->done, SOON_MS));
}

/* Restored from a backup: told once, the session is given up, and a new one begins by itself. */
static void test_set_back(void **state)
{
	struct outcome created = { 0 };
	struct world world;
	unsigned at;

	open_with_zxid(&world, &created);
	fake_zk_set_back();
	assert_true(world_wait_event(&world, ZKH_CONNECTED, 2));
	assert_int_equal(world_count(&world, ZKH_SET_BACK), 1);
	assert_int_equal(world_count(&world, ZKH_EXPIRED), 1);
	at = world.event_count - 1;
	assert_true(world.events[at].fresh);
	assert_int_equal(world.events[at - 1].event, ZKH_EXPIRED);
	assert_int_equal(world.events[at - 2].event, ZKH_SET_BACK);
	assert_non_null(strstr(world.events[at - 2].detail, "knows less than this session"));
	/* Each server once (the one that was lost has had its turn), the probe, the server again, the new session. */
	assert_int_equal(fake_zk_counts().connects, 1 + 2 + 1 + 1 + 1);
	assert_int_equal(fake_zk_sessions(), 2); /* the probe's is left to expire */
	world_finish(&world);
}

/* Servers without a quorum turn everybody away, the probe, too: the session is kept. */
static void test_outage_is_no_set_back(void **state)
{
	struct outcome created = { 0 };
	struct world world;
	int64_t id;

	open_with_zxid(&world, &created);
	id = zkh_session_id(world.session);
	fake_zk_fail_connects(25, FAKE_ZK_TURNED_AWAY);
	fake_zk_disconnect(id);
	assert_true(world_wait_event(&world, ZKH_CONNECTED, 2));
	assert_int_equal(world_count(&world, ZKH_SET_BACK) + world_count(&world, ZKH_EXPIRED), 0);
	assert_int_equal(zkh_session_id(world.session), id);
	assert_int_equal(fake_zk_sessions(), 1);
	world_finish(&world);

	/* A server that lags: the probe's session makes it catch up, and the session is taken. */
	open_with_zxid(&world, &created);
	id = zkh_session_id(world.session);
	fake_zk_fail_connects(2, FAKE_ZK_TURNED_AWAY);
	fake_zk_disconnect(id);
	assert_true(world_wait_event(&world, ZKH_CONNECTED, 2));
	assert_int_equal(world_count(&world, ZKH_SET_BACK) + world_count(&world, ZKH_EXPIRED), 0);
	assert_int_equal(zkh_session_id(world.session), id);
	assert_int_equal(fake_zk_sessions(), 2);
	world_finish(&world);
}

/* The probe may be anywhere when the session ends. */
static void test_destroy_in_doubt(void **state)
{
	for (unsigned steps = 0; steps < 40; steps++) {
		struct outcome created = { 0 };
		struct world world;

		open_with_zxid(&world, &created);
		fake_zk_set_back();
		world_steps(&world, steps);
		if (steps % 2)
			zkh_session_renew(world.session);
		world_steps(&world, steps % 4);
		world_finish(&world);
	}
}

static void test_zxid(void **state)
{
	struct outcome created = { 0 };
	struct world world;
	struct Stat stat;
	int64_t zxid;

	world_init(&world, "/");
	world_open(&world);
	assert_int_equal(zkh_session_zxid(world.session), 0);
	assert_int_equal(commit_ephemeral(&world, "/mine", &created), 0);
	assert_true(world_wait(&world, &created.done, SOON_MS));
	assert_true(fake_zk_stat("/mine", &stat));
	zxid = stat.czxid;
	assert_int_equal(zkh_session_zxid(world.session), zxid);
	fake_zk_expire(zkh_session_id(world.session));
	assert_true(world_wait_event(&world, ZKH_CONNECTED, 2));
	assert_int_equal(zkh_session_zxid(world.session), 0);
	assert_int_equal(zkh_session_last_zxid(world.session), zxid);
	world_finish(&world);
}

/* The name server of these tests: where "moving" is, as the child that looks it up sees it. */
static const char *moving;

int getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
		struct addrinfo **list)
{
	int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
	void *symbol = dlsym(RTLD_NEXT, "getaddrinfo");

	memcpy(&real, &symbol, sizeof(real));
	if (strcmp(host, "moving") != 0 || (hints->ai_flags & AI_NUMERICHOST) != 0)
		return real(host, port, hints, list);
	return moving != NULL ? real(moving, port, hints, list) : EAI_AGAIN;
}

/* Addresses get reused: a new session may be opened only where the name leads now. */
static void test_names_before_a_new_session(void **state)
{
	struct zkh_session_config config;
	struct world world;

	world_init(&world, "/");
	config = world_config(&world);
	config.servers = "moving:2181";
	moving = "127.0.0.1";
	assert_int_equal(zkh_session_create(world.loop, &config, &world.session), 0);
	assert_true(world_wait_event(&world, ZKH_CONNECTED, 1));
	assert_string_equal(world.events[0].detail, "127.0.0.1:2181");
	for (int64_t end = world_now_ms() + 1100; world_now_ms() < end;)
		world_step(&world);
	moving = "127.0.0.2";
	fake_zk_expire(zkh_session_id(world.session));
	assert_true(world_wait_event(&world, ZKH_CONNECTED, 2));
	assert_string_equal(world.events[3].detail, "127.0.0.2:2181");
	/* The same session goes where it was; and a name that cannot be looked up is where it was last. */
	for (int64_t end = world_now_ms() + 1600; world_now_ms() < end;)
		world_step(&world);
	moving = NULL;
	fake_zk_disconnect(zkh_session_id(world.session));
	assert_true(world_wait_event(&world, ZKH_CONNECTED, 3));
	assert_int_equal(world_count(&world, ZKH_NAMES_FAILED), 0);
	zkh_session_renew(world.session);
	assert_true(world_wait_event(&world, ZKH_CONNECTED, 4));
	assert_int_equal(world_count(&world, ZKH_NAMES_FAILED), 1);
	assert_string_equal(zkh_session_server(world.session), "127.0.0.2:2181");
	world_finish(&world);
}

static void test_event_texts(void **state)
{
#define X(name, text) assert_string_equal(zkh_session_event_text(name), text);
	ZKH_SESSION_EVENTS(X)
#undef X
	assert_null(zkh_session_destroy(NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_connect),
		cmocka_unit_test(test_config),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_silent),
		cmocka_unit_test(test_answer_at_the_last_moment),
		cmocka_unit_test(test_reconnect),
		cmocka_unit_test(test_expiry),
		cmocka_unit_test(test_silent_expiry),
		cmocka_unit_test(test_resume),
		cmocka_unit_test(test_resume_in_vain),
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_cut_then_request),
		cmocka_unit_test(test_renew),
		cmocka_unit_test(test_close),
		cmocka_unit_test(test_close_hang),
		cmocka_unit_test(test_close_unconnected),
		cmocka_unit_test(test_close_lost),
		cmocka_unit_test(test_close_expired),
		cmocka_unit_test(test_close_destroy_inside),
		cmocka_unit_test(test_destroy_on_event),
		cmocka_unit_test(test_destroy_in_callback),
		cmocka_unit_test(test_destroy_in_watch),
		cmocka_unit_test(test_credential),
		cmocka_unit_test(test_credential_refused),
		cmocka_unit_test(test_absurd_timeouts),
		cmocka_unit_test(test_zxid),
		cmocka_unit_test(test_set_back),
		cmocka_unit_test(test_outage_is_no_set_back),
		cmocka_unit_test(test_destroy_in_doubt),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_names_before_a_new_session),
		cmocka_unit_test(test_event_texts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
