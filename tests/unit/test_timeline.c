/* SPDX-License-Identifier: Apache-2.0 */

/* The picture of a change: the rows, the gap and the moments, of histories that tell much, little, or nonsense. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "entry.h"
#include "timeline/timeline.h"

#define CLAIM_MS INT64_C(1000000)

struct lab {
	struct history_entry entry;
	struct timeline timeline;
};

static void draw(struct lab *lab, const char *from, const char *spans)
{
	static const struct timeline_node nodes[] = { { "a", TIMELINE_UNKNOWN, 1 },
						      { "b", TIMELINE_SECONDARY, 1 },
						      { "c", TIMELINE_SECONDARY, 1 },
						      { "d", TIMELINE_CLIENT, CLAIM_MS + 100 } };
	char text[512];
	int n = snprintf(
		text, sizeof(text),
		"{\"time\":\"2026-01-31T12:05:00.250Z\",\"to\":\"b\",\"from\":\"%s\",\"reason\":\"r\"%s}",
		from, spans);

	assert_true(entry_parse(text, (size_t)n, &lab->entry));
	assert_true(timeline_build(&(struct timeline_facts){ &lab->entry, CLAIM_MS,
							     CLAIM_MS + 3600000, nodes, 4 },
				   &lab->timeline));
}

/* The row of a node, as "P 1000 ? 3000 ...": each state up to that time after the begin of the row. */
static void assert_row(const struct timeline *t, size_t i, const char *name, const char *wanted)
{
	char text[512] = "";
	int n = 0;

	assert_true(i < t->row_count);
	assert_string_equal(t->rows[i].name, name);
	assert_int_equal(t->rows[i].segments[0].begin_ms, t->begin_ms);
	for (size_t k = 0; k < t->rows[i].count; k++)
		n += snprintf(text + n, sizeof(text) - (size_t)n, "%s%c %d", n ? " " : "",
			      timeline_letter(t->rows[i].segments[k].state),
			      (int)(t->rows[i].segments[k].end_ms - CLAIM_MS));
	assert_string_equal(text, wanted);
}

static void test_crash(void **state)
{
	struct lab lab = { 0 };
	struct timeline *t = &lab.timeline;

	draw(&lab, "a",
	     ",\"takeover_us\":540000,\"post_us\":500000,\"start_us\":30000,\"silent_us\":5000000,\"lease_us\":2700000");
	assert_row(t, 0, "a", "P -5000 ? -2300 - 1282");
	assert_row(t, 1, "b", "s 0 n 500 w 510 T 540 P 1282");
	assert_row(t, 2, "c", "s 1282");
	assert_row(t, 3, "d", ". 100 c 1282");
	assert_int_equal(t->gap_first_ms, CLAIM_MS - 5000);
	assert_int_equal(t->gap_ms, CLAIM_MS - 2300);
	assert_int_equal(t->gap_end_ms, CLAIM_MS + 540);
	assert_int_equal(t->moment_count, 6);
	assert_non_null(strstr(t->moments[2].text, "all waited 5.000 s for the session of a"));
	timeline_finish(t);
}

static void test_handover(void **state)
{
	struct lab lab = { 0 };
	struct timeline *t = &lab.timeline;

	draw(&lab, "a",
	     ",\"takeover_us\":600000,\"post_us\":560000,\"start_us\":30000,\"stop_us\":50000");
	assert_row(t, 0, "a", "P 510 R 560 s 725");
	assert_row(t, 1, "b", "s 0 n 560 w 570 T 600 P 725");
	assert_int_equal(t->gap_first_ms, t->gap_ms);
	assert_int_equal(t->gap_end_ms - t->gap_ms, 90);
	timeline_finish(t);
}

static void test_little_is_known(void **state)
{
	struct lab lab = { 0 };
	struct timeline *t = &lab.timeline;

	/* By a version that told no more; under way; the first takeover; a node that follows itself. */
	draw(&lab, "a", ",\"takeover_us\":600000");
	assert_row(t, 0, "a", ". 725");
	assert_row(t, 1, "b", "s 0 n 600 P 725");
	assert_int_equal(t->gap_end_ms, 0);
	timeline_finish(t);
	draw(&lab, "a", "");
	assert_row(t, 1, "b", "s 0 n 60000");
	timeline_finish(t);
	draw(&lab, "", ",\"takeover_us\":600000,\"post_us\":500000,\"start_us\":1000");
	assert_row(t, 0, "b", "s 0 n 500 w 599 T 600 P 725");
	timeline_finish(t);
	draw(&lab, "b",
	     ",\"takeover_us\":600000,\"post_us\":500000,\"start_us\":1000,\"silent_us\":2000000,\"lease_us\":700000");
	assert_row(t, 0, "b", "P -2000 ? -1300 - 0 n 500 w 599 T 600 P 975");
	timeline_finish(t);
}

/* Anybody may have written it: the picture may be wrong then, but every row goes forward, and fits. */
static void test_nonsense(void **state)
{
	static const char *const names[] = {
#define X(member) #member,
		HISTORY_SPANS(X)
#undef X
	};
	static const char *const numbers[] = {
		"0", "1", "999", "1000000", "31536000000000", "9223372036854775807", "-5", "\"x\""
	};
	enum { N = sizeof(numbers) / sizeof(numbers[0]) };
	uint32_t random = 1;

	for (int round = 0; round < 3000; round++) {
		struct lab lab = { 0 };
		struct timeline_scale scale;
		char text[400];
		int n = 0;

		for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
			random = random * 1664525 + 1013904223;
			n += snprintf(text + n, sizeof(text) - (size_t)n, ",\"%s\":%s", names[i],
				      numbers[(random >> 16) % N]);
		}
		draw(&lab, round % 2 ? "a" : "b", text);
		assert_true(timeline_scale_init(&lab.timeline, 60, 2, &scale));
		assert_int_equal(timeline_place(&scale, lab.timeline.begin_ms), 0);
		assert_int_equal(timeline_place(&scale, lab.timeline.end_ms), 60);
		for (size_t i = 0; i < lab.timeline.row_count; i++) {
			const struct timeline_row *row = &lab.timeline.rows[i];

			for (size_t k = 0; k < row->count; k++)
				assert_true(timeline_place(&scale, row->segments[k].begin_ms) <
					    timeline_place(&scale, row->segments[k].end_ms));
			assert_int_equal(row->segments[row->count - 1].end_ms, lab.timeline.end_ms);
		}
		timeline_scale_finish(&scale);
		timeline_finish(&lab.timeline);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_crash),
		cmocka_unit_test(test_handover),
		cmocka_unit_test(test_little_is_known),
		cmocka_unit_test(test_nonsense),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
