/* SPDX-License-Identifier: Apache-2.0 */
#include "zkh_op.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <zookeeper/zookeeper.h>

#include "zkh_internal.h"

/* Data up to here is handed on in a copy on the stack. */
#define DATA_ON_STACK 2048

void zkh_op_list_init(struct zkh_op_list *list)
{
	list->first = NULL;
	list->end = &list->first;
}

static void list_append(struct zkh_op_list *list, struct zkh_op *op)
{
	assert(op->link == NULL);
	op->next = NULL;
	op->link = list->end;
	*list->end = op;
	list->end = &op->next;
}

static void list_take_out(struct zkh_op *op)
{
	struct zkh_session *session = op->session;
	struct zkh_op_list *lists[] = { &session->sent, &session->refused, &session->unsure };

	assert(op->link != NULL);
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		if (lists[i]->end == &op->next)
			lists[i]->end = op->link;
	*op->link = op->next;
	if (op->next != NULL)
		op->next->link = op->link;
	op->next = NULL;
	op->link = NULL;
}

struct zkh_op *zkh_op_create(struct zkh_session *session,
			     void (*fail)(struct zkh_op *op, int result), void *userdata)
{
	struct zkh_op *op = calloc(1, sizeof(*op));

	if (op == NULL)
		return NULL;
	op->session = session;
	op->fail = fail;
	op->userdata = userdata;
	return op;
}

void zkh_op_discard(struct zkh_op *op)
{
	assert(op->link == NULL && !op->in_library && !op->calling);
	if (op->txn != NULL)
		op->free_txn(op->txn);
	free(op);
}

void zkh_op_cancel(struct zkh_op *op)
{
	if (op == NULL || op->link == NULL)
		return;
	list_take_out(op);
	if (!op->in_library && !op->calling)
		zkh_op_discard(op);
}

/*
 * libzookeeper sends the length of a request by itself: two segments, for which the server wakes up twice. So the socket
 * holds it back until the rest is there.
 */
static void hold_back(const struct zkh_session *session, int on)
{
	if (session->fd >= 0)
		(void)setsockopt(session->fd, IPPROTO_TCP, TCP_CORK, &on, sizeof(on));
}

static bool op_ready(const struct zkh_session *session)
{
	if (!zkh_session_connected(session) || !zkh_link_has_socket(session))
		return false;
	hold_back(session, 1);
	return true;
}

static void op_refuse(struct zkh_op *op)
{
	list_append(&op->session->refused, op);
	zkh_session_kick(op->session);
}

int zkh_op_submitted(struct zkh_op *op, int code)
{
	struct zkh_session *session = op->session;

	hold_back(session, 0);
	/* A send error closes the socket without a word; the loop has to hear of it. */
	if (!zkh_link_has_socket(session))
		zkh_session_kick(session);
	if (code == ZOK) {
		op->in_library = true;
		session->outstanding++;
		list_append(&session->sent, op);
		return 0;
	}
	if (code == ZMARSHALLINGERROR) {
		/*
		 * Out of memory half-way: the library may or may not know the op. A new connection
		 * sorts it out.
		 */
		op->unsure = true;
		list_append(&session->unsure, op);
		zkh_session_cut(session);
		return -ENOMEM;
	}
	zkh_op_discard(op);
	return code == ZBADARGUMENTS ? ZKH_INVALID : -ENOMEM;
}

int zkh_op_submit(struct zkh_op *op, zkh_op_submit_fn submit, const char *path, bool watch,
		  struct zkh_op **ret_op)
{
	int r = 0;

	if (op_ready(op->session))
		r = submit(op, path, watch);
	else
		op_refuse(op);
	if (r == 0 && ret_op != NULL)
		*ret_op = op;
	return r;
}

bool zkh_op_begin(struct zkh_op *op)
{
	bool wanted = op->link != NULL && !op->unsure;

	if (op->in_library)
		op->session->outstanding--;
	op->in_library = false;
	if (op->unsure)
		list_take_out(op);
	if (!wanted) {
		if (!op->calling)
			zkh_op_discard(op);
		return false;
	}
	list_take_out(op);
	op->calling = true;
	return true;
}

