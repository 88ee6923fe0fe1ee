/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "zk/lock/zkh_lock_name.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void makes_kazoos_names(void **state)
{
	uint8_t random[ZKH_LOCK_RANDOM_SIZE];
	char prefix[ZKH_LOCK_PREFIX_SIZE];
	size_t i;

	for (i = 0; i < sizeof(random); i++)
		random[i] = (uint8_t)(0x0f + 0x10 * i);
	zkh_lock_name_make(ZKH_LOCK_EXCLUSIVE, random, prefix);
	assert_string_equal(prefix, "0f1f2f3f4f5f6f7f8f9fafbfcfdfefff__lock__");
	zkh_lock_name_make(ZKH_LOCK_WRITE, random, prefix);
	assert_string_equal(prefix, "0f1f2f3f4f5f6f7f8f9fafbfcfdfefff__lock__");
	zkh_lock_name_make(ZKH_LOCK_READ, random, prefix);
	assert_string_equal(prefix, "0f1f2f3f4f5f6f7f8f9fafbfcfdfefff__rlock__");
}

static void parses_lock_names(void **state)
{
	static const struct {
		const char *name;
		bool reader;
		int32_t sequence;
	} cases[] = {
		{ "0123456789abcdef0123456789abcdef__lock__0000000000", false, 0 },
		{ "0123456789abcdef0123456789abcdef__rlock__0000000042", true, 42 },
		{ "__lock__0000000007", false, 7 },
		{ "anything__lock__2147483647", false, INT32_MAX },
		{ "x__lock__-2147483648", false, INT32_MIN },
		{ "x__lock__-000000001", false, -1 },
		{ "x__lock__-0000000001", false, -1 },
		{ "__rlock____lock__0000000001", false, 1 },
		{ "__lock__0000000009__rlock__0000000001", true, 1 },
	};
	struct zkh_lock_name parsed;
	size_t i;

	for (i = 0; i < COUNT(cases); i++) {
		assert_true(zkh_lock_name_parse(cases[i].name, &parsed));
		assert_int_equal(parsed.reader, cases[i].reader);
		assert_int_equal(parsed.sequence, cases[i].sequence);
	}
}

static void ignores_junk(void **state)
{
	static const char *const junk[] = {
		"",
		"0",
		"none",
		"0000000001",
		"__lock__",
		"x__lock__1",
		"x__lock__000000001",	/* nine digits */
		"x__lock__00000000001", /* eleven */
		"x__lock__9999999999",	/* no 32 bits */
		"x__lock__2147483648",
		"x__lock__-2147483649",
		"x__lock__-00000001",
		"x__lock__--000000001",
		"x__lock__0000000001 ",
		"x__lock__000000000a",
		"x__LOCK__0000000001",
		"x__wlock__0000000001",
		"x_lock__0000000001",
		"x-lock-0000000001",
		"-0000000001",
	};
	struct zkh_lock_name parsed = { .reader = true, .sequence = 5 };
	size_t i;

	for (i = 0; i < COUNT(junk); i++)
		assert_false(zkh_lock_name_parse(junk[i], &parsed));
	assert_true(parsed.reader);
	assert_int_equal(parsed.sequence, 5);
}

static void orders_across_the_wrap(void **state)
{
	assert_true(zkh_lock_name_before(0, 1));
	assert_false(zkh_lock_name_before(1, 0));
	assert_false(zkh_lock_name_before(3, 3));
	assert_true(zkh_lock_name_before(-1, 0));
	assert_true(zkh_lock_name_before(INT32_MAX, INT32_MIN));
	assert_false(zkh_lock_name_before(INT32_MIN, INT32_MAX));
	assert_true(zkh_lock_name_before(INT32_MAX - 5, INT32_MIN + 5));
}

