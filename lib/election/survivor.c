/* SPDX-License-Identifier: Apache-2.0 */
#include "survivor.h"

#include <string.h>

#include "lease.h"

static struct survivor_note *find(struct survivor *survivor, const char *name)
{
	for (unsigned i = 0; i < survivor->count; i++)
		if (!strcmp(survivor->notes[i].name, name))
			return &survivor->notes[i];
	return NULL;
}

/* A full table forgets the oldest: its node is waited for anew, longer than needed. */
static struct survivor_note *make_room(struct survivor *survivor)
{
	struct survivor_note *notes = survivor->notes;

	if (survivor->count < SURVIVOR_NOTES_MAX)
		return &notes[survivor->count++];
	memmove(notes, notes + 1, (SURVIVOR_NOTES_MAX - 1) * sizeof(*notes));
	return &notes[SURVIVOR_NOTES_MAX - 1];
}

void survivor_note(struct survivor *survivor, const char *name, int64_t mzxid, int64_t now_us)
{
	struct survivor_note *note = find(survivor, name);

	if (note && note->mzxid == mzxid)
		return;
	if (!note)
		note = make_room(survivor);
	strcpy(note->name, name);
	note->mzxid = mzxid;
	note->seen_us = now_us;
}

void survivor_begin(struct survivor *survivor)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < survivor->count; i++)
		if (survivor->notes[i].mzxid != SURVIVOR_UNREADABLE)
			survivor->notes[kept++] = survivor->notes[i];
	survivor->count = kept;
}

int64_t survivor_until_us(struct survivor *survivor, const char *name, int64_t mzxid,
			  int64_t lease_us, int64_t session_us, int64_t now_us)
{
	survivor_note(survivor, name, mzxid, now_us);
	if (lease_us <= 0)
		lease_us = lease_unknown_promise_us(session_us);
	return find(survivor, name)->seen_us + lease_us;
}

void survivor_see_cluster(struct survivor *survivor, int64_t czxid, int64_t now_us)
{
	if (survivor->cluster_czxid && survivor->cluster_czxid != czxid)
		survivor->cluster_new_us = now_us;
	survivor->cluster_czxid = czxid;
}

int64_t survivor_untold_us(const struct survivor *survivor, bool untold, bool remembers,
			   int64_t session_us, int64_t now_us)
{
	int64_t since_us = untold ? now_us : survivor->cluster_new_us;

	if (!since_us)
		return 0;
	return since_us +
	       (remembers ? lease_unknown_promise_us(session_us) : lease_promise_us(session_us));
}
