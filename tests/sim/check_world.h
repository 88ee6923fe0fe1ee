/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The world that the exhaustive checker walks through: two or three real cores, and around them the smallest model that
 * can still go wrong in every way that matters.
 *
 * Time is a grid of CHECK_UNIT_US = T/12; the cores' own timers fire between its points where they are due. On a sound
 * connection whatever is sent is answered before the grid moves on, in every possible order; delays are what the faults
 * are for. The ensemble is one atomic log: key, post, epoch, alive and lock nodes, routerstates and keepalives. A session
 * expires after T in which nothing of its node reached the ensemble, or at any moment, if somebody closes it (a fault). A
 * survivor sees each renewal in the moment in which it commits: the earliest from which it may count.
 *
 * What the model does not have: clocks that disagree, post and key read at different moments, keys deleted by hand. The
 * simulator has them.
 */

#include "election/election.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define CHECK_NODES_MAX 3
#define CHECK_UNIT_US INT64_C(50000)
#define CHECK_QUANTUM_US (CHECK_UNIT_US / 16) /* every time in the world is a multiple */
#define CHECK_NOW_US (INT64_C(1000000) * CHECK_UNIT_US)
#define CHECK_SESSION_US (12 * CHECK_UNIT_US)
#define CHECK_LEASE_US (7 * CHECK_UNIT_US)
#define CHECK_PROMISE_US (8 * CHECK_UNIT_US)
#define CHECK_EXPIRE_MIN 12 /* units out of touch: T */
#define CHECK_EXPIRE_MAX 15 /* until then it has expired */
#define CHECK_STOP_MAX 3    /* units of an orderly stop */
#define CHECK_START_MAX 2   /* units until the start of the work ended one way or the other */

enum check_process { PROCESS_RUNS, PROCESS_FROZEN, PROCESS_DEAD, PROCESS_OFF };
enum check_net {
	NET_UP,
	NET_SILENT, /* nothing gets through, the connection stands; requests may arrive, answers don't */
	NET_ISOLATED, /* connected to a server that has lost the others: reads are answered */
	NET_DOWN
};
enum check_session { SESSION_NONE, SESSION_ALIVE, SESSION_EXPIRED };
enum check_stage {
	STAGE_NONE,
	STAGE_SENT,
	STAGE_APPLIED, /* the answer is still to come */
	STAGE_LOST,    /* will never be applied, its sender does not know */
	STAGE_ZOMBIE /* answered as unknown, may still be applied until the node is connected again */
};

enum check_fault { FAULT_NET = 1, FAULT_PROCESS = 2, FAULT_WORK = 4, FAULT_ANY = 7 };

#define CHECK_KEY_NONE 0xfe
#define CHECK_KEY_MISSING 0xff
#define CHECK_NOBODY 0xff
#define CHECK_ANY_VERSION (-1)

struct check_node {
	int64_t op_us;	   /* sent */
	int64_t renew_us;  /* the last one, sent */
	int64_t keep_us;   /* when the last renewal of its term committed */
	int64_t epoch;	   /* /epoch, as op expects it */
	int64_t lease_us;  /* end of the lease by the acknowledged writes; 0: none */
	int64_t start_us;  /* of the work's start */
	int64_t stop_us;   /* of its stop */
	int64_t killed_us; /* 0: not */
	int32_t version;   /* of op */
	uint8_t process;
	uint8_t net;
	uint8_t session;
	uint8_t age;	/* units out of touch */
	uint8_t alive;	/* its alive key is there */
	uint8_t marked; /* routerstate says that it acts */
	uint8_t drained;
	uint8_t queue; /* place in the lock's queue, from 1; 0: no lock node */
	uint8_t lock_stuck;
	uint8_t stage;
	uint8_t op;
	uint8_t result;	 /* of an applied op */
	uint8_t deletes; /* op releases the post */
	uint8_t renew;	 /* to be answered, as the next ones */
	uint8_t scan;
	uint8_t fence;
	uint8_t peers;
	uint8_t start;
	uint8_t stop;
	uint8_t hangs; /* not even a kill ends the work */
	uint8_t brief; /* it left a good connection, and comes back at once */
	uint8_t cut;   /* the connection is to be closed */
	uint8_t runs;  /* the truth: work may be running */
};

