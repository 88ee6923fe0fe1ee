/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Tries the fencing before it is needed: fence.check-command runs for each other node, one run at a time, round after
 * round, with fence.check-interval from the end of a round to the next. A run is good if the command exits with 0 within
 * fence.timeout; a late one is terminated, then killed. Only changes are logged; a node that was not checked yet counts
 * as fine.
 */

#include <stddef.h>
#include <sys/types.h>

#include "base/detail.h"
#include "log/log.h"
#include "script_facts.h"

#define FENCE_CHECK_TARGETS_MAX 1024

struct config;
struct ev_loop;
struct fence_check;

struct fence_checked {
	size_t targets;			/* nodes that are checked */
	size_t failures;		/* of them, those for which fencing would fail */
	char failed[DETAIL_FENCE_SIZE]; /* these as in node_detail.fence_failed, as many as fit */
};

struct fence_check_options {
	struct ev_loop *loop;
	const struct config *config; /* must outlive it, like the log */
	struct log *log;
	/* From the loop: a round is due, and begins with fence_check_run(). */
	void (*on_due)(void *userdata);
	/* fence_check_known() may have changed. Also from within fence_check_run(). Must not destroy the check. */
	void (*on_result)(void *userdata);
	/* The process group of a run when it begins, and 0 at its end. At the begin also in the new process (command.h, on_fork). */
	void (*on_group)(void *userdata, pid_t group);
	void *userdata;
};

/* The first round is due at once. Returns 0 or -errno. */
int fence_check_create(const struct fence_check_options *options, struct fence_check **ret_check);

/* Kills what runs. Takes NULL. Returns NULL. */
struct fence_check *fence_check_destroy(struct fence_check *check);

/*
 * One round. names: all nodes, raw, of which this one is left out; NULL: not known, and the round is left out. facts: as of
 * the begin of the round; event, node and reason must outlive the check, the others are copied. Takes NULL.
 */
void fence_check_run(struct fence_check *check, const struct script_facts *facts,
		     const char *const *names, size_t count);

/* Kills what runs, and ends the round. Takes NULL. */
void fence_check_cancel(struct fence_check *check);

/* What is known by now; zeroed for NULL. */
const struct fence_checked *fence_check_known(const struct fence_check *check);
