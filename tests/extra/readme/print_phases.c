/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Prints the table of phases and allowed moves as doc/design.md shows it, from the table that the daemon runs on; with an
 * argument that of the keeper.
 */
#include <stdio.h>
#include <string.h>

#include "election/election.h"
#include "work/keeper.h"

static void print_phase(uint8_t phase)
{
	const struct election_config config = { .coordinator = 1 };
	struct election state;
	uint32_t edges = election_edges(phase);
	const char *router;

	election_init(&state);
	state.phase = phase;
	state.registered = 1;
	router = election_router_state(&config, &state);
	printf("%c %-10s%-13s", election_acting(&state) ? '*' : ' ', election_phase_text(phase),
	       *router ? router : "-");
	for (uint8_t to = 0; to < PHASE_COUNT; to++)
		if (edges & UINT32_C(1) << to)
			printf(" %s", election_phase_text(to));
	puts("");
}

static void print_state(uint8_t state)
{
	const struct keeper keeper = { .state = state };

	printf("%c %-10s", keeper_may_run(&keeper) ? '*' : ' ', keeper_state_text(state));
	for (uint8_t to = 0; to < KEEPER_STATE_COUNT; to++)
		if (keeper_edges(state) & UINT32_C(1) << to)
			printf(" %s", keeper_state_text(to));
	puts("");
}

int main(int argc, char *argv[])
{
	if (argc > 1) {
		puts("  state      may go to");
		for (uint8_t state = 0; state < KEEPER_STATE_COUNT; state++)
			print_state(state);
		return 0;
	}
	puts("  state     routerstate   may go to");
	for (uint8_t phase = 0; phase < PHASE_COUNT; phase++)
		print_phase(phase);
	return 0;
}
