/* SPDX-License-Identifier: Apache-2.0 */

/* The comparison of ensembles, in full; and the texts of key and file, with what is not one. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/identity.h"
#include "base/identity_file.h"

#define A "0123456789abcdef0123456789abcdef"
#define B "fedcba9876543210fedcba9876543210"

/* -- the comparison -- */

enum { NEW, LIVES, EITHER };

struct judge_case {
	int line;
	const char *known; /* NULL: nothing */
	int64_t known_generation, known_zxid;
	enum identity_key key;
	const char *id;
	int64_t generation, format, zxid;
	int session;
	enum identity_verdict verdict;
	enum identity_reason reason;
};

#define K(...) __LINE__, __VA_ARGS__
static const struct judge_case cases[] = {
	/* Nothing is remembered. */
	{ K(NULL, 0, 0), IDENTITY_MISSING, "", 0, 0, 9, EITHER, IDENTITY_MAKE, IDENTITY_FINE },
	{ K(NULL, 0, 0), IDENTITY_READ, A, 3, 1, 9, EITHER, IDENTITY_ADOPT, IDENTITY_FINE },
	{ K(NULL, 0, 0), IDENTITY_READ, A, 3, 2, 9, EITHER, IDENTITY_FOREIGN, IDENTITY_NEW_FORMAT },
	{ K(NULL, 0, 0), IDENTITY_JUNK, "", 0, 0, 9, EITHER, IDENTITY_FOREIGN, IDENTITY_BAD_KEY },
	/* The key was deleted, or the ensemble is another one. */
	{ K(A, 1, 5), IDENTITY_MISSING, "", 0, 0, 9, LIVES, IDENTITY_MAKE, IDENTITY_FINE },
	{ K(A, 1, 5), IDENTITY_MISSING, "", 0, 0, 5, LIVES, IDENTITY_MAKE, IDENTITY_FINE },
	{ K(A, 1, 5), IDENTITY_MISSING, "", 0, 0, 0, LIVES, IDENTITY_MAKE, IDENTITY_FINE },
	{ K(A, 1, 5), IDENTITY_MISSING, "", 0, 0, 4, LIVES, IDENTITY_FOREIGN, IDENTITY_OLD_ZXID },
	{ K(A, 1, 5), IDENTITY_MISSING, "", 0, 0, 9, NEW, IDENTITY_FOREIGN, IDENTITY_NO_ID },
	{ K(A, 1, 5), IDENTITY_MISSING, "", 0, 0, 4, NEW, IDENTITY_FOREIGN, IDENTITY_NO_ID },
	{ K(A, 1, 5), IDENTITY_JUNK, "", 0, 0, 9, LIVES, IDENTITY_MAKE, IDENTITY_FINE },
	{ K(A, 1, 5), IDENTITY_JUNK, "", 0, 0, 9, NEW, IDENTITY_FOREIGN, IDENTITY_BAD_KEY },
	/* It says something: whether a session lives makes no difference. */
	{ K(A, 2, 5), IDENTITY_READ, A, 2, 1, 9, EITHER, IDENTITY_KNOWN, IDENTITY_FINE },
	{ K(A, 2, 5), IDENTITY_READ, A, 2, 1, 5, EITHER, IDENTITY_KNOWN, IDENTITY_FINE },
	{ K(A, 2, 5), IDENTITY_READ, A, 2, 1, 0, EITHER, IDENTITY_KNOWN, IDENTITY_FINE },
	{ K(A, 2, 5), IDENTITY_READ, A, 2, 1, 4, EITHER, IDENTITY_FOREIGN, IDENTITY_OLD_ZXID },
	{ K(A, 2, 5), IDENTITY_READ, A, 1, 1, 9, EITHER, IDENTITY_FOREIGN,
	  IDENTITY_OLD_GENERATION },
	{ K(A, 2, 5), IDENTITY_READ, A, 3, 1, 9, EITHER, IDENTITY_ADOPT, IDENTITY_FINE },
	{ K(A, 2, 5), IDENTITY_READ, A, 3, 1, 1, EITHER, IDENTITY_ADOPT, IDENTITY_FINE },
	{ K(A, 2, 5), IDENTITY_READ, A, 3, 2, 9, EITHER, IDENTITY_FOREIGN, IDENTITY_NEW_FORMAT },
	{ K(A, 2, 5), IDENTITY_READ, A, 2, 2, 9, EITHER, IDENTITY_FOREIGN, IDENTITY_NEW_FORMAT },
	{ K(A, 2, 5), IDENTITY_READ, B, 2, 1, 9, EITHER, IDENTITY_FOREIGN, IDENTITY_OTHER_ID },
	{ K(A, 2, 5), IDENTITY_READ, B, 3, 1, 9, EITHER, IDENTITY_FOREIGN, IDENTITY_OTHER_ID },
	{ K(A, 2, 5), IDENTITY_READ, B, 1, 1, 1, EITHER, IDENTITY_FOREIGN, IDENTITY_OTHER_ID },
	/* It may not be read. */
	{ K(A, 2, 5), IDENTITY_REFUSED, "", 0, 0, 9, NEW, IDENTITY_FOREIGN, IDENTITY_NO_ACCESS },
	{ K(A, 2, 5), IDENTITY_REFUSED, "", 0, 0, 9, LIVES, IDENTITY_KNOWN, IDENTITY_FINE },
	{ K(NULL, 0, 0), IDENTITY_REFUSED, "", 0, 0, 9, NEW, IDENTITY_FOREIGN, IDENTITY_NO_ACCESS },
};

