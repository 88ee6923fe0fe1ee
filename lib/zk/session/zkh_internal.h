/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Private to session, op, txn, watch, resolve and close. */

#include <ev.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "zk/zkh_acl.h"
#include "zk/zkh_digest.h"
#include "zkh_hooks.h"
#include "zkh_op.h"
#include "zkh_resolve.h"
#include "zkh_tunnel.h"
#include "zkh_watch.h"

/* Longest text of a report's detail, the NUL included. */
#define ZKH_DETAIL_MAX 448

/* Distinct addresses of servers that are kept. */
#define ZKH_ADDRESSES_MAX 64

struct _zhandle;
struct Stat;

/* The transport as the session knows it; libzookeeper's own state may be one step ahead. */
enum zkh_link {
	ZKH_LINK_NONE,	 /* no socket */
	ZKH_LINK_TRYING, /* connecting, or waiting for the handshake's answer */
	ZKH_LINK_UP,
};

enum zkh_close_state {
	ZKH_CLOSE_NONE,
	ZKH_CLOSE_DRAINING, /* waits for a connection, and for what is under way */
	ZKH_CLOSE_OVER,
};

struct zkh_closing {
	enum zkh_close_state state;
	int64_t deadline_ms;
	void (*done)(void *userdata, int result);
	void *userdata;
};

/* Whether the servers were set back; see zkh_doubt.c. */
struct zkh_doubt {
	struct zkh_session *probe; /* NULL: none is under way */
	char server[80];	   /* that was asked last */
	bool granted;		   /* and granted the probe a session */
	unsigned next_failures;	   /* no probe before so many failed attempts in a row */
};

/*
 * One request. It is on a list of the session until its callback ran, was cancelled or dropped.
 * What libzookeeper was given stays allocated until its completion comes, on a list or not.
 */
struct zkh_op {
	struct zkh_op *next,
		**link; /* link is NULL: on no list, the callback is not to run (any more) */
	struct zkh_session *session;
	bool in_library;
	bool calling; /* its callback is on the stack */
	bool unsure;  /* refused half-way: libzookeeper may complete it or not */
	union {
		zkh_get_fn get;
		zkh_exists_fn exists;
		zkh_children_fn children;
		zkh_done_fn done;
		zkh_commit_fn commit;
		zkh_acl_fn acl;
	} fn;
	/* Calls fn without a result's data. */
	void (*fail)(struct zkh_op *op, int result);
	void *userdata;
	struct zkh_txn *txn; /* of a commit; owned */
	struct zkh_txn *(*free_txn)(struct zkh_txn *txn);
	const struct zkh_acl *acl; /* to be set; borrowed until it was submitted */
};

struct zkh_op_list {
	struct zkh_op *first, **end;
};

/* Walks one bucket of subscriptions while callbacks remove some of them. */
struct zkh_watch_cursor {
	struct zkh_watch_cursor *outer;
	struct zkh_watch *next;
};

struct zkh_session {
	struct ev_loop *loop;
	unsigned depth; /* callbacks and libzookeeper calls on the stack */
	bool destroyed; /* freed as soon as depth is 0 */

	char *servers;
	uint64_t tunnel;
	char *root; /* "" for "/" */
	size_t root_length;
	int root_result; /* of zkh_make_root's last create */
	char *auth_schemes[ZKH_AUTH_MAX], *auth_credentials[ZKH_AUTH_MAX];
	char digest_ids[ZKH_AUTH_MAX][ZKH_DIGEST_ID_SIZE]; /* "": of another scheme */
	int32_t timeout_ms, connect_timeout_ms;
	zkh_session_fn on_event;
	void *userdata;
	uint64_t random;

	bool names; /* not numeric all: to be looked up */
	struct zkh_resolver resolver;
	struct zkh_addresses addresses; /* as resolved last, none: not yet */
	int64_t resolved_ms;		/* when; also of a failure */
	int64_t resolve_at_ms;		/* not before, after a failure */
	bool addresses_changed;		/* not told to libzookeeper yet */

