/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Inside lib/ only: reads a whole subtree, with a bounded number of requests under way. Embedded in a task.
 *
 * Keys that disappear while it reads are left out. The subtree is not a snapshot: a caller that writes must check
 * versions.
 */

#include <stdbool.h>
#include <stddef.h>

#include "zk/session/zkh_op.h"
#include "zk/zkh_acl.h"

#define ZKH_WALK_WINDOW 256u			      /* requests under way */
#define ZKH_WALK_BYTES_MAX ((size_t)64 * 1024 * 1024) /* paths and data in memory */

struct zkh_walk_node {
	char *path;
	char *data; /* NUL behind data[length]; NULL without data */
	size_t length;
	struct zkh_acl *acl; /* NULL without with_acl */
	struct zkh_stat stat;
	bool denied; /* may not be read: only its stat is known, and nothing of what is below it */
	bool gone;
};

struct zkh_walk;

/* With anything but ZKH_OK, path is the key that was read; it is valid during the callback. */
typedef void (*zkh_walk_fn)(struct zkh_walk *walk, int result, const char *path);

struct zkh_walk_slot {
	struct zkh_walk *walk;
	struct zkh_op *op;
	size_t index; /* of the node that is read, or whose list is */
	struct zkh_walk_slot *next_free;
};

/* Zeroed at first. */
struct zkh_walk {
	struct zkh_session *session;
	zkh_walk_fn fn;
	bool with_data, with_acl, with_denied, one_level;
	size_t limit, limit_bytes;

	struct zkh_walk_node *nodes; /* the result: parents before children */
	size_t count;

	size_t capacity, bytes;
	size_t next, next_acl; /* nodes that are to be read; whose lists are */
	unsigned outstanding;
	struct zkh_walk_slot *free_slots;
	struct zkh_walk_slot slots[ZKH_WALK_WINDOW];
};

/* What else is read, and what is put up with. */
enum zkh_walk_flag {
	ZKH_WALK_DATA = 1 << 0,
	ZKH_WALK_ACL = 1 << 1, /* one that is not shown whole ends it with ZKH_DENIED */
	ZKH_WALK_DENIED =
		1 << 2, /* with data: keys below path that may not be read do not end it */
	ZKH_WALK_ONE_LEVEL = 1 << 3 /* with data: path and its children alone */
};

/*
 * Starts reading path and what is below; more than limit keys, or limit_bytes of paths, data and lists, are
 * ZKH_TOO_LARGE. What was found before is forgotten. Returns 0, or -errno or a result (then no callback comes). fn may
 * free the walk's owner.
 */
int zkh_walk_start(struct zkh_walk *walk, struct zkh_session *session, const char *path,
		   unsigned flags, size_t limit, size_t limit_bytes, zkh_walk_fn fn);

/* Cancels what is under way; what was found stays. Also fine when zeroed. */
void zkh_walk_stop(struct zkh_walk *walk);

/* Frees what was found. */
void zkh_walk_finish(struct zkh_walk *walk);
