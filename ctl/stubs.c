/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl.h"
int verb_watch(struct ctl *ctl)
{
	(void)ctl;
	ctl_error("not yet");
	return CTL_REFUSED;
}
int verb_check(struct ctl *ctl)
{
	(void)ctl;
	ctl_error("not yet");
	return CTL_REFUSED;
}
int verb_remove(struct ctl *ctl)
{
	(void)ctl;
	ctl_error("not yet");
	return CTL_REFUSED;
}
int verb_rename(struct ctl *ctl)
{
	(void)ctl;
	ctl_error("not yet");
	return CTL_REFUSED;
}
