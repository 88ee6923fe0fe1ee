/* SPDX-License-Identifier: Apache-2.0 */

/* What the linked lib/zk/mirror and lib/zk/lock attach to a session by: hooks and watches of a node's process. */

#include "sim.h"

#include <assert.h>
#include <ev.h>
#include <stdlib.h>
#include <string.h>

#include "zk/session/zkh_hooks.h"
#include "zk/session/zkh_watch.h"

static char paths[64][KEY_PATH_SIZE]; /* of what is watched, by the bits of their changes */

struct ev_loop *zkh_session_loop(const struct zkh_session *session)
{
	return (struct ev_loop *)zkh_node_of(session);
}

struct zkh_mirrors **zkh_session_mirrors(struct zkh_session *session)
{
	return &zkh_node_of(session)->mirrors;
}

void zkh_listener_add(struct zkh_session *session, struct zkh_listener *listener)
{
	struct sim_node *n = zkh_node_of(session);

	listener->session = session;
	listener->next = n->listeners;
	if (listener->next)
		listener->next->link = &listener->next;
	listener->link = &n->listeners;
	n->listeners = listener;
}

void zkh_listener_remove(struct zkh_listener *listener)
{
	struct sim_node *n;

	if (!listener->link)
		return;
	n = zkh_node_of(listener->session);
	if (n->listener_next == listener)
		n->listener_next = listener->next;
	*listener->link = listener->next;
	if (listener->next)
		listener->next->link = listener->link;
	listener->next = NULL;
	listener->link = NULL;
}

void zkh_session_hold(struct zkh_session *session, int change)
{
	zkh_node_of(session)->holds += (unsigned)change;
}

unsigned zkh_session_held(const struct zkh_session *session)
{
	return zkh_node_of(session)->holds;
}

static struct sim_lock_watch *lock_watch_of(struct sim_node *n, const struct zkh_watch *watch)
{
	for (int i = 0; i < LOCK_WATCHES; i++)
		if (n->lock_watches[i].watch == watch)
			return &n->lock_watches[i];
	abort();
}

static void add_lock_watch(struct sim_node *n, struct zkh_watch *watch, const char *path)
{
	struct sim_lock_watch *slot = lock_watch_of(n, NULL);

	slot->watch = watch;
	slot->uid = zkh_lock_uid(path);
	watch->path = strcpy(slot->path, path);
}

/* No two watches of a node are for the same key, but for lock nodes. */
int zkh_watch_add(struct zkh_session *session, struct zkh_watch *watch, const char *path)
{
	struct sim_node *n = zkh_node_of(session);
	int bit;

	watch->session = session;
	if (zkh_lock_uid(path)) {
		add_lock_watch(n, watch, path);
		return 0;
	}
	bit = zkh_bit_of(path);
	assert(bit >= 0 && !n->watches[bit]);
	watch->path = strcpy(paths[bit], path);
	n->watches[bit] = watch;
	return 0;
}

void zkh_watch_remove(struct zkh_watch *watch)
{
	struct sim_node *n;

	if (!watch->path)
		return;
	n = zkh_node_of(watch->session);
	if (zkh_lock_uid(watch->path))
		lock_watch_of(n, watch)->watch = NULL;
	else
		n->watches[zkh_bit_of(watch->path)] = NULL;
	watch->path = NULL;
}

/* Newest first; any may be added or removed meanwhile. */
static void call_hooks(struct sim_node *n, enum zkh_hook hook)
{
	struct zkh_listener *listener;

	zkh_enter(n);
	for (n->listener_next = n->listeners; (listener = n->listener_next);) {
		n->listener_next = listener->next;
		listener->fn(listener, hook);
	}
}

void zkh_hooks_attached(struct sim_node *n)
{
	call_hooks(n, ZKH_HOOK_CONNECTED);
}

void zkh_hooks_detached(struct sim_node *n)
{
	call_hooks(n, ZKH_HOOK_DISCONNECTED);
}

void zkh_hooks_expired(struct sim_node *n)
{
	call_hooks(n, ZKH_HOOK_EXPIRED);
}

void zkh_hooks_end(struct sim_node *n)
{
	struct zkh_listener *listener;

	while ((listener = n->listeners)) {
		zkh_listener_remove(listener);
		listener->fn(listener, ZKH_HOOK_DESTROY);
	}
}

void zkh_hooks_fire(struct sim_node *n, int bit, bool is_there)
{
	struct zkh_watch *watch = n->watches[bit];

	if (watch)
		watch->fn(watch->userdata, is_there ? ZKH_WATCH_CREATED : ZKH_WATCH_DELETED,
			  watch->path);
}

void zkh_hooks_fire_lock(struct sim_node *n, int32_t uid)
{
	for (int i = 0; i < LOCK_WATCHES; i++) {
		struct zkh_watch *watch = n->lock_watches[i].watch;

		if (watch && n->lock_watches[i].uid == uid)
			watch->fn(watch->userdata, ZKH_WATCH_DELETED, watch->path);
	}
}
