/* SPDX-License-Identifier: Apache-2.0 */
#include "scripts.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/keys.h"
#include "health.h"
#include "script.h"

struct scripts {
	struct scripts_options options;
	const struct config *config;
	struct script fence, follow;
	char target[NAME_SIZE];	  /* of the fence that runs */
	char followed[NAME_SIZE]; /* the primary that the follow command was told last */
	int64_t followed_epoch;
	struct fence_check *check; /* NULL: no command, or a client */
	struct health *health;	   /* NULL: no command */
	struct script_environment health_environment;
	char trouble[HEALTH_REASON_SIZE];
	uint64_t health_said;
};

static void tell(struct scripts *scripts, enum scripts_event event)
{
	scripts->options.on_event(scripts->options.userdata, event);
}

/* The next daemon ends a command that this one leaves, or it would run beside that daemon's own. */
static void note_group(struct scripts *scripts, enum lease_group which, pid_t group)
{
	if (scripts->options.lease)
		lease_file_set_group(scripts->options.lease, which, group);
}

static void end_former(struct scripts *scripts)
{
	static const enum lease_group beside[] = { LEASE_GROUP_FENCE, LEASE_GROUP_FOLLOW,
						   LEASE_GROUP_HEALTH };

	for (size_t i = 0; scripts->options.lease && i < sizeof(beside) / sizeof(beside[0]); i++) {
		(void)lease_file_group_kill(scripts->options.lease, beside[i]);
		note_group(scripts, beside[i], 0);
	}
}

/* -- fence -- */

static void on_fence_end(void *userdata, struct script *script, const struct command_result *result)
{
	struct scripts *scripts = userdata;
	struct log_fields f = { .target = scripts->target, .usec = result->duration_us };
	char text[COMMAND_TEXT_SIZE];
	bool ok = command_succeeded(result);

	note_group(scripts, LEASE_GROUP_FENCE, 0);
	f.reason = command_result_format(result, text);
	if (!ok)
		log_event(scripts->options.log, EVENT_FENCE_FAILED, &f,
			  "fencing of %s failed: the fence command %s", f.target, text);
	tell(scripts, ok ? SCRIPTS_FENCED : SCRIPTS_FENCE_FAILED);
}

void scripts_fence(struct scripts *scripts, const char *target, const struct script_facts *facts)
{
	const struct log_fields f = { .target = target };
	struct script_facts told = *facts;

	if (!scripts->config->fence.command.argv) {
		tell(scripts, SCRIPTS_FENCED);
		return;
	}
	snprintf(scripts->target, sizeof(scripts->target), "%s", target);
	told.target = scripts->target;
	fence_check_cancel(scripts->check);
	log_event(scripts->options.log, EVENT_FENCE_STARTED, &f, "fencing %s", target);
	script_run(&scripts->fence, scripts->config->fence.command.argv,
		   scripts->config->fence.timeout_us, &told);
}

void scripts_cancel_fence(struct scripts *scripts)
{
	if (!script_is_running(&scripts->fence))
		return;
	script_cancel(&scripts->fence);
	note_group(scripts, LEASE_GROUP_FENCE, 0);
}

/* -- fence check -- */

static void on_check_due(void *userdata)
{
	tell(userdata, SCRIPTS_CHECK_DUE);
}

static void on_checked(void *userdata)
{
	tell(userdata, SCRIPTS_CHECKED);
}

/* As that of the fence command: the two never run at once. */
static void on_check_group(void *userdata, pid_t group)
{
	note_group(userdata, LEASE_GROUP_FENCE, group);
}

static int start_fence_check(struct scripts *scripts)
{
	const struct config *c = scripts->config;
	const struct fence_check_options options = {
		.loop = scripts->options.loop,
		.config = c,
		.log = scripts->options.log,
		.on_due = on_check_due,
		.on_result = on_checked,
		.on_group = on_check_group,
		.userdata = scripts,
	};

	if (!c->fence.check_command.argv || c->node.mode != CONFIG_COORDINATOR)
		return 0;
	return fence_check_create(&options, &scripts->check);
}

void scripts_check_fence(struct scripts *scripts, const struct script_facts *facts,
			 const char *const *names, size_t count)
{
	fence_check_run(scripts->check, facts, script_is_running(&scripts->fence) ? NULL : names,
			count);
}

