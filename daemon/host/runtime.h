/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The runtime directory of a running daemon with its lease file. The daemon locks the directory (flock) to keep a
 * second daemon out. Both stay open, so deleting the directory does no harm by itself; but the next process finds
 * nothing to resume, and stops the work first.
 */

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/boot.h"

#define RUNTIME_PID_FILE "pid"	 /* who holds the lock: for messages */
#define RUNTIME_MESSAGE_SIZE 256 /* fits every message of this module */

struct lease_file;

struct runtime {
	char boot_id[BOOT_ID_SIZE];
	uint64_t place;	     /* place_id() */
	int lock_fd;	     /* -1: not held */
	bool is_handed_over; /* the image before this one held the lock */
	struct lease_file *lease;
};

enum runtime_result {
	RUNTIME_OK,
	RUNTIME_TAKEN,	       /* another daemon holds the lock */
	RUNTIME_BAD_DIRECTORY, /* not ours, or open to others */
};

/*
 * Makes the directory (0700; its parent must exist), or looks at the one that is there: it must belong to the effective
 * user, and be closed to all others, who could lock it. Then takes the lock, or the one that was handed over, and the
 * lease file. Blocks while another daemon holds it, for limit_ms at most (0: not at all; -1: without bound). Returns 0,
 * an enum runtime_result or -errno, with what is wrong in message; with 0, message is "", or says which damaged file
 * was replaced. runtime: zeroed, or one for which this failed.
 */
int runtime_open(struct runtime *runtime, const char *directory, int limit_ms, char *message,
		 size_t n_message);

/* The pid of the daemon that runs with this directory; 0: none, or it is not known. */
pid_t runtime_find(const char *directory);

/*
 * Before (true) and, if it failed, after (false) the process executes its binary anew: whether the lock goes along. Its
 * descriptor is told in the environment.
 */
void runtime_hand_over(const struct runtime *runtime, bool begin);

/* Also of one that could not be opened. */
void runtime_close(struct runtime *runtime);