static void judge(const struct judge_case *c, bool lives)
{
	struct identity known = { .generation = c->known_generation, .zxid = c->known_zxid };
	struct identity_seen seen = {
		.key = c->key, .generation = c->generation, .format = c->format, .zxid = c->zxid
	};
	enum identity_reason reason;
	enum identity_verdict verdict;

	strcpy(known.id, c->known ? c->known : "");
	strcpy(seen.id, c->id);
	verdict = identity_judge(&known, &seen, lives, &reason);
	if (verdict != c->verdict || reason != c->reason)
		fail_msg("line %d, lives %d: verdict %d, reason %d", c->line, lives, verdict,
			 reason);
	if (verdict == IDENTITY_KNOWN || verdict == IDENTITY_ADOPT) {
		identity_take(&known, &seen);
		/* What was taken is known from then on. */
		assert_int_equal(identity_judge(&known, &seen, lives, &reason), IDENTITY_KNOWN);
		assert_true(known.zxid == seen.zxid || known.zxid == c->known_zxid);
	}
}

static void test_judge(void **state)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		if (cases[i].session != LIVES)
			judge(&cases[i], false);
		if (cases[i].session != NEW)
			judge(&cases[i], true);
	}
}

static void test_raised_generation_begins_the_zxid_anew(void **state)
{
	struct identity known = { .id = A, .generation = 1, .zxid = 1000, .epoch = 7 };
	struct identity_seen seen = {
		.key = IDENTITY_READ, .id = A, .generation = 2, .format = 1, .zxid = 3
	};

	identity_take(&known, &seen);
	assert_int_equal(known.generation, 2);
	assert_int_equal(known.zxid, 3);
	assert_int_equal(known.epoch, 7);
	seen.zxid = 2;
	identity_take(&known, &seen);
	assert_int_equal(known.zxid, 3);
}

/* Of a restored ensemble whose zxid has caught up meanwhile. */
static void test_change_of_the_primary_key(void **state)
{
	const struct identity known = { .id = A, .generation = 2, .zxid = 1000, .change = 900 };
	struct identity_seen seen = { .key = IDENTITY_READ,
				      .id = A,
				      .generation = 2,
				      .format = 1,
				      .zxid = 1200,
				      .change = 800 };
	struct identity copy = known;
	enum identity_reason reason;
	char text[IDENTITY_TEXT_SIZE];

	assert_int_equal(identity_judge(&known, &seen, true, &reason), IDENTITY_FOREIGN);
	assert_int_equal(reason, IDENTITY_OLD_ZXID);
	identity_explain(reason, &known, &seen, "s:1", text);
	assert_non_null(strstr(text, "zxid 0x320, seen 0x384"));
	seen.key = IDENTITY_MISSING;
	assert_int_equal(identity_judge(&known, &seen, true, &reason), IDENTITY_FOREIGN);
	seen.change = 0;
	assert_int_equal(identity_judge(&known, &seen, true, &reason), IDENTITY_MAKE);
	seen.key = IDENTITY_READ;
	seen.change = 901;
	assert_int_equal(identity_judge(&known, &seen, false, &reason), IDENTITY_KNOWN);
	identity_take(&copy, &seen);
	assert_int_equal(copy.zxid, 1200);
	assert_int_equal(copy.change, 901);
	/* What nobody can have seen is not remembered. */
	identity_note_zxid(&copy, INT64_MAX);
	assert_int_equal(copy.zxid, 1200);
	identity_note_zxid(&copy, 1300);
	assert_int_equal(copy.zxid, 1300);
}

