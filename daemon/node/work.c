/* SPDX-License-Identifier: Apache-2.0 */

/* What the node tells the work, and what the work tells the node. */

#include "internal.h"

/* As when the configuration is refused at the start: no restart mends it. */
#define EXIT_CONFIG 1

/* -- the node's -- */

static struct script_facts takeover_facts(const struct node *node)
{
	return node_facts(node, "takeover", election_reason_text(node->named_because));
}

void node_work_start(struct node *node)
{
	const struct script_facts facts = takeover_facts(node);

	work_start(node->work, &facts);
}

void node_work_stop(struct node *node, uint8_t reason)
{
	const struct script_facts facts = node_facts(node, "relinquish",
						     election_reason_text(reason));

	work_stop(node->work, &facts, reason == REASON_COLD_START && !node->election.lease_end_us);
}

/*
 * From the moment at which this node is named a guard is made ready, so that it costs nothing between the old primary's
 * stop and our start; and what the election believes of the lease stands in the lease file before anything is done.
 */
void node_work_keep(struct node *node)
{
	const struct election *e = &node->election;

	if (e->phase == PHASE_AWAIT || e->phase == PHASE_ENTER) {
		const struct script_facts facts = takeover_facts(node);

		work_named(node->work, &facts);
	} else if (!election_work_may_run(e) && e->phase != PHASE_RECOVER) {
		work_unnamed(node->work);
	}
	work_lease(node->work, e->lease_end_us, e->epoch);
}

/* -- the work's -- */

static void on_started(void *userdata, bool ok)
{
	node_post_result(userdata, ELECTION_STARTED, ok ? RESULT_OK : RESULT_FAILED, 0);
}

static void on_stopped(void *userdata)
{
	node_post_result(userdata, ELECTION_STOPPED, RESULT_OK, 0);
	node_tell_health(userdata, ""); /* a stop that took long was no sign of health */
}

static void on_trouble(void *userdata)
{
	struct node *node = userdata;

	if (work_guard_acted(node->work))
		node_count_guard_stop(node);
	node_tell_health(node, "");
}

/* At once: an orderly end would begin with a stop of the work, and that is another daemon's. */
static void on_foreign(void *userdata, const char *text)
{
	struct node *node = userdata;

	node_say_foreign_unit(node, text);
	node->on_exit(node->userdata, EXIT_CONFIG);
}

static void on_failed(void *userdata, const char *text, bool system_stops)
{
	node_say_unit_failed(userdata, text, system_stops);
}

/* No step of the election follows, and systemctl status shall tell what is waited for. */
static void tell_status(struct node *node)
{
	if (node->on_status && *node_trouble(node))
		node->on_status(node->userdata, node);
}

static void on_obstacle(void *userdata)
{
	struct node *node = userdata;

	node_say_obstacle(node, node_trouble(node));
	node_tell_health(node, "");
	tell_status(node);
}

static void on_unit(void *userdata, enum work_unit_word word, bool ok, const char *text, int64_t us)
{
	struct node *node = userdata;

	node_say_unit(node, word, ok, text, us);
	tell_status(node);
}

static void on_guard(void *userdata, enum event event, const char *text)
{
	node_say_guard(userdata, event, text);
}

static void on_kill(void *userdata)
{
	node_say_kill(userdata);
}

static void on_fence(void *userdata, const char *outcome)
{
	node_say_self_fence(userdata, outcome);
}

static void on_unwritten(void *userdata, int error)
{
	node_say_state(userdata, error);
}

int node_work_init(struct node *node)
{
	const struct work_options options = {
		.loop = node->loop,
		.config = node->config,
		.lease = node->lease,
		.on_not_up = node_withdraw,
		.on_started = on_started,
		.on_stopped = on_stopped,
		.on_trouble = on_trouble,
		.on_obstacle = on_obstacle,
		.on_failed = on_failed,
		.on_foreign = on_foreign,
		.on_unit = on_unit,
		.on_guard = on_guard,
		.on_kill = on_kill,
		.on_fence = on_fence,
		.on_unwritten = on_unwritten,
		.on_line = node_script_line,
		.on_end = node_script_ended,
		.userdata = node,
	};
	int r = work_create(&options, &node->work);

	return r < 0 ? r : node_scripts_init(node);
}

void node_work_finish(struct node *node)
{
	node_scripts_finish(node);
	node->work = work_destroy(node->work);
}
