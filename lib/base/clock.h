/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The time, in microseconds. */

#include <stdint.h>

/* Since boot, suspends included: what leases are measured by. Never 0. */
int64_t time_boot_us(void);

/* A timerfd on CLOCK_BOOTTIME becomes readable then; in the past: at once. */
void time_boot_arm(int timer_fd, int64_t when_us);

/* CLOCK_MONOTONIC: for waits that need not count a suspended machine's time. */
int64_t time_monotonic_us(void);

/* Since 1970, for people only: it jumps. */
int64_t time_wall_us(void);
