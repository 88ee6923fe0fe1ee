/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What systemd says of units: names on its bus, and lists of units. */

#include <stdbool.h>
#include <systemd/sd-bus.h>

#define SYSTEMD "org.freedesktop.systemd1"
#define SYSTEMD_PATH "/org/freedesktop/systemd1"
#define UNIT_PATH SYSTEMD_PATH "/unit"
#define UNIT_INTERFACE SYSTEMD ".Unit"
#define SERVICE_INTERFACE SYSTEMD ".Service"

/* A property of the unit with that object path, a list of units. < 0: it cannot be asked, and the list is NULL. */
int unit_list_get(sd_bus *bus, const char *path, const char *property, char ***ret_list);

/* Takes NULL. */
void unit_list_free(char **list);
bool unit_list_has(char **list, const char *name);

/* Whether the name of a unit, or of a file, ends like that. */
bool unit_ends_with(const char *name, const char *end);

/* Whether systemd has a valid unit file for the unit with that object path. True if it cannot be asked. */
bool unit_is_loaded(sd_bus *bus, const char *path);
