/* SPDX-License-Identifier: Apache-2.0 */

/* Every change of the role that is kept below /history. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl.h"
#include "entry.h"
#include "base/wall.h"
#include "zk/tree/zkh_keys.h"

/* Many more than are kept: strangers' keys. */
#define ENTRIES_MAX 4096

enum { TIME, TIME_UTC, EPOCH, FROM, TO, REASON, TAKEOVER, TAKEOVER_US, KEY };
static const struct table_column columns[] = {
	[TIME] = { "TIME", "time_local", TABLE_FOR_PEOPLE },
	[TIME_UTC] = { "TIME", "time", TABLE_FOR_JSON },
	[EPOCH] = { "EPOCH", "epoch", TABLE_RIGHT },
	[FROM] = { "FROM", "from", 0 },
	[TO] = { "TO", "to", 0 },
	[REASON] = { "REASON", "reason", TABLE_WRAP },
	[TAKEOVER] = { "TAKEOVER", "takeover_text", TABLE_RIGHT | TABLE_FOR_PEOPLE },
	[TAKEOVER_US] = { "TAKEOVER", "takeover_us", TABLE_FOR_JSON },
	[KEY] = { "KEY", "key", TABLE_FOR_JSON },
};

struct history_read {
	struct ctl_reply reply;
	struct table *table;
	char last[NAME_SIZE]; /* who had claimed the role before; "?": that entry was left out */
	size_t junk, denied;
	bool unplaced; /* one of those was left out of which the server does not tell when it was made */
};

static void add(struct history_read *h, const struct zkh_entry *key)
{
	struct history_entry entry;
	char text[WALL_TEXT_SIZE];
	int64_t ms;

	if (key->denied || !entry_parse(key->data ? key->data : "", key->length, &entry)) {
		if (key->denied)
			h->denied++;
		else
			h->junk++;
		h->unplaced |= !key->stat.czxid;
		strcpy(h->last, "?");
		return;
	}
	ms = wall_parse_utc(entry.time);
	table_row(h->table);
	if (ms)
		table_put_time(h->table, TIME, TIME_UTC, ms);
	else
		table_put(h->table, TIME, "?");
	/* The entry was made in the transaction of the claim. */
	table_put_number(h->table, EPOCH, key->stat.czxid);
	/* The claimant may not have known whom it followed: it was the claimant before. */
	table_put(h->table, FROM, *entry.from ? entry.from : *h->last ? h->last : NAME_NONE);
	strcpy(h->last, h->unplaced ? "?" : entry.to);
	table_put(h->table, TO, entry.to);
	table_put(h->table, REASON, entry.reason);
	table_put(h->table, KEY, key->path);
	if (entry.takeover_us < 0)
		return;
	table_put(h->table, TAKEOVER, wall_span(entry.takeover_us, text));
	table_put_number(h->table, TAKEOVER_US, entry.takeover_us);
}

static int compare(const void *a, const void *b)
{
	const struct zkh_entry *const *x = a, *const *y = b;

	return (*x)->stat.czxid < (*y)->stat.czxid ? -1 : (*x)->stat.czxid > (*y)->stat.czxid;
}

static void on_tree(void *userdata, int result, const struct zkh_entry *entries, size_t count)
{
	struct history_read *h = userdata;
	const struct zkh_entry **sorted;

	ctl_on_result(&h->reply, result == ZKH_NO_NODE ? ZKH_OK : result);
	if (result != ZKH_OK)
		return;
	sorted = ctl_need(calloc(count + 1, sizeof(*sorted)));
	for (size_t i = 0; i < count; i++)
		sorted[i] = &entries[i];
	qsort(sorted, count, sizeof(*sorted), compare);
	for (size_t i = 0; i < count; i++)
		if (strcmp(sorted[i]->path, PATH_HISTORY) != 0)
			add(h, sorted[i]);
	free(sorted);
}

int verb_history(struct ctl *ctl)
{
	struct history_read h = { .table = TABLE_OF("history", columns) };
	struct zkh_task *task = NULL;
	int r = zkh_tree(ctl->session, PATH_HISTORY, ENTRIES_MAX, on_tree, &h, &task);
	int code = ctl_finish(ctl, r, &h.reply, PATH_HISTORY, "reading the history");

	if (!h.reply.over)
		zkh_task_cancel(task);
	if (code == CTL_DONE)
		code = ctl_print(ctl, &h.table, 1);
	if (h.junk)
		ctl_error("%zu keys below %s are no entries (junk: left out)", h.junk,
			  PATH_HISTORY);
	if (h.denied)
		ctl_error("%zu keys below %s may not be read (access list): left out%s", h.denied,
			  PATH_HISTORY, ctl_denied_hint(ctl));
	table_destroy(h.table);
	return code;
}
