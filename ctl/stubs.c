#include "ctl.h"
int verb_watch(struct ctl *ctl)
{
	(void)ctl;
	ctl_error("not yet");
	return CTL_REFUSED;
}
int verb_drain(struct ctl *ctl)
{
	(void)ctl;
	ctl_error("not yet");
	return CTL_REFUSED;
}
int verb_undrain(struct ctl *ctl)
{
	(void)ctl;
	ctl_error("not yet");
	return CTL_REFUSED;
}
int verb_maintenance(struct ctl *ctl)
{
	(void)ctl;
	ctl_error("not yet");
	return CTL_REFUSED;
}
int verb_explain(struct ctl *ctl)
{
	(void)ctl;
	ctl_error("not yet");
	return CTL_REFUSED;
}
int verb_history(struct ctl *ctl)
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
int verb_key(struct ctl *ctl)
{
	(void)ctl;
	ctl_error("not yet");
	return CTL_REFUSED;
}
int verb_lock(struct ctl *ctl)
{
	(void)ctl;
	ctl_error("not yet");
	return CTL_REFUSED;
}
