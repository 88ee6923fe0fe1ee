/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A key of this node in a transaction. If somebody deleted the key, the transaction creates it, with its parents if
 * need be: each attempt that fails because a key is missing adds one step to the next attempt.
 */

#include <stdint.h>

#include "base/keys.h"
#include "zk/session/zkh_op.h"

/* How much is made: 0 nothing, 1 the key, 2 /nodes/NAME too, 3 /nodes as well. */
#define OWN_KEY_MAKES_MAX 3

/* version: at which it is set, if it is not made. */
void own_key_write(struct zkh_txn *txn, const char *name, enum node_key key, const char *text,
		   int32_t version, int makes);
