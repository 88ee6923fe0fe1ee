/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Shared by the files of the keeper only. */

#include "keeper.h"

struct keeper_turn {
	const struct keeper_config *config;
	struct keeper *state;
	struct keeper_actions *actions;
};

/* keeper.c */
void keeper_move(struct keeper_turn *s, enum keeper_state to);
void keeper_say(struct keeper_turn *s, enum keeper_action action);
/* Asks for the lock, or takes it by force: what somebody else runs is killed, and the daemon is told. */
void keeper_ask(struct keeper_turn *s, enum keeper_action how);
void keeper_set_trouble(struct keeper_turn *s, enum keeper_trouble trouble);
/* Nothing runs, and nothing is left: the guard is not needed any more. */
void keeper_go_down(struct keeper_turn *s);
void keeper_start_failed(struct keeper_turn *s);

/* keeper_apply.c */
void keeper_apply(struct keeper_turn *s, const struct keeper_event *event);
