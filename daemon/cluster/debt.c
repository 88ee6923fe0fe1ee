/* SPDX-License-Identifier: Apache-2.0 */
#include "debt.h"

#include <string.h>

const char *debt_owner(const struct debt *debt, const struct view *view, int64_t own_epoch)
{
	int64_t epoch = view->memory_epoch;

	if (epoch == own_epoch)
		return NAME_NOBODY;
	return epoch == debt->epoch ? debt->owner : "";
}

static const char *owner_before(const struct debt *debt, const struct view *view, int64_t own_epoch)
{
	if (view->top_version < 0 || view->top_epoch < view->memory_epoch)
		return "";
	return strcmp(view->top_owner, view->name) ? view->top_owner
						   : debt_owner(debt, view, own_epoch);
}

void debt_begin(struct debt *debt, const struct view *view, int64_t own_epoch, int64_t epoch)
{
	struct debt next = { .epoch = epoch, .remembers = view->memory_epoch > 0 };

	strcpy(next.owner, owner_before(debt, view, own_epoch));
	*debt = next;
}

bool debt_is_owed(const struct debt *debt)
{
	return debt->remembers && strcmp(debt->owner, NAME_NOBODY) != 0;
}
