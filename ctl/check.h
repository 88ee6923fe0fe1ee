/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* `primaryctl check`: what each part looks at, and how a finding is told. */

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

/* Each server by itself: whether it answers, in what mode, how fast. */
void check_servers(struct check *check);

/* This machine: clock source, unit, polkit rule. */
void check_host(struct check *check);

/* What systemd says of a unit: into text[size], "loaded" when all is well. False: systemd cannot be asked. */
bool check_unit_state(const char *unit, char *text, size_t size);
