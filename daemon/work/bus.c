/* SPDX-License-Identifier: Apache-2.0 */
#include "bus_internal.h"

#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

/* The connection to the bus: opened, processed by the loop, opened again after it was lost. */

/* Until the next attempt on a bus that is not there. */
#define REOPEN_S 0.5

/* Messages handled in one turn of the loop. */
#define MESSAGES_MAX 32

#define SYSTEMD_OWNER                                                                              \
	"type='signal',sender='org.freedesktop.DBus',path='/org/freedesktop/DBus',"                \
	"interface='org.freedesktop.DBus',member='NameOwnerChanged',arg0='" SYSTEMD "'"

static void close_bus(struct bus *b, int error);

/* -- properties -- */

int bus_get(struct bus *b, const char *unit, const char *interface, const char *property,
	    sd_bus_message_handler_t handler, void *userdata, sd_bus_slot **ret_slot)
{
	char *path;
	int r = sd_bus_path_encode(SYSTEMD_UNITS, unit, &path);

	if (r < 0)
		return r;
	r = sd_bus_call_method_async(b->bus, ret_slot, SYSTEMD, path, PROPERTIES, "Get", handler,
				     userdata, "ss", interface, property);
	free(path);
	return r;
}

/* -- the connection -- */

static int subscribe(struct bus *b)
{
	return sd_bus_call_method_async(b->bus, NULL, SYSTEMD, MANAGER_PATH, MANAGER, "Subscribe",
					NULL, NULL, NULL);
}

/*
 * systemd is on the bus again, and knows nothing of its subscribers: what it has told nobody meanwhile is asked for. A start
 * of what is up by now is answered at once.
 */
static int on_systemd(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
	struct bus *b = userdata;
	const char *name, *before, *now;

	if (sd_bus_message_read(message, "sss", &name, &before, &now) < 0 || !*now)
		return 0;
	b->manager_since_us = (uint64_t)time_monotonic_us();
	bus_expect(b, subscribe(b));
	bus_look(b);
	if (b->job == JOB_STOP && b->unit_asked)
		bus_survey(b);
	else if (b->job == JOB_START && b->unit_asked)
		bus_job_call(b, "StartUnit", b->unit);
	else if (b->job == JOB_GUARD && *b->job_path)
		bus_job_call(b, "StartUnit", b->guard); /* not anew: it may run by now */
	return 0;
}

static int open_bus(struct bus *b)
{
	int r = sd_bus_open_system(&b->bus);

	if (r < 0)
		return r;
	b->manager_since_us = (uint64_t)time_monotonic_us();
	r = sd_bus_match_signal_async(b->bus, NULL, SYSTEMD, MANAGER_PATH, MANAGER, "JobRemoved",
				      bus_on_job_removed, NULL, b);
	if (r >= 0)
		r = sd_bus_add_match_async(b->bus, NULL, SYSTEMD_OWNER, on_systemd, NULL, b);
	if (r >= 0)
		r = subscribe(b);
	if (r >= 0)
		r = bus_watch_open(b);
	return r < 0 ? r : 0;
}

static void try_open(struct bus *b)
{
	int r = open_bus(b);

	if (r < 0)
		close_bus(b, r);
	else if (b->job == JOB_NONE)
		bus_look_for_guard(b, NULL);
	else if (b->job == JOB_START)
		bus_job_call(b, "StartUnit", b->unit);
	if (b->bus && b->job == JOB_NONE && b->ours)
		bus_survey(b);
}

static void forget_calls(struct bus *b)
{
	b->call_slot = sd_bus_slot_unref(b->call_slot);
	b->looking = b->look_again = b->stale = false;
	b->n_asked = 0;
	b->job_path[0] = '\0';
}

static void close_bus(struct bus *b, int error)
{
	ev_io_stop(b->loop, &b->io);
	forget_calls(b);
	bus_watch_forget(b);
	b->bus = sd_bus_close_unref(b->bus);
	ev_timer_set(&b->reopen, REOPEN_S, 0.);
	ev_timer_start(b->loop, &b->reopen);
	if (!b->failing)
		b->on_link(b->userdata, strerror(-error));
	b->failing = true;
}

static void on_reopen(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct bus *b = timer->data;

	/*
	 * A job that the connection did not carry to its end: its result will never be told. A start that was under way goes
	 * on, though: asked for again, it is the same job, or done.
	 */
	if (b->job != JOB_NONE && !b->call_slot && !b->looking &&
	    !(b->job == JOB_START && b->unit_asked))
		bus_job_over(b, false, BUS_NO_CONNECTION);
	if (!b->bus)
		try_open(b);
}

