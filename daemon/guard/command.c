/* SPDX-License-Identifier: Apache-2.0 */
#include "command.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <syslog.h>
#include <unistd.h>

#include "base/process_group.h"
#include "base/wall.h"
#include "lease_file.h"
#include "work/work.h"

#define LINE_SIZE 512

/* As the election says it of the daemon's own stop at that time. */
#define REASON "the lease runs out"

static bool stderr_takes_a_line(void)
{
	struct pollfd p = { .fd = STDERR_FILENO, .events = POLLOUT };

	/* Of a pipe this says that there is room for PIPE_BUF: more than a line. */
	return poll(&p, 1, 0) == 1 && p.revents == POLLOUT;
}

/* journald reads the priority off the line and adds the time; people want the line as the daemon writes its own. */
static int line_head(char *line, size_t size, int priority)
{
	char time[WALL_TEXT_SIZE];

	if (getenv("JOURNAL_STREAM") != NULL)
		return snprintf(line, size, "<%d>guard: ", priority);
	return snprintf(line, size, "%s guard: ", wall_zoned(wall_now_ms(), time));
}

void guard_say(int priority, const char *format, ...)
{
	char line[LINE_SIZE];
	va_list args;
	ssize_t written;
	int n, head;

	head = line_head(line, sizeof(line), priority);
	va_start(args, format);
	n = vsnprintf(line + head, sizeof(line) - (size_t)head - 1, format, args);
	va_end(args);
	if (n < 0 || !stderr_takes_a_line())
		return;
	n = (int)strlen(line);
	line[n] = '\n';
	written = write(STDERR_FILENO, line, (size_t)n + 1);
	(void)written;
}

void guard_harden(void)
{
	process_set_oom("-1000");
	if (mlockall(MCL_CURRENT | MCL_FUTURE) < 0)
		guard_say(LOG_WARNING, "its memory cannot be locked: %s", strerror(errno));
}

static void arrange_descriptors(void)
{
	int null = open("/dev/null", O_RDWR);

	if (null < 0)
		return;
	/* A command must not die or hang on its output because nobody reads it any more. */
	if (!stderr_takes_a_line())
		(void)dup2(null, STDERR_FILENO);
	(void)dup2(null, STDIN_FILENO);
	(void)dup2(STDERR_FILENO, STDOUT_FILENO);
	(void)close_range(3, ~0U, 0);
}

pid_t guard_command_start(char *const *argv, const char *node, struct lease_file *lease)
{
	/* This node was named, and acted, when the guard was armed. */
	const struct script_facts facts = { .event = "relinquish",
					    .node = node,
					    .primary = node,
					    .previous = node,
					    .reason = REASON,
					    .epoch = lease_file_epoch(lease) };
	struct script_environment told;
	struct command_environment environment;
	pid_t pid;

	script_environment(&facts, &told);
	command_environment(told.list, &environment);
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid > 0) {
		(void)setpgid(pid, pid);
		return pid;
	}
	(void)setpgid(0, 0);
	/* While its descriptor is open: whatever becomes of the guard, the daemon knows of this process. */
	lease_file_set_group(lease, LEASE_GROUP_STOP, getpid());
	process_set_oom("0");
	arrange_descriptors();
	process_reset_signals();
	(void)execve(argv[0], argv, (char *const *)environment.list);
	guard_say(LOG_ERR, "%s: %s", argv[0], strerror(errno));
	_exit(127);
}
