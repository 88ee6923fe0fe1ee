/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The cluster's keys as they were read: once, or live, by a mirror each (zkh_mirror.h). Reads are pipelined: two round trips
 * however many nodes there are. What the values mean: facts.h.
 */

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/identity.h"
#include "base/keys.h"
#include "ctl.h"
#include "zk/mirror/zkh_mirror.h"

/* Nodes that are read; more are left out, and said. */
#define CLUSTER_NODES_MAX 10000

struct cluster;
struct cluster_node;

/* One key. */
struct cluster_slot {
	struct cluster *cluster; /* NULL: not used */
	struct zkh_mirror mirror;
	const char *path;
	bool there;  /* it exists */
	bool denied; /* and may not be read: all that is known of it is stat */
	char *data;  /* NUL-terminated; NULL: none, or longer than KEY_VALUE_MAX */
	size_t length;
	struct zkh_stat stat; /* when it is there */
};

struct cluster_node {
	struct cluster_node *next; /* by name */
	char name[NAME_SIZE];
	struct cluster_slot keys[NODE_KEY_COUNT];
};

enum cluster_key {
	CLUSTER_PRIMARY,
	CLUSTER_POST,
	CLUSTER_MAINTENANCE,
	CLUSTER_IDENTITY,
	CLUSTER_KEYS
};

struct cluster {
	struct ctl *ctl;
	bool live;
	struct cluster_slot keys[CLUSTER_KEYS];
	struct identity known;	   /* what the daemon here remembers, as of cluster_open() */
	int known_error;	   /* why that is nothing; 0: it is something */
	char known_path[PATH_MAX]; /* its file */
	struct cluster_node *nodes;
	size_t node_count, strangers; /* strangers: children that are no node's name */
	struct zkh_mirror list;
	int result; /* the first refusal: ZKH_DENIED ... */
	char refused_path[KEY_PATH_SIZE];
	/* Live: something changed and everything is known again. From the loop. */
	void (*on_change)(void *userdata);
	void *userdata;
	unsigned changes; /* counts them */
};

/* Starts reading; live: goes on for ever. on_change and userdata are set by the caller after it. */
void cluster_open(struct cluster *cluster, struct ctl *ctl, bool live);
void cluster_close(struct cluster *cluster); /* also fine when zeroed */

/* Everything is read, or refused. For ctl_wait(). */
bool cluster_complete(void *cluster);

/* Waits for it. CTL_DONE, or what to end with, said. */
int cluster_wait(struct cluster *cluster);
