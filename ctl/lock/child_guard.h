/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The guard of a command that runs under a lock: a process of its own session, which kills the command's group when we
 * are dead, or when we have let a time pass: because we are stopped, or hang.
 */

#include <stdint.h>
#include <sys/types.h>

/* What both sides and the command's process before its exec share. */
struct child_guard_page {
	_Atomic int64_t kill_us; /* time_boot_us(); then the group is killed */
	_Atomic pid_t group;	 /* 0: none (yet, or any more) */
};

struct child_guard {
	pid_t pid; /* 0: none */
	int pidfd; /* readable when it is dead */
};

/* NULL: errno says why. */
struct child_guard_page *child_guard_map(void);
void child_guard_unmap(struct child_guard_page *page); /* NULL is fine */

/* Waits the moment until it is there. 0 or -errno. It acts from then on, over what stands in the page. */
int child_guard_start(struct child_guard *guard, struct child_guard_page *page);

/* Ends it and waits for it. Also fine when zeroed. */
void child_guard_finish(struct child_guard *guard);
