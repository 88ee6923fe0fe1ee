/* SPDX-License-Identifier: Apache-2.0 */
#include "check_world.h"

#include "election/lease.h"

#include <string.h>

const char *check_broken;
FILE *check_trace;

const struct election_config check_config = {
	.lock_timeout_us = CHECK_UNIT_US,
	.transition_delay_us = 2 * CHECK_UNIT_US,
	.handover_timeout_us = 2 * CHECK_UNIT_US,
	.penalty_us = 2 * CHECK_UNIT_US,
	.acquire_delay_us = CHECK_UNIT_US,
	.lease_timeout_us = 2 * CHECK_UNIT_US,
	.coordinator = 1,
};

const char *check_move_text(uint8_t kind)
{
	static const char *const texts[] = {
#define X(name, text, class) text,
		CHECK_MOVES(X)
#undef X
	};

	return kind < MOVE_COUNT ? texts[kind] : "?";
}

enum check_class check_move_class(uint8_t kind)
{
	static const uint8_t classes[] = {
#define X(name, text, class) CLASS_##class,
		CHECK_MOVES(X)
#undef X
	};

	return (enum check_class)classes[kind];
}

static void broken(const char *rule)
{
	if (!check_broken)
		check_broken = rule;
}

/* -- in words -- */

static void trace_event(unsigned i, const struct election_event *event)
{
	static const char *const results[] = { "ok", "conflict", "unknown", "failed" };
	static const char *const posts[] = { "unknown", "free", "mine", "taken" };

	fprintf(check_trace, "\t%c: %s", 'A' + (int)i, election_event_text(event->type));
	if (event->type == ELECTION_VIEW)
		fprintf(check_trace, " key %s@%d post %s%s%s", election_key_text(event->view.key),
			event->view.key_version, posts[event->view.post & 3],
			event->view.drained ? " drained" : "",
			event->view.maintenance ? " maintenance" : "");
	if (event->type == ELECTION_DONE)
		fprintf(check_trace, " %s", election_op_text(event->op));
	if (event->type == ELECTION_CORPSES || event->type == ELECTION_PEERS)
		fprintf(check_trace, " %d", event->count);
	if (event->type >= ELECTION_DONE && event->type <= ELECTION_HEALTH)
		fprintf(check_trace, " %s", results[event->result & 3]);
}

static void trace_outcome(const struct election *core, const struct election_actions *actions)
{
	fprintf(check_trace, " => %s", election_phase_text(core->phase));
	for (int32_t k = 0; k < actions->count; k++) {
		const struct election_action *action = &actions->list[k];

		fprintf(check_trace, "%s%s", k ? ", " : ": ", election_action_text(action->type));
		if (action->type == ACTION_DO)
			fprintf(check_trace, " %s@%d", election_op_text(action->op),
				action->version);
	}
	fprintf(check_trace, "\n");
}

/* -- what a core says is done -- */

static void power_off(struct check_world *w, unsigned i)
{
	struct check_node *n = &w->node[i];
	uint8_t keep_session = n->session, keep_age = n->age, alive = n->alive, marked = n->marked;
	uint8_t queue = n->queue, drained = n->drained;
	int64_t keep_us = n->keep_us;

	memset(n, 0, sizeof(*n));
	n->process = PROCESS_OFF;
	n->net = NET_DOWN;
	n->session = keep_session;
	n->age = keep_age;
	n->keep_us = keep_us;
	n->alive = alive;
	n->marked = marked;
	n->queue = queue;
	n->drained = drained;
}

static void depart(struct check_world *w, unsigned i)
{
	if (w->node[i].runs)
		broken("a node departs while its work may run");
	if (w->node[i].net == NET_UP)
		check_session_end(w, i);
	power_off(w, i);
}

static void do_op(struct check_world *w, unsigned i, const struct election_action *action)
{
	struct check_node *n = &w->node[i];

	if (n->stage != STAGE_NONE && n->stage != STAGE_ZOMBIE)
		broken("two transactions of one node at once");
	if (action->op == OP_CLAIM && election_own_obstacles(&check_config, &w->core[i]))
		broken("a claim by a node that is not eligible");
	n->stage = STAGE_SENT;
	n->op = action->op;
	n->version = action->version;
	n->op_us = w->now_us;
	n->epoch = w->core[i].view.epoch;
	n->deletes = action->op == OP_LEAVE && w->core[i].view.post == POST_MINE;
}

