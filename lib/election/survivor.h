/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The survivor's half of the lease (lease.h): from when on is the term of another node surely over?
 *
 * A primary records its term in its keepalive, which each renewal rewrites. By its own CLOCK_BOOTTIME, a node notes
 * when it first saw each version. That moment is after the commit of this version, hence not before the moment from
 * which the primary counts its lease: L later, the primary has stopped. Wall clocks decide nothing.
 *
 * Pure; times in microseconds of CLOCK_BOOTTIME.
 */

#include <stdbool.h>
#include <stdint.h>

#define SURVIVOR_NAME_SIZE 65 /* as NAME_SIZE (keys.h) */

#define SURVIVOR_NOTES_MAX 66 /* the primary, and as many as a survey reports */

/* A version of a keepalive that could not be read, or that is missing. */
#define SURVIVOR_UNREADABLE INT64_C(-1)

struct survivor_note {
	char name[SURVIVOR_NAME_SIZE];
	int64_t mzxid; /* of the keepalive: unlike its version this never comes back */
	int64_t seen_us;
};

struct survivor {
	struct survivor_note notes[SURVIVOR_NOTES_MAX];
	unsigned count;
	int64_t cluster_czxid; /* of /cluster as it was seen last, also by a process before; 0: not yet */
	int64_t cluster_new_us; /* when it took the place of another; 0: never, or all terms of then are over */
};

/* Notes what was read of NAME's keepalive; a version that was seen before keeps its first moment. */
void survivor_note(struct survivor *survivor, const char *name, int64_t mzxid, int64_t now_us);

/*
 * A takeover was sent: what could not be read before says nothing from now on. The term of NAME, the primary until now,
 * stays noted.
 */
void survivor_begin(struct survivor *survivor);

/*
 * When the term of NAME is over: L after the version read was first seen. mzxid: of its keepalive, read after the
 * takeover committed; lease_us: L as it stands there, or 0 if it cannot be read (then the longest of session_us, the
 * own T, and 40 s is believed).
 */
int64_t survivor_until_us(struct survivor *survivor, const char *name, int64_t mzxid,
			  int64_t lease_us, int64_t session_us, int64_t now_us);

/* Notes which /cluster there is. Of one that was made again the keys do not tell whose terms are not over yet. */
void survivor_see_cluster(struct survivor *survivor, int64_t czxid, int64_t now_us);

/*
 * When the terms are over of which the keys do not tell: 0 if they tell of all. They do not if /epoch named nobody
 * before the takeover, or if this /cluster was made again. remembers: this node knows of an epoch, so it is no new
 * cluster but one whose keys were deleted, and the longest term is believed.
 */
int64_t survivor_untold_us(const struct survivor *survivor, bool untold, bool remembers,
			   int64_t session_us, int64_t now_us);
