/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * DIRECTORY/work.lock: whoever starts or stops the work holds it, so that daemon and guard never do
 * it at the same time.
 *
 * Hold it only while a command is under way. Before the command is started, look at lease_file_mark()
 * under the lock: if it is not LEASE_WATCHED, start nothing.
 *
 * The lock belongs to the open file, not to the process: a command that inherited the descriptor keeps
 * it when the daemon dies. Where a command inherits nothing, LEASE_GROUP_STOP in the lease file does
 * the same: the guard also waits for a group noted there. A takeover command must never inherit it:
 * work left running in the background would hold it for good.
 */

#define WORK_LOCK_FILE "work.lock"

enum work_lock_result {
	WORK_LOCK_OK,
	WORK_LOCK_BUSY, /* another process holds it: try again soon */
};

/*
 * Tries to take it; never waits. ret_fd is close-on-exec. role: for people, "daemon" or "guard", kept in
 * the file next to the pid. Returns 0, WORK_LOCK_BUSY or -errno.
 */
int work_lock_try(const char *directory, const char *role, int *ret_fd);

/* Closes fd: the lock is free unless a command has inherited it. Also fine for -1. Returns -1. */
int work_lock_release(int fd);
