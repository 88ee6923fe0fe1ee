/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The simulated world, shared by all files of the simulator. One struct, no pointers into the heap:
 * a run begins with a memset. Times are microseconds of true time unless a name says local (a
 * node's CLOCK_BOOTTIME).
 */

#include <stddef.h>
#include <stdint.h>
#include <stdbool.h>

#include "base/identity.h"
#include "base/keys.h"
#include "cluster/internal.h"
#include "election/election.h"
#include "election/lease.h"
#include "guard/guard.h"
#include "guard/lease_file.h"
#include "node/internal.h"
#include "params.h"
#include "queue.h"
#include "rng.h"
#include "tree.h"
#include "work/internal.h"
#include "zk/lock/zkh_lock_private.h"

#define MS INT64_C(1000)
#define SEC INT64_C(1000000)
#define NEVER INT64_MAX

#define SERVERS_MAX 5
#define SESSIONS_PER_NODE 16
#define SESSIONS_MAX 128 /* >= NODES_MAX * SESSIONS_PER_NODE: an id's low bits are its slot */
#define CONNS_PER_NODE 8
#define CONN_QUEUE 128
#define REQUESTS_MAX 1024
#define LOG_MAX 16384
#define LOCKS_WATCHED 16
#define LOOK_ROUND 10 /* mirrors at most, of which one each session timeout is read again */
#define OPS_MAX 256   /* of all nodes, see zkh.c */
#define TIMERS_MAX 64
#define OLD_SERVER_US (5 * SEC) /* an isolated server answers for at most this long */

/* -- ZooKeeper -- */

enum server_state { SERVER_DOWN, SERVER_LOOKING, SERVER_FOLLOWING, SERVER_LEADING };

struct sim_server {
	struct sim_tree tree;
	int64_t applied;   /* entries of the log in the tree */
	int64_t apply_at;  /* time of the last planned application */
	int64_t lag_until; /* applies late until then */
	int64_t report_phase;
	uint32_t stint; /* changes of state: timers of an older one mean nothing */
	int32_t epoch;	/* of the leader it follows or is */
	uint8_t state;	/* enum server_state */
	uint8_t cut;	/* from all other servers */
};

struct sim_session {
	int64_t base;		      /* last touch the leader knows of */
	int64_t timeout;	      /* that came with it */
	int64_t planned;	      /* when the timer looks next */
	int64_t created_timeout;      /* what the next leader will go by */
	int64_t pending[SERVERS_MAX]; /* a touch that this server will report then; 0: none */
	int64_t pending_timeout[SERVERS_MAX];
	int64_t closed_zxid;
	int32_t id;	/* 0: never used */
	uint32_t owner; /* connection that the leader takes requests from; 0: any */
	uint32_t timer; /* generation */
	int8_t node;
	uint8_t alive;
	uint8_t closing; /* expired by the leader, not committed yet */
};

/* Server's side of a connection. */
struct sim_conn {
	uint64_t watch;	    /* CHANGED_ bits */
	int64_t arrival[2]; /* last one planned: towards the server, towards the node */
	int64_t planned[2]; /* when that was */
	int64_t held
		[2]; /* what met a cut waits until then, also when the path is whole again before */
	int64_t commit_at;	     /* last one planned */
	int64_t proposed, committed; /* order of the last transaction */
	int64_t arrived;	     /* order of the last request */
	int64_t timeout;	     /* granted */
	uint32_t gen;
	int32_t session;
	int32_t locks[LOCKS_WATCHED]; /* uids of lock nodes watched; 0: none */
	int8_t server, node;
	uint8_t open;
	uint8_t asking; /* the server has its session looked at by the leader */
	uint8_t lost;	/* closed by the client, what was on its way is lost too */
	uint8_t syncing;
	uint8_t dropped; /* one of its transactions will never commit: no later one either */
	uint16_t busy;	 /* transactions that wait for the leader */
	uint8_t head, count;
	uint16_t queue[CONN_QUEUE];
};

struct sim_entry {
	struct sim_txn txn;
	int64_t at[SERVERS_MAX];
	int32_t request; /* -1: none waits */
	int8_t origin;
};

enum request_type { REQUEST_PING, REQUEST_READ, REQUEST_SYNC, REQUEST_TXN };

/* What its sender wants with it. */
enum request_purpose {
	FOR_NOTHING,
	FOR_CALL, /* of zkh.c */
	FOR_FAREWELL,
};

/* Who holds it: exactly one of these may free it. */
enum request_stage {
	STAGE_FREE,
	STAGE_FLIGHT,	/* an event, towards the server */
	STAGE_QUEUED,	/* the connection's queue */
	STAGE_PROPOSED, /* an event, at the leader */
	STAGE_STALLED,	/* nobody: waits for a quorum or for the link */
	STAGE_APPLYING, /* an entry of the log */
	STAGE_REPLY,	/* an event, towards the node */
};

/* What zkh.c reads: a key, or the names below /nodes. */
enum sim_key {
	SIM_KEY_NONE,
	SIM_KEY_ROOT,
	SIM_KEY_HISTORY,
	SIM_KEY_NODES,
	SIM_KEY_NODE, /* the names of what is below it */
	SIM_KEY_PRIMARY,
	SIM_KEY_POST,
	SIM_KEY_EPOCH,
	SIM_KEY_MAINTENANCE,
	SIM_KEY_CLUSTER,
	SIM_KEY_LOCKS, /* the list of the lock nodes */
	SIM_KEY_LOCK,
	SIM_KEY_MODE,
	SIM_KEY_STATE,
	SIM_KEY_ROUTER,
	SIM_KEY_ALIVE,
	SIM_KEY_DRAIN,
	SIM_KEY_PARDON, /* never there */
	SIM_KEY_KEEPALIVE,
	SIM_KEY_HEALTH,
	SIM_KEY_DETAIL,
};

struct sim_sight {
	struct tree_keepalive keepalive;
	int64_t czxid, mzxid;
	int64_t generation, epoch;
	int32_t version, session, machine, boot, id;
	uint16_t names; /* bits of nodes; of a node: of enum own_bit */
	char router;
	int8_t name;
	uint8_t there, denied;
	uint8_t result; /* enum zkh_result */
};

struct sim_request {
	struct sim_txn txn;
	int64_t order, zxid, sent_local;
	uint32_t gen;		/* of the connection */
	int32_t keep_version;	/* ENTER: that of the keepalive */
	int64_t stalled_at;	/* length of the log then */
	int64_t previous;	/* order of the transaction before it on its connection */
	struct sim_sight sight; /* FOR_CALL */
	int32_t epoch;		/* of the leader it was proposed to */
	int64_t call_order;
	int32_t lock_sequence;		   /* LOCK: that of the node */
	struct tree_lock locks[LOCKS_MAX]; /* of a list of them */
	int32_t lock_count;
	int16_t call; /* FOR_CALL: the operation */
	uint16_t next_free;
	uint8_t type, purpose, stage, op, result;
	uint8_t proposed; /* other servers may have it */
	uint8_t key;	  /* FOR_CALL: enum sim_key, of that node */
	int8_t of, bit;	  /* of its changes */
	bool watch, exists;
	int8_t node;
};

/* -- nodes -- */

enum link { LINK_NONE, LINK_WAIT, LINK_CONNECTING, LINK_ATTACHED };
enum daemon { DAEMON_DOWN, DAEMON_UP, DAEMON_GONE };
enum truth { TRUTH_DOWN, TRUTH_STARTING, TRUTH_UP, TRUTH_STOPPING };

enum probe { PROBE_NONE, PROBE_WANTED, PROBE_SENT };

struct sim_client {
	int64_t last_zxid, heard, spoke, timeout;
	int64_t down_since; /* not attached */
	uint32_t conn;	    /* generation of the newest connection */
	uint32_t timer;	    /* generation */
	int32_t session;    /* 0: a new one is wanted */
	int32_t waiting;    /* requests unanswered */
	/* Of servers that refuse the session since it was attached last, see client.c. */
	int64_t probe_zxid;
	int32_t failures, next_probe;
	int8_t server, doubted;
	uint8_t probing; /* enum probe */
	uint8_t granted;
	uint8_t leaving; /* the session is given up: nothing more is sent in it */
	uint8_t link;	 /* enum link */
};

/* A command of the work that runs on the host. */
struct sim_command {
	uint32_t gen;
	uint8_t runs;
	uint8_t awaited; /* by the process that started it */
};

#define WORK_EVENTS_MAX 16

struct sim_work {
	struct sim_command takeover, stop;
	uint32_t kill_gen;
	uint8_t truth; /* enum truth */
	uint8_t lock;  /* the daemon holds that of the work */
	uint8_t died;  /* as the health command says until it has been stopped */
	uint8_t dying; /* it was killed */
};

enum stop_of { STOP_OF_NOBODY, STOP_OF_DAEMON, STOP_OF_GUARD };

/* The lease file. It survives both. */
struct sim_page {
	int64_t end_local; /* 0: disarmed */
	uint32_t watch;	   /* odd while one is on */
	uint32_t marked;   /* the watch that the mark is of */
	uint8_t mark;	   /* enum lease_mark */
	uint8_t stop;	   /* enum stop_of: whose relinquish command was noted last */
};

/* Another process on the node's session, as with a copied runtime directory. */
struct sim_twin {
	int64_t nonce, since; /* nonce: negative; 0: there is none */
	int32_t session, version, epoch_version;
	uint8_t went_on; /* later than T after that it still did; so did the node after it */
	uint8_t rivals;
};

/* What the daemon knows of its guard. */
enum guard_known { GUARD_UNKNOWN, GUARD_STARTS, GUARD_WATCHES };

struct sim_guard {
	guard_died_fn on_died;
	guard_done_fn done;
	void *userdata; /* of both */
	struct keeper keeper;
	struct keeper_event queue[WORK_EVENTS_MAX];
	struct sim_command stop;
	int64_t end_local; /* of the lease, as it saw it last */
	int64_t gone_at;   /* the work runs without a guard since; 0: it does not */
	uint32_t watch, timer_gen;
	uint32_t spawn; /* generation of the process */
	int32_t queued;
	uint8_t alive, watching, acted;
	uint8_t decides; /* it has marked, and not looked for the last time */
	uint8_t lock;	 /* it holds that of the work */
	uint8_t known;	 /* enum guard_known */
};

/* An operation of zkh.c that is under way. */
struct zkh_op {
	int64_t order; /* 0: free */
	zkh_get_fn on_get;
	zkh_exists_fn on_exists;
	zkh_children_fn on_children;
	zkh_done_fn on_done;
	zkh_commit_fn on_commit;
	void *userdata;
	size_t failed;
	int8_t node;
	bool sent;
};

/* Of a lock node: the one that is waited for, or the own one. */
#define LOCK_WATCHES 4
struct sim_lock_watch {
	struct zkh_watch *watch; /* NULL: free */
	int32_t uid;
	char path[KEY_PATH_SIZE];
};

/* Of libev, armed by what is linked of the daemon. */
struct sim_timer {
	struct ev_timer *timer;
	uint32_t gen;
};

struct sim;
struct sim_node;

/* What a process is told from outside. */
enum process_news {
	TELL_GATHERED, /* nothing more comes together with what came */
	TELL_HEALTH,   /* that of the work */
	TELL_SICK,     /* says the health command */
	TELL_WELL,
	TELL_SHUTDOWN,
	TELL_CLOSED, /* the session */
};

typedef void (*process_turn_fn)(struct sim *w, struct sim_node *n, const struct queue_event *ev);

/* A turn of its loop: one event, and what follows from it. */
struct sim_turn {
	process_turn_fn fn;
	struct queue_event event;
	enum { TURN_OVER, TURN_RUNS, TURN_STOPPED, TURN_KILLED } state;
	uint8_t stop_in; /* at which call it is stopped; 0: at none */
	uint8_t kills;	 /* for good */
	bool news;	 /* of the network */
	bool exits, reboots;
};

/* A timer of base/timer.h. */
#define ALARMS_MAX 6
struct sim_alarm {
	struct timer *timer;
	int64_t at; /* it is looked at; 0: it is not planned */
};

struct sim_node {
	struct election core; /* after its last step */
	struct election_config config;
	struct sim_client client;
	struct sim_work work;
	struct node *node; /* NULL: the daemon is down */
	struct sim_turn turn;
	ev_io *fed; /* something waits for the election */
	bool gathering;
	struct sim_alarm alarms[ALARMS_MAX];
	struct state file;
	bool file_there;
	bool sick; /* says the health command */
	uint32_t fence_gen;
	int64_t lock_began, lock_placed; /* asked for; known to be behind another, 0: not */
	void (*on_closed)(void *userdata, int result); /* of a session that is closed */
	void *closed_userdata;
	int32_t closed_session;
	struct sim_page page;
	struct sim_guard guard;
	struct {
		struct identity known;
		int64_t memory_epoch;
		bool refused;
	} left; /* as the last process knew it */
	zkh_session_fn on_session;
	void *session_userdata;
	struct sim_timer timers[TIMERS_MAX];
	struct zkh_mirrors *mirrors;
	struct zkh_listener *listeners, *listener_next; /* next: to be called */
	struct sim_lock_watch lock_watches[LOCK_WATCHES];
	unsigned holds;		       /* see zkh_session_hold() */
	struct zkh_watch *watches[64]; /* by the bits of what they are for */
	struct sim *world;
	char boot_text[BOOT_ID_SIZE];
	struct sim_twin twin;
	int64_t rank;
	struct identity disk, disk_next; /* its memory, written beside the loop, a moment later */
	int64_t disk_due;		 /* then the next is written; 0: it is */
	int64_t state_fails_until;
	int64_t wants_us;    /* session timeout it asks for */
	int64_t ghost_until; /* the machine that bore this name before works until then */
	int32_t machine, boot;
	int64_t page_epoch;	  /* of the page of the lease, as the next */
	uint64_t page_generation; /* of the file that belongs to it */
	int64_t clock_offset, clock_ppm;
	int64_t paused_until, frozen_until, pause_credit_at;
	int64_t shown_until;   /* local: what the status page says; it outlives the daemon */
	int64_t lease_proof;   /* local: end of the longest lease that a commit has opened */
	int64_t waits_over;    /* local: when the terms that it found are over; 0: it found none */
	int64_t disturbed;     /* last fault that may delay what this node does */
	int64_t await_at;      /* named, as it knows, since then */
	int64_t up_since;      /* of the daemon */
	int64_t unruly_since;  /* its work is not in order, as it is known, since then */
	int64_t penalty_end;   /* local */
	int64_t enter_claim;   /* mzxid of the key that names this node, of the last takeover */
	int64_t refused_claim; /* the takeover of that claim was refused; 0: none */
	int64_t claimed, claimed_at; /* mzxid of the key that was claimed last */
	int32_t claims;		     /* of that, each soon after the one before */
	int64_t blind_until;
	int64_t untold;	      /* the last change that a server did not tell it; 0: none */
	uint32_t blind;	      /* mirrors of these keys fail: bits of enum sim_key */
	uint8_t blind_denied; /* for access denied */
	int64_t instant, instant_steps;
	int64_t steps;
	int32_t term_session; /* in which the work was started; 0: it is known to be down since */
	uint32_t incarnation;
	uint8_t daemon; /* enum daemon */
	uint8_t host_up;
	uint8_t id;
};

struct sim_stats {
	int64_t runs, steps, events, elections, takeovers, resumes, expiries, failed_starts,
		late_commits;
	int64_t conflicts, unknown, kills, guard_stops, self_fences, fences, leaders, out_of_order;
	int64_t foreign; /* ensembles met that were not the known one */
	int64_t faults[FAULT_COUNT];
};

struct sim {
	const struct sim_options *options;
	struct rng rng;
	struct queue queue;
	int64_t now;
	struct sim_params params;
	int32_t node_count, server_count;
	struct sim_node nodes[NODES_MAX];

	struct sim_tree tree; /* what is committed */
	struct sim_server servers[SERVERS_MAX];
	struct sim_session sessions[SESSIONS_MAX];
	struct sim_conn conns[NODES_MAX][CONNS_PER_NODE];
	struct sim_entry log[LOG_MAX];
	int64_t log_end, zxid, order;
	int32_t leader; /* -1: none that could commit anything */
	int32_t epoch, session_count;
	int64_t path_cut[NODES_MAX][SERVERS_MAX][2]; /* until then */
	int64_t slow_until;
	int64_t fsync_until, fsync_us; /* commits in groups, that slowly */
	int64_t nonces;
	struct {
		struct sim_tree tree;
		int32_t sessions[SESSIONS_MAX];
		uint8_t there;
	} backup;
	int32_t machines, ids;

	struct sim_request requests[REQUESTS_MAX];
	uint16_t request_free;
	struct zkh_op ops[OPS_MAX];
	int64_t op_order;

	/* the oracle's own memory */
	int64_t claim_at, key_changed_at, key_created_at, restored_at, last_epoch, faults_off_at,
		liveness_bound;
	int32_t running; /* nodes whose work runs */
	int32_t last_epoch_node;
	uint8_t epochs_lost; /* the store was set back since work was started last */

	int8_t named; /* since claim_at */
	bool calm;    /* faults are off */
	int64_t calm_steps[NODES_MAX];
	int64_t calm_epoch; /* of the primary whose keepalive was deleted when all was well; 0: nobody's */
	uint16_t corpses; /* when the post was taken, by that node */
	int8_t corpses_of;
	int64_t alive_deleted[NODES_MAX], post_since, post_lost_at;
	/* What a node needs to be able to claim; whoever asks for it key by key may see some from before a change. */
	uint8_t fit[NODES_MAX]; /* bits; 0: no coordinator */
	int64_t fit_changed[NODES_MAX];

	struct sim_stats stats;
	bool failed;
	bool tracing;
	char failure[256];
};

/* Whether the world is to be wrong in this way (--mutate). */
static inline bool sim_mutated(const struct sim *w, enum sim_mutation m)
{
	return w->options->mutations & UINT64_C(1) << m;
}

/* sim.c */
__attribute__((format(printf, 2, 3))) void sim_fail(struct sim *w, const char *format, ...);
void sim_schedule(struct sim *w, int64_t at, uint8_t type, int node, uint32_t gen, uint32_t arg);
/* The event comes later; its place among those of that moment is the one that it was given at first. */
void sim_hold(struct sim *w, const struct queue_event *ev, int64_t until);

/* trace.c; call it through SIM_TRACE only */
__attribute__((format(printf, 2, 3))) void trace_line(struct sim *w, const char *format, ...);
void trace_dump(void);
void trace_reset(void);
#define SIM_TRACE(w, ...)                                                                          \
	do {                                                                                       \
		if (__builtin_expect((w)->tracing, 0))                                             \
			trace_line(w, __VA_ARGS__);                                                \
	} while (0)

/* params.c */
void params_draw(struct sim *w);
const char *params_text(const struct sim *w);
int64_t params_liveness_us(const struct sim *w);

/* zk_server.c: servers, leaders, the log */
void server_start(struct sim *w);
bool server_linked(const struct sim *w, int s);
bool server_can_commit(const struct sim *w);
void server_advance(struct sim *w, int s);
void server_crash(struct sim *w, int s, int64_t down_us, bool dark);
void server_isolate(struct sim *w, int s, int64_t until);
void server_backup(struct sim *w);
/* The ensemble is stopped, and begins anew with the data of the backup, or with none. */
void server_restore(struct sim *w);
void server_heal_all(struct sim *w);
void server_on_event(struct sim *w, const struct queue_event *ev);

/* zk_commit.c: requests at the leader */
int64_t commit_latency(struct sim *w);
enum txn_result commit_txn(struct sim *w, const struct sim_txn *txn, int32_t request, int origin);
void commit_on_event(struct sim *w, uint32_t request);
void commit_resume_stalled(struct sim *w);
/* A new leader has some of what the old one proposed, in its order. */
void commit_inherited(struct sim *w);

/* zk_session.c */
struct sim_session *session_get(struct sim *w, int32_t id);
int32_t session_create(struct sim *w, int node, int64_t timeout);
void session_touch(struct sim *w, struct sim_session *s, int server, int64_t timeout);
/* The leader confirms that the session moved to another server, which grants that much. */
void session_moved(struct sim *w, struct sim_session *s, int64_t timeout);
int64_t session_granted(const struct sim *w, int node, int server);
/* The leader's clock jumps. */
void session_step_clock(struct sim *w, int64_t by);
void session_server_gone(struct sim *w, int server);
void session_server_cut(struct sim *w, int server);
void session_server_linked(struct sim *w, int server);
void session_new_leader(struct sim *w);
void session_closed(struct sim *w, int32_t id);
void session_on_expire(struct sim *w, uint32_t slot);

/* zk_conn.c: connections and requests on their way */
struct sim_conn *conn_get(struct sim *w, int node, uint32_t gen);
struct sim_request *request_create(struct sim *w, struct sim_node *n, uint8_t type,
				   uint8_t purpose);
void request_free(struct sim *w, struct sim_request *r);
void request_send(struct sim *w, struct sim_request *r);
void request_reply(struct sim *w, struct sim_conn *c, struct sim_request *r);
void conn_pump(struct sim *w, struct sim_conn *c);
void conn_arrive(struct sim *w, const struct queue_event *ev);
void conn_close_by_server(struct sim *w, struct sim_conn *c, bool silent);
void conn_close_session(struct sim *w, int server, int node, int32_t session);
void conn_close_all(struct sim *w, int server, bool silent);
void conn_tell_watches(struct sim *w, int server, uint64_t changed);
void conn_on_connect(struct sim *w, const struct queue_event *ev);
void conn_on_revalidate(struct sim *w, const struct queue_event *ev);
/* Until when a message that has come to the end of its way is held up there; 0: it is not. */
int64_t conn_held_up(const struct sim *w, struct sim_conn *c, int direction);
int64_t conn_arrival(struct sim *w, struct sim_conn *c, int direction);

/* client.c: the library in the node */
int64_t path_latency(struct sim *w);
void client_begin(struct sim *w, struct sim_node *n);
bool client_connected(const struct sim_node *n);
void client_end(struct sim *w, struct sim_node *n);
void client_lose(struct sim *w, struct sim_node *n);
void client_on_timer(struct sim *w, struct sim_node *n, const struct queue_event *ev);
void client_on_attached(struct sim *w, struct sim_node *n, const struct queue_event *ev);
void client_on_closed(struct sim *w, struct sim_node *n, const struct queue_event *ev);
void client_on_reply(struct sim *w, struct sim_node *n, const struct queue_event *ev);
enum closed_by { CLOSED_BY_SERVER, CLOSED_HERE };
/* The session is left as it is, not closed. */
void client_give_up(struct sim *w, struct sim_node *n);
void client_on_unacked(struct sim *w, struct sim_node *n, const struct queue_event *ev);
void client_on_watch(struct sim *w, struct sim_node *n, const struct queue_event *ev);

/* process.c: the process of a daemon */
void process_begin(void);
void process_start(struct sim *w, struct sim_node *n, const struct queue_event *ev);
void process_kill(struct sim *w, struct sim_node *n);
/* Frees it, at the end of a run. */
void process_end(struct sim_node *n);
/* One of its loop. What ends it is done afterwards. */
void process_turn(struct sim *w, struct sim_node *n, process_turn_fn fn,
		  const struct queue_event *ev);
/* It was stopped within a turn, and is not any more. */
void process_go_on(struct sim *w, struct sim_node *n);
/* It calls for something outside of it: chance may stop it here. */
void process_stop_point(struct sim_node *n);
void process_post(struct sim *w, struct sim_node *n, int64_t delay, enum process_news news);
void process_on_news(struct sim *w, struct sim_node *n, const struct queue_event *ev);
void process_on_timer(struct sim *w, struct sim_node *n, const struct queue_event *ev);
void sim_election_step(const struct election_config *config, struct election *state,
		       const struct election_event *event, struct election_actions *ret_actions);
/* What is asked of a process that is gone is answered as it was then. */
const struct identity *process_known(const struct sim_node *n);
int64_t process_memory_epoch(const struct sim_node *n);
/* It may not read what it has to know. */
bool process_is_refused(const struct sim_node *n);
/* Behind others, as it knows, and waiting. */
bool process_waits_for_lock(const struct sim_node *n);

static inline struct cluster *cluster_of(const struct sim_node *n)
{
	return n->node->cluster;
}

static inline const struct keeper *keeper_of(const struct sim_node *n)
{
	return &n->node->work->keeper;
}

/* What the product takes for its loop, its log or its files is the node. */
static inline struct sim_node *node_of(const void *handle)
{
	return (struct sim_node *)(uintptr_t)handle;
}

/* files.c */
const struct config *files_config(const struct sim *w, const struct sim_node *n);
/* Which cluster the store is of. */
void files_see_cluster(const struct sim_tree *t, struct identity_seen *ret_seen);
uint8_t page_mark(const struct sim_node *n);

/* zkh.c: the ZooKeeper module for what is linked of the daemon */
void zkh_begin(struct sim *w);
/* From here on the daemon of that node runs: it is its clock, and its machine. */
void zkh_enter(struct sim_node *n);
struct sim_node *zkh_current(void);
const char *node_name(int node);
int node_of_name(const char *name);
/* As value_epoch() has it. */
int8_t owner_of_name(const char *name);
void zkh_on_timer(struct sim *w, struct sim_node *n, const struct queue_event *ev);
/* At the server; returns what is watched from then on. */
uint64_t zkh_answer(struct sim *w, const struct sim_tree *t, struct sim_request *r);
void zkh_on_call(struct sim *w, struct sim_node *n, const struct queue_event *ev);
void zkh_reply(struct sim *w, const struct sim_request *r);
/* The bit of its changes; -1: nobody watches it. */
int zkh_bit_of(const char *path);
/* Whether the server tells it of a change. */
bool zkh_is_told(const struct sim *w, const struct sim_node *n, int bit);
/* Of the lock node at that path; 0: it is none. */
int32_t zkh_lock_uid(const char *path);
struct sim_node *zkh_node_of(const struct zkh_session *session);
void zkh_attached(struct sim_node *n, bool fresh);
/* The connection is lost: all that is under way ends. */
void zkh_detached(struct sim_node *n);
void zkh_expired(struct sim_node *n);
/* The process is gone. */
void zkh_drop(struct sim_node *n);
void zkh_machine_text(int32_t machine, char *ret, size_t size);
void zkh_format_cluster(int32_t id, int64_t generation, char *ret_text);
void zkh_on_renew(struct sim *w, struct sim_node *n, const struct queue_event *ev);
void zkh_format_keepalive(const struct tree_keepalive *k, char *ret_text);

/* zkh_hooks.c */
void zkh_hooks_detached(struct sim_node *n);
/* Connected, before anything else is sent: the mirrors read. */
void zkh_hooks_attached(struct sim_node *n);
/* The process is gone: what hangs on its session is freed. */
void zkh_hooks_end(struct sim_node *n);
/* What this bit is of has changed. */
void zkh_hooks_fire(struct sim_node *n, int bit, bool is_there);
void zkh_hooks_fire_lock(struct sim_node *n, int32_t uid);
void zkh_hooks_expired(struct sim_node *n);

/* host.c: the disk */
/* What the disk has by now. */
void disk_settle(struct sim *w, struct sim_node *n);
void disk_keep(struct sim *w, struct sim_node *n);

/* work.c: the work, and the commands of the daemon */
/* The process is gone. */
void work_end(struct sim_node *n);
/* The host is off. */
void work_off(struct sim *w, struct sim_node *n);
/* To the daemon, unless it is stopped: later. */
void work_notify(struct sim *w, struct sim_node *n, uint8_t type, uint8_t result, uint32_t tag);
void work_on_notice(struct sim *w, struct sim_node *n, const struct queue_event *ev);
void work_on_event(struct sim *w, struct sim_node *n, const struct queue_event *ev);
void work_on_fence(struct sim *w, struct sim_node *n, const struct queue_event *ev);
void work_die(struct sim *w, struct sim_node *n);
void work_run_stop(struct sim *w, struct sim_node *n, enum stop_of whose);
void work_kill_takeover(struct sim *w, struct sim_node *n);
void work_kill_guards_stop(struct sim *w, struct sim_node *n);
/* All that the takeover command has started. True: nothing is left. */
bool work_clean_up(struct sim *w, struct sim_node *n);
/* Of the relinquish command that the lease file tells of. */
bool page_stop_runs(const struct sim_node *n);
uint32_t page_stop_number(const struct sim_node *n);
void page_stop_kill(struct sim *w, struct sim_node *n);
int sim_reboot(int how);

/* guard.c */
void guard_on_event(struct sim *w, struct sim_node *n, const struct queue_event *ev);
void guard_on_notice(struct sim *w, struct sim_node *n, uint8_t type, uint8_t result, uint32_t tag);
void guard_stop_ended(struct sim *w, struct sim_node *n, uint8_t result);
void guard_die(struct sim *w, struct sim_node *n);
/* Work with nobody but the daemon to stop it. */
bool guard_missing(const struct sim_node *n);

/* host.c: clocks, pauses, crashes */
int64_t clock_local(const struct sim *w, const struct sim_node *n);
int64_t clock_true(const struct sim *w, const struct sim_node *n, int64_t local);
void host_crash_daemon(struct sim *w, struct sim_node *n, bool state_lost, int64_t down_us);
/* What the node remembers of its cluster: a process that runs need not have saved it. */
const struct identity *host_known(const struct sim_node *n);
/* The memory of the cluster is removed by hand, and the daemon started anew. */
void host_forget(struct sim *w, struct sim_node *n);
void host_copy(struct sim *w, struct sim_node *n);
void host_on_twin(struct sim *w, struct sim_node *n);
void host_replace(struct sim *w, struct sim_node *n, int64_t down_us);
void host_power_off(struct sim *w, struct sim_node *n, int64_t down_us);
void host_pause_daemon(struct sim *w, struct sim_node *n, int64_t pause_us);
void host_pause(struct sim *w, struct sim_node *n, int64_t pause_us, bool clock_stops);
int host_close_result(struct sim *w, const struct sim_node *n);
void host_depart(struct sim *w, struct sim_node *n);
/* If it is configured to. */
void host_self_fence(struct sim *w, struct sim_node *n);
void host_on_boot(struct sim *w, struct sim_node *n, const struct queue_event *ev);

/* chaos.c, operators.c */
void chaos_on_event(struct sim *w);
void chaos_ambush(struct sim *w, struct sim_node *n);
void chaos_off(struct sim *w);
void operator_do(struct sim *w, enum sim_fault what);
void operator_on_event(struct sim *w, const struct queue_event *ev);

/* oracle.c */
void oracle_step(struct sim *w, struct sim_node *n, uint8_t phase_before);
void oracle_running(struct sim *w, struct sim_node *n, bool running);
void oracle_start(struct sim *w, struct sim_node *n);
/* One of the two commands of the work begins. */
void oracle_command(struct sim *w, const struct sim_node *n, const char *what);
/* The guard steps in. */
void oracle_guard(struct sim *w, const struct sim_node *n);
/* The core was told that its work did not start. */
void oracle_start_failed(struct sim *w, struct sim_node *n);
void oracle_do(struct sim *w, struct sim_node *n, uint8_t op);
struct sim_before {
	int64_t key_mzxid;
	int8_t key, post;
};
void oracle_commit(struct sim *w, const struct sim_txn *txn, enum txn_result result,
		   struct sim_before before);
/* A term was opened or prolonged by a commit. */
void oracle_term(struct sim *w, const struct sim_txn *txn);
/* The machine of before works on without its name. */
void oracle_ghost(struct sim *w, struct sim_node *n, int64_t until);
/* A request leaves its node. */
void oracle_send(struct sim *w, const struct sim_request *r);
/* The node has counted those that it lets go first. */
void oracle_peers(struct sim *w, const struct sim_node *n, int32_t count);
/* The ensemble was set back, or emptied. */
void oracle_restored(struct sim *w);
/* Something begins to stop the work. */
void oracle_stop(struct sim *w, const struct sim_node *n);
/* What a step asked for is carried out. */
void oracle_show(struct sim *w, struct sim_node *n);
/* From here on there should be rest. */
void oracle_calm(struct sim *w);
void oracle_liveness(struct sim *w);
