/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Transactions. Everything is checked before the library sees it: a path that it refuses inside a
 * multi request aborts the process, and an oversized packet looks like a lost connection.
 */

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zookeeper/zookeeper.h>

#include "zk/session/zkh_internal.h"
#include "zk/session/zkh_op.h"

/*
 * What one operation adds to a packet besides path and data: headers, lengths, version, ACL;
 * rounded up.
 */
#define OP_OVERHEAD 64

/* The access list's share of that; what a list of its own takes beyond it is added. */
#define OP_OVERHEAD_ACL 32

/* Digits that the server appends to a sequential key. */
#define SEQUENCE_DIGITS 10

enum txn_kind { TXN_CHECK, TXN_SET, TXN_DELETE, TXN_CREATE };

struct txn_op {
	enum txn_kind kind;
	unsigned flags;
	int32_t version;
	char *path; /* with the root */
	char *data;
	size_t length;
	const struct zkh_acl *acl; /* of a create; borrowed; NULL: that of new keys */
	char *created; /* of a create: where the library writes the path that it became */
	size_t created_size;
};

struct zkh_txn {
	struct zkh_session *session;
	struct txn_op *ops;
	size_t count, room;
	size_t bytes;
	int error; /* the first thing that went wrong while it was put together */
	/* From here on allocated by the commit; the library writes to them until its completion. */
	zoo_op_result_t *results;
	struct Stat *stats;
	struct zkh_stat *reply_stats;
	const char **created;
};

struct zkh_txn *zkh_txn_create(struct zkh_session *session)
{
	struct zkh_txn *txn = calloc(1, sizeof(*txn));

	if (txn != NULL)
		txn->session = session;
	return txn;
}

struct zkh_txn *zkh_txn_destroy(struct zkh_txn *txn)
{
	if (txn == NULL)
		return NULL;
	for (size_t i = 0; i < txn->count; i++) {
		free(txn->ops[i].path);
		free(txn->ops[i].data);
		free(txn->ops[i].created);
	}
	free(txn->ops);
	free(txn->results);
	free(txn->stats);
	free(txn->reply_stats);
	free(txn->created);
	free(txn);
	return NULL;
}

static void txn_remember(struct zkh_txn *txn, int error)
{
	if (txn->error == 0)
		txn->error = error;
}

/* Room for one more operation, or NULL and the error remembered. */
static struct txn_op *txn_slot(struct zkh_txn *txn)
{
	struct txn_op *grown;
	size_t room;

	if (txn->error != 0)
		return NULL;
	if (txn->count >= ZKH_TXN_OPS_MAX) {
		txn_remember(txn, ZKH_TOO_LARGE);
		return NULL;
	}
	if (txn->count == txn->room) {
		room = txn->room == 0 ? 8 : txn->room * 2;
		grown = realloc(txn->ops, room * sizeof(*grown));
		if (grown == NULL) {
			txn_remember(txn, -ENOMEM);
			return NULL;
		}
		txn->ops = grown;
		txn->room = room;
	}
	txn->ops[txn->count] = (struct txn_op){ 0 };
	return &txn->ops[txn->count];
}

/* full: a valid path with the root. */
static void txn_add_full(struct zkh_txn *txn, enum txn_kind kind, const char *full,
			 const void *data, size_t length, int32_t version, unsigned flags)
{
	struct txn_op *op = txn_slot(txn);
	size_t path_length = strlen(full);

	if (op == NULL)
		return;
	if (flags & ZKH_CREATE_SEQUENCE && path_length + SEQUENCE_DIGITS >= ZKH_PATH_MAX) {
		txn_remember(txn, ZKH_INVALID);
		return;
	}
	if (length > ZKH_DATA_MAX ||
	    txn->bytes + path_length + length + OP_OVERHEAD > ZKH_TXN_BYTES_MAX) {
		txn_remember(txn, ZKH_TOO_LARGE);
		return;
	}
	*op = (struct txn_op){ .kind = kind, .flags = flags, .version = version, .length = length };
	op->path = strdup(full);
	if (length > 0)
		op->data = malloc(length);
	if (kind == TXN_CREATE) {
		op->created_size = path_length + SEQUENCE_DIGITS + 2;
		op->created = calloc(1, op->created_size);
	}
	txn->count++; /* owns what there is of it from here on */
	if (op->path == NULL || (length > 0 && op->data == NULL) ||
	    (kind == TXN_CREATE && op->created == NULL)) {
		txn_remember(txn, -ENOMEM);
		return;
	}
	if (length > 0)
		memcpy(op->data, data, length);
	txn->bytes += path_length + length + OP_OVERHEAD;
}

static void txn_add(struct zkh_txn *txn, enum txn_kind kind, const char *path, const void *data,
		    size_t length, int32_t version, unsigned flags)
{
	char full[ZKH_PATH_MAX];

	if (zkh_session_path(txn->session, path, full) != 0 || (length > 0 && data == NULL))
		txn_remember(txn, ZKH_INVALID);
	else
		txn_add_full(txn, kind, full, data, length, version, flags);
}

