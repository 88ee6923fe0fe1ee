/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What moving the role is made of. */

#include "cluster/facts.h"

/* Named, with the post, and its work runs. */
bool move_is_primary(const struct facts *facts, const char *name);

/* Prints, step by step, what would happen if target (NULL: `none`) were named. The exit code. */
int move_dry_run(struct ctl *ctl, const struct facts *facts, const struct node_facts *target);
