/* SPDX-License-Identifier: Apache-2.0 */
#include "check_world.h"

#include <string.h>

/* -- connection and session -- */

static void tell_result(struct check_world *w, unsigned i, uint8_t type, uint8_t result)
{
	const struct election_event event = { .type = type, .result = result };

	check_tell(w, i, &event);
}

static void tell_done(struct check_world *w, unsigned i, uint8_t result)
{
	struct election_event event = { .type = ELECTION_DONE, .result = result };

	event.op = w->node[i].op;
	event.zxid = w->key_mzxid;
	check_tell(w, i, &event);
}

/* The connection ends: every open answer is UNKNOWN from now on. */
static void move_close(struct check_world *w, unsigned i)
{
	struct check_node *n = &w->node[i];
	uint8_t stage = n->stage, scan = n->scan, peers = n->peers;

	n->brief = n->cut && n->net == NET_UP;
	n->net = NET_DOWN;
	n->cut = n->renew = n->scan = n->peers = n->lock_stuck = 0;
	n->renew_us = 0;
	n->stage = stage == STAGE_SENT ? STAGE_ZOMBIE : STAGE_NONE;
	tell_result(w, i, ELECTION_SESSION_DOWN, RESULT_OK);
	if (stage != STAGE_NONE)
		tell_done(w, i, RESULT_UNKNOWN);
	if (scan)
		tell_result(w, i, ELECTION_CORPSES, RESULT_UNKNOWN);
	if (peers)
		tell_result(w, i, ELECTION_PEERS, RESULT_UNKNOWN);
}

static void forget_zombie(struct check_node *n)
{
	if (n->stage != STAGE_ZOMBIE)
		return;
	n->stage = STAGE_NONE;
	n->op_us = n->epoch = n->version = 0;
	n->op = OP_NONE;
}

static void move_connect(struct check_world *w, unsigned i)
{
	struct check_node *n = &w->node[i];
	struct election_event event = { .type = ELECTION_SESSION_UP,
					.session_us = CHECK_SESSION_US };

	forget_zombie(n);
	if (n->session == SESSION_EXPIRED) {
		n->session = SESSION_NONE;
		tell_result(w, i, ELECTION_SESSION_LOST, RESULT_OK);
		return;
	}
	event.fresh = n->session == SESSION_NONE;
	n->session = SESSION_ALIVE;
	n->net = NET_UP;
	n->age = n->brief = 0;
	if (w->core[i].lock == LOCK_FREE)
		check_lock_dequeue(w, i);
	check_tell(w, i, &event);
}

static void move_heal(struct check_world *w, unsigned i)
{
	struct check_node *n = &w->node[i];

	n->net = NET_UP;
	/* What was asked for meanwhile arrives in its order: the old lock node goes before the new one comes. */
	if (n->lock_stuck || w->core[i].lock == LOCK_FREE)
		check_lock_dequeue(w, i);
	if (n->lock_stuck)
		check_lock_enqueue(w, i);
	n->lock_stuck = 0;
	n->age = 0;
}

/* -- answers -- */

/* The longest lease that an acknowledged write can open. */
static void acknowledged(struct check_world *w, unsigned i, int64_t sent_us)
{
	if (sent_us + CHECK_LEASE_US > w->node[i].lease_us)
		w->node[i].lease_us = sent_us + CHECK_LEASE_US;
}

static void move_done(struct check_world *w, unsigned i)
{
	struct check_node *n = &w->node[i];
	uint8_t result = n->stage == STAGE_APPLIED ? n->result : (uint8_t)check_apply(w, i);
	int64_t sent_us = n->op_us;

	if (result == RESULT_OK && n->op == OP_ENTER)
		acknowledged(w, i, sent_us);
	n->stage = STAGE_NONE;
	n->op_us = n->epoch = n->version = n->result = 0;
	tell_done(w, i, result);
}

static void move_refuse(struct check_world *w, unsigned i)
{
	w->node[i].stage = STAGE_NONE;
	w->node[i].op_us = w->node[i].epoch = w->node[i].version = 0;
	tell_done(w, i, RESULT_FAILED);
}

static void move_renewed(struct check_world *w, unsigned i)
{
	struct check_node *n = &w->node[i];
	struct election_event event = { .type = ELECTION_RENEWED, .time_us = n->renew_us };

	/* With the post another's, /epoch has moved as well. */
	if (w->post == i) {
		acknowledged(w, i, n->renew_us);
		n->keep_us = w->now_us;
	} else {
		event.result = RESULT_CONFLICT;
	}
	n->renew = 0;
	n->renew_us = 0;
	check_tell(w, i, &event);
}

