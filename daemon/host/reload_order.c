/* SPDX-License-Identifier: Apache-2.0 */
#include "reload_order.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/lock_file.h"
#include "reload.h"
#include "runtime.h"

/* The daemon gives up on its own questions sooner. */
#define ANSWER_TIMEOUT_MS 60000

static int fail(char text[RELOAD_ORDER_TEXT_SIZE], int r, const char *what, const char *why)
{
	(void)snprintf(text, RELOAD_ORDER_TEXT_SIZE, "%.160s: %.300s", what, why);
	return r;
}

/* The daemon's pidfd, or -errno. */
static int find_daemon(const char *directory, char text[RELOAD_ORDER_TEXT_SIZE])
{
	pid_t pid = runtime_find(directory);
	int fd;

	if (!pid)
		return fail(
			text, -ESRCH, directory,
			"no daemon runs with this directory (or somebody deleted its files: the "
			"log says more)");
	fd = pidfd_open(pid, 0);
	return fd >= 0 ? fd : fail(text, -errno, "the daemon", strerror(errno));
}

static int wait_for_answer(int daemon_fd, int fifo, char text[RELOAD_ORDER_TEXT_SIZE])
{
	struct pollfd fds[] = { { .fd = fifo, .events = POLLIN },
				{ .fd = daemon_fd, .events = POLLIN } };
	ssize_t n;

	if (poll(fds, 2, ANSWER_TIMEOUT_MS) <= 0)
		return fail(text, -ETIMEDOUT, "the daemon", "no answer within a minute");
	n = read(fifo, text, RELOAD_ORDER_TEXT_SIZE - 1);
	if (n <= 0)
		return fail(text, -ESRCH, "the daemon", "it ended");
	text[n] = '\0';
	text[strcspn(text, "\n")] = '\0';
	return strcmp(text, RELOAD_ACCEPTED) == 0 ? 0 : -ECANCELED;
}

/*
 * The lock on it lets one order wait at a time: the daemon answers only one. For reading and writing, because the daemon
 * opens and closes it with each answer.
 */
static int open_fifo(const char *directory, const char *path)
{
	int fd = mkfifo(path, 0600) == 0 || errno == EEXIST
			 ? open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW)
			 : -1;
	int r = 0;

	if (fd < 0)
		return -errno;
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		r = errno == EWOULDBLOCK ? -EBUSY : -errno;
	else if (!lock_file_is_there(directory, RELOAD_FIFO, fd)) /* of an order that just ended */
		r = -EBUSY;
	if (r == 0)
		return fd;
	(void)close(fd);
	return r;
}

/* The daemon's user may have written what is there: on its word, root does no more than that user may. */
static int become_owner(const char *directory)
{
	struct stat st;

	if (geteuid() != 0)
		return 0;
	if (stat(directory, &st) < 0 || setgroups(0, NULL) < 0 || setgid(st.st_gid) < 0 ||
	    setuid(st.st_uid) < 0)
		return -errno;
	return 0;
}

int reload_order(const char *directory, char text[RELOAD_ORDER_TEXT_SIZE])
{
	char path[PATH_MAX];
	int fifo, daemon_fd, r = become_owner(directory);

	if (r < 0)
		return fail(text, r, directory, strerror(-r));
	daemon_fd = find_daemon(directory, text);
	if (daemon_fd < 0)
		return daemon_fd;
	r = lock_file_path(directory, RELOAD_FIFO, path);
	fifo = r < 0 ? r : open_fifo(directory, path);
	if (fifo < 0) {
		(void)close(daemon_fd);
		return fail(text, fifo, path,
			    fifo == -EBUSY ? "another reload is under way: order it again later"
					   : strerror(-fifo));
	}
	if (pidfd_send_signal(daemon_fd, SIGHUP, NULL, 0) < 0)
		r = fail(text, -errno, "the daemon", strerror(errno));
	else
		r = wait_for_answer(daemon_fd, fifo, text);
	(void)unlink(path);
	(void)close(fifo);
	(void)close(daemon_fd);
	return r;
}
