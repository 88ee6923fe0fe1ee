/* SPDX-License-Identifier: Apache-2.0 */
#include "internal.h"

#include <errno.h>
#include <stdio.h>
#include <assert.h>
#include <string.h>

/* Between two attempts to keep what could not be, of a node that does nothing else meanwhile. */
#define KEEP_RETRY_S 5.0

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

/* Between them the post may be this node's though no work is known of. */
static bool may_hold_post(uint8_t phase)
{
	return phase == PHASE_ENTER || phase == PHASE_RECOVER;
}

static void describe(const struct node *node, struct state *ret)
{
	const struct election *e = &node->election;
	bool idle;

	memset(ret, 0, sizeof(*ret));
	strcpy(ret->node, node->name);
	strcpy(ret->boot_id, node->boot_id);
	ret->cluster = node_cluster(node->config);
	/* Whoever resumes it takes the ensemble for the known one. */
	if (!ensemble_is_open(&node->ensemble) ||
	    !zkh_session_client_id(node->session, &ret->session))
		ret->session = node->saved.session;
	/* That of the term, while there is one: its lease is made of it. */
	ret->session_us = e->term_us ? e->term_us : e->session_us;
	if (!ret->session_us)
		ret->session_us = node->saved.session_us;
	ret->takeover_group = work_group(node->work);
	ret->work = work_bits(node);
	/* How far a contest or a release has come is nothing to resume, and not worth a write on the way to it. */
	idle = !ret->work && !may_hold_post(e->phase);
	ret->epoch = idle ? 0 : e->epoch;
	ret->phase = idle ? (uint8_t)PHASE_FOLLOW : e->phase;
	static_assert(TERM_NONCES == STATE_NONCES, "all of them are kept");
	term_nonces(&node->term, ret->nonces);
	ret->epoch_version = node->term.epoch_version;
	ret->generation = node->lease ? lease_file_generation(node->lease) : 0;
}

static bool files_are_there(const struct node *node)
{
	const char *directory = node->config->node.runtime_directory;

	return state_is_there(directory) &&
	       (!node->lease || lease_file_is_there(node->lease, directory));
}

/* A node at work goes on; another one could not take over, and says so to all. */
static void judge(struct node *node)
{
	const struct election *e = &node->election;
	bool unkept = node->state_error && e->work == WORK_DOWN;
	bool used_up = election_epochs_are_used_up(&e->view) && e->phase <= PHASE_AWAIT;

	if (unkept == node->unkept && used_up == node->used_up)
		return;
	if (used_up != node->used_up)
		node_say_health(node, !used_up, used_up ? NODE_USED_UP : "");
	node->unkept = unkept;
	node->used_up = used_up;
	node_tell_health(node, "");
}

static void note_error(struct node *node, int error)
{
	if (error != node->state_error)
		node_say_state(node, error);
	node->state_error = error;
	judge(node);
	if (error == 0)
		ev_timer_stop(node->loop, &node->keep_retry);
	else if (!ev_is_active(&node->keep_retry))
		ev_timer_again(node->loop, &node->keep_retry);
}

/* A lease file that is not in its place is found by nobody: what belongs to it need not be there, either. */
static int save(struct node *node, const struct state *now)
{
	const char *directory = node->config->node.runtime_directory;
	int r = -ENOENT;

	if (!node->lease || lease_file_is_there(node->lease, directory))
		r = state_save(directory, now);
	if (r == 0)
		node->saved = *now;
	note_error(node, r);
	return r;
}

static bool is_kept_elsewhere(const struct node *node)
{
	/* ENTER is saved by node_keep_enter(), before it is sent. */
	return !node->keep_state || node->election.phase == PHASE_LEAVE ||
	       node->election.phase == PHASE_ENTER;
}

/*
 * Half-stopped work is nothing to resume: should the state not be saved, the one that says that the work is up is void all
 * the same.
 */
static void void_before_stop(struct node *node)
{
	if (node->lease && node->election.phase == PHASE_STOP && node->saved.work &&
	    node->saved.phase != PHASE_STOP)
		(void)lease_file_raise(node->lease, node->config->node.runtime_directory,
				       node->saved.generation);
}

void node_keep(struct node *node)
{
	struct state now;

	if (node->election.phase != PHASE_INIT)
		node_work_keep(node);
	void_before_stop(node);
	judge(node);
	if (is_kept_elsewhere(node))
		return;
	describe(node, &now);
	if (node->state_error || memcmp(&now, &node->saved, sizeof(now)) != 0 ||
	    !files_are_there(node))
		(void)save(node, &now);
}

void node_try_to_keep(struct node *node)
{
	struct state now;

	if (is_kept_elsewhere(node))
		return;
	describe(node, &now);
	(void)save(node, &now);
}

int node_keep_enter(struct node *node)
{
	struct state now;
	int r = 0;

	if (!node->keep_state)
		return 0;
	if (node->lease)
		r = lease_file_raise(node->lease, node->config->node.runtime_directory,
				     node->saved.generation);
	if (r < 0) {
		note_error(node, r);
		return r;
	}
	describe(node, &now);
	return save(node, &now);
}

static void on_keep_retry(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct node *node = timer->data;

	(void)loop;
	(void)events;
	node_keep(node);
	if (node->on_status)
		node->on_status(node->userdata, node);
}

void node_state_init(struct node *node)
{
	ev_timer_init(&node->keep_retry, on_keep_retry, 0., KEEP_RETRY_S);
	node->keep_retry.data = node;
}

void node_state_finish(struct node *node)
{
	if (node->keep_retry.data)
		ev_timer_stop(node->loop, &node->keep_retry);
}

bool node_state_agrees(const struct node *node, const struct state *state)
{
	return !node->lease || state->generation == lease_file_generation(node->lease);
}

bool node_is_kept(const struct node *node)
{
	return !node->state_error;
}

bool node_can_be_resumed(struct node *node)
{
	node_keep(node);
	return node_is_kept(node);
}
