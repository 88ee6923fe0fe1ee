/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Inside lib/ only: access lists, read from one key to be given to another. */

#include <stddef.h>

#include "zkh_op.h"

struct ACL_vector;

/* Who may do what with a key: identities as the server resolved them. One piece of memory, for free(). */
struct zkh_acl;

/*
 * Reads a key's access list; with ZKH_OK it belongs to the callback. ZKH_DENIED also when it is not shown whole: who may
 * read a key but not administer it is shown digests without their hashes, and a list with these would let nobody in.
 */
typedef void (*zkh_acl_fn)(void *userdata, int result, struct zkh_acl *acl);
int zkh_acl_get(struct zkh_session *session, const char *path, zkh_acl_fn fn, void *userdata,
		struct zkh_op **ret_op);

/* What it takes of a packet. */
size_t zkh_acl_bytes(const struct zkh_acl *acl);

/* The library's form of it, as long as the list lives. */
const struct ACL_vector *zkh_acl_vector(const struct zkh_acl *acl);

/* zkh_txn.c: creates a persistent key with this list, which must live until zkh_commit() has returned. */
void zkh_txn_create_with_acl(struct zkh_txn *txn, const char *path, const void *data, size_t length,
			     const struct zkh_acl *acl);
