/* SPDX-License-Identifier: Apache-2.0 */
#include "base/timer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

struct probe {
	struct ev_loop *loop;
	struct timer timer;
	int n_runs;
	int64_t ran_us;
	int again; /* how often on_due sets it anew */
};

static void on_due(struct timer *timer, void *userdata)
{
	struct probe *probe = userdata;

	assert_ptr_equal(timer, &probe->timer);
	assert_false(timer_is_set(timer));
	probe->n_runs++;
	probe->ran_us = time_boot_us();
	if (probe->again-- > 0)
		timer_set(timer, probe->ran_us + 1000);
}

static int setup(void **state)
{
	static struct probe probe;

	probe = (struct probe){ .loop = ev_loop_new(EVFLAG_AUTO) };
	assert_non_null(probe.loop);
	assert_int_equal(timer_init(&probe.timer, probe.loop, 0, on_due, &probe), 0);
	*state = &probe;
	return 0;
}

static int teardown(void **state)
{
	struct probe *probe = *state;

	timer_finish(&probe->timer);
	timer_finish(&probe->timer);
	ev_loop_destroy(probe->loop);
	return 0;
}

static void test_runs_once_not_early(void **state)
{
	struct probe *probe = *state;
	int64_t due_us = time_boot_us() + 20000;

	timer_set(&probe->timer, due_us);
	assert_true(timer_is_set(&probe->timer));
	ev_run(probe->loop, 0); /* returns when nothing is set any more */
	assert_int_equal(probe->n_runs, 1);
	assert_true(probe->ran_us >= due_us);
}

static void test_past_runs_at_once(void **state)
{
	struct probe *probe = *state;
	static const int64_t past[] = { INT64_MIN, -1, 0, 1 };

	for (size_t i = 0; i < sizeof(past) / sizeof(past[0]); i++) {
		timer_set(&probe->timer, past[i]);
		ev_run(probe->loop, EVRUN_ONCE);
		assert_int_equal(probe->n_runs, (int)i + 1);
	}
}

static void test_clear(void **state)
{
	struct probe *probe = *state;

	timer_clear(&probe->timer);
	timer_set(&probe->timer, time_boot_us());
	timer_clear(&probe->timer);
	assert_false(timer_is_set(&probe->timer));
	ev_run(probe->loop, EVRUN_NOWAIT);
	ev_run(probe->loop, 0);
	assert_int_equal(probe->n_runs, 0);
}

static void test_set_replaces(void **state)
{
	struct probe *probe = *state;
	int64_t later_us = time_boot_us() + 20000;

	timer_set(&probe->timer, 1);
	timer_set(&probe->timer, later_us);
	ev_run(probe->loop, 0);
	assert_int_equal(probe->n_runs, 1);
	assert_true(probe->ran_us >= later_us);

	timer_set(&probe->timer, time_boot_us() + INT64_C(3600000000));
	timer_set(&probe->timer, time_boot_us());
	ev_run(probe->loop, 0);
	assert_int_equal(probe->n_runs, 2);
}

static void test_set_from_callback(void **state)
{
	struct probe *probe = *state;

	probe->again = 3;
	timer_set(&probe->timer, time_boot_us());
	ev_run(probe->loop, 0);
	assert_int_equal(probe->n_runs, 4);
}

static struct timer *finish_this;

static void finish_other(struct timer *timer, void *userdata)
{
	timer_finish(finish_this);
	finish_this = NULL;
}

/* Both are due in the same turn; the one of higher priority takes the other away. */
static void test_priority_and_finish_in_callback(void **state)
{
	struct probe *probe = *state;
	struct timer high;

	assert_int_equal(timer_init(&high, probe->loop, EV_MAXPRI, finish_other, NULL), 0);
	finish_this = &probe->timer;
	timer_set(&probe->timer, 1);
	timer_set(&high, 1);
	ev_run(probe->loop, 0);
	assert_null(finish_this);
	assert_int_equal(probe->n_runs, 0);
	timer_finish(&high);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_runs_once_not_early),
		TEST(test_past_runs_at_once),
		TEST(test_clear),
		TEST(test_set_replaces),
		TEST(test_set_from_callback),
		TEST(test_priority_and_finish_in_callback),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
