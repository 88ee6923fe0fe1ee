/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The commands that are not the work: fence and its check, follow and health. Their facts (script_facts.h) are all they are told. */

#include <stdbool.h>
#include <stdint.h>

#include "base/config/config.h"
#include "fence_check.h"
#include "log/log.h"
#include "script_facts.h"

struct ev_loop;
struct lease_file;
struct scripts;

enum scripts_event {
	SCRIPTS_FENCED,	      /* after scripts_fence() */
	SCRIPTS_FENCE_FAILED, /* after scripts_fence() */
	SCRIPTS_FOLLOWED,     /* the follow command ended: it may be run again */
	SCRIPTS_HEALTH,	      /* scripts_trouble() changed */
	SCRIPTS_CHECK_DUE, /* scripts_check_fence() is to be called with the names of the nodes */
	SCRIPTS_CHECKED,   /* scripts_checked() may have changed */
};

/* Runs from the loop, or from within scripts_fence(), scripts_check_fence() and scripts_follow(); must not destroy the scripts. */
typedef void (*scripts_fn)(void *userdata, enum scripts_event event);

struct scripts_options {
	struct ev_loop *loop;
	const struct config *config; /* must outlive it, like the next two */
	struct log *log;
	struct lease_file *lease; /* where their process groups are noted; NULL: nowhere */
	scripts_fn on_event;
	void *userdata;
};

/* Ends what the previous process left running of them. Returns 0 or -errno. */
int scripts_create(const struct scripts_options *options, struct scripts **ret_scripts);

/* Kills what runs, without callback. Takes NULL. Returns NULL. */
struct scripts *scripts_destroy(struct scripts *scripts);

/* SCRIPTS_FENCED or SCRIPTS_FENCE_FAILED follows, at once if no command is configured: then every node counts as fenced. */
void scripts_fence(struct scripts *scripts, const char *target, const struct script_facts *facts);

/*
 * Checks whether those nodes could be fenced (see fence_check_run()). A fence that runs, or begins meanwhile, is more
 * important, and the round is left out.
 */
void scripts_check_fence(struct scripts *scripts, const struct script_facts *facts,
			 const char *const *names, size_t count);

/* What the fence check knows; zeroed: it is not configured. */
const struct fence_checked *scripts_checked(const struct scripts *scripts);

/* No fence of a takeover that is called off may go on into the next one. */
void scripts_cancel_fence(struct scripts *scripts);

/*
 * Runs the follow command unless it runs, or was told of this acting primary in this epoch. `previous` of the facts is
 * filled in: the primary that it was told last.
 */
void scripts_follow(struct scripts *scripts, const struct script_facts *facts);

/* Why the health command calls this node not healthy; "": it does not. */
const char *scripts_trouble(const struct scripts *scripts);
