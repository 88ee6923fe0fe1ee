/* SPDX-License-Identifier: Apache-2.0 */
#include "base/text.h"
#include "log/log.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define S INT64_C(1000000)

/* A log and what comes out of it. */
struct probe {
	struct log *log;
	int from; /* read end */
	int to;
	char text[65536];
};

static struct probe the_probe;
static int64_t now_us;

static int64_t clock_us(void)
{
	return now_us;
}

static void create(struct probe *probe, enum log_target target, const char *journal)
{
	const struct log_options options = {
		.node = "hv1",
		.target = target,
		.fd = probe->to,
		.journal_socket = journal,
		.clock_us = clock_us,
	};

	assert_int_equal(log_create(&options, &probe->log), 0);
}

static int setup(void **state)
{
	int fds[2];

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	assert_int_equal(fcntl(fds[0], F_SETFL, O_NONBLOCK), 0);
	the_probe = (struct probe){ .from = fds[0], .to = fds[1] };
	now_us = 1000 * S;
	setenv("TZ", "UTC-1", 1);
	unsetenv("JOURNAL_STREAM");
	*state = &the_probe;
	return 0;
}

static int teardown(void **state)
{
	struct probe *probe = *state;

	probe->log = log_destroy(probe->log);
	(void)close(probe->from);
	(void)close(probe->to);
	return 0;
}

/* All that was written by now. */
static const char *output(struct probe *probe)
{
	size_t n = 0;
	ssize_t got;

	while ((got = read(probe->from, probe->text + n, sizeof(probe->text) - 1 - n)) > 0)
		n += (size_t)got;
	probe->text[n] = '\0';
	return probe->text;
}

static unsigned count(const char *text, const char *what)
{
	unsigned n = 0;

	for (; (text = strstr(text, what)) != NULL; text++)
		n++;
	return n;
}

static void check_line(struct probe *probe, const char *expected)
{
	static const char form[] = "0000-00-00T00:00:00.000+0100 ";
	const char *text = output(probe);

	for (size_t i = 0; i < strlen(form); i++) {
		if (form[i] == '0' && i < 23)
			assert_in_range(text[i], '0', '9');
		else
			assert_int_equal(text[i], form[i]);
	}
	assert_string_equal(text + strlen(form), expected);
}

static void test_lines(void **state)
{
	struct probe *probe = *state;
	const struct log_fields all = {
		.epoch = INT64_C(4294967298),
		.target = "hv3",
		.reason = "no \"reason\" at all",
		.usec = 1234,
	};
	const struct log_fields some = { .epoch = 7, .reason = "x" };

	create(probe, LOG_TARGET_AUTO, NULL);
	log_event(probe->log, EVENT_STARTED, NULL, "version %s", "1.0");
	check_line(probe, "hv1 started: version 1.0\n");
	log_context(probe->log, "hv2", 3, "takeover");
	log_event(probe->log, EVENT_CLAIMED, &all, "it is mine");
	check_line(
		probe,
		"hv1 notice claimed: it is mine primary=hv2 epoch=4294967298 state=takeover target=hv3 "
		"reason=\"no \\\"reason\\\" at all\" usec=1234\n");
	log_context(probe->log, "", 0, "");
	log_event(probe->log, EVENT_LEASE_LOST, &some, "stop");
	check_line(probe, "hv1 error lease_lost: stop epoch=7 reason=x\n");
	log_event(NULL, EVENT_STARTED, NULL, "nothing");
	assert_string_equal(output(probe), "");
}

