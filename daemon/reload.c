/* SPDX-License-Identifier: Apache-2.0 */
#include "reload.h"

#include "config.h"
#include "log.h"
#include "node.h"

#include <stdlib.h>
#include <string.h>

/* A new image finds its state by these; with others it would be another node, and stop this one's work. */
static bool keeps_identity(const struct config *fresh, const struct config *running)
{
	return node_cluster(fresh) == node_cluster(running) &&
	       !strcmp(fresh->node.runtime_directory, running->node.runtime_directory);
}

bool reload_is_valid(const char *path, const struct config *running, struct log *log)
{
	struct config_errors *errors = calloc(1, sizeof(*errors));
	struct config fresh = { 0 };
	bool valid;

	if (!errors)
		return false;
	valid = config_load(path, CONFIG_CHECK_COMMANDS | CONFIG_USE_ENVIRONMENT, &fresh, errors) ==
		0;
	for (size_t i = 0; i < errors->n; i++)
		log_event(log, EVENT_RELOAD_REFUSED, NULL, "%s", errors->texts[i]);
	if (valid && !keeps_identity(&fresh, running)) {
		valid = false;
		log_event(
			log, EVENT_RELOAD_REFUSED, NULL,
			"%s: zookeeper.servers, zookeeper.root, node.name and node.runtime-directory cannot change in a "
			"reload; restart the daemon instead, which moves the role",
			path);
	}
	config_finish(&fresh);
	free(errors);
	return valid;
}
