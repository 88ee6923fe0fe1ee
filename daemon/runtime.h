/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The runtime directory of a running daemon: its lock and its lease file, and a watch (inotify: costs nothing while
 * nothing happens) that sees when somebody deletes the directory or something in it. That does no harm by itself, since
 * daemon and guard have open what they need; but a restart would find nothing to resume, and a guard that is to be
 * started nothing to watch. So all is made anew, at once and where that cannot be again and again.
 */

#include <ev.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "boot.h"

struct lease_file;

/* X(NAME, text) */
#define RUNTIME_NEWS(X)                                                                            \
	X(RUNTIME_LOST, "cannot be made anew")                                                     \
	X(RUNTIME_REPAIRED, "made anew")

enum runtime_news {
#define X(name, text) name,
	RUNTIME_NEWS(X)
#undef X
};

/*
 * Something was deleted. RUNTIME_REPAIRED: lock and lease are there again, the rest is the callee's. RUNTIME_LOST, once
 * until it is repaired: why says what stands in the way. what: what went.
 */
typedef void (*runtime_fn)(void *userdata, enum runtime_news news, const char *what,
			   const char *why);

struct runtime {
	const char *directory;
	const char *boot_id;
	int lock_fd; /* -1: not held */
	struct lease_file *lease;

	struct ev_loop *loop; /* NULL: not watched */
	runtime_fn on_news;
	void *userdata;
	ev_io io;
	ev_timer look; /* soon after something was deleted, and while it cannot be made anew */
	int watch;
	dev_t device; /* of the directory that is watched */
	ino_t inode;
	bool lost;
	char what[32];
};

/*
 * Makes the directory or looks at it, and takes its lock and its lease file. inherited_fd: of a lock that an image before
 * this one held; -1: none. directory and boot_id must outlive it. Returns 0, or as state_check_directory(), state_lock()
 * and lease_file_open(); message ("" for none) then says what is wrong, or what LEASE_FILE_DAMAGED replaced.
 */
int runtime_open(struct runtime *runtime, const char *directory, const char *boot_id,
		 int inherited_fd, char *message, size_t n_message);

/* From now on; keeps no loop alive. Returns 0 or -errno: then deletions are seen by nobody. */
int runtime_watch(struct runtime *runtime, struct ev_loop *loop, runtime_fn on_news,
		  void *userdata);

/* Nothing was deleted that is not there again, as far as is seen. */
bool runtime_is_whole(const struct runtime *runtime);

void runtime_unwatch(struct runtime *runtime);

/* Also of one that was never opened, but is all zero apart from lock_fd. The lock goes with the process. */
void runtime_close(struct runtime *runtime);
