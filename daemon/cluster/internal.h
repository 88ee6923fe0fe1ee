/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Shared by cluster.c, do.c, answers.c, repair.c, name.c, own_state.c and say.c: the owner of the parts in this wing. */

#include <ev.h>

#include "base/rights.h"
#include "cleanup.h"
#include "cluster.h"
#include "debt.h"
#include "ensemble.h"
#include "peers.h"
#include "recovery.h"
#include "registration.h"
#include "view.h"
#include "witness.h"
#include "writes.h"
#include "zk/lock/zkh_lock.h"

/* Requests that the servers may refuse, beside the election's operations: indices of said.refused[]. */
#define CLUSTER_OP_RENEWAL OP_NONE
#define CLUSTER_OP_LOCK OP_COUNT

struct cluster {
	struct ev_loop *loop;
	const struct config *config;
	struct log *log;
	const char *name;
	const char *boot_id;
	char machine_id[MACHINE_ID_SIZE];
	const struct election_config *rules;
	const struct election *election;
	cluster_fn on_event;
	void *userdata;

	struct zkh_session *session;
	struct ensemble ensemble;
	struct view view;
	struct term term;
	struct writes writes;
	struct registration registration;
	struct survivor survivor;
	struct witness witness;
	struct recovery recovery;
	struct debt debt;
	struct peers peers;
	struct cleanup cleanup;
	struct zkh_lock *lock;
	struct zkh_op *state_op, *health_op;
	char health[KEY_VALUE_MAX];
	char move[DETAIL_MOVE_SIZE]; /* the end of the detail: what it says of the last move */
	int64_t stopping_us;	     /* since then this node stops its work; 0: it does not */
	bool attached;		     /* to a server of the known ensemble: the election was told */
	bool has_session; /* the election, or that of the process before, takes a session for its own */
	bool farewell;	     /* nothing is told any more but the end */
	ev_timer memory_due; /* all terms of before this node came to the cluster are over */
	char acted[NAME_SIZE], acted_before[NAME_SIZE]; /* the last two acting primaries seen */
	int64_t acted_epoch;

	/* repair.c */
	struct {
		bool registering;  /* the election's REGISTER is under way, else a repair */
		bool wanted;	   /* once what is under way has ended */
		bool refused;	   /* nothing is tried before the next look */
		unsigned looks;	   /* that found nothing missing since the last repair */
		unsigned refusals; /* in a row */
		ev_timer look;	   /* the next look */
	} repair;
	struct {
		ev_timer look; /* while some are missing: the next trial */
		unsigned looks;
		struct rights tried;		/* of that trial */
		char missing[RIGHTS_TEXT_SIZE]; /* "": none */
	} rights;

	/* fence_check.c */
	struct {
		bool asked;  /* for the names of all nodes */
		bool untold; /* the own detail does not say `failed` yet */
		struct zkh_op *list_op, *write_op;
		char failed[DETAIL_FENCE_SIZE];
	} fence_check;

	/* name.c */
	int64_t foreign_since_us; /* another session holds our name since; 0: no */
	struct {
		bool asked;	  /* the start is held back */
		int64_t until_us; /* at the most, as long as nobody is seen */
		struct zkh_op *op;
		ev_timer look;
	} cold;

	/* pardon.c */
	struct {
		struct zkh_mirror mirror;
		struct zkh_op *op; /* the answer */
		int32_t version;   /* of the key that it answers */
	} pardon;

	/* maintenance.c */
	struct {
		ev_periodic end; /* by the wall clock */
		struct zkh_op *op;
		int64_t tried; /* mzxid of the key that was to be deleted; 0: none */
	} maintenance;

	/* say.c: what was said last */
	struct {
		bool missing;			/* and the keys were not made again since */
		uint64_t wide;			/* the text's hash */
		uint64_t refused[OP_COUNT + 1]; /* since it last succeeded; 0: nothing */
		char primary[NAME_SIZE];
		bool drained, maintenance, trace;
		int64_t maintenance_end_ms;
	} said;
};

/* cluster.c */
void cluster_emit(struct cluster *c, enum cluster_event_type type);
void cluster_post(struct cluster *c, const struct election_event *event);
void cluster_post_result(struct cluster *c, enum election_event_type type,
			 enum election_result result, int32_t count);
void cluster_post_done(struct cluster *c, enum election_op op, enum election_result result,
		       int64_t zxid);
