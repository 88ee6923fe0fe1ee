/* SPDX-License-Identifier: Apache-2.0 */
#include "work/bus_parts.h"
#include "base/unit_call.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void test_each_once(void **state)
{
	struct bus_parts parts;

	bus_parts_reset(&parts, NULL, "primary.target");
	bus_parts_add(&parts, "a.service", false);
	bus_parts_add(&parts, "a.service", false);
	bus_parts_add(&parts, "primary.target", false);
	assert_int_equal(parts.n, 2);
	assert_true(bus_parts_has(&parts, "a.service"));
	assert_false(bus_parts_has(&parts, "b.service"));
	assert_string_equal(bus_parts_next(&parts)->name, "primary.target");
	assert_string_equal(bus_parts_next(&parts)->name, "a.service");
	assert_null(bus_parts_next(&parts));
	bus_parts_add(&parts, "b.service", false);
	assert_string_equal(bus_parts_next(&parts)->name, "b.service");
	bus_parts_again(&parts);
	assert_string_equal(bus_parts_next(&parts)->name, "primary.target");
}

static void test_down_when_all_are(void **state)
{
	struct bus_parts parts;

	bus_parts_reset(&parts, NULL, "primary.target");
	bus_parts_add(&parts, "a.service", false);
	assert_string_equal(bus_parts_up(&parts, false)->name, "primary.target");
	bus_parts_set_state(&parts, "primary.target", "inactive");
	assert_string_equal(bus_parts_up(&parts, false)->name, "a.service");
	bus_parts_set_state(&parts, "a.service", "deactivating");
	assert_non_null(bus_parts_up(&parts, false));
	bus_parts_set_state(&parts, "a.service", "failed");
	assert_null(bus_parts_up(&parts, false));
	/* One that was found late is up until somebody says otherwise. */
	bus_parts_add(&parts, "b.service", false);
	assert_string_equal(bus_parts_up(&parts, false)->name, "b.service");
	bus_parts_set_state(&parts, "stranger.service", "active");
	assert_int_equal(parts.n, 3);
}

static void test_apart(void **state)
{
	struct bus_parts parts;

	bus_parts_reset(&parts, NULL, "primary.target");
	bus_parts_add(&parts, "a.service", true);
	bus_parts_add(&parts, "primary.target",
		      true); /* bound to the guard, and no less the unit itself */
	bus_parts_set_state(&parts, "primary.target", "inactive");
	assert_null(bus_parts_up(&parts, false));
	assert_string_equal(bus_parts_up(&parts, true)->name, "a.service");
	bus_parts_add(&parts, "a.service", false); /* hangs on the unit after all */
	assert_null(bus_parts_up(&parts, true));
	assert_string_equal(bus_parts_up(&parts, false)->name, "a.service");
}

static void test_bounds(void **state)
{
	struct bus_parts parts;
	char name[2 * BUS_UNIT_SIZE];

	bus_parts_reset(&parts, NULL, "primary.target");
	memset(name, 'x', sizeof(name));
	name[BUS_UNIT_SIZE] = '\0';
	bus_parts_add(&parts, name, false);
	assert_int_equal(parts.n, 1);
	name[BUS_UNIT_SIZE - 1] = '\0';
	bus_parts_add(&parts, name, false);
	assert_int_equal(parts.n, 2);
	for (int i = 0; i < 2 * BUS_PARTS_MAX; i++) {
		snprintf(name, sizeof(name), "%d.service", i);
		bus_parts_add(&parts, name, false);
	}
	assert_int_equal(parts.n, BUS_PARTS_MAX);
	assert_true(parts.cut);
	bus_parts_reset(&parts, NULL, "primary.target");
	assert_false(parts.cut);
}

/* It follows from the runtime directory, and differs where that does. */
static void test_guard_name(void **unused)
{
	char name[UNIT_GUARD_SIZE], path[1000];

	assert_string_equal(unit_guard_name("/run/primaryd", name), "primaryd-guard.service");
	assert_string_equal(unit_guard_name("/run/primaryd-web", name),
			    "primaryd-guard@web.service");
	assert_string_equal(unit_guard_name("/srv/election", name),
			    "primaryd-guard@election.service");
	assert_string_equal(unit_guard_name("primaryd", name), "primaryd-guard.service");
	memset(path, 'x', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	assert_true(strlen(unit_guard_name(path, name)) < sizeof(name));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_once),  cmocka_unit_test(test_down_when_all_are),
		cmocka_unit_test(test_apart),	   cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_guard_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
