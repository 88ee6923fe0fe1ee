/* SPDX-License-Identifier: Apache-2.0 */
#include "zkh_acl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zookeeper/zookeeper.h>

#include "zkh_internal.h"

/* Three lengths and the permissions of an entry; the list's own length. */
#define ENTRY_BYTES 12
#define LIST_BYTES 4

struct zkh_acl {
	struct ACL_vector vector;
	size_t bytes;
	struct ACL entries[]; /* their texts behind them */
};

/* A text may be missing in a packet. */
static const char *text_of(const char *text)
{
	return text != NULL ? text : "";
}

static char *append_text(char **end, const char *text)
{
	char *begin = *end;
	size_t size = strlen(text) + 1;

	memcpy(begin, text, size);
	*end += size;
	return begin;
}

/* The library frees its own when the completion returns. NULL: out of memory. */
static struct zkh_acl *acl_copy(const struct ACL_vector *from)
{
	size_t count = from->count > 0 ? (size_t)from->count : 0;
	size_t texts = 0;
	struct zkh_acl *acl;
	char *end;

	for (size_t i = 0; i < count; i++)
		texts += strlen(text_of(from->data[i].id.scheme)) +
			 strlen(text_of(from->data[i].id.id)) + 2;
	acl = malloc(sizeof(*acl) + count * sizeof(acl->entries[0]) + texts);
	if (acl == NULL)
		return NULL;
	acl->vector = (struct ACL_vector){ .count = (int32_t)count, .data = acl->entries };
	acl->bytes = LIST_BYTES + count * ENTRY_BYTES + texts;
	end = (char *)&acl->entries[count];
	for (size_t i = 0; i < count; i++) {
		acl->entries[i].perms = from->data[i].perms;
		acl->entries[i].id.scheme = append_text(&end, text_of(from->data[i].id.scheme));
		acl->entries[i].id.id = append_text(&end, text_of(from->data[i].id.id));
	}
	return acl;
}

size_t zkh_acl_bytes(const struct zkh_acl *acl)
{
	return acl->bytes;
}

const struct ACL_vector *zkh_acl_vector(const struct zkh_acl *acl)
{
	return &acl->vector;
}

/* USER:x is what the server shows of USER:HASH to those who may not see it; no hash is that short. */
static bool acl_is_masked(const struct ACL_vector *vector)
{
	for (int32_t i = 0; i < vector->count; i++) {
		const char *colon = strchr(text_of(vector->data[i].id.id), ':');

		if (strcmp(text_of(vector->data[i].id.scheme), "digest") == 0 && colon != NULL &&
		    strcmp(colon, ":x") == 0)
			return true;
	}
	return false;
}

static void acl_fail(struct zkh_op *op, int result)
{
	op->fn.acl(op->userdata, result, NULL);
}

static void acl_deliver(struct zkh_op *op, const struct ACL_vector *vector)
{
	struct zkh_acl *acl;

	if (acl_is_masked(vector)) {
		acl_fail(op, ZKH_DENIED);
		return;
	}
	acl = acl_copy(vector);
	if (acl == NULL)
		acl_fail(op, ZKH_FAILED);
	else
		op->fn.acl(op->userdata, ZKH_OK, acl);
}

static void acl_completed(int code, struct ACL_vector *vector, struct Stat *stat, const void *data)
{
	struct zkh_op *op = (struct zkh_op *)data;

	(void)stat;
	if (!zkh_op_begin(op))
		return;
	if (code == ZOK && vector != NULL)
		acl_deliver(op, vector);
	else
		acl_fail(op, zkh_result_translate(code));
	zkh_op_end(op);
}

static int acl_submit(struct zkh_op *op, const char *path, bool watch)
{
	(void)watch;
	return zkh_op_submitted(op, zoo_aget_acl(op->session->zh, path, acl_completed, op));
}

int zkh_acl_get(struct zkh_session *session, const char *path, zkh_acl_fn fn, void *userdata,
		struct zkh_op **ret_op)
{
	char full[ZKH_PATH_MAX];
	struct zkh_op *op;
	int r = zkh_session_path(session, path, full);

	if (r != 0)
		return r;
	op = zkh_op_create(session, acl_fail, userdata);
	if (op == NULL)
		return -ENOMEM;
	op->fn.acl = fn;
	return zkh_op_submit(op, acl_submit, full, false, ret_op);
}
