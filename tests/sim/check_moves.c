/* SPDX-License-Identifier: Apache-2.0 */
#include "check_world.h"

#include <assert.h>
#include <string.h>

struct lister {
	const struct check_world *world;
	struct check_moves *moves;
	bool hurry; /* something must happen before time goes on */
};

static void add(struct lister *l, unsigned i, uint8_t kind)
{
	assert(l->moves->count < CHECK_MOVES_MAX);
	l->moves->list[l->moves->count++] = (struct check_move){ .kind = kind, .node = (uint8_t)i };
	l->hurry |= check_move_class(kind) == CLASS_NOW;
}

static void add_hurry(struct lister *l, unsigned i, uint8_t kind)
{
	add(l, i, kind);
	l->hurry = true;
}

static bool view_pending(const struct check_world *w, unsigned i)
{
	struct election_view view;

	check_view(w, i, &view);
	return memcmp(&view, &w->core[i].view, sizeof(view)) != 0;
}

/* What waits behind an answer on the same connection comes after it. */
static void list_answers(struct lister *l, unsigned i)
{
	const struct check_world *w = l->world;
	const struct check_node *n = &w->node[i];
	const struct election *core = &w->core[i];
	bool pending = n->stage == STAGE_SENT || n->stage == STAGE_APPLIED;

	if (pending)
		add(l, i, MOVE_DONE);
	if (n->renew)
		add(l, i, MOVE_RENEWED);
	if (n->stage == STAGE_APPLIED)
		return;
	if (core->lock == LOCK_WAITING && n->queue == 1)
		add(l, i, MOVE_LOCKED);
	if (core->attached && view_pending(w, i))
		add(l, i, MOVE_VIEW);
	if (n->scan)
		add(l, i, MOVE_CORPSES);
	if (n->peers)
		add(l, i, MOVE_PEERS);
	if (n->fence)
		add(l, i, MOVE_FENCED);
}

static void list_local(struct lister *l, unsigned i)
{
	const struct check_world *w = l->world;
	const struct check_node *n = &w->node[i];
	const struct election *core = &w->core[i];
	int64_t next_us = election_next_us(&check_config, core);

	if (next_us && next_us <= w->now_us)
		add(l, i, MOVE_TIMER);
	if (check_kill_due_us(w, i) && check_kill_due_us(w, i) <= w->now_us)
		add(l, i, MOVE_KILL);
	if (core->lock == LOCK_WAITING &&
	    w->now_us >= core->phase_since_us + check_config.lock_timeout_us)
		add(l, i, MOVE_LOCK_TIMEOUT);
	if (n->start) {
		add(l, i, MOVE_STARTED);
		l->hurry |= w->now_us >= n->start_us + CHECK_START_MAX * CHECK_UNIT_US;
	}
	if (n->stop && !n->hangs) {
		add(l, i, MOVE_STOPPED);
		/* What never ran, and what was killed, does not take long. */
		l->hurry |= n->killed_us || !n->runs;
	}
	if (n->fence && n->net != NET_UP)
		add(l, i, MOVE_FENCED);
}

static void list_connection(struct lister *l, unsigned i)
{
	const struct check_node *n = &l->world->node[i];
	bool cut_off = n->net == NET_SILENT || n->net == NET_ISOLATED;

	if (n->net == NET_DOWN)
		add(l, i, MOVE_CONNECT);
	l->hurry |= n->brief;
	if (cut_off && n->session == SESSION_ALIVE && !n->cut)
		add(l, i, MOVE_HEAL);
	if (n->cut)
		add_hurry(l, i, MOVE_CLOSE);
	else if (cut_off)
		add(l, i, MOVE_CLOSE);
	if (n->net == NET_ISOLATED && l->world->core[i].view.key != KEY_UNKNOWN &&
	    l->world->core[i].view.post != POST_UNKNOWN)
		add(l, i, MOVE_SAME_VIEW);
}

/* What goes on in the ensemble without the node's daemon. */
static void list_ensemble(struct lister *l, unsigned i)
{
	const struct check_node *n = &l->world->node[i];
	bool out_of_reach = n->net != NET_UP || n->process != PROCESS_RUNS;

	if (n->session == SESSION_ALIVE &&
	    (n->stage == STAGE_ZOMBIE || (n->stage == STAGE_SENT && n->net == NET_SILENT)))
		add(l, i, MOVE_APPLY);
	if (n->session == SESSION_ALIVE && out_of_reach && n->age >= CHECK_EXPIRE_MIN) {
		add(l, i, MOVE_EXPIRE);
		l->hurry |= n->age >= CHECK_EXPIRE_MAX;
	}
}

