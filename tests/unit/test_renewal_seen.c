/* SPDX-License-Identifier: Apache-2.0 */

/* Whether a primary renews its lease, as seen from a machine whose clock may be off. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cluster/renewal_seen.h"

#define T_MS INT64_C(12000)
#define PERIOD_MS (T_MS / 12)
#define LOOK_MS (T_MS / 24)
#define EPOCH_MS INT64_C(1700000000000) /* the servers' time when the test's begins */

struct world {
	struct renewal_seen seen;
	int64_t now_ms, skew_ms;
	int64_t silent_ms; /* the last renewal */
};

static void look(struct world *w)
{
	int64_t last_ms = w->now_ms < w->silent_ms ? w->now_ms : w->silent_ms;
	int64_t number = last_ms / PERIOD_MS;

	renewal_note(&w->seen, 1000 + number, EPOCH_MS + number * PERIOD_MS, w->now_ms * 1000,
		     w->now_ms * 1000 + 500, EPOCH_MS + w->now_ms + w->skew_ms);
}

static struct world begin(int64_t skew_ms, int64_t now_ms, int64_t silent_ms)
{
	struct world w = { .skew_ms = skew_ms, .now_ms = now_ms, .silent_ms = silent_ms };

	w.seen.session_us = T_MS * 1000;
	w.seen.post_since_ms = EPOCH_MS;
	look(&w);
	return w;
}

/* Looks until it suffices; returns how long that took. */
static int64_t decide(struct world *w)
{
	int64_t began_ms = w->now_ms;

	while (!renewal_suffices(&w->seen)) {
		assert_true(w->now_ms - began_ms <= T_MS / 4 + 2 * LOOK_MS);
		w->now_ms += LOOK_MS;
		look(w);
	}
	return w->now_ms - began_ms;
}

static const int64_t skews_ms[] = { 0,	   -300, 300,	 -2000, 2000,	  -5000,  5000,
				    -9000, 9000, -60000, 60000, -3600000, 3600000 };
#define SKEWS (sizeof(skews_ms) / sizeof(*skews_ms))

/* No clock makes one that renews look silent, whenever one looks. */
static void test_no_false_alarm(void **state)
{
	for (size_t i = 0; i < SKEWS; i++) {
		for (int64_t at_ms = 100000; at_ms < 102000; at_ms += 37) {
			struct world w = begin(skews_ms[i], at_ms, INT64_MAX);

			/* The next renewal, and the look after it. */
			assert_true(decide(&w) <= PERIOD_MS + LOOK_MS);
			assert_false(renewal_judge(&w.seen).stale);
			assert_false(renewal_judge(&w.seen).unwritten);
		}
	}
}

static void test_one_look_with_good_clocks(void **state)
{
	struct world w;

	for (int64_t at_ms = 100000; at_ms < 102000; at_ms += 37) {
		w = begin(0, at_ms, INT64_MAX);
		assert_true(renewal_suffices(&w.seen));
		w = begin(-500, at_ms, INT64_MAX);
		assert_true(renewal_suffices(&w.seen));
	}
}

/* A silent one is found, but for a third of T at most, whatever the clock says. */
static void test_silence(void **state)
{
	for (size_t i = 0; i < SKEWS; i++) {
		int64_t hidden_ms = 0;

		if (skews_ms[i] > T_MS) /* then it may also be the key: told, and no alarm */
			continue;
		for (int64_t quiet_ms = 0; quiet_ms < T_MS; quiet_ms += 100) {
			struct world w = begin(skews_ms[i], 100000 + quiet_ms, 100000);
			struct renewal_verdict v;

			decide(&w);
			v = renewal_judge(&w.seen);
			assert_false(v.unwritten);
			if (!v.stale)
				hidden_ms += 100;
			else if (v.at_least)
				assert_true(v.quiet_us <= (w.now_ms - 100000) * 1000);
		}
		assert_true(hidden_ms <= T_MS / 3 + 100);
	}
}

static void test_how_long(void **state)
{
	struct world w = begin(0, 104000, 100000);
	int64_t waited_ms = decide(&w);
	struct renewal_verdict v = renewal_judge(&w.seen);

	assert_in_range(waited_ms, T_MS / 8, T_MS / 8 + LOOK_MS);
	assert_true(v.stale);
	assert_false(v.at_least);
	assert_int_equal(v.quiet_us, (4000 + waited_ms) * 1000 - 500);
	/* By a clock that cannot be right only what was waited for is known. */
	w = begin(-60000, 104000, 100000);
	waited_ms = decide(&w);
	v = renewal_judge(&w.seen);
	assert_in_range(waited_ms, T_MS / 4, T_MS / 4 + LOOK_MS);
	assert_true(v.stale && v.at_least);
	assert_int_equal(v.quiet_us, waited_ms * 1000 - 500);
}

/* A post just taken is as good as a renewal. */
static void test_new_post(void **state)
{
	struct world w = begin(0, 130000, 100000);

	w.seen.post_since_ms = EPOCH_MS + 129000;
	assert_true(renewal_suffices(&w.seen));
	assert_false(renewal_judge(&w.seen).stale);
}

/* A key that nobody may write: its session lives on for longer than any does without renewals. */
static void test_unwritten(void **state)
{
	struct world w = begin(0, 130000, 100000);

	decide(&w);
	assert_true(renewal_judge(&w.seen).unwritten);
	assert_false(renewal_judge(&w.seen).stale);
}

/* Watched on: from renewals to silence and back. */
static void test_watched(void **state)
{
	struct world w = begin(-3600000, 99000, 110000);
	int64_t noticed_ms = 0;

	for (; w.now_ms < 120000; w.now_ms += LOOK_MS) {
		look(&w);
		if (!noticed_ms && renewal_judge(&w.seen).stale)
			noticed_ms = w.now_ms;
	}
	assert_in_range(noticed_ms, 110000 + T_MS / 4, 110000 + T_MS / 4 + 2 * LOOK_MS);
	assert_false(renewal_judge(&w.seen).at_least);
	w.silent_ms = INT64_MAX;
	look(&w);
	assert_false(renewal_judge(&w.seen).stale);
}

/* Silent as soon as it was looked at: what was fresh then does not stay so. */
static void test_watched_from_the_last_renewal(void **state)
{
	for (size_t i = 0; i < SKEWS; i++) {
		struct world w = begin(skews_ms[i], 100000, 100000);

		while (!renewal_judge(&w.seen).stale && !renewal_judge(&w.seen).unwritten) {
			assert_true(w.now_ms <= 100000 + T_MS / 3 + LOOK_MS);
			w.now_ms += LOOK_MS;
			look(&w);
		}
		assert_true(w.now_ms >= 100000 + T_MS / 8);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_false_alarm),
		cmocka_unit_test(test_one_look_with_good_clocks),
		cmocka_unit_test(test_silence),
		cmocka_unit_test(test_how_long),
		cmocka_unit_test(test_new_post),
		cmocka_unit_test(test_unwritten),
		cmocka_unit_test(test_watched),
		cmocka_unit_test(test_watched_from_the_last_renewal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
