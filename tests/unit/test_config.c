/* SPDX-License-Identifier: Apache-2.0 */
#include "base/config/config.h"
#include "zk/session/zkh_tunnel.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "election/lease.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define TEN(text) text text text text text text text text text text

static struct config_errors errors;

static int load(const char *text, struct config *ret)
{
	return config_load_string("f", text, strlen(text), 0, ret, &errors);
}

/* At least these errors, in this order; `only`: no others. */
static void check_refused(const char *text, size_t n_text, unsigned flags,
			  const char *const *expected, size_t n_expected, bool only)
{
	struct config config;
	size_t n = 0;

	memset(&config, 0x5a, sizeof(config));
	assert_int_equal(config_load_string("f", text, n_text, flags, &config, &errors),
			 CONFIG_INVALID);
	assert_int_equal(((unsigned char *)&config)[0], 0x5a); /* untouched */
	for (size_t i = 0; i < errors.n; i++) {
		if (n < n_expected && strstr(errors.texts[i], expected[n]) == errors.texts[i])
			n++;
		else if (only)
			fail_msg("unexpected: %s", errors.texts[i]);
	}
	if (n < n_expected)
		fail_msg("missing: %s\n   first: %s", expected[n], errors.texts[0]);
}

static void check_one(const char *text, const char *expected)
{
	check_refused(text, strlen(text), 0, &expected, 1, true);
}

static void test_defaults(void **state)
{
	struct config config;

	assert_int_equal(config_load_defaults(&config, &errors), 0);
	assert_string_equal(config.zookeeper.servers, "127.0.0.1:2181");
	assert_int_equal(config.zookeeper.n_servers, 1);
	assert_string_equal(config.zookeeper.root, "/");
	assert_int_equal(config.zookeeper.session_timeout_us, 10 * DURATION_S);
	assert_string_equal(config.zookeeper.auth_file, "");
	assert_true(strlen(config.node.name) > 0);
	assert_null(strchr(config.node.name, '.'));
	assert_int_equal(config.node.mode, CONFIG_COORDINATOR);
	assert_int_equal(config.node.contend_delay_us, 0);
	assert_string_equal(config.node.runtime_directory, "/run/primaryd");
	assert_int_equal(config.election.lock_timeout_us, 400 * DURATION_MS);
	assert_int_equal(config.election.transition_delay_us, 500 * DURATION_MS);
	assert_int_equal(config.election.handover_timeout_us, 5 * DURATION_S);
	assert_int_equal(config.election.penalty_us, 10 * DURATION_S);
	assert_string_equal(config.takeover.unit, "");
	assert_null(config.takeover.command.argv);
	assert_int_equal(config.takeover.timeout_us, 60 * DURATION_S);
	assert_int_equal(config.takeover.acquire_delay_us, 0);
	assert_null(config.relinquish.command.argv);
	assert_int_equal(config.relinquish.timeout_us, 30 * DURATION_S);
	assert_int_equal(config.relinquish.lease_timeout_us, 3 * DURATION_S);
	assert_int_equal(config.relinquish.self_fence, CONFIG_SELF_FENCE_NONE);
	assert_null(config.fence.command.argv);
	assert_int_equal(config.fence.timeout_us, 60 * DURATION_S);
	assert_int_equal(config.fence.failure, CONFIG_FENCE_FAILURE_STOP);
	assert_null(config.health.command.argv);
	assert_int_equal(config.health.interval_us, 5 * DURATION_S);
	assert_int_equal(config.health.timeout_us, 3 * DURATION_S);
	assert_int_equal(config.health.failures, 3);
	assert_null(config.follow.command.argv);
	config_finish(&config);
	config_finish(&config);
}

static const char everything[] =
	"\xef\xbb\xbf# comment\r\n"
	"; comment\n"
	"[zookeeper] ; the ensemble\n"
	"servers = zk1.example.com:2181, 10.0.0.2:2182\r\n"
	"    [::1]:2183 ; and more\n"
	"; in between\n"
	"\n"
	"\tzk-4:65535,zk5:1\n"
	"root = /my/cluster\n"
	"session-timeout=30s;no comment without a blank\n"
	"auth-file = /etc/primaryd/a file\n"
	"[node]\n"
	"name: n_1.x-2\n"
	"mode = client\n"
	"contend-delay = 1.5s\n"
	"runtime-directory = /run/x\n"
	"[election]\n"
	"lock-timeout = 100ms\n"
	"transition-delay = 100.001ms\n"
	"handover-timeout = 0\n"
	"penalty = 1min\n"
	"[takeover]\n"
	"unit = postgresql@15-main.service\n"
	"command = /bin/echo one \"two words\" \\\"three\\\" back\\\\slash \"\" x\"y z\"w \"a\\\\b\\\"c\" \\# \"|\" ; b\n"
	"  \"fo;ur\" five\\;\n"
	"timeout = 1s\n"
	"acquire-delay = 2s\n"
	"[relinquish]\n"
	"command = /bin/false\n"
	"timeout = 3s\n"
	"lease-timeout = 4s\n"
	"self-fence = reboot\n"
	"[fence]\n"
	"command = /bin/fence\n"
	"timeout = 5s\n"
	"failure = continue\n"
	"[health]\n"
	"command = /bin/health\n"
	"interval = 6s\n"
	"timeout = 7s\n"
	"failures = 100\n"
	"[follow]\n"
	"command = /bin/follow";

