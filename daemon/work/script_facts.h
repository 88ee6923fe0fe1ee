/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The facts about the role that commands and units get from the daemon, or from the guard in its place. */

#include <stddef.h>
#include <stdint.h>

/* What a command is told: PRIMARYD_EVENT and so on. Pointers are used during the call only. */
struct script_facts {
	const char *event;    /* takeover, relinquish, fence, fence-check, follow */
	const char *node;     /* this node */
	const char *primary;  /* the acting (or coming) primary; "": none */
	const char *previous; /* the one before; "": none known */
	const char *reason;
	const char *target; /* fence, fence-check: the node to fence; else NULL */
	int64_t epoch;	    /* 0: none */
};

#define SCRIPT_FACTS_MAX 8
#define SCRIPT_FACT_SIZE 160

/* The facts as an environment list, NULL-terminated. */
struct script_environment {
	char texts[SCRIPT_FACTS_MAX][SCRIPT_FACT_SIZE];
	const char *list[SCRIPT_FACTS_MAX + 1];
};

void script_environment(const struct script_facts *facts, struct script_environment *ret);
