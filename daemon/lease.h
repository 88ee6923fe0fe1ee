/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The arithmetic of the lease. Pure; all times in microseconds, T is the session timeout that the ensemble granted.
 *
 * A server expires a session between T and T + tick after the last touch it knows of, and a follower reports touches to
 * the leader only every tick/2. Whoever renews every h and got an acknowledgement for what it sent at s is therefore safe
 * until s + T - h - tick/2. With h = T/12 and tick <= T/2 (ZooKeeper's default minSessionTimeout is two ticks) that is
 * s + 2T/3.
 */

#include <stdbool.h>
#include <stdint.h>

/* For what the clocks of two machines disagree about over one lease, and for rounding. */
static inline int64_t lease_margin_us(int64_t session_us)
{
	int64_t hundredth = session_us / 100;

	return hundredth > 50000 ? hundredth : 50000;
}

/* From the sending of an acknowledged renewal to the end of the lease. */
static inline int64_t lease_length_us(int64_t session_us)
{
	return session_us * 2 / 3 - lease_margin_us(session_us);
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
