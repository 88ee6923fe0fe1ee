/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the files of the configuration module share; not for others. */

#include "config.h"

#define CONFIG_MSG_SIZE 384

enum config_type {
	CONFIG_TYPE_SERVERS,
	CONFIG_TYPE_ROOT,
	CONFIG_TYPE_DURATION,
	CONFIG_TYPE_NUMBER,
	CONFIG_TYPE_PATH,
	CONFIG_TYPE_NAME,
	CONFIG_TYPE_ADDRESS,
	CONFIG_TYPE_UNIT,
	CONFIG_TYPE_COMMAND,
	CONFIG_TYPE_MODE,
	CONFIG_TYPE_SELF_FENCE,
	CONFIG_TYPE_FENCE_FAILURE,
};

struct config_spec {
	const char *section;
	const char *name;
	enum config_type type;
	const char *default_text;
	int64_t min;
	int64_t max;
	const char *description;
	size_t offset; /* in struct config */
};

extern const struct config_spec config_specs[CONFIG_N_KEYS];

const char *config_type_text(enum config_type type);

/*
 * Parses value into config's member of spec. Returns 0 and the member set; or CONFIG_INVALID, the
 * member untouched, and what is wrong with the remedy in msg.
 */
int config_value_parse(const struct config_spec *spec, const char *value, struct config *config,
		       char msg[CONFIG_MSG_SIZE]);

/* As config_value_parse() for a command line; ret->argv is freed by free(). */
int config_command_parse(const char *value, struct config_command *ret, char msg[CONFIG_MSG_SIZE]);

/* 0, or CONFIG_INVALID and why the command cannot be run here. */
int config_command_check(const struct config_command *command, char msg[CONFIG_MSG_SIZE]);

/* A regular file; is_secret: that neither group nor others can read. */
int config_check_file(int fd, const char *path, bool is_secret, char *msg, size_t n_msg);

/* Always CONFIG_INVALID, for `return`. */
int config_msg(char msg[CONFIG_MSG_SIZE], const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* The lines of an INI text. Callbacks may run any number of times, during config_ini_parse() only. */
struct config_ini_sink {
	/* continued: value goes on the one that on_value got last. section "" before the first. */
	void (*on_value)(void *userdata, unsigned line, const char *section, const char *key,
			 const char *value, bool continued);
	void (*on_section)(void *userdata, unsigned line, const char *section);
	void (*on_error)(void *userdata, unsigned line, const char *msg);
	void *userdata;
};

void config_ini_parse(const char *text, size_t n_text, const struct config_ini_sink *sink);