struct check_world {
	struct election core[CHECK_NODES_MAX];
	struct check_node node[CHECK_NODES_MAX];
	int64_t now_us;
	int64_t key_mzxid;
	int64_t zxid;
	int64_t last_epoch; /* of whoever entered last */
	int64_t claimed_us; /* when the key was claimed; 0: it was written otherwise since */
	int32_t key_version;
	uint8_t key; /* a node, CHECK_KEY_NONE or CHECK_KEY_MISSING */
	uint8_t post;
	uint8_t maintenance;
	uint8_t nodes;
	uint8_t faults; /* left */
	uint8_t kinds;	/* of them: enum check_fault */
	uint8_t orders; /* of operators, left */
	uint8_t queued;
	uint8_t lapsed; /* the node that the key names was dead meanwhile */
};

/*
 * Everything that can happen, as X(NAME, "text", class). Classes: NOW comes before time goes on; FREE may come or not;
 * FAULT and ORDER are counted.
 */
#define CHECK_MOVES(X)                                                                             \
	X(TIMER, "a timer fires", NOW)                                                             \
	X(KILL, "its work that will not stop is killed, or it reboots", NOW)                       \
	X(DONE, "its transaction is applied and answered", NOW)                                    \
	X(RENEWED, "its renewal is answered", NOW)                                                 \
	X(LOCKED, "it gets the lock", NOW)                                                         \
	X(LOCK_TIMEOUT, "its wait for the lock times out", NOW)                                    \
	X(VIEW, "it sees key and post as they are", NOW)                                           \
	X(CORPSES, "it learns who died acting", NOW)                                               \
	X(FENCED, "the dead are fenced", NOW)                                                      \
	X(PEERS, "it learns how many others live", NOW)                                            \
	X(STARTED, "its work is started", FREE)                                                    \
	X(STOPPED, "its work is down", FREE)                                                       \
	X(CLOSE, "its connection ends", FREE)                                                      \
	X(HEAL, "its connection works again", FREE)                                                \
	X(CONNECT, "it connects", FREE)                                                            \
	X(SAME_VIEW, "the isolated server tells it the same again", FREE)                          \
	X(APPLY, "its request arrives, the answer is lost", FREE)                                  \
	X(EXPIRE, "its session expires", FREE)                                                     \
	X(GUARD, "the guard stops its work", FREE)                                                 \
	X(RESTART, "its daemon is started again", FREE)                                            \
	X(THAW, "its daemon goes on", FREE)                                                        \
	X(SILENCE, "is cut off silently", FAULT)                                                   \
	X(ISOLATE, "is left with an isolated server", FAULT)                                       \
	X(RESET, "loses its connection", FAULT)                                                    \
	X(CRASH, "its daemon is killed", FAULT)                                                    \
	X(CLOSED, "its session is closed by somebody else", FAULT)                                 \
	X(FREEZE, "its daemon is stopped", FAULT)                                                  \
	X(START_FAILS, "its work does not start", FAULT)                                           \
	X(HANG, "its work survives the kill", FAULT)                                               \
	X(REFUSE, "its transaction fails", FAULT)                                                  \
	X(FENCE_FAILS, "the dead cannot be fenced", FAULT)                                         \
	X(NAME, "an operator names it", ORDER)                                                     \
	X(RELEASE, "an operator releases the role", ORDER)                                         \
	X(DELETE, "an operator deletes the key", ORDER)                                            \
	X(DRAIN, "an operator drains it, or ends that", ORDER)                                     \
	X(HEALTH, "its health changes", ORDER)                                                     \
	X(SHUTDOWN, "an operator shuts it down", ORDER)                                            \
	X(MAINTENANCE, "an operator turns maintenance on or off", ORDER)                           \
	X(ADVANCE, "time passes", LAST)

enum check_move_kind {
#define X(name, text, class) MOVE_##name,
	CHECK_MOVES(X)
#undef X
		MOVE_COUNT
};

