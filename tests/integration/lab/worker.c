/* SPDX-License-Identifier: Apache-2.0 */
/*
 * worker: work that is real. Where `stamp` only notes that commands ran, this leaves a process behind.
 *
 *	worker --log FILE --lock FILE start	leaves a process in the caller's process group
 *	worker --log FILE --lock FILE stop	ends it; done when it is gone
 *
 * Both succeed when there is nothing to do. The process locks the lock file while it lives. It is seen from outside, by a
 * minder in a session of its own, so that also a death by SIGKILL is noted at once, in the log of lab/oracle.py:
 *
 *	NODE work begin BOOTTIME_NS EPOCH - PID		before start returns
 *	NODE work end BOOTTIME_NS EPOCH - PID		when the process is gone; after a stop twice, the first counts
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/pidfd.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "event_log.h"
#include "output.h"

#define LIFE_S 3600 /* nothing survives a test run for longer */

static const char *log_path, *lock_path;

static void die(const char *what)
{
	fprintf(stderr, "worker: %s: %s\n", what, strerror(errno));
	_exit(1);
}

static void note(const char *phase, pid_t pid)
{
	int fd = event_log_open(log_path);

	if (fd < 0)
		die(log_path);
	event_log_write(fd, "work", phase, "-", pid);
	close(fd);
}

/* Tells the other end by one byte; or waits for it, false if the other end is gone. */
static void say(int fd)
{
	if (write(fd, "", 1) != 1)
		_exit(1);
}

static int hear(int fd)
{
	char byte;

	return read(fd, &byte, 1) == 1;
}

static void work(int go, int done, int lock)
{
	char text[16];
	int n = snprintf(text, sizeof(text), "%d\n", (int)getpid());

	leave_output();
	if (!hear(go))
		_exit(1);
	if (ftruncate(lock, 0) < 0 || pwrite(lock, text, (size_t)n, 0) != n)
		_exit(1);
	note("begin", getpid());
	say(done);
	close(done);
	sleep(LIFE_S);
	_exit(0);
}

static void mind(int go, pid_t pid, int pid_fd)
{
	struct pollfd poll_fd = { .fd = pid_fd, .events = POLLIN };
	const struct sched_param at_once = { .sched_priority = 1 };

	leave_output();
	setsid();
	/* If it may: what it sees it shall see at once. */
	if (sched_setscheduler(0, SCHED_FIFO, &at_once) < 0)
		setpriority(PRIO_PROCESS, 0, -20);
	say(go);
	close(go);
	while (poll(&poll_fd, 1, -1) < 0 && errno == EINTR)
		;
	note("end", pid);
	_exit(0);
}

static int start(int lock)
{
	int go[2], done[2], pid_fd;
	pid_t pid;

	/* The lock is the open file's: whoever inherits it holds it, so the minder must not. */
	if (flock(lock, LOCK_EX | LOCK_NB) < 0)
		return 0;
	if (pipe2(go, O_CLOEXEC) < 0 || pipe2(done, O_CLOEXEC) < 0)
		die("pipe");
	pid = fork();
	if (pid == 0) {
		close(go[1]);
		work(go[0], done[1], lock);
	}
	pid_fd = pid > 0 ? pidfd_open(pid, 0) : -1;
	if (pid_fd < 0)
		die("fork");
	close(done[1]);
	close(go[0]);
	switch (fork()) {
	case -1:
		die("fork");
		break;
	case 0:
		close(lock);
		close(done[0]);
		mind(go[1], pid, pid_fd);
	}
	close(go[1]);
	return hear(done[0]) ? 0 : 1;
}

static int stop(int lock)
{
	struct pollfd poll_fd = { .events = POLLIN };
	char text[16] = "";
	pid_t pid;

	if (flock(lock, LOCK_EX | LOCK_NB) == 0)
		return 0;
	if (pread(lock, text, sizeof(text) - 1, 0) <= 0)
		return 1; /* in the middle of its start */
	pid = atoi(text);
	poll_fd.fd = pidfd_open(pid, 0);
	if (poll_fd.fd < 0)
		return 0;
	/* Still that process? It holds the lock as long as it lives. */
	if (flock(lock, LOCK_EX | LOCK_NB) == 0)
		return 0;
	pidfd_send_signal(poll_fd.fd, SIGTERM, NULL, 0);
	while (poll(&poll_fd, 1, -1) < 0 && errno == EINTR)
		;
	note("end", pid); /* the minder's may come after we have ended */
	return 0;
}

int main(int argc, char **argv)
{
	int lock;

	if (argc != 6 || strcmp(argv[1], "--log") || strcmp(argv[3], "--lock")) {
		fputs("usage: worker --log FILE --lock FILE start|stop\n", stderr);
		return 125;
	}
	log_path = argv[2];
	lock_path = argv[4];
	signal(SIGPIPE, SIG_IGN);
	lock = open(lock_path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	if (lock < 0)
		die(lock_path);
	return strcmp(argv[5], "start") ? stop(lock) : start(lock);
}
