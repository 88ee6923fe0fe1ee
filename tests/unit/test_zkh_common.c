/* SPDX-License-Identifier: Apache-2.0 */
#include "test_zkh_common.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "zk/lock/zkh_lock.h"

#define GUARD_S 0.001
#define QUIET_TURNS 5
#define WAIT_MS 3000

int64_t world_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

const char *at(const struct world *world, const char *path)
{
	static char texts[8][2048];
	static unsigned turn;
	char *text = texts[turn++ % 8];

	snprintf(text, sizeof(texts[0]), "%s%s", world->root[1] ? world->root : "", path);
	return text;
}

void plant(const struct world *world, const char *path, const char *data)
{
	assert_int_equal(fake_zk_create(at(world, path), data, 0), ZOK);
}

static void on_event(void *userdata, const struct zkh_session_report *report)
{
	struct world *world = userdata;

	assert_true(world->first ? world->first->turning : world->turning);
	assert_non_null(report->detail);
	if (world->event_count < EVENTS_MAX) {
		world->events[world->event_count].event = report->event;
		world->events[world->event_count].fresh = report->fresh;
		world->events[world->event_count].timeout_ms = report->timeout_ms;
		snprintf(world->events[world->event_count].detail, sizeof(world->events[0].detail),
			 "%s", report->detail);
		world->event_count++;
	}
	if (world->on_event)
		world->on_event(world, report);
}

static void on_guard(struct ev_loop *loop, struct ev_timer *timer, int events)
{
}

void world_init(struct world *world, const char *root)
{
	fake_zk_reset();
	fake_zk_pace(true);
	memset(world, 0, sizeof(*world));
	world->root = root;
	world->loop = ev_loop_new(EVFLAG_NOENV);
	assert_non_null(world->loop);
	ev_timer_init(&world->guard, on_guard, GUARD_S, GUARD_S);
	if (root[1])
		assert_int_equal(fake_zk_create(root, NULL, 0), ZOK);
}

struct zkh_session_config world_config(struct world *world)
{
	return (struct zkh_session_config){
		.servers = SERVERS,
		.root = world->root,
		.timeout_ms = 4000,
		.seed = 1,
		.on_event = on_event,
		.userdata = world,
	};
}

void world_open(struct world *world)
{
	struct zkh_session_config config = world_config(world);

	assert_int_equal(zkh_session_create(world->loop, &config, &world->session), 0);
	assert_true(world_wait_event(world, ZKH_CONNECTED, 1));
}

void world_join(struct world *world, struct world *first)
{
	struct zkh_session_config config;
	int64_t end = world_now_ms() + WAIT_MS;

	memset(world, 0, sizeof(*world));
	world->first = first;
	world->root = first->root;
	world->loop = first->loop;
	config = world_config(world);
	assert_int_equal(zkh_session_create(world->loop, &config, &world->session), 0);
	while (!zkh_session_connected(world->session) && world_now_ms() < end)
		world_step(first);
	assert_true(zkh_session_connected(world->session));
}

void world_leave(struct world *world)
{
	world->session = zkh_session_destroy(world->session);
}

void world_finish(struct world *world)
{
	struct fake_zk_counts counts;

	world->session = zkh_session_destroy(world->session);
	world_steps(world, 2);
	counts = fake_zk_counts();
	ev_loop_destroy(world->loop);
	assert_int_equal(counts.blocking_closes, 0);
	assert_int_equal(counts.no_cloexec, 0);
	assert_int_equal(counts.opened, counts.closed);
	assert_int_equal(fake_zk_reset(), 0);
}

void world_step(struct world *world)
{
	fake_zk_turn();
	ev_timer_again(world->loop, &world->guard);
	world->turning = true;
	ev_run(world->loop, EVRUN_ONCE);
	world->turning = false;
	ev_timer_stop(world->loop, &world->guard);
}

void world_steps(struct world *world, unsigned count)
{
	while (count--)
		world_step(world);
}

bool world_wait(struct world *world, const bool *flag, int limit_ms)
{
	int64_t end = world_now_ms() + limit_ms;

	while (!*flag && world_now_ms() < end)
		world_step(world);
	return *flag;
}

unsigned world_count(const struct world *world, enum zkh_session_event event)
{
	unsigned count = 0;

	for (unsigned i = 0; i < world->event_count; i++)
		count += world->events[i].event == event;
	return count;
}

bool world_wait_event(struct world *world, enum zkh_session_event event, unsigned nth)
{
	int64_t end = world_now_ms() + WAIT_MS;

	while (world_count(world, event) < nth && world_now_ms() < end)
		world_step(world);
	return world_count(world, event) >= nth;
}

bool world_wait_connected(struct world *world)
{
	int64_t end = world_now_ms() + WAIT_MS;

	while (!zkh_session_connected(world->session) && world_now_ms() < end)
		world_step(world);
	return zkh_session_connected(world->session);
}

void world_settle(struct world *world)
{
	int64_t end = world_now_ms() + WAIT_MS;
	unsigned quiet = 0;

	while (quiet < QUIET_TURNS && world_now_ms() < end) {
		unsigned before = fake_zk_counts().requests;

		world_step(world);
		if (fake_zk_counts().requests != before || !zkh_session_connected(world->session) ||
		    zkh_lock_pending(world->session))
			quiet = 0;
		else
			quiet++;
	}
	assert_true(zkh_session_connected(world->session));
	assert_int_equal(zkh_lock_pending(world->session), 0);
}