static void move_corpses(struct check_world *w, unsigned i)
{
	struct election_event event = { .type = ELECTION_CORPSES };

	w->node[i].scan = 0;
	check_survey(w, i, &event);
	check_tell(w, i, &event);
}

static void move_lock_timeout(struct check_world *w, unsigned i)
{
	w->node[i].lock_stuck = 0;
	if (w->node[i].net == NET_UP)
		check_lock_dequeue(w, i);
	tell_result(w, i, ELECTION_LOCK, RESULT_CONFLICT);
}

static void move_view(struct check_world *w, unsigned i, bool same)
{
	struct election_event event = { .type = ELECTION_VIEW };

	if (same)
		event.view = w->core[i].view;
	else
		check_view(w, i, &event.view);
	check_tell(w, i, &event);
}

static void tell_count(struct check_world *w, unsigned i, uint8_t type, int32_t count)
{
	const struct election_event event = { .type = type, .count = count };

	check_tell(w, i, &event);
}

/* Marking them as dead needs the ensemble. */
static void move_fenced(struct check_world *w, unsigned i)
{
	w->node[i].fence = 0;
	for (unsigned k = 0; w->node[i].net == NET_UP && k < w->nodes; k++)
		if (k != i && !w->node[k].alive)
			w->node[k].marked = 0;
	tell_result(w, i, ELECTION_FENCED, w->node[i].net == NET_UP ? RESULT_OK : RESULT_UNKNOWN);
}

static void move_stopped(struct check_world *w, unsigned i)
{
	struct check_node *n = &w->node[i];

	n->stop = n->runs = n->hangs = 0;
	n->lease_us = n->stop_us = n->killed_us = 0;
	tell_result(w, i, ELECTION_STOPPED, RESULT_OK);
}

/* -- processes -- */

static void move_crash(struct check_world *w, unsigned i)
{
	struct check_node *n = &w->node[i];

	n->process = PROCESS_DEAD;
	n->net = NET_DOWN;
	n->stage = n->stage == STAGE_SENT ? STAGE_ZOMBIE : STAGE_NONE;
	n->brief = 0;
	n->cut = n->renew = n->scan = n->fence = n->peers = n->start = n->stop = 0;
	n->lock_stuck = 0;
	n->renew_us = n->start_us = n->stop_us = n->killed_us = 0;
}

/* What the state file makes of the phase in which the daemon died. */
static void move_restart(struct check_world *w, unsigned i)
{
	const struct election old = w->core[i];
	struct election_event event = { .type = ELECTION_START };

	event.lease_end_us = old.lease_end_us;
	event.epoch = old.epoch;
	event.session_us = CHECK_SESSION_US;
	event.resume = RESUME_COLD;
	if (old.work == WORK_UP && old.phase != PHASE_BEGIN)
		event.resume = RESUME_PRIMARY;
	else if (old.work != WORK_DOWN)
		event.resume = RESUME_OTHER;
	if (event.resume == RESUME_COLD)
		w->node[i].session = SESSION_NONE;
	w->node[i].process = PROCESS_RUNS;
	forget_zombie(&w->node[i]);
	election_init(&w->core[i]);
	check_tell(w, i, &event);
}

/* -- operators -- */

static void move_order(struct check_world *w, struct check_move move)
{
	struct check_node *n = &w->node[move.node];
	struct election *core = &w->core[move.node];

	w->orders--;
	switch (move.kind) {
	case MOVE_NAME:
		check_set_key(w, move.node);
		break;
	case MOVE_RELEASE:
		check_set_key(w, CHECK_KEY_NONE);
		break;
	case MOVE_DELETE:
		check_set_key(w, CHECK_KEY_MISSING);
		break;
	case MOVE_DRAIN:
		n->drained = !n->drained;
		break;
	case MOVE_HEALTH:
		tell_result(w, move.node, ELECTION_HEALTH,
			    core->healthy ? RESULT_FAILED : RESULT_OK);
		break;
	case MOVE_SHUTDOWN:
		tell_result(w, move.node, ELECTION_SHUTDOWN, RESULT_OK);
		break;
	case MOVE_MAINTENANCE:
		w->maintenance = !w->maintenance;
		break;
	default:
		break;
	}
}

/* -- all of them -- */