static void process(struct bus *b)
{
	int r = 1;

	for (int i = 0; b->bus && r > 0 && i < MESSAGES_MAX; i++)
		r = sd_bus_process(b->bus, NULL);
	if (b->bus && r < 0)
		close_bus(b, r);
}

static void on_io(struct ev_loop *loop, ev_io *io, int events)
{
	process(io->data);
}

static void on_timer(struct ev_loop *loop, ev_timer *timer, int events)
{
	process(timer->data);
}

/* Microseconds from now until sd-bus wants to be called; -1: not by time. */
static int64_t wait_us(const struct bus *b)
{
	uint64_t until_us;
	int64_t us;

	if (sd_bus_get_timeout(b->bus, &until_us) < 0 || until_us == UINT64_MAX)
		return -1;
	us = (int64_t)until_us - time_monotonic_us();
	return us > 0 ? us : 0;
}

/* Only when something changed: each call costs a system call in every turn of the loop. */
static void watch_fd(struct bus *b, int fd, int events)
{
	if (ev_is_active(&b->io) && b->io.fd == fd && b->watched == events)
		return;
	ev_io_stop(b->loop, &b->io);
	ev_io_set(&b->io, fd, events);
	ev_io_start(b->loop, &b->io);
	b->watched = events;
}

static void on_prepare(struct ev_loop *loop, ev_prepare *prepare, int events)
{
	struct bus *b = prepare->data;
	int wanted, fd;
	int64_t us;

	ev_timer_stop(loop, &b->timer);
	if (!b->bus)
		return;
	fd = sd_bus_get_fd(b->bus);
	wanted = sd_bus_get_events(b->bus);
	if (fd < 0 || wanted < 0)
		return;
	watch_fd(b, fd, (wanted & POLLIN ? EV_READ : 0) | (wanted & POLLOUT ? EV_WRITE : 0));
	us = wait_us(b);
	if (us < 0)
		return;
	ev_timer_set(&b->timer, (double)us / 1e6, 0.);
	ev_timer_start(loop, &b->timer);
}

/* -- life -- */

int bus_create(struct ev_loop *loop, const struct bus_options *options, struct bus **ret_bus)
{
	struct bus *b = calloc(1, sizeof(*b));

	if (!b)
		return -ENOMEM;
	b->loop = loop;
	b->on_down = options->on_down;
	b->on_link = options->on_link;
	b->on_foreign = options->on_foreign;
	b->on_wait = options->on_wait;
	b->userdata = options->userdata;
	snprintf(b->unit, sizeof(b->unit), "%s", options->unit);
	unit_guard_name(options->runtime_directory, b->guard);
	bus_parts_reset(&b->parts, b, b->unit);
	ev_prepare_init(&b->prepare, on_prepare);
	ev_init(&b->io, on_io);
	ev_init(&b->timer, on_timer);
	ev_timer_init(&b->reopen, on_reopen, 0., 0.);
	ev_timer_init(&b->look, bus_on_look, LOOK_S, LOOK_S);
	b->prepare.data = b->io.data = b->timer.data = b->reopen.data = b->look.data = b;
	ev_prepare_start(loop, &b->prepare);
	/* At once, for the first stop; what goes wrong is told from the loop, by the next attempt. */
	if (open_bus(b) < 0) {
		bus_watch_forget(b);
		b->bus = sd_bus_close_unref(b->bus);
		ev_timer_start(loop, &b->reopen);
	} else {
		bus_look_for_guard(b, NULL);
	}
	*ret_bus = b;
	return 0;
}

bool bus_system_stops(const struct bus *bus)
{
	return bus->system_stops;
}

void bus_is_ours(struct bus *bus)
{
	bus->ours = true;
	bus_survey(bus);
}

struct bus *bus_destroy(struct bus *bus)
{
	if (!bus)
		return NULL;
	ev_prepare_stop(bus->loop, &bus->prepare);
	ev_io_stop(bus->loop, &bus->io);
	ev_timer_stop(bus->loop, &bus->timer);
	ev_timer_stop(bus->loop, &bus->reopen);
	ev_timer_stop(bus->loop, &bus->look);
	sd_bus_slot_unref(bus->call_slot);
	bus_watch_forget(bus);
	sd_bus_close_unref(bus->bus);
	free(bus);
	return NULL;
}
