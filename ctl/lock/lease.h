/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The lease of a lock's holder. Pure; times in microseconds of CLOCK_BOOTTIME, T is the session timeout.
 *
 * A primary's lease (lease.h) rests on its successor, which waits. Who waits for a lock waits for the session's end and
 * nothing else, so here the lease is over before the leader can expire the session: T after the last touch that it is known
 * to know of. It knows of three kinds (ZooKeeper 3.8, LearnerHandler and LeaderZooKeeperServer; a committed write through a
 * follower is not among them):
 * - what a follower reports, every tick/2, about the requests it answered;
 * - the re-attachment of a session to a server, which the leader itself confirms;
 * - requests of sessions that are attached to the leader itself.
 * With tick <= T/2 (ZooKeeper's default minSessionTimeout is two ticks) tick/2 is at most T/4: a write that commits, sent at
 * s, proves every touch that was answered by s - T/4.
 */

#include <stdbool.h>
#include <stdint.h>

/* A request that was answered. */
struct lock_touch {
	int64_t sent_us, answered_us;
};

/* At least a fourth of T, in steps of a sixteenth or more. */
#define LOCK_TOUCHES 5

struct lock_lease {
	int64_t session_us; /* T, the shortest of this session; 0: none yet */
	int64_t end_us;	    /* 0: no lease */
	int64_t down_us; /* when the connection before this one was lost, or the session was asked for */
	int64_t touched_us; /* the leader is known to have been touched then or later */
	struct lock_touch touches[LOCK_TOUCHES]; /* on this connection, newest first */
};

/* Attached: nothing of the connection before counts any more. */
void lock_lease_attach(struct lock_lease *lease, int64_t granted_us);

/* A write that was sent then is acknowledged now. */
void lock_lease_open(struct lock_lease *lease, int64_t sent_us, int64_t now_us);

/* A write sent now would open (nearly) the longest lease. */
bool lock_lease_fresh(const struct lock_lease *lease, int64_t now_us);
