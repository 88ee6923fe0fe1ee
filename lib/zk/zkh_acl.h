/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Access lists: read from one key, to be looked at, edited, or given to another. The last part is for lib/ only.
 */

#include <stddef.h>

#include "zk/session/zkh_op.h"

#define ZKH_MAY_READ 1u
#define ZKH_MAY_WRITE 2u
#define ZKH_MAY_CREATE 4u /* below the key */
#define ZKH_MAY_DELETE 8u /* below the key */
#define ZKH_MAY_ADMIN 16u

/* Who may do what with a key: identities as the server resolved them. */
struct zkh_acl;

void zkh_acl_free(struct zkh_acl *acl); /* takes NULL */

/*
 * Reads a key's access list; with ZKH_OK it belongs to the callback, else acl is NULL. ZKH_DENIED also when it is not
 * shown whole: who may read a key but not administer it is shown digests without their hashes, and a list with these
 * would let nobody in.
 */
typedef void (*zkh_acl_fn)(void *userdata, int result, struct zkh_acl *acl);
int zkh_acl_get(struct zkh_session *session, const char *path, zkh_acl_fn fn, void *userdata,
		struct zkh_op **ret_op);

/* Gives a key that list, if its list is still the one that `acl` was read (or edited) from: else ZKH_CONFLICT. */
int zkh_acl_set(struct zkh_session *session, const char *path, const struct zkh_acl *acl,
		zkh_done_fn fn, void *userdata, struct zkh_op **ret_op);

/* ZKH_MAY_*, of one identity; anybody: world:anyone. */
unsigned zkh_acl_rights(const struct zkh_acl *acl, const char *scheme, const char *id);
unsigned zkh_acl_anyone(const struct zkh_acl *acl);

/* A list in which that identity has these rights, none: is not named. NULL: out of memory. */
struct zkh_acl *zkh_acl_edit(const struct zkh_acl *acl, const char *scheme, const char *id,
			     unsigned rights);

/* ---- Inside lib/ only ---- */

struct ACL_vector;

/* What it takes of a packet. */
size_t zkh_acl_bytes(const struct zkh_acl *acl);

/* The library's form of it, as long as the list lives. */
const struct ACL_vector *zkh_acl_vector(const struct zkh_acl *acl);

/* zkh_txn.c: creates a persistent key with this list, which must live until zkh_commit() has returned. */
void zkh_txn_create_with_acl(struct zkh_txn *txn, const char *path, const void *data, size_t length,
			     const struct zkh_acl *acl);
