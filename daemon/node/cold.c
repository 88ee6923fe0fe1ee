/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A start of which the runtime directory knows nothing. It begins with a stop of the work, but a daemon that lives on this
 * host under the same name, with another runtime directory, may be the one that runs it. So the start is held back until
 * ZooKeeper tells whose the name is; for a session timeout at the most, after which such a daemon would be cut off, too.
 */

#include "internal.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#define LOOK_S 0.1

static void release(struct node *node)
{
	const struct election_event event = { .type = ELECTION_START, .resume = RESUME_COLD };

	node_cold_finish(node);
	node->foreign_since_us = 0;
	node_post(node, &event);
	if (zkh_session_connected(node->session))
		node_attached(node, true);
}

/* The process itself, not only the session that it may have left behind. */
static bool lives_here(const struct node *node, const struct alive *other)
{
	pid_t pid = (pid_t)other->pid;

	return !strcmp(other->boot, node->boot_id) && pid > 0 && pid != getpid() &&
	       (kill(pid, 0) == 0 || errno == EPERM);
}

static void on_alive(void *userdata, int result, const char *data, size_t length,
		     const struct zkh_stat *stat)
{
	struct node *node = userdata;
	struct registration_report report = { .outcome = REGISTRATION_FOREIGN, .path = "" };

	node->cold_op = NULL;
	if (zkh_is_unanswered(result))
		return;
	if (result == ZKH_OK && stat->ephemeral_owner) {
		value_alive(data, length, &report.other);
		report.other_session = stat->ephemeral_owner;
	}
	if (lives_here(node, &report.other))
		node_meet_foreign(node, &report,
				  zkh_session_timeout_ms(node->session) * INT64_C(1000));
	else
		release(node);
}

void node_cold_look(struct node *node)
{
	char path[KEY_PATH_SIZE];

	if (node->cold_op || !zkh_session_connected(node->session))
		return;
	node_key_path(node->name, NODE_KEY_ALIVE, path);
	if (zkh_get(node->session, path, false, on_alive, node, &node->cold_op) != 0)
		node->cold_op = NULL;
	else
		node->cold_until_us = time_boot_us() + node->config->zookeeper.session_timeout_us;
}

static void on_look(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct node *node = timer->data;

	(void)loop;
	(void)events;
	if (!node->foreign_since_us && time_boot_us() >= node->cold_until_us)
		release(node);
	else
		node_cold_look(node);
}

void node_cold_hold(struct node *node)
{
	node->cold = true;
	node->cold_until_us = time_boot_us() + node->config->zookeeper.session_timeout_us;
	ev_timer_init(&node->cold_look, on_look, LOOK_S, LOOK_S);
	node->cold_look.data = node;
	ev_timer_start(node->loop, &node->cold_look);
}

void node_cold_finish(struct node *node)
{
	if (!node->cold)
		return;
	node->cold = false;
	zkh_op_cancel(node->cold_op);
	node->cold_op = NULL;
	ev_timer_stop(node->loop, &node->cold_look);
}
