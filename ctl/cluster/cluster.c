/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The first refusal stays the result. */
static void refuse(struct cluster *cluster, int result, const char *path)
{
	if (cluster->result != ZKH_OK)
		return;
	cluster->result = result;
	snprintf(cluster->refused_path, sizeof(cluster->refused_path), "%s", path);
}

/* Something was read: everything, perhaps. */
static void read_one(struct cluster *cluster)
{
	if (!zkh_mirrors_unread(cluster->ctl->session) && cluster->on_change)
		cluster->on_change(cluster->userdata);
}

/* -- one key -- */

static void take(struct cluster_slot *slot, const char *data, size_t length,
		 const struct zkh_stat *stat)
{
	free(slot->data);
	slot->data = NULL;
	slot->there = stat;
	slot->length = length;
	if (!stat)
		return;
	slot->stat = *stat;
	if (!data || length > KEY_VALUE_MAX)
		return;
	slot->data = malloc(length + 1);
	if (!slot->data)
		return;
	if (length)
		memcpy(slot->data, data, length);
	slot->data[length] = '\0';
}

/*
 * Of a key that may not be read it is known that it exists, as it is to the nodes: one access list must not hide the whole
 * cluster. Without the primary key there is nothing to be told; a missing credential shows there.
 */
static void on_slot(void *userdata, int result, const char *data, size_t length,
		    const struct zkh_stat *stat)
{
	struct cluster_slot *slot = userdata;
	struct cluster *cluster = slot->cluster;

	if (result == ZKH_UNKNOWN)
		return;
	slot->denied = result == ZKH_DENIED && stat;
	if (result != ZKH_OK && result != ZKH_NO_NODE &&
	    (!slot->denied || slot == &cluster->keys[CLUSTER_PRIMARY]))
		refuse(cluster, result, slot->path);
	take(slot, data, length, stat);
	read_one(cluster);
}

static void open_slot(struct cluster_slot *slot, struct cluster *cluster, const char *path)
{
	slot->cluster = cluster;
	if (zkh_mirror_open(&slot->mirror, cluster->ctl->session, path,
			    cluster->live ? 0 : ZKH_MIRROR_ONCE, on_slot, slot) != 0)
		refuse(cluster, ZKH_FAILED, path);
	slot->path = zkh_mirror_path(&slot->mirror);
}

static void close_slot(struct cluster_slot *slot)
{
	zkh_mirror_close(&slot->mirror);
	free(slot->data);
	memset(slot, 0, sizeof(*slot));
}

/* -- nodes -- */

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
		/* Rewritten all the time; renewal.c reads that of the primary. */
		if (i == NODE_KEY_KEEPALIVE)
			continue;
		node_key_path(name, (enum node_key)i, path);
		open_slot(&node->keys[i], cluster, path);
	}
}

static void remove_node(struct cluster *cluster, struct cluster_node **link)
{
	struct cluster_node *node = *link;

	*link = node->next;
	for (int i = 0; i < NODE_KEY_COUNT; i++)
		close_slot(&node->keys[i]);
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

static void on_list(void *userdata, int result, const char *const *names, size_t count,
		    const struct zkh_stat *stat)
{
	struct cluster *cluster = userdata;
	const char **sorted = NULL;

	if (result == ZKH_UNKNOWN)
		return;
	if (result == ZKH_OK || result == ZKH_NO_NODE)
		sorted = calloc(count + 1, sizeof(*sorted));
	if (sorted) {
		if (count)
			memcpy(sorted, names, count * sizeof(*sorted));
		qsort(sorted, count, sizeof(*sorted), compare_names);
		take_list(cluster, sorted, count);
		free(sorted);
	} else {
		refuse(cluster, result == ZKH_OK ? ZKH_FAILED : result, PATH_NODES);
	}
	read_one(cluster);
}

/* -- the whole -- */

static void on_session(void *userdata, const struct zkh_session_report *report)
{
	struct cluster *cluster = userdata;

	if (report->event != ZKH_CONNECTED && cluster->on_change)
		cluster->on_change(cluster->userdata);
}

void cluster_open(struct cluster *cluster, struct ctl *ctl, bool live)
{
	static const char *const paths[CLUSTER_KEYS] = {
		[CLUSTER_PRIMARY] = PATH_PRIMARY,
		[CLUSTER_POST] = PATH_POST,
		[CLUSTER_MAINTENANCE] = PATH_MAINTENANCE,
		[CLUSTER_IDENTITY] = PATH_CLUSTER,
	};

	*cluster = (struct cluster){ .ctl = ctl, .live = live };
	cluster->known_error = ctl_remember(ctl, &cluster->known, cluster->known_path);
	ctl->on_session = on_session;
	ctl->on_session_userdata = cluster;
	if (zkh_mirror_open_children(&cluster->list, ctl->session, PATH_NODES,
				     live ? 0 : ZKH_MIRROR_ONCE, on_list, cluster) != 0)
		refuse(cluster, ZKH_FAILED, PATH_NODES);
	for (int i = 0; i < CLUSTER_KEYS; i++)
		open_slot(&cluster->keys[i], cluster, paths[i]);
}

void cluster_close(struct cluster *cluster)
{
	if (!cluster->ctl)
		return;
	cluster->ctl->on_session = NULL;
	cluster->on_change = NULL;
	zkh_mirror_close(&cluster->list);
	for (int i = 0; i < CLUSTER_KEYS; i++)
		close_slot(&cluster->keys[i]);
	while (cluster->nodes)
		remove_node(cluster, &cluster->nodes);
	cluster->ctl = NULL;
}

bool cluster_complete(void *userdata)
{
	const struct cluster *cluster = userdata;

	return cluster->result != ZKH_OK || !zkh_mirrors_unread(cluster->ctl->session);
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
