/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A maintenance that has an end: the first node whose wall clock has reached it deletes the key, at the version that names
 * this end. Whether there is a maintenance depends on the key alone, so that nodes with different clocks never disagree.
 */

#include "internal.h"

static void on_deleted(void *userdata, int result, const struct zkh_txn_reply *reply)
{
	struct cluster *c = userdata;

	c->maintenance.op = NULL;
	if (zkh_is_unanswered(result)) {
		c->maintenance.tried = 0; /* once the key has been read again */
		return;
	}
	if (result != ZKH_OK && result != ZKH_NO_NODE && result != ZKH_CONFLICT)
		cluster_say_endless(c, result);
	/* The view may have learned of another end while the deletion was under way. */
	cluster_maintenance_follow(c);
}

static void on_end(struct ev_loop *loop, ev_periodic *periodic, int events)
{
	struct cluster *c = periodic->data;
	struct zkh_txn *txn;

	if (c->farewell || !ensemble_is_open(&c->ensemble))
		return;
	txn = zkh_txn_create(c->session);
	if (!txn)
		return;
	c->maintenance.tried = c->view.maintenance_mzxid;
	zkh_txn_delete(txn, PATH_MAINTENANCE, c->view.maintenance_version);
	(void)zkh_commit(txn, on_deleted, c, &c->maintenance.op);
}

void cluster_maintenance_follow(struct cluster *c)
{
	const struct view *view = &c->view;
	ev_periodic *end = &c->maintenance.end;

	if (!view->slots[VIEW_MAINTENANCE].known || c->maintenance.op)
		return;
	ev_periodic_stop(c->loop, end);
	if (!view->maintenance || !view->maintenance_end_ms ||
	    view->maintenance_mzxid == c->maintenance.tried)
		return;
	ev_periodic_set(end, (double)view->maintenance_end_ms / 1e3, 0., NULL);
	ev_periodic_start(c->loop, end);
}

void cluster_maintenance_init(struct cluster *c)
{
	ev_init(&c->maintenance.end, on_end);
	c->maintenance.end.data = c;
}

void cluster_maintenance_finish(struct cluster *c)
{
	ev_periodic_stop(c->loop, &c->maintenance.end);
	zkh_op_cancel(c->maintenance.op);
	c->maintenance.op = NULL;
}
