/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A one-shot timer on CLOCK_BOOTTIME, which goes on while the machine sleeps: libev's own timers
 * stand still then. All times are absolute, in microseconds of time_boot_us().
 *
 * A timer owns one file descriptor. It keeps the loop alive only while it is set. It must not move
 * in memory between timer_init() and timer_finish().
 */

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

#include "clock.h"

struct timer;

/* Runs from the loop, once a timer_set(). May set, clear or finish the timer and free what holds it. */
typedef void (*timer_fn)(struct timer *timer, void *userdata);

struct timer {
	ev_io io;
	struct ev_loop *loop;
	timer_fn on_due;
	void *userdata;
	int64_t due_us; /* 0: not set */
};

/*
 * Starts out not set. priority: libev's, EV_MINPRI to EV_MAXPRI; of watchers due in the same
 * iteration the higher ones run first. Returns 0 or -errno (EMFILE, ENFILE, ENOMEM); on failure
 * timer_finish() is allowed, not needed.
 */
int timer_init(struct timer *timer, struct ev_loop *loop, int priority, timer_fn on_due,
	       void *userdata);

/* Due at due_us, replacing what was set; in the past: at the next turn of the loop. */
void timer_set(struct timer *timer, int64_t due_us);

void timer_clear(struct timer *timer);

/* Set and not yet run. */
static inline bool timer_is_set(const struct timer *timer)
{
	return timer->due_us != 0;
}

/* Frees the descriptor. Also fine on a zeroed or already finished timer. */
void timer_finish(struct timer *timer);
