/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What a run is made of: the kinds of faults, the wrong worlds, the options, and what is drawn from
 * the seed.
 */

#include <stdbool.h>
#include <stdint.h>

/* Kinds of faults and of operators' doings: each run has its own set of them. */
#define SIM_FAULTS(X)                                                                              \
	X(CONN_RESET, "connection reset")                                                          \
	X(PATH_SILENT, "path silent")                                                              \
	X(PATH_UP, "path cut towards the server")                                                  \
	X(PATH_DOWN, "path cut towards the node")                                                  \
	X(NODE_CUT, "node cut off")                                                                \
	X(DAEMON_PAUSE, "daemon stopped for a while")                                              \
	X(STOP_IN_STEP, "daemon stopped within a step")                                            \
	X(GUARD_DIES, "guard killed")                                                              \
	X(GUARD_LATE, "guard late")                                                                \
	X(GUARD_FAILS, "guard not started")                                                        \
	X(STOP_FAILS, "stop failed")                                                               \
	X(BLIND, "reads refused")                                                                  \
	X(HOST_PAUSE, "host paused within the margin")                                             \
	X(HOST_SUSPEND, "host asleep")                                                             \
	X(DAEMON_CRASH, "daemon killed")                                                           \
	X(STATE_LOST, "daemon killed, state file lost")                                            \
	X(HOST_CRASH, "host reset")                                                                \
	X(REPLACED, "node replaced by another machine")                                            \
	X(COPIED, "second process on one session")                                                 \
	X(MEMORY_LOST, "highest epoch forgotten")                                                  \
	X(STATE_FAILS, "state not saved")                                                          \
	X(SHUTDOWN, "orderly shutdown")                                                            \
	X(HEALTH, "health failed")                                                                 \
	X(WORK_DIES, "work died")                                                                  \
	X(START_FAILS, "start failed")                                                             \
	X(STOP_HANGS, "stop hung")                                                                 \
	X(FENCE_FAILS, "fence failed")                                                             \
	X(FENCE_HANGS, "fence hung")                                                               \
	X(SERVER_CRASH, "server killed")                                                           \
	X(LEADER_CRASH, "leader killed")                                                           \
	X(LEADER_ISOLATED, "leader isolated")                                                      \
	X(FOLLOWER_ISOLATED, "follower isolated")                                                  \
	X(SLOW, "slow network")                                                                    \
	X(LAG, "lagging follower")                                                                 \
	X(FSYNC, "slow commits")                                                                   \
	X(CLOCK_STEP, "leader's clock stepped")                                                    \
	X(TIMEOUT, "session timeout changed")                                                      \
	X(AMBUSH, "fault at a transaction")                                                        \
	X(SWITCHOVER, "switchover")                                                                \
	X(RELEASE, "release")                                                                      \
	X(DRAIN, "drain")                                                                          \
	X(UNDRAIN, "undrain")                                                                      \
	X(MAINT_ON, "maintenance on")                                                              \
	X(MAINT_OFF, "maintenance off")                                                            \
	X(DELETE_KEY, "key deleted")                                                               \
	X(JUNK_KEY, "junk in the key")                                                             \
	X(DELETE_POST, "post deleted")                                                             \
	X(DELETE_ALIVE, "sign of life deleted")                                                    \
	X(DELETE_NODE, "node's keys deleted")                                                      \
	X(DELETE_ROOT, "root deleted")                                                             \
	X(DELETE_EPOCH, "epoch deleted")                                                           \
	X(DELETE_KEEPALIVE, "keepalive deleted")                                                   \
	X(CLOSE_SESSION, "session closed by somebody else")                                        \
	X(RESTORE, "ensemble set back")                                                            \
	X(ACCEPT, "ensemble accepted")                                                             \
	X(REFUSED, "writes refused")

enum sim_fault {
#define X(name, text) FAULT_##name,
	SIM_FAULTS(X)
#undef X
		FAULT_COUNT
};

/*
 * Wrong worlds, for the mutation table: what the daemon relies on, and is not there.
 */
#define SIM_MUTATIONS(X)                                                                           \
	X(CLAIM_VERSION, "claim-without-version")                                                  \
	X(ENTER_VERSION, "enter-without-version")                                                  \
	X(RENEW_BY_READ, "renew-by-read")                                                          \
	X(NO_GUARD, "no-guard")                                                                    \
	X(BLIND_START, "start-without-a-look-at-the-clock")                                        \
	X(RENEW_EPOCH, "renewal-without-epoch")                                                    \
	X(RENEW_VERSION, "renewal-at-any-version")                                                 \
	X(LEAVE_EPOCH, "release-without-epoch")                                                    \
	X(ANY_NONCE, "foreign-nonce-goes-on")

enum sim_mutation {
#define X(name, text) MUTATION_##name,
	SIM_MUTATIONS(X)
#undef X
		MUTATION_COUNT
};

struct sim_options {
	uint64_t seed;
	int64_t runs, steps;
	int32_t nodes;	    /* 0: 3 to 5, drawn */
	uint64_t mutations; /* bits of enum sim_mutation */
	uint64_t often;	    /* bits of enum sim_fault */
	bool frozen_hosts, unequal_servers, refusals, trace, quick;
	double minutes;
};

/* Drawn for each run. */
struct sim_params {
	int64_t session_us;    /* the longest that is granted */
	int64_t least_us;      /* the shortest */
	int64_t granted_us[5]; /* by each server, at most */
	int64_t tick_us, latency_us, lag_us, timer_late_us, chaos_us, fault_phase_us;
	int64_t takeover_timeout_us, relinquish_timeout_us, start_us, stop_us, fence_us,
		fence_timeout_us, restart_us;
	uint32_t start_fails, stop_hangs, fence_fails, fence_hangs, ambush; /* permille */
	uint32_t stop_in_step, guard_fails, guard_late, stop_fails, memory_lost;
	uint8_t fence_exists, fence_continues, self_fence;
	uint8_t for_ever; /* one node is refused something also when all else is well again */
	uint8_t apart;	  /* what is sent in one moment comes one after the other, not together */
	uint8_t restores; /* no memory is lost then: nothing else would tell of the epochs of before */
	uint8_t hides_stat; /* of a key that may not be read, as servers from 3.9 on */
	uint8_t weight[FAULT_COUNT];
	uint32_t weight_sum;
};
