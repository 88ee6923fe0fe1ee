/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The guard's command line, and the texts by which guard and daemon identify each other. */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/lock_file.h"

#define GUARD_LOCK_FILE "guard.lock"

/* Everything points into argv, or the environment. */
struct guard_args {
	const char *runtime_directory;
	const char *node; /* when not given, what $PRIMARYD_NODE says; or "" */
	int64_t lease_timeout_us;
	int ready_fd;	      /* -1: none */
	bool self_fence;      /* reboots the host when the work is not down in time */
	char **command;	      /* NULL: none */
	uint64_t fingerprint; /* guard_fingerprint() of argv */
};

/* Returns 0, or -EINVAL after having said on stderr what is wrong. */
int guard_args_parse(int argc, char **argv, struct guard_args *ret_args);

/* Of what makes two guards the same; argv begins behind the program. "--ready-fd" is left out. */
uint64_t guard_fingerprint(char *const *argv);

/* What DIR/guard.lock says: the guard that holds it. */
struct guard_identity {
	pid_t pid;
	uint64_t watch;
	uint64_t fingerprint;
};

char *guard_identity_format(const struct guard_identity *identity, char buf[LOCK_FILE_TEXT_SIZE]);

/* Returns 0 or -EBADMSG. */
int guard_identity_parse(const char *text, struct guard_identity *ret_identity);
