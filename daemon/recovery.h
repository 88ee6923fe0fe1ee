/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What the nodes left behind: finds those that died while acting (not alive, router state takeover, primary or
 * relinquish), fences them and marks them dead. Those that are alive and act without the post (somebody deleted it) are
 * waited for. Also counts the other coordinators that could take over.
 *
 * One that is not alive and whose router state may not be read is suspected; the mark of one that may not be written to is
 * done without.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "election.h"
#include "keys.h"
#include "zkh_op.h"

#define CORPSES_MAX 64	       /* more are dealt with in the next look */
#define SURVEY_NODES_MAX 16384 /* nodes looked at */

struct recovery;
struct survey_node;

typedef void (*recovery_count_fn)(void *userdata, enum election_result result, int32_t count);

/* Fences one node by whatever is configured; the answer comes through recovery_fenced(). */
typedef void (*recovery_fence_fn)(void *userdata, const char *name);

/* For the journal. */
enum recovery_news {
	RECOVERY_UNREADABLE, /* the list of nodes (name) may not be read: nobody can be ruled out */
	RECOVERY_STILL_ACTS, /* alive, and without the post: said once in a takeover */
	RECOVERY_FOUND,	     /* dead */
	RECOVERY_MARKED,     /* as dead, after it was fenced */
	RECOVERY_REFUSED,    /* it is fenced; marking it was refused */
};

typedef void (*recovery_note_fn)(void *userdata, enum recovery_news news, const char *name,
				 const char *router_state);

struct corpse {
	char name[NAME_SIZE];
	char router[16];
	int32_t router_version; /* ZKH_ANY_VERSION: not readable */
};

struct recovery {
	struct zkh_session *session;
	const char *name;
	recovery_fence_fn fence;
	recovery_note_fn note;
	void *userdata;

	/* One survey at a time: the nodes' router states or modes, then whether they are alive. */
	struct zkh_op *list_op;
	struct survey_node *nodes; /* linked */
	size_t n_nodes, n_waiting;
	bool for_peers, survey_lost;
	bool early; /* a scan that was not asked for yet */
	bool early_done;
	bool told_of_others; /* that still act */
	recovery_count_fn on_count;

	/* The nodes that there were at the last look: they can be asked without waiting for a list. */
	struct zkh_op *prepare_op;
	char (*names)[NAME_SIZE];
	size_t n_names;

	struct corpse corpses[CORPSES_MAX];
	size_t n_corpses;

	/* Fencing, one after the other. */
	struct zkh_op *mark_op;
	size_t fencing; /* index */
	bool in_fence;
	bool go_on_when_failed;
	void (*on_fenced)(void *userdata, enum election_result result);
};

void recovery_init(struct recovery *recovery, const char *name, recovery_fence_fn fence,
		   recovery_note_fn note, void *userdata);
void recovery_finish(struct recovery *recovery);

/* Who died acting? on_count follows once from the loop, or at once; RESULT_CONFLICT: others still act. */
void recovery_scan(struct recovery *recovery, struct zkh_session *session,
		   recovery_count_fn on_count);

/* A takeover is near: learns the nodes' names, so that the scan needs one round trip. */
void recovery_prepare(struct recovery *recovery, struct zkh_session *session);

/*
 * Begins the scan before it is asked for, right behind the takeover transaction: what the server answers after that is as
 * of after that. recovery_scan() then takes its result; recovery_cancel() drops it.
 */
void recovery_scan_early(struct recovery *recovery, struct zkh_session *session);

/* How many other coordinators could take over: alive, running, not drained? */
void recovery_count_peers(struct recovery *recovery, struct zkh_session *session,
			  recovery_count_fn on_count);

/*
 * Fences and marks what the last scan found. go_on_when_failed: a failed fence is as good as a successful one.
 * on_fenced: RESULT_OK, RESULT_FAILED, or RESULT_UNKNOWN (look again).
 */
void recovery_fence(struct recovery *recovery, bool go_on_when_failed,
		    void (*on_fenced)(void *userdata, enum election_result result));

/* The answer to `fence`. */
void recovery_fenced(struct recovery *recovery, bool ok);

/* Gives up what is under way, without callbacks. */
void recovery_cancel(struct recovery *recovery);
