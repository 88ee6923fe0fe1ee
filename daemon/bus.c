/* SPDX-License-Identifier: Apache-2.0 */
#include "bus.h"

#include <assert.h>
#include <errno.h>
#include <ev.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-bus.h>
#include <time.h>

#define SYSTEMD "org.freedesktop.systemd1"
#define MANAGER_PATH "/org/freedesktop/systemd1"
#define MANAGER SYSTEMD ".Manager"
#define UNIT SYSTEMD ".Unit"

/* Until the next attempt on a bus that is not there. */
#define REOPEN_S 0.5

/* Messages handled in one turn of the loop. */
#define MESSAGES_MAX 32

struct bus {
	struct ev_loop *loop;
	sd_bus *bus;
	ev_prepare prepare;
	ev_io io;
	ev_timer timer, reopen;
	char unit[BUS_UNIT_SIZE];
	char *unit_path;
	bus_state_fn on_state;
	bus_link_fn on_link;
	void *userdata;
	bool failing; /* on_link was told */
	char state[32];

	sd_bus_slot *call_slot; /* StartUnit or StopUnit under way */
	bus_job_fn done;
	bool stopping;
	char job[128]; /* object path, "": not told yet */
};

static void close_bus(struct bus *b, int error);

/* -- jobs -- */

static void job_over(struct bus *b, bool ok, const char *text)
{
	bus_job_fn done = b->done;

	b->call_slot = sd_bus_slot_unref(b->call_slot);
	b->done = NULL;
	b->job[0] = '\0';
	if (done)
		done(b->userdata, ok, text);
}

static int on_job_reply(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
	struct bus *b = userdata;
	const sd_bus_error *failure = sd_bus_message_get_error(message);
	const char *path;

	(void)error;
	if (failure && b->stopping && sd_bus_error_has_name(failure, SYSTEMD ".NoSuchUnit")) {
		job_over(b, true, "not loaded");
		return 0;
	}
	if (failure) {
		char text[BUS_TEXT_SIZE];

		snprintf(text, sizeof(text), "%s",
			 failure->message ? failure->message : failure->name);
		job_over(b, false, text);
		return 0;
	}
	if (sd_bus_message_read(message, "o", &path) >= 0)
		snprintf(b->job, sizeof(b->job), "%s", path);
	return 0;
}

static int on_job_removed(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
	struct bus *b = userdata;
	const char *path, *unit, *result;
	uint32_t id;

	(void)error;
	if (sd_bus_message_read(message, "uoss", &id, &path, &unit, &result) < 0)
		return 0;
	if (*b->job && !strcmp(path, b->job))
		job_over(b, !strcmp(result, "done"), result);
	return 0;
}

static void run_job(struct bus *b, const char *method, bool stopping, bus_job_fn done)
{
	int r = -ENOTCONN;

	b->call_slot = sd_bus_slot_unref(b->call_slot);
	b->job[0] = '\0';
	b->done = done;
	b->stopping = stopping;
	if (b->bus)
		r = sd_bus_call_method_async(b->bus, &b->call_slot, SYSTEMD, MANAGER_PATH, MANAGER,
					     method, on_job_reply, b, "ss", b->unit, "replace");
	if (r < 0)
		ev_timer_start(b->loop, &b->reopen); /* told from the loop, see on_reopen() */
}

void bus_start_unit(struct bus *bus, bus_job_fn done)
{
	run_job(bus, "StartUnit", false, done);
}

void bus_stop_unit(struct bus *bus, bus_job_fn done)
{
	run_job(bus, "StopUnit", true, done);
}

/* -- killing -- */

static void kill_one(struct bus *b, const char *unit)
{
	(void)sd_bus_call_method_async(b->bus, NULL, SYSTEMD, MANAGER_PATH, MANAGER, "KillUnit",
				       NULL, NULL, "ssi", unit, "all", SIGKILL);
}

/* The units that are part of it: a target has no processes of its own. */
static int on_parts(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
	struct bus *b = userdata;
	const char *unit;

	(void)error;
	if (sd_bus_message_is_method_error(message, NULL) ||
	    sd_bus_message_enter_container(message, 'v', "as") < 0 ||
	    sd_bus_message_enter_container(message, 'a', "s") < 0)
		return 0;
	while (sd_bus_message_read(message, "s", &unit) > 0)
		kill_one(b, unit);
	return 0;
}

void bus_kill_unit(struct bus *bus)
{
	if (!bus->bus)
		return;
	kill_one(bus, bus->unit);
	(void)sd_bus_call_method_async(bus->bus, NULL, SYSTEMD, bus->unit_path,
				       "org.freedesktop.DBus.Properties", "Get", on_parts, bus,
				       "ss", UNIT, "ConsistsOf");
}

/* -- state -- */

static void tell_state(struct bus *b, const char *state)
{
	if (!strcmp(b->state, state))
		return;
	snprintf(b->state, sizeof(b->state), "%s", state);
	b->on_state(b->userdata, b->state);
}

static int on_state_read(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
	const char *state;

	(void)error;
	if (!sd_bus_message_is_method_error(message, NULL) &&
	    sd_bus_message_read(message, "v", "s", &state) >= 0)
		tell_state(userdata, state);
	return 0;
}

