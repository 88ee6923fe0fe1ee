/* SPDX-License-Identifier: Apache-2.0 */
#include "fault.h"

#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* "hand back" is called hand-back in the variable. */
static bool same_name(const char *name, const char *wanted, size_t length)
{
	if (strlen(name) != length)
		return false;
	for (size_t i = 0; i < length; i++)
		if (wanted[i] != (name[i] == ' ' ? '-' : name[i]))
			return false;
	return true;
}

void fault_point(const char *transaction, const char *moment)
{
	const char *wanted = getenv("PRIMARYD_FAULT_POINT");
	const char *dot = wanted ? strchr(wanted, '.') : NULL;

	if (dot && same_name(transaction, wanted, (size_t)(dot - wanted)) &&
	    !strcmp(dot + 1, moment))
		raise(SIGKILL);
}
