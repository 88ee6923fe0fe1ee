/* SPDX-License-Identifier: Apache-2.0 */

/* The ensemble as the checker has it: one log, every request at once or not at all. */

#include "check_world.h"

static void broken(const char *rule)
{
	if (!check_broken)
		check_broken = rule;
}

static uint8_t key_seen(const struct check_world *w, unsigned i)
{
	if (w->key == CHECK_KEY_MISSING)
		return KEY_MISSING;
	if (w->key == CHECK_KEY_NONE)
		return KEY_NONE;
	if (w->key == i)
		return KEY_ME;
	return w->node[w->key].alive ? KEY_OTHER : KEY_DEAD;
}

void check_view(const struct check_world *w, unsigned i, struct election_view *ret_view)
{
	uint8_t post = w->post == i ? POST_MINE : POST_OTHER;

	*ret_view = (struct election_view){
		.key = key_seen(w, i),
		.post = w->post == CHECK_NOBODY ? POST_NONE : post,
		.drained = w->node[i].drained,
		.maintenance = w->maintenance,
		.epoch = w->last_epoch,
		.epoch_known = 1,
	};
	if (w->key == CHECK_KEY_MISSING)
		return;
	ret_view->key_mzxid = w->key_mzxid;
	ret_view->key_version = w->key_version;
}

void check_set_key(struct check_world *w, uint8_t key)
{
	w->claimed_us = 0;
	if (key == CHECK_KEY_MISSING)
		w->key_version = 0;
	else
		w->key_version++;
	w->key = key;
	w->lapsed = 0;
	w->key_mzxid = ++w->zxid;
}

void check_lock_enqueue(struct check_world *w, unsigned i)
{
	w->node[i].queue = ++w->queued;
}

void check_lock_dequeue(struct check_world *w, unsigned i)
{
	uint8_t place = w->node[i].queue;

	if (!place)
		return;
	w->node[i].queue = 0;
	w->queued--;
	for (unsigned k = 0; k < w->nodes; k++)
		if (w->node[k].queue > place)
			w->node[k].queue--;
}

void check_session_end(struct check_world *w, unsigned i)
{
	struct check_node *n = &w->node[i];

	check_lock_dequeue(w, i);
	n->session = SESSION_NONE;
	n->alive = 0;
	if (w->key == i)
		w->lapsed = 1;
	if (w->post == i)
		w->post = CHECK_NOBODY;
	if (n->stage == STAGE_SENT)
		n->stage = STAGE_LOST;
	if (n->stage == STAGE_ZOMBIE)
		n->stage = STAGE_NONE;
}

static bool version_holds(const struct check_world *w, int32_t version)
{
	if (w->key == CHECK_KEY_MISSING)
		return false;
	return version == CHECK_ANY_VERSION || version == w->key_version;
}

static enum election_result apply_claim(struct check_world *w, unsigned i)
{
	if (!version_holds(w, w->node[i].version) || !w->node[i].queue)
		return RESULT_CONFLICT;
	if (w->key != CHECK_KEY_NONE && w->key != i && !w->lapsed)
		broken("a claim took the key from a node that was alive all the time");
	check_lock_dequeue(w, i);
	check_set_key(w, (uint8_t)i);
	w->claimed_us = w->now_us;
	return RESULT_OK;
}

/* Whoever began to wait for the lock before the claim has given up by now, or is late to do so. */
static void check_contenders(const struct check_world *w, unsigned i)
{
	for (unsigned k = 0; k < w->nodes; k++) {
		const struct election *core = &w->core[k];

		if (k != i && w->claimed_us && w->node[k].process == PROCESS_RUNS &&
		    core->phase == PHASE_LOCK && core->phase_since_us <= w->claimed_us &&
		    w->now_us < core->phase_since_us + check_config.lock_timeout_us)
			broken("the post is taken while an older contender still waits for the "
			       "lock");
	}
}

static enum election_result apply_enter(struct check_world *w, unsigned i)
{
	struct check_node *n = &w->node[i];

	if (!version_holds(w, n->version) || w->post != CHECK_NOBODY || n->epoch != w->last_epoch)
		return RESULT_CONFLICT;
	if (w->key != i)
		broken("the post is taken by a node that the key does not name");
	if (w->core[i].epoch <= w->last_epoch)
		broken("an epoch does not grow");
	check_contenders(w, i);
	w->last_epoch = w->core[i].epoch;
	w->post = (uint8_t)i;
	n->marked = 1;
	n->keep_us = w->now_us;
	return RESULT_OK;
}

static enum election_result apply_leave(struct check_world *w, unsigned i)
{
	struct check_node *n = &w->node[i];

	if (n->runs)
		broken("the post is left while work runs");
	if (n->deletes && (n->epoch != w->last_epoch || w->post == CHECK_NOBODY))
		return RESULT_CONFLICT;
	if (n->deletes && w->post != i)
		broken("the post of another is deleted");
	if (n->deletes)
		w->post = CHECK_NOBODY;
	n->marked = 0;
	return RESULT_OK;
}

static enum election_result apply_key(struct check_world *w, unsigned i, uint8_t key)
{
	if (!version_holds(w, w->node[i].version))
		return RESULT_CONFLICT;
	if (key == CHECK_KEY_NONE && w->key != i)
		broken("a node handed back what it was not given");
	check_set_key(w, key);
	return RESULT_OK;
}

enum election_result check_apply(struct check_world *w, unsigned i)
{
	struct check_node *n = &w->node[i];

	if (n->stage == STAGE_LOST)
		return RESULT_UNKNOWN;
	switch ((enum election_op)n->op) {
	case OP_REGISTER:
		n->alive = 1;
		n->marked = 0;
		return RESULT_OK;
	case OP_CREATE_KEY:
		if (w->key != CHECK_KEY_MISSING)
			return RESULT_CONFLICT;
		check_set_key(w, CHECK_KEY_NONE);
		return RESULT_OK;
	case OP_CLAIM:
		return apply_claim(w, i);
	case OP_ENTER:
		return apply_enter(w, i);
	case OP_LEAVE:
		return apply_leave(w, i);
	case OP_HAND_BACK:
		return apply_key(w, i, CHECK_KEY_NONE);
	case OP_RECLAIM:
		return apply_key(w, i, (uint8_t)i);
	case OP_NONE:
	case OP_COUNT:
		break;
	}
	return RESULT_FAILED;
}

int32_t check_count_corpses(const struct check_world *w, unsigned i)
{
	int32_t count = 0;

	for (unsigned k = 0; k < w->nodes; k++)
		count += k != i && !w->node[k].alive && w->node[k].marked;
	return count;
}

void check_survey(const struct check_world *w, unsigned i, struct election_event *event)
{
	for (unsigned k = 0; k < w->nodes; k++) {
		const struct check_node *n = &w->node[k];

		if (k == i || !n->marked)
			continue;
		if (n->alive)
			event->result = RESULT_CONFLICT;
		else if (n->keep_us + CHECK_PROMISE_US > event->time_us)
			event->time_us = n->keep_us + CHECK_PROMISE_US;
		event->count += !n->alive;
	}
}

int32_t check_count_peers(const struct check_world *w, unsigned i)
{
	int32_t count = 0;

	for (unsigned k = 0; k < w->nodes; k++)
		count += k != i && w->node[k].alive;
	return count;
}
