/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The operator's word: the primary key is written over the version that was seen, never otherwise; a name together with
 * its entry in the history, and only while that node is alive.
 */

#include "progress.h"

struct claim {
	int64_t mzxid;		       /* of the key, as written: the epoch of a name */
	char entry_path[ZKH_PATH_MAX]; /* of the history; "" for none */
};

/*
 * Writes node (NULL: `none`) over what progress->facts saw. CTL_DONE: done, progress is read up to it. Else what to end
 * with, said: refused because somebody wrote it meanwhile, timed out, ...
 */
int claim_write(struct progress *progress, const char *node, const char *reason,
		struct claim *ret_claim);

/* For how long it took: fills it in at the entry that claim_write() made. Failing is no harm. */
void claim_record(struct progress *progress, const struct claim *claim, const char *node,
		  const char *from, const char *reason, int64_t takeover_us);
