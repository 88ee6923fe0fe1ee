/* SPDX-License-Identifier: Apache-2.0 */
#include "page.h"

#include <string.h>

int page_open(struct page *page, const struct ctl *ctl)
{
	char runtime[CONFIG_PATH_SIZE];
	int r;

	ctl_runtime_directory(ctl, runtime);
	r = status_path(ctl->config.node.status_directory, runtime, page->path);
	if (r == 0)
		r = status_clock_read(&page->clock);
	if (r == 0)
		return CTL_DONE;
	ctl_error("no status page: %s", strerror(-r));
	return CTL_REFUSED;
}
