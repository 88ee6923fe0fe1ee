/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The election: when a node contends for the primary's post, takes it over, keeps it and gives it up.
 *
 * Pure. One event goes in, actions come out; there is no I/O, no clock, no allocation and no randomness in here, and
 * it cannot fail. The state is a flat struct without pointers or padding: the daemon, the simulator and the exhaustive
 * checker run the same object code on it, copy it, compare it and hash it.
 *
 * How to read it: `election_phases` is the diagram, election_step() the only way to move. Every event first updates what
 * is known (the view, the channels), then the same level-triggered evaluation runs: no event is ever needed twice, and
 * none that gets lost leaves the node waiting, because the next one (any one) sees the same facts.
 *
 * What the shell (the daemon around this core) owes: a VIEW told after a transaction's DONE contains its effect; answers to
 * questions of an earlier phase never come after the question was asked anew; when a connection is
 * lost, every open answer (UNKNOWN) comes before the next SESSION_UP.
 *
 * Times are int64_t microseconds of CLOCK_BOOTTIME, as told by the events; they never go back. 0 means "none".
 */

#include <stdbool.h>
#include <stdint.h>

#define ELECTION_EPOCH_MAX ((INT64_C(1) << 62) - 1) /* of an epoch and a zxid: more is junk */

/* Constant while the node lives. */
struct election_config {
	int64_t lock_timeout_us;     /* bound of one contention */
	int64_t transition_delay_us; /* > lock_timeout_us: every contender has given up by then */
	int64_t contend_delay_us;    /* head start given to candidates that are preferred */
	int64_t handover_timeout_us; /* longest wait for a successor */
	int64_t penalty_us; /* out of the contest after a failed takeover; doubles up to 32 times */
	int64_t acquire_delay_us; /* before the first fence */
	int64_t lease_timeout_us; /* part of the lease kept for stopping the work */
	int64_t coordinator;	  /* 1: may become primary, 0: client */
};

/*
 * X(NAME, text, router state, acting)
 * acting: this node owns the post (/primary_active), or must assume that it does.
 */
#define ELECTION_PHASES(X)                                                                         \
	X(INIT, "init", "", 0)		    /* before ELECTION_START */                            \
	X(OFFLINE, "offline", "", 0)	    /* work down, keys not registered */                   \
	X(FOLLOW, "follow", "secondary", 0) /* watching */                                         \
	X(CONTEND, "contend", "secondary",                                                         \
	  0) /* vacancy seen; contend-delay runs, if others are preferred */                       \
	X(LOCK, "lock", "secondary", 0)	  /* waiting for the exclusive lock */                     \
	X(CLAIM, "claim", "secondary", 0) /* claim transaction under way */                        \
	X(AWAIT, "await", "secondary",                                                             \
	  0) /* named; transition-delay, then until the post is free */                            \
	X(ENTER, "enter", "secondary", 0)    /* takeover transaction under way */                  \
	X(RECOVER, "recover", "takeover", 1) /* has the post; nodes that died acting are fenced */ \
	X(BEGIN, "begin", "takeover", 1)     /* work starting */                                   \
	X(PRIMARY, "primary", "primary", 1)  /* named and acting */                                \
	X(VACATED, "vacated", "primary", 1)  /* acting, nobody named: reclaims it in a moment */   \
	X(YIELD, "yield", "primary", 1)	     /* acting, another named: transition-delay runs */    \
	X(HANDOVER, "handover", "primary", 1) /* acting, not willing: waits for a successor */     \
	X(STOP, "stop", "relinquish", 1)      /* work stopping (also once at a cold start) */      \
	X(LEAVE, "leave", "relinquish", 1)    /* work down; release of the post under way */       \
	X(RESUME, "resume", "primary", 1) /* restarted within the lease; post not yet verified */  \
	X(GONE, "gone", "", 0)		  /* shut down */

enum election_phase {
#define X(name, text, router, acting) PHASE_##name,
	ELECTION_PHASES(X)
#undef X
		PHASE_COUNT
};

