/* SPDX-License-Identifier: Apache-2.0 */
/* Prints the table of phases and allowed moves as doc/design.md shows it, from the table that the daemon runs on. */
#include <stdio.h>
#include <string.h>

#include "election/election.h"

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

int main(void)
{
	puts("  state     routerstate   may go to");
	for (uint8_t phase = 0; phase < PHASE_COUNT; phase++)
		print_phase(phase);
	return 0;
}