static void move_connection(struct check_world *w, struct check_move move)
{
	struct check_node *n = &w->node[move.node];

	switch (move.kind) {
	case MOVE_CLOSE:
	case MOVE_RESET:
		move_close(w, move.node);
		break;
	case MOVE_HEAL:
		move_heal(w, move.node);
		break;
	case MOVE_CONNECT:
		move_connect(w, move.node);
		break;
	case MOVE_SILENCE:
		n->net = NET_SILENT;
		break;
	case MOVE_ISOLATE:
		n->net = NET_ISOLATED;
		break;
	case MOVE_EXPIRE:
	case MOVE_CLOSED:
		check_session_end(w, move.node);
		n->session = SESSION_EXPIRED;
		n->brief = 0;
		/* The server hangs up, sooner or later; it answers nothing more. */
		if (n->net == NET_UP)
			n->net = NET_SILENT;
		break;
	case MOVE_APPLY:
		n->result = (uint8_t)check_apply(w, move.node);
		n->stage = n->stage == STAGE_ZOMBIE ? STAGE_NONE : STAGE_APPLIED;
		break;
	default:
		break;
	}
}

static void move_process(struct check_world *w, struct check_move move)
{
	struct check_node *n = &w->node[move.node];

	switch (move.kind) {
	case MOVE_GUARD:
		n->runs = 0;
		n->lease_us = 0;
		break;
	case MOVE_RESTART:
		move_restart(w, move.node);
		break;
	case MOVE_CRASH:
		move_crash(w, move.node);
		break;
	case MOVE_FREEZE:
		n->process = PROCESS_FROZEN;
		n->net = n->net == NET_UP ? NET_SILENT : n->net;
		break;
	case MOVE_THAW:
		n->process = PROCESS_RUNS;
		break;
	case MOVE_HANG:
		n->hangs = 1;
		break;
	default:
		break;
	}
}

static void move_answer(struct check_world *w, struct check_move move)
{
	struct check_node *n = &w->node[move.node];
	unsigned i = move.node;

	switch (move.kind) {
	case MOVE_TIMER:
		tell_result(w, i, ELECTION_TIME, RESULT_OK);
		break;
	case MOVE_DONE:
		move_done(w, i);
		break;
	case MOVE_REFUSE:
		move_refuse(w, i);
		break;
	case MOVE_RENEWED:
		move_renewed(w, i);
		break;
	case MOVE_LOCKED:
		tell_result(w, i, ELECTION_LOCK, RESULT_OK);
		break;
	case MOVE_LOCK_TIMEOUT:
		move_lock_timeout(w, i);
		break;
	case MOVE_VIEW:
	case MOVE_SAME_VIEW:
		move_view(w, i, move.kind == MOVE_SAME_VIEW);
		break;
	case MOVE_CORPSES:
		move_corpses(w, i);
		break;
	case MOVE_PEERS:
		n->peers = 0;
		tell_count(w, i, ELECTION_PEERS, check_count_peers(w, i));
		break;
	case MOVE_FENCED:
		move_fenced(w, i);
		break;
	case MOVE_FENCE_FAILS:
		n->fence = 0;
		tell_result(w, i, ELECTION_FENCED, RESULT_FAILED);
		break;
	case MOVE_STARTED:
	case MOVE_START_FAILS:
		n->start = 0;
		n->start_us = 0;
		tell_result(w, i, ELECTION_STARTED,
			    move.kind == MOVE_STARTED ? RESULT_OK : RESULT_FAILED);
		break;
	case MOVE_KILL:
		check_kill(w, move.node);
		break;
	case MOVE_STOPPED:
		move_stopped(w, i);
		break;
	default:
		break;
	}
}

/* To the next point of the grid, or to a timer before it. On the grid the sessions grow older. */
static void move_advance(struct check_world *w)
{
	int64_t to_us = (w->now_us / CHECK_UNIT_US + 1) * CHECK_UNIT_US;

	for (unsigned i = 0; i < w->nodes; i++) {
		int64_t next_us[] = { election_next_us(&check_config, &w->core[i]),
				      check_kill_due_us(w, i) };

		for (int k = 0; k < 2 && w->node[i].process == PROCESS_RUNS; k++)
			if (next_us[k] && next_us[k] < to_us)
				to_us = next_us[k];
	}
	w->now_us = to_us;
	if (to_us % CHECK_UNIT_US)
		return;
	for (unsigned i = 0; i < w->nodes; i++) {
		struct check_node *n = &w->node[i];

		if (n->net == NET_UP && n->process == PROCESS_RUNS)
			n->age = 0;
		else if (n->age < CHECK_EXPIRE_MAX)
			n->age++;
	}
}

void check_world_move(struct check_world *world, struct check_move move)
{
	enum check_class class = check_move_class(move.kind);

	if (check_trace && move.kind != MOVE_ADVANCE)
		fprintf(check_trace, "    %c: %s\n", 'A' + move.node, check_move_text(move.kind));
	if (class == CLASS_FAULT)
		world->faults--;
	if (class == CLASS_ORDER)
		move_order(world, move);
	else if (class == CLASS_LAST)
		move_advance(world);
	else {
		move_connection(world, move);
		move_process(world, move);
		move_answer(world, move);
	}
}