static void test_epoch(void **state)
{
	struct identity known = { .id = A, .generation = 1 };
	const struct identity before = known;

	assert_true(identity_note_epoch(&known, 5));
	assert_true(identity_differs(&known, &before));
	assert_false(identity_note_epoch(&known, 5));
	assert_false(identity_note_epoch(&known, 4));
	assert_false(identity_note_epoch(&known, INT64_C(1) << 62));
	assert_true(identity_note_epoch(&known, 6));
	assert_int_equal(known.epoch, 6);
}

static void test_words(void **state)
{
	const struct identity known = { .id = A, .generation = 3, .zxid = 0x51 };
	const struct identity_seen seen = {
		.key = IDENTITY_READ, .id = B, .generation = 2, .format = 4, .zxid = 0x50
	};
	char servers[3000], text[IDENTITY_TEXT_SIZE];

	memset(servers, 's', sizeof(servers) - 1);
	servers[sizeof(servers) - 1] = '\0';
	assert_string_equal(identity_explain(IDENTITY_FINE, &known, &seen, servers, text), "");
	for (int reason = IDENTITY_FINE + 1; reason < IDENTITY_REASON_COUNT; reason++) {
		identity_explain((enum identity_reason)reason, &known, &seen, servers, text);
		assert_non_null(strstr(text, "/cluster") ? strstr(text, "/cluster")
							 : strstr(text, "zxid 0x50"));
		/* All of it finds room: the remedy is at the end. */
		assert_true(strlen(text) < sizeof(text) - 1);
	}
}

/* -- the key -- */

static void test_value(void **state)
{
	static const char *const junk[] = {
		"",
		" ",
		A,
		A " 1",
		A " 1 ",
		A " 1 x",
		A " 1 1 1",
		A "  1 1",
		" " A " 1 1",
		A " 0 1",
		A " -1 1",
		A " +1 1",
		A " 1 0",
		A " 0x1 1",
		A " 1000000001 1",
		A " 1 1001",
		A " 99999999999999999999 1",
		A "0 1 1",
		"0123456789ABCDEF0123456789abcdef 1 1",
		"0123456789abcdef0123456789abcde 1 1",
		A " 00000000000000000000000000001 1",
	};
	struct identity_seen seen = { .key = IDENTITY_MISSING };
	char text[IDENTITY_VALUE_SIZE], long_text[5000];

	for (size_t i = 0; i < sizeof(junk) / sizeof(*junk); i++) {
		identity_parse_value(junk[i], strlen(junk[i]), &seen);
		if (seen.key != IDENTITY_JUNK)
			fail_msg("'%s' is taken for a value", junk[i]);
	}
	memset(long_text, '1', sizeof(long_text));
	memcpy(long_text, A " ", 33);
	identity_parse_value(long_text, sizeof(long_text), &seen);
	assert_int_equal(seen.key, IDENTITY_JUNK);
	identity_parse_value(A " 1\0 1", 37, &seen);
	assert_int_equal(seen.key, IDENTITY_JUNK);
	identity_format_value(A, 12, 1, text);
	assert_string_equal(text, A " 12 1");
	identity_parse_value(text, strlen(text), &seen);
	assert_int_equal(seen.key, IDENTITY_READ);
	assert_string_equal(seen.id, A);
	assert_int_equal(seen.generation, 12);
	assert_int_equal(seen.format, 1);
	/* As `echo` writes it. */
	identity_parse_value(A " 3 1\n", 37, &seen);
	assert_int_equal(seen.generation, 3);
}

/* -- the file -- */

static const struct identity sample = {
	.id = A,
	.generation = 3,
	.zxid = INT64_C(0x500000123),
	.change = INT64_C(0x500000100),
	.epoch = INT64_C(0x400000007),
	.own = INT64_C(0x400000006),
	.made = INT64_C(0x100000002),
	.format = 2,
	.root = "/a cluster",
	.name = "n1",
};