/* Why the last move was made: said in the journal, kept in the history, handed to commands. */
#define ELECTION_REASONS(X)                                                                        \
	X(NONE, "")                                                                                \
	X(COLD_START, "nothing is known of an earlier run: stopping leftovers")                    \
	X(REGISTERED, "registered")                                                                \
	X(KEY_NONE, "nobody is named primary")                                                     \
	X(KEY_MISSING, "the primary key is missing")                                               \
	X(HOLDER_DEAD, "the named node is not alive")                                              \
	X(NAMED, "this node is named primary")                                                     \
	X(CLAIMED, "claimed")                                                                      \
	X(TAKEN, "claimed by another node")                                                        \
	X(LOCK_TIMEOUT, "the lock was not free in time")                                           \
	X(LOCK_FAILED, "the lock was lost")                                                        \
	X(KEY_MOVED, "the primary key changed meanwhile")                                          \
	X(NOT_NAMED, "no longer named primary")                                                    \
	X(POST_FREE, "the post is free")                                                           \
	X(POST_TAKEN, "another node still acts")                                                   \
	X(POST_LEFT_OVER, "the post is left over from before")                                     \
	X(ENTERED, "the post is taken")                                                            \
	X(RECOVERED, "no node that died acting is left")                                           \
	X(FENCE_FAILED, "a node that died acting could not be fenced")                             \
	X(WORK_STARTED, "the work is started")                                                     \
	X(WORK_FAILED, "the work did not start")                                                   \
	X(SUPERSEDED, "another node is named primary")                                             \
	X(NO_SUCCESSOR, "nobody claimed the post")                                                 \
	X(SUCCESSOR_LATE, "no successor in time")                                                  \
	X(NO_PEER, "no other coordinator is alive")                                                \
	X(CLIENT_MODE, "this node is a client")                                                    \
	X(DRAINED, "drained")                                                                      \
	X(UNHEALTHY, "not healthy")                                                                \
	X(SHUTDOWN, "shutting down")                                                               \
	X(MAINTENANCE, "maintenance")                                                              \
	X(PENALTY, "in the penalty after a failed takeover")                                       \
	X(WILLING, "willing again")                                                                \
	X(LEASE, "the lease runs out")                                                             \
	X(POST_LOST, "the post is lost")                                                           \
	X(SESSION_LOST, "the session expired")                                                     \
	X(DISCONNECTED, "not connected")                                                           \
	X(ABSENT, "this node's sign of life is missing")                                           \
	X(CAME_BACK, "resumed within the lease")                                                   \
	X(RESUMED, "the post is still ours")                                                       \
	X(WORK_STOPPED, "the work is down")                                                        \
	X(LEFT, "the post is released")                                                            \
	X(DEPARTED, "departed")

enum election_reason {
#define X(name, text) REASON_##name,
	ELECTION_REASONS(X)
#undef X
		REASON_COUNT
};

/* What /primary_node says. */
#define ELECTION_KEYS(X)                                                                           \
	X(UNKNOWN, "unknown") /* not read (again) yet */                                           \
	X(MISSING, "missing")                                                                      \
	X(NONE, "none") /* `none`, or junk */                                                      \
	X(ME, "me")                                                                                \
	X(OTHER, "other") /* another node that is alive, or whose liveness is not known yet */     \
	X(DEAD, "dead")	  /* another node that is not alive */

enum election_key {
#define X(name, text) KEY_##name,
	ELECTION_KEYS(X)
#undef X
};

/* What /primary_active says. */
enum election_post { POST_UNKNOWN, POST_NONE, POST_MINE, POST_OTHER };

/* What the shell sees in ZooKeeper: a consistent-enough snapshot; each field as of its last read. */
struct election_view {
	int64_t key_mzxid;  /* with KEY_NONE, ME, OTHER, DEAD */
	int64_t epoch;	    /* the highest epoch that /epoch or this node's memory knows; 0: none */
	int64_t post_epoch; /* that of the post; 0: there is none, or it cannot be read */
	int32_t key_version;
	uint8_t key;  /* enum election_key */
	uint8_t post; /* enum election_post */
	uint8_t drained;
	uint8_t maintenance;
	uint8_t absent; /* this node's own sign of life is missing: the others take it for dead */
	uint8_t epoch_known; /* /epoch is read, or is missing */
	uint8_t pad[6];
};

