/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* How the cluster is shown: by status, and again and again by watch. */

#include "cluster/facts.h"

#define STATUS_TABLES 4

/* Builds the tables; to be destroyed by status_finish(). */
void status_tables(const struct facts *facts, struct table *ret_tables[STATUS_TABLES]);
/* Which live nodes (or that one alone, unless NULL) could not fence which others, by their fence checks. */
struct table *status_unfenceable(const struct facts *facts, const struct node_facts *only);

void status_finish(struct table *tables[STATUS_TABLES]);
