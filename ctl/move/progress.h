/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Shows a move of the role as it happens: each step with its time, and the outcome. */

#include "cluster/facts.h"

#define PROGRESS_STEPS_MAX 256

struct progress {
	struct ctl *ctl;
	struct cluster cluster;
	struct facts facts;    /* of the last complete look */
	bool has_facts, quiet; /* quiet: steps are not said yet */
	int64_t start_us;      /* CLOCK_MONOTONIC */
	struct table *steps;   /* so far, for the JSON */
	/* Server's clock, ms since 1970; 0: not seen. */
	char stopper[NAME_SIZE]; /* who stopped its work last */
	int64_t stop_ms;	 /* when that began, or (stop_late) ended */
	bool stop_late;
	int64_t start_ms; /* when the new primary's work ran */
	/* Whether it is over; then progress_end() has been called. */
	bool (*is_over)(struct progress *progress);
	void *userdata;
	int code;
	char verdict[512];
};

/* Reads the cluster and follows it. CTL_DONE, or what to end with, said. */
int progress_open(struct progress *progress, struct ctl *ctl);
void progress_close(struct progress *progress);

/* Named, with the post, and its work runs. */
bool move_is_primary(const struct facts *facts, const char *name);

/* The move is asked for now: from here on steps are said, and it has its own time to be over. */
void progress_begin(struct progress *progress);

/* Waits until is_over(); the code, with the verdict on stderr if it is not CTL_DONE. `doing`: for when it times out. */
int progress_wait(struct progress *progress, const char *doing);

/* For is_over(): the move has ended, with this code and verdict. Returns true. */
bool progress_end(struct progress *progress, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* After an operation of unknown outcome: waits until everything has been read anew. CTL_DONE, or as ctl_wait(). */
int progress_look_again(struct progress *progress);

/* The closing line, or the JSON. gap: the work moved, and it is to be said for how long there was none. */
int progress_report(struct progress *progress, int code, bool gap);
