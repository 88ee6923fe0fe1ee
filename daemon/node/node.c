/* SPDX-License-Identifier: Apache-2.0 */

/* The loop's middle: events in, steps, actions out. */

#include "internal.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define TROUBLE_SIZE 1024

#define USED_UP                                                                                                         \
	"no higher epoch exists: /epoch, or a node's record of its cluster, holds the highest; stop all nodes, delete " \
	"/epoch and those records (the .cluster files in node.state-directory), then start the nodes"

#define BLIND                                                                                       \
	"/epoch, /primary_node or /primary_active may not be read, so this node cannot take over; " \
	"correct their access lists, or this node's credential"

/* As when the configuration is refused at the start: no restart mends it. */
#define EXIT_CONFIG 1

/* -- events in -- */

void node_post(struct node *node, const struct election_event *event)
{
	bool there_was_room = election_inbox_put(&node->inbox, event);

	assert(there_was_room);
	(void)there_was_room;
	ev_feed_event(node->options.loop, &node->drain, EV_CUSTOM);
}

static void post_result(struct node *node, enum election_event_type type,
			enum election_result result)
{
	const struct election_event event = { .type = (uint8_t)type, .result = (uint8_t)result };

	node_post(node, &event);
}

/* Not before there is something to be told. */
void node_tell_status(struct node *node)
{
	if (node->options.on_status && node->cluster)
		node->options.on_status(node->options.userdata, node);
}

/* Health is what the command says, what the work shows, and whether a takeover, or a stop, could succeed. */
static void tell_health(struct node *node)
{
	const struct {
		const char *what, *why;
	} troubles[] = {
		{ "the state for a restart cannot be kept (make room in the runtime directory, or, "
		  "if files were deleted there, restart the daemon): ",
		  kept_trouble(&node->kept) },
		{ "", work_obstacle(node->work) },
		{ "", work_trouble(node->work) },
		{ RIGHTS_MISSING, cluster_rights_missing(node->cluster) },
		{ "", node->no_takeover },
		{ "", scripts_trouble(node->scripts) },
	};
	char text[TROUBLE_SIZE] = "";

	for (size_t i = 0; !*text && i < sizeof(troubles) / sizeof(troubles[0]); i++)
		if (*troubles[i].why)
			snprintf(text, sizeof(text), "%s%s", troubles[i].what, troubles[i].why);
	post_result(node, ELECTION_HEALTH, *text ? RESULT_FAILED : RESULT_OK);
	cluster_publish_health(node->cluster, text);
}

static struct script_facts facts(const struct node *node, const char *event, const char *reason)
{
	struct cluster_seen seen = cluster_seen(node->cluster);

	return (struct script_facts){
		.event = event,
		.node = node->config->node.name,
		.primary = seen.holder,
		.previous = strcmp(event, "relinquish") ? seen.before : seen.acted,
		.reason = reason,
		.epoch = node->election.epoch,
	};
}

static struct script_facts takeover_facts(const struct node *node)
{
	return facts(node, "takeover", election_reason_text(node->named_because));
}

static void follow(struct node *node)
{
	struct cluster_seen seen = cluster_seen(node->cluster);
	struct script_facts told = facts(node, "follow", "the acting primary changed");

	told.primary = seen.primary;
	told.epoch = seen.epoch;
	scripts_follow(node->scripts, &told);
}

/* -- steps, and actions out -- */

static const char *no_takeover(const struct node *node)
{
	const struct election *e = &node->election;

	/* Who has the post, and keeps it, needs none: it is not stopped for what would keep all others from following. */
	if (e->phase > PHASE_AWAIT && e->phase != PHASE_LEAVE)
		return "";
	if (election_epochs_are_used_up(&e->view))
		return USED_UP;
	return cluster_is_blind(node->cluster) ? BLIND : "";
}

/* Such a node must not claim: it could neither follow its claim, nor would it leave the role to others. */
static void judge_takeover(struct node *node)
{
	const char *why = no_takeover(node);
	const struct log_fields f = { .reason = why };

	if (!strcmp(why, node->no_takeover))
		return;
	node->no_takeover = why;
	log_event(node->options.log, *why ? EVENT_HEALTH_FAILED : EVENT_HEALTH_OK, &f, "%s%s",
		  *why ? "not healthy: " : "healthy again", why);
	tell_health(node);
}

static void stop_work(struct node *node, uint8_t reason)
{
	const struct script_facts told = facts(node, "relinquish", election_reason_text(reason));

	work_stop(node->work, &told, reason == REASON_COLD_START && !node->election.lease_end_us);
}