/* Transactions; one at a time, each ends with exactly one ELECTION_DONE. */
#define ELECTION_OPS(X)                                                                            \
	X(NONE, "none")                                                                            \
	X(REGISTER, "register")	    /* this node's keys; routerstate secondary or client */        \
	X(CREATE_KEY, "create key") /* create /primary_node as `none` */                           \
	X(CLAIM, "claim") /* set /primary_node to this node, history, delete own lock node */      \
	X(ENTER, "enter") /* check key, set /epoch, create post, routerstate takeover, new term */ \
	X(LEAVE, "leave") /* check /epoch, delete the post if it is ours; routerstate secondary */ \
	X(HAND_BACK, "hand back") /* set /primary_node to `none` */                                \
	X(RECLAIM, "reclaim")	  /* set /primary_node to this node, while acting */

enum election_op {
#define X(name, text) OP_##name,
	ELECTION_OPS(X)
#undef X
		OP_COUNT
};

enum election_result {
	RESULT_OK,
	RESULT_CONFLICT, /* nothing happened: a version moved, a key was there or missing */
	RESULT_UNKNOWN,	 /* connection lost under way; a SESSION_DOWN or SESSION_LOST comes too */
	RESULT_FAILED, /* definite failure: command failed, refused, timed out; is tried again ever later */
};

#define ELECTION_EVENTS(X)                                                                            \
	X(START, "start")		/* first: resume, lease_end_us, epoch */                      \
	X(TIME, "time")			/* nothing but the time */                                    \
	X(SESSION_UP, "session up")	/* attached; session_us; fresh: a new session */              \
	X(SESSION_DOWN, "session down") /* connection lost */                                         \
	X(SESSION_LOST, "session lost") /* session expired */                                         \
	X(VIEW, "view")			/* view; only while attached */                               \
	X(DONE,                                                                                       \
	  "done") /* op, result; zxid with RESULT_OK of REGISTER, CLAIM, HAND_BACK, RECLAIM */        \
	X(LOCK, "lock") /* result: OK acquired, CONFLICT timed out, FAILED or UNKNOWN lost */         \
	X(CORPSES,                                                                                    \
	  "corpses") /* answer to SCAN: OK with count (to be fenced and marked) and time_us (every \
			lease of before is over), CONFLICT (a live node says it still acts), UNKNOWN */  \
	X(FENCED, "fenced")   /* result: OK, FAILED, or UNKNOWN: look again */                        \
	X(STARTED, "started") /* result: OK or FAILED */                                              \
	X(STOPPED, "stopped") /* the work is down */                                                  \
	X(RENEWED,                                                                                    \
	  "renewed") /* OK: what was sent at time_us is committed; CONFLICT: not our term any more */ \
	X(PEERS,                                                                                      \
	  "peers") /* count of other nodes that may claim, see COUNT_PEERS; OK or UNKNOWN */          \
	X(HEALTH, "health")	/* result: OK or FAILED (also: the unit failed) */                    \
	X(PARDON, "pardon")	/* an operator ends the penalty, and its doubling */                  \
	X(SHUTDOWN, "shutdown") /* hand over and leave */

enum election_event_type {
#define X(name, text) ELECTION_##name,
	ELECTION_EVENTS(X)
#undef X
		ELECTION_EVENT_COUNT
};

enum election_resume {
	RESUME_COLD,	/* nothing known: the work is stopped first */
	RESUME_PRIMARY, /* was primary; the work runs; session resumed */
	RESUME_OTHER,	/* was starting or stopping the work: it is stopped first */
};

struct election_event {
	int64_t now_us;
	int64_t zxid;	      /* DONE */
	int64_t session_us;   /* SESSION_UP: granted timeout; START: that of the term */
	int64_t time_us;      /* RENEWED, CORPSES */
	int64_t lease_end_us; /* START */
	int64_t epoch;	      /* START */
	struct election_view view;
	int32_t count;	/* PEERS, CORPSES */
	uint8_t type;	/* enum election_event_type */
	uint8_t op;	/* enum election_op */
	uint8_t result; /* enum election_result */
	uint8_t resume; /* enum election_resume */
	uint8_t fresh;
	uint8_t pad[7];
};

