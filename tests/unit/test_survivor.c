/* SPDX-License-Identifier: Apache-2.0 */

/* From when on the term of another node is surely over. T = 6 s: L = 4 s; unknown: 26.667 s. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "election/lease.h"
#include "election/survivor.h"

#define MS INT64_C(1000)
#define T_US (6000 * MS)
#define L_US (4000 * MS)
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct sight {
	int64_t mzxid, at_ms; /* at_ms 0: no more */
};

static void test_terms(void **state)
{
	static const struct {
		const char *what;
		struct sight before[3]; /* while the node still acted */
		struct sight after;	/* in the survey */
		int64_t lease_us, until_ms;
	} table[] = {
		{ "seen before: from the first sight",
		  { { 7, 1000 }, { 7, 2000 } },
		  { 7, 5000 },
		  L_US,
		  5000 },
		{ "renewed since: from the survey", { { 7, 1000 } }, { 8, 5000 }, L_US, 9000 },
		{ "never seen", { { 0, 0 } }, { 7, 5000 }, L_US, 9000 },
		{ "each version anew", { { 7, 1000 }, { 8, 3000 } }, { 8, 5000 }, L_US, 7000 },
		{ "a longer term than the own", { { 7, 1000 } }, { 7, 5000 }, 2 * L_US, 9000 },
		{ "a version that comes back",
		  { { 7, 1000 }, { 8, 2000 }, { 7, 3000 } },
		  { 7, 5000 },
		  L_US,
		  7000 },
		{ "L cannot be read", { { 7, 1000 } }, { 7, 5000 }, 0, 1000 + 26666 },
		{ "missing", { { 7, 1000 } }, { SURVIVOR_UNREADABLE, 5000 }, 0, 5000 + 26666 },
		{ "missing before and after: from the survey",
		  { { SURVIVOR_UNREADABLE, 1000 } },
		  { SURVIVOR_UNREADABLE, 5000 },
		  0,
		  5000 + 26666 },
	};

	for (size_t i = 0; i < COUNT(table); i++) {
		struct survivor survivor = { .count = 0 };
		int64_t until_us;

		for (size_t k = 0; k < 3 && table[i].before[k].at_ms; k++)
			survivor_note(&survivor, "a", table[i].before[k].mzxid,
				      table[i].before[k].at_ms * MS);
		survivor_begin(&survivor);
		until_us = survivor_until_us(&survivor, "a", table[i].after.mzxid,
					     table[i].lease_us, T_US, table[i].after.at_ms * MS);
		if (until_us / MS != table[i].until_ms)
			fail_msg("%s: %lld ms", table[i].what, (long long)(until_us / MS));
	}
}

/* Surveys are repeated: what could not be read is not waited for anew each time. */
static void test_survey_again(void **state)
{
	struct survivor survivor = { .count = 0 };
	int64_t first_us;

	survivor_begin(&survivor);
	first_us = survivor_until_us(&survivor, "a", SURVIVOR_UNREADABLE, 0, T_US, 5000 * MS);
	assert_int_equal(survivor_until_us(&survivor, "a", SURVIVOR_UNREADABLE, 0, T_US, 6000 * MS),
			 first_us);
	survivor_begin(&survivor);
	assert_int_equal(survivor_until_us(&survivor, "a", SURVIVOR_UNREADABLE, 0, T_US, 6000 * MS),
			 first_us + 1000 * MS);
}

/* The larger of the own T and 40 s. */
static void test_unknown_term(void **state)
{
	struct survivor survivor = { .count = 0 };

	assert_int_equal(survivor_until_us(&survivor, "a", 1, 0, 60000 * MS, 1000 * MS),
			 41000 * MS);
}

static void test_nodes_apart(void **state)
{
	struct survivor survivor = { .count = 0 };

	survivor_note(&survivor, "a", 7, 1000 * MS);
	survivor_note(&survivor, "b", 7, 2000 * MS);
	assert_int_equal(survivor_until_us(&survivor, "a", 7, L_US, T_US, 5000 * MS), 5000 * MS);
	assert_int_equal(survivor_until_us(&survivor, "b", 7, L_US, T_US, 5000 * MS), 6000 * MS);
}

/* A full table forgets the oldest, who is waited for longer than needed; never shorter. */
static void test_full(void **state)
{
	struct survivor survivor = { .count = 0 };
	char name[16];

	survivor_note(&survivor, "a", 7, 1000 * MS);
	for (int i = 0; i < SURVIVOR_NOTES_MAX; i++) {
		snprintf(name, sizeof(name), "n%d", i);
		survivor_note(&survivor, name, 7, 2000 * MS);
	}
	assert_int_equal(survivor.count, SURVIVOR_NOTES_MAX);
	assert_int_equal(survivor_until_us(&survivor, "n65", 7, L_US, T_US, 5000 * MS), 6000 * MS);
	assert_int_equal(survivor_until_us(&survivor, "a", 7, L_US, T_US, 5000 * MS), 9000 * MS);
}

static void test_new_cluster(void **state)
{
	static const struct {
		int64_t czxid, seen_ms; /* by this process; 0: by one before */
		bool epoch_missing, remembers;
		int64_t until_ms;
	} table[] = {
		{ 3, 0, false, true, 0 },
		{ 3, 1000, false, false, 5000 },
		{ 3, 1000, false, true, 1000 + 26666 },
		{ 3, 0, true, false, 9000 },
		{ 3, 1000, true, true, 5000 + 26666 },
	};

	for (size_t i = 0; i < COUNT(table); i++) {
		struct survivor survivor = { .cluster_czxid = table[i].seen_ms ? 2 : 3 };

		survivor_see_cluster(&survivor, table[i].czxid, table[i].seen_ms * MS);
		survivor_see_cluster(&survivor, table[i].czxid, 4000 * MS);
		assert_int_equal(survivor_untold_us(&survivor, table[i].epoch_missing,
						    table[i].remembers, T_US, 5000 * MS) /
					 MS,
				 table[i].until_ms);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_terms),	     cmocka_unit_test(test_survey_again),
		cmocka_unit_test(test_unknown_term), cmocka_unit_test(test_nodes_apart),
		cmocka_unit_test(test_full),	     cmocka_unit_test(test_new_cluster),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
