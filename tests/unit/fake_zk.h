/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A libzookeeper for tests: the zookeeper_*() and zoo_*() functions that lib/ calls, over a small ZooKeeper in
 * memory. Linked in the place of -lzookeeper_st. It behaves as the single-threaded 3.8 client was measured to: one
 * packet a zookeeper_process() call, replies in order, the event before the reply of the write that caused it,
 * CONNECTING delivered while zoo_state() still says CONNECTED, silently closed sockets, abort() on invalid
 * paths in a transaction, a reply without its request, and NULL completions.
 *
 * The socket of a handle is one end of a socketpair: readable exactly while a packet waits, so an event loop
 * sees what it would see. Requests reach the tree the moment they are sent.
 *
 * Everything is global to the process; no threads. Tests call fake_zk_reset() before and after.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <zookeeper/zookeeper.h>

/* What may happen to a request. */
#define FAKE_ZK_WAYS(X)                                                                            \
	X(FAKE_ZK_LOST_BEFORE, "connection lost, not applied")                                     \
	X(FAKE_ZK_LOST_AFTER, "connection lost, applied")                                          \
	X(FAKE_ZK_CONFLICT_SET, "a stranger writes one of its keys first")                         \
	X(FAKE_ZK_CONFLICT_DELETE, "a stranger deletes one of its keys first")                     \
	X(FAKE_ZK_EXPIRED_BEFORE, "session expired, not applied")                                  \
	X(FAKE_ZK_EXPIRED_AFTER, "applied, then session expired")                                  \
	X(FAKE_ZK_SILENT_CLOSE, "socket closed silently on send")                                  \
	X(FAKE_ZK_HANG_BEFORE, "never answered, not applied")                                      \
	X(FAKE_ZK_HANG_AFTER, "never answered, applied")                                           \
	X(FAKE_ZK_MARSHALLING, "marshalling error")

enum fake_zk_way {
#define X(name, text) name,
	FAKE_ZK_WAYS(X)
#undef X
		FAKE_ZK_WAY_COUNT
};
const char *fake_zk_way_text(enum fake_zk_way way);

/* Forgets the tree, sessions, faults and counters. Handles still open are leaks: returns their number. */
unsigned fake_zk_reset(void);

/* The k-th request from now on (1: the next) meets this fate. Several may be planned. */
void fake_zk_fail(unsigned k, enum fake_zk_way way);
/* Runs just before the k-th request from now on is applied; handle: the one that sent it. */
void fake_zk_before(unsigned k, void (*fn)(void *userdata, zhandle_t *handle), void *userdata);
/* Which operation's key of a transaction a conflict hits (default 0; counted modulo its size). */
void fake_zk_conflict_operation(unsigned index);
/* The key that a stranger touched last, "" for none. */
const char *fake_zk_last_conflict(bool *ret_deleted);
/* Forgets planned faults and hooks that were not reached. Returns their number. */
unsigned fake_zk_unplan(void);

/* The next `count` connection attempts are refused, accepted and never answered, or ended in the handshake. */
enum fake_zk_connect { FAKE_ZK_REFUSED, FAKE_ZK_SILENT, FAKE_ZK_TURNED_AWAY };
void fake_zk_fail_connects(unsigned count, enum fake_zk_connect way);
/* Session timeouts that are granted (default 100 ms to 10 min). */
void fake_zk_limit_timeouts(int min_ms, int max_ms);
/* "digest" credentials other than this one are refused (NULL: none are). Copied. */
void fake_zk_accept_credential(const char *credential);

/* A stranger's doings. Missing parents are made by create; owner 0: persistent. Return ZOO_ERRORS. */
int fake_zk_create(const char *path, const char *data, int64_t owner);
int fake_zk_set(const char *path, const char *data);
int fake_zk_delete(const char *path);
/* Only sessions with this credential ("super" always) may touch the key from now on; NULL: everybody. */
void fake_zk_protect(const char *path, const char *credential);
/* The credential that may, or NULL: everybody, or no such key. */
const char *fake_zk_protected(const char *path);

/* The server's side of sessions. */
void fake_zk_expire(int64_t session);
void fake_zk_expire_silently(
	int64_t session);		  /* connection stays, unanswered, as behind a partition */
void fake_zk_disconnect(int64_t session); /* the server closes the connection */
/* Restored from a backup: no session of now is known, and who has seen more is turned away. */
void fake_zk_set_back(void);
bool fake_zk_session_alive(int64_t session);
unsigned fake_zk_sessions(void);

/* Looks. Text is valid until the next call of the function that returned it. */
bool fake_zk_stat(const char *path, struct Stat *ret_stat);
const char *fake_zk_data(const char *path); /* NULL: no such key */
/* "PATH=DATA\n" for every key but "/", sorted; ephemerals as "PATH=DATA (ephemeral)\n". */
const char *fake_zk_dump(void);
/* Same with versions and zxids: two equal texts mean that nothing was written between them. */
const char *fake_zk_dump_stats(void);

struct fake_zk_counts {
	unsigned requests; /* all below */
	unsigned gets, acls, exists, children, syncs, multis;
	unsigned watches;	 /* requests that asked for a watch */
	unsigned connects;	 /* attempts */
	unsigned opened, closed; /* handles */
	unsigned
		blocking_closes; /* zookeeper_close() while connected: up to 4.5 s with the real one */
	unsigned closed_sessions; /* ended by their clients */
	unsigned no_cloexec; /* zookeeper_process() with a socket that children would inherit */
};
struct fake_zk_counts fake_zk_counts(void);

/*
 * Paced (default: not), packets reach the clients one a turn and connection: an operation of several requests
 * takes several turns of the loop, and a test can step in between.
 */
void fake_zk_pace(bool paced);
void fake_zk_turn(void);

/* Lets the servers read what was written straight into sockets. Called by every zookeeper_*() call too. */
void fake_zk_pump(void);