static void read_state(struct bus *b)
{
	(void)sd_bus_call_method_async(b->bus, NULL, SYSTEMD, b->unit_path,
				       "org.freedesktop.DBus.Properties", "Get", on_state_read, b,
				       "ss", UNIT, "ActiveState");
}

/* Which properties changed does not matter: the one that does is read. */
static int on_properties(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
	struct bus *b = userdata;
	const char *interface;

	(void)error;
	if (sd_bus_message_read(message, "s", &interface) >= 0 && !strcmp(interface, UNIT))
		read_state(b);
	return 0;
}

/* -- the connection -- */

static int open_bus(struct bus *b)
{
	int r = sd_bus_open_system(&b->bus);

	if (r < 0)
		return r;
	r = sd_bus_match_signal_async(b->bus, NULL, SYSTEMD, MANAGER_PATH, MANAGER, "JobRemoved",
				      on_job_removed, NULL, b);
	if (r >= 0)
		r = sd_bus_match_signal_async(b->bus, NULL, SYSTEMD, b->unit_path,
					      "org.freedesktop.DBus.Properties",
					      "PropertiesChanged", on_properties, NULL, b);
	if (r >= 0)
		r = sd_bus_call_method_async(b->bus, NULL, SYSTEMD, MANAGER_PATH, MANAGER,
					     "Subscribe", NULL, NULL, NULL);
	if (r >= 0)
		read_state(b);
	return r < 0 ? r : 0;
}

static void try_open(struct bus *b)
{
	int r = open_bus(b);

	if (r < 0) {
		close_bus(b, r);
		return;
	}
	if (b->failing)
		b->on_link(b->userdata, NULL);
	b->failing = false;
}

static void close_bus(struct bus *b, int error)
{
	ev_io_stop(b->loop, &b->io);
	b->call_slot = sd_bus_slot_unref(b->call_slot);
	b->bus = sd_bus_close_unref(b->bus);
	b->state[0] = '\0';
	ev_timer_set(&b->reopen, REOPEN_S, 0.);
	ev_timer_start(b->loop, &b->reopen);
	if (!b->failing)
		b->on_link(b->userdata, strerror(-error));
	b->failing = true;
}

static void on_reopen(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct bus *b = timer->data;

	(void)loop;
	(void)events;
	/* A job that the old connection did not carry to its end: its result will never be told. */
	if (b->done && !b->call_slot)
		job_over(b, false, "no connection to the system bus");
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
	(void)loop;
	(void)events;
	process(io->data);
}

static void on_timer(struct ev_loop *loop, ev_timer *timer, int events)
{
	(void)loop;
	(void)events;
	process(timer->data);
}

/* Microseconds from now until sd-bus wants to be called; -1: not by time. */
static int64_t wait_us(const struct bus *b)
{
	struct timespec now;
	uint64_t until_us;
	int64_t us;

	if (sd_bus_get_timeout(b->bus, &until_us) < 0 || until_us == UINT64_MAX)
		return -1;
	clock_gettime(CLOCK_MONOTONIC, &now);
	us = (int64_t)until_us - (now.tv_sec * INT64_C(1000000) + now.tv_nsec / 1000);
	return us > 0 ? us : 0;
}

static void on_prepare(struct ev_loop *loop, ev_prepare *prepare, int events)
{
	struct bus *b = prepare->data;
	int wanted, fd;
	int64_t us;

	(void)events;
	ev_io_stop(loop, &b->io);
	ev_timer_stop(loop, &b->timer);
	if (!b->bus)
		return;
	fd = sd_bus_get_fd(b->bus);
	wanted = sd_bus_get_events(b->bus);
	if (fd < 0 || wanted < 0)
		return;
	ev_io_set(&b->io, fd, (wanted & POLLIN ? EV_READ : 0) | (wanted & POLLOUT ? EV_WRITE : 0));
	ev_io_start(loop, &b->io);
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
	b->on_state = options->on_state;
	b->on_link = options->on_link;
	b->userdata = options->userdata;
	snprintf(b->unit, sizeof(b->unit), "%s", options->unit);
	if (sd_bus_path_encode("/org/freedesktop/systemd1/unit", b->unit, &b->unit_path) < 0) {
		free(b);
		return -ENOMEM;
	}
	ev_prepare_init(&b->prepare, on_prepare);
	ev_init(&b->io, on_io);
	ev_init(&b->timer, on_timer);
	ev_timer_init(&b->reopen, on_reopen, 0., 0.);
	b->prepare.data = b->io.data = b->timer.data = b->reopen.data = b;
	ev_prepare_start(loop, &b->prepare);
	ev_timer_start(loop, &b->reopen);
	*ret_bus = b;
	return 0;
}

struct bus *bus_destroy(struct bus *bus)
{
	if (!bus)
		return NULL;
	ev_prepare_stop(bus->loop, &bus->prepare);
	ev_io_stop(bus->loop, &bus->io);
	ev_timer_stop(bus->loop, &bus->timer);
	ev_timer_stop(bus->loop, &bus->reopen);
	sd_bus_slot_unref(bus->call_slot);
	sd_bus_close_unref(bus->bus);
	free(bus->unit_path);
	free(bus);
	return NULL;
}

const char *bus_active_state(const struct bus *bus)
{
	return bus->state;
}
