/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the files of the log share; not for others. */

#include <stdbool.h>

#include "log.h"

#define LOG_LINE_SIZE 4096 /* what a pipe takes as a whole or not at all (PIPE_BUF) */

/* One event, escaped, ready for either target. */
struct log_record {
	enum event event;
	const char *node;
	char message[LOG_MESSAGE_MAX + 1];
	char primary[LOG_TEXT_MAX + 1]; /* "": not given */
	char state[LOG_TEXT_MAX + 1];
	char target[LOG_TEXT_MAX + 1];
	char reason[LOG_TEXT_MAX + 1];
	int64_t epoch;
	int64_t usec;
};

enum log_write {
	LOG_WRITTEN,
	LOG_FULL,   /* nobody takes it at the moment */
	LOG_ABSENT, /* there is nobody at all */
};

/* Lines to a descriptor. */
struct log_lines {
	int fd;
	bool is_own; /* opened anew, without blocking: closed by us */
	bool is_socket;
	bool must_poll;
};

void log_lines_init(struct log_lines *lines, int fd);
void log_lines_finish(struct log_lines *lines);
enum log_write log_lines_write(struct log_lines *lines, const struct log_record *record);

/* Datagrams to journald, in its native protocol. */
struct log_journal {
	int fd; /* -1: not used */
	char path[108];
};

int log_journal_init(struct log_journal *journal, const char *path);
void log_journal_finish(struct log_journal *journal);
enum log_write log_journal_write(struct log_journal *journal, const struct log_record *record);
