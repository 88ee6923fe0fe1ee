/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The command line of primaryctl: one table of verbs, one of options; --help, the parser, the man page's test and
 * the completion are held against them.
 */

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct ctl;

/* Options that only some verbs take. */
enum verb_option {
	TAKES_FORCE = 1 << 0,
	TAKES_DRY_RUN = 1 << 1,
	TAKES_RECURSIVE = 1 << 2,
	TAKES_EPOCH = 1 << 3,
	TAKES_COMMAND = 1 << 4, /* `-- COMMAND`, and nothing without it */
	NEEDS_NO_SESSION = 1 << 5,
	TAKES_ALL = 1 << 6,
	TAKES_WAIT = 1 << 7,
};

#define ANY_NUMBER 4096
#define WAIT_FOR_EVER INT64_MAX

/* X(function, "name", "arguments", least, most, options, "what it does") */
#define VERBS(X)                                                                                   \
	X(status, "status", "", 0, 0, 0, "the primary, and a line for each node")                  \
	X(watch, "watch", "", 0, 0, 0, "the same, live, with what changes; q ends it")             \
	X(switchover, "switchover", "[NODE]", 0, 1, TAKES_FORCE | TAKES_DRY_RUN,                   \
	  "make NODE (or the best candidate) the primary, and wait until it is")                   \
	X(release, "release", "", 0, 0, TAKES_FORCE | TAKES_DRY_RUN,                               \
	  "let another node claim the role, and wait until one has it")                            \
	X(drain, "drain", "[NODE]", 0, 1, TAKES_FORCE,                                             \
	  "keep NODE (or this one) out of the role; hands it over first")                          \
	X(undrain, "undrain", "[NODE]", 0, 1, 0, "let NODE (or this one) contend again")           \
	X(maintenance, "maintenance", "on|off", 1, 1, 0,                                           \
	  "on: nobody claims a vacancy by itself; off: as always")                                 \
	X(explain, "explain", "[NODE]", 0, 1, TAKES_ALL,                                           \
	  "why NODE (or each node) is, or is not, the primary")                                    \
	X(is_primary, "is-primary", "[NODE]", 0, 1, NEEDS_NO_SESSION | TAKES_WAIT,                 \
	  "exit code 0: this node (or NODE) is primary; 1: it is not; 4: not known")               \
	X(history, "history", "", 0, 0, 0, "every change of the role that is kept")                \
	X(check, "check", "", 0, 0, NEEDS_NO_SESSION,                                              \
	  "configuration, servers, times, rights: each finding with its remedy")                   \
	X(cluster, "cluster", "[accept]", 0, 1, TAKES_FORCE,                                       \
	  "which ensemble this is; accept: this one, or this store, from now on")                  \
	X(remove, "remove", "NODE", 1, 1, TAKES_FORCE, "forget a node that is dead")               \
	X(rename, "rename", "OLD NEW", 2, 2, TAKES_FORCE,                                          \
	  "give a node that does not run another name")                                            \
	X(auth, "auth", "rotate|revoke FILE", 1, 2, TAKES_DRY_RUN,                                 \
	  "let both credentials of the auth-file do the same; take an old one out of all lists")   \
	X(key, "key", "list|get|set|delete|rename ...", 1, ANY_NUMBER, TAKES_RECURSIVE,            \
	  "keys below the root, see below")                                                        \
	X(lock, "lock", "exclusive|read|write PATH", 2, 2, TAKES_EPOCH | TAKES_COMMAND,            \
	  "run COMMAND while holding a lock")

struct verb {
	const char *name, *arguments;
	int least, most;
	unsigned takes; /* of enum verb_option */
	const char *what;
	int (*run)(struct ctl *ctl); /* the exit code */
};

extern const struct verb verbs[];
extern const unsigned verb_count;

struct options {
	const struct verb *verb;
	const char *config_path;		/* NULL: the default one, which may be missing */
	const char *servers, *root, *auth_file; /* NULL: as configured */
	bool json, force, dry_run, recursive, epoch, all;
	bool has_timeout;
	int64_t timeout_us;
	int64_t wait_us; /* 0: not at all */
	int64_t min_left_us;
	char **arguments; /* of the verb, NULL-terminated */
	int argument_count;
	char **command; /* behind `--`; NULL: none */
};

/* True: *ret_options is complete. False: *ret_code is the exit code; an error was reported. */
bool options_parse(int argc, char *argv[], struct options *ret_options, int *ret_code);

void options_usage(FILE *file);
