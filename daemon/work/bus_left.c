/* SPDX-License-Identifier: Apache-2.0 */
#include "bus_internal.h"

#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/*
 * What the state of a unit does not show: an inactive unit may have processes that still run (KillMode=process), and a
 * failed clean-up has left things behind. Also finds the process that keeps a unit from stopping.
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

	(void)error;
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

	(void)error;
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

	(void)error;
	/* A socket has no such property, and its ExecStop= commands are a different matter. */
	part->remains = !sd_bus_message_is_method_error(message, NULL) &&
			sd_bus_message_read(message, "v", "b", &remains) > 0 && remains;
	answered(part->bus);
	return 0;
}

/* Of the unit's last start, whose beginning has cleared what the commands came to before. */
static bool has_failed_command(sd_bus_message *message, int *ret_code, int *ret_status)
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
		if (!ignore && pid && (*ret_code != CLD_EXITED || *ret_status != 0))
			return true;
	}
	return false;
}

static void note_clean_up(struct bus_part *part, sd_bus_message *message, const char *property)
{
	char text[BUS_TEXT_SIZE];
	int code, status;

	if (cannot_tell(part, message) || !has_failed_command(message, &code, &status))
		return;
	snprintf(
		text, sizeof(text),
		"%.100s is failed, and its %s= failed too (%s%d): remove what it left behind, then run: "
		"systemctl reset-failed %.100s",
		part->name, property, code == CLD_EXITED ? "" : "signal ", status, part->name);
	note(part->bus, text);
}

static int on_stop_post(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
	struct bus_part *part = userdata;

	(void)error;
	note_clean_up(part, message, "ExecStopPost");
	answered(part->bus);
	return 0;
}

static int on_stop(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
	struct bus_part *part = userdata;

	(void)error;
	if (part->remains)
		note_clean_up(part, message, "ExecStop");
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

/* Only a unit that is failed can have a clean-up that failed. */
static void ask_clean_up(struct bus *b, struct bus_part *part)
{
	static const struct {
		const char *property;
		sd_bus_message_handler_t handler;
	} questions[] = { { "RemainAfterExit", on_remains },
			  { "ExecStop", on_stop },
			  { "ExecStopPost", on_stop_post } };
	const char *interface = interface_of(part);

	if (!interface || strcmp(part->state, "failed") != 0)
		return;
	for (size_t i = 0; i < sizeof(questions) / sizeof(questions[0]); i++)
		sent(b, bus_get(b, part->name, interface, questions[i].property,
				questions[i].handler, part, NULL));
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
			ask_clean_up(b, part);
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
