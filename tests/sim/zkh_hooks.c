/* SPDX-License-Identifier: Apache-2.0 */

/* What the linked lib/zk/mirror attaches to a session by: the hook and the watches of a node's process. */

#include "sim.h"

#include <assert.h>
#include <ev.h>
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

	assert(!n->listener);
	listener->session = session;
	n->listener = listener;
}

/* No two watches of a node are for the same key. */
int zkh_watch_add(struct zkh_session *session, struct zkh_watch *watch, const char *path)
{
	struct sim_node *n = zkh_node_of(session);
	int bit = zkh_bit_of(path);

	assert(bit >= 0 && !n->watches[bit]);
	watch->session = session;
	watch->path = strcpy(paths[bit], path);
	n->watches[bit] = watch;
	return 0;
}

void zkh_watch_remove(struct zkh_watch *watch)
{
	if (watch->path)
		zkh_node_of(watch->session)->watches[zkh_bit_of(watch->path)] = NULL;
	watch->path = NULL;
}

static void call_hook(struct sim_node *n, enum zkh_hook hook)
{
	if (n->listener)
		n->listener->fn(n->listener, hook);
}

void zkh_hooks_attached(struct sim_node *n)
{
	(void)zkh_session_of(n);
	call_hook(n, ZKH_HOOK_CONNECTED);
}

void zkh_hooks_detached(struct sim_node *n)
{
	call_hook(n, ZKH_HOOK_DISCONNECTED);
}

void zkh_hooks_end(struct sim_node *n)
{
	call_hook(n, ZKH_HOOK_DESTROY);
	n->listener = NULL;
}

void zkh_hooks_fire(struct sim_node *n, int bit, bool is_there)
{
	struct zkh_watch *watch = n->watches[bit];

	if (watch)
		watch->fn(watch->userdata, is_there ? ZKH_WATCH_CREATED : ZKH_WATCH_DELETED,
			  watch->path);
}
