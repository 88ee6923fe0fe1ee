/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The table of all commands of primaryctl. The parser, --help, `primaryctl help COMMAND`, the suggestion after a typo and
 * the completion of every shell come from it.
 */

#include <stdbool.h>
#include <stddef.h>

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
	TAKES_FOR = 1 << 8,
	TAKES_SVG = 1 << 9,
};

/*
 * X(function, "name", "arguments", options, "what it does", "arguments of an example")
 *
 * A name has one word or two. Arguments: [NODE] may be left out, PATH... may be repeated, on|off must be one of these words.
 * NODE and PATH are completed with what ZooKeeper has.
 */
#define VERBS(X)                                                                                   \
	X(status, "status", "", 0, "show the primary, and a line for every node", "")              \
	X(watch, "watch", "", 0, "show the status live, with all changes; q ends it",              \
	  " --timeout 10min")                                                                      \
	X(explain, "explain", "[NODE]", TAKES_ALL,                                                 \
	  "say why NODE (default: every node) is or is not the primary", " db3")                   \
	X(is_primary, "is-primary", "[NODE]", NEEDS_NO_SESSION | TAKES_WAIT,                       \
	  "exit with 0 if NODE (default: this node) is primary, 1 if not, 4 if not known",         \
	  " --min-left 2s && run-the-job")                                                         \
	X(address, "address", "[NODE]", 0,                                                         \
	  "print the address of the primary, or of NODE, for clients", "")                         \
	X(metrics, "metrics", "", NEEDS_NO_SESSION,                                                \
	  "print this node's metrics in the text format of Prometheus", "")                        \
	X(history, "history", "", 0, "list the changes of the primary that are on record", "")     \
	X(timeline, "timeline", "[EPOCH]", TAKES_SVG,                                              \
	  "draw the last change of the role, or the one with EPOCH", " --svg failover.svg")        \
	X(check, "check", "", NEEDS_NO_SESSION,                                                    \
	  "check configuration, servers, timeouts and rights; name remedies", "")                  \
	X(switchover, "switchover", "[NODE]", TAKES_FORCE | TAKES_DRY_RUN,                         \
	  "make NODE (default: the best candidate) the primary, and wait", " db2 --dry-run")       \
	X(release, "release", "", TAKES_FORCE | TAKES_DRY_RUN,                                     \
	  "let another node become the primary, and wait until one is", "")                        \
	X(drain, "drain", "[NODE]", TAKES_FORCE,                                                   \
	  "keep NODE (default: this node) from being the primary", " db1")                         \
	X(undrain, "undrain", "[NODE]", 0, "end the drain of NODE (default: this node)", " db1")   \
	X(pardon, "pardon", "[NODE]", 0,                                                           \
	  "end the penalty of NODE (default: this node) after a failed takeover", " db1")          \
	X(maintenance, "maintenance", "on|off", TAKES_FOR,                                         \
	  "on: nodes do not claim the role by themselves; off: they do again", " on --for 2h")     \
	X(remove, "remove", "NODE", TAKES_FORCE, "forget a node that is dead", " db4")             \
	X(rename, "rename", "NODE NEW", TAKES_FORCE, "rename a node whose daemon does not run",    \
	  " db5 db4")                                                                              \
	X(cluster, "cluster", "", 0, "show which ensemble this is", "")                            \
	X(cluster_accept, "cluster accept", "", TAKES_FORCE,                                       \
	  "accept this ensemble in place of the lost one", "")                                     \
	X(cluster_upgrade, "cluster upgrade", "", 0,                                               \
	  "raise the format of the keys, once all nodes know it", "")                              \
	X(auth_rotate, "auth rotate", "", TAKES_DRY_RUN,                                           \
	  "give both credentials of the auth-file the same rights", "")                            \
	X(auth_revoke, "auth revoke", "FILE", TAKES_DRY_RUN,                                       \
	  "remove the credential in FILE from all access lists", " /etc/primaryd/auth.old")        \
	X(key_list, "key list", "[PATH]", TAKES_RECURSIVE, "list keys, with versions and values",  \
	  " /nodes --recursive")                                                                   \
	X(key_get, "key get", "PATH", 0, "print the value of a key", " /primary_node")             \
	X(key_set, "key set", "PATH[@VERSION]=VALUE...", 0,                                        \
	  "set all of these keys or none; a VALUE of - is read from stdin",                        \
	  " /app/a=1 /app/b@3=2")                                                                  \
	X(key_delete, "key delete", "PATH...", TAKES_RECURSIVE, "delete keys",                     \
	  " /app --recursive")                                                                     \
	X(key_rename, "key rename", "PATH NEW [PATH...]", 0,                                       \
	  "rename whole subtrees, each PATH to the NEW after it, all or none",                     \
	  " /a /old/a /b /old/b")                                                                  \
	X(lock, "lock", "exclusive|read|write PATH", TAKES_EPOCH | TAKES_COMMAND,                  \
	  "run COMMAND while holding a lock",                                                      \
	  " exclusive /locks/backup --timeout 10s -- /usr/local/bin/backup")                       \
	X(help, "help", "[COMMAND...]", NEEDS_NO_SESSION, "explain a command", " key set")

struct verb {
	const char *name, *arguments;
	unsigned takes; /* of enum verb_option */
	const char *what, *example;
	int (*run)(struct ctl *ctl); /* the exit code */
};

extern const struct verb verbs[];
extern const unsigned verb_count;

/* The verb that the first words name, NULL if there is none. *ret_used: how many words that took. */
const struct verb *verb_find(char *const words[], int count, int *ret_used);

/* Whether verb is called `word`, or `word` and a second word. */
bool verb_begins(const struct verb *verb, const char *word);

/* One of a verb's arguments: text[length], without its brackets and dots. */
struct verb_argument {
	const char *text;
	size_t length;
	bool optional, repeated;
};

/* Takes the first argument off *rest; false if there is none. */
bool verb_argument_next(const char **rest, struct verb_argument *ret_argument);

/* Takes the first of the words that argument allows, as "on|off" does, off *rest; false if there is none, or any is allowed. */
bool verb_word_next(struct verb_argument *rest, struct verb_argument *ret_word);

/* Whether these are arguments that the verb takes. */
bool verb_takes(const struct verb *verb, char *const arguments[], int count);
