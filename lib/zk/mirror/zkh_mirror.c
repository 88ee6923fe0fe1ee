/* SPDX-License-Identifier: Apache-2.0 */
#include "zkh_mirror.h"

#include <assert.h>
#include <errno.h>
#include <ev.h>
#include <stdlib.h>

#include "zk/session/zkh_hooks.h"

/* All mirrors of a session, in the order in which they were opened. */
struct zkh_mirrors {
	struct zkh_listener listener;
	struct zkh_mirror *first, **end;
	size_t count, unread, synced_count;
	struct zkh_op *sync_op;
	bool synced; /* a sync was sent on this connection */
	ev_timer retry, look;
	double pause_s; /* before the next retry */
	size_t looks;	/* so far */
};

static struct zkh_session *session_of(const struct zkh_mirror *mirror)
{
	return mirror->all->listener.session;
}

/* -- telling: always the last thing that is done, since the owner may close the mirror -- */

static void set_current(struct zkh_mirror *mirror, bool current)
{
	if (mirror->current != current)
		mirror->all->unread += current ? (size_t)-1 : 1;
	mirror->current = current;
}

static void note_told(struct zkh_mirror *mirror, int result)
{
	set_current(mirror, result != ZKH_UNKNOWN);
	mirror->told = result;
}

static void tell(struct zkh_mirror *mirror, int result, const char *data, size_t length,
		 const struct zkh_stat *stat)
{
	note_told(mirror, result);
	if (mirror->fn)
		mirror->fn(mirror->userdata, result, data, length, stat);
	else
		mirror->children_fn(mirror->userdata, result, NULL, 0, stat);
}

static void tell_missing(struct zkh_mirror *mirror)
{
	if (!mirror->current || mirror->told != ZKH_NO_NODE)
		tell(mirror, ZKH_NO_NODE, NULL, 0, NULL);
}

static void tell_change(struct zkh_mirror *mirror)
{
	if (mirror->current)
		tell(mirror, ZKH_UNKNOWN, NULL, 0, NULL);
}

/* -- what was refused -- */

static void retry_after_pause(struct zkh_mirrors *all)
{
	struct ev_loop *loop = zkh_session_loop(all->listener.session);

	ev_timer_stop(loop, &all->retry);
	ev_timer_set(&all->retry, all->pause_s, 0.);
	ev_timer_start(loop, &all->retry);
}

static void note_refusal(struct zkh_mirror *mirror, int result)
{
	struct zkh_mirrors *all = mirror->all;
	bool is_first = mirror->refused == ZKH_OK;

	if (mirror->flags & ZKH_MIRROR_ONCE)
		return;
	mirror->refused = result;
	if (is_first)
		all->pause_s = ZKH_MIRROR_PAUSE_MIN_S;
	if (is_first || !ev_is_active(&all->retry))
		retry_after_pause(all);
}

/* stat: of a key that exists, but may not be read. */
static void refuse(struct zkh_mirror *mirror, int result, const struct zkh_stat *stat)
{
	bool is_news = !mirror->current || mirror->told != result ||
		       (stat && stat->mzxid != mirror->mzxid);

	note_refusal(mirror, result);
	if (stat)
		mirror->mzxid = stat->mzxid;
	if (is_news)
		tell(mirror, result, NULL, 0, stat);
}

/* -- reading -- */

static void read_mirror(struct zkh_mirror *mirror);

static void on_denied_stat(void *userdata, int result, const struct zkh_stat *stat);

/* Neither an answer nor a lost connection. */
static void take_failure(struct zkh_mirror *mirror, int result)
{
	bool watch = !(mirror->flags & ZKH_MIRROR_ONCE);

	if (result == ZKH_NO_NODE && watch) {
		/* A read that misses its key leaves no watch. */
		mirror->missing = true;
		read_mirror(mirror);
	} else if (result == ZKH_NO_NODE) {
		tell_missing(mirror); /* ZKH_MIRROR_ONCE notes no refusals */
	} else if (result != ZKH_DENIED || zkh_exists(session_of(mirror), mirror->watch.path, watch,
						      on_denied_stat, mirror, &mirror->op) != 0) {
		refuse(mirror, result, NULL);
	}
}

