/* SPDX-License-Identifier: Apache-2.0 */

/* This machine: the clock source, and what systemd and polkit say of the unit of the work. */

#include "check.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/unit_call.h"
#include "host_bus.h"
#include "host_needs.h"
#include "host_parts.h"

#define CLOCK_SOURCE "/sys/devices/system/clocksource/clocksource0/current_clocksource"
#define POLKIT "org.freedesktop.PolicyKit1"
#define BUS_TIMEOUT_US (2 * DURATION_S) /* of one call */
#define SERVICE_USER "primaryd"
#define RULE_REMEDY                                                                                            \
	"install 50-primaryd.rules into /etc/polkit-1/rules.d; a unit other than primary.target needs a rule " \
	"of its own: primaryd-units(7)"

/* What systemd says of the unit. */
struct unit {
	const char *name;
	char *path;
	char state[64];	 /* "loaded" when all is well */
	char guard[256]; /* what it is bound to; "": not to a guard */
	char loose
		[256]; /* the first unit started with it that neither it nor the guard stops; "": none */
};

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
			"find out why the kernel rejected better ones (dmesg): the lease allows for an error of 1 %",
			"the clock source %s is coarse or slow", name);
		return;
	}
	check_say(check, CHECK_OK, "clock", "", "the clock source is %s", name);
}

/* -- systemd -- */

/* Neither bound to the guard nor stopped with the work; groups of units and the root are not part of the work. */
static bool is_loose(sd_bus *bus, const char *part, const struct unit *unit)
{
	static const char *const ties[] = { "PartOf", "BindsTo", "Requires" };
	bool tied = unit_ends_with(part, ".target") || unit_ends_with(part, ".slice") ||
		    !strcmp(part, "-.mount") || !strcmp(part, unit->guard);
	char *path = NULL;

	if (tied || sd_bus_path_encode(UNIT_PATH, part, &path) < 0)
		return false;
	/* Of one that is not there, host_parts.c tells more. */
	tied = !unit_is_loaded(bus, path);
	for (size_t i = 0; !tied && i < sizeof(ties) / sizeof(*ties); i++) {
		char **list;

		/* A unit that cannot be asked about is not reported. */
		tied = unit_list_get(bus, path, ties[i], &list) < 0 ||
		       unit_list_has(list, unit->name) || unit_list_has(list, unit->guard);
		unit_list_free(list);
	}
	free(path);
	return !tied;
}

static void read_loose(sd_bus *bus, struct unit *unit)
{
	static const char *const wants[] = { "Wants", "Requires", "BindsTo" };

	for (size_t i = 0; i < sizeof(wants) / sizeof(*wants); i++) {
		char **list;

		(void)unit_list_get(bus, unit->path, wants[i], &list);
		for (size_t k = 0; list && list[k] && !*unit->loose; k++)
			if (is_loose(bus, list[k], unit))
				snprintf(unit->loose, sizeof(unit->loose), "%s", list[k]);
		unit_list_free(list);
	}
}

/* The guard, as the daemon finds it: among the units that this one is bound to. */
static int read_guard(sd_bus *bus, struct unit *unit)
{
	char **bound;
	int r = unit_list_get(bus, unit->path, "BindsTo", &bound);

	for (size_t i = 0; bound && bound[i]; i++)
		if (!strncmp(bound[i], UNIT_GUARD_PREFIX, strlen(UNIT_GUARD_PREFIX)))
			snprintf(unit->guard, sizeof(unit->guard), "%s", bound[i]);
	unit_list_free(bound);
	return r;
}

