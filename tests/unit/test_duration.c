/* SPDX-License-Identifier: Apache-2.0 */
#include "base/duration.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void test_parse(void **state)
{
	static const struct {
		const char *text;
		int64_t us;
	} cases[] = {
		{ "0", 0 },
		{ "00", 0 },
		{ "0ms", 0 },
		{ "0 s", 0 },
		{ "400ms", 400 * DURATION_MS },
		{ "400 ms", 400 * DURATION_MS },
		{ "10s", 10 * DURATION_S },
		{ "10\ts", 10 * DURATION_S },
		{ "1.5s", 1500 * DURATION_MS },
		{ "0.000001s", 1 },
		{ "0.001ms", 1 },
		{ "1.000000000000000s", DURATION_S },
		{ "0.25min", 15 * DURATION_S },
		{ "0.0000001min", 6 },
		{ "2min", 2 * DURATION_MIN },
		{ "525600min", DURATION_MAX },
		{ "525599.5min", DURATION_MAX - 30 * DURATION_S },
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		int64_t us = -1;

		assert_int_equal(duration_parse(cases[i].text, &us), 0);
		assert_int_equal(us, cases[i].us);
	}
}

static void test_refused(void **state)
{
	static const struct {
		const char *text;
		enum duration_error error;
	} cases[] = {
		{ "", DURATION_EMPTY },
		{ "s", DURATION_NO_NUMBER },
		{ " 1s", DURATION_NO_NUMBER },
		{ "-1s", DURATION_NO_NUMBER },
		{ "+1s", DURATION_NO_NUMBER },
		{ ".5s", DURATION_NO_NUMBER },
		{ "1.s", DURATION_NO_NUMBER },
		{ "1.", DURATION_NO_NUMBER },
		{ "5", DURATION_NO_UNIT },
		{ "0.0", DURATION_NO_UNIT },
		{ "5 ", DURATION_NO_UNIT },
		{ "5H", DURATION_BAD_UNIT },
		{ "5S", DURATION_BAD_UNIT },
		{ "5sec", DURATION_BAD_UNIT },
		{ "5s ", DURATION_BAD_UNIT },
		{ "1,5s", DURATION_BAD_UNIT },
		{ "1.5.5s", DURATION_BAD_UNIT },
		{ "1e3s", DURATION_BAD_UNIT },
		{ "0x5s", DURATION_BAD_UNIT },
		{ "1min 5s", DURATION_BAD_UNIT },
		{ "0.0000001s", DURATION_TOO_FINE },
		{ "0.0001ms", DURATION_TOO_FINE },
		{ "0.00000001min", DURATION_TOO_FINE },
		{ "0.0000000000000000000000000000001s", DURATION_TOO_FINE },
		{ "525601min", DURATION_TOO_LONG },
		{ "525600.0000001min", DURATION_TOO_LONG },
		{ "31536000.1s", DURATION_TOO_LONG },
		{ "99999999999999999999999999999999999999s", DURATION_TOO_LONG },
		{ "9223372036854775807min", DURATION_TOO_LONG },
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		int64_t us = -7;

		assert_int_equal(duration_parse(cases[i].text, &us), cases[i].error);
		assert_int_equal(us, -7);
		assert_true(strlen(duration_error_text(cases[i].error)) > 0);
	}
}

static void test_format(void **state)
{
	static const struct {
		int64_t us;
		const char *text;
	} cases[] = {
		{ 0, "0" },
		{ 1, "0.001ms" },
		{ 833333, "833.333ms" },
		{ 400000, "400ms" },
		{ 1500000, "1.5s" },
		{ 10 * DURATION_S, "10s" },
		{ 59 * DURATION_S, "59s" },
		{ DURATION_MIN, "1min" },
		{ 90 * DURATION_S, "90s" },
		{ DURATION_S + 1, "1.000001s" },
		{ DURATION_MAX, "525600min" },
	};
	char buf[DURATION_TEXT_SIZE];

	for (size_t i = 0; i < COUNT(cases); i++)
		assert_string_equal(duration_format(cases[i].us, buf), cases[i].text);
}

static void test_round_trip(void **state)
{
	char buf[DURATION_TEXT_SIZE];

	for (int64_t us = 1; us < DURATION_MAX; us = us * 3 + 1) {
		int64_t back = -1;

		assert_int_equal(duration_parse(duration_format(us, buf), &back), 0);
		assert_int_equal(back, us);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_format),
		cmocka_unit_test(test_round_trip),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
