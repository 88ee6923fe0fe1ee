/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Who may be at work yet, as far as this process and /epoch know. Names are in the form of value_epoch(). */

#include <stdbool.h>
#include <stdint.h>

#include "view.h"

/* The last takeover of this process. Zeroed: there was none. */
struct debt {
	int64_t epoch;
	bool remembers;	       /* this node knew of an epoch before it */
	char owner[NAME_SIZE]; /* who may have been at work before it */
};

/*
 * Who may be at work now that this node's own work is down: the node that it waited for in the takeover of the highest
 * epoch, as long as that takeover has started nothing. "": not known, as for a takeover that another process or machine
 * of its name made, and that may have started nothing. own_epoch: the last one in which this node started work, 0: none.
 */
const char *debt_owner(const struct debt *debt, const struct view *view, int64_t own_epoch);

/* A takeover is about to be sent: notes who may be at work before it, whatever became of that node's keys. */
void debt_begin(struct debt *debt, const struct view *view, int64_t own_epoch, int64_t epoch);

/* Whoever was primary before the takeover has not left in order. Without any memory the own lease is waited for, no more. */
bool debt_is_owed(const struct debt *debt);
