/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The guard's watch: looks at the lease, and stops the work if the lease was not extended. For main.c. */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "args.h"
#include "lease_file.h"
#include "log/log.h"
#include "work/work.h"

/* Answers that wait for the step under way: one at a time can be outstanding. */
#define WATCH_QUEUE_MAX 4

struct watch {
	/* Set by the owner. */
	const struct guard_args *args;
	struct lease_file *lease;
	struct log *log; /* NULL: plain lines */
	uint64_t number; /* lease_file_watch(), when the guard began */

	struct keeper_config config;
	struct keeper keeper;
	struct keeper_event queue[WATCH_QUEUE_MAX];
	unsigned queue_length;
	int64_t end_us; /* of the lease, as of the last look */
	int work_lock;	/* -1: not held */
	pid_t command;	/* the relinquish command's, and its group; 0: it does not run */
	bool command_killed, said_acts, said_cleaned;
	bool acted;	  /* and the lease file says so */
	bool stops_units; /* systemd does, once it is told */
	bool told;	  /* it took the message */
	int code;	  /* enum guard_exit, once it is over; -1 before */
};

/* It is over, or another one has begun. */
bool watch_is_over(const struct watch *watch);

/* False: there is no lease any more, or it is another watch's; before the first one: none yet. */
bool watch_read(struct watch *watch);

/* There is a lease. */
void watch_begin(struct watch *watch);

/* Now, and after each signal. Returns when the next look is due; meaningless once `code` is set. */
int64_t watch_look(struct watch *watch);
