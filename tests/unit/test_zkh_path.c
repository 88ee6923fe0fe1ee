/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <zookeeper/zookeeper.h>

#include "zk/session/zkh_internal.h"
#include "zk/zkh_path.h"
#include "zk/zkh_result.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void test_path_valid(void **state)
{
	static const char *const valid[] = {
		"/",
		"/a",
		"/a/b",
		"/a.b/..c/d../...",
		"/.a",
		"/a b",
		"/nodes/h\xc3\xa9", /* two bytes */
		"/\xe2\x82\xac",    /* three */
		"/-_~!$&'()*+,;=:@%",
	};
	static const char *const invalid[] = {
		"",
		"a",
		"a/b",
		"//",
		"/a/",
		"//a",
		"/a//b",
		"/.",
		"/..",
		"/a/.",
		"/a/..",
		"/./a",
		"/../a",
		"/a/./b",
		"/a/../b",
		"/a\nb",
		"/a\tb",
		"/\x01",
		"/\x1f",
		"/\x7f",
		"/\xc2\x80", /* a control character of two bytes */
		"/\xc3",     /* cut short */
		"/\xc3/a",
		"/\xa9",	     /* no first byte */
		"/\xc0\xaf",	     /* '/' in two bytes */
		"/\xe0\x80\xaf",     /* in three */
		"/\xed\xa0\x80",     /* a surrogate */
		"/\xef\xbf\xbe",     /* U+FFFE */
		"/\xf0\x80\x80\xaf", /* '/' in four */
		"/\xf4\x90\x80\x80", /* beyond Unicode */
		"/\xff",
	};

	for (size_t i = 0; i < COUNT(valid); i++) {
		if (!zkh_path_valid(valid[i]))
			fail_msg("refused: %s", valid[i]);
	}
	for (size_t i = 0; i < COUNT(invalid); i++) {
		if (zkh_path_valid(invalid[i]))
			fail_msg("taken: %s", invalid[i]);
	}
}

static void test_path_length(void **state)
{
	char path[ZKH_PATH_MAX + 1];

	memset(path, 'a', sizeof(path));
	path[0] = '/';
	path[ZKH_PATH_MAX - 1] = 0;
	assert_true(zkh_path_valid(path));
	path[ZKH_PATH_MAX - 1] = 'a';
	path[ZKH_PATH_MAX] = 0;
	assert_false(zkh_path_valid(path));
}

static void test_name_valid(void **state)
{
	static const char *const valid[] = { "a", "node-1", "A.b_C-9", "0", "9-._", "Z" };
	static const char *const invalid[] = { "",	   ".", "..",  "a/b", "a b", "-rf", "a\n",
					       "\xc3\xa9", "/", "a:b", ".a",  "...", "_a",  "-" };
	char name[ZKH_NAME_MAX + 2];

	for (size_t i = 0; i < COUNT(valid); i++)
		assert_true(zkh_name_valid(valid[i]));
	for (size_t i = 0; i < COUNT(invalid); i++)
		assert_false(zkh_name_valid(invalid[i]));
	memset(name, 'n', sizeof(name));
	name[ZKH_NAME_MAX] = 0;
	assert_true(zkh_name_valid(name));
	name[ZKH_NAME_MAX] = 'n';
	name[ZKH_NAME_MAX + 1] = 0;
	assert_false(zkh_name_valid(name));
}

static void test_path_join(void **state)
{
	static const struct {
		const char *parent, *rest, *joined; /* NULL: refused */
	} cases[] = {
		{ "/", "a", "/a" },	{ "/", "a/b", "/a/b" },
		{ "/a", "b", "/a/b" },	{ "/a/b", "c/d", "/a/b/c/d" },
		{ "/a", "", NULL },	{ "/", "", NULL },
		{ "/a", "/b", NULL },	{ "/a", "b/", NULL },
		{ "/a", "..", NULL },	{ "/a", "b/../c", NULL },
		{ "/a", "b//c", NULL }, { "/a", "b\n", NULL },
	};
	char path[ZKH_PATH_MAX], rest[ZKH_PATH_MAX + 8];

	for (size_t i = 0; i < COUNT(cases); i++) {
		strcpy(path, "untouched");
		if (!cases[i].joined) {
			assert_int_equal(zkh_path_join(cases[i].parent, cases[i].rest, path),
					 ZKH_INVALID);
			assert_string_equal(path, "untouched");
			continue;
		}
		assert_int_equal(zkh_path_join(cases[i].parent, cases[i].rest, path), 0);
		assert_string_equal(path, cases[i].joined);
	}
	memset(rest, 'r', sizeof(rest));
	rest[ZKH_PATH_MAX - 4] = 0; /* "/p/" + 1020 = 1023 */
	assert_int_equal(zkh_path_join("/p", rest, path), 0);
	assert_int_equal(strlen(path), ZKH_PATH_MAX - 1);
	rest[ZKH_PATH_MAX - 4] = 'r';
	rest[ZKH_PATH_MAX - 3] = 0;
	assert_int_equal(zkh_path_join("/p", rest, path), ZKH_INVALID);
	/* Into the parent itself. */
	strcpy(path, "/in");
	assert_int_equal(zkh_path_join(path, "place", path), 0);
	assert_string_equal(path, "/in/place");
}

