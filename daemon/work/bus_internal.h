/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Shared by the bus' files only, which are the only ones of the daemon that know sd-bus. */

#include <ev.h>
#include <systemd/sd-bus.h>

#include "base/unit_call.h"
#include "bus.h"

#define SYSTEMD "org.freedesktop.systemd1"
#define MANAGER_PATH "/org/freedesktop/systemd1"
#define MANAGER SYSTEMD ".Manager"
#define UNIT SYSTEMD ".Unit"
#define SYSTEMD_UNITS MANAGER_PATH "/unit"
#define PROPERTIES "org.freedesktop.DBus.Properties"

/* While a stop is not over: between two looks, beside those that systemd's signals cause. */
#define LOOK_S 0.1

/* A stop that takes longer than that is late enough to say what it waits for, and again after as long. */
#define TELL_S 1.0

/* Parts that are asked about at a time, with up to seven calls each: dbus-daemon lets 128 wait for their answers. */
#define BUS_ASKED_MAX 16

#define BUS_NO_CONNECTION "no connection to the system bus"

enum bus_job { JOB_NONE, JOB_GUARD, JOB_START, JOB_STOP };

struct bus;

/* What the unit requires, and is bound to; without the guard. One that requires more than that cannot be watched. */
#define BUS_NEEDED_MAX 256

struct bus_needed {
	char names[BUS_NEEDED_MAX][BUS_UNIT_SIZE];
	sd_bus_slot *slots[BUS_NEEDED_MAX]; /* of the match for its signals */
	size_t n;
	bool cut;     /* it requires more than that */
	bool unheard; /* systemd did not say: asked again */
};

/* failure: why it is not known, or that it is another daemon's; NULL: see bus.bound. */
typedef void (*bus_guard_fn)(struct bus *b, const char *failure);

struct bus {
	struct ev_loop *loop;
	sd_bus *bus;
	ev_prepare prepare;
	ev_io io;
	int watched; /* events of io */
	ev_timer timer, reopen, look;
	char unit[BUS_UNIT_SIZE];
	char guard[UNIT_GUARD_SIZE]; /* of this daemon */
	bus_guard_fn then;	     /* once it is known whether the unit is bound to it */
	bool vetted;		     /* that was asked once */
	bool bound;
	bool ours; /* the unit is this daemon's, whoever guards it */

	bus_down_fn on_down;
	bus_foreign_fn on_foreign;
	bus_link_fn on_link;
	bus_wait_fn on_wait;
	void *userdata;
	bool failing; /* on_link was told */
	bool system_stops;

	enum bus_job job;
	bus_job_fn done;
	sd_bus_slot *call_slot; /* of the job's present call */
	char job_path[128];	/* systemd's job that is waited for; "": none */
	bool unit_asked;	/* StartUnit or StopUnit was sent for the present job */

	struct bus_needed needed;
	struct bus_parts parts;
	size_t left_next;	      /* the part that is asked next what is left of it */
	unsigned n_asked;	      /* answers of the survey that are outstanding */
	ev_tstamp tell_at;	      /* when it is next said what the stop waits for */
	bool looking;		      /* a survey is under way */
	bool seen;		      /* it was told what state the parts are in */
	bool guard_asked;	      /* for what is bound to it, in this survey */
	bool unheard;		      /* what depends on a part was not told: it may be up */
	bool guard_stopped;	      /* told to end in this stop: only what is apart is left */
	bool look_again;	      /* something changed meanwhile */
	bool stale;		      /* the survey under way is of a stop that is over */
	char refused[BUS_TEXT_SIZE];  /* why StopUnit failed; "": it did not */
	char obstacle[BUS_TEXT_SIZE]; /* what the stop waits for */
	bool killing, killer_asked;
	bool has_processes; /* of the work, as far as this look has found */
	uint64_t loaded_us; /* CLOCK_MONOTONIC: when systemd has last read its unit files */
	uint64_t
		manager_since_us; /* CLOCK_MONOTONIC: since when it is known that it is the same process */
};

/* bus.c */

/* Asks for a property of a unit. Returns < 0 when that could not be sent. */
int bus_get(struct bus *b, const char *unit, const char *interface, const char *property,
	    sd_bus_message_handler_t handler, void *userdata, sd_bus_slot **ret_slot);

/* bus_list.c */

struct bus_list {
	sd_bus_message *message;
	int error; /* < 0: of the first step that failed; the later ones do nothing */
};

/* In the memory of the answer. active: ActiveState; job: "start" ...; "": none. */
struct bus_row {
	const char *name, *active, *job;
};

/* The question how several units are: begin, add each of them, send. */
void bus_list_begin(struct bus *b, struct bus_list *ret_list);
void bus_list_add(struct bus_list *list, const char *unit);
/* Frees the list in any case. The handler gets b. Returns < 0 when it could not be built or sent. */
int bus_list_send(struct bus *b, struct bus_list *list, sd_bus_message_handler_t handler);

/* The answer, from within its handler: false if it is an error; then row by row, false after the last one. */
bool bus_list_read(sd_bus_message *message);
bool bus_list_read_row(sd_bus_message *message, struct bus_row *ret_row);

/* bus_job.c */

/* The one that was under way is forgotten; nobody is told. */
void bus_job_begin(struct bus *b, enum bus_job job, bus_job_fn done);
void bus_job_end(struct bus *b);
/* As bus_job_end(), and its caller is told. */
void bus_job_over(struct bus *b, bool ok, const char *text);

/* A method of the manager that makes a job, for the job under way. */
void bus_job_call(struct bus *b, const char *method, const char *unit);

/* r < 0: a call of the job could not even be sent; it fails, but from the loop. */
void bus_expect(struct bus *b, int r);

int bus_on_job_removed(sd_bus_message *message, void *userdata, sd_bus_error *error);

/* The text of an error; untouched: it is none. */
void bus_failure(sd_bus_message *message, char text[BUS_TEXT_SIZE]);

/* bus_guard.c */

/* For the job under way, or for none: asks what the unit is bound to, and whose that is, as b->call_slot. */
void bus_look_for_guard(struct bus *b, bus_guard_fn then);

/* bus_watch.c */

/* A new connection: watches the unit, and what it requires, and asks how they are. Returns < 0 if that could not be sent. */
int bus_watch_open(struct bus *b);
void bus_watch_forget(struct bus *b);
/* Asks again what the unit requires, if systemd did not say. */
void bus_watch_look_again(struct bus *b);

/* bus_stop.c */

/* Looks how far the stop has come, or notes what belongs to the work; when one is under way, once more after it. */
void bus_survey(struct bus *b);
void bus_on_look(struct ev_loop *loop, ev_timer *timer, int events);
/* Starts the service that kills every process of the unit and of what belongs to it. */
void bus_ask_killer(struct bus *b);
/* The questions below are answered: b->obstacle is what is left, or "". */
void bus_left_known(struct bus *b);

/* bus_left.c; bus_left_known() follows both. */

/* All parts are inactive or failed: which processes are left, and whether the clean-up failed. */
void bus_left_ask(struct bus *b);
/* What that part, which is not down, waits for. */
void bus_left_ask_blocker(struct bus *b, struct bus_part *part);
