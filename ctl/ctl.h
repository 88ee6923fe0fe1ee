/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What every verb has: options, configuration, the loop, the session, and ways to wait and to complain.
 *
 * A verb is written from top to bottom: it sends requests and calls ctl_wait(), which runs the loop until what it
 * waits for is there, or until there is a reason to give up. Callbacks only note what they are told.
 */

#include <ev.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/config/config.h"
#include "base/identity.h"
#include "options.h"
#include "out/table.h"
#include "zk/session/zkh_op.h"
#include "zk/session/zkh_session.h"

/* How long ZooKeeper may take to answer at all, unless --timeout says otherwise. */
#define CONNECT_TIMEOUT_US (5 * DURATION_S)
/* How long a move of the role may take, unless --timeout says otherwise: stop and start with their defaults, and some. */
#define MOVE_TIMEOUT_US (2 * DURATION_MIN)

#define CTL_SIGNALS 6

enum ctl_exit {
	CTL_DONE = 0,
	CTL_REFUSED = 1,
	CTL_USAGE = 2,
	CTL_TIMED_OUT = 3,
	CTL_UNREACHABLE = 4,
	CTL_INTERRUPTED = 5, /* never an exit code: main() ends by the signal */
};

struct ctl {
	struct options options;
	struct config config; /* the file's or the defaults, with the options over it */
	bool has_file;	      /* there was a configuration file */
	const char *config_path;
	struct config_auth auth;
	bool has_auth;
	struct ev_loop *loop;
	ev_signal signals[CTL_SIGNALS];
	ev_timer timer;
	int signal_seen; /* 0: none */
	struct zkh_session *session;
	int64_t started_us; /* time_boot_us(): just before the session was asked for */
	bool connected_once, auth_refused;
	char trouble[320];   /* the last thing that went wrong with the connection */
	int64_t deadline_us; /* CLOCK_MONOTONIC; 0: none */
	/* True: the signal is taken care of. NULL: each one ends the waiting. */
	bool (*on_signal)(void *userdata, int number);
	void *on_signal_userdata;
	/* The session's events, for who mirrors keys; NULL: nobody. */
	void (*on_session)(void *userdata, const struct zkh_session_report *report);
	void *on_session_userdata;
};

/* Loads configuration and credential. CTL_DONE, or CTL_REFUSED or CTL_USAGE, which was said. */
int ctl_load(struct ctl *ctl);

/*
 * Of the daemon with this configuration. In the directory of the default file it is that of a service, primaryd or
 * primaryd@NAME, whose unit says where: in $RUNTIME_DIRECTORY, which wins.
 */
void ctl_runtime_directory(const struct ctl *ctl, char ret_directory[CONFIG_PATH_SIZE]);

/*
 * What the daemon with this configuration remembers of its cluster. ret_known has root and name in any case, and an id if
 * something is remembered of them; ret_path (PATH_MAX) is where it would be. 0 or -errno, see identity_file_load().
 */
int ctl_remember(const struct ctl *ctl, struct identity *ret_known, char *ret_path);

/* Loop and signals. False: out of resources, said. */
bool ctl_open(struct ctl *ctl);
void ctl_close(
	struct ctl *ctl); /* ends the session in order if it can in a moment; frees everything */

/* Starts a session, and waits for it. CTL_DONE, or what to end with, said. */
int ctl_connect(struct ctl *ctl);
/* The same, but for a session that does not come about in time: ctl->session is there then, and nothing is said. */
int ctl_reach(struct ctl *ctl);

/* From now on everything must be over in that time, unless --timeout was given. */
void ctl_set_timeout(struct ctl *ctl, int64_t default_us);

/*
 * Runs the loop until ready() is true: CTL_DONE. Else CTL_TIMED_OUT, CTL_UNREACHABLE (never connected, or the
 * credential was refused) or CTL_INTERRUPTED. Says nothing.
 */
typedef bool (*ctl_ready_fn)(void *userdata);
int ctl_wait(struct ctl *ctl, ctl_ready_fn ready, void *userdata);
bool ctl_is_set(void *flag);   /* of a bool: a ctl_ready_fn */
bool ctl_is_zero(void *count); /* of a size_t */

/* A request that was sent, and what came of it. */
struct ctl_reply {
	bool over;
	int result;
};
void ctl_on_result(void *userdata,
		   int result); /* the callback of many requests; userdata: a struct ctl_reply */

/* Waits until that is set; the code, with the reason on stderr if it is not CTL_DONE. doing: as of ctl_explain_wait(). */
int ctl_await(struct ctl *ctl, bool *over, const char *doing);

/* memory, which is not NULL: without it the program ends, and says so. */
void *ctl_need(void *memory);

/* One line on stderr: `primaryctl: ...`, or `{"error": "..."}` after ctl_errors_as_json(true). */
void ctl_errors_as_json(bool json);
void ctl_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Says why ctl_wait() gave up while doing that (NULL: nothing worth naming), and how to go on; returns code. */
int ctl_explain_wait(struct ctl *ctl, int code, const char *doing);

/* Says what came of an operation on a key, and the remedy. The exit code. path may be "". */
int ctl_explain_result(struct ctl *ctl, int result, const char *path);

/*
 * Waits for the request on path that fills reply; r is what starting the request returned. CTL_DONE: its result is ZKH_OK.
 * Otherwise the failure was reported, and the caller cancels the request if !reply->over.
 */
int ctl_finish(struct ctl *ctl, int r, struct ctl_reply *reply, const char *path,
	       const char *doing);

/* The remedy of ZKH_DENIED, as " (...)". */
const char *ctl_denied_hint(const struct ctl *ctl);

/* Prints tables as the options want it; the exit code: CTL_DONE, or CTL_REFUSED when stdout is closed or full. */
int ctl_print(struct ctl *ctl, struct table *const *tables, size_t count);
/* After something was printed: flushes; the same. */
int ctl_flush(void);

struct table_style ctl_style(const struct ctl *ctl);

struct ctl_commit {
	int result;
	bool over;
	char failed_path[ZKH_PATH_MAX];
	char created_path[ZKH_PATH_MAX]; /* of the last created */
	struct zkh_stat stat;		 /* of the first operation */
};
/* Commits and waits. CTL_DONE: *ret_commit tells; else what to end with, said, if doing is not NULL. */
int ctl_commit(struct ctl *ctl, struct zkh_txn *txn, const char *doing,
	       struct ctl_commit *ret_commit);

/*
 * Makes the root where it is missing; unless anyway: not in an ensemble that lacks the cluster which this node remembers.
 * CTL_DONE, or what to end with, said.
 */
int ctl_make_root(struct ctl *ctl, bool anyway);

/* "USER@HOST", of what JSON and a key's value can hold without escapes. Static. */
const char *ctl_who(void);

/* The node name given as the argument, or this machine's own. NULL: not a name; said. */
const char *ctl_node_argument(struct ctl *ctl, int index);

#define X(function, ...) int verb_##function(struct ctl *ctl);
VERBS(X)
#undef X
