/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The status page of the daemon with this configuration. */

#include <limits.h>

#include "ctl.h"
#include "status/page.h"

struct page {
	char path[PATH_MAX];
	struct status_clock clock;
};

/* Finds it, after ctl_load(). CTL_DONE, or CTL_REFUSED, said. */
int page_open(struct page *page, const struct ctl *ctl);
