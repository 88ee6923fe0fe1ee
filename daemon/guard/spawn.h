/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The guard as a process: started, found, signalled, reaped. Used by guard.c alone. */

#include "guard.h"

/* argv of a guard, allocated as one block: free(). argv[0] is the binary. */
struct guard_argv {
	int n;
	char *list[GUARD_ARGS_MAX + 1];
	char texts[];
};

/* Returns 0, -ENOMEM or -E2BIG. */
int guard_argv_create(const struct guard_config *config, struct guard_argv **ret_argv);

struct guard_child {
	int pid;
	int pidfd; /* close-on-exec */
	int ready_fd; /* close-on-exec, non-blocking: one byte when it watches, end of file when it does not */
};

/* Returns 0 or -errno. */
int guard_child_spawn(const struct guard_argv *argv, struct guard_child *ret_child);

/*
 * The guard that holds the guard lock. Returns 0; GUARD_NONE; or -errno. ret_child->ready_fd is -1.
 * ret_same: it has these arguments and that watch.
 */
int guard_child_find(const char *runtime_directory, const struct guard_argv *argv, uint64_t watch,
		     struct guard_child *ret_child, bool *ret_same);

/* Takes the exit status of a dead one, if it is ours to take. */
void guard_child_reap(int pidfd);
