/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Waiting, on the loop, for what another process of this host has: it is asked for again and again, after pauses that
 * grow. Nothing has begun by then, so a signal simply ends the process.
 */

struct ev_loop;

#define TURN_PAUSE_MIN_S 0.01
#define TURN_PAUSE_MAX_S 5.0

/* Returns EX_UNAVAILABLE when it is to be asked again, else what turn_wait() is to return. */
typedef int (*turn_fn)(void *userdata);

/*
 * Runs the loop meanwhile; the first question is asked after the first pause. With the first pause that ends bound_s (s;
 * HUGE_VAL: for ever) or more after the begin, EX_UNAVAILABLE is what it returns.
 */
int turn_wait(struct ev_loop *loop, double bound_s, turn_fn ask, void *userdata);