static void test_everything(void **state)
{
	static const char *const argv[] = { "/bin/echo",   "one", "two words", "\"three\"",
					    "back\\slash", "",	  "xy zw",     "a\\b\"c",
					    "#",	   "|",	  "fo;ur",     "five;" };
	struct config config;
	char text[sizeof(everything)];
	char *p;

	/* An unquoted ';' after a blank is a comment, an escaped one is not. */
	(void)strcpy(text, everything);
	p = strstr(text, "30s;no comment without a blank");
	memcpy(p, "30s ; a comment, with a blank ", 30);
	if (load(text, &config) != 0)
		fail_msg("%s", errors.texts[0]);
	assert_string_equal(config.zookeeper.servers,
			    "zk1.example.com:2181,10.0.0.2:2182,[::1]:2183,zk-4:65535,zk5:1");
	assert_int_equal(config.zookeeper.n_servers, 5);
	assert_string_equal(config.zookeeper.root, "/my/cluster");
	assert_int_equal(config.zookeeper.session_timeout_us, 30 * DURATION_S);
	assert_string_equal(config.zookeeper.auth_file, "/etc/primaryd/a file");
	assert_string_equal(config.node.name, "n_1.x-2");
	assert_int_equal(config.node.mode, CONFIG_CLIENT);
	assert_string_equal(config_mode_text(config.node.mode), "client");
	assert_int_equal(config.node.contend_delay_us, 1500 * DURATION_MS);
	assert_string_equal(config.node.runtime_directory, "/run/x");
	assert_int_equal(config.election.transition_delay_us, 100001);
	assert_int_equal(config.election.handover_timeout_us, 0);
	assert_int_equal(config.election.penalty_us, 60 * DURATION_S);
	assert_string_equal(config.takeover.unit, "postgresql@15-main.service");
	for (size_t i = 0; i < COUNT(argv); i++)
		assert_string_equal(config.takeover.command.argv[i], argv[i]);
	assert_null(config.takeover.command.argv[COUNT(argv)]);
	assert_int_equal(config.takeover.acquire_delay_us, 2 * DURATION_S);
	assert_string_equal(config.relinquish.command.argv[0], "/bin/false");
	assert_int_equal(config.relinquish.lease_timeout_us, 4 * DURATION_S);
	assert_int_equal(config.relinquish.self_fence, CONFIG_SELF_FENCE_REBOOT);
	assert_string_equal(config.fence.command.argv[0], "/bin/fence");
	assert_int_equal(config.fence.failure, CONFIG_FENCE_FAILURE_CONTINUE);
	assert_string_equal(config.health.command.argv[0], "/bin/health");
	assert_int_equal(config.health.failures, 100);
	assert_string_equal(config.follow.command.argv[0], "/bin/follow");
	assert_int_equal(config.lines[CONFIG_KEY_node_name], 13);
	config_finish(&config);

	check_one(
		everything,
		"f:10: zookeeper.session-timeout: '30s;no comment without a blank' has an unknown");
}

static void test_bad_lines(void **state)
{
	static const struct {
		const char *text;
		const char *expected;
	} cases[] = {
		{ "name = a\n", "f:1: 'name' stands before the first section" },
		{ "[node]\nname\n", "f:2: the line is not [SECTION], KEY = VALUE" },
		{ "[node]\nname a ; = b\n", "f:2: the line is not [SECTION]" },
		{ "[node]\nname", "f:2: the line is not [SECTION]" },
		{ "\n  what\n", "f:2: the line is not [SECTION]" },
		{ "[node\nname = a\n", "f:1: the section has no closing bracket" },
		{ "[node] name = a\n", "f:1: something follows the section's bracket" },
		{ "[node];x\n", "f:1: something follows the section's bracket" },
		{ "[nod]\nname = a\nx = y\n",
		  "f:1: the section [nod] is unknown (did you mean [node]?)" },
		{ "[]\n", "f:1: the section [] is unknown (there are: zookeeper node" },
		{ "[ node ]\n", "f:1: the section [ node ] is unknown (did you mean [node]?)" },
		{ "[NODE]\n", "f:1: the section [NODE] is unknown" },
		{ "[something]\n",
		  "f:1: the section [something] is unknown (there are: zookeeper" },
		{ "[node]\nnmae = a\n", "f:2: node.nmae: the key is unknown (did you mean name?)" },
		{ "[node]\nNAME = a\n", "f:2: node.NAME: the key is unknown" },
		{ "[node]\nservers = a:1\n",
		  "f:2: node.servers: the key is unknown here (it belongs to "
		  "[zookeeper])" },
		{ "[node]\nfrobnicate = a\n", "f:2: node.frobnicate: the key is unknown (see" },
		{ "[node]\n= a\n", "f:2: node.: the key is unknown" },
		{ "[node]\nname = a\nname = a\n",
		  "f:3: node.name: the key is set a second time (line 2 was" },
		{ "[node]\nname = a\n[health]\n[node]\nname = b\n",
		  "f:5: node.name: the key is set a second" },
		{ "[node]\nname = a\x01"
		  "b\n",
		  "f:2: the line holds the control character 0x01" },
		{ "[node]\nname = a\x1b[2Jb\n", "f:2: the line holds the control character 0x1b" },
		{ "[node]\nname = a\rb\n", "f:2: the line holds the control character 0x0d" },
		{ "[node]\nname = a\n b\n",
		  "f:3: node.name: the value continues in a second line (only" },
		{ "[node]\nname = a\n mode = client\n",
		  "f:3: node.name: the line starts with a blank, so it "
		  "continues name above" },
		{ "[health]\ncommand = /bin/true\n timeout = 5s\n",
		  "f:3: health.command: the line starts "
		  "with a blank" },
		{ "[health]\ncommand = /bin/true\n [node]\n",
		  "f:3: health.command: the line starts with a" },
		{ "[node]\n# " TEN(TEN("xxx")) "\n",
		  "f:2: the line has 302 bytes, 197 are allowed" },
		{ "[node]\nname = a" TEN(TEN("  ")) "b\n", "f:2: the line has 209 bytes" },
		{ "[" TEN(TEN("xxx")) "]\n", "f:1: the line has 302 bytes" },
		{ "[" TEN(TEN("x")) "]\n", "f:1: the section [xxxxxxxxxx" },
	};

	for (size_t i = 0; i < COUNT(cases); i++)
		check_one(cases[i].text, cases[i].expected);
}

