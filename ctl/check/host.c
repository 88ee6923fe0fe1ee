/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include <stdio.h>
#include <string.h>

#include "work/bus.h"
#include "work/bus_guard.h"

#define CLOCK_SOURCE "/sys/devices/system/clocksource/clocksource0/current_clocksource"

static void check_clock(struct check *check)
{
	static const char *const bad[] = { "jiffies", "refined-jiffies", "acpi_pm", "pit" };
	FILE *file = fopen(CLOCK_SOURCE, "re");
	char name[64] = "";

	if (file) {
		if (fgets(name, sizeof(name), file))
			name[strcspn(name, "\n")] = '\0';
		fclose(file);
	}
	if (!*name) {
		check_say(check, CHECK_NOTE, "clock", "", "the clock source is not known");
		return;
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		if (strcmp(bad[i], name) != 0)
			continue;
		check_say(
			check, CHECK_WARNING, "clock",
			"the lease allows for an error of 1 %: see why the kernel gave up the better ones (dmesg)",
			"the clock source is %s, coarse or slow", name);
		return;
	}
	check_say(check, CHECK_OK, "clock", "", "the clock source is %s", name);
}

static void check_unit(struct check *check, const char *name)
{
	struct check_unit unit = { 0 };
	char directory[CONFIG_PATH_SIZE];

	ctl_runtime_directory(check->ctl, directory);
	if (!check_unit_look(name, &unit))
		check_say(check, CHECK_ERROR, "unit",
			  "run this where primaryd is to run, under systemd",
			  "takeover.unit is %s, and systemd cannot be asked about it", name);
	else if (strcmp(unit.state, "loaded") != 0)
		check_say(
			check, CHECK_ERROR, "unit",
			"install it, or set takeover.unit to one that is there; systemctl daemon-reload",
			"takeover.unit %s: systemd says %s", name, unit.state);
	else if (!*unit.guard)
		check_say(check, CHECK_ERROR, "unit",
			  "add BindsTo=" BUS_GUARD_PREFIX ".service and After=" BUS_GUARD_PREFIX
			  ".service to it",
			  "takeover.unit %s is not bound to a guard: primaryd will not start it",
			  name);
	else if (*unit.guarded && !bus_guard_is_same(unit.guarded, directory))
		check_say(
			check, CHECK_ERROR, "unit",
			"give each daemon a unit, and a guard, of its own, as primary@NAME.target for primaryd@NAME.service",
			"takeover.unit %s is the work of another daemon: %s watches over %s, not over %s",
			name, unit.guard, unit.guarded, directory);
	else
		check_say(check, CHECK_OK, "unit", "",
			  "takeover.unit %s is loaded, and bound to %s", name, unit.guard);
	if (*unit.loose)
		check_say(
			check, CHECK_WARNING, "unit",
			"add PartOf= with the unit, BindsTo= and After= with its guard (primaryd-units(7)), if it is part of the work",
			"%s is started with %s, and nothing stops it when the role goes: it has neither PartOf= nor BindsTo=",
			unit.loose, name);
	check_permission(check, name, unit.guard);
}

void check_host(struct check *check)
{
	const struct config *config = &check->ctl->config;

	check_clock(check);
	if (!check->ctl->has_file)
		return;
	if (*config->takeover.unit) {
		check_unit(check, config->takeover.unit);
	} else if (!config->takeover.command.argv) {
		check_say(check, CHECK_WARNING, "work", "set takeover.unit or takeover.command",
			  "neither a unit nor a command is configured: a primary does nothing");
	}
	if (config->takeover.command.argv && !config->relinquish.command.argv)
		check_say(check, CHECK_WARNING, "work", "set relinquish.command",
			  "there is a takeover command, and none that undoes it");
	if (!config->fence.command.argv)
		check_say(check, CHECK_NOTE, "fence", "",
			  "no fence command: the lease alone keeps a dead primary's work down");
}
