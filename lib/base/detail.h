/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * /nodes/NAME/detail: what a daemon publishes of itself beyond its other keys: `key=value` pairs separated by blanks. The
 * value of `reason=`, the last one, extends to the end. Written along with what is written anyway. Pure.
 *
 *   format=1 rank=10 contend-delay=2s lock-timeout=400ms transition-delay=500ms session-timeout=10s
 *   [fence-failed=NODE@SINCE,...] [stop=12.345ms] [left=EPOCH | penalty-until=MS] reason=TEXT...
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "keys.h"

#define DETAIL_SIZE 384
#define DETAIL_MOVE_SIZE 192 /* what it says of the last move, from `stop=` on */
/* Nodes for which the fence check fails, as many as fit, and since when (seconds since 1970). */
#define DETAIL_FENCE_FAILED "fence-failed="
#define DETAIL_FENCE_SIZE 160
/* How long the last stop of the work took. */
#define DETAIL_STOP "stop="
/* The last two words of it. */
#define DETAIL_LEFT "left="
#define DETAIL_REASON "reason="

/* As far as it is published. 0 and "": it is not. */
struct node_detail {
	bool there;
	int64_t format; /* of the keys: the highest that it knows; 1 where that is not published */
	int64_t rank, contend_delay_us;
	int64_t penalty_until_ms; /* since 1970 */
	int64_t lock_timeout_us, transition_delay_us;
	int64_t session_us;		      /* T */
	int64_t stop_us;		      /* how long the last stop of its work took */
	char fence_failed[DETAIL_FENCE_SIZE]; /* see detail_next_failed() */
	char reason[DETAIL_SIZE];
};

void detail_parse(const char *data, size_t length, struct node_detail *ret_detail);

/*
 * The next node of fence_failed. *cursor: begins at fence_failed, and moves on. *ret_since_ms: since 1970; 0: not known.
 * False: there is none.
 */
bool detail_next_failed(const char **cursor, char ret_name[NAME_SIZE], int64_t *ret_since_ms);
