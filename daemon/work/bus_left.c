/* SPDX-License-Identifier: Apache-2.0 */
#include "bus_internal.h"

#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/*
 * What the state of a unit does not show: an inactive unit may have processes that still run (KillMode=process), and a
 * clean-up that failed, or never began, has left things behind. Also finds the process that keeps a unit from stopping.
 */

/* The first obstacle counts: it is shown to people, who remove one at a time. */
static void note(struct bus *b, const char *text)
{
	if (!*b->obstacle)
		snprintf(b->obstacle, sizeof(b->obstacle), "%s", text);
}

static void ask_parts(struct bus *b);

static void answered(struct bus *b)
{
	if (--b->n_asked == 0)
		ask_parts(b);
}

/* A unit that systemd does not know has no processes. Anything else that it cannot tell may be the worst. */
static bool cannot_tell(struct bus_part *part, sd_bus_message *message)
{
	const sd_bus_error *error = sd_bus_message_get_error(message);
	char failure[BUS_TEXT_SIZE] = "", text[BUS_TEXT_SIZE];

	if (!error || sd_bus_error_has_name(error, SYSTEMD ".NoSuchUnit"))
		return false;
	bus_failure(message, failure);
	snprintf(text, sizeof(text), "systemd does not report what is left of %.120s: %.120s",
		 part->name, failure);
	note(part->bus, text);
	return true;
}

/* -- processes -- */

static bool read_process(sd_bus_message *message, uint32_t *ret_pid, const char **ret_command)
{
	const char *group;

	return !sd_bus_message_is_method_error(message, NULL) &&
	       sd_bus_message_enter_container(message, 'a', "(sus)") > 0 &&
	       sd_bus_message_read(message, "(sus)", &group, ret_pid, ret_command) > 0;
}

static int on_processes(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
	struct bus_part *part = userdata;
	struct bus *b = part->bus;
	char text[BUS_TEXT_SIZE];
	const char *command;
	uint32_t pid;

	if (!cannot_tell(part, message) && read_process(message, &pid, &command)) {
		snprintf(text, sizeof(text), "%.120s is %s, but its process %u still runs: %.120s",
			 part->name, part->state, (unsigned)pid, command);
		note(b, text);
		/* It kills what is left of all of them: asked once a look. */
		if (b->killing && !b->has_processes)
			bus_ask_killer(b);
		b->has_processes = true;
	}
	answered(b);
	return 0;
}

static int on_blocker(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
	const struct bus_part *part = userdata;
	struct bus *b = part->bus;
	const char *command;
	uint32_t pid;

	if (read_process(message, &pid, &command))
		snprintf(b->obstacle, sizeof(b->obstacle), "%.120s is %s, process %u runs: %.120s",
			 part->name, part->state, (unsigned)pid, command);
	else
		snprintf(b->obstacle, sizeof(b->obstacle), "%.120s is %s", part->name, part->state);
	answered(b);
	return 0;
}

static void sent(struct bus *b, int r)
{
	if (r >= 0)
		b->n_asked++;
	else
		note(b, BUS_NO_CONNECTION);
}

static void ask_processes(struct bus *b, struct bus_part *part, sd_bus_message_handler_t handler)
{
	sent(b, sd_bus_call_method_async(b->bus, NULL, SYSTEMD, MANAGER_PATH, MANAGER,
					 "GetUnitProcesses", handler, part, "s", part->name));
}

/* -- clean-up -- */

static int on_remains(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
	struct bus_part *part = userdata;
	int remains = 0;

	/* A socket has no such property, and its ExecStop= commands are a different matter. */
	part->remains = !sd_bus_message_is_method_error(message, NULL) &&
			sd_bus_message_read(message, "v", "b", &remains) > 0 && remains;
	answered(part->bus);
	return 0;
}

/*
 * Of the unit's last start, whose beginning has cleared what the commands came to before. all: one that has not run counts, too,
 * with code 0.
 */
static bool has_failed_command(sd_bus_message *message, bool all, int *ret_code, int *ret_status)
{
	uint64_t times[4];
	uint32_t pid;
	int ignore;

	if (sd_bus_message_enter_container(message, 'v', "a(sasbttttuii)") <= 0 ||
	    sd_bus_message_enter_container(message, 'a', "(sasbttttuii)") <= 0)
		return false;
	while (sd_bus_message_enter_container(message, 'r', "sasbttttuii") > 0) {
		if (sd_bus_message_skip(message, "sas") < 0 ||
		    sd_bus_message_read(message, "bttttuii", &ignore, &times[0], &times[1],
					&times[2], &times[3], &pid, ret_code, ret_status) <= 0 ||
		    sd_bus_message_exit_container(message) < 0)
			return false;
		if (!ignore && (pid ? *ret_code != CLD_EXITED || *ret_status != 0 : all))
			return true;
	}
	return false;
}

