/* SPDX-License-Identifier: Apache-2.0 */

/* The commands beside the work: fence, follow and health; and what every command is told. */

#include "internal.h"

#include <stdio.h>
#include <string.h>

void node_note_primary(struct node *node)
{
	const struct view *view = &node->view;

	if (!*view->primary ||
	    (view->epoch == node->acted_epoch && !strcmp(view->primary, node->acted)))
		return;
	strcpy(node->acted_before, node->acted);
	strcpy(node->acted, view->primary);
	node->acted_epoch = view->epoch;
}

struct script_facts node_facts(const struct node *node, const char *event, const char *reason)
{
	bool leaves = !strcmp(event, "relinquish");

	return (struct script_facts){
		.event = event,
		.node = node->name,
		.primary = node->view.holder,
		.previous = leaves ? node->acted : node->acted_before,
		.reason = reason,
		.epoch = node->election.epoch,
	};
}

/* Of a command beside the work: the daemon after this one ends it, or it would run beside that one's. */
static void note_group(struct node *node, enum lease_group which, pid_t group)
{
	if (node->lease)
		lease_file_set_group(node->lease, which, group);
}

static void end_former(struct node *node)
{
	static const enum lease_group beside[] = { LEASE_GROUP_FENCE, LEASE_GROUP_FOLLOW,
						   LEASE_GROUP_HEALTH };

	for (size_t i = 0; node->lease && i < sizeof(beside) / sizeof(beside[0]); i++) {
		(void)lease_file_group_kill(node->lease, beside[i]);
		note_group(node, beside[i], 0);
	}
}

/* The takeover is called off: no fence of it may go on into the next one. */
void node_recovery_cancel(struct node *node)
{
	recovery_cancel(&node->recovery);
	script_cancel(&node->fence);
	note_group(node, LEASE_GROUP_FENCE, 0);
}

void node_fence(void *userdata, const char *name)
{
	struct node *node = userdata;
	struct script_facts facts = node_facts(node, "fence", "died while acting");

	if (!node->config->fence.command.argv) {
		recovery_fenced(&node->recovery, true);
		return;
	}
	snprintf(node->fence_target, sizeof(node->fence_target), "%s", name);
	facts.target = node->fence_target;
	node_say_fence(node, name, NULL);
	script_run(&node->fence, node->config->fence.command.argv, node->config->fence.timeout_us,
		   &facts);
}

static void on_fence_end(void *userdata, struct script *script, const struct command_result *result)
{
	struct node *node = userdata;

	note_group(node, LEASE_GROUP_FENCE, 0);
	node_say_script(node, script->name, result);
	node_say_fence(node, node->fence_target, result);
	recovery_fenced(&node->recovery, command_succeeded(result));
}

void node_script_ended(void *userdata, struct script *script, const struct command_result *result)
{
	node_say_script(userdata, script->name, result);
}

void node_script_line(void *userdata, struct script *script, const char *line)
{
	node_say_line(userdata, script->name, line);
}

static void on_follow_end(void *userdata, struct script *script,
			  const struct command_result *result)
{
	struct node *node = userdata;

	note_group(node, LEASE_GROUP_FOLLOW, 0);
	node_say_script(node, script->name, result);
	node_follow(node); /* it may have changed again meanwhile */
}

/* Told once per acting primary, the latest one: changes while it runs are not lost, but not queued either. */
void node_follow(struct node *node)
{
	struct script_facts facts;
	char previous[NAME_SIZE];

	if (!node->config->follow.command.argv || script_is_running(&node->follow) ||
	    !*node->view.primary)
		return;
	if (!strcmp(node->followed, node->view.primary) && node->followed_epoch == node->view.epoch)
		return;
	facts = node_facts(node, "follow", "the acting primary changed");
	facts.primary = node->view.primary;
	facts.epoch = node->view.epoch;
	strcpy(previous, node->followed);
	facts.previous = previous;
	/* Noted first: a command that cannot be started ends within script_run(), and then this is asked anew. */
	strcpy(node->followed, node->view.primary);
	node->followed_epoch = node->view.epoch;
	script_run(&node->follow, node->config->follow.command.argv, SCRIPT_FOLLOW_TIMEOUT_US,
		   &facts);
}

/* Health is what the command says, what the unit shows, and whether a takeover, or a stop, could succeed. */
void node_tell_health(struct node *node, const char *reason)
{
	const char *obstacle = work_obstacle(node->work);
	const char *trouble = *obstacle ? obstacle : work_trouble(node->work);
	bool ok = !*trouble && !node->unkept && !node->used_up && !*node->rights_missing &&
		  (!node->health || health_is_ok(node->health));
	char text[WORK_TEXT_SIZE + LOG_TEXT_MAX + RIGHTS_TEXT_SIZE];

	if (node->unkept && !*reason)
		snprintf(
			text, sizeof(text),
			"the state for a restart cannot be kept in %.160s: %s; make room there, or, if files "
			"were deleted there, restart the daemon",
			node->config->node.runtime_directory, strerror(-node->state_error));
	else if (node->used_up && !*reason)
		snprintf(text, sizeof(text), "%s", NODE_USED_UP);
	else if (!*reason && *trouble)
		snprintf(text, sizeof(text), "%s", trouble);
	else if (!*reason && *node->rights_missing)
		snprintf(text, sizeof(text), RIGHTS_MISSING "%s", node->rights_missing);
	else
		snprintf(text, sizeof(text), "%s", reason);
	node_post_result(node, ELECTION_HEALTH, ok ? RESULT_OK : RESULT_FAILED, 0);
	node_publish_health(node, ok, text);
}

static void on_health(void *userdata, bool ok, const char *reason)
{
	struct node *node = userdata;

	node_say_health(node, ok, reason);
	node_tell_health(node, reason);
}

static void on_health_line(void *userdata, const char *line)
{
	node_say_line(userdata, "health", line);
}

static void on_health_group(void *userdata, pid_t group)
{
	note_group(userdata, LEASE_GROUP_HEALTH, group);
}

static int health_init(struct node *node)
{
	const struct config *c = node->config;
	const struct script_facts facts = {
		.event = "health", .node = node->name, .primary = "", .previous = "", .reason = ""
	};
	const struct health_options options = {
		.argv = c->health.command.argv,
		.environment = node->health_environment.list,
		.interval_us = c->health.interval_us,
		.timeout_us = c->health.timeout_us,
		.failures = c->health.failures,
		.on_change = on_health,
		.on_line = on_health_line,
		.on_group = on_health_group,
		.userdata = node,
	};

	if (!options.argv)
		return 0;
	script_environment(&facts, &node->health_environment);
	return health_create(node->loop, &options, &node->health);
}

int node_scripts_init(struct node *node)
{
	end_former(node);
	script_init(&node->fence, node->loop, "fence", on_fence_end, node_script_line, node);
	script_init(&node->follow, node->loop, "follow", on_follow_end, node_script_line, node);
	script_note_group(&node->fence, node->lease, LEASE_GROUP_FENCE);
	script_note_group(&node->follow, node->lease, LEASE_GROUP_FOLLOW);
	return health_init(node);
}

void node_scripts_finish(struct node *node)
{
	node->health = health_destroy(node->health);
	script_finish(&node->fence);
	script_finish(&node->follow);
	end_former(node);
}
