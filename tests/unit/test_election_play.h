/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Plays scripts to the core. A script is lines of
 *
 *	MS EVENT [ARGUMENTS] => PHASE[: ACTION[, ACTION]...]
 *
 * MS is the time since the start in milliseconds, `+MS` since the line before. What stands right of the arrow is held
 * against what the core did. Events:
 *
 *	start cold|primary|other [LEASE_MS]	up T_MS [fresh]		down	lost	time
 *	view KEY[@VERSION] [POST] [drained] [maintenance] [absent]
 *		[epoch N] [no-epoch]
 *	done RESULT	lock RESULT	corpses COUNT [UNTIL_MS]	fenced RESULT	started RESULT	stopped
 *	renewed RESULT	peers COUNT	health RESULT	pardon	shutdown
 *
 * KEY: missing, none, me, other, dead. POST: free, mine, taken, former; default: as before. RESULT: ok, conflict, unknown,
 * failed; a COUNT may be `unknown` or `conflict`. Actions: their texts; `do OP@VERSION`.
 *
 * Timers that are due before a line fire by themselves and may do nothing but renew the lease; renewals in a phase
 * that the script does not look at are answered at once; those that it answers itself, the oldest first. A line with `time` is the timer that the script waits for:
 * its MS is checked to be the very moment that election_next_us() told. `!` before MS: the machine slept until then, and
 * no timer fired.
 */

#include "election/election.h"

#include <stdbool.h>
#include <stddef.h>

#define PLAY_MS INT64_C(1000)
#define PLAY_START_US (INT64_C(1000000) * PLAY_MS)
#define PLAY_TEXT_MAX 256
#define PLAY_RENEWALS_MAX 16

struct play {
	struct election_config config;
	struct election state;
	struct election_actions actions;    /* of the last event */
	int64_t zxid;			    /* of the last write to the key */
	uint8_t op;			    /* asked for and not answered */
	bool renewals_by_hand;		    /* the script answers RENEW itself */
	int64_t sent_us[PLAY_RENEWALS_MAX]; /* renewals without an answer, the oldest first */
	int sent_count;
};

/* T = 6 s: renewed each 500 ms, cut after 1500 ms, lease 3940 ms, its stop begins 1000 ms before the end. */
void play_init(struct play *play);

/* Plays all lines; fails the test at the first one that does not hold, with what happened instead. */
void play_script(struct play *play, const char *script);

/* Steps the core and checks what holds after any step. */
void play_event(struct play *play, const struct election_event *event);

/* "PHASE: ACTION, ACTION" of the last event. */
void play_outcome(const struct play *play, char buf[PLAY_TEXT_MAX]);