#define Z "[zookeeper]\n"
#define H "[health]\ncommand = "

static const struct {
	const char *text;
	const char *expected;
} bad_values[] = {
	/* servers */
	{ Z "servers =\n", "f:2: zookeeper.servers: is empty (name at least one" },
#define NOT_A_SERVER(list, which)                                                                  \
	{                                                                                          \
		Z "servers = " list "\n",                                                          \
			"f:2: zookeeper.servers: '" which "' is not HOST:PORT (a name"             \
	}
	NOT_A_SERVER(", ,", ""),
	NOT_A_SERVER("zk1", "zk1"),
	NOT_A_SERVER("[::1]", "[::1]"),
	NOT_A_SERVER("zk1:", "zk1:"),
	NOT_A_SERVER("zk1:0", "zk1:0"),
	NOT_A_SERVER("zk1:65536", "zk1:65536"),
	NOT_A_SERVER("zk1:-1", "zk1:-1"),
	NOT_A_SERVER("zk1:2181/root", "zk1:2181/root"),
	NOT_A_SERVER("a:1,,b:2", ""),
	NOT_A_SERVER(",a:1", ""),
	NOT_A_SERVER("a:1,", "a:1"),
	NOT_A_SERVER(":2181", ":2181"),
	NOT_A_SERVER("::1:2181", "::1:2181"),
	NOT_A_SERVER("[]:2181", "[]:2181"),
	NOT_A_SERVER("[:2181", "[:2181"),
	NOT_A_SERVER("[zk1]:2181", "[zk1]:2181"),
	NOT_A_SERVER("[1.2.3.4]:2181", "[1.2.3.4]:2181"),
	NOT_A_SERVER("1.2.3:2181", "1.2.3:2181"),
	NOT_A_SERVER("1.2.3.256:2181", "1.2.3.256:2181"),
	NOT_A_SERVER("zk$1:2181", "zk$1:2181"),
	NOT_A_SERVER("-zk:2181", "-zk:2181"),
	{ Z "servers = " TEN("a:1 b:1 c:1 ") " d:1 e:1 f:1\n", "f:2: zookeeper.servers: names more "
							       "than 32 servers" },
	/* root */
	{ Z "root =\n", "f:2: zookeeper.root: '' is not a ZooKeeper path" },
	{ Z "root = a\n", "f:2: zookeeper.root: 'a' is not a ZooKeeper path" },
	{ Z "root = /a/\n", "f:2: zookeeper.root: '/a/' is no" },
	{ Z "root = /a//b\n", "f:2: zookeeper.root: '/a//b' is no" },
	{ Z "root = /a/../b\n", "f:2: zookeeper.root: '/a/../b' is no" },
	{ Z "root = /a/.\n", "f:2: zookeeper.root: '/a/.' is no" },
	/* durations and numbers */
	{ Z "session-timeout =\n", "f:2: zookeeper.session-timeout: '' is empty (write a number" },
	{ Z "session-timeout = 5\n",
	  "f:2: zookeeper.session-timeout: '5' has no unit (write a number "
	  "and ms, s, min or h, such as 10s)" },
	{ Z "session-timeout = 5H\n", "f:2: zookeeper.session-timeout: '5H' has an unknown unit" },
	{ Z "session-timeout = fast\n",
	  "f:2: zookeeper.session-timeout: 'fast' does not start with" },
	{ Z "session-timeout = -5s\n", "f:2: zookeeper.session-timeout: '-5s' does not start" },
	{ Z "session-timeout = 99ms\n",
	  "f:2: zookeeper.session-timeout: '99ms' is out of range (100ms "
	  "to 10min)" },
	{ Z "session-timeout = 11min\n",
	  "f:2: zookeeper.session-timeout: '11min' is out of range" },
	{ Z "session-timeout = 99999999999999999999s\n",
	  "f:2: zookeeper.session-timeout: '9999999999"
	  "9999999999s' is longer than a year" },
	{ "[health]\nfailures =\n", "f:2: health.failures: '' is no whole number (1 to 100)" },
	{ "[health]\nfailures = 0\n", "f:2: health.failures: '0' is out of range (1 to 100)" },
	{ "[health]\nfailures = 101\n", "f:2: health.failures: '101' is out of range" },
	{ "[health]\nfailures = 3.0\n", "f:2: health.failures: '3.0' is no whole number" },
	{ "[health]\nfailures = -3\n", "f:2: health.failures: '-3' is no whole number" },
	{ "[health]\nfailures = 99999999999999999999\n",
	  "f:2: health.failures: '99999999999999999999' "
	  "is no whole number" },
	/* paths and names */
	{ Z "auth-file = secret\n", "f:2: zookeeper.auth-file: 'secret' is not an absolute path" },
	{ "[node]\nruntime-directory =\n",
	  "f:2: node.runtime-directory: is empty (write an absolute" },
	{ "[node]\nruntime-directory = run\n",
	  "f:2: node.runtime-directory: 'run' is not an absolute" },
	{ "[node]\nname = none\n", "f:2: node.name: 'none' cannot be a node's name" },
	{ "[node]\nname = a b\n", "f:2: node.name: 'a b' cannot be a node's name" },
	{ "[node]\nname = a/b\n", "f:2: node.name: 'a/b' cannot be" },
	{ "[node]\nname = ..\n", "f:2: node.name: '..' cannot be" },
	{ "[node]\nname = -rf\n", "f:2: node.name: '-rf' cannot be" },
	{ "[node]\nname = .n\n", "f:2: node.name: '.n' cannot be" },
	{ "[node]\nname = n\xc3\xb6\n", "f:2: node.name: 'n\xc3\xb6' cannot be" },
	{ "[node]\nname = " TEN("1234567") "\n", "f:2: node.name: '1234567" },
	/* choices */
	{ "[node]\nmode =\n", "f:2: node.mode: '' is unknown (write coordinator|client)" },
	{ "[node]\naddress = db1 5432\n", "f:2: node.address: 'db1 5432' is not an address" },
	{ "[node]\naddress = http://db1\n", "f:2: node.address: 'http://db1' is not an address" },
	{ "[node]\nmode = cliient\n",
	  "f:2: node.mode: 'cliient' is unknown (did you mean client? write" },
	{ "[node]\nmode = Client\n", "f:2: node.mode: 'Client' is unknown" },
	{ "[relinquish]\nself-fence = yes\n",
	  "f:2: relinquish.self-fence: 'yes' is unknown (write none|reboot)" },
	{ "[fence]\nfailure = ignore\n", "f:2: fence.failure: 'ignore' is unknown (write stop|" },
	/* units */
	{ "[takeover]\nunit = primary\n",
	  "f:2: takeover.unit: 'primary' is not the name of a unit" },
	{ "[takeover]\nunit = .service\n",
	  "f:2: takeover.unit: '.service' is not the name of a unit" },
	{ "[takeover]\nunit = a b.service\n", "f:2: takeover.unit: 'a b.service' is not the name" },
	{ "[takeover]\nunit = ../x.service\n",
	  "f:2: takeover.unit: '../x.service' is not the name" },
	{ "[takeover]\nunit = x.conf\n", "f:2: takeover.unit: 'x.conf' is not the name of a unit" },
	{ "[takeover]\nunit = ip@.service\n", "f:2: takeover.unit: 'ip@.service' is a template" },
	/* commands */
	{ H "true\n", "f:2: health.command: 'true' is not an absolute path" },
	{ H "\"\"\n", "f:2: health.command: '' is not an absolute path" },
	{ H "/bin/sh -c \"a\n", "f:2: health.command: has an unclosed double quote" },
	{ H "/bin/sh -c \"a ; b\"\n",
	  "f:2: health.command: has an unclosed double quote (a ; after" },
	{ H "/bin/sh \\\n", "f:2: health.command: ends with a backslash" },
	{ H "/bin/sh -c 'a b'\n", "f:2: health.command: has a single quote (use double" },
	{ H "/bin/a | /bin/b\n", "f:2: health.command: has the argument |, but there is no shell" },
	{ H "/bin/a && /bin/b\n", "f:2: health.command: has the argument &&, but" },
	{ H "/bin/a > /tmp/x\n", "f:2: health.command: has the argument >, but" },
	{ H "/bin/a # comment\n", "f:2: health.command: an argument starts with #" },
	{ H "/bin/a " TEN("a b c d e f ") "g h i j\n", "f:2: health.command: has more than 64" },
	{ H "/bin/a\n " TEN("x") TEN("x") "\n \"\n",
	  "f:2: health.command: has an unclosed double" },
	{ H "/bin/a \\\n b\n", "f:3: health.command: the line above ends with a backslash" },
	/* sums */
	{ "[election]\nlock-timeout = 500ms\n",
	  "f:2: election.lock-timeout: transition-delay 500ms does "
	  "not exceed lock-timeout 500ms: a node could take" },
	{ "[election]\ntransition-delay = 400ms\n",
	  "f:2: election.transition-delay: transition-delay "
	  "400ms does not exceed lock-timeout 400ms" },
	{ "[election]\nlock-timeout = 1s\ntransition-delay = 1s\n",
	  "f:3: election.transition-delay: " },
	{ Z "session-timeout = 9.2s\n",
	  "f:2: zookeeper.session-timeout: lease-timeout 3s + margin 92ms = 3.092s exceeds a third, "
	  "3.066666s, of the session timeout 9.2s: of the lease's two thirds, one is for renewals "
	  "(T/12 + T/8 + T/8), one to stop the work (set relinquish.lease-timeout to at most 2.974s, or "
	  "zookeeper.session-timeout to at least 9.279s)" },
	{ "[relinquish]\nlease-timeout = 4s\n",
	  "f:2: relinquish.lease-timeout: lease-timeout 4s + margin "
	  "100ms = 4.1s exceeds a third, 3.333333s, of" },
	{ Z "session-timeout = 150ms\n",
	  "f:2: zookeeper.session-timeout: lease-timeout 3s + margin 50ms = "
	  "3.05s exceeds a third, 50ms, of the session timeout 150ms: of "
	  "the lease's two thirds, one is for renewals (T/12 + T/8 + T/8), "
	  "one to stop the work (zookeeper.session-timeout to at least" },
};

