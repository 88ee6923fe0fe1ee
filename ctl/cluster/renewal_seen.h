/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What was seen of a primary's renewals, and what follows from it. Pure.
 *
 * /nodes/NAME/keepalive is rewritten every T/12. If it was written a moment ago by this machine's clock, that is
 * believed. If not, the key is read again after T/8 or T/4: whether it changed between two reads does not depend on any
 * clock. So a clock that is off costs time, but never causes a false alarm, and hides at most a third of T of a silent
 * primary.
 */

#include <stdbool.h>
#include <stdint.h>

struct renewal_seen {
	int64_t session_us;    /* T */
	int64_t post_since_ms; /* the post was taken: counts as a renewal */
	bool known, moved;     /* read; and seen to change */
	int64_t mzxid;	       /* of the key as it was read; 0: missing */
	int64_t stamp_ms;      /* when that was written, by the servers' clock */
	int64_t first_us;      /* CLOCK_MONOTONIC: when that was first answered */
	int64_t wall_ms;       /* this machine's time of day then */
	int64_t asked_us;      /* when the last read that found it was sent */
};

struct renewal_verdict {
	bool stale;	/* it does not renew its lease */
	bool unwritten; /* the key stands still, and the session outlives it: no right to write it */
	bool at_least;	/* quiet_us may be more */
	int64_t quiet_us; /* for how long */
	int64_t session_us;
};

/* A read was answered. mzxid and stamp_ms: 0 when the key is missing. */
void renewal_note(struct renewal_seen *seen, int64_t mzxid, int64_t stamp_ms, int64_t asked_us,
		  int64_t now_us, int64_t wall_ms);

/* It suffices for a verdict. */
bool renewal_suffices(const struct renewal_seen *seen);

/* All false while it does not. */
struct renewal_verdict renewal_judge(const struct renewal_seen *seen);
