/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Scenarios: one use of lib/ each, small enough to be run with every fault at every request. Shared by the test of
 * faults and the test of cancelling.
 */

#include "test_zkh_common.h"
#include "zk/lock/zkh_lock.h"
#include "zk/tree/zkh_keys.h"

#define NO_RESULT (-9999)
#define FOREIGN_SESSION 0x9999

struct run {
	struct world world;
	const struct scenario *scenario;
	unsigned step;
	bool done;    /* the scenario has nothing more to do */
	bool started; /* the call returned 0 */
	bool is_over; /* cancelled or destroyed: no callback is allowed */
	unsigned calls;
	int result;	/* of the first callback, or what the call returned */
	int last;	/* of the last callback */
	bool seen;	/* a read showed what the tree holds */
	char path[256]; /* that a task named */
	struct zkh_op *op;
	struct zkh_task *task;
	struct zkh_lock *lock;
};

enum check {
	CHECK_READ,   /* writes nothing */
	CHECK_ATOMIC, /* all or nothing */
	CHECK_LOCK,   /* leaves no node behind */
};

struct scenario {
	const char *name;
	enum check check;
	int expected; /* result without faults */
	void (*prepare)(struct run *run);
	int (*start)(struct run *run);
	void (*cancel)(struct run *run);
	void (*tick)(struct run *run); /* after each turn, may be NULL */
};

extern const struct scenario scenarios[];
extern const size_t scenario_count;

/* Servers, tree, and a connected session. Odd-numbered runs live below a root of their own. */
void run_init(struct run *run, const struct scenario *scenario, bool rooted);
void run_start(struct run *run);
/* Until it is done; false when it is not within the bound. */
bool run_finish(struct run *run, bool hangs);
void run_step(struct run *run);

/* Fails the test when a lock's node is left, the foreign one apart. */
void run_assert_no_lock_node(struct run *run);
