/* SPDX-License-Identifier: Apache-2.0 */
#include "clock.h"

#include <assert.h>
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

int64_t time_monotonic_us(void)
{
	return clock_us(CLOCK_MONOTONIC);
}

int64_t time_wall_us(void)
{
	return clock_us(CLOCK_REALTIME);
}
