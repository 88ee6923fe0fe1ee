/* SPDX-License-Identifier: Apache-2.0 */
#include "reload.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/config/config.h"
#include "base/lock_file.h"
#include "host.h"
#include "log/log.h"
#include "work/work.h"

/* For a machine under load: it takes some milliseconds. */
#define CHECK_TIMEOUT_US INT64_C(30000000)
#define CHECK_GRACE_US INT64_C(1000000)

/*
 * A new image finds its state by these; with others it would be another node, and stop this one's work. With another unit it
 * would stop something else than what runs.
 */
static bool keeps_identity(const struct config *fresh, const struct config *running)
{
	return state_cluster_of(fresh) == state_cluster_of(running) &&
	       !strcmp(fresh->node.runtime_directory, running->node.runtime_directory) &&
	       !strcmp(fresh->takeover.unit, running->takeover.unit);
}

/* Nobody may be there to read it. */
static void answer(const struct reload *reload, const char *text)
{
	char path[PATH_MAX], line[RELOAD_LINE_SIZE + 1];
	int n = snprintf(line, sizeof(line), "%.*s\n", RELOAD_LINE_SIZE - 1, text);
	int fd = -1;

	if (lock_file_path(reload->running->node.runtime_directory, RELOAD_FIFO, path) == 0)
		fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return;
	(void)!write(fd, line, (size_t)n);
	(void)close(fd);
}

void reload_refuse(const struct reload *reload, const char *fmt, ...)
{
	char text[LOG_MESSAGE_MAX];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	log_event(reload->log, EVENT_RELOAD_REFUSED, NULL, "reload refused: %s", text);
	answer(reload, text);
}

static void accept_it(struct reload *reload)
{
	reload->on_accepted(reload->userdata);
	answer(reload, RELOAD_ACCEPTED); /* the next order comes to the new image */
}

bool reload_is_valid(const struct reload *reload)
{
	struct config_errors *errors = calloc(1, sizeof(*errors));
	struct config fresh = { 0 };
	bool valid;

	if (!errors)
		return false;
	valid = config_load(reload->config_path, CONFIG_CHECK_COMMANDS | CONFIG_USE_ENVIRONMENT,
			    &fresh, errors) == 0;
	for (size_t i = 0; i < errors->n; i++)
		reload_refuse(reload, "%s", errors->texts[i]);
	if (valid && !keeps_identity(&fresh, reload->running)) {
		valid = false;
		reload_refuse(
			reload,
			"%s: zookeeper.servers, zookeeper.root, node.name, node.runtime-directory and takeover.unit cannot "
			"change in a reload; restart the daemon instead, which moves the role",
			reload->config_path);
	}
	config_finish(&fresh);
	free(errors);
	return valid;
}

static void on_line(void *userdata, const char *line)
{
	struct reload *reload = userdata;

	if (!*reload->line)
		snprintf(reload->line, sizeof(reload->line), "%s", line);
}

static void refuse(const struct reload *reload, const char *how)
{
	reload_refuse(reload, "%s --check %s: %s", reload->binary, how,
		      *reload->line ? reload->line : "no output");
}

static void on_tried(void *userdata, const char *problem)
{
	struct reload *reload = userdata;

	if (*problem)
		reload_refuse(reload, "the credential in zookeeper.auth-file has changed: %s",
			      problem);
	else
		accept_it(reload);
}

/* Same credential: accepted. The binary found the file valid; what it says by now is what a new image would read. */
static void try_credential(struct reload *reload)
{
	struct config_errors *errors = calloc(1, sizeof(*errors));
	struct config config = { 0 };
	struct config_auth auth = { .count = 0 };
	char message[CONFIG_ERROR_SIZE] = "out of memory";
	int r = -ENOMEM;

	if (errors)
		r = config_load(reload->config_path, CONFIG_USE_ENVIRONMENT, &config, errors);
	if (r == 0 && *config.zookeeper.auth_file)
		r = config_load_auth(config.zookeeper.auth_file, &auth, message, sizeof(message));
	else if (r != 0 && errors && errors->n)
		snprintf(message, sizeof(message), "%s", errors->texts[0]);
	if (r != 0)
		on_tried(reload, message);
	else if (config_auth_hash(&auth) == reload->auth_hash)
		accept_it(reload);
	else
		trial_start(&reload->trial, reload->loop, &config, &auth, on_tried, reload);
	explicit_bzero(&auth, sizeof(auth));
	config_finish(&config);
	free(errors);
}

static void on_end(void *userdata, const struct command_result *result)
{
	struct reload *reload = userdata;
	char text[COMMAND_TEXT_SIZE];

	reload->command = command_destroy(reload->command);
	if (command_succeeded(result))
		try_credential(reload);
	else
		refuse(reload, command_result_format(result, text));
}

void reload_ask_binary(struct reload *reload)
{
	const char *directory = getenv("RUNTIME_DIRECTORY");
	char variable[PATH_MAX + 32] = "";
	const char *environment[] = { NULL, NULL };
	const char *const argv[] = { reload->binary, "--check", "--config", reload->config_path,
				     NULL };
	const struct command_options options = {
		.argv = (char *const *)argv,
		.environment = environment,
		.timeout_us = CHECK_TIMEOUT_US,
		.grace_us = CHECK_GRACE_US,
		.on_line = on_line,
		.on_end = on_end,
		.userdata = reload,
	};
	int r;

	reload_finish(reload);
	reload->line[0] = '\0';
	if (directory) {
		snprintf(variable, sizeof(variable), "RUNTIME_DIRECTORY=%s", directory);
		environment[0] = variable;
	}
	r = command_start(reload->loop, &options, &reload->command);
	if (r < 0)
		refuse(reload, strerror(-r));
}

void reload_finish(struct reload *reload)
{
	reload->command = command_destroy(reload->command);
	trial_finish(&reload->trial);
}
