/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Tries the rights that a coordinator needs without writing anything: one transaction of all writes that it will have
 * to do, ended by a check that always fails. Used by the daemon and by primaryctl.
 */

#include "keys.h"
#include "zk/session/zkh_op.h"
#include "zk/zkh_acl.h"

/*
 * X(RIGHT, path), parents first; a %s stands for the node's name. CHILD is judged by the list of that key itself, and
 * so is the deletion of the post by that of the root.
 */
#define RIGHTS(X)                                                                                  \
	X(CHILD, "/")                                                                              \
	X(READ, PATH_CLUSTER)                                                                      \
	X(READ, PATH_POST)                                                                         \
	X(READ, PATH_PRIMARY)                                                                      \
	X(WRITE, PATH_PRIMARY)                                                                     \
	X(CHILD, PATH_PRIMARY)                                                                     \
	X(READ, PATH_EPOCH)                                                                        \
	X(WRITE, PATH_EPOCH)                                                                       \
	X(CHILD, PATH_HISTORY)                                                                     \
	X(CHILD, PATH_NODES "/%s")                                                                 \
	X(WRITE, PATH_NODES "/%s/daemonmode")                                                      \
	X(WRITE, PATH_NODES "/%s/daemonstate")                                                     \
	X(WRITE, PATH_NODES "/%s/routerstate")                                                     \
	X(WRITE, PATH_NODES "/%s/alive")                                                           \
	X(WRITE, PATH_NODES "/%s/health")                                                          \
	X(READ, PATH_NODES "/%s/keepalive")                                                        \
	X(WRITE, PATH_NODES "/%s/keepalive")                                                       \
	X(WRITE, PATH_NODES "/%s/detail")

enum right {
	RIGHT_READ,
	RIGHT_WRITE,
	RIGHT_CHILD, /* create and delete below it */
};

#define RIGHTS_MAX 24 /* rows of the table, at most */
#define RIGHTS_TEXT_SIZE 512
#define RIGHTS_MISSING "rights are missing: " /* before the text of what is */

/* Tried. ZKH_OK: what is missing, and what is too wide, stands in the rights; else nobody could be asked. */
typedef void (*rights_fn)(void *userdata, int result);

struct rights {
	struct zkh_session *session;
	const char *name;
	rights_fn on_done;
	void *userdata;

	struct zkh_op *op, *lists[RIGHTS_MAX];
	unsigned owner[2 * RIGHTS_MAX + 1]; /* the row of each operation under way */
	int results[RIGHTS_MAX];   /* ZKH_OK, ZKH_NO_NODE: no such key, or why it is refused */
	unsigned open[RIGHTS_MAX]; /* ZKH_MAY_*, that anybody has to the key */
};

#define RIGHTS_WITH_LISTS 1u /* looks for lists that are too wide, too */
#define RIGHTS_OF_CLIENT 2u  /* of the own keys alone */

/* 0, and on_done follows once from the loop; or -errno, or an enum zkh_result. name must outlive it. */
int rights_try(struct rights *rights, struct zkh_session *session, const char *name, unsigned flags,
	       rights_fn on_done, void *userdata);
void rights_cancel(struct rights *rights); /* also fine when zeroed */

/* "/epoch (write), / (create or delete: quota exceeded)" into ret_text[RIGHTS_TEXT_SIZE]; "": nothing is missing. */
void rights_format_missing(const struct rights *rights, char *ret_text);

/* "/ (create, delete)": what anybody may do; "": nothing that matters. */
void rights_format_wide(const struct rights *rights, char *ret_text);

/* The first refusal's result; ZKH_OK: none. */
int rights_first_refusal(const struct rights *rights);

/* What mends a refusal, for the end of a message; "": nothing general. */
const char *rights_remedy(int result);

/* What mends lists that are too wide. */
#define RIGHTS_WIDE_REMEDY                                                                         \
	"give zookeeper.root a path of its own, which primaryd makes for its credential alone; "   \
	"close one that exists with setAcl -R ROOT auth::cdrwa, after addauth (zkCli.sh)"
