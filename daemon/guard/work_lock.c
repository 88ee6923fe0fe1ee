/* SPDX-License-Identifier: Apache-2.0 */
#include "work_lock.h"

#include <stdio.h>
#include <unistd.h>

#include "base/lock_file.h"

int work_lock_try(const char *directory, const char *role, int *ret_fd)
{
	char text[LOCK_FILE_TEXT_SIZE];
	int r = lock_file_take(directory, WORK_LOCK_FILE, ret_fd);

	if (r == LOCK_FILE_BUSY)
		return WORK_LOCK_BUSY;
	if (r < 0)
		return r;
	/* For people only: a full file system must not keep anybody from stopping the work. */
	(void)snprintf(text, sizeof(text), "%d %.32s\n", (int)getpid(), role);
	(void)lock_file_write(*ret_fd, text);
	return 0;
}

int work_lock_release(int fd)
{
	if (fd >= 0)
		(void)close(fd);
	return -1;
}