static void create_absolute(struct zkh_txn *txn, const char *path)
{
	txn_add_full(txn, TXN_CREATE, path, NULL, 0, 0, ZKH_PERSISTENT);
}

void zkh_txn_check(struct zkh_txn *txn, const char *path, int32_t version)
{
	txn_add(txn, TXN_CHECK, path, NULL, 0, version, 0);
}

void zkh_txn_set(struct zkh_txn *txn, const char *path, const void *data, size_t length,
		 int32_t version)
{
	txn_add(txn, TXN_SET, path, data, length, version, 0);
}

void zkh_txn_delete(struct zkh_txn *txn, const char *path, int32_t version)
{
	txn_add(txn, TXN_DELETE, path, NULL, 0, version, 0);
}

void zkh_txn_create_key(struct zkh_txn *txn, const char *path, const void *data, size_t length,
			unsigned flags)
{
	if (flags & ~(ZKH_CREATE_EPHEMERAL | ZKH_CREATE_SEQUENCE))
		txn_remember(txn, ZKH_INVALID);
	txn_add(txn, TXN_CREATE, path, data, length, 0, flags);
}

void zkh_txn_set_text(struct zkh_txn *txn, const char *path, const char *text, int32_t version)
{
	zkh_txn_set(txn, path, text, strlen(text), version);
}

void zkh_txn_create_text(struct zkh_txn *txn, const char *path, const char *text, unsigned flags)
{
	zkh_txn_create_key(txn, path, text, strlen(text), flags);
}

void zkh_txn_create_with_acl(struct zkh_txn *txn, const char *path, const void *data, size_t length,
			     const struct zkh_acl *acl)
{
	size_t bytes = zkh_acl_bytes(acl);

	zkh_txn_create_key(txn, path, data, length, ZKH_PERSISTENT);
	if (txn->error != 0)
		return;
	txn->ops[txn->count - 1].acl = acl;
	if (bytes > OP_OVERHEAD_ACL)
		txn->bytes += bytes - OP_OVERHEAD_ACL;
	if (txn->bytes > ZKH_TXN_BYTES_MAX)
		txn_remember(txn, ZKH_TOO_LARGE);
}

size_t zkh_txn_count(const struct zkh_txn *txn)
{
	return txn->count;
}

/* ---- commit ---- */

static int txn_create_mode(unsigned flags)
{
	if (flags == (ZKH_CREATE_EPHEMERAL | ZKH_CREATE_SEQUENCE))
		return ZOO_EPHEMERAL_SEQUENTIAL;
	if (flags == ZKH_CREATE_EPHEMERAL)
		return ZOO_EPHEMERAL;
	if (flags == ZKH_CREATE_SEQUENCE)
		return ZOO_PERSISTENT_SEQUENTIAL;
	return ZOO_PERSISTENT;
}

/*
 * The access list of new keys: the session's credentials, none: empty. Digests are named one by one: "auth" would stand for
 * all that the server knows of this connection, and with TLS this includes the certificate, which every user of the host can
 * use through the tunnel.
 */
static struct ACL_vector txn_usual_acl(struct zkh_session *session, struct ACL *entries)
{
	struct ACL_vector vector = { .count = 0, .data = entries };

	for (size_t i = 0; i < ZKH_AUTH_MAX && session->auth_schemes[i] != NULL; i++) {
		char *id = session->digest_ids[i];

		entries[vector.count++] = *id != '\0' ? (struct ACL){ ZOO_PERM_ALL,
								      { (char *)"digest", id } }
						      : ZOO_CREATOR_ALL_ACL.data[0];
	}
	return vector;
}

/*
 * The library's form of it. usual: the access list of new keys. It and the strings are borrowed; they need not live longer
 * than the request call.
 */
static void txn_describe(struct zkh_txn *txn, const struct ACL_vector *usual,
			 zoo_op_t *descriptions)
{
	for (size_t i = 0; i < txn->count; i++) {
		struct txn_op *op = &txn->ops[i];

		switch (op->kind) {
		case TXN_CHECK:
			zoo_check_op_init(&descriptions[i], op->path, op->version);
			break;
		case TXN_SET:
			zoo_set_op_init(&descriptions[i], op->path, op->length > 0 ? op->data : "",
					(int)op->length, op->version, &txn->stats[i]);
			break;
		case TXN_DELETE:
			zoo_delete_op_init(&descriptions[i], op->path, op->version);
			break;
		case TXN_CREATE:
			zoo_create_op_init(&descriptions[i], op->path,
					   op->length > 0 ? op->data : "", (int)op->length,
					   op->acl != NULL ? zkh_acl_vector(op->acl) : usual,
					   txn_create_mode(op->flags), op->created,
					   (int)op->created_size);
			break;
		}
	}
}

