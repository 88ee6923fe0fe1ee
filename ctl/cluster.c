/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Between two looks at keys that may not be read: the servers tell nobody what becomes of those. */
#define RETRY_S 1.

static void read_slot(struct cluster_slot *slot);
static void read_list(struct cluster *cluster);

/* -- bookkeeping -- */

static void begin(struct cluster *cluster)
{
	cluster->open++;
}

static void end(struct cluster *cluster)
{
	cluster->open--;
	if (cluster->open || !cluster->list_known)
		return;
	cluster->changes++;
	if (cluster->on_change)
		cluster->on_change(cluster->userdata);
}

static void refuse(struct cluster *cluster, int result, const char *path)
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

static void cancel(struct cluster *cluster, struct zkh_op **op)
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
		refuse(slot->cluster, result, slot->path);
	}
	end(slot->cluster);
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
		read_slot(slot);
	else
		refuse(slot->cluster, result, slot->path);
	end(slot->cluster);
}

static void read_slot(struct cluster_slot *slot)
{
	struct cluster *cluster = slot->cluster;

	cancel(cluster, &slot->op);
	slot->known = false;
	if (zkh_get(cluster->ctl->session, slot->path, cluster->live, on_data, slot, &slot->op) ==
	    0)
		begin(cluster);
	else
		refuse(cluster, ZKH_FAILED, slot->path);
}

static void on_watch(void *userdata, enum zkh_watch_event event, const char *path)
{
	struct cluster_slot *slot = userdata;

	(void)path;
	if (event != ZKH_WATCH_CHILDREN && zkh_session_connected(slot->cluster->ctl->session))
		read_slot(slot);
}

static void open_slot(struct cluster_slot *slot, struct cluster *cluster, struct cluster_node *node,
		      const char *path)
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
		read_slot(slot);
	else
		refuse(cluster, ZKH_FAILED, path);
}

static void close_slot(struct cluster_slot *slot)
{
	if (!slot->cluster)
		return;
	cancel(slot->cluster, &slot->op);
	zkh_op_cancel(slot->probe);
	if (slot->path != slot->watch.path)
		free((char *)slot->path);
	zkh_watch_remove(&slot->watch);
	free(slot->data);
	memset(slot, 0, sizeof(*slot));
}

/* -- nodes -- */

/* For every key of a node; stops at nothing. */
static void each_slot(struct cluster_node *node, void (*fn)(struct cluster_slot *slot))
{
	for (int i = 0; i < NODE_KEY_COUNT; i++)
		if (node->keys[i].cluster)
			fn(&node->keys[i]);
	if (node->detail.cluster)
		fn(&node->detail);
}

static void add_node(struct cluster *cluster, struct cluster_node **link, const char *name)
{
	struct cluster_node *node = calloc(1, sizeof(*node));
	char path[KEY_PATH_SIZE];

	if (!node) {
		refuse(cluster, ZKH_FAILED, PATH_NODES);
		return;
	}
	strcpy(node->name, name);
	node->next = *link;
	*link = node;
	cluster->node_count++;
	for (int i = 0; i < NODE_KEY_COUNT; i++) {
		/* Rewritten all the time, and of no meaning to others. */
		if (i == NODE_KEY_KEEPALIVE)
			continue;
		node_key_path(name, (enum node_key)i, path);
		open_slot(&node->keys[i], cluster, node, path);
	}
	snprintf(path, sizeof(path), PATH_NODES "/%s/detail", name);
	open_slot(&node->detail, cluster, node, path);
	node->listed = true;
}

