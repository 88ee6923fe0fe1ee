/* SPDX-License-Identifier: Apache-2.0 */
#include "clock.h"

#include <assert.h>
#include <sys/timerfd.h>
#include <time.h>

static int64_t clock_us(clockid_t clock)
{
	struct timespec ts;
	int r = clock_gettime(clock, &ts);

	assert(r == 0);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

int64_t time_boot_us(void)
{
	int64_t now_us = clock_us(CLOCK_BOOTTIME);

	return now_us > 0 ? now_us : 1;
}

void time_boot_arm(int timer_fd, int64_t when_us)
{
	/* Zero would disarm it. */
	int64_t us = when_us > 0 ? when_us : 1;
	struct itimerspec when = { .it_value = { .tv_sec = (time_t)(us / 1000000),
						 .tv_nsec = (long)(us % 1000000) * 1000 } };
	int r = timerfd_settime(timer_fd, TFD_TIMER_ABSTIME, &when, NULL);

	assert(r == 0);
}

int64_t time_monotonic_us(void)
{
	return clock_us(CLOCK_MONOTONIC);
}

int64_t time_wall_us(void)
{
	return clock_us(CLOCK_REALTIME);
}
