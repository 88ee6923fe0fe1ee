/* SPDX-License-Identifier: Apache-2.0 */
#include "fence_check.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/config/config.h"
#include "base/timer.h"
#include "script.h"
#include "zk/zkh_path.h"

#define LINE_SIZE 128

struct target {
	char name[NAME_SIZE];
	int64_t failed_since_s; /* since 1970; 0: the last run was good, or there was none */
};

struct fence_check {
	struct fence_check_options options;
	struct command *command; /* NULL between two runs */
	struct timer timer;	 /* the next round; not set during one */
	struct target *targets;
	size_t count, next;   /* next: the target of the run */
	char line[LINE_SIZE]; /* the last one that the run wrote */
	struct script_facts facts;
	char primary[NAME_SIZE], previous[NAME_SIZE];
	struct fence_checked known;
};

/* -- what is known -- */

static void add_failed(struct fence_checked *known, const struct target *target)
{
	size_t used = strlen(known->failed);
	char one[NAME_SIZE + 24];
	int n = snprintf(one, sizeof(one), "%s%s@%" PRId64, used ? "," : "", target->name,
			 target->failed_since_s);

	known->failures++;
	if (used + (size_t)n < sizeof(known->failed))
		strcpy(known->failed + used, one);
}

static void tell(struct fence_check *check)
{
	check->known = (struct fence_checked){ .targets = check->count };
	for (size_t i = 0; i < check->count; i++)
		if (check->targets[i].failed_since_s)
			add_failed(&check->known, &check->targets[i]);
	check->options.on_result(check->options.userdata);
}

const struct fence_checked *fence_check_known(const struct fence_check *check)
{
	static const struct fence_checked nothing;

	return check ? &check->known : &nothing;
}

static void judge(struct fence_check *check, const struct command_result *result)
{
	struct target *target = &check->targets[check->next++];
	bool ok = command_succeeded(result);
	char how[COMMAND_TEXT_SIZE];
	const struct log_fields f = { .target = target->name,
				      .reason = command_result_format(result, how),
				      .usec = result->duration_us };

	if (ok && target->failed_since_s)
		log_event(check->options.log, EVENT_FENCE_CHECK_OK, &f,
			  "fencing of %s would succeed again", target->name);
	else if (!ok && !target->failed_since_s)
		log_event(check->options.log, EVENT_FENCE_CHECK_FAILED, &f,
			  "fencing of %s would fail: the check command %s%s%s", target->name, how,
			  *check->line ? ": " : "", check->line);
	if (ok)
		target->failed_since_s = 0;
	else if (!target->failed_since_s)
		target->failed_since_s = time_wall_us() / 1000000;
	tell(check);
}

/* -- one run -- */

static void run_next(struct fence_check *check);

static void note_group(struct fence_check *check, pid_t group)
{
	check->options.on_group(check->options.userdata, group);
}

static bool on_fork(void *userdata, pid_t group)
{
	note_group(userdata, group);
	return true;
}

static void on_line(void *userdata, const char *line)
{
	struct fence_check *check = userdata;

	snprintf(check->line, sizeof(check->line), "%s", line);
}

static void on_end(void *userdata, const struct command_result *result)
{
	struct fence_check *check = userdata;

	note_group(check, 0);
	check->command = command_destroy(check->command);
	judge(check, result);
	run_next(check);
}

static int start(struct fence_check *check)
{
	const struct config *c = check->options.config;
	struct script_environment environment;
	const struct command_options options = {
		.argv = c->fence.check_command.argv,
		.environment = environment.list,
		.timeout_us = c->fence.timeout_us,
		.grace_us = SCRIPT_GRACE_US,
		.on_fork = on_fork,
		.on_line = on_line,
		.on_end = on_end,
		.userdata = check,
	};
	int r;

	check->line[0] = '\0';
	check->facts.target = check->targets[check->next].name;
	script_environment(&check->facts, &environment);
	r = command_start(check->options.loop, &options, &check->command);
	if (r == 0)
		note_group(check, command_group(check->command));
	return r;
}

static void end_round(struct fence_check *check)
{
	timer_set(&check->timer, time_boot_us() + check->options.config->fence.check_interval_us);
}

static void run_next(struct fence_check *check)
{
	while (check->next < check->count) {
		struct command_result failed = { .end = COMMAND_NOT_STARTED };
		int r = start(check);

		if (r == 0)
			return;
		failed.value = -r;
		judge(check, &failed);
	}
	end_round(check);
}

/* -- a round -- */

static int64_t failed_since(const struct fence_check *check, const char *name)
{
	for (size_t i = 0; i < check->count; i++)
		if (!strcmp(check->targets[i].name, name))
			return check->targets[i].failed_since_s;
	return 0;
}

/* False: out of memory; the targets stay as they are. */
static bool take_names(struct fence_check *check, const char *const *names, size_t count)
{
	struct target *targets = calloc(count ? count : 1, sizeof(*targets));
	size_t n = 0;

	if (!targets)
		return false;
	for (size_t i = 0; i < count && n < FENCE_CHECK_TARGETS_MAX; i++) {
		if (!zkh_name_valid(names[i]) || !strcmp(names[i], check->facts.node))
			continue;
		targets[n].failed_since_s = failed_since(check, names[i]);
		strcpy(targets[n++].name, names[i]);
	}
	free(check->targets);
	check->targets = targets;
	check->count = n;
	return true;
}

void fence_check_run(struct fence_check *check, const struct script_facts *facts,
		     const char *const *names, size_t count)
{
	if (!check)
		return;
	fence_check_cancel(check);
	check->facts = *facts;
	snprintf(check->primary, sizeof(check->primary), "%s", facts->primary);
	snprintf(check->previous, sizeof(check->previous), "%s", facts->previous);
	check->facts.primary = check->primary;
	check->facts.previous = check->previous;
	if (!names || !take_names(check, names, count))
		return;
	check->next = 0;
	timer_clear(&check->timer);
	tell(check);
	run_next(check);
}

void fence_check_cancel(struct fence_check *check)
{
	if (!check)
		return;
	if (check->command)
		note_group(check, 0);
	check->command = command_destroy(check->command);
	end_round(check);
}

/* -- life -- */

static void on_timer(struct timer *timer, void *userdata)
{
	struct fence_check *check = userdata;

	check->options.on_due(check->options.userdata);
}

int fence_check_create(const struct fence_check_options *options, struct fence_check **ret_check)
{
	struct fence_check *check = calloc(1, sizeof(*check));
	int r;

	if (!check)
		return -ENOMEM;
	check->options = *options;
	r = timer_init(&check->timer, options->loop, 0, on_timer, check);
	if (r < 0) {
		free(check);
		return r;
	}
	timer_set(&check->timer, 0);
	*ret_check = check;
	return 0;
}

struct fence_check *fence_check_destroy(struct fence_check *check)
{
	if (!check)
		return NULL;
	check->command = command_destroy(check->command);
	timer_finish(&check->timer);
	free(check->targets);
	free(check);
	return NULL;
}