static void carry_out(struct node *node, const struct election_action *action)
{
	struct script_facts told;

	election_inbox_act(&node->inbox, (enum election_action_type)action->type);
	switch ((enum election_action_type)action->type) {
	case ACTION_START:
		cluster_carry_out(node->cluster, action);
		told = takeover_facts(node);
		work_start(node->work, &told);
		break;
	case ACTION_STOP:
		stop_work(node, action->reason);
		break;
	case ACTION_DEPART:
		timer_clear(&node->timer);
		cluster_leave(node->cluster);
		break;
	case ACTION_DO:
		/* A takeover whose state is not kept could not be resumed. */
		if (action->op == OP_ENTER && kept_enter(&node->kept) < 0) {
			const struct election_event failed = { .type = ELECTION_DONE,
							       .op = OP_ENTER,
							       .result = RESULT_FAILED };

			node_post(node, &failed);
			break;
		}
		cluster_carry_out(node->cluster, action);
		break;
	default:
		cluster_carry_out(node->cluster, action);
		break;
	}
}

/* Requests that others wait for are sent before anything is logged. Returns how many of the actions are carried out. */
static int32_t send_requests(struct node *node, const struct election_actions *actions)
{
	int32_t i;

	for (i = 0; i < actions->count; i++) {
		uint8_t type = actions->list[i].type;

		if (type != ACTION_DO && type != ACTION_LOCK && type != ACTION_UNLOCK)
			break;
		carry_out(node, &actions->list[i]);
	}
	return i;
}

/*
 * From the moment at which this node is named a guard is made ready, so that it costs nothing between the old primary's
 * stop and our start. What the election believes of the lease stands in the lease file before anything is done, from the
 * order to start the work on.
 */
static void keep_work(struct node *node)
{
	const struct election *e = &node->election;

	if (e->phase == PHASE_AWAIT || e->phase == PHASE_ENTER) {
		const struct script_facts told = takeover_facts(node);

		work_named(node->work, &told);
	} else if (!election_work_may_run(e) && e->phase != PHASE_RECOVER) {
		work_unnamed(node->work);
	}
	work_lease(node->work, e->lease_end_us, e->epoch);
}

static void moved(struct node *node, const struct election *before)
{
	if (before->phase == PHASE_RECOVER)
		scripts_cancel_fence(node->scripts);
	if (node->election.phase == PHASE_AWAIT && before->phase != PHASE_ENTER) {
		node->named_because = before->phase == PHASE_CLAIM ? before->reason
								   : (uint8_t)REASON_NAMED;
		/* If that fails, this node is not healthy, and hands the role back before the old primary has stopped. */
		kept_try(&node->kept);
	}
	cluster_moved(node->cluster, before);
}

static void step(struct node *node, struct election_event *event)
{
	struct election before = node->election;
	struct election_actions actions;
	int32_t sent;

	event->now_us = time_boot_us();
	election_step(&node->election_config, &node->election, event, &actions);
	if (!election_primary_until_us(&node->election_config, &node->election))
		show_withdraw(&node->show);
	show_count(&node->show, &before, event);
	cluster_stepped(node->cluster, &before);
	if (node->election.phase != PHASE_INIT)
		keep_work(node);
	kept_step(&node->kept);
	judge_takeover(node);
	sent = send_requests(node, &actions);
	story_step(&node->story, &before);
	if (node->election.phase != before.phase)
		moved(node, &before);
	for (int32_t i = sent; i < actions.count; i++)
		carry_out(node, &actions.list[i]);
}

/* What follows from the state, whatever led to it. */
static void settle(struct node *node)
{
	int64_t next_us = election_next_us(&node->election_config, &node->election);

	if (next_us)
		timer_set(&node->timer, next_us);
	else
		timer_clear(&node->timer);
	cluster_settle(node->cluster);
	show_update(&node->show);
	node_tell_status(node);
}

void node_drain(struct ev_loop *loop, ev_io *watcher, int events)
{
	struct node *node = watcher->data;
	struct election_event next;

	while (election_inbox_take(&node->inbox, &next))
		step(node, &next);
	ev_clear_pending(loop, watcher); /* what the steps have posted is handled */
	settle(node);
}

void node_timer(struct timer *timer, void *userdata)
{
	post_result(userdata, ELECTION_TIME, RESULT_OK);
}

/* -- what the owners tell -- */

static void start_cold(struct node *node)
{
	const struct election_event event = { .type = ELECTION_START, .resume = RESUME_COLD };

	node_post(node, &event);
}

static void leave(struct node *node)
{
	log_event(node->options.log, EVENT_STOPPED, NULL, "stopped");
	node->options.on_exit(node->options.userdata, node->exit_code);
}

