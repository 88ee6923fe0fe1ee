/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Process groups of commands. The leader may be gone and reaped, and its number in use by another process; a group
 * never leaves its session, so the session tells whether it is the same group. Zombies do not count. Reads /proc.
 */

#include <stdbool.h>
#include <sys/types.h>

struct process_group {
	pid_t id;      /* 0: none */
	pid_t session; /* in which it was made */
};

/* As of now; where its leader is already gone, the session of the caller is assumed. */
struct process_group process_group_of(pid_t id);

/* Whether its leader (the command itself) runs. */
bool process_group_leader_runs(struct process_group group);

/* Whether any member runs. */
bool process_group_runs(struct process_group group);

/* SIGKILL to all members. False: there were none. */
bool process_group_kill(struct process_group group);

/* For a new process before its exec: all signals as by default, none blocked. Safe after a fork. */
void process_reset_signals(void);

/* oom_score_adj of this process, as far as it is allowed. Safe after a fork. */
void process_set_oom(const char *value);