static void test_bad_values(void **state)
{
	for (size_t i = 0; i < COUNT(bad_values); i++)
		check_one(bad_values[i].text, bad_values[i].expected);
}

/* None hides another, and what follows from a bad value is not said. */
static void test_all_are_collected(void **state)
{
	static const char text[] =
		"[zookeeper\nsession-timeout = 1\nroot = x\n[nodes]\nname = none\n"
		"[election]\nlock-timeout = 1 hour\ntransition-delay = 1ms\nx\n"
		"[node]\nname = none\nname = none\n";
	static const char *const expected[] = {
		"f:1: the section has no closing bracket",
		"f:2: zookeeper.session-timeout: '1' has no unit",
		"f:3: zookeeper.root: ",
		"f:4: the section [nodes] is unknown (did you mean [node]?)",
		"f:7: election.lock-timeout: '1 hour' has an unknown unit",
		"f:8: election.transition-delay: '1ms' is out of range",
		"f:9: the line is no",
		"f:11: node.name: 'none'",
		"f:12: node.name: the key is set a second time",
	};

	check_refused(text, sizeof(text) - 1, 0, expected, COUNT(expected), true);
}

static void test_too_many_errors(void **state)
{
	char text[8192] = "";
	char printed[256];
	char last[256] = "";
	struct config config;
	FILE *file = tmpfile();

	for (int i = 0; i < 1000; i++)
		(void)strcat(text, "what\n");
	assert_int_equal(load(text, &config), CONFIG_INVALID);
	assert_int_equal(errors.n, CONFIG_ERRORS_MAX);
	assert_int_equal(errors.n_beyond, 1000 - CONFIG_ERRORS_MAX);
	assert_non_null(file);
	config_errors_print(&errors, file);
	rewind(file);
	while (fgets(printed, sizeof(printed), file) != NULL)
		(void)strcpy(last, printed);
	assert_string_equal(last, "and 936 more errors\n");
	assert_int_equal(fclose(file), 0);
}

