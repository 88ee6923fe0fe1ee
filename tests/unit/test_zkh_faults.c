/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Each scenario with each fault at each of its requests: one callback, a result that agrees with what the tree
 * says, nothing left behind.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test_zkh_run.h"

/*
 * After a marshalling error (no memory) libzookeeper may or may not know the request: lib/ gives its few bytes up on
 * purpose, so the leak checker does not look at those runs.
 */
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAS_LEAK_CHECKER
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define HAS_LEAK_CHECKER
#endif
#ifdef HAS_LEAK_CHECKER
#include <sanitizer/lsan_interface.h>
#define leaks_ignore __lsan_disable
#define leaks_watch __lsan_enable
#else
static void leaks_ignore(void)
{
}
static void leaks_watch(void)
{
}
#endif

static char *copy(const char *text)
{
	char *result = strdup(text);

	assert_non_null(result);
	return result;
}

static unsigned total;

/* Requests of a run without faults; also checks that one. */
static unsigned count_requests(const struct scenario *scenario)
{
	struct run run;
	unsigned before;

	run_init(&run, scenario, false);
	before = fake_zk_counts().requests;
	run_start(&run);
	assert_true(run_finish(&run, false));
	world_settle(&run.world);
	assert_int_equal(run.result, scenario->expected);
	if (scenario->check == CHECK_READ && run.result == ZKH_OK)
		assert_true(run.seen);
	if (scenario->check == CHECK_LOCK)
		run_assert_no_lock_node(&run);
	before = fake_zk_counts().requests - before;
	world_finish(&run.world);
	return before;
}

static void be_stranger(const char *key, bool deleted)
{
	if (!key)
		return;
	if (deleted)
		assert_int_equal(fake_zk_delete(key), ZOK);
	else if (fake_zk_set(key, "stranger") == ZNONODE)
		fake_zk_create(key, "stranger", 0);
}

/* What the tree looks like when the stranger's change (NULL: none) comes first and then the whole operation. */
static char *serial_outcome(const struct scenario *scenario, bool rooted, const char *key,
			    bool deleted, int *ret_result)
{
	struct run run;
	char *dump;

	run_init(&run, scenario, rooted);
	be_stranger(key, deleted);
	run_start(&run);
	assert_true(run_finish(&run, false));
	world_settle(&run.world);
	*ret_result = run.result;
	dump = copy(fake_zk_dump());
	world_finish(&run.world);
	return dump;
}

/* The same without the operation. */
static char *stranger_alone(const struct scenario *scenario, bool rooted, const char *key,
			    bool deleted)
{
	struct run run;
	char *dump;

	run_init(&run, scenario, rooted);
	be_stranger(key, deleted);
	dump = copy(fake_zk_dump());
	world_finish(&run.world);
	return dump;
}

static void check_conflict(struct run *run, bool rooted, const char *outcome, const char *key,
			   bool deleted)
{
	int serial_result;
	char *serial = serial_outcome(run->scenario, rooted, key, deleted, &serial_result);
	char *alone = stranger_alone(run->scenario, rooted, key, deleted);

	if (run->result == ZKH_OK) {
		assert_int_equal(serial_result, ZKH_OK);
		assert_string_equal(outcome, serial);
	} else {
		assert_true(run->result > 0 && run->result != ZKH_UNKNOWN);
		assert_string_equal(outcome, alone);
	}
	free(serial);
	free(alone);
}

static void check_lost(struct run *run, bool rooted, const char *outcome)
{
	static const struct scenario *known; /* the same for all faults of a scenario */
	static char *befores[2], *afters[2];
	const char *before, *after;
	int result;

	for (int i = 0; i < 2 && known != run->scenario; i++) {
		free(befores[i]);
		free(afters[i]);
		befores[i] = stranger_alone(run->scenario, i, NULL, false);
		afters[i] = serial_outcome(run->scenario, i, NULL, false, &result);
	}
	known = run->scenario;
	before = befores[rooted];
	after = afters[rooted];

	if (run->result == ZKH_OK)
		assert_string_equal(outcome, after);
	else if (run->result != ZKH_UNKNOWN)
		assert_string_equal(outcome, before);
	else if (strcmp(outcome, before) != 0)
		assert_string_equal(outcome, after);
}

static bool is_conflict(enum fake_zk_way way)
{
	return way == FAKE_ZK_CONFLICT_SET || way == FAKE_ZK_CONFLICT_DELETE;
}

