/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the daemon with this configuration remembers of its cluster, for who may read it. */

#include <limits.h>

#include "base/identity.h"
#include "ctl.h"

/*
 * Reads the daemon's file. ret_known has root and name in any case, and an id if something is remembered of them; ret_path
 * (PATH_MAX) where it would be. 0 or -errno, see identity_file_load().
 */
int remember(const struct ctl *ctl, struct identity *ret_known, char *ret_path);
