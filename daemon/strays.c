/* SPDX-License-Identifier: Apache-2.0 */
#include "strays.h"

#include <ev.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

/* The guard, and one command of each kind; more than that is not ours. */
#define STRAYS_MAX 16

struct strays {
	struct ev_loop *loop;
	unsigned count;
	ev_io ios[STRAYS_MAX]; /* pidfds: readable when the child is dead */
};

static void drop(struct strays *strays, ev_io *io)
{
	if (!ev_is_active(io))
		return;
	ev_ref(strays->loop);
	ev_io_stop(strays->loop, io);
	(void)close(io->fd);
}

static void on_dead(struct ev_loop *loop, ev_io *io, int events)
{
	siginfo_t info;

	(void)loop;
	(void)events;
	/* The guard may have been reaped by who adopted it: also fine. */
	(void)waitid(P_PIDFD, (id_t)io->fd, &info, WEXITED | WNOHANG);
	drop(io->data, io);
}

static void take(struct strays *strays, pid_t pid)
{
	ev_io *io = &strays->ios[strays->count];
	int fd = pidfd_open(pid, 0);

	if (fd < 0)
		return;
	strays->count++;
	ev_io_init(io, on_dead, fd, EV_READ);
	io->data = strays;
	ev_io_start(strays->loop, io);
	ev_unref(strays->loop);
}

struct strays *strays_create(struct ev_loop *loop)
{
	FILE *file = fopen("/proc/thread-self/children", "re");
	struct strays *strays = file ? calloc(1, sizeof(*strays)) : NULL;
	int pid;

	if (strays)
		strays->loop = loop;
	while (strays && strays->count < STRAYS_MAX && fscanf(file, "%d", &pid) == 1)
		take(strays, pid);
	if (file)
		(void)fclose(file);
	return strays && !strays->count ? strays_destroy(strays) : strays;
}

struct strays *strays_destroy(struct strays *strays)
{
	for (unsigned i = 0; strays && i < strays->count; i++)
		drop(strays, &strays->ios[i]);
	free(strays);
	return NULL;
}
