/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What the next process needs to continue: the state file, and the generation of the lease file to which it belongs,
 * both in the runtime directory. A node that cannot save them does not take over.
 */

#include <ev.h>
#include <stdbool.h>

#include "base/config/config.h"
#include "cluster/cluster.h"
#include "election/election.h"
#include "host/host.h"
#include "log/log.h"

struct lease_file;

struct kept {
	/* Set by the owner. */
	struct ev_loop *loop;
	const struct config *config;
	struct log *log;
	struct lease_file *lease; /* NULL: none */
	const char *boot_id;
	uint64_t place;
	const struct election *election;
	const struct cluster *cluster;
	bool wanted;			   /* else nothing is written */
	void (*on_change)(void *userdata); /* kept_trouble() or kept_is_fine() changed */
	void *userdata;

	struct state saved;
	int error;	/* of the last attempt */
	bool unfit;	/* for that reason this node must not take over */
	ev_timer retry; /* the next attempt */
};

void kept_init(struct kept *kept);
void kept_finish(struct kept *kept); /* also of one that is zeroed */

/*
 * Returns what the previous process left, as far as it can be believed: a state of another lease file is void, and so
 * is its session; until that expires, others may act on it, if only the guard of that lease file.
 */
const struct state *kept_take(struct kept *kept, const struct state *left);

/* After each step, before its actions are carried out: writes what changed. */
void kept_step(struct kept *kept);

/* Writes it though nothing has changed: to see whether that is possible. */
void kept_try(struct kept *kept);

/*
 * Before a takeover is sent: raises the generation and saves the state that belongs to it, so that an older one is
 * never believed. Returns 0, or -errno: then it must not be sent; that was logged.
 */
int kept_enter(struct kept *kept);

/* Why this node must not take over; "": it may. */
const char *kept_trouble(const struct kept *kept);

/* The last attempt succeeded. */
bool kept_is_fine(const struct kept *kept);

/* The session is closed: there is nothing to resume. */
void kept_forget(const struct kept *kept);
