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
#define PROPERTIES "org.freedesktop.DBus.Properties"

/* Until the next attempt on a bus that is not there. */
#define REOPEN_S 0.5

/* While a stop is not over: between two looks, beside those that systemd's signals cause. */
#define LOOK_S 0.1

/* Messages handled in one turn of the loop. */
#define MESSAGES_MAX 32

/* JOB_PREPARE: the guard alone, for a start that is to come. */
enum job { JOB_NONE, JOB_PREPARE, JOB_START, JOB_STOP };

struct bus {
	struct ev_loop *loop;
	sd_bus *bus;
	ev_prepare prepare;
	ev_io io;
	int watched; /* events of io */
	ev_timer timer, reopen, look;
	char unit[BUS_UNIT_SIZE];
	char guard[BUS_UNIT_SIZE]; /* "": not known */
	char *unit_path;
	bus_state_fn on_state;
	bus_link_fn on_link;
	void *userdata;
	bool failing; /* on_link was told */
	char state[32];

	enum job job;
	bus_job_fn done;
	sd_bus_slot *call_slot; /* of the job's present call */
	bool guard_ready;	/* started for this watch, and not told to stop since */
	char job_path[128];	/* systemd's job that is waited for; "": none */
	bool unit_asked; /* start: the guard runs, the unit is on its way; stop: StopUnit was sent */

	struct bus_parts parts;
	unsigned n_asked;	     /* answers of the survey that are outstanding */
	bool looking;		     /* a survey is under way */
	bool look_again;	     /* something changed meanwhile */
	char refused[BUS_TEXT_SIZE]; /* why StopUnit failed; "": it did not */
	bool killing, killer_asked;
};

static void close_bus(struct bus *b, int error);
static void survey(struct bus *b);

/* -- one job at a time -- */

static void end_job(struct bus *b)
{
	b->call_slot = sd_bus_slot_unref(b->call_slot);
	b->job = JOB_NONE;
	b->done = NULL;
	b->job_path[0] = '\0';
	ev_timer_stop(b->loop, &b->look);
}

static void job_over(struct bus *b, bool ok, const char *text)
{
	bus_job_fn done = b->done;

	end_job(b);
	if (done)
		done(b->userdata, ok, text);
}

static void begin_job(struct bus *b, enum job job, bus_job_fn done)
{
	end_job(b);
	b->job = job;
	b->done = done;
	b->unit_asked = false;
	b->refused[0] = '\0';
	b->killing = b->killer_asked = false;
}

/* A call that could not even be sent: told from the loop, see on_reopen(). */
static void expect(struct bus *b, int r)
{
	if (r >= 0)
		return;
	b->call_slot = sd_bus_slot_unref(b->call_slot);
	ev_timer_start(b->loop, &b->reopen);
}

static const char *failure_of(sd_bus_message *message)
{
	const sd_bus_error *error = sd_bus_message_get_error(message);

	if (!error)
		return NULL;
	return error->message ? error->message : error->name;
}

static int on_job_queued(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
	struct bus *b = userdata;
	const char *failure = failure_of(message);
	char text[BUS_TEXT_SIZE];
	const char *path;

	(void)error;
	if (!failure) {
		if (sd_bus_message_read(message, "o", &path) >= 0)
			snprintf(b->job_path, sizeof(b->job_path), "%s", path);
		return 0;
	}
	if (b->job == JOB_STOP) {
		/* What counts is whether it is down: it may not even exist, or be gone already. */
		if (!sd_bus_error_has_name(sd_bus_message_get_error(message),
					   SYSTEMD ".NoSuchUnit"))
			snprintf(b->refused, sizeof(b->refused), "%.300s", failure);
		survey(b);
		return 0;
	}
	snprintf(text, sizeof(text), "%s%.300s", b->unit_asked ? "" : "guard: ", failure);
	job_over(b, false, text);
	return 0;
}

static void call_job(struct bus *b, const char *method, const char *unit)
{
	b->job_path[0] = '\0';
	b->call_slot = sd_bus_slot_unref(b->call_slot);
	expect(b, sd_bus_call_method_async(b->bus, &b->call_slot, SYSTEMD, MANAGER_PATH, MANAGER,
					   method, on_job_queued, b, "ss", unit, "replace"));
}

static void start_unit(struct bus *b)
{
	b->unit_asked = true;
	call_job(b, "StartUnit", b->unit);
}

