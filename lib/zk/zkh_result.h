/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>

/*
 * What an operation came to.
 *
 * A function that can fail at once returns <0 (-errno: our own resources), 0 or one of these (>0).
 * An asynchronous operation hands one of these to its callback. ZooKeeper's own codes are small
 * negative numbers that collide with -errno; they are translated here and never leave lib/.
 */

#define ZKH_RESULTS(X)                                                                             \
	X(ZKH_OK, 0, "ok")                                                                         \
	/* The operation did not happen. */                                                        \
	X(ZKH_NO_NODE, 1, "no such key")                                                           \
	X(ZKH_NODE_EXISTS, 2, "key exists already")                                                \
	X(ZKH_CONFLICT, 3, "key was changed by somebody else")                                     \
	X(ZKH_NOT_EMPTY, 4, "key has children")                                                    \
	X(ZKH_EPHEMERAL, 5, "key is ephemeral")                                                    \
	X(ZKH_TOO_LARGE, 6, "too large for one transaction")                                       \
	X(ZKH_INVALID, 7, "invalid path, name or value")                                           \
	X(ZKH_DENIED, 8, "permission denied by the key's access list")                             \
	X(ZKH_AUTH_FAILED, 9, "credential refused")                                                \
	X(ZKH_NOT_CONNECTED, 10, "not connected")                                                  \
	X(ZKH_TIMEOUT, 11, "timed out")                                                            \
	X(ZKH_FAILED, 12, "refused by the server")                                                 \
	X(ZKH_ACL_REFUSED, 15, "access list refused by the server")                                \
	X(ZKH_QUOTA, 16, "quota exceeded")                                                         \
	X(ZKH_READ_ONLY, 17, "server is read-only")                                                \
	X(ZKH_THROTTLED, 18, "throttled by the server")                                            \
	/* A lock that was held, or waited for, is lost. */                                        \
	X(ZKH_LOST, 13, "lock lost")                                                               \
	/* The connection went away under way: it may or may not have happened. */                 \
	X(ZKH_UNKNOWN, 14, "outcome unknown")

enum zkh_result {
#define X(name, value, text) name = value,
	ZKH_RESULTS(X)
#undef X
};

/* No server has answered: the session's event tells what comes next. */
static inline bool zkh_is_unanswered(int result)
{
	return result == ZKH_UNKNOWN || result == ZKH_NOT_CONNECTED;
}

/* The English text of a result; never NULL. */
const char *zkh_result_text(int result);