/* False: systemd cannot be asked. */
static bool read_unit(sd_bus *bus, struct unit *unit)
{
	sd_bus_message *reply = NULL;
	const char *path;
	char *state = NULL;
	int r = bus ? sd_bus_call_method(bus, SYSTEMD, SYSTEMD_PATH, SYSTEMD ".Manager", "LoadUnit",
					 NULL, &reply, "s", unit->name)
		    : -ENOTCONN;

	if (r >= 0)
		r = sd_bus_message_read(reply, "o", &path);
	if (r >= 0)
		r = sd_bus_get_property_string(bus, SYSTEMD, path, UNIT_INTERFACE, "LoadState",
					       NULL, &state);
	if (r >= 0) {
		snprintf(unit->state, sizeof(unit->state), "%s", state);
		unit->path = strdup(path);
		r = unit->path ? read_guard(bus, unit) : -ENOMEM;
	}
	if (r >= 0)
		read_loose(bus, unit);
	free(state);
	free(unit->path);
	sd_bus_message_unref(reply);
	return r >= 0;
}

static void check_unit(struct check *check, sd_bus *bus, struct unit *unit, const char *guard)
{
	if (!read_unit(bus, unit))
		check_say(check, CHECK_ERROR, "unit",
			  "run this where primaryd is to run, under systemd",
			  "takeover.unit is %s, but systemd cannot be asked about it", unit->name);
	else if (!strcmp(unit->state, "masked"))
		check_say(check, CHECK_ERROR, "unit", "unmask it: systemctl unmask UNIT",
			  "takeover.unit %s is masked: nothing can start it", unit->name);
	else if (strcmp(unit->state, "loaded") != 0)
		check_say(
			check, CHECK_ERROR, "unit",
			"install it, or set takeover.unit to one that exists; then systemctl daemon-reload",
			"takeover.unit %s: systemd says %s", unit->name, unit->state);
	else if (!*unit->guard)
		check_say(
			check, CHECK_ERROR, "unit",
			"add BindsTo= and After= with its guard to it (primaryd-units(7))",
			"takeover.unit %s is not bound to its guard, %s: primaryd will not start it",
			unit->name, guard);
	else if (strcmp(unit->guard, guard) != 0)
		check_say(
			check, CHECK_ERROR, "unit",
			"give each daemon a unit and a guard of its own, such as primary@NAME.target for primaryd@NAME.service",
			"takeover.unit %s is the work of another daemon: it is bound to %s, not to %s",
			unit->name, unit->guard, guard);
	else
		check_say(check, CHECK_OK, "unit", "",
			  "takeover.unit %s is loaded, and bound to %s", unit->name, unit->guard);
	if (*unit->loose)
		check_say(
			check, CHECK_WARNING, "unit",
			"if it is part of the work, add PartOf= with the unit, BindsTo= and After= with its guard (primaryd-units(7))",
			"%s is started with %s, but nothing stops it when the role moves: it has neither PartOf= nor BindsTo=",
			unit->loose, unit->name);
}

/* -- polkit -- */

/*
 * Whether polkit lets the user do that ("start", "stop", ...) to the unit: 1 or 0, or -errno when it cannot be asked.
 * The subject is this process, under the other user's name: polkit takes root's word for that, and nobody else's.
 */
static int ask_polkit(sd_bus *bus, uid_t uid, const char *unit, const char *verb)
{
	sd_bus_message *reply = NULL;
	int allowed = 0, challenge = 0;
	int r = bus ? sd_bus_call_method(bus, POLKIT, "/org/freedesktop/PolicyKit1/Authority",
					 POLKIT ".Authority", "CheckAuthorization", NULL, &reply,
					 "(sa{sv})sa{ss}us", "unix-process", 3, "pid", "u",
					 (uint32_t)getpid(), "start-time", "t", UINT64_C(0), "uid",
					 "i", (int32_t)uid, SYSTEMD ".manage-units", 2, "unit",
					 unit, "verb", verb, UINT32_C(0), "")
		    : -ENOTCONN;

	if (r >= 0)
		r = sd_bus_message_enter_container(reply, 'r', "bba{ss}");
	if (r >= 0)
		r = sd_bus_message_read(reply, "bb", &allowed, &challenge);
	sd_bus_message_unref(reply);
	return r < 0 ? r : allowed != 0;
}

