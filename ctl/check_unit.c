/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include <stdio.h>
#include <stdlib.h>
#include <systemd/sd-bus.h>

#define MANAGER                                                                                    \
	"org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager"
#define PATIENCE_US (2 * DURATION_S)

bool check_unit_state(const char *unit, char *text, size_t size)
{
	sd_bus_message *reply = NULL;
	sd_bus *bus = NULL;
	const char *path = NULL;
	char *state = NULL;
	int r = sd_bus_open_system(&bus);

	if (r >= 0)
		(void)sd_bus_set_method_call_timeout(bus, PATIENCE_US);
	if (r >= 0)
		r = sd_bus_call_method(bus, MANAGER, "LoadUnit", NULL, &reply, "s", unit);
	if (r >= 0)
		r = sd_bus_message_read(reply, "o", &path);
	if (r >= 0)
		r = sd_bus_get_property_string(bus, "org.freedesktop.systemd1", path,
					       "org.freedesktop.systemd1.Unit", "LoadState", NULL,
					       &state);
	if (r >= 0)
		snprintf(text, size, "%s", state);
	free(state);
	sd_bus_message_unref(reply);
	sd_bus_flush_close_unref(bus);
	return r >= 0;
}
