/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* `primaryctl check`: what each part looks at, and how a finding is told. */

#include <sys/types.h>

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

/* Whether servers that serve (ADDRESS:PORT each) are of one ensemble. */
void check_ensemble(struct check *check, const char *const *addresses, size_t count);

/* This machine: clock source, unit, permission. */
void check_host(struct check *check);

/* What systemd says of a unit. */
struct check_unit {
	char state[64];	 /* "loaded" when all is well */
	char guard[256]; /* what it is bound to; "": not to a guard */
	/* The first of what it wants or requires that neither it nor the guard stops; "": none. */
	char loose[256];
	char guarded[256]; /* the runtime directory that the guard watches over; "": not known */
};

/* False: systemd cannot be asked. */
bool check_unit_look(const char *name, struct check_unit *ret_unit);

/*
 * Whether polkit lets a process of that user do that ("start", "stop", ...) to the unit: 1 or 0, or -errno when polkit
 * cannot be asked. It answers to root alone.
 */
int check_unit_allowed(pid_t pid, uid_t uid, const char *unit, const char *verb);

/* Whether the daemon's user may do what it has to do to the unit and to its guard ("": none). */
void check_permission(struct check *check, const char *unit, const char *guard);
