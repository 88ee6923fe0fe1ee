/* SPDX-License-Identifier: Apache-2.0 */
#include "unit_call.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

bool unit_enter_list(sd_bus_message *message)
{
	return !sd_bus_message_is_method_error(message, NULL) &&
	       sd_bus_message_enter_container(message, 'v', "as") > 0 &&
	       sd_bus_message_enter_container(message, 'a', "s") > 0;
}

/* argv of one command; the last one wins, as with the guard itself. What is behind "--" is the relinquish command. */
static bool read_arguments(sd_bus_message *message, char *ret_directory)
{
	bool found = false, over = false, is_value = false;
	const char *argument;

	while (sd_bus_message_read(message, "s", &argument) > 0) {
		if (is_value) {
			snprintf(ret_directory, UNIT_DIRECTORY_SIZE, "%s", argument);
			found = true;
		}
		over = over || (!is_value && !strcmp(argument, "--"));
		is_value = !over && !is_value && !strcmp(argument, "--runtime-directory");
	}
	return found;
}

bool unit_guard_directory(sd_bus_message *message, char ret_directory[UNIT_DIRECTORY_SIZE])
{
	bool found = false;

	if (sd_bus_message_is_method_error(message, NULL) ||
	    sd_bus_message_enter_container(message, 'v', "a(sasbttttuii)") <= 0 ||
	    sd_bus_message_enter_container(message, 'a', "(sasbttttuii)") <= 0)
		return false;
	while (sd_bus_message_enter_container(message, 'r', "sasbttttuii") > 0) {
		if (sd_bus_message_skip(message, "s") < 0 ||
		    sd_bus_message_enter_container(message, 'a', "s") <= 0)
			return found;
		found = read_arguments(message, ret_directory) || found;
		if (sd_bus_message_exit_container(message) < 0 ||
		    sd_bus_message_skip(message, "bttttuii") < 0 ||
		    sd_bus_message_exit_container(message) < 0)
			return found;
	}
	return found;
}

bool unit_guard_is_same(const char *directory, const char *other)
{
	struct stat a, b;

	return !strcmp(directory, other) || (stat(directory, &a) == 0 && stat(other, &b) == 0 &&
					     a.st_dev == b.st_dev && a.st_ino == b.st_ino);
}
