/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The arithmetic of the lease. Pure; all times in microseconds, T is the session timeout that the ensemble granted.
 *
 * The leader expires a session between T and T + tick after the last touch that it knows of. It knows of three kinds
 * (ZooKeeper 3.8, LearnerHandler and LeaderZooKeeperServer; a committed write through a follower is not among them):
 * - what a follower reports, every tick/2, about the requests it answered;
 * - the re-attachment of a session to a server, which the leader itself confirms;
 * - requests of sessions that are attached to the leader itself.
 * So what was sent at t and answered at k is known to the leader at k + tick/2 if the follower is still in touch with it,
 * and a write that commits later than that proves that it was. With tick <= T/2 (ZooKeeper's default
 * minSessionTimeout is two ticks) tick/2 is at most T/4: an acknowledged write, sent at s, proves every touch that was
 * answered by s - T/4, and the post cannot vanish before t + T. Renewing every h = T/12 makes that s + 2T/3.
 */

#include <stdbool.h>
#include <stdint.h>

/* For what the clocks of two machines disagree about over one lease, and for rounding. */
static inline int64_t lease_margin_us(int64_t session_us)
{
	int64_t hundredth = session_us / 100;

	return hundredth > 50000 ? hundredth : 50000;
}

/* The longest lease: from the sending of an acknowledged write to its end. */
static inline int64_t lease_length_us(int64_t session_us)
{
	return session_us * 2 / 3 - lease_margin_us(session_us);
}

/* From a touch that the leader is known to know of to the end of the lease. */
static inline int64_t lease_from_touch_us(int64_t session_us)
{
	return session_us - lease_margin_us(session_us);
}

/* A touch answered at k is proven by a write sent at k + this or later. */
static inline int64_t lease_proof_us(int64_t session_us)
{
	return session_us / 4;
}

/* h: the time between two renewals. */
static inline int64_t lease_renew_us(int64_t session_us)
{
	return session_us / 12;
}

/* A request unanswered for this long cuts the connection, so that the next server is tried in time. */
static inline int64_t lease_cut_us(int64_t session_us)
{
	return session_us / 8;
}

/*
 * Whether the stop of the work fits: after it has been taken off the lease there must remain one renewal period, one cut
 * and one more try on the next server: T/12 + T/8 + T/8 = T/3. That is lease_timeout + margin <= T/3.
 */
static inline bool lease_fits(int64_t session_us, int64_t lease_timeout_us)
{
	return lease_timeout_us + lease_margin_us(session_us) <= session_us / 3;
}