void cluster_refuse(struct cluster *c, int code);
/* The session is there: its events begin for the election. */
void cluster_attached(struct cluster *c, bool fresh);
/* Tells the election at once that the session is lost; the caller sees to it that the session ends. */
void cluster_give_up(struct cluster *c);
/* The same, and opens a new session in its place. */
void cluster_leave_session(struct cluster *c);
/* Acting primary and holder as they are now: for commands and for every entry of the log. */
void cluster_note_primary(struct cluster *c);

/* do.c */
void cluster_do(struct cluster *c, const struct election_action *action);
/* What this node publishes of itself beyond its other keys; op: what it is written along with. */
void cluster_describe(struct cluster *c, enum election_op op);
/* The same with what it says of the last move as it is. */
void cluster_describe_again(struct cluster *c);

/* fence_check.c */
/* Sends what waits for a server, or for this node to be registered. */
void cluster_settle_fence_check(struct cluster *c);
void cluster_fence_check_cancel(struct cluster *c);

/* own_state.c */
/* Writes one of the own keys, once this node is registered: registration writes them all. The last write counts. */
void cluster_publish(struct cluster *c, enum node_key key, const char *text, zkh_commit_fn done,
		     struct zkh_op **op);
void cluster_publish_own_health(struct cluster *c);
/* Ends what is under way but the writes of the own health and state, for good. */
void cluster_cancel(struct cluster *c);

/* answers.c */
void cluster_init_parts(struct cluster *c);
void cluster_lock(struct cluster *c);
void cluster_scan(struct cluster *c);
void cluster_count_peers(struct cluster *c);
void cluster_fence(struct cluster *c);

/* repair.c */
void cluster_repair_init(struct cluster *c);
void cluster_repair_finish(struct cluster *c);
void cluster_register(struct cluster *c);
/* Makes keys again that somebody deleted; later, if that is not possible now. */
void cluster_repair(struct cluster *c);
/* The servers refused something of this node's keys: all are written anew after a while. */
void cluster_repair_later(void *userdata);

/* pardon.c */
/* Attached: from now on the key is followed. fresh: in a new session, so what was read before the gate opened is read again. */
void cluster_pardon_start(struct cluster *c, bool fresh);
void cluster_pardon_finish(struct cluster *c);

/* maintenance.c */
void cluster_maintenance_init(struct cluster *c);
void cluster_maintenance_finish(struct cluster *c);
/* The view has changed: waits for the end of a maintenance that has one. */
void cluster_maintenance_follow(struct cluster *c);

/* name.c */
/* The other session is one that this very process has left behind. */
bool cluster_is_own_past(const struct cluster *c, const struct registration_report *report);
/* Another session holds our name: waits a while from the first report on, then refuses to go on. */
void cluster_meet_foreign(struct cluster *c, const struct registration_report *report,
			  int64_t session_us);
/* While the start is held back: instead of telling the election what happened to the session. */
void cluster_cold_look(struct cluster *c);
void cluster_cold_finish(struct cluster *c);

/* say.c */
void cluster_say_view(struct cluster *c);
/* The penalty is ended, as asked for by that operator; or (result) could not be. */
void cluster_say_pardon(struct cluster *c, const char *who, int result);
/* A maintenance could not be ended in time. */
void cluster_say_endless(struct cluster *c, int result);
void cluster_say_session(struct cluster *c, const struct zkh_session_report *report);
void cluster_say_ensemble(struct cluster *c, enum ensemble_news news, const char *text);
void cluster_say_foreign(struct cluster *c, const struct registration_report *report, bool final);
/* Once for each text, until the operation succeeds. path: "" when unknown. */
void cluster_say_refused(struct cluster *c, enum election_op op, int result, const char *path);
/* What is missing, if that has changed (it is in the cluster), and what is too wide. */
void cluster_say_rights(struct cluster *c, const struct rights *rights, bool changed);
void cluster_say_junk(struct cluster *c, const char *path, const char *what);
/* The first key that is found missing, until all are made again. */
void cluster_say_missing(struct cluster *c, const char *path);
void cluster_say_repaired(struct cluster *c);
void cluster_say_corpse(struct cluster *c, enum recovery_news news, const char *name,
			const char *router_state, int64_t wait_us);
void cluster_say_superseded(struct cluster *c);
void cluster_say_trace(struct cluster *c, const struct registration_report *report);
void cluster_say_cut(struct cluster *c, int64_t waited_us);
void cluster_say_misfit(struct cluster *c, const char *text);
