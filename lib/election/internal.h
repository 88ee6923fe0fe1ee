/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Shared by the files of the core only. */

#include "election.h"

struct election_step {
	const struct election_config *config;
	struct election *state;
	struct election_actions *actions;
};

void election_say(struct election_step *s, enum election_action_type type, uint8_t reason);
void election_move(struct election_step *s, enum election_phase to, enum election_reason reason);
/* Starts transaction `op` against the key's present version. */
void election_do(struct election_step *s, enum election_op op, int32_t version);

/* leasing.c */
/* What was sent then is committed. */
void lease_open(struct election *e, int64_t sent_us);
/* The first thing every event does: the clock is judged before the network is believed. */
void lease_judge(struct election_step *s);
/* Renewals, and the change of a server that shows no progress. */
void lease_drive(struct election_step *s);
int64_t lease_next_us(const struct election_config *config, const struct election *e);
/*
 * A write of this term that was sent at since_us or later is committed. Meanwhile the session of a killed process may have
 * been alive, and what that had sent may have passed all checks, since versions begin anew when keys are deleted.
 */
bool lease_proves(const struct election *e, int64_t since_us);
/* A renewal is due at once, unless one was sent since then. */
void lease_renew_after(struct election *e, int64_t since_us);
/* True when this phase keeps the post by renewals. */
bool lease_kept(const struct election *e);

/* apply.c: what an event tells, without any decision but those it forces. */
void election_apply(struct election_step *s, const struct election_event *event);
/* Begins to unwind: stops the work if any may run. */
void election_unwind(struct election_step *s, enum election_reason reason);

/* acting.c: what several phases ask */
bool election_vacant(const struct election *e);
enum election_reason election_vacancy_reason(const struct election *e);
enum election_reason election_unwilling(const struct election_step *s);
/* The key is known, and says something else than this node's name. */
bool election_not_named(const struct election *e);
/* The own post has another epoch: an old store brought it back. A renewal may pass all the same, versions are not unique. */
bool election_post_is_former(const struct election *e);

/* While it is not known: who else may claim? */
void election_ask_peers(struct election_step *s);

/* One phase, or some that belong together; true: moved. */
bool election_in_recover(struct election_step *s);
bool election_in_begin(struct election_step *s);
bool election_in_acting(struct election_step *s);
