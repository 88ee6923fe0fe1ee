/* SPDX-License-Identifier: Apache-2.0 */
#include "host_bus.h"

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

bool unit_is_loaded(sd_bus *bus, const char *path)
{
	char *state = NULL;
	bool loaded = sd_bus_get_property_string(bus, SYSTEMD, path, UNIT_INTERFACE, "LoadState",
						 NULL, &state) < 0 ||
		      !strcmp(state, "loaded");

	free(state);
	return loaded;
}
