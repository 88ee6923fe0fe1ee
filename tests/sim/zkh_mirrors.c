/* SPDX-License-Identifier: Apache-2.0 */

/* Mirrors, for what is linked of the daemon: over the operations of zkh.c, they ask and tell as those of lib/zk/mirror do. */

#include "sim.h"

#include <assert.h>
#include <ev.h>
#include <string.h>

#include "zk/mirror/zkh_mirror.h"

static char paths[64][KEY_PATH_SIZE]; /* of what is mirrored, by the bits of their changes */

static void read_mirror(struct zkh_mirror *mirror);

static void tell(struct zkh_mirror *mirror, int result, const char *data, size_t length,
		 const struct zkh_stat *stat)
{
	mirror->current = result != ZKH_UNKNOWN;
	mirror->told = result;
	mirror->fn(mirror->userdata, result, data, length, stat);
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

static void retry_after_pause(struct sim_node *n)
{
	ev_timer_stop((struct ev_loop *)n, &n->retry);
	ev_timer_set(&n->retry, n->pause_s, 0.);
	if (!sim_mutated(n->world, MUTATION_NO_RETRY))
		ev_timer_start((struct ev_loop *)n, &n->retry);
}

static void on_retry(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct sim_node *n = timer->data;
	bool any = false;

	(void)loop;
	(void)events;
	for (struct zkh_mirror *mirror = n->mirrors; mirror; mirror = mirror->next) {
		any |= mirror->refused != ZKH_OK;
		if (mirror->refused != ZKH_OK && !mirror->op)
			read_mirror(mirror);
	}
	if (!any)
		return;
	n->pause_s = 2 * n->pause_s < ZKH_MIRROR_PAUSE_MAX_S ? 2 * n->pause_s
							     : ZKH_MIRROR_PAUSE_MAX_S;
	retry_after_pause(n);
}

/* stat: of a key that exists, but may not be read. */
static void refuse(struct zkh_mirror *mirror, int result, const struct zkh_stat *stat)
{
	struct sim_node *n = zkh_node_of(mirror->watch.session);
	bool is_first = mirror->refused == ZKH_OK;
	bool is_news = !mirror->current || mirror->told != result ||
		       (stat && stat->mzxid != mirror->denied_mzxid);

	mirror->refused = result;
	if (is_first)
		n->pause_s = ZKH_MIRROR_PAUSE_MIN_S;
	if (is_first || !ev_is_active(&n->retry))
		retry_after_pause(n);
	if (stat)
		mirror->denied_mzxid = stat->mzxid;
	if (is_news)
		tell(mirror, result, NULL, 0, stat);
}

/* The key was missing, or may not be read. */
static void on_mirror_stat(void *userdata, int result, const struct zkh_stat *stat)
{
	struct zkh_mirror *mirror = userdata;

	mirror->op = NULL;
	if (zkh_is_unanswered(result))
		return; /* it is read again when attached */
	if (result == ZKH_NO_NODE && mirror->missing) {
		mirror->refused = ZKH_OK;
		tell_missing(mirror);
	} else if (result == ZKH_NO_NODE) {
		mirror->missing = true;
		read_mirror(mirror);
	} else if (result == ZKH_OK && mirror->missing) {
		mirror->missing = false;
		read_mirror(mirror);
		tell_change(mirror);
	} else {
		refuse(mirror, result == ZKH_OK ? ZKH_DENIED : result, stat);
	}
}

static void on_mirror_data(void *userdata, int result, const char *data, size_t length,
			   const struct zkh_stat *stat)
{
	struct zkh_mirror *mirror = userdata;

	mirror->op = NULL;
	if (zkh_is_unanswered(result))
		return;
	if (result == ZKH_OK) {
		mirror->refused = ZKH_OK;
		tell(mirror, ZKH_OK, data, length, stat);
	} else if (result == ZKH_NO_NODE) {
		/* A read that misses its key leaves no watch. */
		mirror->missing = true;
		read_mirror(mirror);
	} else if (result == ZKH_DENIED) {
		(void)zkh_exists(mirror->watch.session, mirror->watch.path, true, on_mirror_stat,
				 mirror, &mirror->op);
	} else {
		refuse(mirror, result, NULL);
	}
}

static void send_sync(struct sim_node *n)
{
	n->synced = n->client.conn;
	request_send(n->world, request_create(n->world, n, REQUEST_SYNC, FOR_NOTHING));
}

static void read_mirror(struct zkh_mirror *mirror)
{
	struct zkh_session *session = mirror->watch.session;
	struct sim_node *n = zkh_node_of(session);

	zkh_op_cancel(mirror->op);
	mirror->op = NULL;
	if (!zkh_session_connected(session))
		return;
	if (mirror->flags & ZKH_MIRROR_SYNCED && n->synced != n->client.conn)
		send_sync(n);
	if (mirror->missing)
		(void)zkh_exists(session, mirror->watch.path, true, on_mirror_stat, mirror,
				 &mirror->op);
	else
		(void)zkh_get(session, mirror->watch.path, true, on_mirror_data, mirror,
			      &mirror->op);
}

int zkh_mirror_open(struct zkh_mirror *mirror, struct zkh_session *session, const char *path,
		    unsigned flags, zkh_mirror_fn fn, void *userdata)
{
	struct zkh_mirror **link = &zkh_node_of(session)->mirrors;

	assert(!zkh_mirror_is_open(mirror));
	*mirror = (struct zkh_mirror){
		.fn = fn, .userdata = userdata, .flags = flags, .missing = flags & ZKH_MIRROR_RARE
	};
	mirror->watch.session = session;
	mirror->watch.path = strcpy(paths[zkh_bit_of(path)], path);
	while (*link)
		link = &(*link)->next;
	*link = mirror;
	read_mirror(mirror);
	return 0;
}

void zkh_mirror_close(struct zkh_mirror *mirror)
{
	struct zkh_mirror **link;

	if (!zkh_mirror_is_open(mirror))
		return;
	zkh_op_cancel(mirror->op);
	for (link = &zkh_node_of(mirror->watch.session)->mirrors; *link != mirror;)
		link = &(*link)->next;
	*link = mirror->next;
	*mirror = (struct zkh_mirror){ 0 };
}

void zkh_mirror_refresh(struct zkh_mirror *mirror)
{
	mirror->current = false;
	read_mirror(mirror);
}

bool zkh_mirror_is_open(const struct zkh_mirror *mirror)
{
	return mirror->fn;
}

bool zkh_mirror_is_current(const struct zkh_mirror *mirror)
{
	return mirror->current;
}

const char *zkh_mirror_path(const struct zkh_mirror *mirror)
{
	return mirror->watch.path;
}

void zkh_mirrors_begin(struct sim_node *n)
{
	ev_init(&n->retry, on_retry);
	n->retry.data = n;
	n->mirrors = NULL;
}

void zkh_mirrors_detached(struct sim_node *n)
{
	ev_timer_stop((struct ev_loop *)n, &n->retry);
	for (struct zkh_mirror *mirror = n->mirrors; mirror; mirror = mirror->next)
		mirror->current = false;
}

void zkh_mirrors_attached(struct sim_node *n)
{
	(void)zkh_session_of(n);
	for (unsigned synced = 0; synced <= ZKH_MIRROR_SYNCED; synced += ZKH_MIRROR_SYNCED)
		for (struct zkh_mirror *mirror = n->mirrors; mirror; mirror = mirror->next)
			if ((mirror->flags & ZKH_MIRROR_SYNCED) == synced)
				read_mirror(mirror);
}

/* No two mirrors of a node follow the same key. */
void zkh_mirrors_fire(struct sim_node *n, int bit, bool is_there)
{
	struct zkh_mirror *mirror = n->mirrors;

	while (mirror && mirror->watch.path != paths[bit])
		mirror = mirror->next;
	if (!mirror || mirror->op)
		return;
	mirror->missing = !is_there;
	mirror->refused = ZKH_OK;
	read_mirror(mirror);
	if (mirror->missing)
		tell_missing(mirror);
	else
		tell_change(mirror);
}
