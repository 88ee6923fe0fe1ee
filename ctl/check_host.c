/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define CLOCK_SOURCE "/sys/devices/system/clocksource/clocksource0/current_clocksource"
#define SERVICE_USER "primaryd"
#define RULE "50-primaryd.rules"

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

static void check_unit(struct check *check, const char *unit)
{
	char state[64];

	if (!check_unit_state(unit, state, sizeof(state)))
		check_say(check, CHECK_ERROR, "unit",
			  "run this where primaryd is to run, under systemd",
			  "takeover.unit is %s, and systemd cannot be asked about it", unit);
	else if (strcmp(state, "loaded") != 0)
		check_say(
			check, CHECK_ERROR, "unit",
			"install it, or set takeover.unit to one that is there; systemctl daemon-reload",
			"takeover.unit %s: systemd says %s", unit, state);
	else
		check_say(check, CHECK_OK, "unit", "", "takeover.unit %s is loaded", unit);
}

static void check_polkit(struct check *check)
{
	static const char *const places[] = { "/etc/polkit-1/rules.d/" RULE,
					      "/usr/share/polkit-1/rules.d/" RULE,
					      "/usr/local/share/polkit-1/rules.d/" RULE };

	if (!getpwnam(SERVICE_USER)) {
		check_say(check, CHECK_NOTE, "polkit", "",
			  "no user %s: run as root, primaryd needs no permission for its units",
			  SERVICE_USER);
		return;
	}
	for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++) {
		if (access(places[i], F_OK) != 0)
			continue;
		check_say(check, CHECK_OK, "polkit", "", "%s is there", places[i]);
		return;
	}
	check_say(check, CHECK_ERROR, "polkit", "install " RULE " into /etc/polkit-1/rules.d",
		  "no rule lets the user %s start and stop units", SERVICE_USER);
}

void check_host(struct check *check)
{
	const struct config *config = &check->ctl->config;

	check_clock(check);
	if (!check->ctl->has_file)
		return;
	if (*config->takeover.unit) {
		check_unit(check, config->takeover.unit);
		check_polkit(check);
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
