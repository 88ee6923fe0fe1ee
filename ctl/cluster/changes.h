/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What changed between two looks at a cluster, as lines for people. Pure. */

#include "facts.h"

typedef void (*changes_fn)(void *userdata, const char *text);

/* Calls fn for each change, in the order in which they are likely to have happened. */
void changes_between(const struct facts *before, const struct facts *after, changes_fn fn,
		     void *userdata);