static void test_nul_bytes(void **state)
{
	static const char text[] = "[node]\nname = a\0b\nmode\0 = client\n\0";
	static const char *const expected[] = { "f:2: the line holds a NUL byte",
						"f:3: the line holds a NUL byte",
						"f:4: the line holds a NUL byte" };

	check_refused(text, sizeof(text) - 1, 0, expected, COUNT(expected), true);
}

static void test_line_of_full_length(void **state)
{
	char text[512];
	char path[256];
	struct config config;

	/* "auth-file = " and 185 bytes are 197. */
	(void)memset(path, 'x', sizeof(path));
	path[0] = '/';
	path[185] = '\0';
	(void)snprintf(text, sizeof(text), "[zookeeper]\nauth-file = %s\r\nroot = /x\n", path);
	assert_int_equal(load(text, &config), 0);
	assert_string_equal(config.zookeeper.auth_file, path);
	assert_string_equal(config.zookeeper.root, "/x");
	config_finish(&config);
	(void)snprintf(text, sizeof(text), "[zookeeper]\nauth-file = %sx\nroot = /x\n", path);
	check_one(text, "f:2: the line has 198 bytes, 197 are allowed");
}

static void test_overlong_value(void **state)
{
	char text[8192] = "[health]\ncommand = /bin/x\n";
	static const char *const expected[] = {
		"f:13: health.command: the value is longer than 2047 bytes"
	};

	for (int i = 0; i < 20; i++) {
		size_t n = strlen(text);

		memset(text + n, ' ', 1);
		memset(text + n + 1, 'x', 190);
		(void)strcpy(text + n + 191, "\n");
	}
	check_refused(text, strlen(text), 0, expected, 1, false);
}

static void make_file(const char *path, const char *text, mode_t mode)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_int_equal(fwrite(text, 1, strlen(text), file), strlen(text));
	assert_int_equal(fclose(file), 0);
	assert_int_equal(chmod(path, mode), 0);
}

static char directory[] = "/tmp/test_config.XXXXXX";
static char file[64];

static int setup_file(void **state)
{
	(void)strcpy(directory + strlen(directory) - 6, "XXXXXX");
	assert_non_null(mkdtemp(directory));
	(void)snprintf(file, sizeof(file), "%s/file", directory);
	unsetenv("RUNTIME_DIRECTORY");
	unsetenv("CREDENTIALS_DIRECTORY");
	return 0;
}

static int teardown_file(void **state)
{
	(void)unlink(file);
	return rmdir(directory);
}

static void test_commands_must_be_executable(void **state)
{
	char text[256];
	char expected_text[3][256];
	const char *expected[3];
	struct config config;

	make_file(file, "#!/bin/sh\n", 0600);
	(void)snprintf(text, sizeof(text),
		       "[health]\ncommand = %s x\n[fence]\ncommand = %s/none\n"
		       "[follow]\ncommand = %s\n",
		       file, directory, directory);
	(void)snprintf(expected_text[0], 256,
		       "f:2: health.command: '%s' cannot be run: Permission denied (chmod", file);
	(void)snprintf(expected_text[1], 256,
		       "f:4: fence.command: '%s/none' cannot be run: No such file", directory);
	(void)snprintf(expected_text[2], 256,
		       "f:6: follow.command: '%s' cannot be run: not a regular", directory);
	for (size_t i = 0; i < 3; i++)
		expected[i] = expected_text[i];
	check_refused(text, strlen(text), CONFIG_CHECK_COMMANDS, expected, 3, true);
	assert_int_equal(load(text, &config), 0); /* nobody asked */
	config_finish(&config);

	assert_int_equal(unlink(file), 0);
	make_file(file, "#!/bin/sh -e\r\ntrue\r\n", 0700);
	(void)snprintf(expected_text[0], 256,
		       "f:2: health.command: '%s' cannot be run: no such interpreter: /bin/sh",
		       file);
	check_refused(text, strlen(text), CONFIG_CHECK_COMMANDS, expected, 3, true);
	assert_int_equal(unlink(file), 0);
	make_file(file, "#!/no/such/interpreter -e\n", 0700);
	(void)snprintf(
		expected_text[0], 256,
		"f:2: health.command: '%s' cannot be run: no such interpreter: /no/such/interpreter (see",
		file);
	check_refused(text, strlen(text), CONFIG_CHECK_COMMANDS, expected, 3, true);
	assert_int_equal(unlink(file), 0);
	make_file(file, "#! /bin/sh -e\n", 0600);
	assert_int_equal(chmod(file, 0700), 0);
	(void)snprintf(text, sizeof(text), "[health]\ncommand = %s x\n", file);
	assert_int_equal(config_load_string("f", text, strlen(text), CONFIG_CHECK_COMMANDS, &config,
					    &errors),
			 0);
	config_finish(&config);
}

