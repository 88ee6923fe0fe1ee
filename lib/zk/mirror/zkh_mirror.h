/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A mirror follows one key, or the names of a key's children. It reads when it is opened, after each change, and on each new
 * connection, be it of a new session. A read that is refused is tried again after a pause that grows. The owner is told
 * through one callback.
 *
 * The struct is embedded in the owner, who closes it before it goes; its fields are private, and one that is zeroed is
 * closed. zkh_session_destroy() closes the mirrors of the session. The callback runs from the loop only, never from inside a
 * zkh_* call. It may call any zkh_* function: zkh_mirror_close() on its own mirror and zkh_session_destroy() included. What
 * it is given is valid only while it runs.
 */

#include "zk/session/zkh_op.h"
#include "zk/session/zkh_watch.h"

/* Mirrors of one session. */
#define ZKH_MIRRORS_MAX 131072

/* A refused read is tried again after the first pause, then after twice as long, up to the last. */
#define ZKH_MIRROR_PAUSE_MIN_S 1.
#define ZKH_MIRROR_PAUSE_MAX_S 16.

/* The key is probably missing: it is looked for with one request instead of two. */
#define ZKH_MIRROR_RARE 1u
/*
 * A sync goes ahead of the first read on each connection (one for all such mirrors): the server may lag behind what other
 * clients were told. Mirrors without it are read first. Decisions hang on such keys, so the next of
 * them is read again every session timeout, in case a change was not told.
 */
#define ZKH_MIRROR_SYNCED 2u
/* Reads only once on each connection, without a watch: changes are not followed, refusals not tried again. */
#define ZKH_MIRROR_ONCE 4u

/*
 * result:
 * - ZKH_OK: data (NUL-terminated behind data[length]) and stat.
 * - ZKH_NO_NODE: the key is missing; no data, no stat.
 * - ZKH_UNKNOWN: it changed; a callback with its value follows.
 * - ZKH_DENIED: it may not be read, but it exists: stat is set, as far as it is told (zkh_exists_fn).
 * - another refusal of the server, with its code: no data, no stat.
 *
 * A refusal is told once, and again when its code or the key's mzxid has changed. A lost connection is not told, because the
 * session's event tells it: from then on nothing is current, and each mirror tells its value again after the next
 * ZKH_CONNECTED.
 */
typedef void (*zkh_mirror_fn)(void *userdata, int result, const char *data, size_t length,
			      const struct zkh_stat *stat);
/* The same with the children's names: unsorted, not validated. */
typedef void (*zkh_mirror_children_fn)(void *userdata, int result, const char *const *names,
				       size_t count, const struct zkh_stat *stat);

struct zkh_mirror {
	struct zkh_mirrors *all; /* of the session; NULL: closed */
	struct zkh_mirror *next, **link;
	struct zkh_watch watch;
	struct zkh_op *op;
	zkh_mirror_fn fn; /* one of the two */
	zkh_mirror_children_fn children_fn;
	void *userdata;
	unsigned flags;
	bool current;  /* what was told last still holds, as far as anybody knows */
	bool missing;  /* when it was seen last */
	int told;      /* the last result */
	int refused;   /* by which the last read was; ZKH_OK: it was not */
	int64_t mzxid; /* of the key, when ZKH_OK or ZKH_DENIED was told */
};

/*
 * Opens a mirror that is closed. If the session is connected, the read is sent at once, else when it is. On a new connection
 * the mirrors are read in the order in which they were opened. 0, -ENOMEM, -ENOSPC (too many), or ZKH_INVALID.
 */
int zkh_mirror_open(struct zkh_mirror *mirror, struct zkh_session *session, const char *path,
		    unsigned flags, zkh_mirror_fn fn, void *userdata);
int zkh_mirror_open_children(struct zkh_mirror *mirror, struct zkh_session *session,
			     const char *path, unsigned flags, zkh_mirror_children_fn fn,
			     void *userdata);

/* No callback runs any more. Also fine when it is closed already. */
void zkh_mirror_close(struct zkh_mirror *mirror);

/* Reads it again; what was told before is not current any more (ZKH_UNKNOWN is not told). Ignored when it is closed. */
void zkh_mirror_refresh(struct zkh_mirror *mirror);

bool zkh_mirror_is_open(const struct zkh_mirror *mirror);
/* Open, and what was told last still holds; else a callback is to come. */
bool zkh_mirror_is_current(const struct zkh_mirror *mirror);
/* As given to open; valid until it is closed. */
const char *zkh_mirror_path(const struct zkh_mirror *mirror);

/* Mirrors of this session that are not current. */
size_t zkh_mirrors_unread(struct zkh_session *session);
