/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* `primaryctl check`: its parts, and how a finding is reported. */

#include "ctl.h"

enum check_level { CHECK_OK, CHECK_NOTE, CHECK_WARNING, CHECK_ERROR };

struct check {
	struct ctl *ctl;
	struct table *findings;
	unsigned errors, warnings;
};

/* remedy: "" for none. what follows fmt. */
void check_say(struct check *check, enum check_level level, const char *subject, const char *remedy,
	       const char *fmt, ...) __attribute__((format(printf, 5, 6)));

/* Each server by itself, and whether they are one ensemble. */
void check_servers(struct check *check);

/* The settings of each server that tells them. listed: how many zookeeper.servers has. */
void check_settings(struct check *check, size_t listed);

/* How long the ensemble takes to commit, beside what the lease bears. */
void check_commits(struct check *check);

/* This machine: clock source, unit, permission. Nothing here waits longer than a moment. */
void check_host(struct check *check);
