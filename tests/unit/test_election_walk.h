/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Everything that the shell may tell the core in a state, as events: the alphabet of the walk through all states.
 *
 * The shell is modelled only as far as to know which answers are due: each action that asks for one gets exactly one,
 * in the order of the connection; a lost connection answers all that is open before the next one is attached.
 */

#include "election/election.h"

#include <stddef.h>

#define WALK_EVENTS_MAX 96

struct walk {
	struct election core;
	int64_t renew_us; /* the last renewal was sent */
	uint8_t op;	  /* enum election_op: to be answered */
	uint8_t lock;	  /* enum election_lock */
	uint8_t scan;	  /* to be answered, as the next ones */
	uint8_t fence;
	uint8_t peers;
	uint8_t renew;
	uint8_t start;
	uint8_t stop;
	uint8_t refresh; /* a view will come */
	uint8_t broken; /* something was answered as unknown: the connection is gone, and that is said next */
	uint8_t session;
	uint8_t pad[5];
};

struct walk_events {
	size_t count;
	struct election_event list[WALK_EVENTS_MAX];
};

void walk_init(struct walk *walk, int64_t now_us);

/* All events that may come next, at the present time, and TIME at the next timer, and far too late. */
void walk_list(const struct walk *walk, const struct election_config *config,
	       struct walk_events *ret_events);

/* The shell's part of a step: what was answered, and what is to be answered now. */
void walk_note(struct walk *walk, const struct election_event *event,
	       const struct election_actions *actions);

/* NULL, or what this node waits for though nobody will ever tell it. */
const char *walk_stuck(const struct walk *walk, const struct election_config *config);

/* Same for two states that the core can't tell apart: times relative to now, versions and zxids by their order. */
uint64_t walk_hash(const struct walk *walk);