void zkh_op_end(struct zkh_op *op)
{
	op->calling = false;
	if (!op->in_library)
		zkh_op_discard(op);
}

void zkh_op_fail_sent(struct zkh_session *session)
{
	struct zkh_op *op;

	while ((op = session->sent.first) != NULL) {
		list_take_out(op);
		op->calling = true;
		op->fail(op, ZKH_UNKNOWN);
		zkh_op_end(op);
	}
}

void zkh_op_fail_refused(struct zkh_session *session)
{
	struct zkh_op_list due;
	struct zkh_op *op;

	/* Only those of now: what their callbacks try in vain has to wait for the next round. */
	if (session->refused.first == NULL)
		return;
	due = session->refused;
	due.first->link = &due.first;
	zkh_op_list_init(&session->refused);
	while ((op = due.first) != NULL) {
		if (session->destroyed) {
			zkh_op_cancel(op);
			continue;
		}
		*op->link = op->next;
		if (op->next != NULL)
			op->next->link = op->link;
		op->next = NULL;
		op->link = NULL;
		op->calling = true;
		op->fail(op, ZKH_NOT_CONNECTED);
		zkh_op_end(op);
	}
}

void zkh_op_drop_all(struct zkh_session *session)
{
	while (session->sent.first != NULL)
		zkh_op_cancel(session->sent.first);
	while (session->refused.first != NULL)
		zkh_op_cancel(session->refused.first);
}

void zkh_op_free_unsure(struct zkh_session *session)
{
	struct zkh_op *op;

	while ((op = session->unsure.first) != NULL) {
		list_take_out(op);
		zkh_op_discard(op);
	}
}

void zkh_stat_copy(const struct Stat *from, struct zkh_stat *to)
{
	*to = (struct zkh_stat){
		.czxid = from->czxid,
		.mzxid = from->mzxid,
		.pzxid = from->pzxid,
		.ctime_ms = from->ctime,
		.mtime_ms = from->mtime,
		.ephemeral_owner = from->ephemeralOwner,
		.version = from->version,
		.cversion = from->cversion,
		.data_length = from->dataLength,
		.children = from->numChildren,
	};
}

/* ---- reads ---- */

/* An op for a request on one key, and the whole path of that. */
static int read_create(struct zkh_session *session, const char *path,
		       void (*fail)(struct zkh_op *op, int result), void *userdata,
		       char full[ZKH_PATH_MAX], struct zkh_op **ret_op)
{
	struct zkh_op *op;
	int r = zkh_session_path(session, path, full);

	if (r != 0)
		return r;
	op = zkh_op_create(session, fail, userdata);
	if (op == NULL)
		return -ENOMEM;
	*ret_op = op;
	return 0;
}

static void get_fail(struct zkh_op *op, int result)
{
	op->fn.get(op->userdata, result, "", 0, NULL);
}

static void get_deliver(struct zkh_op *op, const char *value, size_t length,
			const struct Stat *stat)
{
	char small[DATA_ON_STACK], *data = length < sizeof(small) ? small : malloc(length + 1);
	struct zkh_stat copy;

	if (data == NULL) {
		get_fail(op, ZKH_FAILED);
		return;
	}
	if (length > 0)
		memcpy(data, value, length);
	data[length] = '\0';
	zkh_stat_copy(stat, &copy);
	op->fn.get(op->userdata, ZKH_OK, data, length, &copy);
	if (data != small)
		free(data);
}

static void get_completed(int code, const char *value, int length, const struct Stat *stat,
			  const void *data)
{
	struct zkh_op *op = (struct zkh_op *)data;

	if (!zkh_op_begin(op))
		return;
	if (code == ZOK && stat != NULL)
		get_deliver(op, value, length > 0 ? (size_t)length : 0, stat);
	else
		get_fail(op, zkh_result_translate(code));
	zkh_op_end(op);
}

static int get_submit(struct zkh_op *op, const char *path, bool watch)
{
	return zkh_op_submitted(op, zoo_awget(op->session->zh, path, watch ? zkh_watch_fired : NULL,
					      op->session, get_completed, op));
}

