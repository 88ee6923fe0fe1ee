/* SPDX-License-Identifier: Apache-2.0 */
#include "sweep.h"

#include "base/keys.h"
#include "zk/lock/zkh_lock_name.h"

static void on_deleted(void *userdata, int result, const struct zkh_txn_reply *reply)
{
	struct sweep_slot *slot = userdata;

	(void)result;
	(void)reply;
	slot->op = NULL;
}

static void on_stat(void *userdata, int result, const struct zkh_stat *stat)
{
	struct sweep_slot *slot = userdata;
	struct zkh_session *session = slot->sweep->session;
	struct zkh_txn *txn;

	slot->op = NULL;
	if (result != ZKH_OK || stat->ephemeral_owner != zkh_session_id(session))
		return;
	txn = zkh_txn_create(session);
	if (!txn)
		return;
	zkh_txn_delete(txn, slot->path, ZKH_ANY_VERSION);
	zkh_commit(txn, on_deleted, slot, &slot->op);
}

static void on_list(void *userdata, int result, const char *const *names, size_t count,
		    const struct zkh_stat *stat)
{
	struct sweep *sweep = userdata;
	struct zkh_lock_name name;

	(void)stat;
	sweep->list_op = NULL;
	for (size_t i = 0; result == ZKH_OK && i < count && sweep->n_slots < SWEEP_MAX; i++) {
		struct sweep_slot *slot = &sweep->slots[sweep->n_slots];

		if (!zkh_lock_name_parse(names[i], &name) ||
		    zkh_path_join(PATH_PRIMARY, names[i], slot->path) != 0)
			continue;
		slot->sweep = sweep;
		sweep->n_slots++;
		zkh_exists(sweep->session, slot->path, false, on_stat, slot, &slot->op);
	}
}

void sweep_run(struct sweep *sweep, struct zkh_session *session)
{
	sweep_finish(sweep);
	sweep->session = session;
	zkh_children(session, PATH_PRIMARY, false, on_list, sweep, &sweep->list_op);
}

void sweep_finish(struct sweep *sweep)
{
	zkh_op_cancel(sweep->list_op);
	for (size_t i = 0; i < sweep->n_slots; i++)
		zkh_op_cancel(sweep->slots[i].op);
	*sweep = (struct sweep){ 0 };
}
