/* SPDX-License-Identifier: Apache-2.0 */
#include "lock_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

int lock_file_path(const char *directory, const char *name, char *buf)
{
	int n = snprintf(buf, PATH_MAX, "%s/%s", directory, name);

	return n > 0 && n < PATH_MAX ? 0 : -ENAMETOOLONG;
}

static int lock(int fd, int how)
{
	if (flock(fd, how | LOCK_NB) == 0)
		return LOCK_FILE_OK;
	return errno == EWOULDBLOCK ? LOCK_FILE_BUSY : -errno;
}

/* Returns a descriptor or -errno. */
static int open_file(const char *directory, const char *name, int flags)
{
	char path[PATH_MAX];
	int r = lock_file_path(directory, name, path);
	int fd;

	if (r < 0)
		return r;
	fd = open(path, flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
	return fd < 0 ? -errno : fd;
}

int lock_file_take(const char *directory, const char *name, int *ret_fd)
{
	int fd = open_file(directory, name, O_RDWR | O_CREAT);
	int r;

	if (fd < 0)
		return fd;
	r = lock(fd, LOCK_EX);
	if (r != 0) {
		(void)close(fd);
		return r;
	}
	*ret_fd = fd;
	return 0;
}

int lock_file_release(int fd)
{
	if (fd >= 0)
		(void)close(fd);
	return -1;
}

bool lock_file_is_there(const char *directory, const char *name, int fd)
{
	char path[PATH_MAX];
	struct stat named, given;

	return lock_file_path(directory, name, path) == 0 && fstat(fd, &given) == 0 &&
	       stat(path, &named) == 0 && given.st_dev == named.st_dev &&
	       given.st_ino == named.st_ino;
}

int lock_file_write(int fd, const char *text)
{
	size_t n = strlen(text);

	/* In this order a reader sees a whole old line, nothing, or a whole new line. */
	if (ftruncate(fd, 0) < 0)
		return -errno;
	if (pwrite(fd, text, n, 0) != (ssize_t)n)
		return errno ? -errno : -EIO;
	return 0;
}

int lock_file_look(const char *directory, const char *name, char text[LOCK_FILE_TEXT_SIZE])
{
	int fd = open_file(directory, name, O_RDONLY);
	ssize_t n = 0;
	int r;

	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	r = lock(fd, LOCK_SH);
	if (r == LOCK_FILE_BUSY)
		n = pread(fd, text, LOCK_FILE_TEXT_SIZE - 1, 0);
	if (n < 0)
		r = -errno;
	(void)close(fd);
	if (r == LOCK_FILE_BUSY) {
		text[n] = '\0';
		text[strcspn(text, "\n")] = '\0';
	}
	return r;
}

pid_t lock_file_pid(const char *text)
{
	char *end;
	long pid = strtol(text, &end, 10);

	return end != text && pid > 0 && pid <= INT_MAX ? (pid_t)pid : 0;
}
