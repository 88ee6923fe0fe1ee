/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Shared by the node's files only. */

#include "base/timer.h"
#include "cluster/cleanup.h"
#include "cluster/ensemble.h"
#include "cluster/recovery.h"
#include "cluster/registration.h"
#include "cluster/term.h"
#include "cluster/view.h"
#include "cluster/witness.h"
#include "cluster/writes.h"
#include "election/election.h"
#include "election/survivor.h"
#include "guard/lease_file.h"
#include "node.h"
#include "status/page.h"
#include "work/health.h"
#include "work/script.h"
#include "work/work.h"
#include "zk/lock/zkh_lock.h"
#include "zk/session/zkh_session.h"

/* Events waiting for the step under way: more than one answer an action cannot come at once. */
#define NODE_QUEUE_MAX 64

/* Requests that the servers may refuse, beside the election's operations. */
#define NODE_OP_RENEWAL OP_NONE
#define NODE_OP_LOCK OP_COUNT

struct node {
	struct ev_loop *loop;
	const struct config *config;
	struct log *log;
	const char *name;
	const char *boot_id;
	char machine_id[MACHINE_ID_SIZE];
	struct lease_file *lease;
	struct status_page *page;
	struct status shown; /* what the page says, but for the turns of the loop */
	ev_check turn;
	bool keep_state;
	node_exit_fn on_exit;
	node_status_fn on_status;
	void *userdata;

	struct election_config election_config;
	struct election election;
	struct election_event queue[NODE_QUEUE_MAX];
	unsigned queue_head, queue_length;
	bool stepping;
	struct timer timer;

	struct zkh_session *session;
	struct ensemble ensemble;
	struct zkh_op *state_op, *health_op;
	struct view view;
	struct term term;
	struct writes writes;
	struct registration registration;
	struct survivor survivor;
	struct witness witness;
	struct recovery recovery;
	/* The last takeover of this process. */
	struct {
		int64_t epoch;	      /* 0: none */
		bool remembers;	      /* this node knew of an epoch before it */
		char debt[NAME_SIZE]; /* who may have been at work before it, as in value_epoch() */
	} takeover;
	struct cleanup cleanup;
	struct zkh_lock *lock;
	struct health *health;
	struct work *work;
	struct script fence, follow;

	/* node_session.c */
	bool registering;	  /* the election's REGISTER is under way, else a repair */
	bool repair_wanted;	  /* once what is under way has ended */
	unsigned repair_looks;	  /* that found nothing missing since the last repair */
	bool repair_refused;	  /* nothing is tried before the next look */
	unsigned repair_refusals; /* in a row */
	ev_timer repair_look;	  /* the next look */
	ev_timer memory_due;	  /* all terms of before this node came to the cluster are over */
	ev_timer rights_look;	  /* while some are missing: the next trial */
	unsigned rights_looks;
	struct rights rights;		       /* of that trial */
	char rights_missing[RIGHTS_TEXT_SIZE]; /* "": none */
	bool locks_cleaned;	  /* lock nodes of the process before were looked for */
	int64_t foreign_since_us; /* another session holds our name since; 0: no */
	bool farewell;
	int exit_code;

	/* node_cold.c */
	bool cold;	       /* the start is held back */
	int64_t cold_until_us; /* at the most, as long as nobody is seen */
	struct zkh_op *cold_op;
	ev_timer cold_look;

	uint8_t named_because; /* enum election_reason: how this node came to be named */

	/* node_scripts.c */
	char fence_target[NAME_SIZE];
	struct script_environment health_environment;
	char acted[NAME_SIZE], acted_before[NAME_SIZE]; /* the last two acting primaries seen */
	int64_t acted_epoch;
	char followed[NAME_SIZE]; /* the primary that the follow command was told last */
	int64_t followed_epoch;

	/* node_state.c */
	struct state saved;
	int state_error;     /* of the last attempt to keep it */
	bool unkept;	     /* for that reason this node must not take over */
	bool used_up;	     /* nor for this: there is no higher epoch */
	ev_timer keep_retry; /* the next one */

	/* node_say.c: what was last said */
	bool said_missing;  /* and the keys were not made again since */
	uint64_t said_wide; /* the text's hash */
	uint64_t said_line; /* the hash of the last line of output, with its command and epoch */
	uint64_t said_refused[OP_COUNT + 1]; /* since it last succeeded; 0: nothing */
	char said_primary[NAME_SIZE];
	bool said_drained, said_maintenance, said_trace;
	int64_t claimed_us, takeover_us, relinquish_us;
};

#define NODE_USED_UP                                                                                    \
	"no epoch is left: /epoch, or the memory of a node, holds the highest; stop all nodes, delete " \
	"/epoch and their memory (the .cluster files in node.state-directory), start them"

/* node.c */
void node_post(struct node *node, const struct election_event *event);
void node_post_result(struct node *node, enum election_event_type type, enum election_result result,
		      int32_t count);
void node_post_done(struct node *node, enum election_op op, enum election_result result,
		    int64_t zxid);

/* node_session.c */
int node_session_start(struct node *node, const struct config_auth *auth,
		       const struct zkh_client_id *resume);
