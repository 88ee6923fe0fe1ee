/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The session's root, made in one flush: a create for every key on the way to it, then a look at
 * what came of it. The look decides: a root that exists will do, also where we may not create
 * anything beside it.
 */

#include <errno.h>
#include <string.h>
#include <zookeeper/zookeeper.h>

#include "zk/session/zkh_internal.h"
#include "zk/session/zkh_op.h"

static void root_fail(struct zkh_op *op, int result)
{
	op->fn.done(op->userdata, result);
}

/* The first refusal stays: the reason, should there be no root in the end; those below it only lack their parent. */
static void root_created(void *userdata, int result, const struct zkh_txn_reply *reply)
{
	struct zkh_session *session = userdata;

	if (session->root_result == ZKH_OK && result != ZKH_NODE_EXISTS)
		session->root_result = result;
}

static void root_seen(int code, const struct Stat *stat, const void *data)
{
	struct zkh_op *op = (struct zkh_op *)data;
	int result = zkh_result_translate(code);

	if (!zkh_op_begin(op))
		return;
	if (result == ZKH_NO_NODE && op->session->root_result != ZKH_OK)
		result = op->session->root_result;
	op->fn.done(op->userdata, result);
	zkh_op_end(op);
}

/* Creates the first `length` bytes of the root. */
static int root_create_key(struct zkh_session *session, size_t length)
{
	struct zkh_txn *txn = zkh_txn_create(session);
	char path[ZKH_PATH_MAX];

	if (txn == NULL)
		return -ENOMEM;
	memcpy(path, session->root, length);
	path[length] = '\0';
	zkh_txn_create_absolute(txn, path);
	return zkh_commit(txn, root_created, session, NULL);
}

static int root_submit(struct zkh_op *op, const char *path, bool watch)
{
	struct zkh_session *session = op->session;
	const char *end;
	int r = 0;

	session->root_result = ZKH_OK;
	for (end = path; r == 0 && session->root_length > 0 && *end != '\0';) {
		end++;
		end += strcspn(end, "/");
		r = root_create_key(session, (size_t)(end - path));
	}
	if (r != 0) {
		zkh_op_discard(op);
		return r;
	}
	return zkh_op_submitted(op, zoo_aexists(session->zh, path, 0, root_seen, op));
}

int zkh_make_root(struct zkh_session *session, zkh_done_fn fn, void *userdata,
		  struct zkh_op **ret_op)
{
	struct zkh_op *op = zkh_op_create(session, root_fail, userdata);

	if (op == NULL)
		return -ENOMEM;
	op->fn.done = fn;
	return zkh_op_submit(op, root_submit, session->root_length > 0 ? session->root : "/", false,
			     ret_op);
}
