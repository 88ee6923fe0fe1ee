/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * One change of the primary as a picture: facts in, rows of segments out, which terminal.c and svg.c draw. Pure. Times are
 * milliseconds since 1970 by the servers' clock.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/history_entry.h"

#define TIMELINE_MOMENTS_MAX 8
#define TIMELINE_SEGMENTS_MAX 8
#define TIMELINE_TEXT_SIZE 256

/* X(NAME, letter, what the node does) */
#define TIMELINE_STATES(X)                                                                         \
	X(UNKNOWN, '.', "not known")                                                               \
	X(CLIENT, 'c', "client")                                                                   \
	X(SECONDARY, 's', "secondary")                                                             \
	X(PRIMARY, 'P', "primary: its work runs")                                                  \
	X(SILENT, '?', "not heard of: its work may run until its lease is over")                   \
	X(DOWN, '-', "its lease is over: its work is down")                                        \
	X(STOP, 'R', "relinquish: stops its work")                                                 \
	X(NAMED, 'n', "named: waits for the post")                                                 \
	X(WAIT, 'w', "takeover: waits for leases, and fences")                                     \
	X(START, 'T', "takeover: starts its work")

enum timeline_state {
#define X(name, letter, text) TIMELINE_##name,
	TIMELINE_STATES(X)
#undef X
		TIMELINE_STATE_COUNT
};

char timeline_letter(enum timeline_state state);
const char *timeline_state_text(enum timeline_state state);

/* A node as it is now, and since when. */
struct timeline_node {
	const char *name;
	enum timeline_state state;
	int64_t since_ms;
};

struct timeline_facts {
	const struct history_entry *entry;
	int64_t claim_ms; /* the transaction that made the entry */
	int64_t now_ms;
	const struct timeline_node *nodes;
	size_t node_count;
};

struct timeline_segment {
	enum timeline_state state;
	int64_t begin_ms, end_ms;
};

struct timeline_row {
	const char *name;
	size_t count;
	struct timeline_segment segments[TIMELINE_SEGMENTS_MAX];
};

/* What happened then, and who had waited how long for what. */
struct timeline_moment {
	int64_t ms;
	char text[TIMELINE_TEXT_SIZE];
};

struct timeline {
	int64_t begin_ms, end_ms;
	/* In their order, within the bounds. */
	struct timeline_moment moments[TIMELINE_MOMENTS_MAX];
	size_t moment_count;
	/* The node that lost the role, the one that got it, the others. */
	struct timeline_row *rows;
	size_t row_count;
	/* No node worked from gap_ms to gap_end_ms, and perhaps since gap_first_ms, which is no later. 0: not known. */
	int64_t gap_first_ms, gap_ms, gap_end_ms;
};

/* The names of facts must outlive it. False: out of memory. */
bool timeline_build(const struct timeline_facts *facts, struct timeline *ret_timeline);
void timeline_finish(struct timeline *timeline); /* also fine when zeroed */

bool timeline_shows(const struct timeline *timeline, enum timeline_state state);

/* How long after the first moment moment i was, into text[WALL_TEXT_SIZE]. Returns text. */
const char *timeline_after(const struct timeline *timeline, size_t i, char *text);

/*
 * "gap: 3.08 s to 4.81 s in which no node worked", into text[TIMELINE_TEXT_SIZE]; "" if it is not known. unsure: the legend of
 * the part in which a node may have worked. Returns text.
 */
char *timeline_gap_text(const struct timeline *timeline, const char *unsure, char *text);

/*
 * Where a moment is drawn, from 0 to width: to scale, but no two ends of segments or moments are closer than `least`, as far
 * as there is room.
 */
struct timeline_scale {
	int64_t *ends; /* sorted, each once */
	size_t count;
	unsigned width, least;
};
bool timeline_scale_init(const struct timeline *timeline, unsigned width, unsigned least,
			 struct timeline_scale *ret_scale);
void timeline_scale_finish(struct timeline_scale *scale);
unsigned timeline_place(const struct timeline_scale *scale, int64_t ms);
