/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The keeper: what becomes of the work of this node, from its start to the moment at which it is down.
 *
 * Pure, like the election: one event goes in, actions come out; no I/O, no clock, no allocation, and it cannot fail. The
 * state is flat, without pointers or padding. Daemon and guard run the same object code: the daemon's keeper is told by the
 * election when to start and to stop; the guard's judges by the lease alone.
 *
 * How to read it: `keeper_states` is the diagram, keeper_step() the only way to move. Every event first updates what is
 * known, then the same evaluation runs.
 *
 * What it keeps:
 * - nothing is started without a guard that watches, a lease that lasts, and the lock that whoever starts or stops the work
 *   holds;
 * - of the stop one try runs at a time, and the next one only after that has ended;
 * - at the end of the time for it, whatever runs is killed; that too is no proof that the work is down;
 * - the work is down when a try of the stop has succeeded AND nothing of what was started is left. Only then the guard is
 *   dismissed and the post may be released. (A cold start, where most likely nothing runs, is content with KEEPER_COLD_TRIES
 *   tries.)
 *
 * Each action with an answer is answered exactly once, by the next events or much later. Times are microseconds of
 * CLOCK_BOOTTIME, as told by the events; they never go back. 0 means "none".
 */

#include <stdbool.h>
#include <stdint.h>

#define KEEPER_RETRY_US INT64_C(1000000) /* from a try of the stop that failed to the next */
#define KEEPER_LOOK_US INT64_C(10000)	 /* between two looks at what tells nobody that it ended */
#define KEEPER_COLD_TRIES 3

/* Between two attempts to start a guard for work that has none, and how long that may go on. */
#define KEEPER_REARM_US INT64_C(200000)
#define KEEPER_UNGUARDED_MAX_US INT64_C(5000000)

/* Constant in the daemon; the guard's lease_timeout_us is what the lease file says. */
struct keeper_config {
	int64_t stop_timeout_us;  /* of an orderly stop; 0: the lease alone bounds it */
	int64_t lease_timeout_us; /* part of the lease kept for stopping the work */
	int64_t penalty_us;	  /* a node whose unit failed is not healthy for that long */
	int64_t guard;		  /* 1: this is the guard's keeper */
	int64_t units;		  /* 1: units that wait for the guard may start once it is ready */
};

/* X(NAME, text, work may run) */
#define KEEPER_STATES(X)                                                                            \
	X(UNKNOWN, "unknown",                                                                       \
	  1) /* not known to be down: of the process before; or a start failed */                   \
	X(DOWN, "down", 0)                                                                          \
	X(STANDBY, "standby", 0) /* this node is named: a guard is made ready */                    \
	X(ARMING, "arming",                                                                         \
	  1) /* a start is ordered; once the guard is ready, systemd may start what waits for it */ \
	X(STARTING, "starting", 1)                                                                  \
	X(UP, "up", 1)                                                                              \
	X(WAITING, "waiting", 1) /* to be stopped once nobody else starts or stops it */            \
	X(STOPPING, "stopping", 1)                                                                  \
	X(KILLING, "killing", 1) /* too late for an orderly stop; until it is down */

enum keeper_state {
#define X(name, text, runs) KEEPER_##name,
	KEEPER_STATES(X)
#undef X
		KEEPER_STATE_COUNT
};

/* Why this node should not be primary: part of its health. */
#define KEEPER_TROUBLES(X)                                                                         \
	X(NONE, "")                                                                                \
	X(GUARD_ACTED, "the guard stopped the work")                                               \
	X(GUARD_LOST, "no guard can be started")                                                   \
	X(FAILED, "the unit failed") /* lasts for the penalty */

enum keeper_trouble {
#define X(name, text) KEEPER_TROUBLE_##name,
	KEEPER_TROUBLES(X)
#undef X
};

#define KEEPER_EVENTS(X)                                                                           \
	X(TIME, "time")	      /* nothing but the time */                                           \
	X(DOWN, "down")	      /* first: nothing of the previous process runs */                    \
	X(RESUME, "resume")   /* first: it left the work running, which goes on; lease_end_us */   \
	X(NAMED, "named")     /* a start is to be expected */                                      \
	X(UNNAMED, "unnamed") /* not any more */                                                   \
	X(LEASE, "lease")     /* lease_end_us; in the guard 0: there is nothing to guard */        \
	X(START, "start")                                                                          \
	X(STOP, "stop")		  /* cold: nothing is known to run */                              \
	X(ARMED, "armed")	  /* OK: a guard watches; FAILED */                                \
	X(UNGUARDED, "unguarded") /* the guard died */                                             \
	X(ACTED, "acted")	  /* the guard stops the work, or did */                           \
	X(LOCK, "lock")		  /* OK, BUSY, IDLE, DONE, or OFF */                               \
	X(STARTED, "started")	  /* OK or FAILED; none after STOP */                              \
	X(FAILED, "failed")	  /* the work went away though nobody here stopped it */           \
	X(ENDED, "ended")	  /* a try of the stop: OK; FAILED: the keeper tries again */      \
	X(CLEAN, "clean")	  /* OK: nothing is left; FAILED: something is */

enum keeper_event_type {
#define X(name, text) KEEPER_ON_##name,
	KEEPER_EVENTS(X)
#undef X
		KEEPER_EVENT_COUNT
};

enum keeper_result {
	KEEPER_OK,
	KEEPER_FAILED,
	KEEPER_BUSY, /* LOCK: somebody else starts or stops the work right now */
	KEEPER_IDLE, /* LOCK: somebody else has the lock, and runs nothing */
	KEEPER_DONE, /* LOCK: the guard has stopped the work */
	KEEPER_OFF,  /* LOCK, in the guard: the lease was extended after all */
};