static void do_lock(struct check_world *w, unsigned i)
{
	struct check_node *n = &w->node[i];

	if (n->net != NET_UP)
		n->lock_stuck = 1;
	else if (n->queue)
		broken("a lock asked for twice");
	else
		check_lock_enqueue(w, i);
}

static void do_unlock(struct check_world *w, unsigned i)
{
	w->node[i].lock_stuck = 0;
	if (w->node[i].net == NET_UP)
		check_lock_dequeue(w, i);
}

static void do_start(struct check_world *w, unsigned i)
{
	struct check_node *n = &w->node[i];

	if (n->runs)
		broken("work started that runs");
	if (check_count_corpses(w, i))
		broken("work started before those that died acting are fenced");
	n->start = n->runs = 1;
	n->start_us = w->now_us;
}

static void do_stop(struct check_world *w, unsigned i)
{
	struct check_node *n = &w->node[i];

	if (n->stop)
		broken("work stopped twice");
	n->start = 0;
	n->start_us = n->killed_us = 0;
	n->stop = 1;
	n->stop_us = w->now_us;
}

/* As the keeper has it, which is checked by itself. */
int64_t check_kill_due_us(const struct check_world *w, unsigned i)
{
	const struct check_node *n = &w->node[i];
	int64_t lease_end_us = w->core[i].lease_end_us;

	if (!n->stop || (n->killed_us && !lease_end_us))
		return 0;
	return n->killed_us ? lease_fence_due_us(n->killed_us, lease_end_us,
						 check_config.lease_timeout_us)
			    : lease_kill_due_us(n->stop_us, CHECK_STOP_MAX * CHECK_UNIT_US,
						lease_end_us, check_config.lease_timeout_us);
}

void check_kill(struct check_world *w, unsigned i)
{
	if (w->node[i].killed_us)
		power_off(w, i);
	else
		w->node[i].killed_us = w->now_us;
}

static void do_renew(struct check_world *w, unsigned i)
{
	w->node[i].renew = 1;
	w->node[i].renew_us = w->now_us;
}

static void do_action(struct check_world *w, unsigned i, const struct election_action *action)
{
	struct check_node *n = &w->node[i];

	switch ((enum election_action_type)action->type) {
	case ACTION_DO:
		do_op(w, i, action);
		break;
	case ACTION_LOCK:
		do_lock(w, i);
		break;
	case ACTION_UNLOCK:
		do_unlock(w, i);
		break;
	case ACTION_SCAN:
		n->scan = 1;
		break;
	case ACTION_FENCE:
		n->fence = 1;
		break;
	case ACTION_START:
		do_start(w, i);
		break;
	case ACTION_STOP:
		do_stop(w, i);
		break;
	case ACTION_RENEW:
		do_renew(w, i);
		break;
	case ACTION_CUT:
		n->cut = 1;
		break;
	case ACTION_COUNT_PEERS:
		n->peers = 1;
		break;
	case ACTION_DEPART:
		depart(w, i);
		break;
	case ACTION_REFRESH: /* a view that is not known is always read */
	case ELECTION_ACTION_COUNT:
		break;
	}
}

void check_tell(struct check_world *w, unsigned i, const struct election_event *event)
{
	struct election_event timed = *event;
	struct election_actions actions;

	timed.now_us = w->now_us;
	if (check_trace) {
		trace_event(i, &timed);
		fflush(check_trace);
	}
	election_step(&check_config, &w->core[i], &timed, &actions);
	if (check_trace)
		trace_outcome(&w->core[i], &actions);
	for (int32_t k = 0; k < actions.count; k++)
		do_action(w, i, &actions.list[k]);
}

void check_world_init(struct check_world *world, uint8_t nodes)
{
	const struct election_event start = { .type = ELECTION_START, .resume = RESUME_COLD };

	memset(world, 0, sizeof(*world));
	world->now_us = CHECK_NOW_US;
	world->key = CHECK_KEY_NONE;
	world->key_version = 1;
	world->key_mzxid = world->zxid = 1;
	world->post = CHECK_NOBODY;
	world->nodes = nodes;
	for (unsigned i = 0; i < nodes; i++) {
		world->node[i].net = NET_DOWN;
		election_init(&world->core[i]);
		check_tell(world, i, &start);
	}
}