static void ask_for_all(struct check *check, sd_bus *bus, uid_t uid, const struct unit *unit)
{
	const struct {
		const char *unit, *verb;
	} questions[] = { { unit->name, "start" },
			  { unit->name, "stop" },
			  { unit->guard, "restart" },
			  { unit->guard, "stop" } };
	char killer[512];

	for (size_t i = 0; i < sizeof(questions) / sizeof(*questions); i++) {
		const char *name = questions[i].unit, *verb = questions[i].verb;
		int r = *name ? ask_polkit(bus, uid, name, verb) : 1;

		if (r == -ERFKILL)
			check_say(check, CHECK_ERROR, "polkit", "systemctl unmask polkit",
				  "polkit is masked: systemd allows nothing to any user but root");
		else if (r < 0)
			check_say(
				check, CHECK_ERROR, "polkit",
				"install and start polkit: systemd asks it for every user but root",
				"polkit cannot be asked whether the user %s may %s %s: %s",
				SERVICE_USER, verb, name, strerror(-r));
		else if (!r)
			check_say(check, CHECK_ERROR, "polkit", RULE_REMEDY,
				  "polkit does not let the user %s %s %s", SERVICE_USER, verb,
				  name);
		if (r <= 0)
			return;
	}
	check_say(check, CHECK_OK, "polkit", "", "polkit lets the user %s start and stop %s%s%s",
		  SERVICE_USER, unit->name, *unit->guard ? ", restart and stop " : "", unit->guard);
	snprintf(killer, sizeof(killer), "%s@%s.service", UNIT_KILLER, unit->name);
	if (ask_polkit(bus, uid, killer, "start") == 0)
		check_say(
			check, CHECK_WARNING, "polkit", RULE_REMEDY,
			"polkit does not let the user %s start %s: if %s does not stop in time, it is not killed",
			SERVICE_USER, killer, unit->name);
}

static void check_permission(struct check *check, sd_bus *bus, const struct unit *unit)
{
	const struct passwd *user = getpwnam(SERVICE_USER);

	if (!user)
		check_say(check, CHECK_NOTE, "polkit", "",
			  "no user %s: run as root, primaryd needs no permission for its units",
			  SERVICE_USER);
	else if (geteuid() != 0)
		check_say(
			check, CHECK_NOTE, "polkit", "run this as root",
			"not checked whether the user %s may start and stop %s: polkit answers only root",
			SERVICE_USER, unit->name);
	else
		ask_for_all(check, bus, user->pw_uid, unit);
}

void check_host(struct check *check)
{
	const struct config *config = &check->ctl->config;
	struct unit unit = { .name = config->takeover.unit };
	char directory[CONFIG_PATH_SIZE], guard[UNIT_GUARD_SIZE], service[UNIT_GUARD_SIZE];
	sd_bus *bus = NULL;

	check_clock(check);
	if (!check->ctl->has_file)
		return;
	if (*unit.name) {
		if (sd_bus_open_system(&bus) >= 0)
			(void)sd_bus_set_method_call_timeout(bus, BUS_TIMEOUT_US);
		ctl_runtime_directory(check->ctl, directory);
		unit_guard_name(directory, guard);
		check_unit(check, bus, &unit, guard);
		check_parts(check, bus, unit.name);
		/* The daemon and its guard are instances of the same name. */
		(void)snprintf(service, sizeof(service), "primaryd%s",
			       guard + strlen(UNIT_GUARD_PREFIX));
		if (bus && config->health.command.argv)
			check_health(check, bus, config->health.command.argv, service);
		check_permission(check, bus, &unit);
		sd_bus_flush_close_unref(bus);
	}
	if (config->takeover.command.argv && !config->relinquish.command.argv)
		check_say(check, CHECK_WARNING, "work", "set relinquish.command",
			  "takeover.command is set, but nothing undoes it");
	if (!config->fence.command.argv)
		check_say(check, CHECK_NOTE, "fence", "",
			  "no fence command: the lease alone keeps a dead primary's work down");
	else if (!config->fence.check_command.argv)
		check_say(check, CHECK_NOTE, "fence", "set fence.check-command",
			  "fencing is not tested before it is needed");
}
