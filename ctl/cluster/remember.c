/* SPDX-License-Identifier: Apache-2.0 */
#include "remember.h"

#include <stdio.h>

#include "base/identity_file.h"

int remember(const struct ctl *ctl, struct identity *ret_known, char *ret_path)
{
	char runtime[CONFIG_PATH_SIZE];
	int r;

	*ret_known = (struct identity){ .generation = 0 };
	(void)snprintf(ret_known->root, sizeof(ret_known->root), "%s", ctl->config.zookeeper.root);
	(void)snprintf(ret_known->name, sizeof(ret_known->name), "%s", ctl->config.node.name);
	ctl_runtime_directory(ctl, runtime);
	*ret_path = '\0';
	r = identity_file_path(ctl->config.node.state_directory, runtime, ret_path);
	return r == 0 ? identity_file_load(ret_path, ret_known) : r;
}
