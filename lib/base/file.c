/* SPDX-License-Identifier: Apache-2.0 */
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define DEFAULT_PARENT "/run/" /* of runtime directories */

int file_write_all(int fd, const void *from, size_t length)
{
	const char *data = from;

	while (length) {
		ssize_t n = write(fd, data, length);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0) {
			data += n;
			length -= (size_t)n;
		}
	}
	return 0;
}

static int sync_directory(const char *path)
{
	char directory[PATH_MAX];
	int fd, r;

	strcpy(directory, path);
	*strrchr(directory, '/') = '\0';
	fd = open(*directory ? directory : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	r = fsync(fd) < 0 ? -errno : 0;
	(void)close(fd);
	return r;
}

int file_replace(const char *path, const void *data, size_t length, mode_t mode, bool durable)
{
	char fresh[PATH_MAX];
	int fd, n, r;

	if (durable) /* it takes its time: the child of a former process may still be at it */
		n = snprintf(fresh, sizeof(fresh), "%s.%d", path, (int)getpid());
	else
		n = snprintf(fresh, sizeof(fresh), "%s.new", path);
	if (n >= (int)sizeof(fresh))
		return -ENAMETOOLONG;
	(void)unlink(fresh);
	fd = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
	if (fd < 0)
		return -errno;
	r = file_write_all(fd, data, length);
	if (r == 0 && durable && fsync(fd) < 0)
		r = -errno;
	if (close(fd) < 0 && r == 0)
		r = -errno;
	if (r == 0 && rename(fresh, path) < 0)
		r = -errno;
	if (r < 0)
		(void)unlink(fresh);
	return r == 0 && durable ? sync_directory(path) : r;
}

int file_instance_path(const char *directory, const char *runtime_directory, const char *suffix,
		       char *ret_path)
{
	const char *at = runtime_directory;
	size_t n = (size_t)snprintf(ret_path, PATH_MAX, "%s/", directory);

	if (strncmp(at, DEFAULT_PARENT, strlen(DEFAULT_PARENT)) == 0)
		at += strlen(DEFAULT_PARENT) + strspn(at + strlen(DEFAULT_PARENT), "/");
	for (; *at != '\0' && n < PATH_MAX; at++) {
		const char plain[] = { *at, '\0' };

		if (*at == '/' && (at[1] == '/' || at[1] == '\0'))
			continue; /* the same directory, written in another way */
		n += (size_t)snprintf(ret_path + n, PATH_MAX - n, "%s",
				      *at == '/'   ? "%2F"
				      : *at == '%' ? "%25"
						   : plain);
	}
	if (n < PATH_MAX)
		n += (size_t)snprintf(ret_path + n, PATH_MAX - n, "%s", suffix);
	return n < PATH_MAX ? 0 : -ENAMETOOLONG;
}
