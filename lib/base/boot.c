/* SPDX-License-Identifier: Apache-2.0 */
#include "boot.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fnv.h"

#define BOOT_ID_FILE "/proc/sys/kernel/random/boot_id"
#define MACHINE_ID_FILE "/etc/machine-id"

/* A file of exactly so many of these characters, and a newline. */
static int read_id(const char *path, const char *characters, char *ret_id, size_t size)
{
	char text[BOOT_ID_SIZE + 1];
	ssize_t n;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	n = read(fd, text, sizeof(text));
	if (n < 0)
		n = -errno;
	(void)close(fd);
	if (n < 0)
		return (int)n;
	if ((size_t)n != size || text[size - 1] != '\n')
		return -EBADMSG;
	text[size - 1] = '\0';
	if (strspn(text, characters) != size - 1)
		return -EBADMSG;
	memcpy(ret_id, text, size);
	return 0;
}

int boot_id_read(char ret_id[BOOT_ID_SIZE])
{
	return read_id(BOOT_ID_FILE, "0123456789abcdef-", ret_id, BOOT_ID_SIZE);
}

/* Field 22 of /proc/1/stat; 0 where that is hidden (hidepid), as for every daemon of this place. */
static uint64_t init_started(void)
{
	char text[1024] = "";
	const char *at;
	int fd = open("/proc/1/stat", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return 0;
	(void)!read(fd, text, sizeof(text) - 1);
	(void)close(fd);
	at = strrchr(text, ')');
	for (int field = 2; at && field < 22; field++)
		at = strchr(at + 1, ' ');
	return at ? strtoull(at, NULL, 10) : 0;
}

uint64_t place_id(void)
{
	static const char *const namespaces[] = { "/proc/self/ns/pid", "/proc/self/ns/net",
						  "/proc/self/ns/cgroup" };
	uint64_t started = init_started(), id = fnv_add(FNV_START, &started, sizeof(started));

	for (size_t i = 0; i < sizeof(namespaces) / sizeof(namespaces[0]); i++) {
		struct stat st = { 0 };

		(void)stat(namespaces[i], &st);
		id = fnv_add(id, &st.st_ino, sizeof(st.st_ino));
	}
	return id;
}

int machine_id_read(char ret_id[MACHINE_ID_SIZE])
{
	return read_id(MACHINE_ID_FILE, "0123456789abcdef", ret_id, MACHINE_ID_SIZE);
}

int machine_id_make(const char *directory, char ret_id[MACHINE_ID_SIZE])
{
	unsigned char bytes[(MACHINE_ID_SIZE - 1) / 2];
	char path[PATH_MAX], text[MACHINE_ID_SIZE + 1];
	int fd;

	if (snprintf(path, sizeof(path), "%s/machine-id", directory) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	if (read_id(path, "0123456789abcdef", ret_id, MACHINE_ID_SIZE) == 0)
		return 0;
	if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
		return -errno;
	for (size_t i = 0; i < sizeof(bytes); i++)
		(void)snprintf(text + 2 * i, 3, "%02x", bytes[i]);
	memcpy(ret_id, text, MACHINE_ID_SIZE);
	text[MACHINE_ID_SIZE - 1] = '\n';
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return 0;
	(void)!write(fd, text, MACHINE_ID_SIZE);
	(void)close(fd);
	return 0;
}
