/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What the other nodes left behind, by the survivor's rule (survivor.h). Finds the nodes that did not report that their
 * work is down (router state takeover, primary, relinquish, or unreadable), and reports when their terms are over.
 * Fences those that are dead and marks them as dead; if a mark is refused, the takeover continues without it. A node
 * that is alive and says that it acts is waited for until it has stopped.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/keys.h"
#include "election/election.h"
#include "election/survivor.h"
#include "zk/session/zkh_op.h"

#define CORPSES_MAX 64	       /* more are dealt with in the next look */
#define SURVEY_NODES_MAX 16384 /* that are asked; with more, nobody can be ruled out */

struct recovery;
struct survey_node;

typedef void (*recovery_count_fn)(void *userdata, enum election_result result, int32_t count);

/* Fences one node by whatever is configured; the answer comes through recovery_fenced(). */
typedef void (*recovery_fence_fn)(void *userdata, const char *name);

/* For the journal. */
enum recovery_news {
	RECOVERY_UNREADABLE, /* the list of nodes (name) may not be read: nobody can be ruled out */
	RECOVERY_TOO_MANY,   /* nor can they if it is longer than SURVEY_NODES_MAX */
	RECOVERY_STILL_ACTS, /* alive, and without the post: said once a minute */
	RECOVERY_NEW,	     /* no epoch was handed out yet: the longest lease is waited for */
	RECOVERY_FOUND,	     /* it does not act any more, or its term is waited for */
	RECOVERY_TERM,	 /* it was primary last and has not left in order: its term is waited for */
	RECOVERY_MARKED, /* in place of the router state: as "dead" or "fenced" */
	RECOVERY_REFUSED, /* it is fenced; marking it was refused */
};

typedef void (*recovery_note_fn)(void *userdata, enum recovery_news news, const char *name,
				 const char *router_state, int64_t wait_us);

struct corpse {
	char name[NAME_SIZE];
	char router[16];
	int32_t router_version; /* ZKH_ANY_VERSION: not readable */
	bool alive;		/* as another machine, or after another boot: not to be fenced */
};

struct recovery {
	struct zkh_session *session;
	struct survivor *survivor;
	const char *name;
	recovery_fence_fn fence;
	recovery_note_fn note;
	void *userdata;

	/* One survey at a time: the nodes' router states, then their terms, and whether they are alive. */
	struct zkh_op *list_op;
	struct survey_node *nodes; /* linked */
	size_t n_waiting;
	bool survey_lost;
	bool told_of_untold, told_of_list, told_of_term;
	size_t told_of; /* so many corpses in this takeover, and of what was waited for */
	int64_t told_of_others_us; /* that still act; 0: not in this takeover */
	int64_t session_us;	   /* the own T */
	char before[NAME_SIZE];	   /* to whom /epoch belonged before this takeover; "": unknown */
	bool untold;		   /* it is not known who may be at work */
	bool remembers;		   /* this node knew of an epoch before this takeover */
	int64_t untold_us; /* the terms of which the keys do not tell are over; 0: they tell of all */
	struct zkh_op *cluster_op;
	/* Terms that cannot be read are over: who says meanwhile that its work is down may be another machine. */
	int64_t unread_until_us;
	int64_t until_us; /* the terms that the last scan found are over; 0: there were none */
	recovery_count_fn on_count;

	struct corpse corpses[CORPSES_MAX];
	size_t n_corpses;

	/* Fencing, one after the other. */
	struct zkh_op *mark_op;
	const char *state; /* for the daemonstate of the node that is marked; NULL: it stays */
	size_t fencing;	   /* index */
	bool in_fence;
	bool go_on_when_failed;
	void (*on_fenced)(void *userdata, enum election_result result);
};

void recovery_init(struct recovery *recovery, struct survivor *survivor, const char *name,
		   recovery_fence_fn fence, recovery_note_fn note, void *userdata);

/*
 * A takeover is sent. before: who may be at work by what /epoch said until then, as in value_epoch(); remembers: this
 * node knows of an epoch; session_us: the own T.
 */
void recovery_begin(struct recovery *recovery, const char *before, bool remembers,
		    int64_t session_us);

/*
 * Who did not say that its work is down? on_count follows once from the loop, or at once, with how many are to be
 * fenced or marked, once until_us has passed; RESULT_CONFLICT: others still act.
 */
void recovery_scan(struct recovery *recovery, struct zkh_session *session,
		   recovery_count_fn on_count);

/*
 * Fences and marks what the last scan found. go_on_when_failed: a failed fence is as good as a successful one.
 * on_fenced: RESULT_OK, RESULT_FAILED, or RESULT_UNKNOWN (look again).
 */
void recovery_fence(struct recovery *recovery, bool go_on_when_failed,
		    void (*on_fenced)(void *userdata, enum election_result result));

/* The answer to `fence`. state: of the node, static: "fenced" if it is surely off, "dead" if nobody proved it. */
void recovery_fenced(struct recovery *recovery, bool ok, const char *state);

/* Gives up what is under way, without callbacks. */
void recovery_cancel(struct recovery *recovery);
