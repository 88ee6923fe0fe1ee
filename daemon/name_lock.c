/* SPDX-License-Identifier: Apache-2.0 */
#include "name_lock.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/* At the most so long for what another process still has open. */
#define LEFTOVER_MS 500

/* A leading NUL makes it abstract: no file, nothing to clean up. */
static socklen_t make_address(uint64_t cluster, struct sockaddr_un *ret_address)
{
	int n;

	memset(ret_address, 0, sizeof(*ret_address));
	ret_address->sun_family = AF_UNIX;
	n = snprintf(ret_address->sun_path + 1, sizeof(ret_address->sun_path) - 1,
		     "primaryd/%016" PRIx64, cluster);
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n);
}

static pid_t holder(const struct sockaddr_un *address, socklen_t length)
{
	struct ucred credentials = { 0 };
	socklen_t size = sizeof(credentials);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return 0;
	if (connect(fd, (const struct sockaddr *)address, length) < 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) < 0)
		credentials.pid = 0;
	(void)close(fd);
	return credentials.pid;
}

static int try_take(uint64_t cluster, int *ret_fd, pid_t *ret_pid)
{
	struct sockaddr_un address;
	socklen_t length = make_address(cluster, &address);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int r = 0;

	if (fd < 0)
		return -errno;
	/* Listening only lets the kernel tell who holds it; nobody is ever answered, and each who asked takes a place. */
	if (bind(fd, (const struct sockaddr *)&address, length) < 0 || listen(fd, SOMAXCONN) < 0)
		r = -errno;
	if (r == 0) {
		*ret_fd = fd;
		return NAME_LOCK_OK;
	}
	(void)close(fd);
	if (r != -EADDRINUSE)
		return r;
	*ret_pid = holder(&address, length);
	return NAME_LOCK_TAKEN;
}

/* Not held by a daemon: by a process that the one before this had forked, and that is about to execute or to die. */
static bool is_leftover(pid_t pid)
{
	return pid == getpid() || (pid > 0 && kill(pid, 0) < 0 && errno == ESRCH);
}

int name_lock_take(uint64_t cluster, int *ret_fd, pid_t *ret_pid)
{
	const struct timespec pause = { .tv_nsec = 1000000 };
	pid_t pid = 0;
	int r = try_take(cluster, ret_fd, &pid);

	for (int i = 0; r == NAME_LOCK_TAKEN && is_leftover(pid) && i < LEFTOVER_MS; i++) {
		(void)nanosleep(&pause, NULL);
		r = try_take(cluster, ret_fd, &pid);
	}
	if (r == NAME_LOCK_TAKEN)
		*ret_pid = pid;
	return r;
}
