/* SPDX-License-Identifier: Apache-2.0 */

/* What is read from ZooKeeper is untrusted: what keys.c takes, and what it takes as absent. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/keys.h"

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

static void test_names(void **state)
{
	static const struct {
		const char *data;
		size_t length;
		const char *name; /* NULL: junk */
	} cases[] = {
		{ "a", 1, "a" },
		{ "node-1.example_x", 16, "node-1.example_x" },
		{ " hv1\n", 5, "hv1" },
		{ "none", 4, NULL },
		{ "", 0, NULL },
		{ "\n", 1, NULL },
		{ ".", 1, NULL },
		{ "..", 2, NULL },
		{ "-rf", 3, NULL },
		{ ".hv1", 4, NULL },
		{ "_hv1", 4, NULL },
		{ "a b", 3, NULL },
		{ "a/b", 3, NULL },
		{ "h\0v", 3, NULL },
		{ "h\303\251", 3, NULL },
		{ "0123456789012345678901234567890123456789012345678901234567890123", 64,
		  "0123456789012345678901234567890123456789012345678901234567890123" },
		{ "01234567890123456789012345678901234567890123456789012345678901234", 65, NULL },
	};

	for (size_t i = 0; i < LENGTH(cases); i++) {
		char name[NAME_SIZE] = "untouched";
		bool valid = value_name(cases[i].data, cases[i].length, name);

		assert_int_equal(valid, cases[i].name != NULL);
		assert_string_equal(name, cases[i].name ? cases[i].name : "untouched");
	}
}

static void test_posts(void **state)
{
	static const struct {
		const char *text;
		const char *name; /* NULL: junk */
		int64_t epoch;
	} cases[] = {
		{ "hv1 4294967320", "hv1", 4294967320 },
		{ "hv1 0", "hv1", 0 },
		{ "hv1 4611686018427387903", "hv1", EPOCH_LIMIT - 1 },
		{ "hv1 4611686018427387904", NULL, 0 },
		{ "hv1 9223372036854775808", NULL, 0 },
		{ "hv1 -1", NULL, 0 },
		{ "hv1 1x", NULL, 0 },
		{ "hv1 1 2", NULL, 0 },
		{ "hv1", NULL, 0 },
		{ "hv1 ", NULL, 0 },
		{ "none 1", NULL, 0 },
		{ "a/b 1", NULL, 0 },
		{ "-rf 1", NULL, 0 },
		{ "", NULL, 0 },
	};

	for (size_t i = 0; i < LENGTH(cases); i++) {
		char name[NAME_SIZE] = "untouched";
		int64_t epoch = -7;
		bool valid = value_post(cases[i].text, strlen(cases[i].text), name, &epoch);

		assert_int_equal(valid, cases[i].name != NULL);
		if (!valid)
			continue;
		assert_string_equal(name, cases[i].name);
		assert_int_equal(epoch, cases[i].epoch);
	}
}

static void test_alive_round_trip(void **state)
{
	const struct alive self = { .session = 0x1234abcd5678,
				    .pid = 4711,
				    .started_ms = 1700000000000,
				    .boot = "a0b1c2d3-0000-1111-2222-333344445555",
				    .version = "0.1.0",
				    .host = "hv1.example.org" };
	char text[KEY_VALUE_MAX];
	struct alive read;

	value_alive(text, alive_format(&self, text, sizeof(text)), &read);
	assert_memory_equal(&read, &self, sizeof(self));
}

static void test_alive_of_strangers(void **state)
{
	static const char *const texts[] = {
		"", "pid", "pid=", "pid=x host", "=", "a=b c=d", "pid=99999999999999999999", "host="
	};
	struct alive read;
	char longest[4096];

	for (size_t i = 0; i < LENGTH(texts); i++) {
		value_alive(texts[i], strlen(texts[i]), &read);
		assert_int_equal(read.pid, 0);
		assert_string_equal(read.host, "");
	}
	memset(longest, 'x', sizeof(longest));
	memcpy(longest, "host=", 5);
	value_alive(longest, sizeof(longest), &read);
	assert_string_equal(read.host, "");
	value_alive(longest, 200, &read);
	assert_string_equal(read.host, "");
}