static void check(struct run *run, bool rooted, enum fake_zk_way way, bool met)
{
	char *outcome = copy(fake_zk_dump());
	bool deleted;
	char *key = copy(fake_zk_last_conflict(&deleted));

	if (run->scenario->check == CHECK_LOCK) {
		run_assert_no_lock_node(run);
		assert_int_equal(zkh_lock_pending(run->world.session), 0);
	}
	world_finish(&run->world);
	if (!met)
		assert_int_equal(run->result, run->scenario->expected);
	if (run->scenario->check == CHECK_READ && run->result == ZKH_OK && !is_conflict(way))
		assert_true(run->seen);
	if (run->scenario->check != CHECK_LOCK) {
		if (met && is_conflict(way))
			check_conflict(run, rooted, outcome, key, deleted);
		else
			check_lost(run, rooted, outcome);
	}
	free(outcome);
	free(key);
}

/* False: the fault was not reached, the scenario has fewer requests. */
static bool run_scenario(const struct scenario *scenario, unsigned k, enum fake_zk_way way,
			 unsigned operation)
{
	bool hangs = way == FAKE_ZK_HANG_BEFORE || way == FAKE_ZK_HANG_AFTER;
	bool rooted = (k + way) % 2, met;
	struct run run;

	if (getenv("VERBOSE"))
		fprintf(stderr, "%s, request %u: %s\n", scenario->name, k, fake_zk_way_text(way));
	run_init(&run, scenario, rooted);
	fake_zk_conflict_operation(operation);
	fake_zk_fail(k, way);
	run_start(&run);
	if (!run_finish(&run, hangs))
		fail_msg("%s, request %u, %s: no end", scenario->name, k, fake_zk_way_text(way));
	met = fake_zk_unplan() == 0;
	world_settle(&run.world);
	if (run.started)
		assert_in_range(run.calls, 1, scenario->check == CHECK_LOCK ? 2 : 1);
	else
		assert_int_equal(run.calls, 0);
	check(&run, rooted, way, met);
	total++;
	return met;
}

static bool run_with(const struct scenario *scenario, unsigned k, enum fake_zk_way way,
		     unsigned operation)
{
	bool met;

	if (way == FAKE_ZK_MARSHALLING)
		leaks_ignore();
	met = run_scenario(scenario, k, way, operation);
	if (way == FAKE_ZK_MARSHALLING)
		leaks_watch();
	return met;
}

static void test_faults(void **state)
{
	const struct scenario *scenario = *state;
	unsigned count = count_requests(scenario);

	for (int way = 0; way < FAKE_ZK_WAY_COUNT; way++) {
		bool met = true;

		/* A fault may make it longer: on to the first request that is not made. */
		for (unsigned k = 1; met && k <= count + 4; k++)
			met = run_with(scenario, k, (enum fake_zk_way)way, 0);
	}
}

/* A transaction has several keys: each in turn is the one that a stranger touches. */
static void test_conflicts(void **state)
{
	const struct scenario *scenario = *state;
	unsigned count;

	if (scenario->check != CHECK_ATOMIC)
		return;
	count = count_requests(scenario);
	for (unsigned operation = 1; operation < 10; operation++) {
		run_with(scenario, count, FAKE_ZK_CONFLICT_SET, operation);
		run_with(scenario, count, FAKE_ZK_CONFLICT_DELETE, operation);
	}
}

int main(int argc, char **argv)
{
	struct CMUnitTest tests[128];
	static char names[128][96];
	size_t count = 0;
	int failed;

	for (size_t i = 0; i < scenario_count; i++) {
		CMUnitTestFunction fns[] = { test_faults, test_conflicts };

		if (argc > 1 && !strstr(scenarios[i].name, argv[1]))
			continue;
		for (int j = 0; j < (scenarios[i].check == CHECK_ATOMIC ? 2 : 1); j++) {
			snprintf(names[count], sizeof(names[0]), "%s%s", scenarios[i].name,
				 j ? ": conflicts" : "");
			tests[count] = (struct CMUnitTest){
				.name = names[count],
				.test_func = fns[j],
				.initial_state = (void *)(uintptr_t)&scenarios[i],
			};
			count++;
		}
	}
	failed = _cmocka_run_group_tests("faults", tests, count, NULL, NULL);
	printf("%u runs with a fault\n", total);
	return failed;
}