static void test_path_parent(void **state)
{
	static const struct {
		const char *path, *parent, *name;
	} cases[] = { { "/a", "/", "a" }, { "/a/b", "/a", "b" }, { "/a/b/c", "/a/b", "c" } };
	char path[ZKH_PATH_MAX];

	for (size_t i = 0; i < COUNT(cases); i++) {
		zkh_path_parent(cases[i].path, path);
		assert_string_equal(path, cases[i].parent);
		assert_string_equal(zkh_path_name(cases[i].path), cases[i].name);
	}
	assert_string_equal(zkh_path_name("/"), "");
	strcpy(path, "/in/place");
	zkh_path_parent(path, path);
	assert_string_equal(path, "/in");
}

static void test_path_is_below(void **state)
{
	assert_true(zkh_path_is_below("/a", "/a"));
	assert_true(zkh_path_is_below("/a/b", "/a"));
	assert_true(zkh_path_is_below("/a", "/"));
	assert_true(zkh_path_is_below("/", "/"));
	assert_false(zkh_path_is_below("/ab", "/a"));
	assert_false(zkh_path_is_below("/a", "/a/b"));
	assert_false(zkh_path_is_below("/", "/a"));
	assert_false(zkh_path_is_below("/b/a", "/a"));
}

static void test_result_text(void **state)
{
#define X(name, value, text)                                                                       \
	assert_int_equal(name, value);                                                             \
	assert_string_equal(zkh_result_text(name), text);
	ZKH_RESULTS(X)
#undef X
	assert_non_null(zkh_result_text(-1));
	assert_non_null(zkh_result_text(10000));
}

static void test_result_translate(void **state)
{
	static const struct {
		int code, result;
	} cases[] = {
		{ ZOK, ZKH_OK },
		{ ZNONODE, ZKH_NO_NODE },
		{ ZNODEEXISTS, ZKH_NODE_EXISTS },
		{ ZBADVERSION, ZKH_CONFLICT },
		{ ZNOTEMPTY, ZKH_NOT_EMPTY },
		{ ZNOCHILDRENFOREPHEMERALS, ZKH_EPHEMERAL },
		{ ZNOAUTH, ZKH_DENIED },
		{ ZAUTHFAILED, ZKH_AUTH_FAILED },
		{ ZBADARGUMENTS, ZKH_INVALID },
		{ -125, ZKH_QUOTA },
		{ ZNOTREADONLY, ZKH_READ_ONLY },
		{ ZTHROTTLEDOP, ZKH_THROTTLED },
		/* May or may not have happened. */
		{ ZCONNECTIONLOSS, ZKH_UNKNOWN },
		{ ZOPERATIONTIMEOUT, ZKH_UNKNOWN },
		{ ZRUNTIMEINCONSISTENCY, ZKH_UNKNOWN },
		{ ZCLOSING, ZKH_UNKNOWN },
		{ ZSESSIONEXPIRED, ZKH_UNKNOWN },
	};

	for (size_t i = 0; i < COUNT(cases); i++)
		assert_int_equal(zkh_result_translate(cases[i].code), cases[i].result);
	/* Never 0 or negative for an error, known or not. */
	for (int code = -1; code > -200; code--)
		assert_true(zkh_result_translate(code) > 0);
}

static void test_server_list(void **state)
{
	static const struct {
		const char *list;
		const char *host, *port; /* of the first; NULL: not well-formed */
	} cases[] = {
		{ "a:1", "a", "1" },
		{ "127.0.0.1:2181,b:2", "127.0.0.1", "2181" },
		{ "[::1]:2181", "::1", "2181" },
		{ " a:65535 ,b:1", "a", "65535" },
		{ "a", NULL, NULL },
		{ "a:", NULL, NULL },
		{ ":1", NULL, NULL },
		{ "a:0", NULL, NULL },
		{ "a:65536", NULL, NULL },
		{ "a:99999999999999999999", NULL, NULL },
		{ "a:1x", NULL, NULL },
		{ "a:-1", NULL, NULL },
		{ "::1:2181", NULL, NULL },
		{ "[::1:2181", NULL, NULL },
		{ "[]:1", NULL, NULL },
		{ "a:1,", NULL, NULL },
		{ ",a:1", NULL, NULL },
		{ "a:1/root", NULL, NULL },
		{ "a/b:1", NULL, NULL },
		{ "a b:1", NULL, NULL },
	};
	struct zkh_server server;

	for (size_t i = 0; i < COUNT(cases); i++) {
		const char *list = cases[i].list;
		int r = zkh_server_next(&list, &server);

		if (!cases[i].host) {
			if (r != ZKH_INVALID)
				fail_msg("taken: %s", cases[i].list);
			continue;
		}
		assert_int_equal(r, 0);
		assert_string_equal(server.host, cases[i].host);
		assert_string_equal(server.port, cases[i].port);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_path_valid),  cmocka_unit_test(test_path_length),
		cmocka_unit_test(test_name_valid),  cmocka_unit_test(test_path_join),
		cmocka_unit_test(test_path_parent), cmocka_unit_test(test_path_is_below),
		cmocka_unit_test(test_result_text), cmocka_unit_test(test_result_translate),
		cmocka_unit_test(test_server_list),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