static void test_strangers_texts(void **state)
{
	struct probe *probe = *state;
	char big[8192];
	const struct log_fields fields = { .target = big, .reason = "\xff\\" };
	const char *text;

	memset(big, 'x', sizeof(big));
	big[sizeof(big) - 1] = '\0';
	create(probe, LOG_TARGET_LINES, NULL);
	log_context(probe->log, "a\nb=c\x1b[31m", 0, "");
	log_event(probe->log, EVENT_STARTED, &fields, "%s %s", "line\r\n2025-01-01 forged", big);
	text = output(probe);
	assert_int_equal(count(text, "\n"), 1);
	assert_int_equal(text[strlen(text) - 1], '\n');
	assert_true(strlen(text) < 4096);
	assert_non_null(strstr(text, ": line\\r\\n2025-01-01 forged xxx"));
	assert_non_null(strstr(text, " primary=\"a\\nb=c\\x1b[31m\" target=xxx"));
	assert_non_null(strstr(text, "xxx... reason=\\xff\\\\\n"));
	assert_int_equal(strstr(text, "... reason") - strstr(text, "target=") - 7,
			 LOG_TEXT_MAX - 3);
}

static void test_escape(void **state)
{
	static const struct {
		const char *in;
		const char *out;
	} cases[] = {
		{ "", "" },
		{ "plain ~", "plain ~" },
		{ "a\tb\nc\rd\\e", "a\\tb\\nc\\rd\\\\e" },
		{ "\x01\x7f", "\\x01\\x7f" },
		{ "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x90\x9f",
		  "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x90\x9f" },
		{ "\xc2\x9b"
		  "1m",
		  "\\xc2\\x9b1m" },	      /* a control character in UTF-8 */
		{ "\xc0\xaf", "\\xc0\\xaf" }, /* overlong */
		{ "\xe0\x80\xaf", "\\xe0\\x80\\xaf" },
		{ "\xed\xa0\x80", "\\xed\\xa0\\x80" },		/* a surrogate */
		{ "\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80" }, /* beyond Unicode */
		{ "\xc3", "\\xc3" },				/* cut */
		{ "\xe2\x82", "\\xe2\\x82" },
		{ "\xf0\x9f\x90", "\\xf0\\x9f\\x90" },
		{ "\x80x", "\\x80x" },
		{ "\xe2\x80\xae"
		  "abc",
		  "\\xe2\\x80\\xaeabc" }, /* turns a terminal's text around */
	};
	char out[256];
	char expected[256];

	for (size_t i = 0; i < COUNT(cases); i++) {
		assert_string_equal(text_escape_into(cases[i].in, out, sizeof(out)), cases[i].out);
		/* In any smaller room: a beginning of it and three dots, never half a character. */
		for (size_t n = 8; n <= strlen(cases[i].out); n++) {
			(void)text_escape_into(cases[i].in, out, n);
			assert_true(strlen(out) < n);
			assert_string_equal(out + strlen(out) - 3, "...");
			(void)strcpy(expected, cases[i].out);
			assert_memory_equal(out, expected, strlen(out) - 3);
			assert_int_not_equal((unsigned char)expected[strlen(out) - 3] & 0xc0, 0x80);
		}
		assert_string_equal(text_escape_into(cases[i].in, out,
						     strlen(cases[i].out) + 1 < 8
							     ? 8
							     : strlen(cases[i].out) + 1),
				    cases[i].out);
	}
}

