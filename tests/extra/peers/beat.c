/* SPDX-License-Identifier: Apache-2.0 */
/*
 * beat: the work that primaryd and its peers are compared by. It does nothing but show that it runs.
 *
 *	beat --log FILE --node NAME --lock FILE run	until SIGTERM
 *	beat --log FILE --node NAME --lock FILE start	leaves it running, in the caller's process group
 *	beat --log FILE --node NAME --lock FILE stop	ends it; done when it is gone
 *
 * While it runs it appends a line each BEAT_MS, the first at once and the last when SIGTERM ends it:
 *
 *	NODE LIFE BOOTTIME_NS			LIFE: its pid
 *
 * So whatever ends it, or freezes it, is seen to within a beat. start and stop succeed when there is nothing to do.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <time.h>
#include <unistd.h>

#include "output.h"

#define BEAT_MS 2
#define LIFE_S 3600 /* nothing survives a test run for longer */

static const char *log_path, *node;
static volatile sig_atomic_t ended;

static void die(const char *what)
{
	fprintf(stderr, "beat: %s: %s\n", what, strerror(errno));
	exit(1);
}

static long long now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return (long long)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void on_term(int number)
{
	ended = 1;
}

static void beat(int log, long long at_ns)
{
	char line[128];
	int n = snprintf(line, sizeof(line), "%s %d %lld\n", node, (int)getpid(), at_ns);

	if (write(log, line, (size_t)n) != n)
		die(log_path);
}

/* Works for as long as it lives. The lock is a record lock: it goes with the process, and it names it. */
static void run(int lock, int ready)
{
	struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	const struct timespec pause = { .tv_nsec = BEAT_MS * 1000000L };
	int log = open(log_path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
	long long end_ns = now_ns() + LIFE_S * 1000000000LL, at_ns;

	if (log < 0)
		die(log_path);
	if (fcntl(lock, F_SETLK, &whole) < 0)
		exit(0);
	close(ready);
	while ((at_ns = now_ns()) < end_ns && !ended) {
		beat(log, at_ns);
		nanosleep(&pause, NULL);
	}
	beat(log, now_ns());
	exit(0);
}

static pid_t find_holder(int lock)
{
	struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	if (fcntl(lock, F_GETLK, &whole) < 0)
		die("lock");
	return whole.l_type == F_UNLCK ? 0 : whole.l_pid;
}

/* Returns when it runs, so that a stop that follows finds it. */
static void start(int lock)
{
	int ready[2];
	char byte;

	if (find_holder(lock))
		return;
	if (pipe2(ready, O_CLOEXEC) < 0)
		die("pipe");
	if (fork() == 0) {
		leave_output();
		close(ready[0]);
		run(lock, ready[1]);
	}
	close(ready[1]);
	while (read(ready[0], &byte, 1) < 0 && errno == EINTR)
		;
}

static void stop(int lock)
{
	struct pollfd gone = { .events = POLLIN };
	pid_t pid = find_holder(lock);

	if (pid == 0)
		return;
	gone.fd = pidfd_open(pid, 0);
	/* Still that process? */
	if (gone.fd < 0 || find_holder(lock) != pid)
		return;
	pidfd_send_signal(gone.fd, SIGTERM, NULL, 0);
	while (poll(&gone, 1, -1) < 0 && errno == EINTR)
		;
}

int main(int argc, char **argv)
{
	static const char *const options[] = { "--log", "--node", "--lock" };
	const char *verb = argc == 8 ? argv[7] : "";
	struct sigaction term = { .sa_handler = on_term };
	int lock;

	for (int i = 0; i < 3; i++)
		if (argc != 8 || strcmp(argv[1 + 2 * i], options[i]) != 0)
			verb = "";
	if (!strcmp(verb, "run") + !strcmp(verb, "start") + !strcmp(verb, "stop") != 1) {
		fputs("usage: beat --log FILE --node NAME --lock FILE run|start|stop\n", stderr);
		return 125;
	}
	log_path = argv[2];
	node = argv[4];
	sigaction(SIGTERM, &term, NULL);
	lock = open(argv[6], O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	if (lock < 0)
		die(argv[6]);
	if (!strcmp(verb, "run"))
		run(lock, -1);
	else if (!strcmp(verb, "start"))
		start(lock);
	else
		stop(lock);
	return 0;
}