static void test_doubts(void **state)
{
	struct config config;

	assert_int_equal(load("[node]\nname = localhost\n", &config), 0);
	assert_non_null(strstr(config_doubt(&config, 0), "a primary does nothing"));
	assert_non_null(strstr(config_doubt(&config, 1), "localhost"));
	assert_null(config_doubt(&config, 2));
	config_finish(&config);
	assert_int_equal(load("[node]\nname = a\nmode = client\n", &config), 0);
	assert_null(config_doubt(&config, 0));
	config_finish(&config);
}

static void test_runtime_directory(void **state)
{
	static const char text[] = "[node]\nruntime-directory = /from/file\n";
	struct config config;

	setenv("RUNTIME_DIRECTORY", "/run/one:/run/two", 1);
	assert_int_equal(load(text, &config), 0);
	assert_string_equal(config.node.runtime_directory, "/from/file");
	assert_int_equal(config_load_string("f", text, strlen(text), CONFIG_USE_ENVIRONMENT,
					    &config, &errors),
			 0);
	assert_string_equal(config.node.runtime_directory, "/run/one");
	setenv("RUNTIME_DIRECTORY", "run", 1);
	assert_int_equal(config_load_string("f", text, strlen(text), CONFIG_USE_ENVIRONMENT,
					    &config, &errors),
			 CONFIG_INVALID);
	unsetenv("RUNTIME_DIRECTORY");
	assert_int_equal(config_load_string("f", text, strlen(text), CONFIG_USE_ENVIRONMENT,
					    &config, &errors),
			 0);
	assert_string_equal(config.node.runtime_directory, "/from/file");
}

static void test_state_directory(void **state)
{
	static const char text[] = "[node]\nstate-directory = /from/file\n";
	struct config config;

	setenv("STATE_DIRECTORY", "/var/lib/one:/var/lib/two", 1);
	assert_int_equal(load("", &config), 0);
	assert_string_equal(config.node.state_directory, "/var/lib/primaryd");
	assert_int_equal(load(text, &config), 0);
	assert_string_equal(config.node.state_directory, "/from/file");
	assert_int_equal(config_load_string("f", text, strlen(text), CONFIG_USE_ENVIRONMENT,
					    &config, &errors),
			 0);
	assert_string_equal(config.node.state_directory, "/var/lib/one");
	unsetenv("STATE_DIRECTORY");
}

static void test_files(void **state)
{
	struct config config;
	char *big;

	assert_int_equal(config_load(file, 0, &config, &errors), -ENOENT);
	assert_int_equal(errors.n, 1);
	assert_non_null(strstr(errors.texts[0], "/file: the file cannot be read: No such file"));
	assert_int_equal(config_load(directory, 0, &config, &errors), -EISDIR);
	assert_int_equal(mkfifo(file, 0600), 0);
	assert_int_equal(config_load(file, 0, &config, &errors), -EINVAL);
	assert_int_equal(unlink(file), 0);
	big = calloc(1, CONFIG_FILE_MAX + 2);
	assert_non_null(big);
	memset(big, '\n', CONFIG_FILE_MAX);
	make_file(file, big, 0600);
	assert_int_equal(config_load(file, 0, &config, &errors), 0);
	config_finish(&config);
	big[CONFIG_FILE_MAX] = '\n';
	make_file(file, big, 0600);
	assert_int_equal(config_load(file, 0, &config, &errors), -EFBIG);
	free(big);
	make_file(file, "[node]\nname = x\n", 0644);
	assert_int_equal(config_load(file, 0, &config, &errors), 0);
	assert_string_equal(config.node.name, "x");
	config_finish(&config);
	make_file(file, "[node]\nname = x x\n", 0644);
	assert_int_equal(config_load(file, 0, &config, &errors), CONFIG_INVALID);
	assert_non_null(strstr(errors.texts[0], "/file:2: node.name: "));
}

/* Where the sum just fits, and a microsecond later. */
static void test_lease_sum(void **state)
{
	static const int64_t leases[] = { 10 * DURATION_MS, DURATION_S, 1616667, 3 * DURATION_S,
					  3 * DURATION_MIN };
	struct config config;
	char msg[512];

	assert_int_equal(config_load_defaults(&config, &errors), 0);
	for (size_t i = 0; i < COUNT(leases); i++) {
		int64_t low_us = 0;
		int64_t high_us = DURATION_MAX / 1000;
		char *more;
		int64_t said_us;

		config.relinquish.lease_timeout_us = leases[i];
		while (high_us - low_us > 1) {
			int64_t middle_us = (low_us + high_us) / 2;

			if (config_check_lease(&config, middle_us, msg, sizeof(msg)) == 0)
				high_us = middle_us;
			else
				low_us = middle_us;
		}
		assert_true(leases[i] + lease_margin_us(high_us) <= high_us / 3);
		assert_int_equal(config_check_lease(&config, low_us, msg, sizeof(msg)),
				 CONFIG_INVALID);
		/* The remedy it names works, and asks for no more than 2 ms too much. */
		more = strstr(msg, "to at least ") + 12;
		*strchr(more, ')') = '\0';
		assert_int_equal(duration_parse(more, &said_us), 0);
		assert_int_equal(config_check_lease(&config, said_us, msg, sizeof(msg)), 0);
		assert_true(said_us - high_us <= 2 * DURATION_MS);
	}
	config_finish(&config);
}