static void list_process(struct lister *l, unsigned i)
{
	const struct check_world *w = l->world;
	const struct check_node *n = &w->node[i];
	const struct election *core = &w->core[i];
	bool guarded = n->process == PROCESS_FROZEN || n->process == PROCESS_DEAD;

	if (guarded && n->runs && w->now_us >= core->lease_end_us - check_config.lease_timeout_us)
		add(l, i, MOVE_GUARD);
	if (guarded && n->runs && w->now_us >= core->lease_end_us) {
		l->hurry = true;
		return; /* the guard is not late, whoever comes back in this moment */
	}
	if (n->process == PROCESS_FROZEN)
		add(l, i, MOVE_THAW);
	/* A cold start is a new session: the model has one a node, so the old one must be gone. */
	if (n->process == PROCESS_DEAD && (core->work != WORK_DOWN || n->session != SESSION_ALIVE))
		add(l, i, MOVE_RESTART);
}

static void list_net_faults(struct lister *l, unsigned i)
{
	add(l, i, MOVE_SILENCE);
	add(l, i, MOVE_ISOLATE);
	add(l, i, MOVE_RESET);
	if (l->world->node[i].session == SESSION_ALIVE)
		add(l, i, MOVE_CLOSED);
}

static void list_work_faults(struct lister *l, unsigned i)
{
	const struct check_node *n = &l->world->node[i];

	if (n->start)
		add(l, i, MOVE_START_FAILS);
	if (n->killed_us && n->runs && !n->hangs)
		add(l, i, MOVE_HANG);
	if (n->net != NET_UP)
		return;
	if (n->stage == STAGE_SENT)
		add(l, i, MOVE_REFUSE);
	if (n->fence)
		add(l, i, MOVE_FENCE_FAILS);
}

static void list_faults(struct lister *l, unsigned i, bool between)
{
	const struct check_node *n = &l->world->node[i];
	uint8_t kinds = l->world->kinds;

	if (n->process != PROCESS_RUNS || !l->world->faults)
		return;
	if (kinds & FAULT_WORK)
		list_work_faults(l, i);
	if (between)
		return;
	if (kinds & FAULT_NET && n->net == NET_UP)
		list_net_faults(l, i);
	if (kinds & FAULT_PROCESS && !n->hangs) {
		add(l, i, MOVE_CRASH);
		add(l, i, MOVE_FREEZE);
	}
}

static void list_orders(struct lister *l, unsigned i)
{
	const struct check_world *w = l->world;
	const struct check_node *n = &w->node[i];

	if (!w->orders)
		return;
	if (w->key != i && w->key != CHECK_KEY_MISSING && n->alive)
		add(l, i, MOVE_NAME);
	if (w->key == i)
		add(l, i, MOVE_RELEASE);
	if (i == 0 && w->key != CHECK_KEY_MISSING && !w->queued)
		add(l, i, MOVE_DELETE);
	if (i == 0)
		add(l, i, MOVE_MAINTENANCE);
	add(l, i, MOVE_DRAIN);
	if (n->process != PROCESS_RUNS)
		return;
	add(l, i, MOVE_HEALTH);
	if (!w->core[i].shutdown)
		add(l, i, MOVE_SHUTDOWN);
}

void check_list_moves(const struct check_world *world, struct check_moves *ret_moves)
{
	struct lister l = { .world = world, .moves = ret_moves };
	bool between = world->now_us % CHECK_UNIT_US != 0;

	ret_moves->count = 0;
	for (unsigned i = 0; i < world->nodes; i++) {
		if (world->node[i].process == PROCESS_RUNS) {
			list_local(&l, i);
			if (world->node[i].net == NET_UP)
				list_answers(&l, i);
			if (world->node[i].cut || world->node[i].brief || !between)
				list_connection(&l, i);
		}
		list_faults(&l, i, between);
		if (between)
			continue;
		list_ensemble(&l, i);
		list_process(&l, i);
		list_orders(&l, i);
	}
	if (!l.hurry)
		add(&l, 0, MOVE_ADVANCE);
}