	struct _zhandle *zh;
	enum zkh_link link;
	int fd;			/* of the present link, else -1 */
	int fd_events;		/* as given to ev_io */
	int64_t link_since_ms;	/* when it began to try, or came up */
	int64_t attempt_end_ms; /* ZKH_LINK_TRYING: given up then */
	int64_t hold_until_ms;	/* ZKH_LINK_NONE: nothing is tried before */
	unsigned failures;	/* attempts in a row */
	bool to_send;		/* libzookeeper holds unsent bytes */
	bool renew;
	int64_t down_ms; /* when the last connection was lost; at first, when the session was created */
	bool stay;	 /* after the cut the same server is tried first */
	const char *cut; /* why the link is being cut, NULL when it is not */
	ev_prepare prepare;
	ev_io io;
	ev_timer timer; /* the next thing that is due */
	ev_timer kick;	/* work left by a call that must not call back */

	struct zkh_client_id id; /* id.id is 0: none */
	bool fresh;
	int32_t granted_ms;
	char server[80];			/* its address */
	char server_name[ZKH_SERVER_TEXT_SIZE]; /* for people */
	int trouble;	  /* errno of the failure that ends the link, 0: not known */
	char fault[80];	  /* what the server did that nothing may be read from it any more, or "" */
	bool turned_away; /* the server ended the connection instead of answering the handshake */
	bool mid_packet;  /* the library has read a part of a packet */
	bool head_awaited;
	unsigned outstanding; /* requests that the library has and the server did not answer */
	int64_t zxid;	      /* the highest that the present connection told */
	int64_t last_zxid;    /* that any has told */

	struct zkh_op_list sent;    /* given to libzookeeper, in order */
	struct zkh_op_list refused; /* to be called back with ZKH_NOT_CONNECTED */
	struct zkh_op_list unsure;  /* never called back; freed with the handle at the latest */

	struct zkh_watch **watches; /* buckets */
	size_t watch_buckets, watch_count;
	struct zkh_watch_cursor *watch_cursors;

	struct zkh_listener *listeners;
	struct zkh_listener *listener_next; /* of the round under way */
	unsigned held;			    /* see zkh_session_hold() */
	struct zkh_mirrors *mirrors;	    /* see zkh_session_mirrors() */

	struct zkh_closing closing;
	struct zkh_doubt doubt;
};

/* zkh_session.c */
int64_t zkh_now_ms(void); /* CLOCK_MONOTONIC */
void zkh_session_enter(struct zkh_session *session);
void zkh_session_leave(struct zkh_session *session); /* may free the session */
/*
 * Calls hooks and on_event. False: the session was destroyed meanwhile. Only between enter and
 * leave.
 */
bool zkh_session_emit(struct zkh_session *session, enum zkh_session_event event,
		      const char *detail);
void zkh_session_kick(struct zkh_session *session); /* zkh_link_kicked() soon, from the loop */
uint32_t zkh_session_random(struct zkh_session *session, uint32_t below); /* 0 to below - 1 */
/*
 * Half to one and a half times base_ms: uneven pauses keep the clients of a restarted ensemble
 * apart.
 */
int64_t zkh_session_pause_ms(struct zkh_session *session, int64_t base_ms);
/* ROOT + path into ret_path[ZKH_PATH_MAX]; 0 or ZKH_INVALID. */
int zkh_session_path(const struct zkh_session *session, const char *path, char *ret_path);
/* The part behind the root ("/" for the root itself), or NULL when it lies elsewhere. */
const char *zkh_session_strip(const struct zkh_session *session, const char *path);

/* zkh_link.c: its place in the loop */
extern const char zkh_link_silent[]; /* `cut` of an attempt that was not answered */
void zkh_link_init(struct zkh_session *session);
void zkh_link_stop(struct zkh_session *session); /* stops watching; the handle stays */
void zkh_link_kicked(struct zkh_session *session);
void zkh_link_watch(struct zkh_session *session, int fd, int events); /* fd -1: none */
/* The library tries that server now. */
void zkh_link_note_server(struct zkh_session *session);
void zkh_link_bound_path(const struct zkh_session *session, int32_t timeout_ms);

/*
 * zkh_handle.c: libzookeeper's handle. Not to be called from within its callbacks, the last apart.
 */
void zkh_link_open(struct zkh_session *session, int64_t now_ms);
void zkh_link_tell_addresses(struct zkh_session *session);
int zkh_link_process(struct zkh_session *session, int events);
int zkh_link_interest(struct zkh_session *session, int *ret_fd, int *ret_events,
		      int64_t *ret_wait_ms);