const struct fence_checked *scripts_checked(const struct scripts *scripts)
{
	return fence_check_known(scripts->check);
}

/* -- follow -- */

static void on_follow_end(void *userdata, struct script *script,
			  const struct command_result *result)
{
	note_group(userdata, LEASE_GROUP_FOLLOW, 0);
	tell(userdata, SCRIPTS_FOLLOWED);
}

/* Told once per acting primary, the latest one: changes while it runs are not lost, but not queued either. */
void scripts_follow(struct scripts *scripts, const struct script_facts *facts)
{
	char **argv = scripts->config->follow.command.argv;
	struct script_facts told = *facts;
	char previous[NAME_SIZE];

	if (!argv || script_is_running(&scripts->follow) || !*facts->primary)
		return;
	if (!strcmp(scripts->followed, facts->primary) && scripts->followed_epoch == facts->epoch)
		return;
	strcpy(previous, scripts->followed);
	told.previous = previous;
	/* Noted first: a command that cannot be started ends within script_run(), and then this is asked anew. */
	snprintf(scripts->followed, sizeof(scripts->followed), "%s", facts->primary);
	scripts->followed_epoch = facts->epoch;
	script_run(&scripts->follow, argv, SCRIPT_FOLLOW_TIMEOUT_US, &told);
}

/* -- health -- */

static void on_health(void *userdata, bool ok, const char *reason)
{
	struct scripts *scripts = userdata;
	const struct log_fields f = { .reason = reason };

	log_event(scripts->options.log, ok ? EVENT_HEALTH_OK : EVENT_HEALTH_FAILED, &f, "%s%s",
		  ok ? "healthy again" : "not healthy: ", reason);
	snprintf(scripts->trouble, sizeof(scripts->trouble), "%s", reason);
	tell(scripts, SCRIPTS_HEALTH);
}

static void on_health_line(void *userdata, const char *line)
{
	struct scripts *scripts = userdata;

	script_say_line(scripts->options.log, "health", line, &scripts->health_said);
}

static void on_health_group(void *userdata, pid_t group)
{
	note_group(userdata, LEASE_GROUP_HEALTH, group);
}

static int start_health(struct scripts *scripts)
{
	const struct config *c = scripts->config;
	const struct script_facts facts = {
		.event = "health", .node = c->node.name, .primary = "", .previous = "", .reason = ""
	};
	const struct health_options options = {
		.argv = c->health.command.argv,
		.environment = scripts->health_environment.list,
		.interval_us = c->health.interval_us,
		.timeout_us = c->health.timeout_us,
		.failures = c->health.failures,
		.on_change = on_health,
		.on_line = on_health_line,
		.on_group = on_health_group,
		.userdata = scripts,
	};

	if (!options.argv)
		return 0;
	script_environment(&facts, &scripts->health_environment);
	return health_create(scripts->options.loop, &options, &scripts->health);
}

const char *scripts_trouble(const struct scripts *scripts)
{
	return scripts->trouble;
}

/* -- life -- */

int scripts_create(const struct scripts_options *options, struct scripts **ret_scripts)
{
	struct scripts *scripts = calloc(1, sizeof(*scripts));
	int r;

	if (!scripts)
		return -ENOMEM;
	scripts->options = *options;
	scripts->config = options->config;
	end_former(scripts);
	script_init(&scripts->fence, options->loop, options->log, "fence", on_fence_end, scripts);
	script_init(&scripts->follow, options->loop, options->log, "follow", on_follow_end,
		    scripts);
	script_note_group(&scripts->fence, options->lease, LEASE_GROUP_FENCE);
	script_note_group(&scripts->follow, options->lease, LEASE_GROUP_FOLLOW);
	r = start_health(scripts);
	if (r == 0)
		r = start_fence_check(scripts);
	if (r < 0) {
		(void)scripts_destroy(scripts);
		return r;
	}
	*ret_scripts = scripts;
	return 0;
}

struct scripts *scripts_destroy(struct scripts *scripts)
{
	if (!scripts)
		return NULL;
	scripts->health = health_destroy(scripts->health);
	scripts->check = fence_check_destroy(scripts->check);
	script_finish(&scripts->fence);
	script_finish(&scripts->follow);
	end_former(scripts);
	free(scripts);
	return NULL;
}
