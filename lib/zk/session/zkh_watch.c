/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Subscriptions, in a hash table by path. libzookeeper knows one watcher function with one
 * context, so that it keeps one entry a path, however many ask for it.
 */

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zookeeper/zookeeper.h>

#include "base/fnv.h"
#include "zkh_internal.h"
#include "zkh_op.h"

#define BUCKETS_MIN 64

static size_t watch_hash(const char *path)
{
	uint64_t hash = fnv_text(path);

	return (size_t)(hash ^ hash >> 32);
}

static void watch_insert(struct zkh_watch **bucket, struct zkh_watch *watch)
{
	watch->next = *bucket;
	watch->link = bucket;
	if (watch->next != NULL)
		watch->next->link = &watch->next;
	*bucket = watch;
}

/* A walk under way keeps its place in a bucket, so the table does not grow then. 0 or -ENOMEM. */
static int watch_grow(struct zkh_session *session)
{
	size_t buckets = session->watch_buckets == 0 ? BUCKETS_MIN : session->watch_buckets * 2;
	struct zkh_watch **table, *watch, *next;

	if (session->watch_buckets > 0 &&
	    (session->watch_count < session->watch_buckets || session->watch_cursors != NULL))
		return 0;
	table = calloc(buckets, sizeof(*table));
	if (table == NULL)
		return session->watch_buckets > 0 ? 0 : -ENOMEM;
	for (size_t i = 0; i < session->watch_buckets; i++) {
		for (watch = session->watches[i]; watch != NULL; watch = next) {
			next = watch->next;
			watch_insert(&table[watch_hash(watch->path) & (buckets - 1)], watch);
		}
	}
	free(session->watches);
	session->watches = table;
	session->watch_buckets = buckets;
	return 0;
}

int zkh_watch_add(struct zkh_session *session, struct zkh_watch *watch, const char *path)
{
	char full[ZKH_PATH_MAX];
	int r;

	assert(watch->fn != NULL && watch->link == NULL);
	r = zkh_session_path(session, path, full);
	if (r != 0)
		return r;
	r = watch_grow(session);
	if (r < 0)
		return r;
	watch->path = strdup(path);
	if (watch->path == NULL)
		return -ENOMEM;
	watch->session = session;
	watch_insert(&session->watches[watch_hash(path) & (session->watch_buckets - 1)], watch);
	session->watch_count++;
	return 0;
}

void zkh_watch_remove(struct zkh_watch *watch)
{
	if (watch->link == NULL)
		return;
	for (struct zkh_watch_cursor *cursor = watch->session->watch_cursors; cursor != NULL;
	     cursor = cursor->outer)
		if (cursor->next == watch)
			cursor->next = watch->next;
	*watch->link = watch->next;
	if (watch->next != NULL)
		watch->next->link = watch->link;
	watch->session->watch_count--;
	free(watch->path);
	watch->path = NULL;
	watch->next = NULL;
	watch->link = NULL;
	watch->session = NULL;
}

void zkh_watch_drop_all(struct zkh_session *session)
{
	for (size_t i = 0; i < session->watch_buckets; i++)
		while (session->watches[i] != NULL)
			zkh_watch_remove(session->watches[i]);
}

void zkh_watch_disarm_all(struct zkh_session *session)
{
	char full[ZKH_PATH_MAX];

	for (size_t i = 0; i < session->watch_buckets; i++)
		for (struct zkh_watch *watch = session->watches[i]; watch != NULL;
		     watch = watch->next)
			if (zkh_session_path(session, watch->path, full) == 0)
				(void)zoo_aremove_watches(session->zh, full, ZWATCHTYPE_ANY,
							  zkh_watch_fired, session, true, NULL,
							  NULL);
}

static void watch_call(struct zkh_session *session, enum zkh_watch_event event, const char *path)
{
	struct zkh_watch_cursor cursor = { .outer = session->watch_cursors };
	struct zkh_watch *watch;

	session->watch_cursors = &cursor;
	watch = session->watches[watch_hash(path) & (session->watch_buckets - 1)];
	for (; watch != NULL && !session->destroyed; watch = cursor.next) {
		cursor.next = watch->next;
		if (strcmp(watch->path, path) == 0)
			watch->fn(watch->userdata, event, path);
	}
	session->watch_cursors = cursor.outer;
}

void zkh_watch_dispatch(struct zkh_session *session, int type, const char *path)
{
	enum zkh_watch_event event;

	if (type == ZOO_CREATED_EVENT)
		event = ZKH_WATCH_CREATED;
	else if (type == ZOO_DELETED_EVENT)
		event = ZKH_WATCH_DELETED;
	else if (type == ZOO_CHANGED_EVENT)
		event = ZKH_WATCH_CHANGED;
	else if (type == ZOO_CHILD_EVENT)
		event = ZKH_WATCH_CHILDREN;
	else
		return;
	path = zkh_session_strip(session, path);
	if (path == NULL || session->watch_buckets == 0)
		return;
	watch_call(session, event, path);
}

/*
 * Of session events only the errno is used, which the callbacks to come may change:
 * zkh_link_update() looks at the state once the library's call is over.
 */
void zkh_watch_fired(zhandle_t *zh, int type, int state, const char *path, void *context)
{
	struct zkh_session *session = context;

	if (type == ZOO_SESSION_EVENT && session->trouble == 0)
		session->trouble = errno;
	if (type == ZOO_SESSION_EVENT || session->destroyed)
		return;
	zkh_watch_dispatch(session, type, path);
}