/* The same text is said once a window; a text that changed is news, whatever was said before it. */
static void test_repetitions(void **state)
{
	struct probe *probe = *state;
	const char *text;

	create(probe, LOG_TARGET_LINES, NULL);
	for (int i = 0; i < 100; i++) {
		log_event(probe->log, EVENT_SERVER_FAILED, NULL, "zk%d: Connection refused", i % 3);
		log_event(probe->log, EVENT_NAMES_FAILED, NULL, "zk%d: Connection refused", i % 3);
		log_event(probe->log, EVENT_STATE_CHANGED, NULL, "state");
	}
	text = output(probe);
	assert_int_equal(count(text, " server_failed: "), 3);
	assert_int_equal(count(text, " names_failed: "), 3);
	assert_int_equal(count(text, " state_changed: "), 100);

	/* A changed reason is said at once, wherever it stands. */
	log_event(probe->log, EVENT_SERVER_FAILED, NULL, "zk1: Connection timed out");
	check_line(probe, "hv1 warning server_failed: zk1: Connection timed out\n");
	log_event(probe->log, EVENT_SERVER_FAILED, &(struct log_fields){ .reason = "other" },
		  "zk1: Connection timed out");
	check_line(probe, "hv1 warning server_failed: zk1: Connection timed out reason=other\n");

	/* One a window, counted from when it was said. */
	now_us += LOG_WINDOW_US - 1;
	log_event(probe->log, EVENT_SERVER_FAILED, NULL, "zk1: Connection refused");
	assert_string_equal(output(probe), "");
	now_us += 1;
	for (int i = 0; i < 10; i++)
		log_event(probe->log, EVENT_SERVER_FAILED, NULL, "zk1: Connection refused");
	check_line(probe, "hv1 warning server_failed: zk1: Connection refused\n");
}

/* Bounded: more texts than are remembered are all said, and the latest are known. */
static void test_many_texts(void **state)
{
	struct probe *probe = *state;

	create(probe, LOG_TARGET_LINES, NULL);
	for (int i = 0; i < 3 * LOG_SAID_MAX; i++) {
		now_us += 1;
		log_event(probe->log, EVENT_REQUEST_FAILED, NULL, "key %d", i);
	}
	assert_int_equal(count(output(probe), "\n"), 3 * LOG_SAID_MAX);
	for (int i = 2 * LOG_SAID_MAX; i < 3 * LOG_SAID_MAX; i++)
		log_event(probe->log, EVENT_REQUEST_FAILED, NULL, "key %d", i);
	assert_string_equal(output(probe), "");
}

/* A pipe that nobody reads: never blocks, never changes its flags, and says later what is missing. */
static void test_full_pipe(void **state)
{
	struct probe *probe = *state;
	int flags = fcntl(probe->to, F_GETFL);
	unsigned n_seen;
	const char *text;

	create(probe, LOG_TARGET_LINES, NULL);
	for (int i = 0; i < 2000; i++)
		log_event(probe->log, EVENT_STARTED, NULL,
			  "line %d with some more text to fill the pipe", i);
	assert_int_equal(fcntl(probe->to, F_GETFL), flags);
	text = output(probe);
	n_seen = count(text, "\n");
	assert_true(n_seen > 100 && n_seen < 1999);
	assert_int_equal(count(text, " started: line "), n_seen); /* whole lines only */
	log_event(probe->log, EVENT_STARTED, NULL, "back");
	text = output(probe);
	assert_int_equal(count(text, "\n"), 2);
	assert_non_null(strstr(text, "started: back"));
	assert_int_equal(strtoul(strstr(text, "lines_dropped: ") + 15, NULL, 10), 2000 - n_seen);
}

static void test_other_descriptors(void **state)
{
	struct probe *probe = *state;
	char path[] = "/tmp/test_log.XXXXXX";
	int pair[2];
	int saved_to = probe->to;
	char text[256] = "";

	/* Nobody at the other end: not a reason to die. */
	(void)signal(SIGPIPE, SIG_IGN);
	create(probe, LOG_TARGET_LINES, NULL);
	(void)close(probe->from);
	log_event(probe->log, EVENT_STARTED, NULL, "x");
	probe->log = log_destroy(probe->log);

	/* A socket, full. */
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(fcntl(pair[0], F_SETFL, O_NONBLOCK), 0);
	probe->from = pair[0];
	probe->to = pair[1];
	create(probe, LOG_TARGET_LINES, NULL);
	for (int i = 0; i < 20000; i++)
		log_event(probe->log, EVENT_STARTED, NULL, "line %d", i);
	assert_int_equal(count(output(probe), "line 0\n"), 1);
	probe->log = log_destroy(probe->log);
	(void)close(pair[1]);

	/* A file: its own place in it is kept. */
	probe->to = mkstemp(path);
	assert_true(probe->to >= 0);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(write(probe->to, "before\n", 7), 7);
	create(probe, LOG_TARGET_LINES, NULL);
	log_event(probe->log, EVENT_STARTED, NULL, "x");
	assert_int_equal(write(probe->to, "after\n", 6), 6);
	assert_true(pread(probe->to, text, sizeof(text) - 1, 0) > 0);
	assert_int_equal(count(text, "\n"), 3);
	assert_non_null(strstr(text, "hv1 started: x\nafter\n"));
	probe->log = log_destroy(probe->log);
	(void)close(probe->to);
	probe->to = saved_to;

	/* None at all. */
	(void)signal(SIGPIPE, SIG_DFL);
	probe->to = -1;
	create(probe, LOG_TARGET_AUTO, NULL);
	log_event(probe->log, EVENT_STARTED, NULL, "x");
	probe->to = saved_to;
}