#define ELECTION_ACTIONS(X)                                                                        \
	X(DO, "do")	    /* run transaction op at version; answer: DONE */                      \
	X(LOCK, "lock")	    /* contend; answer: LOCK unless unlocked before */                     \
	X(UNLOCK, "unlock") /* give up waiting, or the lock */                                     \
	X(SCAN, "scan")	    /* who died acting, or still acts? answer: CORPSES */                  \
	X(FENCE, "fence")   /* fence and mark each; answer: FENCED */                              \
	X(START, "start")   /* start the work; answer: STARTED, unless STOP comes first */         \
	X(STOP, "stop")	    /* stop the work, also by force; answer: STOPPED */                    \
	X(RENEW,                                                                                   \
	  "renew")    /* post, /epoch and keepalive as this term left them; answers: RENEWED */    \
	X(CUT, "cut") /* leave this server */                                                      \
	X(REFRESH, "refresh") /* read /epoch, key and post again, in this order; answer: VIEW */   \
	X(COUNT_PEERS,                                                                             \
	  "count peers")    /* who may claim; in CONTEND: and is preferred; answer: PEERS */       \
	X(DEPART, "depart") /* nothing is left to do: say farewell and go */

enum election_action_type {
#define X(name, text) ACTION_##name,
	ELECTION_ACTIONS(X)
#undef X
		ELECTION_ACTION_COUNT
};

struct election_action {
	uint8_t type;	/* enum election_action_type */
	uint8_t op;	/* DO */
	uint8_t reason; /* enum election_reason */
	uint8_t pad;
	int32_t version; /* DO: version of /primary_node to check */
};

#define ELECTION_ACTIONS_MAX 16

struct election_actions {
	int32_t count;
	struct election_action list[ELECTION_ACTIONS_MAX];
};

enum election_lock { LOCK_FREE, LOCK_WAITING, LOCK_HELD };
enum election_work { WORK_DOWN, WORK_STARTING, WORK_UP, WORK_STOPPING };
enum election_peers { PEERS_UNKNOWN, PEERS_NONE, PEERS_SOME };

struct election {
	int64_t now_us;		/* time of the last event */
	int64_t phase_since_us; /* entry into the phase */
	int64_t deadline_us;	/* of the phase; 0: none */
	int64_t session_us;	/* T, as granted last; 0: never attached */
	int64_t term_us; /* T at the takeover: the lease of this term is made of it; 0: no term */
	int64_t lease_end_us;  /* until then this node may believe that it acts; 0: no lease */
	int64_t renew_next_us; /* not before */
	int64_t progress_us;   /* when a commit of this term was last heard of, or the attachment */
	int64_t proof_us;   /* of a renewal that committed while the post was not known; 0: none */
	int64_t op_sent_us; /* transaction under way */
	int64_t penalty_until_us;
	int64_t retry_us;     /* nothing is tried again before */
	int64_t depart_by_us; /* shutdown: leave without an orderly release after that */
	int64_t waits_over_us; /* terms of before are over by then, and what was sent by then; 0: none */
	int64_t epoch;	       /* of the post held; 0: none */
	int64_t claim_mzxid;  /* of the claim that the takeover followed; 0: not known */
	int64_t failed_mzxid; /* the claim that this node failed to follow: handed back; 0: none */
	struct election_view view;
	int32_t seen_version; /* of the key when the vacancy was seen */
	int32_t corpses;      /* -1: not looked yet */
	uint8_t phase;	      /* enum election_phase */
	uint8_t reason;	      /* enum election_reason: of the last move */
	uint8_t stop_reason;  /* enum election_reason: why the work is stopped */
	uint8_t op;	      /* enum election_op: under way */
	uint8_t lock;	      /* enum election_lock */
	uint8_t work;	      /* enum election_work */
	uint8_t peers;	      /* enum election_peers */
	uint8_t failures;     /* takeovers failed in a row, capped */
	uint8_t attached;     /* connected to a server */
	uint8_t registered;   /* this session has this node's keys */
	uint8_t healthy;
	uint8_t shutdown;
	uint8_t scanning;     /* SCAN under way */
	uint8_t fencing;      /* FENCE under way */
	uint8_t counting;     /* COUNT_PEERS under way */
	uint8_t cut;	      /* CUT was said since the last progress */
	uint8_t fence_failed; /* this takeover's fence failed */
	uint8_t refusals;     /* in a row, and attempts to get the lock, capped */
	uint8_t pad[6];
};

