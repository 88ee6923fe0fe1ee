/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Decides whether a reload may take over a configuration; a reload that is refused changes nothing. The FIFO
 * RELOAD_FIFO in the runtime directory gives the answer to a process that waits for it (reload_order.h).
 */

#include <stdbool.h>
#include <stdint.h>

#include "cluster/cluster.h"

struct command;
struct config;
struct log;

#define RELOAD_LINE_SIZE 384
#define RELOAD_FIFO "reload"
#define RELOAD_ACCEPTED "accepted"

/*
 * A reload that waits for what the binary on disk says of the configuration. The caller sets what stands before
 * `command`.
 */
struct reload {
	struct ev_loop *loop;
	struct log *log;
	const char *binary, *config_path;
	const struct config *running;
	uint64_t auth_hash; /* of the credential that is in use */
	void (*on_accepted)(void *userdata);
	void *userdata;
	struct command *command;
	char line[RELOAD_LINE_SIZE]; /* the first one that it said */
	struct trial trial;
};

/* Logs that the reload is refused, and answers whoever ordered it. */
void reload_refuse(const struct reload *reload, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/*
 * Whether the file may take the place of what runs: it must be valid, and keep what a new image finds its state by. If
 * not, the reload is refused with every reason.
 */
bool reload_is_valid(const struct reload *reload);

/*
 * The process that runs knows only its own rules: a newer binary may refuse what it accepts, and then nobody would be
 * left. So the binary is asked, with --check, in a process of its own. Then another credential is tried: with one that
 * may not write the node's keys a primary would lose its lease. on_accepted follows, from the loop; or
 * EVENT_RELOAD_REFUSED is logged. One that is under way begins anew.
 */
void reload_ask_binary(struct reload *reload);

/* Forgets one that is under way. */
void reload_finish(struct reload *reload);
