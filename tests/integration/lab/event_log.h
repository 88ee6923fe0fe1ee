/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The log that all nodes of a test or demonstration share, as lab/oracle.py reads it: one line an event, each in one
 * write,
 *	NODE EVENT PHASE BOOTTIME_NS EPOCH REASON PID
 *
 * NODE, EVENT, EPOCH and REASON come from PRIMARYD_NODE, PRIMARYD_EVENT, PRIMARYD_EPOCH and PRIMARYD_REASON, with
 * blanks turned into '_' and '-' for what is empty.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define EVENT_FIELD_MAX 128

/* An environment variable; "-" if it is not there or empty. */
static inline const char *event_fact(const char *variable)
{
	const char *value = getenv(variable);

	return value && *value ? value : "-";
}

/* As one field of a line. */
static inline void event_field(char field[static EVENT_FIELD_MAX], const char *text)
{
	size_t i = 0;

	for (; text[i] && i < EVENT_FIELD_MAX - 1; i++)
		field[i] = (text[i] <= ' ' || text[i] == 127) ? '_' : text[i];
	field[i] = '\0';
}

/* -1: errno tells. */
static inline int event_log_open(const char *path)
{
	return open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
}

/* Appends a line with the facts of the environment, but event and reason where they are given. Ends the process if it cannot. */
static inline void event_log_write(int fd, const char *event, const char *phase, const char *reason,
				   pid_t pid)
{
	char node_field[EVENT_FIELD_MAX], event_name[EVENT_FIELD_MAX], epoch[EVENT_FIELD_MAX],
		reason_field[EVENT_FIELD_MAX], line[1024];
	struct timespec now;
	int length;

	event_field(node_field, event_fact("PRIMARYD_NODE"));
	event_field(event_name, event ? event : event_fact("PRIMARYD_EVENT"));
	event_field(epoch, event_fact("PRIMARYD_EPOCH"));
	event_field(reason_field, reason ? reason : event_fact("PRIMARYD_REASON"));
	clock_gettime(CLOCK_BOOTTIME, &now);
	length = snprintf(line, sizeof(line), "%s %s %s %lld%09ld %s %s %d\n", node_field,
			  event_name, phase, (long long)now.tv_sec, now.tv_nsec, epoch,
			  reason_field, (int)pid);
	if (write(fd, line, (size_t)length) != length) {
		perror("the log of events");
		_exit(125);
	}
}
