/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The health of this node, judged by a command that runs again and again, one run at a time. Reports only changes:
 * `failures` bad runs in a row make the node unhealthy, and one good run makes it healthy again. At the start it is
 * healthy; the first run begins at once.
 *
 * A run is good if the command exits with 0 within the timeout. A late one is terminated, and killed after
 * HEALTH_GRACE_US.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct ev_loop;
struct health;

#define HEALTH_GRACE_US INT64_C(1000000)
#define HEALTH_REASON_SIZE 256

struct health_options {
	char *const *argv;		/* not copied: must live as long as the health */
	const char *const *environment; /* likewise; NULL for none */
	int64_t interval_us;		/* from the end of a run to the start of the next */
	int64_t timeout_us;		/* of one run */
	unsigned failures;		/* at least 1 */
	/*
	 * Runs from the loop when the verdict changes. reason: how the last run ended, and the last
	 * line it wrote, raw; valid during the call; "" when healthy. May destroy the health.
	 */
	void (*on_change)(void *userdata, bool is_healthy, const char *reason);
	/* Each line of output, as in command.h. May be NULL. Must not destroy the health. */
	void (*on_line)(void *userdata, const char *line);
	/*
	 * The process group of a run when it begins, and 0 at its end. May be NULL. Must not destroy the health. At the begin
	 * also in the new process (see command.h, on_fork).
	 */
	void (*on_group)(void *userdata, pid_t group);
	void *userdata;
};

/* Returns 0 or -errno (ENOMEM, EMFILE...); a command that cannot be started is a bad run. */
int health_create(struct ev_loop *loop, const struct health_options *options,
		  struct health **ret_health);

/* At any time; a running command is killed without waiting. Takes NULL. Returns NULL. */
struct health *health_destroy(struct health *health);