static void test_file_text(void **state)
{
	struct identity known = { .generation = 0 };
	char text[IDENTITY_FILE_SIZE];
	size_t length = identity_format_file(&sample, text);

	assert_true(identity_parse_file(text, length, &known));
	assert_memory_equal(&known, &sample, sizeof(known));
	/* Cut anywhere, and with any bit that is another one. */
	for (size_t n = 0; n < length; n++)
		assert_false(identity_parse_file(text, n, &known));
	for (size_t i = 0; i < length; i++) {
		for (int bit = 0; bit < 8; bit++) {
			text[i] = (char)(text[i] ^ 1 << bit);
			assert_false(identity_parse_file(text, length, &known));
			text[i] = (char)(text[i] ^ 1 << bit);
		}
	}
	assert_memory_equal(&known, &sample, sizeof(known));
	/* As versions write it that know no other format. */
	known.format = 1;
	length = identity_format_file(&known, text);
	assert_null(strstr(text, "format="));
	known.format = 0;
	assert_true(identity_parse_file(text, length, &known));
	assert_int_equal(known.format, 1);
}

static void test_file_path(void **state)
{
	static const char *const pairs[][2] = {
		{ "/run/primaryd", "/s/primaryd.cluster" },
		{ "/run/primaryd-db/", "/s/primaryd-db.cluster" },
		{ "/run//primaryd-db", "/s/primaryd-db.cluster" },
		/* Two daemons whose directories end alike share nothing. */
		{ "/srv/a/run", "/s/%2Fsrv%2Fa%2Frun.cluster" },
		{ "/srv/b//run/", "/s/%2Fsrv%2Fb%2Frun.cluster" },
		{ "/run/a/run", "/s/a%2Frun.cluster" },
		{ "/run/a%2Frun", "/s/a%252Frun.cluster" },
	};
	char path[PATH_MAX], deep[PATH_MAX];

	for (size_t i = 0; i < sizeof(pairs) / sizeof(*pairs); i++) {
		assert_int_equal(identity_file_path("/s", pairs[i][0], path), 0);
		assert_string_equal(path, pairs[i][1]);
	}
	memset(deep, 'd', sizeof(deep) - 1);
	deep[sizeof(deep) - 1] = '\0';
	assert_true(identity_file_path(deep, "/run/primaryd", path) < 0);
}

struct writing {
	struct ev_loop *loop;
	int errors[4], count;
};

static void on_done(void *userdata, int error)
{
	struct writing *writing = userdata;

	writing->errors[writing->count++] = error;
	ev_break(writing->loop, EVBREAK_ALL);
}

static void run(struct writing *writing)
{
	ev_ref(writing->loop);
	ev_run(writing->loop, 0);
	ev_unref(writing->loop);
}

static void test_file(void **state)
{
	char directory[] = "/tmp/test_identity.XXXXXX", path[PATH_MAX];
	struct writing writing = { .loop = ev_default_loop(EVFLAG_AUTO) };
	struct identity_writer writer;
	struct identity known = sample, other = sample;
	struct stat st;

	assert_non_null(mkdtemp(directory));
	identity_file_path(directory, "/run/primaryd", path);
	assert_int_equal(identity_file_load(path, &known), -ENOENT);
	identity_writer_init(&writer, writing.loop, path, on_done, &writing);
	/* The second follows the first, with what is the latest then. */
	identity_writer_save(&writer, &known);
	known.epoch++;
	identity_writer_save(&writer, &known);
	known.epoch++;
	identity_writer_save(&writer, &known);
	run(&writing);
	assert_int_equal(writing.count, 1);
	assert_int_equal(writing.errors[0], 0);
	assert_int_equal(identity_file_load(path, &other), 0);
	assert_memory_equal(&known, &other, sizeof(known));
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	/* Another node's, another root's. */
	strcpy(other.name, "n2");
	assert_int_equal(identity_file_load(path, &other), -EXDEV);
	strcpy(other.name, "n1");
	strcpy(other.root, "/");
	assert_int_equal(identity_file_load(path, &other), -EXDEV);
	/* Junk. */
	assert_int_equal(truncate(path, 20), 0);
	assert_int_equal(identity_file_read(path, &other), -EBADMSG);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(directory), 0); /* nothing else is left there */
	identity_writer_save(&writer, &known);
	run(&writing);
	assert_int_equal(writing.errors[1], -ENOENT);
	identity_writer_finish(&writer);
	ev_loop_destroy(writing.loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_judge),
		cmocka_unit_test(test_raised_generation_begins_the_zxid_anew),
		cmocka_unit_test(test_change_of_the_primary_key),
		cmocka_unit_test(test_epoch),
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_value),
		cmocka_unit_test(test_file_text),
		cmocka_unit_test(test_file_path),
		cmocka_unit_test(test_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
