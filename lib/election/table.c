/* SPDX-License-Identifier: Apache-2.0 */
#include "election.h"

#include "pure.h"

/*
 * The diagram. Each row: from this phase, these moves and no others. Phases that own the post unwind through STOP and
 * LEAVE only; the one exception, back to OFFLINE, is taken when the session and with it the post is gone.
 */
#define TO(phase) (UINT32_C(1) << PHASE_##phase)
#define ACTING_EXITS (TO(STOP))

static const uint32_t edges[PHASE_COUNT] = {
	[PHASE_INIT] = TO(STOP) | TO(RESUME),
	[PHASE_OFFLINE] = TO(FOLLOW) | TO(GONE),
	[PHASE_FOLLOW] = TO(OFFLINE) | TO(CONTEND) | TO(AWAIT) | TO(LEAVE) | TO(GONE),
	[PHASE_CONTEND] = TO(OFFLINE) | TO(FOLLOW) | TO(LOCK),
	[PHASE_LOCK] = TO(OFFLINE) | TO(FOLLOW) | TO(CLAIM),
	[PHASE_CLAIM] = TO(OFFLINE) | TO(FOLLOW) | TO(AWAIT),
	[PHASE_AWAIT] = TO(OFFLINE) | TO(FOLLOW) | TO(ENTER),
	[PHASE_ENTER] = TO(OFFLINE) | TO(FOLLOW) | TO(AWAIT) | TO(RECOVER) | TO(LEAVE) | TO(GONE),
	[PHASE_RECOVER] = ACTING_EXITS | TO(BEGIN),
	[PHASE_BEGIN] = ACTING_EXITS | TO(PRIMARY),
	[PHASE_PRIMARY] = ACTING_EXITS | TO(VACATED) | TO(YIELD) | TO(HANDOVER),
	[PHASE_VACATED] = ACTING_EXITS | TO(PRIMARY) | TO(YIELD) | TO(HANDOVER),
	[PHASE_YIELD] = ACTING_EXITS | TO(PRIMARY) | TO(VACATED) | TO(HANDOVER),
	[PHASE_HANDOVER] = ACTING_EXITS | TO(PRIMARY) | TO(VACATED) | TO(YIELD),
	[PHASE_STOP] = TO(LEAVE) | TO(OFFLINE),
	[PHASE_LEAVE] = TO(FOLLOW) | TO(OFFLINE) | TO(GONE),
	[PHASE_RESUME] = ACTING_EXITS | TO(PRIMARY),
	[PHASE_GONE] = 0,
};

uint32_t election_edges(uint8_t phase)
{
	return phase < PHASE_COUNT ? edges[phase] : 0;
}

#define X(name, text, router, acting) text,
TEXT_TABLE(phase_texts, ELECTION_PHASES(X));
#undef X
#define X(name, text, router, acting) router,
TEXT_TABLE(router_states, ELECTION_PHASES(X));
#undef X
#define X(name, text, router, acting) acting,
static const uint8_t acting_phases[] = { ELECTION_PHASES(X) };
#undef X
#define X(name, text) text,
TEXT_TABLE(reason_texts, ELECTION_REASONS(X));
TEXT_TABLE(key_texts, ELECTION_KEYS(X));
TEXT_TABLE(op_texts, ELECTION_OPS(X));
TEXT_TABLE(event_texts, ELECTION_EVENTS(X));
TEXT_TABLE(action_texts, ELECTION_ACTIONS(X));
#undef X
#define X(name, text, why) why,
TEXT_TABLE(obstacle_texts, ELECTION_OBSTACLES(X));
#undef X

const char *election_phase_text(uint8_t phase)
{
	return LOOK_UP(phase_texts, phase);
}

const char *election_reason_text(uint8_t reason)
{
	return LOOK_UP(reason_texts, reason);
}

const char *election_key_text(uint8_t key)
{
	return LOOK_UP(key_texts, key);
}

const char *election_op_text(uint8_t op)
{
	return LOOK_UP(op_texts, op);
}

const char *election_event_text(uint8_t type)
{
	return LOOK_UP(event_texts, type);
}

const char *election_action_text(uint8_t type)
{
	return LOOK_UP(action_texts, type);
}

const char *election_obstacle_text(uint32_t bit)
{
	for (unsigned i = 0; i < OBSTACLE_COUNT; i++)
		if (bit == UINT32_C(1) << i)
			return obstacle_texts[i];
	return "?";
}

bool election_acting(const struct election *state)
{
	return acting_phases[state->phase];
}

const char *election_router_state(const struct election_config *config,
				  const struct election *state)
{
	/* A cold start stops the work before anything is known: what stands in the key is the trace of an
	 * unclean death and stays until the work is down. */
	if (!state->registered)
		return "";
	/* The takeover writes it itself; after an unknown outcome "secondary" would wipe its trace. */
	if (state->phase == PHASE_ENTER)
		return "";
	if (state->phase == PHASE_FOLLOW && !config->coordinator)
		return "client";
	return LOOK_UP(router_states, state->phase);
}

uint32_t election_obstacles(const struct election_candidate *c)
{
	uint32_t bits = 0;

	if (!c->coordinator)
		bits |= OBSTACLE_CLIENT;
	if (!c->online)
		bits |= OBSTACLE_OFFLINE;
	if (c->shutdown)
		bits |= OBSTACLE_SHUTDOWN;
	if (!c->healthy)
		bits |= OBSTACLE_UNHEALTHY;
	if (c->drained)
		bits |= OBSTACLE_DRAINED;
	if (c->maintenance)
		bits |= OBSTACLE_MAINTENANCE;
	if (c->penalty)
		bits |= OBSTACLE_PENALTY;
	if (!c->secondary)
		bits |= OBSTACLE_BUSY;
	return bits;
}

uint32_t election_own_obstacles(const struct election_config *config, const struct election *state)
{
	const struct election_candidate candidate = {
		.coordinator = config->coordinator != 0,
		.online = state->attached && state->registered && !state->view.absent,
		.shutdown = state->shutdown,
		.healthy = state->healthy,
		.drained = state->view.drained,
		.maintenance = state->view.maintenance,
		.penalty = state->now_us < state->penalty_until_us,
		.secondary = state->phase >= PHASE_FOLLOW && state->phase <= PHASE_CLAIM,
	};

	return election_obstacles(&candidate);
}