static void remove_node(struct cluster *cluster, struct cluster_node **link)
{
	struct cluster_node *node = *link;

	*link = node->next;
	each_slot(node, close_slot);
	free(node);
	cluster->node_count--;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* names: sorted. Both lists are walked side by side. */
static void take_list(struct cluster *cluster, const char **names, size_t count)
{
	struct cluster_node **link = &cluster->nodes;

	cluster->strangers = 0;
	for (size_t i = 0; i < count; i++) {
		if (!zkh_name_valid(names[i]) || !strcmp(names[i], NAME_NONE)) {
			cluster->strangers++;
			continue;
		}
		while (*link && strcmp((*link)->name, names[i]) < 0)
			remove_node(cluster, link);
		if (!*link || strcmp((*link)->name, names[i]) != 0) {
			if (cluster->node_count >= CLUSTER_NODES_MAX) {
				cluster->strangers++;
				continue;
			}
			add_node(cluster, link, names[i]);
		}
		if (*link)
			link = &(*link)->next;
	}
	while (*link)
		remove_node(cluster, link);
}

static void on_exists(void *userdata, int result, const struct zkh_stat *stat)
{
	struct cluster *cluster = userdata;

	(void)stat;
	cluster->list_op = NULL;
	if (result == ZKH_OK)
		read_list(cluster);
	else if (result == ZKH_NO_NODE)
		cluster->list_known = true;
	else
		refuse(cluster, result, PATH_NODES);
	end(cluster);
}

/* A list that misses its key leaves no watch: that key is watched for instead. */
static void await_list(struct cluster *cluster)
{
	take_list(cluster, NULL, 0);
	cluster->list_known = !cluster->live;
	if (cluster->live && zkh_exists(cluster->ctl->session, PATH_NODES, true, on_exists, cluster,
					&cluster->list_op) == 0)
		begin(cluster);
}

static void on_list(void *userdata, int result, const char *const *names, size_t count,
		    const struct zkh_stat *stat)
{
	struct cluster *cluster = userdata;
	const char **sorted;

	(void)stat;
	cluster->list_op = NULL;
	if (result == ZKH_NO_NODE) {
		await_list(cluster);
	} else if (result != ZKH_OK) {
		refuse(cluster, result, PATH_NODES);
	} else {
		sorted = calloc(count + 1, sizeof(*sorted));
		if (sorted) {
			memcpy(sorted, names, count * sizeof(*sorted));
			qsort(sorted, count, sizeof(*sorted), compare_names);
			cluster->list_known = true;
			take_list(cluster, sorted, count);
			free(sorted);
		} else {
			refuse(cluster, ZKH_FAILED, PATH_NODES);
		}
	}
	end(cluster);
}

static void read_list(struct cluster *cluster)
{
	struct zkh_session *session = cluster->ctl->session;

	cancel(cluster, &cluster->list_op);
	cluster->list_known = false;
	if (zkh_children(session, PATH_NODES, cluster->live, on_list, cluster, &cluster->list_op) ==
	    0)
		begin(cluster);
	else
		refuse(cluster, ZKH_FAILED, PATH_NODES);
}

static void on_list_watch(void *userdata, enum zkh_watch_event event, const char *path)
{
	struct cluster *cluster = userdata;

	(void)path;
	if (event != ZKH_WATCH_CHANGED && zkh_session_connected(cluster->ctl->session))
		read_list(cluster);
}

/* -- keys that may not be read -- */

static void on_probe(void *userdata, int result, const char *data, size_t length,
		     const struct zkh_stat *stat)
{
	struct cluster_slot *slot = userdata;

	(void)data;
	(void)length;
	(void)stat;
	slot->probe = NULL;
	if ((result == ZKH_OK || result == ZKH_NO_NODE) && !slot->op)
		read_slot(slot);
}

static void probe_slot(struct cluster_slot *slot)
{
	struct cluster *cluster = slot->cluster;

	if (!slot->denied)
		return;
	ev_timer_again(cluster->ctl->loop, &cluster->retry);
	if (!slot->op && !slot->probe && zkh_session_connected(cluster->ctl->session))
		zkh_get(cluster->ctl->session, slot->path, false, on_probe, slot, &slot->probe);
}

static void on_retry(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct cluster *cluster = timer->data;

	(void)events;
	ev_timer_stop(loop, timer);
	for (int i = 0; i < CLUSTER_KEYS; i++)
		probe_slot(&cluster->keys[i]);
	for (struct cluster_node *node = cluster->nodes; node; node = node->next)
		each_slot(node, probe_slot);
}

/* -- the whole -- */

static void read_all(struct cluster *cluster)
{
	for (int i = 0; i < CLUSTER_KEYS; i++)
		read_slot(&cluster->keys[i]);
	for (struct cluster_node *node = cluster->nodes; node; node = node->next)
		each_slot(node, read_slot);
	read_list(cluster);
}

static void on_session(void *userdata, const struct zkh_session_report *report)
{
	struct cluster *cluster = userdata;

	if (report->event == ZKH_CONNECTED) {
		read_all(cluster);
		return;
	}
	if (report->event == ZKH_DISCONNECTED || report->event == ZKH_EXPIRED)
		cluster->list_known = false;
	if (cluster->on_change)
		cluster->on_change(cluster->userdata);
}

void cluster_open(struct cluster *cluster, struct ctl *ctl, bool live)
{
	static const char *const paths[CLUSTER_KEYS] = { PATH_PRIMARY, PATH_POST,
							 PATH_MAINTENANCE };

	*cluster = (struct cluster){ .ctl = ctl, .live = live };
	ctl->on_session = on_session;
	ctl->on_session_userdata = cluster;
	ev_timer_init(&cluster->retry, on_retry, RETRY_S, RETRY_S);
	cluster->retry.data = cluster;
	read_list(cluster);
	for (int i = 0; i < CLUSTER_KEYS; i++)
		open_slot(&cluster->keys[i], cluster, NULL, paths[i]);
	if (!live)
		return;
	cluster->list_watch.fn = on_list_watch;
	cluster->list_watch.userdata = cluster;
	if (zkh_watch_add(ctl->session, &cluster->list_watch, PATH_NODES) != 0)
		refuse(cluster, ZKH_FAILED, PATH_NODES);
}

void cluster_close(struct cluster *cluster)
{
	if (!cluster->ctl)
		return;
	cluster->ctl->on_session = NULL;
	cluster->on_change = NULL;
	ev_timer_stop(cluster->ctl->loop, &cluster->retry);
	cancel(cluster, &cluster->list_op);
	zkh_watch_remove(&cluster->list_watch);
	for (int i = 0; i < CLUSTER_KEYS; i++)
		close_slot(&cluster->keys[i]);
	while (cluster->nodes)
		remove_node(cluster, &cluster->nodes);
	cluster->ctl = NULL;
}

bool cluster_complete(void *userdata)
{
	const struct cluster *cluster = userdata;

	return cluster->result != ZKH_OK || (cluster->list_known && !cluster->open);
}

int cluster_wait(struct cluster *cluster)
{
	int code = ctl_wait(cluster->ctl, cluster_complete, cluster);

	if (code != CTL_DONE)
		return ctl_explain_wait(cluster->ctl, code, "reading the cluster's keys");
	if (cluster->result != ZKH_OK)
		return ctl_explain_result(cluster->ctl, cluster->result, cluster->refused_path);
	return CTL_DONE;
}
