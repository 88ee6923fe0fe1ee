/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * One command in a process group of its own, with our standard streams, and with the terminal if we had it. A guard
 * process kills the group when we die, and at a time that we have to postpone again and again; the kernel kills the
 * command itself when its parent dies. Ctrl-Z does not suspend the command: nobody would wake it.
 */

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/process_group.h"

/* What the guard is told, through a socket. */
struct child_news {
	int64_t kill_us; /* time_boot_us(); then the group is killed */
	int64_t group;	 /* 0: none yet */
};

/* Zeroed at first. */
struct child {
	struct ev_loop *loop; /* the default one: libev reaps */
	ev_child command;
	struct process_group group; /* of the command; id 0: it does not run */
	ev_timer terminal; /* it stopped for want of the terminal: whether we have it by now */
	bool has_terminal; /* it was given ours */
	/*
	 * A process in a session of its own, which kills the group when we are dead, or have let that time pass because we
	 * are stopped or hang.
	 */
	ev_child guard;
	int news_fd; /* to the guard; -1: there is none */
	struct child_news news;
	/* Once, from the loop: status as of waitpid(). What was left of its group has been killed. */
	void (*on_exit)(void *userdata, int status);
	void *userdata;
};

/*
 * 0, or -errno: why the command could not be started (ENOENT, EACCES, ...). on_exit and userdata are set before.
 * kill_us: as of child_guard_until().
 */
int child_start(struct child *child, struct ev_loop *loop, char *const argv[], int64_t kill_us);

/* At that time_boot_us() the group is killed, whatever became of us, unless another time is set before. */
void child_guard_until(struct child *child, int64_t kill_us);

bool child_runs(const struct child *child);

/* To the whole group. Nothing when it is gone. */
void child_signal(struct child *child, int number);

/* The exit code that a shell would show: that of the command, or 128 and the signal's number. */
int child_exit_code(int status);

/* Kills what runs and waits for it: for the way out. Also fine when zeroed. */
void child_finish(struct child *child);