struct keeper_event {
	int64_t now_us;
	int64_t lease_end_us; /* LEASE, RESUME; LOCK with OFF */
	uint8_t type;	      /* enum keeper_event_type */
	uint8_t result;	      /* enum keeper_result */
	uint8_t cold;	      /* STOP */
	uint8_t pad[5];
};

#define KEEPER_ACTIONS(X)                                                                          \
	X(LEASE, "lease")   /* lease_end_us is to stand in the lease file; ACTED may follow */     \
	X(ARM, "arm")	    /* a guard for a new watch; answer: ARMED */                           \
	X(DISARM, "disarm") /* no lease any more: the guard ends */                                \
	X(LOCK, "lock")	    /* the lock; answer: LOCK */                                           \
	X(SEIZE, "seize")   /* by force: a stop of another is killed; answer: LOCK, OK or OFF */   \
	X(UNLOCK, "unlock")                                                                        \
	X(START, "start") /* answer: STARTED, unless STOP comes first */                           \
	X(STOP, "stop")	  /* one try, which also ends a start under way; answer: ENDED */          \
	X(CLEAN, "clean") /* kill what the stop has left; answer: CLEAN */                         \
	X(KILL, "kill")	  /* everything; a try of the stop is answered as ever, a start is not */  \
	X(FENCE, "fence") /* killed, and not down when it must be: self-fence */                   \
	X(TELL_UP, "tell up")                                                                      \
	X(TELL_FAILED, "tell failed") /* the start */                                              \
	X(TELL_DOWN, "tell down")                                                                  \
	X(TELL_TROUBLE, "tell trouble") /* `trouble` changed */

enum keeper_action {
#define X(name, text) KEEPER_DO_##name,
	KEEPER_ACTIONS(X)
#undef X
		KEEPER_ACTION_COUNT
};

#define KEEPER_ACTIONS_MAX 12

struct keeper_actions {
	int32_t count;
	uint8_t list[KEEPER_ACTIONS_MAX]; /* enum keeper_action */
};

enum keeper_wish { KEEPER_WANTS_DOWN, KEEPER_WANTS_STANDBY, KEEPER_WANTS_UP, KEEPER_WANTS_STOP };
enum keeper_armed { KEEPER_UNARMED, KEEPER_ARM_ASKED, KEEPER_ARMED };

/* The answer that is outstanding. */
enum keeper_doing {
	KEEPER_DOES_NOTHING,
	KEEPER_DOES_LOCK,
	KEEPER_DOES_START,
	KEEPER_DOES_TRY,
	KEEPER_DOES_CLEAN,
};

struct keeper {
	int64_t now_us;		  /* time of the last event */
	int64_t lease_end_us;	  /* 0: none */
	int64_t stop_since_us;	  /* when the present stop began */
	int64_t killed_us;	  /* in it; 0: not */
	int64_t try_since_us;	  /* when its last try began; 0: none yet */
	int64_t next_us;	  /* nothing of it is done before */
	int64_t unguarded_us;	  /* since when there is work without a guard; 0: no */
	int64_t rearm_us;	  /* the next attempt to start one */
	int64_t penalty_until_us; /* of a unit that failed; 0: none */
	uint8_t state;		  /* enum keeper_state */
	uint8_t wish;		  /* enum keeper_wish */
	uint8_t armed;		  /* enum keeper_armed */
	uint8_t doing;		  /* enum keeper_doing */
	uint8_t trouble;	  /* enum keeper_trouble */
	uint8_t cold;		  /* the stop */
	uint8_t tries;		  /* of a cold stop that failed */
	uint8_t stopped;	  /* a try of the stop has succeeded */
	uint8_t fenced;		  /* FENCE was said in this stop */
	uint8_t pad[7];
};

/* UNKNOWN, the daemon's without a guard. The guard's first event is a RESUME, by which it is UP. */
void keeper_init(const struct keeper_config *config, struct keeper *ret_state);

/* One event in, at most KEEPER_ACTIONS_MAX actions out, to be carried out in their order. */
void keeper_step(const struct keeper_config *config, struct keeper *state,
		 const struct keeper_event *event, struct keeper_actions *ret_actions);

/* When a TIME event is due at the latest; 0: never. Later than state->now_us. */
int64_t keeper_next_us(const struct keeper_config *config, const struct keeper *state);

/* False: nothing was started since it was seen down. */
bool keeper_may_run(const struct keeper *state);

/* It runs, and neither here nor in the guard a stop has begun. */
bool keeper_is_up(const struct keeper *state);

/*
 * False: a stop that should be over by the end of the lease is not, and nothing was killed. What was killed is tried further,
 * and no other process could do more.
 */
bool keeper_in_order(const struct keeper *state, int64_t now_us);

/* Nothing is started under that lease after that: by then the guard may have looked for the work, and found nothing. */
int64_t keeper_start_by_us(const struct keeper_config *config, int64_t lease_end_us);

/*
 * When the guard's begins its stop, if that lease is not extended: the daemon begins its own a lease timeout before the end,
 * and so has precedence.
 */
int64_t keeper_guard_acts_us(const struct keeper_config *config, int64_t lease_end_us);

/* Text for people; never NULL. */
const char *keeper_state_text(uint8_t state);
const char *keeper_event_text(uint8_t type);
const char *keeper_action_text(uint8_t action);
const char *keeper_trouble_text(uint8_t trouble);

/* The table of allowed moves: bits of 1 << enum keeper_state. */
uint32_t keeper_edges(uint8_t state);