int zkh_get(struct zkh_session *session, const char *path, bool watch, zkh_get_fn fn,
	    void *userdata, struct zkh_op **ret_op)
{
	char full[ZKH_PATH_MAX];
	struct zkh_op *op;
	int r = read_create(session, path, get_fail, userdata, full, &op);

	if (r != 0)
		return r;
	op->fn.get = fn;
	return zkh_op_submit(op, get_submit, full, watch, ret_op);
}

static void exists_fail(struct zkh_op *op, int result)
{
	static const struct zkh_stat untold = { .ephemeral_owner = 1,
						.version = ZKH_ANY_VERSION,
						.children = 1 };

	op->fn.exists(op->userdata, result, result == ZKH_DENIED ? &untold : NULL);
}

static void exists_completed(int code, const struct Stat *stat, const void *data)
{
	struct zkh_op *op = (struct zkh_op *)data;
	struct zkh_stat copy;

	if (!zkh_op_begin(op))
		return;
	if (code == ZOK && stat != NULL) {
		zkh_stat_copy(stat, &copy);
		op->fn.exists(op->userdata, ZKH_OK, &copy);
	} else {
		exists_fail(op, zkh_result_translate(code));
	}
	zkh_op_end(op);
}

static int exists_submit(struct zkh_op *op, const char *path, bool watch)
{
	return zkh_op_submitted(op,
				zoo_awexists(op->session->zh, path, watch ? zkh_watch_fired : NULL,
					     op->session, exists_completed, op));
}

int zkh_exists(struct zkh_session *session, const char *path, bool watch, zkh_exists_fn fn,
	       void *userdata, struct zkh_op **ret_op)
{
	char full[ZKH_PATH_MAX];
	struct zkh_op *op;
	int r = read_create(session, path, exists_fail, userdata, full, &op);

	if (r != 0)
		return r;
	op->fn.exists = fn;
	return zkh_op_submit(op, exists_submit, full, watch, ret_op);
}

static void children_fail(struct zkh_op *op, int result)
{
	op->fn.children(op->userdata, result, NULL, 0, NULL);
}

static void children_completed(int code, const struct String_vector *names, const struct Stat *stat,
			       const void *data)
{
	struct zkh_op *op = (struct zkh_op *)data;
	struct zkh_stat copy;

	if (!zkh_op_begin(op))
		return;
	if (code == ZOK && names != NULL && stat != NULL) {
		zkh_stat_copy(stat, &copy);
		op->fn.children(op->userdata, ZKH_OK, (const char *const *)names->data,
				names->count > 0 ? (size_t)names->count : 0, &copy);
	} else {
		children_fail(op, zkh_result_translate(code));
	}
	zkh_op_end(op);
}

static int children_submit(struct zkh_op *op, const char *path, bool watch)
{
	return zkh_op_submitted(op, zoo_awget_children2(op->session->zh, path,
							watch ? zkh_watch_fired : NULL, op->session,
							children_completed, op));
}

int zkh_children(struct zkh_session *session, const char *path, bool watch, zkh_children_fn fn,
		 void *userdata, struct zkh_op **ret_op)
{
	char full[ZKH_PATH_MAX];
	struct zkh_op *op;
	int r = read_create(session, path, children_fail, userdata, full, &op);

	if (r != 0)
		return r;
	op->fn.children = fn;
	return zkh_op_submit(op, children_submit, full, watch, ret_op);
}

static void sync_fail(struct zkh_op *op, int result)
{
	op->fn.done(op->userdata, result);
}

static void sync_completed(int code, const char *path, const void *data)
{
	struct zkh_op *op = (struct zkh_op *)data;

	if (!zkh_op_begin(op))
		return;
	op->fn.done(op->userdata, zkh_result_translate(code));
	zkh_op_end(op);
}

static int sync_submit(struct zkh_op *op, const char *path, bool watch)
{
	return zkh_op_submitted(op, zoo_async(op->session->zh, "/", sync_completed, op));
}

int zkh_sync(struct zkh_session *session, zkh_done_fn fn, void *userdata, struct zkh_op **ret_op)
{
	struct zkh_op *op = zkh_op_create(session, sync_fail, userdata);

	if (op == NULL)
		return -ENOMEM;
	op->fn.done = fn;
	return zkh_op_submit(op, sync_submit, NULL, false, ret_op);
}
