/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"

#include "ctl.h"
#include "entry.h"
#include "timeline/draw.h"

#define CLAIM_MS INT64_C(1790000000000)

void *ctl_need(void *memory)
{
	PROMISE(memory);
	return memory;
}

static void check_rows(const struct timeline *t)
{
	for (size_t i = 0; i < t->row_count; i++) {
		int64_t end_ms = t->begin_ms;

		for (size_t k = 0; k < t->rows[i].count; k++) {
			PROMISE(t->rows[i].segments[k].begin_ms == end_ms);
			PROMISE(t->rows[i].segments[k].end_ms > end_ms);
			end_ms = t->rows[i].segments[k].end_ms;
		}
		PROMISE(end_ms <= t->end_ms);
	}
	for (size_t i = 0; i < t->moment_count; i++)
		PROMISE(t->moments[i].ms > t->begin_ms && t->moments[i].ms < t->end_ms &&
			(!i || t->moments[i].ms >= t->moments[i - 1].ms));
}

static void draw(const struct timeline *t, const char *title)
{
	char *text = NULL;
	size_t length = 0;
	FILE *file = open_memstream(&text, &length);

	PROMISE(file);
	timeline_draw_svg(file, t, title);
	PROMISE(fclose(file) == 0);
	free(text);
}

/* The picture of a change: since when the third node is as it is, then the entry of the history. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct timeline_node nodes[] = { { "a", TIMELINE_UNKNOWN, 1 },
					 { "b", TIMELINE_SECONDARY, 1 },
					 { "c", TIMELINE_CLIENT, CLAIM_MS } };
	struct history_entry entry;
	struct timeline_facts facts = { &entry, CLAIM_MS, CLAIM_MS + 1000, nodes, 3 };
	struct timeline timeline;

	if (size < 1 || !entry_parse((const char *)data + 1, size - 1, &entry))
		return 0;
	nodes[2].since_ms += ((int64_t)data[0] - 128) * 100;
	PROMISE(timeline_build(&facts, &timeline));
	check_rows(&timeline);
	PROMISE(!timeline.gap_end_ms || timeline.gap_first_ms <= timeline.gap_ms);
	draw(&timeline, entry.reason);
	timeline_finish(&timeline);
	return 0;
}
