/* SPDX-License-Identifier: Apache-2.0 */
#include "own_key.h"

#include <stdio.h>

void own_key_write(struct zkh_txn *txn, const char *name, enum node_key key, const char *text,
		   int32_t version, int makes)
{
	char path[KEY_PATH_SIZE], node[KEY_PATH_SIZE];

	node_key_path(name, key, path);
	snprintf(node, sizeof(node), PATH_NODES "/%s", name);
	if (makes > 2)
		zkh_txn_create_text(txn, PATH_NODES, "", ZKH_PERSISTENT);
	if (makes > 1)
		zkh_txn_create_text(txn, node, "", ZKH_PERSISTENT);
	if (makes)
		zkh_txn_create_text(txn, path, text, ZKH_PERSISTENT);
	else
		zkh_txn_set_text(txn, path, text, version);
}
