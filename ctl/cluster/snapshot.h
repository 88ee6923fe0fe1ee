/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The cluster as it is now, read once. */

#include "facts.h"

struct snapshot {
	struct cluster cluster;
	struct facts facts;
};

/* CTL_DONE, or what to end with, said. In any case to be closed. */
int snapshot_read(struct ctl *ctl, struct snapshot *ret);

/* The same, and looks whether the primary renews its lease, which may take a fourth of T. */
int snapshot_read_renewals(struct ctl *ctl, struct snapshot *ret);

void snapshot_close(struct snapshot *snapshot); /* also fine when zeroed */

/* The node that the argument names, or this machine's own. NULL: there is none; said. */
const struct node_facts *snapshot_argument(struct ctl *ctl, const struct facts *facts, int index);
