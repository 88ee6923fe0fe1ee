/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Shared by work.c and the two kinds of work: commands.c and units.c. */

#include <ev.h>

#include "base/timer.h"
#include "bus.h"
#include "guard/guard.h"
#include "keeper.h"
#include "script.h"
#include "work.h"

/* One answer an action, and no more than a step's actions at once; what the node says comes between. */
#define WORK_QUEUE_MAX 16

/* What the keeper's actions mean for a kind of work. Each answers with work_answer(), maybe at once. */
struct work_kind {
	int (*init)(struct work *work); /* 0 or -errno */
	void (*finish)(struct work *work);
	void (*resume)(struct work *work); /* it runs */
	void (*begin)(struct work *work);  /* a start is wanted: its time runs */
	void (*arm)(struct work *work);
	void (*disarm)(struct work *work); /* the lease is disarmed */
	void (*wake)(struct work *work);   /* the guard shall look at the lease now */
	void (*start)(struct work *work);
	void (*stop)(struct work *work);
	void (*kill)(struct work *work);
};

extern const struct work_kind work_commands, work_units;

struct work {
	struct work_options options;
	const struct config *config;
	struct lease_file *lease;
	const struct work_kind *kind;

	struct keeper_config keeper_config;
	struct keeper keeper;
	struct keeper_event queue[WORK_QUEUE_MAX];
	unsigned queue_head, queue_length;
	bool stepping;
	struct timer timer;
	int lock; /* -1: not held */
	int64_t epoch;
	char obstacle[WORK_TEXT_SIZE]; /* why the stop did not work last time */
	int64_t stop_since_us;
	int64_t left_since_us; /* what the takeover command left was killed, and is not gone; 0: it is */
	bool killed;	       /* in this stop */
	bool armed;	       /* a guard was asked for, or the previous process left a lease */
	bool lease_is_over; /* units: the guard was told so, and is told nothing else in this watch */

	/* What the next command, or the unit, is told. */
	struct script_facts facts;
	char primary[NAME_SIZE], previous[NAME_SIZE], reason[96];

	/* commands.c */
	struct script takeover, relinquish;
	void (*on_command_started)(struct work *work, bool ok);
	void (*on_command_stopped)(struct work *work, bool ok);
	struct guard *guard; /* NULL: none, or the unit's */
	pid_t group;	     /* of what the takeover command left running; 0: none */

	/* units.c */
	struct bus *bus;
	ev_timer unit_timer; /* bound of the start, or pause before the stop is asked for again */
	bool guard_runs, unit_starting, unit_stopping;
	int64_t unit_since_us; /* begin of the unit's job */

	char failure[BUS_TEXT_SIZE]; /* how the unit went away */
};

/* What stands in the way when it does. */
#define WORK_COMMAND_FAILED "the relinquish command has not ended with 0"

void work_answer(struct work *work, enum keeper_event_type type, bool ok);
void work_emit(struct work *work, enum work_event event);
void work_say_guard(struct work *work, enum event event, const char *text);

/* The commands, as a part of either kind: on_command_started or on_command_stopped follows, maybe at once. */
void commands_init_scripts(struct work *work);
void commands_start(struct work *work, int64_t timeout_us);
void commands_stop(struct work *work);
