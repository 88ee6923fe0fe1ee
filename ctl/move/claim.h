/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The operator's word: the primary key is written over the version that was seen, never otherwise; a name together with
 * its entry in the history, and only while that node is alive.
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
