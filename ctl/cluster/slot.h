/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Inside the mirror only: the reading of one key, and the count of the reads under way. */

#include "cluster.h"

/* A read is under way; it is over. With the last one cluster_read_over() is called, if the list of nodes is known. */
void cluster_begin(struct cluster *cluster);
void cluster_end(struct cluster *cluster);
void cluster_read_over(struct cluster *cluster); /* cluster.c: everything is read */

/* What could not be read: the first one stays the result. A lost connection is none. */
void cluster_refuse(struct cluster *cluster, int result, const char *path);

/* A read under way, if there is one. */
void cluster_cancel(struct cluster *cluster, struct zkh_op **op);

/* node: NULL for a key of the cluster. Reads it. */
void cluster_slot_open(struct cluster_slot *slot, struct cluster *cluster,
		       struct cluster_node *node, const char *path);
void cluster_slot_close(struct cluster_slot *slot); /* also fine when zeroed */

/* Once more: it changed, or the connection is new. */
void cluster_slot_read(struct cluster_slot *slot);

/* One that may not be read: looks whether it still is so, and reads it if not. */
void cluster_slot_probe(struct cluster_slot *slot);
