/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"

#include <fcntl.h>
#include <unistd.h>

static char directory[64];
static char path[128];

static void clean_up(void)
{
	(void)unlink(path);
	(void)rmdir(directory);
}

const char *fuzz_file(const char *name, const uint8_t *data, size_t size)
{
	int fd;

	if (!*directory) {
		strcpy(directory, "/dev/shm/primaryd-fuzz-XXXXXX");
		PROMISE(mkdtemp(directory));
		snprintf(path, sizeof(path), "%s/%s", directory, name);
		atexit(clean_up);
	}
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	PROMISE(fd >= 0);
	PROMISE(write(fd, data, size) == (ssize_t)size);
	close(fd);
	return directory;
}