enum check_class { CLASS_NOW, CLASS_FREE, CLASS_FAULT, CLASS_ORDER, CLASS_LAST };

struct check_move {
	uint8_t kind;
	uint8_t node;
};

#define CHECK_MOVES_MAX 64

struct check_moves {
	size_t count;
	struct check_move list[CHECK_MOVES_MAX];
};

extern const struct election_config check_config;

/* -- check_world.c: nodes and what they are told -- */

void check_world_init(struct check_world *world, uint8_t nodes);

/* Tells the core, and does what it says. */
void check_tell(struct check_world *world, unsigned i, const struct election_event *event);

/* Makes the move. What it breaks by itself is found in check_broken afterwards. */
void check_world_move(struct check_world *world, struct check_move move);

/* Set to the first rule that was broken in the middle of a move; NULL: none. */
extern const char *check_broken;

/* Where everything that is told is written in words; NULL: nowhere. */
extern FILE *check_trace;

const char *check_move_text(uint8_t kind);
enum check_class check_move_class(uint8_t kind);

/* -- check_zookeeper.c: the ensemble -- */

/* What node i would read now. */
void check_view(const struct check_world *world, unsigned i, struct election_view *ret_view);

/* Applies node i's transaction. */
enum election_result check_apply(struct check_world *world, unsigned i);

void check_set_key(struct check_world *world, uint8_t key);
void check_lock_enqueue(struct check_world *world, unsigned i);
void check_lock_dequeue(struct check_world *world, unsigned i);

/* The session is over: all that it owned is gone. */
void check_session_end(struct check_world *world, unsigned i);

/* When work that will not stop is killed, and then its host rebooted; 0: never. */
int64_t check_kill_due_us(const struct check_world *world, unsigned i);
void check_kill(struct check_world *world, unsigned i);

int32_t check_count_corpses(const struct check_world *world, unsigned i);
/* The survey of node i, in the words of its answer. */
void check_survey(const struct check_world *world, unsigned i, struct election_event *event);
int32_t check_count_peers(const struct check_world *world, unsigned i);

/* -- check_moves.c -- */

/* All that may happen next; never empty, unless the world is stuck. */
void check_list_moves(const struct check_world *world, struct check_moves *ret_moves);

/* -- check_rules.c -- */

/* NULL, or the rule that this world breaks. */
const char *check_rules(const struct check_world *world);

/* NULL, or why no primary comes to be although nothing goes wrong any more. */
const char *check_liveness(const struct check_world *world);

/* Goes on from here, without faults and orders, to a world with a primary that works; false: not in so many units. */
bool check_settle(struct check_world *world, unsigned units);

/* -- check_pack.c -- */

#define CHECK_PACKED_MAX 768

/* Brings the clock back to CHECK_NOW_US and versions and zxids to small numbers; nothing that a core could tell. */
void check_normalise(struct check_world *world);

/* Of a normalised world: the same for all that behave alike (nodes swapped, times that are over). */
uint64_t check_hash(const struct check_world *world);

/* Of a normalised world: the bytes, without the zeros. Returns how many. */
size_t check_pack(const struct check_world *world, uint8_t ret_packed[CHECK_PACKED_MAX]);

/* Returns how many bytes it took. */
size_t check_unpack(const uint8_t *packed, struct check_world *ret_world);

/* -- check_search.c -- */

struct check_limits {
	uint8_t nodes;
	uint8_t faults;
	uint8_t kinds; /* of faults: enum check_fault */
	uint8_t orders;
	uint32_t states;
};

struct check_report {
	uint64_t states;
	uint64_t moves;
	uint64_t probes; /* of liveness */
	uint32_t depth;	 /* every way of so many moves was gone */
	double seconds;
	bool whole; /* nothing is left beyond */
	const char
		*broken; /* NULL, or the rule that was broken: the shortest way there was printed */
};

/* Breadth first from the starting worlds. Returns 0, or -ENOMEM. */
int check_search(const struct check_limits *limits, struct check_report *ret_report);
