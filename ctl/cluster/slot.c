/* SPDX-License-Identifier: Apache-2.0 */
#include "slot.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* -- bookkeeping -- */

void cluster_begin(struct cluster *cluster)
{
	cluster->open++;
}

void cluster_end(struct cluster *cluster)
{
	if (!--cluster->open && cluster->list_known)
		cluster_read_over(cluster);
}

void cluster_refuse(struct cluster *cluster, int result, const char *path)
{
	/* A lost connection is no refusal: everything is read again. */
	if (result == ZKH_UNKNOWN || result == ZKH_NOT_CONNECTED) {
		cluster->list_known = false;
		return;
	}
	if (cluster->result != ZKH_OK)
		return;
	cluster->result = result;
	snprintf(cluster->refused_path, sizeof(cluster->refused_path), "%s", path);
}

void cluster_cancel(struct cluster *cluster, struct zkh_op **op)
{
	if (!*op)
		return;
	zkh_op_cancel(*op);
	*op = NULL;
	cluster->open--;
}

/* -- one key -- */

static void take(struct cluster_slot *slot, const char *data, size_t length,
		 const struct zkh_stat *stat)
{
	free(slot->data);
	slot->data = NULL;
	slot->known = true;
	slot->denied = false;
	slot->there = stat;
	slot->length = length;
	if (!stat)
		return;
	slot->stat = *stat;
	if (length > KEY_VALUE_MAX)
		return;
	slot->data = malloc(length + 1);
	if (!slot->data)
		return;
	if (length)
		memcpy(slot->data, data, length);
	slot->data[length] = '\0';
}

static void on_stat(void *userdata, int result, const struct zkh_stat *stat)
{
	struct cluster_slot *slot = userdata;

	slot->op = NULL;
	if (result == ZKH_OK || result == ZKH_NO_NODE) {
		take(slot, NULL, SIZE_MAX, stat);
		slot->denied = stat;
		if (stat && slot->cluster->live)
			ev_timer_again(slot->cluster->ctl->loop, &slot->cluster->retry);
	} else {
		cluster_refuse(slot->cluster, result, slot->path);
	}
	cluster_end(slot->cluster);
}

/*
 * What it tells by being there, as the nodes themselves take it: one access list must not hide the whole cluster. Without the
 * primary key there is nothing to be told; a missing credential shows there.
 */
static bool look_instead(struct cluster_slot *slot, int result)
{
	struct cluster *cluster = slot->cluster;

	return result == ZKH_DENIED && slot != &cluster->keys[CLUSTER_PRIMARY] &&
	       zkh_exists(cluster->ctl->session, slot->path, cluster->live, on_stat, slot,
			  &slot->op) == 0;
}

static void on_data(void *userdata, int result, const char *data, size_t length,
		    const struct zkh_stat *stat)
{
	struct cluster_slot *slot = userdata;

	slot->op = NULL;
	if (look_instead(slot, result))
		return;
	if (result == ZKH_OK)
		take(slot, data, length, stat);
	else if (result == ZKH_NO_NODE)
		take(slot, NULL, 0, NULL);
	else if (result == ZKH_CONFLICT) /* it came and went all the time */
		cluster_slot_read(slot);
	else
		cluster_refuse(slot->cluster, result, slot->path);
	cluster_end(slot->cluster);
}

void cluster_slot_read(struct cluster_slot *slot)
{
	struct cluster *cluster = slot->cluster;

	cluster_cancel(cluster, &slot->op);
	slot->known = false;
	if (zkh_get(cluster->ctl->session, slot->path, cluster->live, on_data, slot, &slot->op) ==
	    0)
		cluster_begin(cluster);
	else
		cluster_refuse(cluster, ZKH_FAILED, slot->path);
}

static void on_watch(void *userdata, enum zkh_watch_event event, const char *path)
{
	struct cluster_slot *slot = userdata;

	(void)path;
	if (event != ZKH_WATCH_CHILDREN && zkh_session_connected(slot->cluster->ctl->session))
		cluster_slot_read(slot);
}

void cluster_slot_open(struct cluster_slot *slot, struct cluster *cluster,
		       struct cluster_node *node, const char *path)
{
	*slot = (struct cluster_slot){ .cluster = cluster, .node = node, .path = path };
	slot->watch.fn = on_watch;
	slot->watch.userdata = slot;
	/* The watch keeps a copy of the path; without one it is kept by hand. */
	if (cluster->live && zkh_watch_add(cluster->ctl->session, &slot->watch, path) == 0)
		slot->path = slot->watch.path;
	else
		slot->path = strdup(path);
	if (slot->path)
		cluster_slot_read(slot);
	else
		cluster_refuse(cluster, ZKH_FAILED, path);
}

void cluster_slot_close(struct cluster_slot *slot)
{
	if (!slot->cluster)
		return;
	cluster_cancel(slot->cluster, &slot->op);
	zkh_op_cancel(slot->probe);
	if (slot->path != slot->watch.path)
		free((char *)slot->path);
	zkh_watch_remove(&slot->watch);
	free(slot->data);
	memset(slot, 0, sizeof(*slot));
}
/* -- one that may not be read -- */

static void on_probe(void *userdata, int result, const char *data, size_t length,
		     const struct zkh_stat *stat)
{
	struct cluster_slot *slot = userdata;

	(void)data;
	(void)length;
	(void)stat;
	slot->probe = NULL;
	if ((result == ZKH_OK || result == ZKH_NO_NODE) && !slot->op)
		cluster_slot_read(slot);
}

void cluster_slot_probe(struct cluster_slot *slot)
{
	struct cluster *cluster = slot->cluster;

	if (!slot->denied)
		return;
	ev_timer_again(cluster->ctl->loop, &cluster->retry);
	if (!slot->op && !slot->probe && zkh_session_connected(cluster->ctl->session))
		zkh_get(cluster->ctl->session, slot->path, false, on_probe, slot, &slot->probe);
}
