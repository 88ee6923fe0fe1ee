/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What outlives the daemon or belongs to the host: the runtime directory with its lock, the state file, and reloads.
 * Files outside of this directory include only this header.
 */

#include "base/config/config.h"
#include "reload.h"
#include "reload_order.h"
#include "runtime.h"
#include "state.h"

/* Tells this node, and its cluster, from others: by it the next process finds what belongs to it. */
static inline uint64_t state_cluster_of(const struct config *config)
{
	return state_cluster(config->zookeeper.servers, config->zookeeper.root, config->node.name);
}
