/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Each scenario cancelled, its session destroyed or closed, after each turn of the loop, also on top of a fault: no
 * callback any more, all or nothing done, nothing left behind.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test_zkh_run.h"

#define TURNS_MAX 60u

enum stop { STOP_CANCEL, STOP_DESTROY, STOP_CLOSE, STOP_RENEW, STOP_COUNT };

static const char *const stop_texts[STOP_COUNT] = { "cancelled", "destroyed", "closed", "renewed" };
static unsigned total;

struct closing {
	bool done;
	int result;
};

static void on_closed(void *userdata, int result)
{
	struct closing *closing = userdata;

	assert_false(closing->done);
	closing->done = true;
	closing->result = result;
}

static void stop_by_cancel(struct run *run)
{
	run->is_over = true;
	run->scenario->cancel(run);
	world_settle(&run->world);
	if (run->scenario->check == CHECK_LOCK)
		run_assert_no_lock_node(run);
}

static void stop_by_destroy(struct run *run)
{
	run->is_over = true;
	run->world.session = zkh_session_destroy(run->world.session);
	world_steps(&run->world, 3);
}

/* What is under way ends one way or the other before the session does. */
static void stop_by_close(struct run *run)
{
	int64_t id = zkh_session_id(run->world.session);
	struct closing closing = { 0 };
	unsigned calls;

	assert_int_equal(zkh_session_close(run->world.session, 1000, on_closed, &closing), 0);
	if (run->scenario->check == CHECK_LOCK)
		run->lock = zkh_lock_release(run->lock);
	assert_true(world_wait(&run->world, &closing.done, 2000));
	assert_int_equal(closing.result, ZKH_OK);
	assert_false(fake_zk_session_alive(id));
	if (run->scenario->check == CHECK_LOCK)
		run_assert_no_lock_node(run);
	else
		assert_true(run->done);
	calls = run->calls;
	world_steps(&run->world, 3);
	assert_int_equal(run->calls, calls);
	run->world.session = zkh_session_destroy(run->world.session);
}

/* The old session's node stays until that session expires: the servers say so soon. */
static void stop_by_renew(struct run *run)
{
	int64_t id = zkh_session_id(run->world.session);

	zkh_session_renew(run->world.session);
	assert_true(world_wait_event(&run->world, ZKH_EXPIRED, 1));
	fake_zk_expire(id);
	assert_true(run_finish(run, false));
	world_settle(&run->world);
	assert_int_not_equal(zkh_session_id(run->world.session), id);
	if (run->scenario->check == CHECK_LOCK)
		run_assert_no_lock_node(run);
}

/* False: the scenario was over before that turn. */
static bool run_stop(const struct scenario *scenario, enum stop stop, unsigned turn, unsigned k,
		     enum fake_zk_way way)
{
	static void (*const stops[STOP_COUNT])(struct run * run) = {
		stop_by_cancel,
		stop_by_destroy,
		stop_by_close,
		stop_by_renew,
	};
	struct run run;

	if (getenv("VERBOSE"))
		fprintf(stderr, "%s, %s at turn %u, request %u: %s\n", scenario->name,
			stop_texts[stop], turn, k, k ? fake_zk_way_text(way) : "no fault");
	run_init(&run, scenario, turn % 2);
	if (k)
		fake_zk_fail(k, way);
	run_start(&run);
	while (run.step < turn && !run.done)
		run_step(&run);
	if (run.done) {
		if (!zkh_session_connected(run.world.session))
			assert_true(world_wait_connected(&run.world));
		world_settle(&run.world);
		world_finish(&run.world);
		return false;
	}
	stops[stop](&run);
	fake_zk_unplan();
	world_finish(&run.world);
	total++;
	return true;
}

static void test_stops(const struct scenario *scenario, enum stop stop)
{
	for (unsigned turn = 0;
	     turn < TURNS_MAX && run_stop(scenario, stop, turn, 0, FAKE_ZK_LOST_BEFORE); turn++)
		;
}

static void test_stops_after_faults(const struct scenario *scenario, enum stop stop)
{
	static const enum fake_zk_way ways[] = { FAKE_ZK_LOST_AFTER, FAKE_ZK_EXPIRED_AFTER,
						 FAKE_ZK_SILENT_CLOSE };

	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		for (unsigned k = 1; k <= 4; k++) {
			bool more = true;

			for (unsigned turn = k; more && turn < k + 7; turn += 2)
				more = run_stop(scenario, stop, turn, k, ways[i]);
		}
	}
}

static void test_cancel(void **state)
{
	test_stops(*state, STOP_CANCEL);
	test_stops_after_faults(*state, STOP_CANCEL);
}

static void test_destroy(void **state)
{
	test_stops(*state, STOP_DESTROY);
	test_stops_after_faults(*state, STOP_DESTROY);
}

static void test_close(void **state)
{
	test_stops(*state, STOP_CLOSE);
}

static void test_renew(void **state)
{
	test_stops(*state, STOP_RENEW);
}

int main(int argc, char **argv)
{
	static const CMUnitTestFunction fns[STOP_COUNT] = { test_cancel, test_destroy, test_close,
							    test_renew };
	static struct CMUnitTest tests[256];
	static char names[256][96];
	size_t count = 0;
	int failed;

	for (size_t i = 0; i < scenario_count; i++) {
		for (int stop = 0; stop < STOP_COUNT; stop++) {
			snprintf(names[count], sizeof(names[0]), "%s: %s", scenarios[i].name,
				 stop_texts[stop]);
			if (argc > 1 && !strstr(names[count], argv[1]))
				continue;
			tests[count] = (struct CMUnitTest){
				.name = names[count],
				.test_func = fns[stop],
				.initial_state = (void *)(uintptr_t)&scenarios[i],
			};
			count++;
		}
	}
	failed = _cmocka_run_group_tests("cancel", tests, count, NULL, NULL);
	printf("%u runs stopped under way\n", total);
	return failed;
}
