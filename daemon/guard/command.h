/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The guard's log lines, and the process in which it runs the relinquish command. */

#include <sys/types.h>

struct lease_file;

/*
 * One line to stderr with a journal priority ("<N>") of syslog.h in front, cut at 500 bytes. Left out when
 * stderr would not take it at once: nothing may keep the guard from its work.
 */
void guard_say(int priority, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Out of the reach of the memory killer and of swapping; says what is not allowed. */
void guard_harden(void);

/*
 * Starts argv in a process group of its own, input from /dev/null, output to our stderr if anybody reads
 * that; in the environment that the daemon would give it. Noted in the lease file as the stop under way. Returns the pid
 * (its group, too) or -errno.
 */
pid_t guard_command_start(char *const *argv, const char *node, struct lease_file *lease);
