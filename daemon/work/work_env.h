/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The facts about the role for units: the file DIRECTORY/primary.env, for EnvironmentFile=. It has the variables that
 * commands get in their environment.
 */

#include "script.h"

#define WORK_ENV_FILE "primary.env"

/* Writes it as a whole, or leaves none; the directory decides who may read it. Returns 0 or -errno. */
int work_env_write(const char *directory, const struct script_facts *facts);
