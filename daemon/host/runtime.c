/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/lock_file.h"
#include "guard/guard.h"

#define LOCK_VARIABLE "PRIMARYD_LOCK_FD"

static int check_directory(const char *directory, char *message, size_t n_message)
{
	struct stat st;
	int r;

	if ((mkdir(directory, 0700) < 0 && errno != EEXIST) || stat(directory, &st) < 0) {
		r = -errno;
		(void)snprintf(message, n_message, "%.160s: %s%s", directory, strerror(-r),
			       r == -ENOENT ? " (its parent directory must exist)" : "");
		return r;
	}
	if (!S_ISDIR(st.st_mode))
		(void)snprintf(message, n_message, "%.160s is not a directory", directory);
	else if (st.st_uid != geteuid())
		(void)snprintf(message, n_message,
			       "%.160s belongs to user %u, not to the daemon's user %u", directory,
			       (unsigned)st.st_uid, (unsigned)geteuid());
	else if (st.st_mode & (S_IRWXG | S_IRWXO))
		(void)snprintf(message, n_message,
			       "%.120s is open to other users (mode %04o): chmod 700 it", directory,
			       (unsigned)st.st_mode & 07777);
	else
		return 0;
	return RUNTIME_BAD_DIRECTORY;
}

/* Returns the lock that the image before this one held, or -1. flock() changes nothing if it holds it. */
static int take_inherited(const char *directory)
{
	const char *number = getenv(LOCK_VARIABLE);
	int fd = number ? atoi(number) : -1;

	(void)unsetenv(LOCK_VARIABLE);
	if (fd <= STDERR_FILENO || !lock_file_is_there(directory, ".", fd) ||
	    flock(fd, LOCK_EX | LOCK_NB) < 0)
		return -1;
	(void)fcntl(fd, F_SETFD, FD_CLOEXEC);
	return fd;
}

static void on_alarm(int number)
{
}

/* flock(), ended by a signal after limit_ms. The signal comes again, in case that flock() was not entered yet. */
static int lock_within(int fd, int limit_ms)
{
	const struct sigaction action = { .sa_handler = on_alarm };
	const struct itimerval bound = { .it_value.tv_usec = limit_ms * 1000,
					 .it_interval.tv_usec = 10000 };
	const struct itimerval never = { .it_value.tv_usec = 0 };
	struct sigaction before;
	int r;

	(void)sigaction(SIGALRM, &action, &before);
	(void)setitimer(ITIMER_REAL, limit_ms > 0 ? &bound : &never, NULL);
	r = flock(fd, limit_ms == 0 ? LOCK_EX | LOCK_NB : LOCK_EX) == 0 ? 0 : -errno;
	(void)setitimer(ITIMER_REAL, &never, NULL);
	(void)sigaction(SIGALRM, &before, NULL);
	return r == -EWOULDBLOCK || r == -EINTR ? RUNTIME_TAKEN : r;
}

/* Nothing in the directory is the lock: somebody may delete that, and the next daemon would make and lock a new one. */
static int lock_directory(const char *directory, int limit_ms, int *ret_fd)
{
	int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r;

	if (fd < 0)
		return -errno;
	r = lock_within(fd, limit_ms);
	/* Somebody replaced it meanwhile. */
	if (r == 0 && !lock_file_is_there(directory, ".", fd))
		r = RUNTIME_TAKEN;
	if (r == 0)
		*ret_fd = fd;
	else
		(void)close(fd);
	return r;
}

/* For messages only. */
static void write_pid(const char *directory)
{
	char path[PATH_MAX], text[16];
	int n = snprintf(text, sizeof(text), "%d\n", (int)getpid());

	if (lock_file_path(directory, RUNTIME_PID_FILE, path) == 0)
		(void)file_replace(path, text, (size_t)n, 0600, false);
}

static pid_t read_pid(const char *directory)
{
	char path[PATH_MAX], text[16] = "";
	int fd = lock_file_path(directory, RUNTIME_PID_FILE, path) == 0
			 ? open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
			 : -1;

	if (fd < 0)
		return 0;
	(void)!read(fd, text, sizeof(text) - 1);
	(void)close(fd);
	return lock_file_pid(text);
}

static int take_lock(struct runtime *runtime, const char *directory, int limit_ms, char *message,
		     size_t n_message)
{
	int r = 0;

	runtime->lock_fd = take_inherited(directory);
	if (runtime->lock_fd < 0)
		r = lock_directory(directory, limit_ms, &runtime->lock_fd);
	if (r == 0)
		write_pid(directory);
	else if (r < 0)
		(void)snprintf(message, n_message, "the lock on %.160s: %s", directory,
			       strerror(-r));
	else
		(void)snprintf(message, n_message, "%.160s is in use by another primaryd (pid %d)",
			       directory, read_pid(directory));
	return r;
}

pid_t runtime_find(const char *directory)
{
	int fd = -1, r = lock_directory(directory, 0, &fd);

	if (r == 0)
		(void)close(fd);
	return r == RUNTIME_TAKEN ? read_pid(directory) : 0;
}

int runtime_open(struct runtime *runtime, const char *directory, int limit_ms, char *message,
		 size_t n_message)
{
	int r = boot_id_read(runtime->boot_id);

	message[0] = '\0';
	runtime->lock_fd = -1;
	runtime->place = place_id();
	if (r < 0)
		(void)snprintf(message, n_message, "the id of this boot: %s", strerror(-r));
	runtime->is_handed_over = runtime->is_handed_over || getenv(LOCK_VARIABLE);
	if (r == 0)
		r = check_directory(directory, message, n_message);
	if (r == 0)
		r = take_lock(runtime, directory, limit_ms, message, n_message);
	if (r != 0)
		return r;
	r = lease_file_open(directory, runtime->boot_id, &runtime->lease, message, n_message);
	if (r == LEASE_FILE_DAMAGED)
		return 0;
	if (r < 0)
		(void)snprintf(message, n_message, "the lease file in %.160s: %s", directory,
			       strerror(-r));
	else
		message[0] = '\0';
	return r;
}

void runtime_hand_over(const struct runtime *runtime, bool begin)
{
	char fd[16];

	(void)snprintf(fd, sizeof(fd), "%d", runtime->lock_fd);
	(void)fcntl(runtime->lock_fd, F_SETFD, begin ? 0 : FD_CLOEXEC);
	if (begin)
		(void)setenv(LOCK_VARIABLE, fd, 1);
	else
		(void)unsetenv(LOCK_VARIABLE);
}

void runtime_close(struct runtime *runtime)
{
	runtime->lease = lease_file_close(runtime->lease);
	if (runtime->lock_fd >= 0)
		(void)close(runtime->lock_fd);
	runtime->lock_fd = -1;
}
