/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* For lib/zk alone: how the lock, mirror and tree modules attach to a session. */

#include "zkh_session.h"

enum zkh_hook {
	ZKH_HOOK_CONNECTED,    /* requests may be sent */
	ZKH_HOOK_DISCONNECTED, /* every pending operation has had its callback before this */
	ZKH_HOOK_EXPIRED,      /* ephemerals, watches are gone; the id is 0 until CONNECTED */
	ZKH_HOOK_DESTROY,      /* last call: free what hangs on it; of zkh_* only removals */
};

/*
 * Embedded in the module's own object; fn is set before it is added. Listeners run from the loop
 * (DESTROY: inside zkh_session_destroy), newest first, before the owner's on_event gets the same
 * event. Within fn any listener may be added or removed (itself too) and zkh_session_destroy() may
 * be called. A removed one is never called again; one that was added during a round may or may not
 * be called in it. DESTROY takes every listener off the list before calling it: no need to remove,
 * no harm in doing so.
 */
struct zkh_listener {
	struct zkh_listener *next, **link; /* internal; zeroed when not added */
	struct zkh_session *session;	   /* set when it is added */
	void (*fn)(struct zkh_listener *listener, enum zkh_hook hook);
};

void zkh_listener_add(struct zkh_session *session, struct zkh_listener *listener);
void zkh_listener_remove(struct zkh_listener *listener); /* also fine when never added (zeroed) */

/* The loop, for timers of one's own. */
struct ev_loop *zkh_session_loop(const struct zkh_session *session);

/* Work in the background that an orderly close waits for: begun (1), or over (-1). */
void zkh_session_hold(struct zkh_session *session, int change);
unsigned zkh_session_held(const struct zkh_session *session);

/* What zkh_mirror.c keeps for all mirrors of the session; NULL at first, and freed by it in ZKH_HOOK_DESTROY. */
struct zkh_mirrors;
struct zkh_mirrors **zkh_session_mirrors(struct zkh_session *session);
