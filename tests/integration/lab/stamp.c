/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stamp: what the laboratory's nodes run as takeover, relinquish and other commands.
 *
 *	stamp --log FILE [OPTION...]
 *
 * Appends a line when it begins and a line when it ends, each in one write, to a log that all nodes share:
 *
 *	NODE EVENT PHASE BOOTTIME_NS EPOCH REASON PID
 *
 * See event_log.h for the fields. PHASE is begin, end, fail (it exits with --fail's code) or
 * term (SIGTERM ended it). A process that is killed leaves no last line.
 *
 * In between, in this order: --output BYTES (lines of 64 bytes on stdout and stderr by turns), --junk BYTES (NULs
 * and other bytes, no line end), --orphan MS (a child that keeps the output open that long), --sleep MS, --hang (a
 * minute at most, so that nothing survives a test run). --ignore-term goes on when told to end. --fail CODE exits so.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "event_log.h"

#define HANG_MS 60000

struct options {
	const char *log;
	long output, junk, orphan_ms, sleep_ms;
	int fail;
	bool ignore_term;
};

static int log_fd = -1;

static void die(const char *what)
{
	perror(what);
	exit(125);
}

static void log_phase(const char *phase)
{
	event_log_write(log_fd, NULL, phase, NULL, getpid());
}

static long parse_number(const char *text)
{
	char *end;
	long value;

	errno = 0;
	value = strtol(text, &end, 10);
	if (errno || *end || end == text || value < 0) {
		fprintf(stderr, "stamp: not a number: %s\n", text);
		exit(125);
	}
	return value;
}

static void parse_options(int argc, char **argv, struct options *ret_options)
{
	static const struct option table[] = {
		{ "log", required_argument, NULL, 'l' },
		{ "output", required_argument, NULL, 'o' },
		{ "junk", required_argument, NULL, 'j' },
		{ "orphan", required_argument, NULL, 'c' },
		{ "sleep", required_argument, NULL, 's' },
		{ "hang", no_argument, NULL, 'h' },
		{ "fail", required_argument, NULL, 'f' },
		{ "ignore-term", no_argument, NULL, 'i' },
		{ 0 },
	};
	struct options options = { 0 };

	for (int c; (c = getopt_long(argc, argv, "", table, NULL)) != -1;) {
		switch (c) {
		case 'l':
			options.log = optarg;
			break;
		case 'o':
			options.output = parse_number(optarg);
			break;
		case 'j':
			options.junk = parse_number(optarg);
			break;
		case 'c':
			options.orphan_ms = parse_number(optarg);
			break;
		case 's':
			options.sleep_ms = parse_number(optarg);
			break;
		case 'h':
			options.sleep_ms = HANG_MS;
			break;
		case 'f':
			options.fail = (int)parse_number(optarg);
			break;
		case 'i':
			options.ignore_term = true;
			break;
		default:
			exit(125);
		}
	}
	if (!options.log || optind != argc) {
		fputs("usage: stamp --log FILE [OPTION...]\n", stderr);
		exit(125);
	}
	*ret_options = options;
}

/* Writes all of it, or ends: what the reader does with it is what is tested. */
static void write_all(int fd, const char *data, size_t length)
{
	while (length > 0) {
		ssize_t n = write(fd, data, length);

		if (n < 0 && errno != EINTR)
			return;
		if (n > 0) {
			data += n;
			length -= (size_t)n;
		}
	}
}

static void spew_lines(long bytes)
{
	char line[64];

	memset(line, 'x', sizeof(line));
	line[sizeof(line) - 1] = '\n';
	for (int fd = STDOUT_FILENO; bytes > 0; bytes -= (long)sizeof(line)) {
		write_all(fd, line, sizeof(line));
		fd = fd == STDOUT_FILENO ? STDERR_FILENO : STDOUT_FILENO;
	}
}

static void spew_junk(long bytes)
{
	char junk[256];

	for (size_t i = 0; i < sizeof(junk); i++)
		junk[i] = i == '\n' ? '\0' : (char)i;
	for (; bytes > 0; bytes -= (long)sizeof(junk))
		write_all(STDOUT_FILENO, junk,
			  bytes < (long)sizeof(junk) ? (size_t)bytes : sizeof(junk));
}

static void pause_ms(long ms)
{
	struct timespec left = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };

	while (nanosleep(&left, &left) < 0 && errno == EINTR)
		;
}

static void start_orphan(long ms)
{
	pid_t pid = fork();

	if (pid < 0)
		die("stamp: fork");
	if (pid == 0) {
		pause_ms(ms);
		_exit(0);
	}
}

/* Not safe in every signal handler, but in this program: it is interrupted only while it waits or writes. */
static void on_term(int signal_number)
{
	log_phase("term");
	_exit(128 + SIGTERM);
}

int main(int argc, char **argv)
{
	struct options options;

	parse_options(argc, argv, &options);
	log_fd = event_log_open(options.log);
	if (log_fd < 0)
		die(options.log);
	signal(SIGTERM, options.ignore_term ? SIG_IGN : on_term);
	signal(SIGPIPE, SIG_IGN);

	log_phase("begin");
	spew_lines(options.output);
	spew_junk(options.junk);
	if (options.orphan_ms)
		start_orphan(options.orphan_ms);
	pause_ms(options.sleep_ms);
	log_phase(options.fail ? "fail" : "end");
	return options.fail;
}