static void test_auth(void **state)
{
	static const char *const bad[] = {
		"",
		"\n",
		"digest\n",
		"digest \n",
		" digest u:p\n",
		"digest u\n",
		"digest :p\n",
		"digest u:\n",
		"digest u:p\nx\n",
		"Digest u:p\n",
		"digest u:\tp\n",
		"digest\nu:p\n",
		"digest u:p\n\n",
		"digest u:p\ndigest v:q\ndigest w:r\n",
	};
	struct config_auth auth;
	char msg[512];
	char long_text[512];

	make_file(file, "digest me:secret pass\n", 0600);
	assert_int_equal(config_load_auth(file, &auth, msg, sizeof(msg)), 0);
	assert_string_equal(auth.list[0].scheme, "digest");
	assert_string_equal(auth.list[0].credential, "me:secret pass");
	make_file(file, "ip  10.0.0.1\r\n", 0400);
	assert_int_equal(config_load_auth(file, &auth, msg, sizeof(msg)), 0);
	assert_string_equal(auth.list[0].scheme, "ip");
	assert_string_equal(auth.list[0].credential, "10.0.0.1");
	for (size_t i = 0; i < COUNT(bad); i++) {
		make_file(file, bad[i], 0600);
		assert_int_equal(config_load_auth(file, &auth, msg, sizeof(msg)), CONFIG_INVALID);
		assert_non_null(strstr(msg, "does not hold one line SCHEME CREDENTIAL"));
		assert_string_equal(auth.list[0].scheme, "ip"); /* untouched */
	}
	make_file(file, "digest u:p\ndigest v:q", 0600);
	assert_int_equal(config_load_auth(file, &auth, msg, sizeof(msg)), 0);
	assert_int_equal(auth.count, 2);
	assert_string_equal(auth.list[0].credential, "u:p");
	assert_string_equal(auth.list[1].credential, "v:q");
	make_file(file, "digest u:p\ndigest u:p\n", 0600);
	assert_int_equal(config_load_auth(file, &auth, msg, sizeof(msg)), 0);
	assert_int_equal(auth.count, 1);
	memset(long_text, 'x', sizeof(long_text));
	memcpy(long_text, "digest u:", 9);
	long_text[sizeof(long_text) - 1] = '\0';
	make_file(file, long_text, 0600);
	assert_int_equal(config_load_auth(file, &auth, msg, sizeof(msg)), CONFIG_INVALID);
	long_text[7 + CONFIG_AUTH_CREDENTIAL_SIZE - 1] = '\0';
	make_file(file, long_text, 0600);
	assert_int_equal(config_load_auth(file, &auth, msg, sizeof(msg)), 0);
	assert_int_equal(strlen(auth.list[0].credential), CONFIG_AUTH_CREDENTIAL_SIZE - 1);
}

static void test_auth_file_of_others(void **state)
{
	static const mode_t modes[] = { 0640, 0604, 0620, 0602, 0644, 0610 };
	char of_unit[] = "/run/credentials/test_config.XXXXXX", credential[64];
	struct config_auth auth;
	char msg[512];

	for (size_t i = 0; i < COUNT(modes); i++) {
		make_file(file, "digest u:p\n", modes[i]);
		assert_int_equal(config_load_auth(file, &auth, msg, sizeof(msg)), CONFIG_INVALID);
		assert_non_null(strstr(msg, "can be read by others, mode 06"));
		assert_non_null(strstr(msg, "(chmod 0600 "));
	}
	/* systemd's credentials show an ACL as group access. */
	setenv("CREDENTIALS_DIRECTORY", directory, 1);
	make_file(file, "digest u:p\n", 0440);
	assert_int_equal(config_load_auth(file, &auth, msg, sizeof(msg)), 0);
	make_file(file, "digest u:p\n", 0444);
	assert_int_equal(config_load_auth(file, &auth, msg, sizeof(msg)), CONFIG_INVALID);
	unsetenv("CREDENTIALS_DIRECTORY");
	/* Those of a unit, read from outside of it; only root can make one. */
	(void)mkdir("/run/credentials", 0755);
	if (mkdtemp(of_unit)) {
		(void)snprintf(credential, sizeof(credential), "%s/zookeeper", of_unit);
		make_file(credential, "digest u:p\n", 0440);
		assert_int_equal(config_load_auth(credential, &auth, msg, sizeof(msg)), 0);
		make_file(credential, "digest u:p\n", 0444);
		assert_int_equal(config_load_auth(credential, &auth, msg, sizeof(msg)),
				 CONFIG_INVALID);
		assert_int_equal(unlink(credential), 0);
		assert_int_equal(rmdir(of_unit), 0);
	}

	assert_int_equal(unlink(file), 0);
	assert_int_equal(config_load_auth(file, &auth, msg, sizeof(msg)), -ENOENT);
	assert_int_equal(config_load_auth(directory, &auth, msg, sizeof(msg)), CONFIG_INVALID);
	assert_non_null(strstr(msg, "is not a regular file"));
	assert_int_equal(mkfifo(file, 0600), 0);
	assert_int_equal(config_load_auth(file, &auth, msg, sizeof(msg)), CONFIG_INVALID);
}