static void own_job_removed(struct bus *b, const char *result)
{
	char text[BUS_TEXT_SIZE];
	bool ok = !strcmp(result, "done");

	b->job_path[0] = '\0';
	if (b->job == JOB_STOP) {
		if (!ok)
			snprintf(b->refused, sizeof(b->refused), "job %s", result);
		survey(b);
	} else if (ok && !b->unit_asked) {
		b->guard_ready = true;
		if (b->job == JOB_START)
			start_unit(b);
		else
			job_over(b, true, result);
	} else {
		snprintf(text, sizeof(text), "%s%s", b->unit_asked ? "" : "guard: ", result);
		job_over(b, ok, text);
	}
}

static int on_job_removed(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
	struct bus *b = userdata;
	const char *path, *unit, *result;
	uint32_t id;

	(void)error;
	if (sd_bus_message_read(message, "uoss", &id, &path, &unit, &result) < 0)
		return 0;
	if (*b->job_path && !strcmp(path, b->job_path))
		own_job_removed(b, result);
	else if (b->job == JOB_STOP && b->unit_asked && bus_parts_has(&b->parts, unit))
		survey(b);
	return 0;
}

/* -- properties that are lists of units -- */

static int get_property(struct bus *b, const char *unit, const char *property,
			sd_bus_message_handler_t handler, sd_bus_slot **ret_slot)
{
	char *path;
	int r = sd_bus_path_encode("/org/freedesktop/systemd1/unit", unit, &path);

	if (r < 0)
		return r;
	r = sd_bus_call_method_async(b->bus, ret_slot, SYSTEMD, path, PROPERTIES, "Get", handler, b,
				     "ss", UNIT, property);
	free(path);
	return r;
}

/* Ready for sd_bus_message_read(message, "s", ...) > 0; false: an error, or nothing of that kind. */
static bool enter_list(sd_bus_message *message)
{
	return !sd_bus_message_is_method_error(message, NULL) &&
	       sd_bus_message_enter_container(message, 'v', "as") > 0 &&
	       sd_bus_message_enter_container(message, 'a', "s") > 0;
}

static void remember_guard(struct bus *b, sd_bus_message *message)
{
	const char *unit;

	if (!enter_list(message))
		return;
	b->guard[0] = '\0';
	while (sd_bus_message_read(message, "s", &unit) > 0)
		if (!strncmp(unit, BUS_GUARD_PREFIX, strlen(BUS_GUARD_PREFIX)))
			snprintf(b->guard, sizeof(b->guard), "%s", unit);
}

static int on_guard_told(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
	(void)error;
	remember_guard(userdata, message);
	return 0;
}

/* -- start -- */

static int on_guard_found(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
	struct bus *b = userdata;
	const char *failure = failure_of(message);
	char text[BUS_TEXT_SIZE];

	(void)error;
	remember_guard(b, message);
	if (!failure && *b->guard) {
		/* Anew: one of a former watch, that has not seen yet that it is over, is not ours. */
		call_job(b, "RestartUnit", b->guard);
		return 0;
	}
	if (failure)
		snprintf(text, sizeof(text), "%.300s", failure);
	else
		snprintf(text, sizeof(text),
			 "not bound to a guard (add BindsTo=%s.service and After=%s.service to it)",
			 BUS_GUARD_PREFIX, BUS_GUARD_PREFIX);
	job_over(b, false, text);
	return 0;
}

static void start_guard(struct bus *b)
{
	expect(b, b->bus ? get_property(b, b->unit, "BindsTo", on_guard_found, &b->call_slot)
			 : -ENOTCONN);
}

void bus_prepare_start(struct bus *bus)
{
	if (bus->job != JOB_NONE || bus->guard_ready || !bus->bus)
		return;
	begin_job(bus, JOB_PREPARE, NULL);
	start_guard(bus);
}

bool bus_is_prepared(const struct bus *bus)
{
	return bus->guard_ready || bus->job == JOB_PREPARE;
}

void bus_start_unit(struct bus *bus, bus_job_fn done)
{
	if (bus->job == JOB_PREPARE) {
		bus->job = JOB_START; /* goes on where that is */
		bus->done = done;
		return;
	}
	begin_job(bus, JOB_START, done);
	if (bus->bus && bus->guard_ready)
		start_unit(bus);
	else
		start_guard(bus);
}

/* -- killing -- */

static void ask_killer(struct bus *b)
{
	char name[BUS_UNIT_SIZE + sizeof(BUS_KILLER) + 16];

	if (b->killer_asked || !b->bus)
		return;
	b->killer_asked = true;
	snprintf(name, sizeof(name), "%s@%s.service", BUS_KILLER, b->unit);
	(void)sd_bus_call_method_async(b->bus, NULL, SYSTEMD, MANAGER_PATH, MANAGER, "StartUnit",
				       NULL, NULL, "ss", name, "replace");
}

