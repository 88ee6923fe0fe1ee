/* SPDX-License-Identifier: Apache-2.0 */
#include "timer.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

static void on_readable(struct ev_loop *loop, ev_io *io, int revents)
{
	struct timer *timer = io->data;
	uint64_t expirations;

	/* Set anew to a later time while this event was already on its way. */
	if (read(io->fd, &expirations, sizeof(expirations)) != (ssize_t)sizeof(expirations))
		return;
	timer->due_us = 0;
	ev_io_stop(loop, io);
	timer->on_due(timer, timer->userdata);
}

int timer_init(struct timer *timer, struct ev_loop *loop, int priority, timer_fn on_due,
	       void *userdata)
{
	int fd;

	*timer = (struct timer){ .loop = NULL };
	fd = timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK | TFD_CLOEXEC);
	if (fd < 0)
		return -errno;
	timer->loop = loop;
	timer->on_due = on_due;
	timer->userdata = userdata;
	ev_io_init(&timer->io, on_readable, fd, EV_READ);
	ev_set_priority(&timer->io, priority);
	timer->io.data = timer;
	return 0;
}

void timer_set(struct timer *timer, int64_t due_us)
{
	assert(timer->loop != NULL);
	timer->due_us = due_us > 0 ? due_us : 1;
	time_boot_arm(timer->io.fd, due_us);
	ev_io_start(timer->loop, &timer->io);
}

void timer_clear(struct timer *timer)
{
	assert(timer->loop != NULL);
	timer->due_us = 0;
	ev_io_stop(timer->loop, &timer->io);
}

void timer_finish(struct timer *timer)
{
	if (timer->loop == NULL)
		return;
	ev_io_stop(timer->loop, &timer->io);
	(void)close(timer->io.fd);
	memset(timer, 0, sizeof(*timer));
}