static void test_table(void **state)
{
	char *text = NULL;
	size_t n_text;
	FILE *stream = open_memstream(&text, &n_text);

	assert_non_null(stream);
	config_print_keys(stream);
	assert_int_equal(fclose(stream), 0);
	for (unsigned id = 0; id < CONFIG_N_KEYS; id++) {
		struct config_key key = config_key((enum config_key_id)id);
		char line[128];

		assert_true(strlen(key.description) > 0 && strlen(key.type) > 0);
		(void)snprintf(line, sizeof(line), "  %s = %s\n", key.name, key.default_text);
		assert_non_null(strstr(text, line));
	}
	free(text);
}

static char *read_sample(void)
{
	FILE *sample = fopen(PRIMARYD_SAMPLE, "r");
	char *text = calloc(1, CONFIG_FILE_MAX);

	assert_non_null(sample);
	assert_non_null(text);
	assert_true(fread(text, 1, CONFIG_FILE_MAX - 1, sample) > 0);
	assert_int_equal(fclose(sample), 0);
	return text;
}

/* As shipped, and with the '#' before its keys taken away, it says what the defaults say. */
static void test_sample(void **state)
{
	struct config shipped, active, defaults;
	char *text = read_sample();

	assert_int_equal(config_load_defaults(&defaults, &errors), 0);
	assert_int_equal(load(text, &shipped), 0);
	assert_memory_equal(&shipped, &defaults, sizeof(defaults));
	for (char *p = text; (p = strstr(p, "\n#")) != NULL; p++) {
		if (p[2] >= 'a' && p[2] <= 'z')
			p[1] = '\r'; /* marks the place */
	}
	for (char *from = text, *to = text;; from++) {
		if (*from == '\r')
			continue;
		*to++ = *from;
		if (*from == '\0')
			break;
	}
	if (load(text, &active) != 0)
		fail_msg("%s", errors.texts[0]);
	for (unsigned id = 0; id < CONFIG_N_KEYS; id++) {
		struct config_key key = config_key((enum config_key_id)id);

		if (active.lines[id] == 0)
			fail_msg("%s.%s is missing in the sample", key.section, key.name);
		active.lines[id] = 0;
	}
	assert_memory_equal(&active, &defaults, sizeof(defaults));
	config_finish(&defaults);
	config_finish(&shipped);
	config_finish(&active);
	free(text);
}

/* Whoever connects, the tunnel, and whoever tells a server's name agree; another election's tunnel is elsewhere. */
static void test_tunnel(void **state)
{
	static const char text[] =
		"[zookeeper]\nservers = zk1.test:2281 [::1]:2281 10.0.0.1:2281 zk2.test.:2281 zk1.test:2281\n"
		"tls-ca = /ca\ntls-cert = /c\ntls-key = /k\n[node]\nname = n1\n";
	struct config config;
	struct zkh_addresses at;
	char name[ZKH_SERVER_TEXT_SIZE], line[64], *printed = NULL;
	size_t length;
	FILE *out;

	assert_int_equal(load(text, &config), 0);
	assert_true(config.zookeeper.tunnel != 0);
	assert_int_equal(zkh_resolve_numeric(config.zookeeper.servers, config.zookeeper.tunnel,
					     &at),
			 0);
	assert_int_equal(at.count, 4);
	out = open_memstream(&printed, &length);
	config_print_tunnel(&config, out);
	(void)fclose(out);
	for (size_t i = 0; i < at.count; i++) {
		static const char *const names[] = { "zk1.test:2281", "[::1]:2281", "10.0.0.1:2281",
						     "zk2.test.:2281" };

		snprintf(line, sizeof(line), "\naccept = %s\n", at.text[i]);
		assert_non_null(strstr(printed, line));
		assert_null(strstr(strstr(printed, line) + 1, line));
		zkh_tunnel_name(config.zookeeper.tunnel, config.zookeeper.servers, at.text[i],
				name);
		assert_string_equal(name, names[i]);
		zkh_tunnel_name(config.zookeeper.tunnel + 2, config.zookeeper.servers, at.text[i],
				name);
		assert_string_equal(name, at.text[i]);
	}
	assert_non_null(strstr(printed, "\nconnect = zk1.test:2281\ncheckHost = zk1.test\n"));
	assert_non_null(strstr(printed, "\nconnect = zk2.test.:2281\ncheckHost = zk2.test\n"));
	assert_non_null(strstr(printed, "\nconnect = ::1:2281\ncheckIP = ::1\n"));
	free(printed);
	zkh_addresses_finish(&at);
	config_finish(&config);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_everything),
		cmocka_unit_test(test_bad_lines),
		cmocka_unit_test(test_bad_values),
		cmocka_unit_test(test_all_are_collected),
		cmocka_unit_test(test_too_many_errors),
		cmocka_unit_test(test_nul_bytes),
		cmocka_unit_test(test_line_of_full_length),
		cmocka_unit_test(test_overlong_value),
		cmocka_unit_test_setup_teardown(test_commands_must_be_executable, setup_file,
						teardown_file),
		cmocka_unit_test(test_doubts),
		cmocka_unit_test_setup_teardown(test_runtime_directory, setup_file, teardown_file),
		cmocka_unit_test_setup_teardown(test_state_directory, setup_file, teardown_file),
		cmocka_unit_test_setup_teardown(test_files, setup_file, teardown_file),
		cmocka_unit_test(test_lease_sum),
		cmocka_unit_test_setup_teardown(test_auth, setup_file, teardown_file),
		cmocka_unit_test_setup_teardown(test_auth_file_of_others, setup_file,
						teardown_file),
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_sample),
		cmocka_unit_test(test_tunnel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
