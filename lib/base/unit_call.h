/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What both daemon and primaryctl ask systemd over the bus, and the names of the units that come with primaryd. */

#include <stdbool.h>
#include <systemd/sd-bus.h>

/* The unit of the work is bound (BindsTo=) to its daemon's guard, a service whose name begins like this. */
#define UNIT_GUARD_PREFIX "primaryd-guard"

/* Asked to kill what the daemon's user may not: primaryd-kill@UNIT.service, whose instance is the escaped unit. */
#define UNIT_KILLER "primaryd-kill"

#define UNIT_DIRECTORY_SIZE 256

/* Enters the list of strings in the answer to a property's Get. False: it is an error, or no such list. */
bool unit_enter_list(sd_bus_message *message);

/*
 * Whose guard a guard is: it watches over the lease in one runtime directory, that of one daemon. Work that is bound to
 * the guard of another daemon is that daemon's work. Reads the --runtime-directory in an answer that holds the property
 * ExecStart of a service. False: there is none, or it is no such answer.
 */
bool unit_guard_directory(sd_bus_message *message, char ret_directory[UNIT_DIRECTORY_SIZE]);

/* Also under two names. A directory that does not exist is the same only by name. */
bool unit_guard_is_same(const char *directory, const char *other);
