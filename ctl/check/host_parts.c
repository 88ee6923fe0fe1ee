/* SPDX-License-Identifier: Apache-2.0 */

/* The units that belong to the work: whether systemd's settings of them keep what a stop, a crash or a kill needs. */

#include "host_parts.h"

#include <stdlib.h>
#include <string.h>

#include "base/unit_call.h"
#include "check.h"
#include "host_bus.h"
#include "host_needs.h"

struct part {
	struct check *check;
	sd_bus *bus;
	const char *name;
	bool bound;  /* the target is bound to it */
	bool needed; /* the target does not start without it */
	char *path;
};

static bool is_set(const struct part *part, const char *interface, const char *property,
		   const char *value)
{
	return unit_is_set(part->bus, part->path, interface, property, value) > 0;
}

static bool is_flag(const struct part *part, const char *interface, const char *property,
		    bool value)
{
	int flag;

	return sd_bus_get_property_trivial(part->bus, SYSTEMD, part->path, interface, property,
					   NULL, 'b', &flag) >= 0 &&
	       (flag != 0) == value;
}

/* A primary.env is among its EnvironmentFile=. */
static bool reads_environment(const struct part *part)
{
	sd_bus_message *files = unit_array_get(part->bus, part->path, "EnvironmentFiles",
					       UNIT_FILES);
	bool reads = false;
	const char *file;
	int optional;

	while (files && sd_bus_message_read(files, UNIT_FILES, &file, &optional) > 0)
		reads = reads || unit_ends_with(file, "/primary.env");
	sd_bus_message_unref(files);
	return reads;
}

static bool has_commands(const struct part *part, const char *property)
{
	sd_bus_message *commands = unit_array_get(part->bus, part->path, property, UNIT_COMMANDS);
	bool has = commands && sd_bus_message_at_end(commands, false) == 0;

	sd_bus_message_unref(commands);
	return has;
}

static void say(const struct part *part, enum check_level level, const char *remedy,
		const char *what)
{
	check_say(part->check, level, "unit", remedy, "%s has %s", part->name, what);
}

static void check_service(const struct part *part)
{
	if (is_set(part, SERVICE_INTERFACE, "KillMode", "none"))
		say(part, CHECK_ERROR, "remove the line",
		    "KillMode=none: its processes are not stopped, and the role is kept until they are killed");
	if (is_set(part, SERVICE_INTERFACE, "KillMode", "process"))
		say(part, CHECK_WARNING,
		    "remove the line, or let the main process wait for all others",
		    "KillMode=process: processes that outlive it keep the role here until relinquish.timeout");
	if (part->bound && !is_set(part, SERVICE_INTERFACE, "Restart", "no"))
		say(part, CHECK_WARNING, "use Requires= instead of BindsTo=",
		    "Restart=, but the target is bound to it: up to systemd 253, a crash moves the role without a restart");
	if (reads_environment(part) && is_set(part, SERVICE_INTERFACE, "User", ""))
		say(part, CHECK_WARNING, "see ENVIRONMENT in primaryd-units(7)",
		    "EnvironmentFile= with primary.env, but runs as root: the user primaryd can set its LD_PRELOAD");
	if (has_commands(part, "ExecStop") && !has_commands(part, "ExecStopPost"))
		say(part, CHECK_NOTE, "if it cleans up, do that in ExecStopPost=",
		    "ExecStop=, which systemd skips after a crash, but no ExecStopPost=");
	if (is_flag(part, SERVICE_INTERFACE, "SendSIGKILL", false))
		say(part, CHECK_ERROR, "remove the line",
		    "SendSIGKILL=no: a process that ignores SIGTERM keeps the role here");
}

static void check_part(struct part *part)
{
	if (sd_bus_path_encode(UNIT_PATH, part->name, &part->path) < 0)
		return;
	if (!unit_is_loaded(part->bus, part->path))
		check_say(
			part->check, part->needed ? CHECK_ERROR : CHECK_WARNING, "unit",
			"install it, unmask it, or correct its unit file; then systemctl daemon-reload",
			"%s cannot be started: it is missing, masked, or its unit file is not valid",
			part->name);
	if (unit_ends_with(part->name, ".service")) {
		check_service(part);
		check_needs(part->check, part->bus, part->name, part->path);
	}
	if (unit_ends_with(part->name, ".mount") &&
	    is_flag(part, SYSTEMD ".Mount", "LazyUnmount", true))
		say(part, CHECK_ERROR, "remove the line",
		    "LazyUnmount=yes: it can be inactive while processes still write to it");
	if (is_set(part, UNIT_INTERFACE, "CollectMode", "inactive-or-failed"))
		say(part, CHECK_ERROR, "remove the line",
		    "CollectMode=inactive-or-failed: systemd forgets that its clean-up failed");
	free(part->path);
}

void check_parts(struct check *check, sd_bus *bus, const char *target)
{
	static const char *const ties[] = { "BindsTo",	  "Requires", "Wants",
					    "ConsistsOf", "BoundBy",  "RequiredBy" };
	char **seen[sizeof(ties) / sizeof(*ties)] = { NULL }, *path;

	if (!bus || sd_bus_path_encode(UNIT_PATH, target, &path) < 0)
		return;
	for (size_t i = 0; i < sizeof(ties) / sizeof(*ties); i++) {
		(void)unit_list_get(bus, path, ties[i], &seen[i]);
		for (size_t k = 0; seen[i] && seen[i][k]; k++) {
			struct part part = { check, bus, seen[i][k], i == 0, i <= 1, NULL };
			bool known = !strncmp(part.name, UNIT_GUARD_PREFIX,
					      strlen(UNIT_GUARD_PREFIX));

			for (size_t before = 0; before < i; before++)
				known = known || unit_list_has(seen[before], part.name);
			if (!known)
				check_part(&part);
		}
	}
	for (size_t i = 0; i < sizeof(ties) / sizeof(*ties); i++)
		unit_list_free(seen[i]);
	free(path);
}
