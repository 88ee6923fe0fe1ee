/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Whether another credential has the rights for what this node does now: tried in a separate session, before a reload. */

#include <ev.h>

#include "base/config/config.h"
#include "base/rights.h"

#define TRIAL_TEXT_SIZE (RIGHTS_TEXT_SIZE + 256)

/* problem: "": it could; else why it could not, or could not be asked. */
typedef void (*trial_fn)(void *userdata, const char *problem);

struct trial {
	struct ev_loop *loop;
	trial_fn on_done;
	void *userdata;
	struct zkh_session *session;
	struct rights rights;
	unsigned flags;
	char name[NAME_SIZE];
	char trouble[TRIAL_TEXT_SIZE]; /* the last one of the connection */
	ev_timer bound;
};

/* config: of the node as it would be. on_done follows once from the loop. */
void trial_start(struct trial *trial, struct ev_loop *loop, const struct config *config,
		 const struct config_auth *auth, trial_fn on_done, void *userdata);

/* Forgets one that is under way; fine when zeroed. */
void trial_finish(struct trial *trial);
