/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The runtime directory of a running daemon: its lock and its lease file. Daemon and guard have open what they need, so
 * that deleting it does no harm by itself; but a new process finds nothing to resume, and stops the work first.
 */

#include <stddef.h>

#include "base/boot.h"

struct lease_file;

struct runtime {
	const char *directory;
	const char *boot_id;
	int lock_fd; /* -1: not held */
	struct lease_file *lease;
};

/*
 * Makes the directory or looks at it, and takes its lock and its lease file. inherited_fd: of a lock that an image before
 * this one held; -1: none. directory and boot_id must outlive it. Returns 0, or as state_check_directory(), state_lock()
 * and lease_file_open(); message ("" for none) then says what is wrong, or what LEASE_FILE_DAMAGED replaced.
 */
int runtime_open(struct runtime *runtime, const char *directory, const char *boot_id,
		 int inherited_fd, char *message, size_t n_message);

/* Also of one that was never opened, but is all zero apart from lock_fd. The lock goes with the process. */
void runtime_close(struct runtime *runtime);
