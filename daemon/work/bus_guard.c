/* SPDX-License-Identifier: Apache-2.0 */
#include "bus_guard.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "bus_internal.h"

/* The guard that the unit is bound to, and whether it is this daemon's. */

/* -- whose -- */

/* argv of one command; the last one wins, as with the guard itself. What is behind "--" is the relinquish command. */
static bool read_arguments(sd_bus_message *message, char *ret_directory)
{
	bool found = false, over = false, is_value = false;
	const char *argument;

	while (sd_bus_message_read(message, "s", &argument) > 0) {
		if (is_value) {
			snprintf(ret_directory, BUS_DIRECTORY_SIZE, "%s", argument);
			found = true;
		}
		over = over || (!is_value && !strcmp(argument, "--"));
		is_value = !over && !is_value && !strcmp(argument, "--runtime-directory");
	}
	return found;
}

bool bus_guard_directory(sd_bus_message *message, char ret_directory[BUS_DIRECTORY_SIZE])
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

bool bus_guard_is_same(const char *directory, const char *other)
{
	struct stat a, b;

	return !strcmp(directory, other) || (stat(directory, &a) == 0 && stat(other, &b) == 0 &&
					     a.st_dev == b.st_dev && a.st_ino == b.st_ino);
}

/* -- which -- */

static void remember_guard(struct bus *b, sd_bus_message *message)
{
	const char *unit;

	if (sd_bus_message_is_method_error(message, NULL))
		return;
	b->guard[0] = '\0';
	if (!bus_enter_list(message))
		return;
	while (sd_bus_message_read(message, "s", &unit) > 0)
		if (!strncmp(unit, BUS_GUARD_PREFIX, strlen(BUS_GUARD_PREFIX)))
			snprintf(b->guard, sizeof(b->guard), "%s", unit);
}

/* What cannot be learnt is no reason to leave work running: only what is surely another's is left alone. */
static bool is_foreign(struct bus *b, sd_bus_message *message)
{
	char directory[BUS_DIRECTORY_SIZE];

	if (!bus_guard_directory(message, directory) ||
	    bus_guard_is_same(directory, b->runtime_directory))
		return false;
	snprintf(b->foreign, sizeof(b->foreign), "%s watches over %s, not over %s", b->guard,
		 directory, b->runtime_directory);
	return true;
}

static void looked(struct bus *b, const char *failure)
{
	bus_guard_fn then = b->then;

	b->then = NULL;
	b->vetted = true;
	if (then)
		then(b, failure);
}

/* A job of work that is not ours is neither carried out nor ended: the daemon leaves. */
static int on_command_told(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
	struct bus *b = userdata;

	(void)error;
	if (!is_foreign(b, message))
		looked(b, NULL);
	else if (b->ours)
		looked(b, b->foreign);
	else
		b->on_foreign(b->userdata, b->foreign);
	return 0;
}

static int on_guard_told(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
	struct bus *b = userdata;
	char failure[BUS_TEXT_SIZE] = "";

	(void)error;
	bus_failure(message, failure);
	remember_guard(b, message);
	if (*failure || !*b->guard) {
		looked(b, *failure ? failure : NULL);
		return 0;
	}
	b->call_slot = sd_bus_slot_unref(b->call_slot);
	bus_expect(b, bus_get(b, b->guard, SYSTEMD ".Service", "ExecStart", on_command_told,
			      &b->call_slot));
	return 0;
}

void bus_look_for_guard(struct bus *b, bus_guard_fn then)
{
	b->then = then;
	b->call_slot = sd_bus_slot_unref(b->call_slot);
	bus_expect(b, b->bus ? bus_get(b, b->unit, UNIT, "BindsTo", on_guard_told, &b->call_slot)
			     : -ENOTCONN);
}
