/* SPDX-License-Identifier: Apache-2.0 */
#include "health.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/timer.h"
#include "command.h"

struct health {
	struct ev_loop *loop;
	struct health_options options;
	struct command *command; /* NULL between two runs */
	struct timer timer;
	unsigned n_failures;
	bool is_ok;
	char line[HEALTH_REASON_SIZE / 2]; /* the last one of the present run */
};

static void start_run(struct health *health);

static void end_run(struct health *health, bool is_good, const char *how)
{
	char reason[HEALTH_REASON_SIZE] = "";
	bool was_ok = health->is_ok;

	if (is_good) {
		health->n_failures = 0;
		health->is_ok = true;
	} else {
		if (health->n_failures < health->options.failures)
			health->n_failures++;
		if (health->n_failures == health->options.failures)
			health->is_ok = false;
		(void)snprintf(reason, sizeof(reason), "%s%s%s", how,
			       health->line[0] != '\0' ? ": " : "", health->line);
	}
	timer_set(&health->timer, time_boot_us() + health->options.interval_us);
	if (health->is_ok != was_ok)
		health->options.on_change(health->options.userdata, health->is_ok, reason);
}

static void on_line(void *userdata, const char *line)
{
	struct health *health = userdata;

	(void)snprintf(health->line, sizeof(health->line), "%s", line);
	if (health->options.on_line != NULL)
		health->options.on_line(health->options.userdata, line);
}

static void tell_group(struct health *health, pid_t group)
{
	if (health->options.on_group != NULL)
		health->options.on_group(health->options.userdata, group);
}

static bool on_fork(void *userdata, pid_t group)
{
	tell_group(userdata, group);
	return true;
}

static void on_end(void *userdata, const struct command_result *result)
{
	struct health *health = userdata;
	char how[COMMAND_TEXT_SIZE];

	tell_group(health, 0);
	health->command = command_destroy(health->command);
	end_run(health, command_succeeded(result), command_result_format(result, how));
}

static void on_timer(struct timer *timer, void *userdata)
{
	start_run(userdata);
}

static void start_run(struct health *health)
{
	const struct command_options options = {
		.argv = health->options.argv,
		.environment = health->options.environment,
		.timeout_us = health->options.timeout_us,
		.grace_us = HEALTH_GRACE_US,
		.on_fork = on_fork,
		.on_line = on_line,
		.on_end = on_end,
		.userdata = health,
	};
	char how[COMMAND_TEXT_SIZE];
	int r;

	assert(health->command == NULL);
	health->line[0] = '\0';
	r = command_start(health->loop, &options, &health->command);
	if (r == 0) {
		tell_group(health, command_group(health->command));
		return;
	}
	(void)snprintf(how, sizeof(how), "could not be started: %.80s", strerror(-r));
	end_run(health, false, how);
}

int health_create(struct ev_loop *loop, const struct health_options *options,
		  struct health **ret_health)
{
	struct health *health = calloc(1, sizeof(*health));
	int r;

	assert(options->failures > 0 && options->on_change != NULL && options->timeout_us > 0);
	if (health == NULL)
		return -ENOMEM;
	health->loop = loop;
	health->options = *options;
	health->is_ok = true;
	r = timer_init(&health->timer, loop, 0, on_timer, health);
	if (r < 0) {
		free(health);
		return r;
	}
	/* Through the loop: on_change never runs from in here. */
	timer_set(&health->timer, 0);
	*ret_health = health;
	return 0;
}

struct health *health_destroy(struct health *health)
{
	if (health == NULL)
		return NULL;
	health->command = command_destroy(health->command);
	timer_finish(&health->timer);
	free(health);
	return NULL;
}
