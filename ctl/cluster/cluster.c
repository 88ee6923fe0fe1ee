/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "slot.h"

/* Between two looks at keys that may not be read: the servers tell nobody what becomes of those. */
#define RETRY_S 1.

static void read_list(struct cluster *cluster);

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
		cluster_refuse(cluster, ZKH_FAILED, PATH_NODES);
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
		cluster_slot_open(&node->keys[i], cluster, node, path);
	}
	snprintf(path, sizeof(path), PATH_NODES "/%s/detail", name);
	cluster_slot_open(&node->detail, cluster, node, path);
	node->listed = true;
}

static void remove_node(struct cluster *cluster, struct cluster_node **link)
{
	struct cluster_node *node = *link;

	*link = node->next;
	each_slot(node, cluster_slot_close);
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

/* Without the list: whom the key names, and who acts. */
static void take_named(struct cluster *cluster)
{
	const struct cluster_slot *key = &cluster->keys[CLUSTER_PRIMARY];
	const struct cluster_slot *post = &cluster->keys[CLUSTER_POST];
	char named[NAME_SIZE], acting[NAME_SIZE];
	const char *names[2];
	size_t count = 0;
	int64_t epoch;

	if (key->there && key->data && value_name(key->data, key->length, named))
		names[count++] = named;
	if (post->there && post->data && value_post(post->data, post->length, acting, &epoch) &&
	    (!count || strcmp(acting, named) != 0))
		names[count++] = acting;
	qsort(names, count, sizeof(*names), compare_names);
	take_list(cluster, names, count);
}

void cluster_read_over(struct cluster *cluster)
{
	if (cluster->list_denied)
		take_named(cluster);
	if (cluster->open) /* there are new ones */
		return;
	cluster->changes++;
	if (cluster->on_change)
		cluster->on_change(cluster->userdata);
}

/* The nodes are told of as far as the keys name them; who needs all of them is refused. */
static void on_list_denied(struct cluster *cluster)
{
	if (cluster->whole) {
		cluster_refuse(cluster, ZKH_DENIED, PATH_NODES);
		return;
	}
	cluster->list_known = cluster->list_denied = true;
	if (cluster->live)
		ev_timer_again(cluster->ctl->loop, &cluster->retry);
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
		cluster_refuse(cluster, result, PATH_NODES);
	cluster_end(cluster);
}

/* A list that misses its key leaves no watch: that key is watched for instead. */
static void await_list(struct cluster *cluster)
{
	take_list(cluster, NULL, 0);
	cluster->list_known = !cluster->live;
	if (cluster->live && zkh_exists(cluster->ctl->session, PATH_NODES, true, on_exists, cluster,
					&cluster->list_op) == 0)
		cluster_begin(cluster);
}

static void on_list(void *userdata, int result, const char *const *names, size_t count,
		    const struct zkh_stat *stat)
{
	struct cluster *cluster = userdata;
	const char **sorted;

	(void)stat;
	cluster->list_op = NULL;
	cluster->list_denied = false;
	if (result == ZKH_NO_NODE) {
		await_list(cluster);
	} else if (result == ZKH_DENIED) {
		on_list_denied(cluster);
	} else if (result != ZKH_OK) {
		cluster_refuse(cluster, result, PATH_NODES);
	} else {
		sorted = calloc(count + 1, sizeof(*sorted));
		if (sorted) {
			memcpy(sorted, names, count * sizeof(*sorted));
			qsort(sorted, count, sizeof(*sorted), compare_names);
			cluster->list_known = true;
			take_list(cluster, sorted, count);
			free(sorted);
		} else {
			cluster_refuse(cluster, ZKH_FAILED, PATH_NODES);
		}
	}
	cluster_end(cluster);
}

static void read_list(struct cluster *cluster)
{
	struct zkh_session *session = cluster->ctl->session;

	cluster_cancel(cluster, &cluster->list_op);
	cluster->list_known = false;
	if (zkh_children(session, PATH_NODES, cluster->live, on_list, cluster, &cluster->list_op) ==
	    0)
		cluster_begin(cluster);
	else
		cluster_refuse(cluster, ZKH_FAILED, PATH_NODES);
}

static void on_list_watch(void *userdata, enum zkh_watch_event event, const char *path)
{
	struct cluster *cluster = userdata;

	(void)path;
	if (event != ZKH_WATCH_CHANGED && zkh_session_connected(cluster->ctl->session))
		read_list(cluster);
}

/* -- what may not be read -- */

static void on_list_probe(void *userdata, int result, const char *const *names, size_t count,
			  const struct zkh_stat *stat)
{
	struct cluster *cluster = userdata;

	(void)names;
	(void)count;
	(void)stat;
	cluster->list_probe = NULL;
	if ((result == ZKH_OK || result == ZKH_NO_NODE) && !cluster->list_op)
		read_list(cluster);
}

static void probe_list(struct cluster *cluster)
{
	struct zkh_session *session = cluster->ctl->session;

	if (!cluster->list_denied)
		return;
	ev_timer_again(cluster->ctl->loop, &cluster->retry);
	if (!cluster->list_op && !cluster->list_probe && zkh_session_connected(session))
		zkh_children(session, PATH_NODES, false, on_list_probe, cluster,
			     &cluster->list_probe);
}

static void on_retry(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct cluster *cluster = timer->data;

	(void)events;
	ev_timer_stop(loop, timer);
	probe_list(cluster);
	for (int i = 0; i < CLUSTER_KEYS; i++)
		cluster_slot_probe(&cluster->keys[i]);
	for (struct cluster_node *node = cluster->nodes; node; node = node->next)
		each_slot(node, cluster_slot_probe);
}

/* -- the whole -- */

static void read_all(struct cluster *cluster)
{
	for (int i = 0; i < CLUSTER_KEYS; i++)
		cluster_slot_read(&cluster->keys[i]);
	for (struct cluster_node *node = cluster->nodes; node; node = node->next)
		each_slot(node, cluster_slot_read);
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

void cluster_open(struct cluster *cluster, struct ctl *ctl, bool live, bool whole)
{
	static const char *const paths[CLUSTER_KEYS] = {
		[CLUSTER_PRIMARY] = PATH_PRIMARY,
		[CLUSTER_POST] = PATH_POST,
		[CLUSTER_MAINTENANCE] = PATH_MAINTENANCE,
		[CLUSTER_IDENTITY] = PATH_CLUSTER,
	};

	*cluster = (struct cluster){ .ctl = ctl, .live = live, .whole = whole };
	cluster->known_error = ctl_remember(ctl, &cluster->known, cluster->known_path);
	ctl->on_session = on_session;
	ctl->on_session_userdata = cluster;
	ev_timer_init(&cluster->retry, on_retry, RETRY_S, RETRY_S);
	cluster->retry.data = cluster;
	read_list(cluster);
	for (int i = 0; i < CLUSTER_KEYS; i++)
		cluster_slot_open(&cluster->keys[i], cluster, NULL, paths[i]);
	if (!live)
		return;
	cluster->list_watch.fn = on_list_watch;
	cluster->list_watch.userdata = cluster;
	if (zkh_watch_add(ctl->session, &cluster->list_watch, PATH_NODES) != 0)
		cluster_refuse(cluster, ZKH_FAILED, PATH_NODES);
}

void cluster_close(struct cluster *cluster)
{
	if (!cluster->ctl)
		return;
	cluster->ctl->on_session = NULL;
	cluster->on_change = NULL;
	ev_timer_stop(cluster->ctl->loop, &cluster->retry);
	cluster_cancel(cluster, &cluster->list_op);
	zkh_op_cancel(cluster->list_probe);
	zkh_watch_remove(&cluster->list_watch);
	for (int i = 0; i < CLUSTER_KEYS; i++)
		cluster_slot_close(&cluster->keys[i]);
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