static void on_denied_stat(void *userdata, int result, const struct zkh_stat *stat)
{
	struct zkh_mirror *mirror = userdata;

	mirror->op = NULL;
	if (zkh_is_unanswered(result))
		return;
	if (result == ZKH_NO_NODE)
		take_failure(mirror, result);
	else
		refuse(mirror, result == ZKH_OK ? ZKH_DENIED : result, stat);
}

/* The key was missing, and the watch for it is armed; or it is there again. */
static void on_awaited(void *userdata, int result, const struct zkh_stat *stat)
{
	struct zkh_mirror *mirror = userdata;

	mirror->op = NULL;
	if (zkh_is_unanswered(result))
		return;
	if (result == ZKH_OK) {
		mirror->missing = false;
		read_mirror(mirror);
		tell_change(mirror);
	} else if (result == ZKH_NO_NODE) {
		mirror->refused = ZKH_OK;
		tell_missing(mirror);
	} else {
		refuse(mirror, result, stat);
	}
}

/* False: the read has failed, and that was taken. */
static bool was_read(struct zkh_mirror *mirror, int result)
{
	mirror->op = NULL;
	if (result == ZKH_OK)
		mirror->refused = ZKH_OK;
	else if (!zkh_is_unanswered(result))
		take_failure(mirror, result);
	return result == ZKH_OK;
}

static void on_data(void *userdata, int result, const char *data, size_t length,
		    const struct zkh_stat *stat)
{
	struct zkh_mirror *mirror = userdata;
	bool is_told;

	if (!was_read(mirror, result))
		return;
	is_told = mirror->current && mirror->told == ZKH_OK && mirror->mzxid == stat->mzxid;
	mirror->mzxid = stat->mzxid;
	if (!is_told)
		tell(mirror, ZKH_OK, data, length, stat);
}

static void on_children(void *userdata, int result, const char *const *names, size_t count,
			const struct zkh_stat *stat)
{
	struct zkh_mirror *mirror = userdata;

	if (!was_read(mirror, result))
		return;
	note_told(mirror, ZKH_OK);
	mirror->children_fn(mirror->userdata, ZKH_OK, names, count, stat);
}

static void on_synced(void *userdata, int result)
{
	struct zkh_mirrors *all = userdata;

	(void)result; /* the reads behind it tell */
	all->sync_op = NULL;
}

static void sync_first(struct zkh_mirrors *all)
{
	if (all->synced)
		return;
	all->synced = true;
	zkh_op_cancel(all->sync_op);
	all->sync_op = NULL;
	(void)zkh_sync(all->listener.session, on_synced, all, &all->sync_op);
}

static void read_mirror(struct zkh_mirror *mirror)
{
	struct zkh_session *session = session_of(mirror);
	const char *path = mirror->watch.path;
	bool watch = !(mirror->flags & ZKH_MIRROR_ONCE);
	int r;

	zkh_op_cancel(mirror->op);
	mirror->op = NULL;
	if (!zkh_session_connected(session))
		return;
	if (mirror->flags & ZKH_MIRROR_SYNCED)
		sync_first(mirror->all);
	if (mirror->missing)
		r = zkh_exists(session, path, watch, on_awaited, mirror, &mirror->op);
	else if (mirror->fn)
		r = zkh_get(session, path, watch, on_data, mirror, &mirror->op);
	else
		r = zkh_children(session, path, watch, on_children, mirror, &mirror->op);
	if (r != 0)
		note_refusal(mirror, ZKH_FAILED);
}

/*
 * A read that is awaited is answered after the event, and tells of what came after the change. A deletion tells all by
 * itself: nobody has to wait for a read, only the watch has to be armed again.
 */
