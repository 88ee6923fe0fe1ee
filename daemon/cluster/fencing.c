/* SPDX-License-Identifier: Apache-2.0 */

/* Fences the nodes that the last scan found, one after the other, and marks them as dead. */

#include "recovery.h"

#include <assert.h>

static void mark(struct recovery *recovery);

static void fence_over(struct recovery *recovery, enum election_result result)
{
	recovery->in_fence = false;
	recovery->on_fenced(recovery->userdata, result);
}

static void fence_next(struct recovery *recovery)
{
	if (recovery->fencing == recovery->n_corpses) {
		/* A full table may not have held them all. */
		fence_over(recovery,
			   recovery->n_corpses == CORPSES_MAX ? RESULT_UNKNOWN : RESULT_OK);
		return;
	}
	recovery->state = NULL;
	if (recovery->corpses[recovery->fencing].alive)
		mark(recovery);
	else
		recovery->fence(recovery->userdata, recovery->corpses[recovery->fencing].name);
}

static void on_marked(void *userdata, int result, const struct zkh_txn_reply *reply)
{
	struct recovery *recovery = userdata;
	const struct corpse *corpse = &recovery->corpses[recovery->fencing];

	recovery->mark_op = NULL;
	if (result == ZKH_NO_NODE && reply->failed == 1) {
		recovery->state = NULL;
		mark(recovery); /* somebody deleted its daemonstate */
		return;
	}
	/* Nothing is there to be marked: /epoch names this node by now, so nobody asks for the other one again. */
	if (result == ZKH_NO_NODE)
		result = ZKH_OK;
	if (result != ZKH_OK && result != ZKH_CONFLICT && !zkh_is_unanswered(result)) {
		/* The mark is for the next takeover to know; this one has done what it could. */
		recovery->note(recovery->userdata, RECOVERY_REFUSED, corpse->name, corpse->router,
			       0);
		recovery->fencing++;
		fence_next(recovery);
		return;
	}
	if (result != ZKH_OK) {
		/* It came back, or somebody else marked it, or the connection is gone: look again. */
		fence_over(recovery, RESULT_UNKNOWN);
		return;
	}
	recovery->note(recovery->userdata, RECOVERY_MARKED, corpse->name,
		       recovery->state ? recovery->state : "dead", 0);
	recovery->fencing++;
	fence_next(recovery);
}

static void mark(struct recovery *recovery)
{
	const struct corpse *corpse = &recovery->corpses[recovery->fencing];
	struct zkh_txn *txn;
	char path[KEY_PATH_SIZE];
	int r = ZKH_FAILED;

	/* What could not be read, or was not there, may say something new by now. */
	if (corpse->router_version == ZKH_ANY_VERSION) {
		recovery->fencing++;
		fence_next(recovery);
		return;
	}
	txn = zkh_txn_create(recovery->session);
	if (txn) {
		node_key_path(corpse->name, NODE_KEY_ROUTER, path);
		zkh_txn_set_text(txn, path, "secondary", corpse->router_version);
		node_key_path(corpse->name, NODE_KEY_STATE, path);
		if (recovery->state)
			zkh_txn_set_text(txn, path, recovery->state, ZKH_ANY_VERSION);
		r = zkh_commit(txn, on_marked, recovery, &recovery->mark_op);
	}
	if (r != 0)
		fence_over(recovery, RESULT_UNKNOWN);
}

void recovery_fence(struct recovery *recovery, bool go_on_when_failed,
		    void (*on_fenced)(void *userdata, enum election_result result))
{
	assert(!recovery->in_fence);
	recovery->in_fence = true;
	recovery->go_on_when_failed = go_on_when_failed;
	recovery->on_fenced = on_fenced;
	recovery->fencing = 0;
	fence_next(recovery);
}

void recovery_fenced(struct recovery *recovery, bool ok, const char *state)
{
	if (!recovery->in_fence)
		return;
	recovery->state = state;
	if (ok || recovery->go_on_when_failed)
		mark(recovery);
	else
		fence_over(recovery, RESULT_FAILED);
}
