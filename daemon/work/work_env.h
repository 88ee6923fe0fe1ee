/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What units are told about the role, as commands are told in their environment: DIRECTORY/primary.env, to be named in
 * EnvironmentFile=.
 */

#include "script.h"

#define WORK_ENV_FILE "primary.env"

/* Writes it as a whole, or leaves none; the directory decides who may read it. Returns 0 or -errno. */
int work_env_write(const char *directory, const struct script_facts *facts);
