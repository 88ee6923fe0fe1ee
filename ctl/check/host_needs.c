/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What a takeover here would fail on: files, interfaces and programs that the units of the work name; a health command
 * that sees too little.
 */

#include "host_needs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "host_bus.h"

#define ADDRESS_UNIT "floating-ip@"
#define SCRIPT_MAX 16384

static void say(struct check *check, const char *unit, const char *what, int error)
{
	check_say(check, CHECK_ERROR, "takeover", "a takeover here fails until that is there",
		  "%s needs %s: %s", unit, what, strerror(error));
}

/* The file of a floating address; what its INTERFACE= names must exist here. */
static void check_address(struct check *check, const char *unit, const char *path)
{
	char line[256], interface[128] = "", name[16];
	bool has_address = false;
	FILE *file = fopen(path, "re");

	if (!file) {
		say(check, unit, path, errno);
		return;
	}
	while (fgets(line, sizeof(line), file)) {
		has_address = has_address || !strncmp(line, "ADDRESS=", strlen("ADDRESS="));
		if (sscanf(line, "INTERFACE=%15[^\" \t\r\n]", name) == 1)
			(void)snprintf(interface, sizeof(interface), "/sys/class/net/%s", name);
	}
	(void)fclose(file);
	if (!has_address || !*interface)
		check_say(check, CHECK_ERROR, "takeover", "primaryd-units(7) shows the file",
			  "%s: %s has no %s", unit, path, has_address ? "INTERFACE" : "ADDRESS");
	else if (access(interface, F_OK) < 0)
		say(check, unit, interface, errno);
}

static void check_files(struct check *check, const char *unit, sd_bus_message *files)
{
	const char *path;
	int optional;

	while (sd_bus_message_read(files, UNIT_FILES, &path, &optional) > 0) {
		const char *name = strrchr(path, '/');

		if (name && !strcmp(name, "/primary.env"))
			continue; /* made by the takeover */
		if (!strncmp(unit, ADDRESS_UNIT, strlen(ADDRESS_UNIT)))
			check_address(check, unit, path);
		else if (!optional && access(path, F_OK) < 0)
			say(check, unit, path, errno);
	}
}

static void check_program(struct check *check, const char *unit, sd_bus_message *programs)
{
	const char *path;

	if (sd_bus_message_enter_container(programs, 'r', "sasbttttuii") > 0 &&
	    sd_bus_message_read(programs, "s", &path) > 0 && access(path, X_OK) < 0)
		say(check, unit, path, errno);
}

void check_needs(struct check *check, sd_bus *bus, const char *unit, const char *unit_path)
{
	sd_bus_message *files = unit_array_get(bus, unit_path, "EnvironmentFiles", UNIT_FILES);
	sd_bus_message *programs = unit_array_get(bus, unit_path, "ExecStart", UNIT_COMMANDS);

	if (files)
		check_files(check, unit, files);
	if (programs)
		check_program(check, unit, programs);
	sd_bus_message_unref(files);
	sd_bus_message_unref(programs);
}

/* -- health -- */

/* The first of these words in the command or, if it is a script, in its text; NULL: none. */
static const char *find_word(char *const *argv, const char *const *words)
{
	static char text[SCRIPT_MAX];
	FILE *file = fopen(argv[0], "re");
	size_t n = file ? fread(text, 1, sizeof(text) - 1, file) : 0;

	if (file)
		(void)fclose(file);
	text[n] = '\0';
	if (strncmp(text, "#!", 2) != 0)
		(void)snprintf(text, sizeof(text), "%s", argv[0]);
	for (size_t i = 0; words[i]; i++)
		for (const char *at = text; (at = strstr(at, words[i])); at++) {
			size_t after = strspn(at + strlen(words[i]), " \t\n");

			if ((at == text || strchr(" \t\n/(;|&!`", at[-1])) &&
			    (after || !at[strlen(words[i])]))
				return words[i];
		}
	return NULL;
}

/* Whether commands of the service may open sockets of netlink. What cannot be learnt is no finding. */
static bool may_use_netlink(sd_bus *bus, const char *path)
{
	sd_bus_message *reply = NULL;
	int allowed = false, listed = false;
	const char *family;

	if (sd_bus_get_property(bus, SYSTEMD, path, SERVICE_INTERFACE, "RestrictAddressFamilies",
				NULL, &reply, "(bas)") >= 0 &&
	    sd_bus_message_enter_container(reply, 'r', "bas") > 0 &&
	    sd_bus_message_read(reply, "b", &allowed) > 0 &&
	    sd_bus_message_enter_container(reply, 'a', "s") > 0)
		while (sd_bus_message_read(reply, "s", &family) > 0)
			listed = listed || !strcmp(family, "AF_NETLINK");
	sd_bus_message_unref(reply);
	return listed == (allowed != 0);
}

void check_health(struct check *check, sd_bus *bus, char *const *argv, const char *service)
{
	static const char *const of_processes[] = { "pgrep", "pidof", "ps", "pkill", NULL };
	static const char *const of_network[] = { "ip", "ss", "bridge", NULL };
	const char *word;
	char *path;

	if (sd_bus_path_encode(UNIT_PATH, service, &path) < 0)
		return;
	word = find_word(argv, of_processes);
	if (word && unit_is_set(bus, path, SERVICE_INTERFACE, "ProtectProc", "default") == 0)
		check_say(
			check, CHECK_WARNING, "health",
			"ask systemd (systemctl is-active UNIT), or set ProtectProc=default with systemctl edit",
			"%s uses %s, but ProtectProc= of %s hides the processes of other users",
			argv[0], word, service);
	word = find_word(argv, of_network);
	if (word && !may_use_netlink(bus, path))
		check_say(
			check, CHECK_WARNING, "health",
			"read /sys/class/net, or add RestrictAddressFamilies=AF_NETLINK with systemctl edit",
			"%s uses %s, which needs netlink: RestrictAddressFamilies= of %s does not allow it",
			argv[0], word, service);
	free(path);
}
