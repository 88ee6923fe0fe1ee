/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Inside lib/ only. First the hooks by which the key and lock modules attach to a session; they use nothing
 * else of this file. What follows below is private to session, op, txn, watch, resolve and close.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "zkh_session.h"

/* ---- Hooks for the other modules of lib/ ---- */

enum zkh_hook {
	ZKH_HOOK_CONNECTED,    /* requests may be sent; zkh_session_fresh() says whether the session is new */
	ZKH_HOOK_DISCONNECTED, /* every pending operation has had its callback before this */
	ZKH_HOOK_EXPIRED,      /* ephemerals and watches are gone; zkh_session_id() is 0 until the next CONNECTED */
	ZKH_HOOK_DESTROY,      /* last call: free what hangs on the session; zkh_* but removals are not allowed */
};

/*
 * Embedded in the module's own object; fn is set before it is added. Listeners run from the loop (DESTROY: inside
 * zkh_session_destroy), newest first, before the owner's on_event gets the same event. Within fn any listener may
 * be added or removed (itself too) and zkh_session_destroy() may be called. A removed one is never called again;
 * one that was added during a round may or may not be called in it. DESTROY takes every listener off the
 * list before calling it: no need to remove, no harm in doing so.
 */
struct zkh_listener {
	struct zkh_listener *next, **link; /* internal; zeroed when not added */
	void (*fn)(struct zkh_listener *listener, enum zkh_hook hook);
};

void zkh_listener_add(struct zkh_session *session, struct zkh_listener *listener);
void zkh_listener_remove(struct zkh_listener *listener); /* also fine when never added (zeroed) */

/* The loop, for timers of one's own. */
struct ev_loop *zkh_session_loop(const struct zkh_session *session);

/* Whether the present (or the last) connection began a new session. */
bool zkh_session_fresh(const struct zkh_session *session);

/* A place for one pointer a module; NULL at first. The module frees it in ZKH_HOOK_DESTROY. */
enum zkh_slot { ZKH_SLOT_LOCKS, ZKH_SLOT_TASKS, ZKH_SLOTS };
void *zkh_session_slot(const struct zkh_session *session, enum zkh_slot slot);
void zkh_session_set_slot(struct zkh_session *session, enum zkh_slot slot, void *pointer);