/* Sent: the data is not needed any more, the paths are, for the reply. */
static void txn_forget_data(struct zkh_txn *txn)
{
	for (size_t i = 0; i < txn->count; i++) {
		free(txn->ops[i].data);
		txn->ops[i].data = NULL;
	}
}

static void txn_failed(struct zkh_op *op, int result)
{
	struct zkh_txn_reply reply = {
		.count = op->txn->count,
		.failed = op->txn->count,
		.failed_path = "",
	};

	op->fn.commit(op->userdata, result, &reply);
}

static void txn_succeeded(struct zkh_op *op)
{
	struct zkh_txn *txn = op->txn;
	struct zkh_txn_reply reply = { .count = txn->count,
				       .failed = txn->count,
				       .failed_path = "" };

	for (size_t i = 0; i < txn->count; i++) {
		zkh_stat_copy(&txn->stats[i], &txn->reply_stats[i]);
		if (txn->ops[i].kind == TXN_CREATE)
			txn->created[i] = zkh_session_strip(txn->session, txn->ops[i].created);
	}
	reply.stats = txn->reply_stats;
	reply.created_paths = txn->created;
	op->fn.commit(op->userdata, ZKH_OK, &reply);
}

/*
 * Operations before the one that failed report success although they were rolled back, those
 * behind it report an inconsistency: the first other code is the reason.
 */
static void txn_refused(struct zkh_op *op, int code)
{
	struct zkh_txn *txn = op->txn;
	struct zkh_txn_reply reply = { .count = txn->count,
				       .failed = txn->count,
				       .failed_path = "" };
	const char *path;

	for (size_t i = 0; i < txn->count; i++) {
		if (txn->results[i].err == ZOK || txn->results[i].err == ZRUNTIMEINCONSISTENCY)
			continue;
		code = txn->results[i].err;
		path = zkh_session_strip(txn->session, txn->ops[i].path);
		reply.failed = i;
		reply.failed_path = path != NULL ? path : "";
		break;
	}
	op->fn.commit(op->userdata, zkh_result_translate(code), &reply);
}

static void txn_completed(int code, const void *data)
{
	struct zkh_op *op = (struct zkh_op *)data;

	if (!zkh_op_begin(op))
		return;
	if (code == ZOK)
		txn_succeeded(op);
	else if (zkh_result_translate(code) == ZKH_UNKNOWN && code != ZRUNTIMEINCONSISTENCY)
		txn_failed(op, ZKH_UNKNOWN);
	else
		txn_refused(op, code);
	zkh_op_end(op);
}

static int txn_allocate(struct zkh_txn *txn)
{
	txn->results = calloc(txn->count, sizeof(*txn->results));
	txn->stats = calloc(txn->count, sizeof(*txn->stats));
	txn->reply_stats = calloc(txn->count, sizeof(*txn->reply_stats));
	txn->created = calloc(txn->count, sizeof(*txn->created));
	return txn->results != NULL && txn->stats != NULL && txn->reply_stats != NULL &&
			       txn->created != NULL
		       ? 0
		       : -ENOMEM;
}

static int txn_submit(struct zkh_op *op, const char *path, bool watch)
{
	struct zkh_txn *txn = op->txn;
	zoo_op_t *descriptions = calloc(txn->count, sizeof(*descriptions));
	struct ACL entries[ZKH_AUTH_MAX];
	const struct ACL_vector for_creator = txn_usual_acl(txn->session, entries);
	int code = ZSYSTEMERROR;

	if (descriptions != NULL) {
		txn_describe(txn, for_creator.count > 0 ? &for_creator : &ZOO_OPEN_ACL_UNSAFE,
			     descriptions);
		code = zoo_amulti(txn->session->zh, (int)txn->count, descriptions, txn->results,
				  txn_completed, op);
		free(descriptions);
		txn_forget_data(txn);
	}
	return zkh_op_submitted(op, code);
}

int zkh_commit(struct zkh_txn *txn, zkh_commit_fn fn, void *userdata, struct zkh_op **ret_op)
{
	struct zkh_session *session = txn->session;
	struct zkh_op *op = NULL;
	int r = txn->error;

	if (r == 0 && txn->count == 0)
		r = ZKH_INVALID;
	if (r == 0)
		r = txn_allocate(txn);
	if (r == 0) {
		op = zkh_op_create(session, txn_failed, userdata);
		if (op == NULL)
			r = -ENOMEM;
	}
	if (r != 0) {
		zkh_txn_destroy(txn);
		return r;
	}
	op->fn.commit = fn;
	op->txn = txn;
	op->free_txn = zkh_txn_destroy;
	return zkh_op_submit(op, txn_submit, NULL, false, ret_op);
}

/*
 * The session's root, made in one flush: a create for every key on the way to it, then a look at
 * what came of it. The look decides: a root that exists will do, also where we may not create
 * anything beside it.
 */

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
	else if (result == ZKH_DENIED)
		result = ZKH_OK; /* it is there */
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
	create_absolute(txn, path);
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
