/* SPDX-License-Identifier: Apache-2.0 */

/* What primaryd-http has at /metrics, for whoever collects text files. */

#include "ctl.h"
#include "page.h"
#include "status/show.h"

int verb_metrics(struct ctl *ctl)
{
	static struct page page;
	static struct status_look look;
	int code = ctl_load(ctl);

	if (code == CTL_DONE)
		code = page_open(&page, ctl);
	if (code != CTL_DONE)
		return code;
	status_look(page.path, &page.clock, &look);
	status_print_metrics(stdout, &look, false);
	if (look.result != STATUS_OK)
		ctl_error("%.300s: %s", page.path, status_result_text(look.result));
	return ctl_flush();
}