static void note_clean_up(struct bus_part *part, sd_bus_message *message, const char *property,
			  bool all)
{
	char text[BUS_TEXT_SIZE], how[32] = "has not run";
	int code, status;

	if (cannot_tell(part, message) || !has_failed_command(message, all, &code, &status))
		return;
	if (code)
		snprintf(how, sizeof(how), "failed (%s%d)", code == CLD_EXITED ? "" : "signal ",
			 status);
	snprintf(text, sizeof(text),
		 "the clean-up of %.100s, its %s=, %s: remove what it left behind, then run: "
		 "systemctl reset-failed %.100s",
		 part->name, property, how, part->name);
	note(part->bus, text);
}

/* With a reload, and with a new start of its own, systemd forgets which commands have run. */
static int on_stop_post(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
	struct bus_part *part = userdata;
	const struct bus *b = part->bus;
	bool knows = b->loaded_us && part->exit_us > b->loaded_us &&
		     part->exit_us > b->manager_since_us;

	note_clean_up(part, message, "ExecStopPost", knows);
	answered(part->bus);
	return 0;
}

static int on_stop(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
	struct bus_part *part = userdata;

	if (part->remains)
		note_clean_up(part, message, "ExecStop", false);
	answered(part->bus);
	return 0;
}

/* CLOCK_MONOTONIC in microseconds; 0: never, or systemd does not say. */
static uint64_t read_time(sd_bus_message *message)
{
	uint64_t us = 0;

	if (!sd_bus_message_is_method_error(message, NULL))
		(void)sd_bus_message_read(message, "v", "t", &us);
	return us;
}

static int on_loaded(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
	struct bus *b = userdata;

	b->loaded_us = read_time(message);
	answered(b);
	return 0;
}

/* A socket has no main process. */
static int on_exit_time(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
	struct bus_part *part = userdata;

	part->exit_us = read_time(message);
	answered(part->bus);
	return 0;
}

static const char *interface_of(const struct bus_part *part)
{
	const char *suffix = strrchr(part->name, '.');

	if (suffix && !strcmp(suffix, ".service"))
		return SYSTEMD ".Service";
	return suffix && !strcmp(suffix, ".socket") ? SYSTEMD ".Socket" : NULL;
}

static void ask_clean_up(struct bus_part *part)
{
	const char *interface = interface_of(part);
	struct bus *b = part->bus;

	sent(b,
	     sd_bus_call_method_async(b->bus, NULL, SYSTEMD, MANAGER_PATH, PROPERTIES, "Get",
				      on_loaded, b, "ss", MANAGER, "UnitsLoadTimestampMonotonic"));
	sent(b, bus_get(b, part->name, interface, "ExecMainExitTimestampMonotonic", on_exit_time,
			part, NULL));
	sent(b, bus_get(b, part->name, interface, "RemainAfterExit", on_remains, part, NULL));
	sent(b, bus_get(b, part->name, interface, "ExecStop", on_stop, part, NULL));
	sent(b, bus_get(b, part->name, interface, "ExecStopPost", on_stop_post, part, NULL));
}

/*
 * The first thing that went wrong since the last start; reset-failed clears it. It does not tell what became of the clean-up,
 * but without it nothing did go wrong. A unit that was stopped while it waited for its restart is inactive, not failed.
 */
static int on_result(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
	struct bus_part *part = userdata;
	const char *result = "success";

	if (!cannot_tell(part, message))
		(void)sd_bus_message_read(message, "v", "s", &result);
	if (strcmp(result, "success") != 0)
		ask_clean_up(part);
	answered(part->bus);
	return 0;
}

/* -- the questions -- */

static void begin(struct bus *b)
{
	b->looking = true;
	b->obstacle[0] = '\0';
	b->has_processes = false;
	b->left_next = b->parts.n;
}

/* The next few parts; once all are asked, that is all. */
static void ask_parts(struct bus *b)
{
	while (b->n_asked == 0 && b->left_next < b->parts.n) {
		for (int i = 0; i < BUS_ASKED_MAX && b->left_next < b->parts.n; i++) {
			struct bus_part *part = &b->parts.list[b->left_next++];

			ask_processes(b, part, on_processes);
			if (interface_of(part))
				sent(b, bus_get(b, part->name, interface_of(part), "Result",
						on_result, part, NULL));
		}
	}
	if (b->n_asked == 0)
		bus_left_known(b);
}

void bus_left_ask(struct bus *b)
{
	char text[BUS_TEXT_SIZE];

	begin(b);
	if (b->parts.cut) {
		snprintf(
			text, sizeof(text),
			"more than %d units belong to %.200s: it is unknown whether all of them are down",
			BUS_PARTS_MAX, b->unit);
		note(b, text);
	}
	b->left_next = 0;
	ask_parts(b);
}

void bus_left_ask_blocker(struct bus *b, struct bus_part *part)
{
	begin(b);
	ask_processes(b, part, on_blocker);
	ask_parts(b);
}
