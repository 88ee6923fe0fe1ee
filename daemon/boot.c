/* SPDX-License-Identifier: Apache-2.0 */
#include "boot.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define BOOT_ID_FILE "/proc/sys/kernel/random/boot_id"

int boot_id_read(char ret_id[BOOT_ID_SIZE])
{
	char text[BOOT_ID_SIZE];
	ssize_t n;
	int fd = open(BOOT_ID_FILE, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	n = read(fd, text, sizeof(text));
	if (n < 0)
		n = -errno;
	(void)close(fd);
	if (n < 0)
		return (int)n;
	if (n != BOOT_ID_SIZE || text[BOOT_ID_SIZE - 1] != '\n')
		return -EBADMSG;
	text[BOOT_ID_SIZE - 1] = '\0';
	if (strspn(text, "0123456789abcdef-") != BOOT_ID_SIZE - 1)
		return -EBADMSG;
	memcpy(ret_id, text, sizeof(text));
	return 0;
}
