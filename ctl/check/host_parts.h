/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <systemd/sd-bus.h>

struct check;

/* Whether systemd has a valid unit file for the unit with that object path. */
bool check_is_loaded(sd_bus *bus, const char *path);

/* Looks at every unit that is started or stopped with the target; not at guards. bus: NULL is taken. */
void check_parts(struct check *check, sd_bus *bus, const char *target);