static void test_keepalives(void **state)
{
	static const struct {
		const char *text;
		int64_t lease_us; /* 0: junk */
	} cases[] = {
		{ "ab 6666666 7 0123 4-5", 6666666 },
		{ "ab 3600000000 7 0123 4-5", KEEPALIVE_LEASE_MAX_US },
		{ "ab 3600000001 7 0123 4-5", 0 },
		{ "ab 9223372036854775807 7 0123 4-5", 0 },
		{ "ab 99999999999999999999 7 0123 4-5", 0 },
		{ "ab 0 7 0123 4-5", 0 },
		{ "ab -1 7 0123 4-5", 0 },
		{ "ab 1 -7 0123 4-5", 0 },
		{ "0 1 7 0123 4-5", 0 },
		{ "ab 1 7 0123", 0 },
		{ "ab 1 7 0123 4-5 6", 0 },
		{ "0", 0 },
		{ "", 0 },
	};

	for (size_t i = 0; i < LENGTH(cases); i++) {
		struct keepalive read = { .lease_us = 0 };

		assert_int_equal(value_keepalive(cases[i].text, strlen(cases[i].text), &read),
				 cases[i].lease_us != 0);
		assert_true(read.lease_us == cases[i].lease_us);
	}
}

static void test_acting_states(void **state)
{
	assert_true(router_state_is_acting("takeover"));
	assert_true(router_state_is_acting("primary"));
	assert_true(router_state_is_acting("relinquish"));
	assert_false(router_state_is_acting("secondary"));
	assert_false(router_state_is_acting("client"));
	assert_false(router_state_is_acting(""));
	assert_false(router_state_is_acting("primary "));
}

static void test_maintenance(void **state)
{
	static const struct {
		const char *text;
		bool on, clear;
	} cases[] = {
		{ "true", true, true },
		{ "True", true, true },
		{ " yes\n", true, true },
		{ "ON", true, true },
		{ "1", true, true },
		{ "false", false, true },
		{ "False\n", false, true },
		{ "no", false, true },
		{ "Off", false, true },
		{ "0", false, true },
		{ "", true, false },
		{ "until noon", true, false },
		{ "00", true, false },
		{ "\x01", true, false },
		{ "true until then", true, false },
	};
	static const struct {
		const char *text;
		int64_t end_ms;
	} ends[] = {
		{ "true until 1970-01-01T01:00:00.250Z", 3600250 },
		{ "yes until 1970-01-01T01:00:00Z\n", 3600000 },
		{ "true until then", 0 },
		{ "true", 0 },
	};
	char longest[KEY_VALUE_MAX + 8];
	int64_t end_ms;
	bool clear;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(value_maintenance(cases[i].text, strlen(cases[i].text), &clear,
						   &end_ms),
				 cases[i].on);
		assert_int_equal(clear, cases[i].clear);
	}
	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		assert_true(value_maintenance(ends[i].text, strlen(ends[i].text), &clear, &end_ms));
		assert_int_equal(clear, ends[i].end_ms > 0 || !strcmp(ends[i].text, "true"));
		assert_int_equal(end_ms, ends[i].end_ms);
	}
	memset(longest, '0', sizeof(longest));
	assert_true(value_maintenance(longest, sizeof(longest), &clear, &end_ms));
	assert_false(clear);
}

static void test_paths(void **state)
{
	char path[KEY_PATH_SIZE];

	node_key_path("hv1", NODE_KEY_ALIVE, path);
	assert_string_equal(path, "/nodes/hv1/alive");
	node_key_path("0123456789012345678901234567890123456789012345678901234567890123",
		      NODE_KEY_ROUTER, path);
	assert_int_equal(strlen(path), strlen("/nodes/") + 64 + strlen("/routerstate"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_posts),
		cmocka_unit_test(test_alive_round_trip),
		cmocka_unit_test(test_alive_of_strangers),
		cmocka_unit_test(test_keepalives),
		cmocka_unit_test(test_acting_states),
		cmocka_unit_test(test_maintenance),
		cmocka_unit_test(test_paths),
	};

	return cmocka_run_group_tests_name("keys", tests, NULL, NULL);
}
