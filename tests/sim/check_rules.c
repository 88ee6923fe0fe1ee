/* SPDX-License-Identifier: Apache-2.0 */
#include "check_world.h"

#include <string.h>

/* A primary must come to be within this time and this many moves, once nothing goes wrong any more. */
#define SETTLE_UNITS 120
#define SETTLE_MOVES 20000

static const char *rule_of_node(const struct check_world *w, unsigned i)
{
	const struct check_node *n = &w->node[i];
	const struct election *core = &w->core[i];

	if (!n->runs)
		return NULL;
	if (n->lease_us && w->now_us > n->lease_us)
		return "work runs past the end of its lease";
	if (n->process == PROCESS_RUNS && !election_work_may_run(core))
		return "work runs, and the core does not know";
	if (n->process == PROCESS_RUNS && core->lease_end_us > n->lease_us && n->lease_us)
		return "the core believes in a longer lease than it has";
	return NULL;
}

const char *check_rules(const struct check_world *w)
{
	unsigned running = 0;

	for (unsigned i = 0; i < w->nodes; i++)
		running += w->node[i].runs;
	if (running > 1)
		return "the work of two nodes runs";
	for (unsigned i = 0; i < w->nodes; i++) {
		const char *rule = rule_of_node(w, i);

		if (rule)
			return rule;
	}
	return NULL;
}

/* A node that must be able to become primary, once all is well. */
static bool eligible(const struct check_world *w, unsigned i)
{
	return w->node[i].process <= PROCESS_FROZEN && w->core[i].healthy && !w->core[i].shutdown &&
	       !w->node[i].drained;
}

static bool settled(const struct check_world *w)
{
	for (unsigned i = 0; i < w->nodes; i++)
		if (w->node[i].process == PROCESS_RUNS && w->core[i].phase == PHASE_PRIMARY &&
		    w->key == i && w->post == i && w->core[i].view.key == KEY_ME && w->node[i].runs)
			return true;
	return false;
}

/* In a good world what can get better does, before time goes on. */
static bool good(uint8_t kind)
{
	return check_move_class(kind) == CLASS_NOW || kind == MOVE_STARTED ||
	       kind == MOVE_STOPPED || kind == MOVE_CLOSE || kind == MOVE_HEAL ||
	       kind == MOVE_CONNECT || kind == MOVE_THAW;
}

static bool next_good(const struct check_world *w, struct check_move *ret_move)
{
	struct check_moves moves;

	check_list_moves(w, &moves);
	for (size_t k = 0; k < moves.count; k++) {
		if (good(moves.list[k].kind)) {
			*ret_move = moves.list[k];
			return true;
		}
	}
	for (size_t k = moves.count; k-- > 0;) {
		uint8_t kind = moves.list[k].kind;

		if (kind == MOVE_ADVANCE || kind == MOVE_EXPIRE || kind == MOVE_GUARD) {
			*ret_move = moves.list[k];
			return true;
		}
	}
	return false;
}

bool check_settle(struct check_world *w, unsigned units)
{
	int64_t until_us = w->now_us + units * CHECK_UNIT_US;
	struct check_move move;

	w->faults = w->orders = 0;
	for (int k = 0; k < SETTLE_MOVES && w->now_us < until_us; k++) {
		if (settled(w))
			return true;
		if (!next_good(w, &move))
			return false;
		check_world_move(w, move);
		if (check_broken || check_rules(w))
			return true; /* the search finds it by itself */
	}
	return false;
}

const char *check_liveness(const struct check_world *world)
{
	struct check_world copy = *world;
	bool any = false;

	for (unsigned i = 0; i < world->nodes; i++)
		any |= eligible(world, i);
	if (!any || world->maintenance || check_settle(&copy, SETTLE_UNITS))
		return NULL;
	return "nothing goes wrong any more, and yet no primary comes to be";
}
