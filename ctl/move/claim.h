/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * An operator's move: writes the primary key over the version that was seen, and in no other case. A name is written
 * together with its entry in the history, and only while the node of that name is alive.
 */

#include "base/history_entry.h"
#include "progress.h"

struct claim {
	int64_t mzxid; /* of the key, as written: the epoch of a name */
	struct history_entry entry;
	char entry_path[ZKH_PATH_MAX]; /* of the history; "" for none */
};

/*
 * Writes node (NULL: `none`) over what progress->facts saw. CTL_DONE: done, progress is read up to it. Else what to end
 * with, said: refused because somebody wrote it meanwhile, timed out, ...
 */
int claim_write(struct progress *progress, const char *node, const char *reason,
		struct claim *ret_claim);

/* Adds how long it took to the entry that claim_write() made. Failing is no harm. */
void claim_record(struct progress *progress, struct claim *claim, int64_t takeover_us);
