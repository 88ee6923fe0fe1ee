/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A ZooKeeper session on a libev loop.
 *
 * The session keeps itself alive: it connects, reconnects, and after an expiry opens a new one by
 * itself. It never blocks: names are resolved in a child process, a server that does not answer
 * while connecting is given up after connect_timeout, and closing never waits.
 *
 * Callbacks run from the loop only, never from inside a zkh_* call. A callback may call any zkh_*
 * function, zkh_session_destroy() included.
 *
 * Paths given to every zkh_* function are relative to the session's root: "/nodes" means
 * "ROOT/nodes"; "/" is the root itself. Results and watches come back the same way.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ev_loop;
struct zkh_session;

struct zkh_client_id {
	int64_t id;
	char password[16];
};

#define ZKH_SESSION_EVENTS(X)                                                                      \
	/* Attached to a server. A new session if `fresh`, else the one from before. */            \
	X(ZKH_CONNECTED, "connected")                                                              \
	/* The connection is gone; the session may live on. Pending operations got */              \
	/* ZKH_UNKNOWN before this event (those never sent: ZKH_NOT_CONNECTED). */                 \
	X(ZKH_DISCONNECTED, "disconnected")                                                        \
	/* The server said that the session (and every ephemeral of it) is gone. A new one is */   \
	/* being opened; watches are forgotten. Also for a resume id that is not known, and */     \
	/* when requests go out but no server has answered for a session timeout. */               \
	X(ZKH_EXPIRED, "expired")                                                                  \
	/* The servers know less than this session has seen (detail says which): a backup was */   \
	/* restored, or they were emptied. ZKH_EXPIRED follows. */                                 \
	X(ZKH_SET_BACK, "ensemble set back")                                                       \
	/* The credential was refused. The session stays down and tries again slowly. */           \
	X(ZKH_AUTH_REFUSED, "credential refused")                                                  \
	/* Names could not be resolved (detail says which); tried again. */                        \
	X(ZKH_NAMES_FAILED, "names not resolved")                                                  \
	/* A server could not be reached (detail: its address and why); the next is tried. */      \
	X(ZKH_SERVER_FAILED, "server not reached")

enum zkh_session_event {
#define X(name, text) name,
	ZKH_SESSION_EVENTS(X)
#undef X
};

const char *zkh_session_event_text(enum zkh_session_event event);

struct zkh_session_report {
	enum zkh_session_event event;
	bool fresh;	    /* ZKH_CONNECTED: a new session, no ephemerals, no watches */
	int32_t timeout_ms; /* ZKH_CONNECTED: the session timeout that the ensemble granted */
	const char *detail; /* for people; valid during the callback; never NULL */
};

typedef void (*zkh_session_fn)(void *userdata, const struct zkh_session_report *report);

#define ZKH_AUTH_MAX 2

struct zkh_credential {
	const char *scheme, *credential;
};

struct zkh_session_config {
	const char *servers; /* HOST:PORT[,HOST:PORT...]; names, IPv4, [IPv6]; 1 to 32 of them */
	uint64_t tunnel;     /* not 0: they are reached through this tunnel, see zkh_tunnel.h */
	const char *root;    /* valid path; "/" for none */
	int32_t timeout_ms;  /* session timeout asked for, 100 ms to 10 min */
	int32_t connect_timeout_ms; /* one server's connect + handshake; 0: timeout_ms / 8 */
	/* Scheme NULL: no more. With any, every created key is made for all of them, and nobody else. */
	struct zkh_credential auth[ZKH_AUTH_MAX];
	const struct zkh_client_id *resume; /* NULL: a new session */
	uint32_t seed; /* spreads reconnects: delays and the first server are drawn from it */
	zkh_session_fn on_event;
	void *userdata;
};

/*
 * Starts a session. Strings are copied. Returns 0, -ENOMEM or another -errno, or ZKH_INVALID
 * (servers, root or times out of range). Events follow from the loop.
 */
int zkh_session_create(struct ev_loop *loop, const struct zkh_session_config *config,
		       struct zkh_session **ret_session);

/*
 * Ends it without waiting and without telling the server: the session and its ephemerals stay until
 * they expire (a later process may resume it). Pending operations are cancelled: their callbacks do
 * NOT run. Locks are dropped without callback. Takes NULL. Returns NULL.
 */
struct zkh_session *zkh_session_destroy(struct zkh_session *session);

/*
 * Orderly end: asks the server to close the session, which deletes its ephemerals at once. First
 * what is under way is finished: operations sent, lock nodes to be removed. `done` runs once from
 * the loop with ZKH_OK (the session is gone, by this or by expiry), or with ZKH_TIMEOUT /
 * ZKH_NOT_CONNECTED if the server could not be told within timeout_ms, or did not confirm. Waiting
 * for the confirmation blocks the loop: as a rule for one round trip, 1.5 s at most. Until the
 * server is asked, the session works as before (it reconnects and reports). After `done` no other
 * callback runs, and only zkh_session_destroy() is allowed, also from within `done`. 0, or -EALREADY
 * (closing already).
 */
int zkh_session_close(struct zkh_session *session, int32_t timeout_ms,
		      void (*done)(void *userdata, int result), void *userdata);

/*
 * Gives up on the present server (shutdown of the socket): the next one is tried at once.
 * ZKH_DISCONNECTED follows from the loop. Nothing happens when there is no connection or attempt.
 */
void zkh_session_cut(struct zkh_session *session);

/*
 * Leaves the present server and attaches to it anew (to the next one if it does not answer): a few milliseconds, after
 * which the leader knows that the session is alive. A write through a follower does not tell it that.
 */
void zkh_session_reattach(struct zkh_session *session);

/*
 * Drops the present connection and opens a new session without waiting for an expiry; the old one
 * and its ephemerals are left to expire on the server. From the loop follow ZKH_DISCONNECTED (if
 * connected), ZKH_EXPIRED and, in time, ZKH_CONNECTED with `fresh`. Nothing more is sent in the old one: from this call
 * on it counts as not connected.
 */
void zkh_session_renew(struct zkh_session *session);

bool zkh_session_connected(const struct zkh_session *session);

/* 0 while there is none. */
int64_t zkh_session_id(const struct zkh_session *session);

/* False, output untouched, while there is no session. */
bool zkh_session_client_id(const struct zkh_session *session, struct zkh_client_id *ret_id);

/* The granted session timeout; 0 before the first connection. */
int32_t zkh_session_timeout_ms(const struct zkh_session *session);

/*
 * The highest zxid that replies of the present (or last) connection told: 0 before the first one. After a zkh_sync() it is not
 * below what had been committed before.
 */
int64_t zkh_session_zxid(const struct zkh_session *session);

/* The highest that any connection told, over reconnects and new sessions. */
int64_t zkh_session_last_zxid(const struct zkh_session *session);

/* The server of the present connection ("" when not connected), for people: its address, or with a tunnel its name. */
const char *zkh_session_server(const struct zkh_session *session);
