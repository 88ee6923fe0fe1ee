/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What both daemon and primaryctl ask systemd over the bus, and the names of the units that come with primaryd. */

#include <stdbool.h>
#include <systemd/sd-bus.h>

/* The unit of the work is bound (BindsTo=) to its daemon's guard, a service whose name begins like this. */
#define UNIT_GUARD_PREFIX "primaryd-guard"

/* Kills what is left of a unit: primaryd-kill@UNIT.service, whose instance is the escaped unit. */
#define UNIT_KILLER "primaryd-kill"

#define UNIT_GUARD_SIZE 256

/* Enters the list of strings in the answer to a property's Get. False: it is an error, or no such list. */
bool unit_enter_list(sd_bus_message *message);

/*
 * The guard of a daemon. Its name follows from that of the runtime directory: primaryd-guard.service for .../primaryd,
 * primaryd-guard@NAME.service for .../primaryd-NAME, and for .../NAME. Work that is bound to the guard of another daemon is
 * that daemon's work. Returns buf.
 */
char *unit_guard_name(const char *runtime_directory, char buf[UNIT_GUARD_SIZE]);
