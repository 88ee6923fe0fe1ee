/* SPDX-License-Identifier: Apache-2.0 */
#include "host_bus.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int unit_list_get(sd_bus *bus, const char *path, const char *property, char ***ret_list)
{
	*ret_list = NULL;
	return sd_bus_get_property_strv(bus, SYSTEMD, path, UNIT_INTERFACE, property, NULL,
					ret_list);
}

void unit_list_free(char **list)
{
	for (size_t i = 0; list && list[i]; i++)
		free(list[i]);
	free(list);
}

bool unit_list_has(char **list, const char *name)
{
	for (size_t i = 0; list && list[i]; i++)
		if (!strcmp(list[i], name))
			return true;
	return false;
}

bool unit_ends_with(const char *name, const char *end)
{
	size_t n = strlen(name), n_end = strlen(end);

	return n >= n_end && !strcmp(name + n - n_end, end);
}

int unit_is_set(sd_bus *bus, const char *path, const char *interface, const char *property,
		const char *value)
{
	char *text = NULL;
	int r = sd_bus_get_property_string(bus, SYSTEMD, path, interface, property, NULL, &text);

	if (r >= 0)
		r = !strcmp(text, value);
	free(text);
	return r;
}

bool unit_is_loaded(sd_bus *bus, const char *path)
{
	return unit_is_set(bus, path, UNIT_INTERFACE, "LoadState", "loaded") != 0;
}

sd_bus_message *unit_array_get(sd_bus *bus, const char *path, const char *property,
			       const char *elements)
{
	sd_bus_message *reply = NULL;
	char type[32];

	(void)snprintf(type, sizeof(type), "a%s", elements);
	if (sd_bus_get_property(bus, SYSTEMD, path, SERVICE_INTERFACE, property, NULL, &reply,
				type) >= 0 &&
	    sd_bus_message_enter_container(reply, 'a', elements) > 0)
		return reply;
	return sd_bus_message_unref(reply);
}