struct journal {
	char directory[32];
	struct sockaddr_un address;
	int fd;
};

static void journal_open(struct journal *journal)
{
	(void)strcpy(journal->directory, "/tmp/test_log.XXXXXX");
	assert_non_null(mkdtemp(journal->directory));
	journal->address.sun_family = AF_UNIX;
	(void)snprintf(journal->address.sun_path, sizeof(journal->address.sun_path), "%s/socket",
		       journal->directory);
	journal->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_true(journal->fd >= 0);
	assert_int_equal(bind(journal->fd, (struct sockaddr *)&journal->address,
			      sizeof(journal->address)),
			 0);
}

static void journal_close(struct journal *journal)
{
	(void)close(journal->fd);
	(void)unlink(journal->address.sun_path);
	(void)rmdir(journal->directory);
}

static void check_entry(struct journal *journal, const char *expected)
{
	char entry[8192];
	ssize_t n = recv(journal->fd, entry, sizeof(entry) - 1, 0);

	assert_true(n > 0);
	entry[n] = '\0';
	assert_string_equal(entry, expected);
}

static void test_journal(void **state)
{
	struct probe *probe = *state;
	const struct log_fields fields = {
		.epoch = 5,
		.target = "t",
		.reason = "r",
		.usec = 9,
	};
	struct journal journal;
	char expected[1024];

	journal_open(&journal);
	create(probe, LOG_TARGET_JOURNAL, journal.address.sun_path);
	log_context(probe->log, "hv2\nPRIORITY=0", 4, "primary");
	log_event(probe->log, EVENT_PRIMARY, &fields, "the work runs\nPRIORITY=1");
	(void)snprintf(
		expected, sizeof(expected),
		"SYSLOG_IDENTIFIER=primaryd\nPRIORITY=5\nMESSAGE=the work runs\\nPRIORITY=1\nMESSAGE_ID=%s\n"
		"PRIMARYD_EVENT=primary\nPRIMARYD_NODE=hv1\nPRIMARYD_PRIMARY=hv2\\nPRIORITY=0\n"
		"PRIMARYD_EPOCH=5\nPRIMARYD_STATE=primary\nPRIMARYD_TARGET=t\nPRIMARYD_REASON=r\n"
		"PRIMARYD_USEC=9\n",
		log_event_message_id(EVENT_PRIMARY));
	check_entry(&journal, expected);
	log_context(probe->log, "", 0, "");
	log_event(probe->log, EVENT_STOPPED, NULL, "bye");
	(void)snprintf(expected, sizeof(expected),
		       "SYSLOG_IDENTIFIER=primaryd\nPRIORITY=6\nMESSAGE=bye\nMESSAGE_ID=%s\n"
		       "PRIMARYD_EVENT=stopped\nPRIMARYD_NODE=hv1\n",
		       log_event_message_id(EVENT_STOPPED));
	check_entry(&journal, expected);
	assert_string_equal(output(probe), "");

	/* Not read: dropped and counted, not waited for. */
	for (int i = 0; i < 5000; i++)
		log_event(probe->log, EVENT_STARTED, NULL, "line %d", i);
	while (recv(journal.fd, expected, sizeof(expected), 0) > 0)
		;
	log_event(probe->log, EVENT_STARTED, NULL, "back");
	expected[recv(journal.fd, expected, sizeof(expected) - 1, 0)] = '\0';
	assert_non_null(strstr(expected, "PRIMARYD_EVENT=lines_dropped\n"));
	assert_true(recv(journal.fd, expected, sizeof(expected), 0) > 0);

	/* Gone: then lines on stderr are better than nothing. */
	journal_close(&journal);
	log_event(probe->log, EVENT_STOPPED, NULL, "alone");
	check_line(probe, "hv1 stopped: alone\n");
}

