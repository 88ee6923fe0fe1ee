/* SPDX-License-Identifier: Apache-2.0 */
#include "sim.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/*
 * The keepalive of the own term is the daemon's: term.c. Here is what the node around it does: its callbacks, and what of it
 * outlives the process.
 */

static void on_renewed(void *userdata, enum election_result result, int64_t sent_us)
{
	struct election_event ev = { .type = ELECTION_RENEWED,
				     .result = (uint8_t)result,
				     .time_us = sent_us };
	struct sim_node *n = userdata;

	shell_tell(n->world, n, &ev);
}

/* The file tells of both processes before anything is sent. */
static void on_claim(void *userdata)
{
	struct sim_node *n = userdata;

	(void)shell_persist(n->world, n);
}

static void on_superseded(void *userdata)
{
	struct sim_node *n = userdata;

	shell_tell_result(n->world, n, ELECTION_SESSION_LOST, 0, 0, 0);
	zkh_session_renew(zkh_session_of(n));
}

static void on_refused(void *userdata, int result, const char *path)
{
	(void)userdata;
	(void)result;
	(void)path;
}

/* A process draws its nonce; what those before it had is in the state file. */
void shell_term_begin(struct sim *w, struct sim_node *n, bool resumes)
{
	char machine[MACHINE_ID_SIZE];

	n->world = w;
	snprintf(machine, sizeof(machine), "%032" PRIx32, (uint32_t)n->machine);
	snprintf(n->boot_text, sizeof(n->boot_text), "%032" PRIx32, (uint32_t)n->boot);
	(void)term_init(&n->term, node_name(n->id), machine, n->boot_text);
	n->term.nonce = (uint64_t)++w->nonces;
	n->term.session = zkh_session_of(n);
	n->term.on_renewed = on_renewed;
	n->term.on_claim = on_claim;
	n->term.on_superseded = on_superseded;
	n->term.on_refused = on_refused;
	n->term.userdata = n;
	if (resumes)
		term_resume(&n->term, n->file.nonces, n->file.epoch_version, n->file.term_us);
}
