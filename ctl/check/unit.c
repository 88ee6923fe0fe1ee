/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-bus.h>

#include "work/bus.h"
#include "work/bus_guard.h"

#define SYSTEMD "org.freedesktop.systemd1"
#define SYSTEMD_PATH "/org/freedesktop/systemd1"
#define UNIT SYSTEMD ".Unit"
#define POLKIT "org.freedesktop.PolicyKit1"
#define MANAGE_UNITS SYSTEMD ".manage-units"
#define PATIENCE_US (2 * DURATION_S)

static int open_bus(sd_bus **ret_bus)
{
	int r = sd_bus_open_system(ret_bus);

	if (r >= 0)
		(void)sd_bus_set_method_call_timeout(*ret_bus, PATIENCE_US);
	return r;
}

/* As the daemon finds it: among what the unit is bound to. */
static int read_guard(sd_bus *bus, const char *path, struct check_unit *unit)
{
	char **bound = NULL;
	int r = sd_bus_get_property_strv(bus, SYSTEMD, path, UNIT, "BindsTo", NULL, &bound);

	for (size_t i = 0; r >= 0 && bound && bound[i]; i++) {
		if (!strncmp(bound[i], BUS_GUARD_PREFIX, strlen(BUS_GUARD_PREFIX)))
			snprintf(unit->guard, sizeof(unit->guard), "%s", bound[i]);
		free(bound[i]);
	}
	free(bound);
	return r;
}

static bool has(char **list, const char *name)
{
	for (size_t i = 0; list && list[i]; i++)
		if (!strcmp(list[i], name))
			return true;
	return false;
}

static void free_list(char **list)
{
	for (size_t i = 0; list && list[i]; i++)
		free(list[i]);
	free(list);
}

static bool ends_with(const char *text, const char *end)
{
	size_t n = strlen(text), n_end = strlen(end);

	return n >= n_end && !strcmp(text + n - n_end, end);
}

/* Neither bound to the guard nor stopped with the work; groups of units and the root are not the work's own. */
static bool is_loose(sd_bus *bus, const char *part, const char *name, const char *guard)
{
	static const char *const ties[] = { "PartOf", "BindsTo", "Requires" };
	bool tied = ends_with(part, ".target") || ends_with(part, ".slice") ||
		    !strcmp(part, "-.mount") || !strcmp(part, guard);
	char *path = NULL;

	if (tied || sd_bus_path_encode(SYSTEMD_PATH "/unit", part, &path) < 0)
		return false;
	for (size_t i = 0; !tied && i < sizeof(ties) / sizeof(*ties); i++) {
		char **list = NULL;

		/* What cannot be asked is not said to be loose. */
		tied = sd_bus_get_property_strv(bus, SYSTEMD, path, UNIT, ties[i], NULL, &list) <
			       0 ||
		       has(list, name) || has(list, guard);
		free_list(list);
	}
	free(path);
	return !tied;
}

static void read_loose(sd_bus *bus, const char *path, const char *name, struct check_unit *unit)
{
	static const char *const wants[] = { "Wants", "Requires", "BindsTo" };

	for (size_t i = 0; i < sizeof(wants) / sizeof(*wants); i++) {
		char **list = NULL;

		(void)sd_bus_get_property_strv(bus, SYSTEMD, path, UNIT, wants[i], NULL, &list);
		for (size_t k = 0; list && list[k] && !*unit->loose; k++)
			if (is_loose(bus, list[k], name, unit->guard))
				snprintf(unit->loose, sizeof(unit->loose), "%s", list[k]);
		free_list(list);
	}
}

/* Not to be had is not known. */
static void read_guarded(sd_bus *bus, struct check_unit *unit)
{
	sd_bus_message *reply = NULL;
	char *path = NULL;

	if (*unit->guard && sd_bus_path_encode(SYSTEMD_PATH "/unit", unit->guard, &path) >= 0 &&
	    sd_bus_call_method(bus, SYSTEMD, path, "org.freedesktop.DBus.Properties", "Get", NULL,
			       &reply, "ss", SYSTEMD ".Service", "ExecStart") >= 0)
		(void)bus_guard_directory(reply, unit->guarded);
	sd_bus_message_unref(reply);
	free(path);
}

bool check_unit_look(const char *name, struct check_unit *ret_unit)
{
	struct check_unit unit = { 0 };
	sd_bus_message *reply = NULL;
	sd_bus *bus = NULL;
	const char *path = NULL;
	char *state = NULL;
	int r = open_bus(&bus);

	if (r >= 0)
		r = sd_bus_call_method(bus, SYSTEMD, SYSTEMD_PATH, SYSTEMD ".Manager", "LoadUnit",
				       NULL, &reply, "s", name);
	if (r >= 0)
		r = sd_bus_message_read(reply, "o", &path);
	if (r >= 0)
		r = sd_bus_get_property_string(bus, SYSTEMD, path, UNIT, "LoadState", NULL, &state);
	if (r >= 0)
		r = read_guard(bus, path, &unit);
	if (r >= 0) {
		read_guarded(bus, &unit);
		read_loose(bus, path, name, &unit);
		snprintf(unit.state, sizeof(unit.state), "%s", state);
		*ret_unit = unit;
	}
	free(state);
	sd_bus_message_unref(reply);
	sd_bus_flush_close_unref(bus);
	return r >= 0;
}

int check_unit_allowed(pid_t pid, uid_t uid, const char *unit, const char *verb)
{
	sd_bus_message *reply = NULL;
	sd_bus *bus = NULL;
	int allowed = 0, challenge = 0;
	int r = open_bus(&bus);

	/* As systemd asks it, but for the subject: that is a connection there. */
	if (r >= 0)
		r = sd_bus_call_method(bus, POLKIT, "/org/freedesktop/PolicyKit1/Authority",
				       POLKIT ".Authority", "CheckAuthorization", NULL, &reply,
				       "(sa{sv})sa{ss}us", "unix-process", 3, "pid", "u",
				       (uint32_t)pid, "start-time", "t", UINT64_C(0), "uid", "i",
				       (int32_t)uid, MANAGE_UNITS, 2, "unit", unit, "verb", verb,
				       UINT32_C(0), "");
	if (r >= 0)
		r = sd_bus_message_enter_container(reply, 'r', "bba{ss}");
	if (r >= 0)
		r = sd_bus_message_read(reply, "bb", &allowed, &challenge);
	sd_bus_message_unref(reply);
	sd_bus_flush_close_unref(bus);
	return r < 0 ? r : allowed != 0;
}
