/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * One configured command, run for an event of the election: its environment, its time limit, and its output and end as
 * lines of the journal. Only one run at a time: a new run first kills the previous one.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/keys.h"
#include "command.h"
#include "guard/guard.h"
#include "log/log.h"
#include "script_facts.h"

/* How long a command that was told to end may take before it is killed. */
#define SCRIPT_GRACE_US INT64_C(2000000)

/* Longest run of the follow command: it has no bound of its own in the configuration. */
#define SCRIPT_FOLLOW_TIMEOUT_US INT64_C(60000000)

struct script;

typedef void (*script_end_fn)(void *userdata, struct script *script,
			      const struct command_result *result);

struct script {
	struct ev_loop *loop;
	struct log *log;
	const char *name; /* "takeover" ... */
	script_end_fn on_end;
	uint64_t said; /* the hash of the last line of output, in this epoch */
	int64_t epoch;
	void *userdata;
	int64_t not_after_us; /* not begun later than that; 0: no bound. For the next script_run() */
	struct lease_file *lease; /* where the process group of a run is noted; NULL: nowhere */
	enum lease_group group;
	bool heeds_mark; /* see script_heed_mark() */
	enum lease_mark mark;

	struct command *command;
	struct command *before; /* ended or being killed; kept for its leftovers' output */
};

void script_init(struct script *script, struct ev_loop *loop, struct log *log, const char *name,
		 script_end_fn on_end, void *userdata);

/* Kills what runs, without callback. */
void script_finish(struct script *script);

/* Runs it; on_end follows exactly once (from inside only when no process can
 * be made), unless script_cancel() comes first. */
void script_run(struct script *script, char *const *argv, int64_t timeout_us,
		const struct script_facts *facts);

bool script_is_running(const struct script *script);

/* From now on the process group of each run is noted there, by the new process itself. Its end is left to the owner. */
void script_note_group(struct script *script, struct lease_file *lease, enum lease_group group);

/*
 * For a command that the guard may run as well, in its place: a run is not begun if the guard's mark is not what it is now.
 * After script_note_group(), and again whenever the mark has been looked at under the lock of the work.
 */
void script_heed_mark(struct script *script);

/* Ends what runs: its whole process group is killed, there is no callback. */
void script_cancel(struct script *script);

/* Kills the process group now; on_end follows. */
void script_kill(struct script *script);

/* One line of the output of command NAME, unless it is the same as the last one. *said: that one's hash; 0: none. */
void script_say_line(struct log *log, const char *name, const char *line, uint64_t *said);
