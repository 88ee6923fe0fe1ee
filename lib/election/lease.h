/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The arithmetic of the lease. Pure; all times in microseconds, T is the session timeout that the ensemble granted when
 * the post was taken.
 *
 * Safety rests on two clocks alone. The primary stops at s + L - margin, where s is when it SENT the last renewal that it
 * knows to be committed. A survivor starts nothing before r + L, where r is when it first saw the last renewal that is
 * committed at all: no earlier than that commit, which is no earlier than s. L = 2T/3 is fixed for the term and published
 * in the primary's keepalive. When the ensemble expires a session is only what makes somebody look; nothing is assumed of
 * ticks, followers, or the timeouts that other nodes were granted.
 */

#include <stdbool.h>
#include <stdint.h>

/* For what the clocks of two machines disagree about over one lease, and for rounding. */
static inline int64_t lease_margin_us(int64_t session_us)
{
	int64_t hundredth = session_us / 100;

	return hundredth > 50000 ? hundredth : 50000;
}

/* From the sending of a renewal that committed to the end of the lease. */
static inline int64_t lease_length_us(int64_t session_us)
{
	return session_us * 2 / 3 - lease_margin_us(session_us);
}

/* L: what a survivor waits for, from the last renewal that it saw. */
static inline int64_t lease_promise_us(int64_t session_us)
{
	return session_us * 2 / 3;
}

/* How long a term may be whose keepalive does not tell (cannot be read, is missing): that of this session timeout. */
#define LEASE_UNKNOWN_SESSION_US (INT64_C(40) * 1000000)

static inline int64_t lease_unknown_promise_us(int64_t own_session_us)
{
	return lease_promise_us(own_session_us > LEASE_UNKNOWN_SESSION_US
					? own_session_us
					: LEASE_UNKNOWN_SESSION_US);
}

/* What a renewal promises that is sent now: L; longer, if its node has itself to wait for others until debt_us. */
static inline int64_t lease_owing_promise_us(int64_t session_us, int64_t debt_us, int64_t now_us)
{
	int64_t lease_us = lease_promise_us(session_us);

	return debt_us - now_us > lease_us ? debt_us - now_us : lease_us;
}

/* h: the time between two renewals. */
static inline int64_t lease_renew_us(int64_t session_us)
{
	return session_us / 12;
}

/* A survivor reads the primary's keepalive this often. */
static inline int64_t lease_watch_us(int64_t session_us)
{
	return session_us / 6;
}

/*
 * A path whose bytes the peer's kernel does not acknowledge for this long is dead; so is, for a survivor, a server that
 * does not answer its read of the keepalive.
 */
static inline int64_t lease_cut_us(int64_t session_us)
{
	return session_us / 8;
}

/*
 * A server that is slow is not dead: commits may take T/4 from sending to acknowledgement. No progress for that long, and
 * one other server is tried.
 */
static inline int64_t lease_patience_us(int64_t session_us)
{
	return session_us / 4;
}

/*
 * Whether the stop of the work fits: T/3 is kept for renewals that are sent every T/12 and take T/4 to commit, or for one
 * period, a dead path that is cut after T/8 and one more try on the next server. What is left of the lease is for the stop.
 */
static inline bool lease_fits(int64_t session_us, int64_t lease_timeout_us)
{
	return lease_timeout_us + lease_margin_us(session_us) <= session_us / 3;
}

/* The part of the time for a stop that is kept for killing what would not stop. */
static inline int64_t lease_kill_share_us(int64_t lease_timeout_us)
{
	return lease_timeout_us / 8;
}

/*
 * The work is killed after the time for an orderly stop (0: no such bound), and in time to be dead when the lease ends (0: no
 * lease). A stop that begins later than that, when somebody else may be at work already, still gets a moment: a kill ends
 * processes, but removes no address. 0: never.
 */
static inline int64_t lease_kill_due_us(int64_t stop_since_us, int64_t stop_timeout_us,
					int64_t lease_end_us, int64_t lease_timeout_us)
{
	int64_t share_us = lease_kill_share_us(lease_timeout_us);
	int64_t kill_us = stop_timeout_us ? stop_since_us + stop_timeout_us : 0;
	int64_t lease_us = lease_end_us - share_us;

	if (!lease_end_us)
		return kill_us;
	if (lease_us < stop_since_us + share_us / 4)
		lease_us = stop_since_us + share_us / 4;
	return kill_us && kill_us < lease_us ? kill_us : lease_us;
}

/*
 * When work that was killed and is not down becomes a danger to others. What was killed gets a moment to die, also when the
 * kill itself came late. In an orderly stop the lease goes on being renewed, so its end alone would never come.
 */
static inline int64_t lease_fence_due_us(int64_t killed_us, int64_t lease_end_us,
					 int64_t lease_timeout_us)
{
	int64_t died_us = killed_us + lease_kill_share_us(lease_timeout_us);
	int64_t patience_us = killed_us + lease_timeout_us;

	if (lease_end_us < patience_us)
		patience_us = lease_end_us;
	return died_us > patience_us ? died_us : patience_us;
}
