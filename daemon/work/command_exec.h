/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The fork and what the child does up to its exec. For command.c. */

#include "command.h"

struct command_child {
	pid_t pid;   /* also its process group */
	int output;  /* its output and error; does not block */
	int failure; /* holds an int, the errno, when the exec failed; does not block */
};

/*
 * Forks without waiting for the exec: the file may lie on a dead server. Returns 0 and two descriptors
 * that the caller owns, or -errno, nothing made. The child itself looks whether it is too late: that holds also when we
 * are stopped before the fork, and go on long after.
 */
int command_exec(const struct command_options *options, struct command_child *ret);
