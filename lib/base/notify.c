/* SPDX-License-Identifier: Apache-2.0 */
#include "notify.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* NULL: there is none. */
static const char *socket_path(void)
{
	const char *path = getenv("NOTIFY_SOCKET");

	return path && (path[0] == '/' || path[0] == '@') ? path : NULL;
}

bool notify_wanted(void)
{
	return socket_path() != NULL;
}

/* By name each time, as the journal's: a message a second at the most, and no descriptor to keep. */
static int send_text(const char *path, const char *text, size_t n)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	size_t length = strlen(path);
	int fd, r = 0;

	if (length >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	memcpy(address.sun_path, path, length);
	if (path[0] == '@')
		address.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (sendto(fd, text, n, MSG_DONTWAIT | MSG_NOSIGNAL, (struct sockaddr *)&address,
		   (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length)) < 0)
		r = -errno;
	(void)close(fd);
	return r;
}

int notify_send(const char *format, ...)
{
	const char *path = socket_path();
	char text[NOTIFY_SIZE];
	va_list args;
	int n;

	if (!path)
		return 0;
	va_start(args, format);
	n = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (n < 0 || (size_t)n >= sizeof(text))
		return -EMSGSIZE;
	return send_text(path, text, (size_t)n);
}

int64_t notify_watchdog_us(void)
{
	const char *usec = getenv("WATCHDOG_USEC");
	const char *pid = getenv("WATCHDOG_PID");
	int64_t us = 0;

	if (!notify_wanted() || !usec || sscanf(usec, "%" SCNd64, &us) != 1 || us <= 0)
		return 0;
	return pid && atol(pid) != (long)getpid() ? 0 : us;
}
