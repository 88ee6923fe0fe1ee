/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <systemd/sd-bus.h>

struct check;

/* Looks at every unit that is started or stopped with the target; not at guards. bus: NULL is taken. */
void check_parts(struct check *check, sd_bus *bus, const char *target);