static int on_killed(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
	const sd_bus_error *failure = sd_bus_message_get_error(message);

	(void)error;
	if (failure &&
	    (sd_bus_error_has_name(failure, SD_BUS_ERROR_ACCESS_DENIED) ||
	     sd_bus_error_has_name(failure, SD_BUS_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED)))
		ask_killer(userdata);
	return 0;
}

/* Each part once: what systemd runs afterwards to clean up (ExecStopPost=) must be let. */
static void kill_parts(struct bus *b)
{
	for (size_t i = 0; i < b->parts.n; i++) {
		struct bus_part *part = &b->parts.list[i];

		if (part->killed || !part->up)
			continue;
		part->killed = true;
		(void)sd_bus_call_method_async(b->bus, NULL, SYSTEMD, MANAGER_PATH, MANAGER,
					       "KillUnit", on_killed, b, "ssi", part->name, "all",
					       SIGKILL);
	}
}

void bus_kill_unit(struct bus *bus)
{
	bus->killing = true;
	bus->killer_asked = false;
	for (size_t i = 0; i < bus->parts.n; i++)
		bus->parts.list[i].killed = false;
	if (bus->bus)
		kill_parts(bus);
}

/* -- stop: what hangs on it, the job, and then looks until all of it is down -- */

static void survey_over(struct bus *b);

static int on_dependents(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
	struct bus *b = userdata;
	const char *unit;

	(void)error;
	if (enter_list(message))
		while (sd_bus_message_read(message, "s", &unit) > 0)
			bus_parts_add(&b->parts, unit);
	b->n_asked--;
	survey_over(b);
	return 0;
}

/* Asks for the dependents of everything found so far; goes on when no answer is outstanding. */
static void ask_dependents(struct bus *b)
{
	static const char *const properties[] = { "ConsistsOf", "BoundBy", "RequiredBy" };
	struct bus_part *part;

	while ((part = bus_parts_next(&b->parts)))
		for (size_t i = 0; i < sizeof(properties) / sizeof(properties[0]); i++)
			if (get_property(b, part->name, properties[i], on_dependents, NULL) >= 0)
				b->n_asked++;
}

static int on_states(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
	struct bus *b = userdata;
	const char *name, *active, *skip;
	const struct bus_part *up;
	uint32_t id;

	(void)error;
	b->looking = false;
	if (b->job != JOB_STOP)
		return 0;
	if (sd_bus_message_is_method_error(message, NULL) ||
	    sd_bus_message_enter_container(message, 'a', "(ssssssouso)") <= 0)
		return 0;
	while (sd_bus_message_read(message, "(ssssssouso)", &name, &skip, &skip, &active, &skip,
				   &skip, &skip, &id, &skip, &skip) > 0)
		bus_parts_set_state(&b->parts, name, active);
	up = bus_parts_up(&b->parts);
	if (!up) {
		job_over(b, true, *b->refused ? "down already" : "done");
	} else if (*b->refused) {
		char text[BUS_TEXT_SIZE];

		snprintf(text, sizeof(text), "%s", b->refused);
		job_over(b, false, text);
	} else {
		if (b->killing)
			kill_parts(b);
		if (b->look_again)
			survey(b);
	}
	return 0;
}

static int ask_states(struct bus *b)
{
	sd_bus_message *message = NULL;
	int r = sd_bus_message_new_method_call(b->bus, &message, SYSTEMD, MANAGER_PATH, MANAGER,
					       "ListUnitsByNames");

	if (r >= 0)
		r = sd_bus_message_open_container(message, 'a', "s");
	for (size_t i = 0; r >= 0 && i < b->parts.n; i++)
		r = sd_bus_message_append(message, "s", b->parts.list[i].name);
	if (r >= 0)
		r = sd_bus_message_close_container(message);
	if (r >= 0)
		r = sd_bus_call_async(b->bus, NULL, message, on_states, b, 0);
	sd_bus_message_unref(message);
	return r;
}

static void survey_over(struct bus *b)
{
	ask_dependents(b);
	if (b->n_asked || b->job != JOB_STOP) {
		b->looking = b->n_asked;
		return;
	}
	if (!b->unit_asked) {
		b->looking = false;
		b->unit_asked = true;
		call_job(b, "StopUnit", b->unit);
	} else if (ask_states(b) < 0) {
		b->looking = false;
	}
}

