/* SPDX-License-Identifier: Apache-2.0 */

/* The diagram and the words. */

#include "election/pure.h"
#include "keeper.h"

#define TO(state) (UINT32_C(1) << KEEPER_##state)

static const uint32_t edges[KEEPER_STATE_COUNT] = {
	[KEEPER_UNKNOWN] = TO(DOWN) | TO(UP) | TO(WAITING),
	[KEEPER_DOWN] = TO(STANDBY) | TO(ARMING),
	[KEEPER_STANDBY] = TO(DOWN) | TO(ARMING),
	[KEEPER_ARMING] = TO(STARTING) | TO(WAITING),
	[KEEPER_STARTING] = TO(UP) | TO(UNKNOWN) | TO(WAITING),
	[KEEPER_UP] = TO(UNKNOWN) | TO(WAITING) |
		      TO(DOWN), /* DOWN: the guard's, told by the daemon */
	[KEEPER_WAITING] = TO(UP) | TO(STOPPING) | TO(KILLING) |
			   TO(DOWN), /* UP, DOWN: the guard's */
	[KEEPER_STOPPING] = TO(WAITING) | TO(KILLING) | TO(DOWN),
	[KEEPER_KILLING] = TO(DOWN),
};

uint32_t keeper_edges(uint8_t state)
{
	return state < KEEPER_STATE_COUNT ? edges[state] : 0;
}

#define X(name, text, runs) text,
TEXT_TABLE(state_texts, KEEPER_STATES(X));
#undef X
#define X(name, text) text,
TEXT_TABLE(event_texts, KEEPER_EVENTS(X));
TEXT_TABLE(action_texts, KEEPER_ACTIONS(X));
TEXT_TABLE(trouble_texts, KEEPER_TROUBLES(X));
#undef X

const char *keeper_state_text(uint8_t state)
{
	return LOOK_UP(state_texts, state);
}

const char *keeper_event_text(uint8_t type)
{
	return LOOK_UP(event_texts, type);
}

const char *keeper_action_text(uint8_t action)
{
	return LOOK_UP(action_texts, action);
}

const char *keeper_trouble_text(uint8_t trouble)
{
	return LOOK_UP(trouble_texts, trouble);
}
