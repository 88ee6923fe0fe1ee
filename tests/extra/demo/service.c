/* SPDX-License-Identifier: Apache-2.0 */
/*
 * service: the demonstration's work. A node that is primary answers datagrams; a client can tell who does, and for how
 * long nobody did.
 *
 *	service start --log FILE --lock FILE --address A --port P --owner PID	the takeover command
 *	service stop  --log FILE --lock FILE					the relinquish command
 *
 * start leaves a server behind, in the command's own process group, as primaryd expects it. It answers each datagram
 * with the datagram, its node and its epoch, and lives until it is stopped, killed, or PID has ended. A lock on FILE
 * tells whether it runs, and who it is: no process number is ever written down that could be somebody else's later.
 *
 * Both write what they do to the log that all nodes share, in the words of tests/integration/lab/event_log.h:
 *
 *	NODE EVENT PHASE BOOTTIME_NS EPOCH REASON PID
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "../../integration/lab/event_log.h"

#define DATAGRAM_MAX 64

struct options {
	const char *log, *lock, *address;
	int port, owner;
};

static int log_fd = -1;

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void log_phase(const char *phase)
{
	event_log_write(log_fd, NULL, phase, NULL, getpid());
}

static int open_lock(const struct options *options)
{
	int fd = open(options->lock, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0)
		die(options->lock);
	return fd;
}

static int bind_socket(const struct options *options)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_port = htons((uint16_t)options->port) };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || inet_pton(AF_INET, options->address, &address.sin_addr) != 1 ||
	    bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		die("service: address");
	return fd;
}

static void answer(int fd, const char *node, const char *epoch)
{
	char text[DATAGRAM_MAX + 2 * EVENT_FIELD_MAX];
	struct sockaddr_storage from;
	socklen_t size = sizeof(from);
	ssize_t n = recvfrom(fd, text, DATAGRAM_MAX, 0, (struct sockaddr *)&from, &size);
	int length;

	if (n < 0)
		return;
	length = snprintf(text + n, sizeof(text) - (size_t)n, " %.64s %.64s", node, epoch);
	(void)sendto(fd, text, (size_t)(n + length), 0, (struct sockaddr *)&from, size);
}

/* Never returns. owner: of the demonstration; its end, however it comes, ends the work. */
static void serve(int fd, int owner)
{
	struct pollfd polled[] = { { .fd = fd, .events = POLLIN },
				   { .fd = owner, .events = POLLIN } };
	const char *node = event_fact("PRIMARYD_NODE"), *epoch = event_fact("PRIMARYD_EPOCH");

	for (;;) {
		if (poll(polled, 2, -1) < 0 && errno != EINTR)
			exit(1);
		if (polled[1].revents)
			exit(0);
		if (polled[0].revents)
			answer(fd, node, epoch);
	}
}

static void detach(void)
{
	int null = open("/dev/null", O_RDWR);

	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (dup2(null, fd) < 0)
			exit(1);
}

static int start(const struct options *options)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	int owner = (int)syscall(SYS_pidfd_open, options->owner, 0);
	int socket_fd, lock_fd, ready[2];
	char byte = 0;

	log_phase("begin");
	if (owner < 0)
		die("service: owner");
	lock_fd = open_lock(options);
	socket_fd = bind_socket(options);
	if (pipe(ready) < 0)
		die("service: pipe");
	if (fork() == 0) {
		if (fcntl(lock_fd, F_SETLK, &lock) < 0)
			die("service: already running");
		if (write(ready[1], &byte, 1) != 1)
			exit(1);
		close(ready[0]);
		close(ready[1]);
		detach();
		serve(socket_fd, owner);
	}
	close(ready[1]);
	if (read(ready[0], &byte, 1) != 1) {
		log_phase("fail");
		return 1;
	}
	log_phase("end");
	return 0;
}

static int stop(const struct options *options)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	int fd = open_lock(options);

	log_phase("begin");
	if (fcntl(fd, F_GETLK, &lock) < 0)
		die(options->lock);
	if (lock.l_type != F_UNLCK)
		(void)kill(lock.l_pid, SIGKILL);
	lock = (struct flock){ .l_type = F_WRLCK, .l_whence = SEEK_SET };
	if (fcntl(fd, F_SETLKW, &lock) < 0)
		die(options->lock);
	log_phase("end");
	return 0;
}

int main(int argc, char *argv[])
{
	static const struct option names[] = {
		{ "log", required_argument, NULL, 'l' },
		{ "lock", required_argument, NULL, 'k' },
		{ "address", required_argument, NULL, 'a' },
		{ "port", required_argument, NULL, 'p' },
		{ "owner", required_argument, NULL, 'o' },
		{ NULL, 0, NULL, 0 },
	};
	struct options options = { 0 };
	int option;

	while ((option = getopt_long(argc, argv, "", names, NULL)) >= 0) {
		switch (option) {
		case 'l':
			options.log = optarg;
			break;
		case 'k':
			options.lock = optarg;
			break;
		case 'a':
			options.address = optarg;
			break;
		case 'p':
			options.port = atoi(optarg);
			break;
		case 'o':
			options.owner = atoi(optarg);
			break;
		default:
			return 2;
		}
	}
	if (!options.log || !options.lock || optind != argc - 1)
		return 2;
	log_fd = event_log_open(options.log);
	if (log_fd < 0)
		die(options.log);
	if (!strcmp(argv[optind], "start") && options.address)
		return start(&options);
	if (!strcmp(argv[optind], "stop"))
		return stop(&options);
	return 2;
}
