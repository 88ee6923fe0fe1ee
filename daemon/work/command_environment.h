/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "command.h"

/*
 * The environment of every command, whether the daemon or its guard runs it: the caller's variables and, of our own,
 * only those that any program needs.
 */

#define COMMAND_INHERITED_MAX 9

struct command_environment {
	const char *list[COMMAND_ENVIRONMENT_MAX + COMMAND_INHERITED_MAX + 1]; /* ends with NULL */
};

/* given: a NULL-terminated list of at most COMMAND_ENVIRONMENT_MAX entries, or NULL; not copied. */
void command_environment(const char *const *given, struct command_environment *ret);