/* Makes the next attempt go to the server of the last one. */
void zkh_link_stay(struct zkh_session *session);
/* Frees the handle without telling the server, at once. */
void zkh_link_close_handle(struct zkh_session *session);
/* Frees the handle, which must be there. While it is connected, that closes the session at the server, and blocks. */
void zkh_link_free_handle(struct zkh_session *session);
/* After libzookeeper was called: finds out what became of the connection, and reports it. */
void zkh_link_update(struct zkh_session *session);
/* Whether the socket in session->fd still is libzookeeper's. */
bool zkh_link_has_socket(const struct zkh_session *session);

/*
 * zkh_packet.c: whether the library may be told that the socket is readable. Also for a packet that it must not see:
 * then `fault` says why, and it finds the connection at its end.
 */
bool zkh_packet_may_be_read(struct zkh_session *session);

/* zkh_doubt.c */
/* A server has refused the session. True: it is proven that it will never be taken again. May begin a probe. */
bool zkh_doubt_refused(struct zkh_session *session);
bool zkh_doubt_asks(const struct zkh_session *session); /* then nothing else is tried */
void zkh_doubt_end(struct zkh_session *session);

/* zkh_names.c */
/* Looks names up: before each new session, and again while no server can be reached. */
void zkh_names_advance(struct zkh_session *session, int64_t now_ms);
/* Whether there are addresses, and no names to be looked up first. */
bool zkh_names_ready(const struct zkh_session *session, int64_t now_ms);
/* The addresses for libzookeeper, in a drawn order; to be freed. NULL: out of memory. */
char *zkh_names_list(struct zkh_session *session);
/* How many entries that list has: attempts until every server has had its turn. */
size_t zkh_names_entries(const struct zkh_session *session);

/* zkh_op.c */
void zkh_op_list_init(struct zkh_op_list *list);
/* A new op on no list. NULL: out of memory. */
struct zkh_op *zkh_op_create(struct zkh_session *session,
			     void (*fail)(struct zkh_op *op, int result), void *userdata);
/* Gives op's request to libzookeeper, and returns what zkh_op_submitted() made of that. */
typedef int (*zkh_op_submit_fn)(struct zkh_op *op, const char *path, bool watch);
/*
 * By way of `submit`; without a connection op fails from the loop. Returns 0, and
 * op in ret_op (may be NULL), or submit's result: then op is gone.
 */
int zkh_op_submit(struct zkh_op *op, zkh_op_submit_fn submit, const char *path, bool watch,
		  struct zkh_op **ret_op);
/* What libzookeeper said when it was given the request. 0: it is under way, else op is gone. */
int zkh_op_submitted(struct zkh_op *op, int code);
void zkh_op_discard(struct zkh_op *op); /* on no list and not given to libzookeeper: frees it */
/* For completions: takes op off its list. False: nobody wants to know, op has been freed. */
bool zkh_op_begin(struct zkh_op *op);
void zkh_op_end(struct zkh_op *op); /* after the callback: frees it */
void zkh_stat_copy(const struct Stat *from, struct zkh_stat *to);
void zkh_op_fail_sent(struct zkh_session *session); /* ZKH_UNKNOWN for all; callbacks run */
void zkh_op_fail_refused(
	struct zkh_session *session);		      /* ZKH_NOT_CONNECTED for all; callbacks run */
void zkh_op_drop_all(struct zkh_session *session);    /* no callbacks */
void zkh_op_free_unsure(struct zkh_session *session); /* the handle is closed */

/* zkh_watch.c */
void zkh_watch_dispatch(struct zkh_session *session, int type, const char *path);
void zkh_watch_drop_all(struct zkh_session *session);
/*
 * The connection is lost: libzookeeper forgets the watches. Whoever has one reads again on the next connection, and
 * libzookeeper would arm all of them in one request, which a server refuses if it is longer than 1 MiB.
 */
void zkh_watch_disarm_all(struct zkh_session *session);
/* libzookeeper's watcher, the only one, with the session as context. */
void zkh_watch_fired(struct _zhandle *zh, int type, int state, const char *path, void *context);

/* zkh_close.c */
void zkh_close_advance(struct zkh_session *session, int64_t now_ms);
int64_t zkh_close_due_ms(const struct zkh_session *session); /* INT64_MAX: nothing */
void zkh_close_expired(struct zkh_session *session);	     /* the handle is closed already */

/* zkh_result.c: libzookeeper's code as one of ours. */
int zkh_result_translate(int code);
