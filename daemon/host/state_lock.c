/* SPDX-License-Identifier: Apache-2.0 */
#include "state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/lock_file.h"

int state_check_directory(const char *directory, char *message, size_t n_message)
{
	struct stat st;
	int r = 0;

	if ((mkdir(directory, 0700) < 0 && errno != EEXIST) || stat(directory, &st) < 0) {
		r = -errno;
		(void)snprintf(message, n_message, "%.160s: %s%s", directory, strerror(errno),
			       errno == ENOENT ? " (its parent directory must exist)" : "");
	} else if (!S_ISDIR(st.st_mode)) {
		r = STATE_BAD_DIRECTORY;
		(void)snprintf(message, n_message, "%.160s is not a directory", directory);
	} else if (st.st_uid != geteuid()) {
		r = STATE_BAD_DIRECTORY;
		(void)snprintf(message, n_message,
			       "%.160s belongs to user %u, not to the daemon's user %u", directory,
			       (unsigned)st.st_uid, (unsigned)geteuid());
	} else if (st.st_mode & (S_IWGRP | S_IWOTH)) {
		r = STATE_BAD_DIRECTORY;
		(void)snprintf(message, n_message,
			       "%.120s may be written to by others (mode %04o): chmod go-w it",
			       directory, (unsigned)st.st_mode & 07777);
	}
	return r;
}

static void write_pid(int fd)
{
	char text[LOCK_FILE_TEXT_SIZE];

	/* For messages only. */
	(void)snprintf(text, sizeof(text), "%d\n", (int)getpid());
	(void)lock_file_write(fd, text);
}

int state_lock(const char *directory, int *ret_fd, char *message, size_t n_message)
{
	char holder[LOCK_FILE_TEXT_SIZE];
	int fd;
	int r = lock_file_take(directory, STATE_LOCK_FILE, &fd);

	if (r == 0) {
		write_pid(fd);
		*ret_fd = fd;
		return 0;
	}
	if (r < 0) {
		(void)snprintf(message, n_message, "%.160s/" STATE_LOCK_FILE ": %s", directory,
			       strerror(-r));
		return r;
	}
	if (lock_file_look(directory, STATE_LOCK_FILE, holder) != LOCK_FILE_BUSY)
		holder[0] = '\0';
	(void)snprintf(message, n_message, "%.160s is in use by another primaryd (pid %d)",
		       directory, (int)lock_file_pid(holder));
	return STATE_LOCKED;
}

int state_lock_inherit(int fd, bool inherit)
{
	return fcntl(fd, F_SETFD, inherit ? 0 : FD_CLOEXEC) < 0 ? -errno : 0;
}

int state_lock_adopt(const char *directory, int fd)
{
	int r;

	if (!lock_file_is_there(directory, STATE_LOCK_FILE, fd))
		return -EBADF;
	/* Nothing changes when this very open file holds it already. */
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		r = errno == EWOULDBLOCK ? STATE_LOCKED : -errno;
		(void)close(fd);
		return r;
	}
	r = state_lock_inherit(fd, false);
	if (r == 0)
		write_pid(fd);
	return r;
}