static void survey(struct bus *b)
{
	if (b->looking || !b->bus) {
		b->look_again = true;
		return;
	}
	b->looking = true;
	b->look_again = false;
	bus_parts_again(&b->parts);
	survey_over(b);
}

static void on_look(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct bus *b = timer->data;

	(void)loop;
	(void)events;
	/* Before that the job's end is what is waited for. */
	if (b->unit_asked && !*b->job_path)
		survey(b);
}

void bus_stop_unit(struct bus *bus, bus_job_fn done)
{
	begin_job(bus, JOB_STOP, done);
	bus_parts_reset(&bus->parts, bus->unit);
	if (!bus->bus) {
		expect(bus, -ENOTCONN);
		return;
	}
	ev_timer_again(bus->loop, &bus->look);
	survey(bus);
}

void bus_stop_guard(struct bus *bus)
{
	bus->guard_ready = false;
	if (bus->job == JOB_PREPARE)
		end_job(bus);
	if (bus->bus && *bus->guard)
		(void)sd_bus_call_method_async(bus->bus, NULL, SYSTEMD, MANAGER_PATH, MANAGER,
					       "StopUnit", NULL, NULL, "ss", bus->guard, "replace");
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
	struct bus *b = userdata;
	const char *state;

	(void)error;
	if (sd_bus_message_is_method_error(message, NULL) ||
	    sd_bus_message_read(message, "v", "s", &state) < 0)
		return 0;
	if (b->failing)
		b->on_link(b->userdata, NULL);
	b->failing = false;
	tell_state(b, state);
	return 0;
}

/* Which properties changed does not matter: the one that does is read. */
static int on_properties(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
	struct bus *b = userdata;
	const char *interface;

	(void)error;
	if (sd_bus_message_read(message, "s", &interface) >= 0 && !strcmp(interface, UNIT))
		(void)get_property(b, b->unit, "ActiveState", on_state_read, NULL);
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
		r = sd_bus_match_signal_async(b->bus, NULL, SYSTEMD, b->unit_path, PROPERTIES,
					      "PropertiesChanged", on_properties, NULL, b);
	if (r >= 0)
		r = sd_bus_call_method_async(b->bus, NULL, SYSTEMD, MANAGER_PATH, MANAGER,
					     "Subscribe", NULL, NULL, NULL);
	if (r >= 0)
		r = get_property(b, b->unit, "BindsTo", on_guard_told, NULL);
	if (r >= 0)
		r = get_property(b, b->unit, "ActiveState", on_state_read, NULL);
	return r < 0 ? r : 0;
}

static void try_open(struct bus *b)
{
	int r = open_bus(b);

	if (r < 0)
		close_bus(b, r);
}

static void forget_calls(struct bus *b)
{
	b->call_slot = sd_bus_slot_unref(b->call_slot);
	b->looking = b->look_again = b->guard_ready = false;
	b->n_asked = 0;
	b->job_path[0] = '\0';
}

static void close_bus(struct bus *b, int error)
{
	ev_io_stop(b->loop, &b->io);
	forget_calls(b);
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
	/* A job that the connection did not carry to its end: its result will never be told. */
	if (b->job != JOB_NONE && !b->call_slot && !b->looking)
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

	(void)events;
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
	b->on_state = options->on_state;
	b->on_link = options->on_link;
	b->userdata = options->userdata;
	snprintf(b->unit, sizeof(b->unit), "%s", options->unit);
	bus_parts_reset(&b->parts, b->unit);
	if (sd_bus_path_encode("/org/freedesktop/systemd1/unit", b->unit, &b->unit_path) < 0) {
		free(b);
		return -ENOMEM;
	}
	ev_prepare_init(&b->prepare, on_prepare);
	ev_init(&b->io, on_io);
	ev_init(&b->timer, on_timer);
	ev_timer_init(&b->reopen, on_reopen, 0., 0.);
	ev_timer_init(&b->look, on_look, LOOK_S, LOOK_S);
	b->prepare.data = b->io.data = b->timer.data = b->reopen.data = b->look.data = b;
	ev_prepare_start(loop, &b->prepare);
	/* At once, for the first stop; what goes wrong is told from the loop, by the next attempt. */
	if (open_bus(b) < 0) {
		b->bus = sd_bus_close_unref(b->bus);
		ev_timer_start(loop, &b->reopen);
	}
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
	ev_timer_stop(bus->loop, &bus->look);
	sd_bus_slot_unref(bus->call_slot);
	sd_bus_close_unref(bus->bus);
	free(bus->unit_path);
	free(bus);
	return NULL;
}
