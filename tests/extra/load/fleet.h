/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Many nodes on one loop: the daemon's own core and shell, without log, lease file and state file. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/config/config.h"
#include "base/clock.h"
#include "base/keys.h"
#include "node/node.h"

struct fleet;

/* What one node has seen, in us of the wall clock since 1970; 0: not yet. */
struct member {
	struct fleet *fleet;
	struct node *node;
	struct config config;
	struct log *log;
	bool coordinator;
	bool attached; /* as seen last */
	bool ready;
	char server[80]; /* its connection */
	char holder[NAME_SIZE], primary[NAME_SIZE];
	int64_t epoch;
	int64_t named_us;  /* since when it knows this holder */
	int64_t acting_us; /* since when it knows this acting primary */
	int64_t up_us;	   /* since when it is attached */
	int64_t ready_us;  /* since when it is registered */
};

struct fleet {
	struct ev_loop *loop;
	struct member *members; /* coordinators first */
	size_t count, coordinators;
	void (*on_change)(void *userdata);
	void *userdata;
};

struct fleet_options {
	const char *servers, *root, *session_timeout;
	size_t coordinators, clients;
	int log_fd; /* -1: none */
};

/* Starts all nodes at once; coordinators are named m0001 ..., clients c0001 ... 0 or -errno. */
int fleet_create(struct fleet *fleet, struct ev_loop *loop, const struct fleet_options *options);

/* Ends them without a word: the sessions expire. */
void fleet_finish(struct fleet *fleet);

/* The node of that name ends without a word. */
bool fleet_kill(struct fleet *fleet, const char *name);

/* Hands over and leaves; returns false if there is none of that name. */
bool fleet_stop(struct fleet *fleet, const char *name);

size_t fleet_count_at(const struct fleet *fleet, const char *server);
