/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What systemd says of units: names on its bus, and properties of the unit with an object path. */

#include <stdbool.h>
#include <systemd/sd-bus.h>

#define SYSTEMD "org.freedesktop.systemd1"
#define SYSTEMD_PATH "/org/freedesktop/systemd1"
#define UNIT_PATH SYSTEMD_PATH "/unit"
#define UNIT_INTERFACE SYSTEMD ".Unit"
#define SERVICE_INTERFACE SYSTEMD ".Service"

/* A list of units. < 0: it cannot be asked, and the list is NULL. */
int unit_list_get(sd_bus *bus, const char *path, const char *property, char ***ret_list);

/* Takes NULL. */
void unit_list_free(char **list);
bool unit_list_has(char **list, const char *name);

/* Whether the name of a unit, or of a file, ends like that. */
bool unit_ends_with(const char *name, const char *end);

/* Whether a text is that one: 1 or 0; < 0: it cannot be asked. */
int unit_is_set(sd_bus *bus, const char *path, const char *interface, const char *property,
		const char *value);

/* An array of a service, to be read element by element and unref'd. NULL: it cannot be asked. */
sd_bus_message *unit_array_get(sd_bus *bus, const char *path, const char *property,
			       const char *elements);
#define UNIT_FILES "(sb)"	      /* elements of EnvironmentFiles */
#define UNIT_COMMANDS "(sasbttttuii)" /* elements of ExecStart and the like */

/* Whether systemd has a valid unit file for it. True if it cannot be asked. */
bool unit_is_loaded(sd_bus *bus, const char *path);
