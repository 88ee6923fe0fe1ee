/* SPDX-License-Identifier: Apache-2.0 */
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/wall.h"

void log_lines_init(struct log_lines *lines, int fd)
{
	char path[32];
	struct stat st;
	int own;

	*lines = (struct log_lines){ .fd = fd };
	tzset(); /* reads a file: now, not in the loop */
	if (fstat(fd, &st) < 0)
		return;
	lines->is_socket = S_ISSOCK(st.st_mode);
	if (!S_ISFIFO(st.st_mode) && !S_ISCHR(st.st_mode))
		return;
	/*
	 * A pipe that nobody reads, or a stopped terminal, must not block us, but O_NONBLOCK on a
	 * shared description would surprise the others. So it is opened anew, where that is allowed.
	 */
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	own = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
	lines->must_poll = own < 0;
	if (own >= 0) {
		lines->fd = own;
		lines->is_own = true;
	}
}

void log_lines_finish(struct log_lines *lines)
{
	if (lines->is_own)
		(void)close(lines->fd);
	*lines = (struct log_lines){ .fd = -1 };
}

struct line {
	size_t n;
	char text[LOG_LINE_SIZE];
};

static __attribute__((format(printf, 2, 3))) void append(struct line *line, const char *fmt, ...)
{
	size_t room = sizeof(line->text) - line->n;
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(line->text + line->n, room, fmt, args);
	va_end(args);
	if (n > 0)
		line->n += (size_t)n < room ? (size_t)n : room - 1;
}

static void append_text(struct line *line, const char *key, const char *value)
{
	if (value[0] == '\0')
		return;
	if (strpbrk(value, " \"=") == NULL) {
		append(line, " %s=%s", key, value);
		return;
	}
	append(line, " %s=\"", key);
	for (; *value != '\0'; value++)
		append(line, *value == '"' ? "\\%c" : "%c", *value);
	append(line, "\"");
}

static void append_number(struct line *line, const char *key, int64_t value)
{
	if (value != 0)
		append(line, " %s=%" PRId64, key, value);
}

static void format_line(const struct log_record *record, struct line *line)
{
	static const char *const levels[] = { "emergency ", "alert ",  "critical ", "error ",
					      "warning ",   "notice ", "",	    "debug " };
	char time[WALL_TEXT_SIZE];

	line->n = 0;
	append(line, "%s %s %s%s: %s", wall_zoned(wall_now_ms(), time),
	       record->node[0] != '\0' ? record->node : "-",
	       levels[log_event_priority(record->event)], log_event_name(record->event),
	       record->message);
	append_text(line, "primary", record->primary);
	append_number(line, "epoch", record->epoch);
	append_text(line, "state", record->state);
	append_text(line, "target", record->target);
	append_text(line, "reason", record->reason);
	append_number(line, "usec", record->usec);
	if (line->n == sizeof(line->text) - 1)
		line->n--;
	line->text[line->n++] = '\n';
}

enum log_write log_lines_write(struct log_lines *lines, const struct log_record *record)
{
	struct pollfd poll_fd = { .fd = lines->fd, .events = POLLOUT };
	struct line line;
	ssize_t n;

	format_line(record, &line);
	/* Best effort where the description is shared: writable for a page, as far as anyone knows. */
	if (lines->must_poll && (poll(&poll_fd, 1, 0) != 1 || (poll_fd.revents & POLLOUT) == 0))
		return LOG_FULL;
	if (lines->is_socket)
		n = send(lines->fd, line.text, line.n, MSG_DONTWAIT | MSG_NOSIGNAL);
	else
		n = write(lines->fd, line.text, line.n);
	/* Half a line is for those who stopped a terminal: it is not written twice. */
	if (n > 0)
		return LOG_WRITTEN;
	return n < 0 && (errno == EAGAIN || errno == EINTR) ? LOG_FULL : LOG_ABSENT;
}