static void on_event(void *userdata, enum zkh_watch_event event, const char *path)
{
	struct zkh_mirror *mirror = userdata;
	bool is_awaited = mirror->op && !mirror->current;

	if (event == (mirror->fn ? ZKH_WATCH_CHILDREN : ZKH_WATCH_CHANGED) || is_awaited ||
	    mirror->flags & ZKH_MIRROR_ONCE || !zkh_session_connected(session_of(mirror)))
		return;
	mirror->missing = event == ZKH_WATCH_DELETED;
	mirror->refused = ZKH_OK;
	read_mirror(mirror);
	if (mirror->missing)
		tell_missing(mirror);
	else
		tell_change(mirror);
}

/* -- all of a session -- */

static void read_all(struct zkh_mirrors *all, unsigned synced)
{
	for (struct zkh_mirror *mirror = all->first; mirror; mirror = mirror->next)
		if ((mirror->flags & ZKH_MIRROR_SYNCED) == synced)
			read_mirror(mirror);
}

static void on_retry(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct zkh_mirrors *all = timer->data;
	bool any = false;

	for (struct zkh_mirror *mirror = all->first; mirror; mirror = mirror->next) {
		if (mirror->refused == ZKH_OK)
			continue;
		any = true;
		if (!mirror->op)
			read_mirror(mirror);
	}
	if (!any)
		return;
	all->pause_s = 2 * all->pause_s < ZKH_MIRROR_PAUSE_MAX_S ? 2 * all->pause_s
								 : ZKH_MIRROR_PAUSE_MAX_S;
	retry_after_pause(all);
}

/* Only where something is to be looked at: a timer keeps a loop from ending. */
static void look_later(struct zkh_mirrors *all)
{
	struct zkh_session *session = all->listener.session;

	if (!all->synced_count)
		return;
	ev_timer_stop(zkh_session_loop(session), &all->look);
	ev_timer_set(&all->look, zkh_session_timeout_ms(session) / 1e3, 0.);
	ev_timer_start(zkh_session_loop(session), &all->look);
}

/*
 * Servers (from 3.8.4 and 3.9.2 on, ZOOKEEPER-4799) do not tell a client of a change to a key that it may not read at that
 * moment, and the watch is gone: once it may, everything looks as before, and nothing is ever told again. So one mirror
 * after the other is read again.
 */
static void on_look(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct zkh_mirrors *all = timer->data;
	struct zkh_mirror *mirror;
	size_t turn;

	look_later(all);
	if (!all->synced_count)
		return;
	turn = all->looks++ % all->synced_count;
	for (mirror = all->first; mirror; mirror = mirror->next)
		if (mirror->flags & ZKH_MIRROR_SYNCED && !turn--)
			break;
	if (mirror && mirror->current && !mirror->op)
		read_mirror(mirror);
}

static void on_hook(struct zkh_listener *listener, enum zkh_hook hook)
{
	struct zkh_session *session = listener->session;
	struct zkh_mirrors *all = *zkh_session_mirrors(session);

	switch (hook) {
	case ZKH_HOOK_CONNECTED:
		all->synced = false;
		look_later(all);
		read_all(all, 0);
		read_all(all, ZKH_MIRROR_SYNCED);
		break;
	case ZKH_HOOK_DISCONNECTED:
		ev_timer_stop(zkh_session_loop(session), &all->retry);
		ev_timer_stop(zkh_session_loop(session), &all->look);
		for (struct zkh_mirror *mirror = all->first; mirror; mirror = mirror->next)
			set_current(mirror, false);
		break;
	case ZKH_HOOK_EXPIRED:
		break;
	case ZKH_HOOK_DESTROY:
		ev_timer_stop(zkh_session_loop(session), &all->retry);
		ev_timer_stop(zkh_session_loop(session), &all->look);
		zkh_op_cancel(all->sync_op);
		while (all->first)
			zkh_mirror_close(all->first);
		*zkh_session_mirrors(session) = NULL;
		free(all);
		break;
	}
}