void node_cluster_event(void *userdata, const struct cluster_event *event)
{
	struct node *node = userdata;
	struct script_facts told;

	switch (event->type) {
	case CLUSTER_ELECTION:
		node_post(node, &event->election);
		break;
	case CLUSTER_SEEN:
		follow(node);
		break;
	case CLUSTER_FENCE:
		told = facts(node, "fence", "died while acting");
		scripts_fence(node->scripts, event->name, &told);
		break;
	case CLUSTER_NODES:
		told = facts(node, "fence-check", "tried before it is needed");
		scripts_check_fence(node->scripts, &told, event->names, event->name_count);
		break;
	case CLUSTER_RESUMES:
		kept_step(&node->kept);
		break;
	case CLUSTER_RIGHTS:
		tell_health(node);
		break;
	case CLUSTER_STATUS:
		node_tell_status(node);
		break;
	case CLUSTER_NAME_FREE:
		start_cold(node);
		break;
	case CLUSTER_REFUSES:
		node->exit_code = event->code;
		node_shutdown(node);
		break;
	case CLUSTER_CLOSED:
		kept_forget(&node->kept);
		leave(node);
		break;
	case CLUSTER_UNCLOSED: /* it still holds this node's name, and the next process may resume it */
		leave(node);
		break;
	}
}

void node_work_event(void *userdata, enum work_event event)
{
	struct node *node = userdata;

	switch (event) {
	case WORK_IS_UP:
		post_result(node, ELECTION_STARTED, RESULT_OK);
		break;
	case WORK_NOT_STARTED:
		post_result(node, ELECTION_STARTED, RESULT_FAILED);
		break;
	case WORK_IS_DOWN:
		post_result(node, ELECTION_STOPPED, RESULT_OK);
		tell_health(node); /* a stop that took long was no sign of health */
		break;
	case WORK_NOT_UP:
		show_withdraw(&node->show);
		break;
	case WORK_TROUBLE:
		if (work_guard_acted(node->work))
			show_count_guard_stop(&node->show);
		tell_health(node);
		break;
	case WORK_OBSTACLE:
		tell_health(node);
		node_tell_status(node);
		break;
	case WORK_IS_FOREIGN:
		/* At once: an orderly end would begin with a stop of the work, and that is another daemon's. */
		node->options.on_exit(node->options.userdata, EXIT_CONFIG);
		break;
	}
}

void node_scripts_event(void *userdata, enum scripts_event event)
{
	struct node *node = userdata;

	switch (event) {
	case SCRIPTS_FENCED:
	case SCRIPTS_FENCE_FAILED:
		cluster_fenced(node->cluster, event == SCRIPTS_FENCED);
		break;
	case SCRIPTS_FOLLOWED:
		follow(node); /* it may have changed again meanwhile */
		break;
	case SCRIPTS_HEALTH:
		tell_health(node);
		break;
	case SCRIPTS_CHECK_DUE:
		cluster_ask_nodes(node->cluster);
		break;
	case SCRIPTS_CHECKED:
		cluster_publish_fence_check(node->cluster, scripts_checked(node->scripts)->failed);
		show_update(&node->show);
		break;
	}
}

void node_kept_event(void *userdata)
{
	tell_health(userdata);
	node_tell_status(userdata);
}

void node_shutdown(struct node *node)
{
	/* Nothing has begun. */
	if (node->election.phase == PHASE_INIT) {
		cluster_leave(node->cluster);
		return;
	}
	cluster_announce_shutdown(node->cluster);
	post_result(node, ELECTION_SHUTDOWN, RESULT_OK);
}

/* -- what is known -- */

bool node_is_settled(const struct node *node)
{
	const struct election *e = &node->election;

	return !e->shutdown && e->op == OP_NONE &&
	       (e->phase == PHASE_FOLLOW || e->phase == PHASE_PRIMARY || e->phase == PHASE_OFFLINE);
}

bool node_is_kept(const struct node *node)
{
	return kept_is_fine(&node->kept);
}

bool node_can_be_resumed(struct node *node)
{
	kept_step(&node->kept);
	return kept_is_fine(&node->kept);
}

const char *node_trouble(const struct node *node)
{
	return work_obstacle(node->work);
}

const char *node_foreign(const struct node *node)
{
	return cluster_foreign(node->cluster);
}

bool node_in_order(const struct node *node)
{
	int64_t now_us = time_boot_us();

	return election_in_order(&node->election_config, &node->election, now_us) &&
	       work_in_order(node->work, now_us);
}

const struct election *node_election(const struct node *node)
{
	return &node->election;
}

struct cluster_seen node_seen(const struct node *node)
{
	return cluster_seen(node->cluster);
}
