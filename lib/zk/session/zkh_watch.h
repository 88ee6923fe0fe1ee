/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Watches, for lib/zk alone. A subscription gets the events of one path while it is registered. A read of that path
 * with watch=true arms one event, and the event disarms it: read again to get the next. A read that fails arms nothing,
 * except for a zkh_exists() that answers ZKH_NO_NODE: its event comes when the key appears. On a new connection nothing
 * is armed: read again. Embedded in the owner; remove it before the owner goes.
 */

enum zkh_watch_event {
	ZKH_WATCH_CREATED,
	ZKH_WATCH_DELETED,
	ZKH_WATCH_CHANGED, /* data */
	ZKH_WATCH_CHILDREN,
};

struct zkh_watch {
	struct zkh_session *session;
	struct zkh_watch *next, **link; /* internal */
	void (*fn)(void *userdata, enum zkh_watch_event event, const char *path);
	void *userdata;
	char *path;
};

/* fn and userdata are set by the caller before. 0, -ENOMEM or ZKH_INVALID. */
int zkh_watch_add(struct zkh_session *session, struct zkh_watch *watch, const char *path);
void zkh_watch_remove(struct zkh_watch *watch); /* also fine when never added (zeroed) */
