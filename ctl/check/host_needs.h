/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <systemd/sd-bus.h>

struct check;

/* Whether the things that a service of the work names exist: its program, its files, the interface of an address. */
void check_needs(struct check *check, sd_bus *bus, const char *unit, const char *unit_path);

/* Whether the sandbox of the service that runs the health command hides what that looks at. */
void check_health(struct check *check, sd_bus *bus, char *const *argv, const char *service);
