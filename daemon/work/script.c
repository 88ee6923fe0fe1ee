/* SPDX-License-Identifier: Apache-2.0 */
#include "script.h"

#include <string.h>

#include "base/fnv.h"

void script_init(struct script *script, struct ev_loop *loop, struct log *log, const char *name,
		 script_end_fn on_end, void *userdata)
{
	*script = (struct script){
		.loop = loop, .log = log, .name = name, .on_end = on_end, .userdata = userdata
	};
}

void script_finish(struct script *script)
{
	script->command = command_destroy(script->command);
	script->before = command_destroy(script->before);
}

/* A command that prints the same line again and again would bury everything else in the log. */
void script_say_line(struct log *log, const char *name, const char *line, uint64_t *said)
{
	const struct log_fields f = { .target = name };
	uint64_t hash = fnv_text(line);

	if (hash == *said)
		return;
	*said = hash;
	log_event(log, EVENT_COMMAND_OUTPUT, &f, "%s command: %s", name, line);
}

static void on_line(void *userdata, const char *line)
{
	struct script *script = userdata;

	script_say_line(script->log, script->name, line, &script->said);
}

static void say_end(const struct script *script, const struct command_result *result)
{
	const struct log_fields f = { .target = script->name, .usec = result->duration_us };
	enum event event = command_succeeded(result) ? EVENT_COMMAND_ENDED : EVENT_COMMAND_FAILED;
	char text[COMMAND_TEXT_SIZE];

	if (result->end == COMMAND_TIMED_OUT || result->end == COMMAND_KILLED)
		event = EVENT_COMMAND_KILLED;
	log_event(script->log, event, &f, "%s command %s", script->name,
		  command_result_format(result, text));
}

static void on_end(void *userdata, const struct command_result *result)
{
	struct script *script = userdata;

	script->before = command_destroy(script->before);
	script->before = script->command;
	script->command = NULL;
	say_end(script, result);
	script->on_end(script->userdata, script, result);
}

/* No process could be made: that is told like a command that could not be executed, but at once. */
static void start_failed(struct script *script, int error)
{
	const struct command_result result = { .end = COMMAND_NOT_STARTED, .value = -error };

	say_end(script, &result);
	script->on_end(script->userdata, script, &result);
}

static void note_group(const struct script *script, pid_t group)
{
	if (script->lease)
		lease_file_set_group(script->lease, script->group, group);
}

/* The guard has not marked anything since. */
static bool may_begin(const struct script *script)
{
	return !script->heeds_mark || lease_file_mark(script->lease) == script->mark;
}

/*
 * What the guard has noted of its own stop stays. And once this process is noted, either it sees that the guard has begun, or
 * the guard sees this process.
 */
static bool on_fork(void *userdata, pid_t group)
{
	const struct script *script = userdata;

	if (!may_begin(script))
		return false;
	note_group(script, group);
	return may_begin(script);
}

void script_note_group(struct script *script, struct lease_file *lease, enum lease_group group)
{
	script->lease = lease;
	script->group = group;
}

void script_heed_mark(struct script *script)
{
	script->heeds_mark = true;
	script->mark = lease_file_mark(script->lease);
}

void script_run(struct script *script, char *const *argv, int64_t timeout_us,
		const struct script_facts *facts)
{
	struct script_environment environment;
	struct command_options options = {
		.argv = argv,
		.environment = environment.list,
		.timeout_us = timeout_us,
		.grace_us = SCRIPT_GRACE_US,
		.not_after_us = script->not_after_us,
		.on_fork = on_fork,
		.on_line = on_line,
		.on_end = on_end,
		.userdata = script,
	};
	int r;

	script_cancel(script);
	/* In another epoch the same output is news. */
	if (facts->epoch != script->epoch)
		script->said = 0;
	script->epoch = facts->epoch;
	script_environment(facts, &environment);
	r = command_start(script->loop, &options, &script->command);
	/* In this process, too: what it knows of the file is written again where that was damaged. */
	if (may_begin(script))
		note_group(script, script->command ? command_group(script->command) : 0);
	if (r < 0)
		start_failed(script, r);
}

bool script_is_running(const struct script *script)
{
	return script->command;
}

void script_cancel(struct script *script)
{
	script->command = command_destroy(script->command);
}

void script_kill(struct script *script)
{
	if (script->command)
		command_kill_now(script->command);
}