/* Names of one letter and number, e.g. "L3" "R4", to lock names. */
static enum zkh_lock_place place(enum zkh_lock_kind kind, const char *own, const char *others,
				 const char **ret_predecessor)
{
	static char names[16][32];
	static const char *list[16];
	enum zkh_lock_place result;
	size_t count = 0, predecessor = 99;
	char own_name[32];
	const char *at;

	snprintf(own_name, sizeof(own_name), "me%s%010d", own[0] == 'R' ? "__rlock__" : "__lock__",
		 atoi(own + 1));
	for (at = others; *at != '\0'; at += strcspn(at, " "), at += strspn(at, " ")) {
		if (*at == '=')
			strcpy(names[count], own_name);
		else if (*at == 'J')
			strcpy(names[count], "junk__lock__1");
		else
			snprintf(names[count], sizeof(names[count]), "it%s%010d",
				 *at == 'R' ? "__rlock__" : "__lock__", atoi(at + 1));
		list[count] = names[count];
		count++;
	}
	result = zkh_lock_name_place(kind, own_name, list, count, &predecessor);
	*ret_predecessor = result == ZKH_LOCK_PLACE_BEHIND ? list[predecessor] : "";
	return result;
}

static void finds_its_place(void **state)
{
	static const struct {
		enum zkh_lock_kind kind;
		const char *own, *names;
		enum zkh_lock_place place;
		const char *predecessor;
	} cases[] = {
		{ ZKH_LOCK_EXCLUSIVE, "L5", "=", ZKH_LOCK_PLACE_FIRST, "" },
		{ ZKH_LOCK_EXCLUSIVE, "L5", "", ZKH_LOCK_PLACE_GONE, "" },
		{ ZKH_LOCK_EXCLUSIVE, "L5", "L3 L4", ZKH_LOCK_PLACE_GONE, "" },
		{ ZKH_LOCK_EXCLUSIVE, "L5", "L6 = L7", ZKH_LOCK_PLACE_FIRST, "" },
		{ ZKH_LOCK_EXCLUSIVE, "L5", "J = J", ZKH_LOCK_PLACE_FIRST, "" },
		{ ZKH_LOCK_EXCLUSIVE, "L5", "L2 L4 = L3 L9", ZKH_LOCK_PLACE_BEHIND,
		  "it__lock__0000000004" },
		{ ZKH_LOCK_EXCLUSIVE, "L5", "R4 =", ZKH_LOCK_PLACE_FIRST, "" },
		{ ZKH_LOCK_EXCLUSIVE, "L5", "R4 = L1", ZKH_LOCK_PLACE_BEHIND,
		  "it__lock__0000000001" },
		{ ZKH_LOCK_WRITE, "L5", "R4 = L1", ZKH_LOCK_PLACE_BEHIND, "it__rlock__0000000004" },
		{ ZKH_LOCK_WRITE, "L5", "R6 = L7", ZKH_LOCK_PLACE_FIRST, "" },
		{ ZKH_LOCK_WRITE, "L5", "R1 = L4", ZKH_LOCK_PLACE_BEHIND, "it__lock__0000000004" },
		{ ZKH_LOCK_READ, "R5", "R4 = R1", ZKH_LOCK_PLACE_FIRST, "" },
		{ ZKH_LOCK_READ, "R5", "R4 = L6", ZKH_LOCK_PLACE_FIRST, "" },
		{ ZKH_LOCK_READ, "R5", "R4 = L1 L2", ZKH_LOCK_PLACE_BEHIND,
		  "it__lock__0000000002" },
		{ ZKH_LOCK_EXCLUSIVE, "L-2147483647", "L2147483647 =", ZKH_LOCK_PLACE_BEHIND,
		  "it__lock__2147483647" },
		{ ZKH_LOCK_EXCLUSIVE, "L2147483647", "L-2147483647 =", ZKH_LOCK_PLACE_FIRST, "" },
	};
	const char *predecessor;
	size_t i;

	for (i = 0; i < COUNT(cases); i++) {
		assert_int_equal(place(cases[i].kind, cases[i].own, cases[i].names, &predecessor),
				 cases[i].place);
		assert_string_equal(predecessor, cases[i].predecessor);
	}
}

static void finds_a_prefix(void **state)
{
	static const char *const names[] = { "a", "abc__lock__0000000001",
					     "abd__lock__0000000002" };

	assert_int_equal(zkh_lock_name_find(names, COUNT(names), "abd__lock__"), 2);
	assert_int_equal(zkh_lock_name_find(names, COUNT(names), "abe__lock__"), COUNT(names));
	assert_int_equal(zkh_lock_name_find(NULL, 0, "abe__lock__"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(makes_kazoos_names), cmocka_unit_test(parses_lock_names),
		cmocka_unit_test(ignores_junk),	      cmocka_unit_test(orders_across_the_wrap),
		cmocka_unit_test(finds_its_place),    cmocka_unit_test(finds_a_prefix),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
