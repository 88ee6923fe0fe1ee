/* SPDX-License-Identifier: Apache-2.0 */
#include "unit_call.h"

#include <stdio.h>
#include <string.h>

#define DAEMON "primaryd"

bool unit_enter_list(sd_bus_message *message)
{
	return !sd_bus_message_is_method_error(message, NULL) &&
	       sd_bus_message_enter_container(message, 'v', "as") > 0 &&
	       sd_bus_message_enter_container(message, 'a', "s") > 0;
}

char *unit_guard_name(const char *runtime_directory, char buf[UNIT_GUARD_SIZE])
{
	const char *slash = strrchr(runtime_directory, '/');
	const char *name = slash ? slash + 1 : runtime_directory;

	if (!strcmp(name, DAEMON)) {
		snprintf(buf, UNIT_GUARD_SIZE, UNIT_GUARD_PREFIX ".service");
		return buf;
	}
	if (!strncmp(name, DAEMON "-", strlen(DAEMON "-")))
		name += strlen(DAEMON "-");
	snprintf(buf, UNIT_GUARD_SIZE, UNIT_GUARD_PREFIX "@%.200s.service", name);
	return buf;
}
