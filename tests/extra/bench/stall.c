/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Preloaded into a ZooKeeper server: makes its disk slow. The file $STALL holds "MS PERIOD" in milliseconds and may change
 * at any time. PERIOD 0: each fdatasync takes MS longer. Otherwise the disk stands still for MS in each PERIOD, at the same
 * moment for all servers of the machine, as a storage that they share would.
 */

#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static long now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static long pause_ms(void)
{
	FILE *file = fopen(getenv("STALL"), "re");
	long length = 0, period = 0;

	if (!file)
		return 0;
	if (fscanf(file, "%ld %ld", &length, &period) != 2)
		length = 0;
	fclose(file);
	if (period == 0)
		return length;
	long since = now_ms() % period;
	return since < length ? length - since : 0;
}

int fdatasync(int fd);

int fdatasync(int fd)
{
	long pause = pause_ms();
	struct timespec left = { .tv_sec = pause / 1000, .tv_nsec = pause % 1000 * 1000000 };

	while (nanosleep(&left, &left) != 0)
		;
	return (int)syscall(SYS_fdatasync, fd);
}
