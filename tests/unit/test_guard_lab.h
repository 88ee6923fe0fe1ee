/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Around real guard processes: a runtime directory, a loop that is turned until something is so, and a
 * log of the commands' begin and end on the clock that the lease counts on.
 *
 * The test's own binary serves as guard, as daemon and as commands: lab_main().
 */

#include "guard/guard.h"
#include "guard/lease_file.h"

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define MS INT64_C(1000)

/* Short for a test, long for a loaded machine. */
#define LEASE_TIMEOUT_US (1000 * MS)

#define LAB_RUNS_MAX 8

/* One run of a command, as it logged it. */
struct lab_run {
	int64_t begin_us, end_us; /* end 0: none */
	pid_t pid;
	char event[32], node[32], epoch[32], reason[32], primary[32], previous[32];
	char secret[32]; /* of the guard's own environment */
};

struct lab {
	char directory[64];
	char log[96];
	struct ev_loop *loop;
	ev_timer tick;
	struct lease_file *lease;
	struct guard *guard;
	bool self_fence;
	int n_fds; /* open before */
	int n_done, done_result;
	int n_died;
	bool acted;

	/* The lease is extended at every tick so that it ends that much later; 0: not. */
	int64_t extend_us;
	bool extend_failed;
	int n_extended;
};

extern struct lab lab;

/* For cmocka. */
int lab_setup(void **state);
int lab_teardown(void **state);

/*
 * The relinquish command: takes that long; LAB_HANG: longer than any lease. Only SIGKILL ends it. Or it fails: always, or
 * when it is the first to run.
 */
#define LAB_HANG (-1)
#define LAB_FAILS (-2)
#define LAB_FAILS_ONCE (-3)
char *const *lab_command(int run_ms);

/* How often the host would have been rebooted. */
int lab_reboots(void);

/* Makes lab.guard with that command (NULL: none); binary NULL: this one. */
void lab_guard(char *const *command, const char *binary);

/* Sets the lease so that it ends that much later (0: sets none) and starts the guard; lab_start() waits until it is ready. */
void lab_begin_start(int64_t lease_us);
void lab_start(int64_t lease_us);

/* Turns the loop until it is so; fails the test when that takes more than 30 s. */
void lab_until(bool (*is_so)(void));
bool lab_is_done(void);
bool lab_has_died(void);

/* Some guard holds its lock. */
bool lab_guard_is_there(void);

/* Whether the process exists no more, not even as a zombie; set lab_pid first. */
extern pid_t lab_pid;
bool lab_is_gone(void);

/* What the commands have logged until now; returns how many began. */
int lab_runs(struct lab_run runs[LAB_RUNS_MAX]);
bool lab_has_ended_run(void);

/* A process in a group of its own that only SIGKILL ends; or that logs a run of that length. */
pid_t lab_spawn(int run_ms);

/* A daemon of its own process: starts a guard and extends the lease until it is stopped. */
pid_t lab_daemon(int64_t lease_us);

/* Reaps a child of the test. Returns its wait status. */
int lab_reap(pid_t pid);

/* The first thing in main(): does not return when the binary is to be something else. */
void lab_main(int argc, char *argv[]);
