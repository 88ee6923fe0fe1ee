/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdint.h>
#include <sys/types.h>

/*
 * One daemon a node name and cluster on this host, whatever runtime directory it was given: a second one would stop the
 * first one's work at its cold start, before ZooKeeper could tell it that the name is taken. The lock is an abstract
 * socket: it goes with the process, and belongs to the network namespace (a container with its own is another host).
 */

enum name_lock_result {
	NAME_LOCK_OK,
	NAME_LOCK_TAKEN, /* by another process: see ret_pid */
};

/*
 * cluster: state_cluster(). Waits a moment when the holder is no daemon but a process that one before this (killed, or
 * executed anew) had just forked. ret_fd is close-on-exec and held until the process ends. Returns 0, or
 * NAME_LOCK_TAKEN with the holder's pid (0: not known) in ret_pid, or -errno.
 */
int name_lock_take(uint64_t cluster, int *ret_fd, pid_t *ret_pid);
