/* SPDX-License-Identifier: Apache-2.0 */
#include "zkh_acl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zookeeper/zookeeper.h>

#include "zk/session/zkh_internal.h"

/* Three lengths and the permissions of an entry; the list's own length. */
#define ENTRY_BYTES 12
#define LIST_BYTES 4

struct zkh_acl {
	struct ACL_vector vector;
	int32_t version; /* of the list, when it was read */
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

static bool is_entry(const struct ACL *entry, const char *scheme, const char *id)
{
	return strcmp(text_of(entry->id.scheme), scheme) == 0 &&
	       strcmp(text_of(entry->id.id), id) == 0;
}

static size_t entry_bytes(const struct ACL *entry)
{
	return strlen(text_of(entry->id.scheme)) + strlen(text_of(entry->id.id)) + 2;
}

/*
 * The library frees its own when the completion returns. but: an entry that is put in the place of that identity's (no
 * permissions: it is left out); NULL: none. NULL: out of memory.
 */
static struct zkh_acl *acl_copy(const struct ACL_vector *from, int32_t version,
				const struct ACL *but)
{
	size_t count = from->count > 0 ? (size_t)from->count : 0, texts = 0, kept = 0;
	struct zkh_acl *acl;
	char *end;

	for (size_t i = 0; i < count; i++)
		texts += entry_bytes(&from->data[i]);
	texts += but != NULL ? entry_bytes(but) : 0;
	acl = malloc(sizeof(*acl) + (count + 1) * sizeof(acl->entries[0]) + texts);
	if (acl == NULL)
		return NULL;
	acl->version = version;
	end = (char *)&acl->entries[count + 1];
	acl->bytes = LIST_BYTES;
	for (size_t i = 0; i <= count; i++) {
		const struct ACL *entry = i < count ? &from->data[i] : but;

		if (entry == NULL || entry->perms == 0 ||
		    (i < count && but != NULL && is_entry(entry, but->id.scheme, but->id.id)))
			continue;
		acl->bytes += ENTRY_BYTES + entry_bytes(entry);
		acl->entries[kept].perms = entry->perms;
		acl->entries[kept].id.scheme = append_text(&end, text_of(entry->id.scheme));
		acl->entries[kept++].id.id = append_text(&end, text_of(entry->id.id));
	}
	acl->vector = (struct ACL_vector){ .count = (int32_t)kept, .data = acl->entries };
	return acl;
}

void zkh_acl_free(struct zkh_acl *acl)
{
	free(acl);
}

unsigned zkh_acl_rights(const struct zkh_acl *acl, const char *scheme, const char *id)
{
	unsigned rights = 0;

	for (int32_t i = 0; i < acl->vector.count; i++)
		if (is_entry(&acl->vector.data[i], scheme, id))
			rights |= (unsigned)acl->vector.data[i].perms;
	return rights;
}

unsigned zkh_acl_anyone(const struct zkh_acl *acl)
{
	return zkh_acl_rights(acl, "world", "anyone");
}

struct zkh_acl *zkh_acl_edit(const struct zkh_acl *acl, const char *scheme, const char *id,
			     unsigned rights)
{
	const struct ACL entry = { .perms = (int32_t)rights,
				   .id = { .scheme = (char *)scheme, .id = (char *)id } };

	return acl_copy(&acl->vector, acl->version, &entry);
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

static void acl_deliver(struct zkh_op *op, const struct ACL_vector *vector, int32_t version)
{
	struct zkh_acl *acl;

	if (acl_is_masked(vector)) {
		acl_fail(op, ZKH_DENIED);
		return;
	}
	acl = acl_copy(vector, version, NULL);
	if (acl == NULL)
		acl_fail(op, ZKH_FAILED);
	else
		op->fn.acl(op->userdata, ZKH_OK, acl);
}

static void acl_completed(int code, struct ACL_vector *vector, struct Stat *stat, const void *data)
{
	struct zkh_op *op = (struct zkh_op *)data;

	if (!zkh_op_begin(op))
		return;
	if (code == ZOK && vector != NULL && stat != NULL)
		acl_deliver(op, vector, stat->aversion);
	else
		acl_fail(op, zkh_result_translate(code));
	zkh_op_end(op);
}

static int acl_submit(struct zkh_op *op, const char *path, bool watch)
{
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

/* ---- Setting ---- */

static void set_fail(struct zkh_op *op, int result)
{
	op->fn.done(op->userdata, result);
}

static void set_completed(int code, const void *data)
{
	struct zkh_op *op = (struct zkh_op *)data;

	if (!zkh_op_begin(op))
		return;
	op->fn.done(op->userdata, zkh_result_translate(code));
	zkh_op_end(op);
}

static int set_submit(struct zkh_op *op, const char *path, bool watch)
{
	const struct zkh_acl *acl = op->acl;

	/* The library puts the list into its packet at once. */
	return zkh_op_submitted(op,
				zoo_aset_acl(op->session->zh, path, acl->version,
					     (struct ACL_vector *)&acl->vector, set_completed, op));
}

int zkh_acl_set(struct zkh_session *session, const char *path, const struct zkh_acl *acl,
		zkh_done_fn fn, void *userdata, struct zkh_op **ret_op)
{
	char full[ZKH_PATH_MAX];
	struct zkh_op *op;
	int r = zkh_session_path(session, path, full);

	if (r != 0)
		return r;
	op = zkh_op_create(session, set_fail, userdata);
	if (op == NULL)
		return -ENOMEM;
	op->fn.done = fn;
	op->acl = acl;
	return zkh_op_submit(op, set_submit, full, false, ret_op);
}
