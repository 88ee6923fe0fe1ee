/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Exclusive, write and read locks: children of a key, wire-compatible with kazoo's Lock, WriteLock and ReadLock
 * in both directions (names `<32 hex>__lock__%010d` and `<32 hex>__rlock__%010d`, data = identifier).
 *
 *   exclusive  waits for every lower __lock__                 (kazoo.recipe.lock.Lock)
 *   write      waits for every lower __lock__ and __rlock__   (WriteLock)
 *   read       waits for every lower __lock__                 (ReadLock)
 *
 * Create and list travel in one flush: an uncontended lock costs one round trip. A waiter watches only its
 * predecessor (no herd). A lost connection leaves no orphan: the prefix is searched for again. The parent key is
 * created when it is missing. Children that no lock made are ignored, and so
 * are persistent ones that look like a lock's node: nobody holds them.
 */

#include <stdbool.h>

#include "zk/session/zkh_op.h"

struct zkh_lock;

enum zkh_lock_kind { ZKH_LOCK_EXCLUSIVE, ZKH_LOCK_WRITE, ZKH_LOCK_READ };

/*
 * Called once with the outcome of the acquire: ZKH_OK (held), ZKH_TIMEOUT, or an error (ZKH_LOST: the session
 * expired while waiting; ZKH_DENIED; ZKH_INVALID; ...). After any result but ZKH_OK the lock is over (its node is removed
 * in the background, also across reconnects) and the handle is freed when the callback returns. After ZKH_OK it is called
 * at most once more, with ZKH_LOST, when the node vanished or the session expired; the handle is freed after that.
 * After a lost connection the holder still holds it as far as anybody can know: its own lease rule must decide.
 */
typedef void (*zkh_lock_fn)(void *userdata, int result);

/*
 * timeout_ms bounds the wait for other holders; <0 waits for ever; 0 tries once. The servers may take a quarter of the
 * session timeout longer to commit the node. While not connected the request waits (within timeout_ms from the call).
 * identifier: text shown to people and to kazoo's Lock.contenders().
 */
int zkh_lock_acquire(struct zkh_session *session, enum zkh_lock_kind kind, const char *path,
		     const char *identifier, int32_t timeout_ms, zkh_lock_fn fn, void *userdata,
		     struct zkh_lock **ret_lock);

/*
 * Gives it up, waiting or held: no callback any more, the handle is gone. The node is removed in the background by the
 * session (again after a reconnect, until it is gone or the session expires). Takes NULL. Returns NULL.
 */
struct zkh_lock *zkh_lock_release(struct zkh_lock *lock);

/* The path of the lock's node while it is held (for a delete or check within a transaction), else NULL. */
const char *zkh_lock_path(const struct zkh_lock *lock);

/* Whether the key of that name, below the lock's, is the node of this lock, or may be. lock may be NULL. */
bool zkh_lock_made(const struct zkh_lock *lock, const char *name);

/*
 * While held, a number larger than that of every earlier holder, for the life of the ensemble: a fencing token.
 * It is the parent's pzxid as of the list that showed the lock as acquired (the library does not tell a sequential
 * node's czxid within the one round trip). Else 0.
 */
int64_t zkh_lock_epoch(const struct zkh_lock *lock);

/* The caller deleted the node in a committed transaction: forget it without another delete. Returns NULL. */
struct zkh_lock *zkh_lock_consumed(struct zkh_lock *lock);

/* The number of lock nodes still to be removed in the background (0: a close leaves nothing). */
unsigned zkh_lock_pending(const struct zkh_session *session);

/*
 * A write that fails and changes nothing: it deletes a key below path that is not there. Once it has passed, whatever the
 * session had sent before has committed or never will, and a list that was sent behind it shows it. sync() does not do
 * that: a leader that is cut off answers it by itself, before its successor commits what it had proposed.
 */
int zkh_lock_barrier(struct zkh_session *session, const char *path, zkh_commit_fn fn,
		     void *userdata, struct zkh_op **ret_op);

/* Whether the servers have treated the barrier that ended so in its order. */
bool zkh_lock_barrier_passed(int result);