void node_session_stop(struct node *node);
/* The session is there: its events begin for the election. */
void node_attached(struct node *node, bool fresh);
void node_register(struct node *node);
/* Another session holds our name: waits a while from the first report on, then refuses to go on. */
void node_meet_foreign(struct node *node, const struct registration_report *report,
		       int64_t session_us);
void node_repair(struct node *node);
/* The servers refused something of this node's keys: all are written anew after a while. */
void node_repair_later(void *userdata);
void node_farewell(struct node *node);
void node_view_changed(void *userdata);
void node_publish_health(struct node *node, bool ok, const char *reason);
/* Ends with `code`, handing over first if need be. */
void node_refuse(struct node *node, int code);

/* node_cold.c */
void node_cold_hold(struct node *node);
/* While `cold`: instead of telling the election what happened to the session. */
void node_cold_look(struct node *node);
void node_cold_finish(struct node *node);

/* node_scripts.c */
int node_scripts_init(struct node *node);
void node_scripts_finish(struct node *node);
/* What a command is told; points into the node: to be used at once. */
struct script_facts node_facts(const struct node *node, const char *event, const char *reason);
/* Who acts is who acts now: commands are told who did before. */
void node_note_primary(struct node *node);
void node_fence(void *userdata, const char *name);
void node_recovery_cancel(struct node *node);
void node_tell_health(struct node *node, const char *reason);
void node_follow(struct node *node);
void node_script_ended(void *userdata, struct script *script, const struct command_result *result);
void node_script_line(void *userdata, struct script *script, const char *line);

/* node_work.c */
int node_work_init(struct node *node);
void node_work_finish(struct node *node);
void node_work_start(struct node *node);
void node_work_stop(struct node *node, uint8_t reason);
/* After each step, before its actions are carried out. */
void node_work_keep(struct node *node);

/* node_state.c */
/* Everything that a process after us needs, before the actions of this step are carried out. */
void node_keep(struct node *node);
/* Writes the state though nothing has changed: whether that is possible. */
void node_try_to_keep(struct node *node);
/*
 * Before a takeover is sent: raises the generation and saves the state that belongs to it, so that an older one is never
 * believed. Returns 0, or -errno: then it must not be sent; that was said.
 */
int node_keep_enter(struct node *node);
/* Whether a state that was loaded belongs to the lease file. */
bool node_state_agrees(const struct node *node, const struct state *state);
void node_state_init(struct node *node);
void node_state_finish(struct node *node);

/* show.c: the status page */
void node_show_init(struct node *node);
void node_show_finish(struct node *node);
/* What is as of now. */
void node_show(struct node *node);
/* At once, before anything is done about it: this node is not primary. */
void node_withdraw(void *userdata);
/* What a step adds to the counters. */
void node_count(struct node *node, const struct election *before,
		const struct election_event *event);
void node_count_guard_stop(struct node *node);

/* node_say_move.c */
void node_say_step(struct node *node, const struct election *before);

/* node_say.c */
/* What every entry tells beside its text; then_us 0: no such moment, 0. */
struct log_fields node_say_fields(const struct node *node);
int64_t node_say_since(const struct node *node, int64_t then_us);
void node_say_view(struct node *node);
void node_say_session(struct node *node, const struct zkh_session_report *report);
void node_say_ensemble(struct node *node, enum ensemble_news news, const char *text);
void node_say_started(struct node *node, bool resumed);
void node_say_foreign(struct node *node, const struct registration_report *report, bool final);
/* Once for each text, until the operation succeeds. path: "" when unknown. */
void node_say_refused(struct node *node, enum election_op op, int result, const char *path);
/* What is missing (it is in the node), and what is too wide. */
void node_say_rights(struct node *node, const struct rights *rights);
void node_say_junk(struct node *node, const char *path, const char *what);
/* The first key that is found missing, until all are made again. */
void node_say_missing(struct node *node, const char *path);
void node_say_repaired(struct node *node);
void node_say_corpse(struct node *node, enum recovery_news news, const char *name,
		     const char *router_state, int64_t wait_us);
void node_say_superseded(struct node *node);
void node_say_trace(struct node *node, const struct registration_report *report);
/* result: NULL when it begins. */
void node_say_fence(struct node *node, const char *name, const struct command_result *result);
void node_say_line(struct node *node, const char *script, const char *line);
void node_say_script(struct node *node, const char *script, const struct command_result *result);
void node_say_cut(struct node *node, int64_t waited_us);
void node_say_kill(struct node *node);
void node_say_obstacle(struct node *node, const char *obstacle);
void node_say_self_fence(struct node *node, const char *outcome);
void node_say_unit(struct node *node, enum work_unit_word word, bool ok, const char *text,
		   int64_t us);
void node_say_unit_failed(struct node *node, const char *text, bool system_stops);
void node_say_foreign_unit(struct node *node, const char *text);
void node_say_guard(struct node *node, enum event event, const char *text);
void node_say_health(struct node *node, bool ok, const char *reason);
void node_say_misfit(struct node *node, const char *text);
/* error 0: it works again. */
void node_say_state(struct node *node, int error);
/* The state is of another generation than the lease file. */
void node_say_older_state(struct node *node);
void node_say_stopped(struct node *node);
