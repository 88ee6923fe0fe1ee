/* SPDX-License-Identifier: Apache-2.0 */
#include "node_internal.h"

#include <string.h>

#include "work_lock.h"

uint64_t node_cluster(const struct config *config)
{
	return state_cluster(config->zookeeper.servers, config->zookeeper.root, config->node.name);
}

static uint32_t work_bits(const struct node *node)
{
	switch ((enum election_work)node->election.work) {
	case WORK_STARTING:
		return STATE_WORK_STARTING | STATE_WORK_COMMAND;
	case WORK_UP:
		return STATE_WORK_UP | STATE_WORK_COMMAND;
	case WORK_STOPPING:
		return STATE_WORK_STOPPING | STATE_WORK_COMMAND;
	case WORK_DOWN:
		break;
	}
	return 0;
}

static void keep_lease(struct node *node)
{
	const struct election *e = &node->election;
	int64_t end_us;

	if (!node->lease || e->phase == PHASE_INIT)
		return;
	if (e->phase == PHASE_AWAIT || e->phase == PHASE_ENTER)
		node_get_ready(node);
	else if (!election_work_may_run(e) && e->phase != PHASE_RECOVER)
		node_stand_down(node);
	/* While a cold start stops what may run, the lease of the process before stays as it is. */
	end_us = lease_file_end_us(node->lease);
	/* With a unit: the guard was told that it is over, see node_work_kill(). */
	if (node->kill_wanted && !node->guard)
		return;
	if (e->lease_end_us && e->lease_end_us != end_us) {
		lease_file_set_epoch(node->lease, e->epoch);
		if (!lease_file_set(node->lease, e->lease_end_us) && e->work == WORK_UP)
			node_guard_acted(node);
		/* It sleeps until the end that it saw. From standby it is woken when the work starts. */
		if (e->lease_end_us < end_us && election_work_may_run(e))
			node_wake_guard(node);
	}
}

void node_keep(struct node *node)
{
	const struct election *e = &node->election;
	struct state now;
	int r;

	keep_lease(node);
	/* How far a contest or a release has come is nothing to resume, and not worth a write on the way to it. */
	if (!node->keep_state || e->phase == PHASE_LEAVE)
		return;
	memset(&now, 0, sizeof(now));
	strcpy(now.node, node->name);
	strcpy(now.boot_id, node->boot_id);
	now.cluster = node_cluster(node->config);
	/* Whoever resumes it takes the ensemble for the known one. */
	if (!ensemble_is_open(&node->ensemble) ||
	    !zkh_session_client_id(node->session, &now.session))
		now.session = node->saved.session;
	now.session_us = e->session_us ? e->session_us : node->saved.session_us;
	now.takeover_group = node->work.group;
	now.work = work_bits(node);
	now.epoch = now.work ? e->epoch : 0;
	now.phase = now.work ? e->phase : (uint8_t)PHASE_FOLLOW;
	if (!node->save_again && !memcmp(&now, &node->saved, sizeof(now)))
		return;
	r = state_save(node->config->node.runtime_directory, &now);
	if (r != node->state_error)
		node_say_state(node, r);
	node->state_error = r;
	if (r < 0)
		return;
	node->saved = now;
	node->save_again = false;
}

/* The lock that is held is of a file that nobody else finds any more. */
static void renew_work_lock(struct node *node)
{
	int fd;

	if (node->work_lock < 0 ||
	    work_lock_try(node->config->node.runtime_directory, "daemon", &fd) != 0)
		return;
	(void)work_lock_release(node->work_lock);
	node->work_lock = fd;
}

static void renew_files(struct node *node)
{
	const struct script_facts facts = node_facts(node, "takeover",
						     election_reason_text(node->named_because));

	renew_work_lock(node);
	if (node->election.work != WORK_DOWN)
		node_write_environment(node, &facts);
	/* So that it finds the new lease file now, and not only when the lease it knows ends. */
	node_wake_guard(node);
}

bool node_is_kept(const struct node *node)
{
	return !node->runtime_lost && !node->state_error;
}

void node_runtime_news(struct node *node, enum runtime_news news, const char *what, const char *why)
{
	bool was_lost = node->runtime_lost;

	node->runtime_lost = news == RUNTIME_LOST;
	node_say_runtime(node, news, what, why);
	if (!node->runtime_lost) {
		node->save_again = true;
		node_keep(node);
		renew_files(node);
	}
	if (was_lost != node->runtime_lost)
		node_tell_health(node, node->runtime_lost ? NODE_RUNTIME_LOST : "");
	if (node->on_status)
		node->on_status(node->userdata, node);
}
