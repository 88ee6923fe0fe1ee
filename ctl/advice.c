/* SPDX-License-Identifier: Apache-2.0 */
#include "advice.h"

#include <stdio.h>
#include <string.h>

#include "base/wall.h"

static void remedy_busy(const struct node_facts *n, char *text, size_t size)
{
	if (n->acting)
		snprintf(text, size, "it has the post already");
	else if (!strcmp(n->router, "relinquish"))
		snprintf(text, size, "wait until its work has stopped");
	else if (router_state_is_acting(n->router))
		snprintf(text, size, "wait until its takeover is over");
	else
		snprintf(text, size, "restart primaryd there: its state is %s",
			 *n->router ? n->router : "missing");
}

/* The predicate does not hold because its value is unknown. */
static bool is_unreadable(const struct node_facts *n, uint32_t bit)
{
	uint32_t key = bit == OBSTACLE_CLIENT	   ? NODE_KEY_MODE
		       : bit == OBSTACLE_UNHEALTHY ? NODE_KEY_HEALTH
		       : bit == OBSTACLE_BUSY	   ? NODE_KEY_ROUTER
						   : NODE_KEY_COUNT;

	return key != NODE_KEY_COUNT && n->unreadable & UINT32_C(1) << key;
}

void advice_remedy(const struct node_facts *n, uint32_t bit, char *text, size_t size)
{
	char time[WALL_TEXT_SIZE];

	*text = '\0';
	if (is_unreadable(n, bit)) {
		snprintf(
			text, size,
			"the key cannot be read: correct its access list, or name a credential with --auth-file");
		return;
	}
	switch ((int)bit) {
	case OBSTACLE_CLIENT:
		snprintf(text, size, "set node.mode = coordinator there, and reload primaryd");
		break;
	case OBSTACLE_OFFLINE:
		snprintf(text, size,
			 "start primaryd there, or find out why it cannot reach ZooKeeper");
		break;
	case OBSTACLE_SHUTDOWN:
		snprintf(text, size, "start primaryd there again");
		break;
	case OBSTACLE_UNHEALTHY:
		snprintf(text, size, "repair the cause: %s",
			 !*n->health			      ? "not reported yet"
			 : !strncmp(n->health, "failed: ", 8) ? n->health + 8
							      : n->health);
		break;
	case OBSTACLE_DRAINED:
		snprintf(text, size, "primaryctl undrain %s", n->name);
		break;
	case OBSTACLE_MAINTENANCE:
		snprintf(text, size, "primaryctl maintenance off, or switchover --force");
		break;
	case OBSTACLE_PENALTY:
		snprintf(text, size, "wait until %s, or primaryctl pardon %s",
			 wall_local(n->detail.penalty_until_ms, time), n->name);
		break;
	case OBSTACLE_BUSY:
		remedy_busy(n, text, size);
		break;
	default:
		break;
	}
}

void advice_say(const struct node_facts *node, uint32_t bits)
{
	char text[2 * FACTS_TEXT_SIZE];

	for (unsigned i = 0; i < OBSTACLE_COUNT; i++) {
		if (!(bits & UINT32_C(1) << i))
			continue;
		advice_remedy(node, UINT32_C(1) << i, text, sizeof(text));
		ctl_error("%s: %s (%s)", node->name, election_obstacle_text(UINT32_C(1) << i),
			  text);
	}
}