static struct zkh_mirrors *mirrors_of(struct zkh_session *session)
{
	struct zkh_mirrors *all = *zkh_session_mirrors(session);

	if (all)
		return all;
	all = calloc(1, sizeof(*all));
	if (!all)
		return NULL;
	all->end = &all->first;
	all->pause_s = ZKH_MIRROR_PAUSE_MIN_S;
	ev_init(&all->retry, on_retry);
	ev_init(&all->look, on_look);
	all->retry.data = all->look.data = all;
	all->listener.fn = on_hook;
	zkh_listener_add(session, &all->listener);
	*zkh_session_mirrors(session) = all;
	return all;
}

/* -- for the owner -- */

static int open_mirror(struct zkh_mirror *mirror, struct zkh_session *session, const char *path)
{
	struct zkh_mirrors *all = mirrors_of(session);
	int r;

	if (!all)
		return -ENOMEM;
	if (all->count == ZKH_MIRRORS_MAX)
		return -ENOSPC;
	mirror->watch.fn = on_event;
	mirror->watch.userdata = mirror;
	r = zkh_watch_add(session, &mirror->watch, path);
	if (r != 0)
		return r;
	mirror->all = all;
	mirror->missing = mirror->flags & ZKH_MIRROR_RARE;
	mirror->link = all->end;
	*all->end = mirror;
	all->end = &mirror->next;
	all->count++;
	all->unread++;
	all->synced_count += mirror->flags & ZKH_MIRROR_SYNCED ? 1 : 0;
	if (!ev_is_active(&all->look) && zkh_session_connected(session))
		look_later(all);
	read_mirror(mirror);
	return 0;
}

int zkh_mirror_open(struct zkh_mirror *mirror, struct zkh_session *session, const char *path,
		    unsigned flags, zkh_mirror_fn fn, void *userdata)
{
	assert(!mirror->all && fn);
	*mirror = (struct zkh_mirror){ .fn = fn, .userdata = userdata, .flags = flags };
	return open_mirror(mirror, session, path);
}

int zkh_mirror_open_children(struct zkh_mirror *mirror, struct zkh_session *session,
			     const char *path, unsigned flags, zkh_mirror_children_fn fn,
			     void *userdata)
{
	assert(!mirror->all && fn);
	*mirror = (struct zkh_mirror){ .children_fn = fn, .userdata = userdata, .flags = flags };
	return open_mirror(mirror, session, path);
}

void zkh_mirror_close(struct zkh_mirror *mirror)
{
	struct zkh_mirrors *all = mirror->all;

	if (!all)
		return;
	zkh_op_cancel(mirror->op);
	zkh_watch_remove(&mirror->watch);
	set_current(mirror, true);
	*mirror->link = mirror->next;
	if (mirror->next)
		mirror->next->link = mirror->link;
	else
		all->end = mirror->link;
	all->count--;
	all->synced_count -= mirror->flags & ZKH_MIRROR_SYNCED ? 1 : 0;
	*mirror = (struct zkh_mirror){ 0 };
}

void zkh_mirror_refresh(struct zkh_mirror *mirror)
{
	if (!mirror->all)
		return;
	set_current(mirror, false);
	read_mirror(mirror);
}

bool zkh_mirror_is_open(const struct zkh_mirror *mirror)
{
	return mirror->all;
}

bool zkh_mirror_is_current(const struct zkh_mirror *mirror)
{
	return mirror->all && mirror->current;
}

const char *zkh_mirror_path(const struct zkh_mirror *mirror)
{
	return mirror->watch.path;
}

size_t zkh_mirrors_unread(struct zkh_session *session)
{
	const struct zkh_mirrors *all = *zkh_session_mirrors(session);

	return all ? all->unread : 0;
}