/* What keeps a node from contending: bits. The same function serves the election and `primaryctl explain`. */
#define ELECTION_OBSTACLES(X)                                                                      \
	X(CLIENT, "client", "mode is client")                                                      \
	X(OFFLINE, "offline", "no session with ZooKeeper")                                         \
	X(SHUTDOWN, "shutdown", "shutting down")                                                   \
	X(UNHEALTHY, "unhealthy", "the health check failed")                                       \
	X(DRAINED, "drained", "drained by an operator")                                            \
	X(MAINTENANCE, "maintenance", "maintenance: only operators move the role")                 \
	X(PENALTY, "penalty", "a takeover failed here a moment ago")                               \
	X(BUSY, "busy", "not a secondary at the moment")

enum election_obstacle_bit {
#define X(name, text, why) OBSTACLE_BIT_##name,
	ELECTION_OBSTACLES(X)
#undef X
		OBSTACLE_COUNT
};

enum election_obstacle {
#define X(name, text, why) OBSTACLE_##name = 1 << OBSTACLE_BIT_##name,
	ELECTION_OBSTACLES(X)
#undef X
};

/* The predicates of eligibility, as the node itself knows them or as others read them from its keys. */
struct election_candidate {
	bool coordinator, online, shutdown, healthy, drained, maintenance, penalty, secondary;
};

/* Bits of enum election_obstacle; 0: eligible. Pure. */
uint32_t election_obstacles(const struct election_candidate *candidate);

/* Of the node itself, at state->now_us. */
uint32_t election_own_obstacles(const struct election_config *config, const struct election *state);

/* The state before ELECTION_START. */
void election_init(struct election *ret_state);

/* One event in, at most ELECTION_ACTIONS_MAX actions out, to be carried out in their order. */
void election_step(const struct election_config *config, struct election *state,
		   const struct election_event *event, struct election_actions *ret_actions);

/* When an ELECTION_TIME event is due at the latest; 0: never. Always later than state->now_us. */
int64_t election_next_us(const struct election_config *config, const struct election *state);

/* Whether the lease logic is in order at now_us: no stop is overdue that was not begun. */
bool election_in_order(const struct election_config *config, const struct election *state,
		       int64_t now_us);

/*
 * Until when this node may call itself primary, as far as it knows now: its work is up, and the stop of it begins no earlier.
 * 0: it may not. Not later than the guard's stop, so that it holds for whoever reads it after this process has died.
 */
int64_t election_primary_until_us(const struct election_config *config,
				  const struct election *state);

/*
 * Asked before an operation is sent, with what is known by then: whether what it was decided by is still so. What has become
 * known in the same turn of the loop is told afterwards; if not, the answer is CONFLICT.
 */
bool election_may_send(const struct election *state, enum election_op op,
		       const struct election_view *now);

/* No work runs, nothing is under way, and no contest: if this session holds a post, it is one to be released. */
bool election_is_at_rest(const struct election *state);

/* True while the work may be running because of this state. */
bool election_work_may_run(const struct election *state);

/* True: no epoch is left that is larger than all before, so there is no takeover. */
bool election_epochs_are_used_up(const struct election_view *view);

/* True in the phases marked acting. */
bool election_acting(const struct election *state);

/* Text for people and for the journal; never NULL. */
const char *election_phase_text(uint8_t phase);
const char *election_reason_text(uint8_t reason);
const char *election_key_text(uint8_t key);
const char *election_op_text(uint8_t op);
const char *election_event_text(uint8_t type);
const char *election_action_text(uint8_t type);
const char *election_obstacle_text(uint32_t bit);

/* The value of /nodes/NAME/routerstate in this state; "" where nothing is to be written. */
const char *election_router_state(const struct election_config *config,
				  const struct election *state);

/* The table of allowed moves: bits of 1 << enum election_phase. */
uint32_t election_edges(uint8_t phase);