static void test_finds_the_journal(void **state)
{
	struct probe *probe = *state;
	struct journal journal;
	struct stat st;
	char stream[64];
	char entry[1024];

	journal_open(&journal);
	assert_int_equal(fstat(probe->to, &st), 0);
	(void)snprintf(stream, sizeof(stream), "%ju:%ju", (uintmax_t)st.st_dev,
		       (uintmax_t)st.st_ino);
	setenv("JOURNAL_STREAM", stream, 1);
	create(probe, LOG_TARGET_AUTO, journal.address.sun_path);
	log_event(probe->log, EVENT_STARTED, NULL, "x");
	assert_true(recv(journal.fd, entry, sizeof(entry), 0) > 0);
	assert_string_equal(output(probe), "");
	probe->log = log_destroy(probe->log);

	/* stderr was redirected since: lines. */
	(void)snprintf(stream, sizeof(stream), "%ju:%ju", (uintmax_t)st.st_dev,
		       (uintmax_t)st.st_ino + 1);
	setenv("JOURNAL_STREAM", stream, 1);
	create(probe, LOG_TARGET_AUTO, journal.address.sun_path);
	log_event(probe->log, EVENT_STARTED, NULL, "x");
	assert_int_equal(recv(journal.fd, entry, sizeof(entry), 0), -1);
	check_line(probe, "hv1 started: x\n");
	journal_close(&journal);
	unsetenv("JOURNAL_STREAM");
}

static void test_target_none(void **state)
{
	struct probe *probe = *state;

	create(probe, LOG_TARGET_NONE, NULL);
	for (int i = 0; i < 10; i++)
		log_event(probe->log, EVENT_DISCONNECTED, NULL, "x");
	probe->log = log_destroy(probe->log);
	assert_string_equal(output(probe), "");
	assert_null(log_destroy(NULL));
}

/* Names and ids are distinct and well-formed: they never change once they were released. */
static void test_table(void **state)
{
	for (unsigned i = 0; i < EVENT_COUNT; i++) {
		enum event event = (enum event)i;
		const char *id = log_event_message_id(event);

		assert_int_equal(strlen(id), 32);
		assert_int_equal(strspn(id, "0123456789abcdef"), 32);
		assert_true(strlen(log_event_text(event)) > 0);
		assert_in_range(log_event_priority(event), LOG_EMERG, LOG_DEBUG);
		for (unsigned j = 0; j < i; j++) {
			assert_string_not_equal(id, log_event_message_id((enum event)j));
			assert_string_not_equal(log_event_name(event),
						log_event_name((enum event)j));
		}
	}
	assert_string_equal(log_event_message_id(EVENT_STARTED),
			    "29fa1a893290eae57eefb24c26e2e628");
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_lines),
		TEST(test_strangers_texts),
		TEST(test_escape),
		TEST(test_repetitions),
		TEST(test_many_texts),
		TEST(test_full_pipe),
		TEST(test_other_descriptors),
		TEST(test_journal),
		TEST(test_finds_the_journal),
		TEST(test_target_none),
		TEST(test_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
