/* SPDX-License-Identifier: Apache-2.0 */

/* How a node begins, by what the previous process left, and how it ends. */

#include "internal.h"

#include <errno.h>
#include <stdlib.h>

#include "guard/guard.h"

static void configure(struct node *node)
{
	const struct config *c = node->config;

	node->election_config = (struct election_config){
		.lock_timeout_us = c->election.lock_timeout_us,
		.transition_delay_us = c->election.transition_delay_us,
		.contend_delay_us = c->node.contend_delay_us,
		.handover_timeout_us = c->election.handover_timeout_us,
		.penalty_us = c->election.penalty_us,
		.acquire_delay_us = c->takeover.acquire_delay_us,
		.lease_timeout_us = c->relinquish.lease_timeout_us,
		.coordinator = c->node.mode == CONFIG_COORDINATOR,
	};
}

static bool is_same_work(const struct node *node, const struct state *resume)
{
	return !resume->work_id || resume->work_id == state_work_id(node->config->takeover.unit);
}

/* What the previous process noted of its work, of its post and of its lease agrees. */
static bool was_primary(const struct node *node, const struct state *resume)
{
	return resume && resume->session.id && resume->work == STATE_WORK_UP &&
	       is_same_work(node, resume) && resume->epoch == lease_file_epoch(node->lease) &&
	       lease_file_mark(node->lease) == LEASE_WATCHED;
}

static void say_started(const struct node *node, bool resumed)
{
	log_event(node->options.log, EVENT_STARTED, NULL, "primaryd %s, %s, servers %s, root %s%s",
		  PRIMARYD_VERSION, config_mode_text(node->config->node.mode),
		  node->config->zookeeper.servers, node->config->zookeeper.root,
		  resumed ? ": was primary before the restart, looking whether it still is" : "");
}

/*
 * What the previous process left decides how the election begins. `resume` is believed only as far as the lease file agrees:
 * whatever else may run is stopped first, by the end of the lease if there is one.
 */
static void begin(struct node *node, const struct state *resume)
{
	struct election_event event = { .type = ELECTION_START, .resume = RESUME_COLD };
	int64_t lease_end_us = node->lease ? lease_file_end_us(node->lease) : 0;

	if (resume && !is_same_work(node, resume) && lease_end_us > time_boot_us()) {
		log_event(
			node->options.log, EVENT_RESUME_REFUSED, NULL,
			"takeover.unit was another one when the work was started: waiting up to %.1f s, until its guard has stopped it",
			(double)(lease_end_us - time_boot_us()) / 1e6);
		timer_set(&node->former, lease_end_us);
		return;
	}
	if (resume && resume->session.id)
		event.session_us = resume->session_us;
	/* A previous process of this boot that noted no work, and nothing could be started since: there is nothing to stop. */
	if (resume && resume->work == STATE_WORK_DOWN && !lease_end_us)
		work_is_down(node->work);
	if (lease_end_us > 0) {
		event.lease_end_us = lease_end_us;
		event.epoch = lease_file_epoch(node->lease);
		event.resume = was_primary(node, resume) ? RESUME_PRIMARY : RESUME_OTHER;
	}
	if (event.resume == RESUME_PRIMARY) {
		cluster_resume(node->cluster, resume->nonces, resume->epoch_version,
			       resume->session_us);
		work_resume(node->work, lease_end_us);
	}
	if (lease_end_us > 0 && lease_file_mark(node->lease) != LEASE_WATCHED)
		show_count_guard_stop(&node->show);
	say_started(node, event.resume == RESUME_PRIMARY);
	if (node->lease && !resume && !lease_end_us)
		cluster_ask_name(node->cluster);
	else
		node_post(node, &event);
}

static void on_former_over(struct timer *timer, void *userdata)
{
	struct node *node = userdata;

	begin(node, &node->kept.saved);
}

/* -- life -- */

static int create_cluster(struct node *node, const struct state *resume)
{
	const struct cluster_options options = {
		.loop = node->options.loop,
		.config = node->config,
		.log = node->options.log,
		.boot_id = node->options.boot_id,
		.rules = &node->election_config,
		.election = &node->election,
		.auth = node->options.auth,
		.resume = resume && resume->session.id ? &resume->session : NULL,
		.remember = node->options.keep_state,
		.on_event = node_cluster_event,
		.userdata = node,
	};

	return cluster_create(&options, &node->cluster);
}

static int create_work(struct node *node)
{
	const struct work_options work = {
		.loop = node->options.loop,
		.config = node->config,
		.log = node->options.log,
		.lease = node->lease,
		.on_event = node_work_event,
		.userdata = node,
	};
	const struct scripts_options scripts = {
		.loop = node->options.loop,
		.config = node->config,
		.log = node->options.log,
		.lease = node->lease,
		.on_event = node_scripts_event,
		.userdata = node,
	};
	int r = work_create(&work, &node->work);

	return r < 0 ? r : scripts_create(&scripts, &node->scripts);
}

static void init_kept(struct node *node)
{
	node->kept = (struct kept){
		.loop = node->options.loop,
		.config = node->config,
		.log = node->options.log,
		.lease = node->lease,
		.boot_id = node->options.boot_id,
		.place = node->options.place,
		.election = &node->election,
		.wanted = node->options.keep_state,
		.on_change = node_kept_event,
		.userdata = node,
	};
	kept_init(&node->kept);
}

/* The parts tell nothing before begin(). */
static int create_parts(struct node *node)
{
	const struct state *resume;
	int r;

	init_kept(node);
	resume = kept_take(&node->kept, node->options.resume);
	r = timer_init(&node->timer, node->options.loop, EV_MAXPRI, node_timer, node);
	if (r == 0)
		r = timer_init(&node->former, node->options.loop, EV_MAXPRI, on_former_over, node);
	if (r == 0)
		r = create_work(node);
	if (r == 0)
		r = create_cluster(node, resume);
	if (r != 0)
		return r;
	if (node->options.resume)
		cluster_remember_epoch(node->cluster, node->options.resume->epoch);
	node->kept.cluster = node->cluster;
	node->story = (struct story){ .log = node->options.log,
				      .rules = &node->election_config,
				      .election = &node->election,
				      .cluster = node->cluster,
				      .work = node->work };
	node->show = (struct show){ .loop = node->options.loop,
				    .config = node->config,
				    .page = node->options.page,
				    .rules = &node->election_config,
				    .election = &node->election,
				    .cluster = node->cluster,
				    .work = node->work,
				    .scripts = node->scripts,
				    .story = &node->story };
	show_init(&node->show);
	begin(node, resume);
	return 0;
}

int node_create(const struct node_options *options, struct node **ret_node)
{
	struct node *node = calloc(1, sizeof(*node));
	int r;

	if (!node)
		return -ENOMEM;
	node->options = *options;
	node->config = options->config;
	node->lease = options->lease;
	node->no_takeover = "";
	/* Above everything but the timer: what was posted is handled before the loop goes on to the next watcher. */
	ev_init(&node->drain, node_drain);
	ev_set_priority(&node->drain, EV_MAXPRI);
	node->drain.data = node;
	configure(node);
	election_init(&node->election);
	r = create_parts(node);
	node->options.resume = NULL;
	node->options.auth = NULL;
	if (r != 0) {
		(void)node_destroy(node);
		return r;
	}
	node_tell_status(node);
	*ret_node = node;
	return 0;
}

struct node *node_destroy(struct node *node)
{
	if (!node)
		return NULL;
	ev_clear_pending(node->options.loop, &node->drain);
	show_finish(&node->show);
	timer_finish(&node->timer);
	timer_finish(&node->former);
	node->cluster = cluster_destroy(node->cluster);
	node->scripts = scripts_destroy(node->scripts);
	node->work = work_destroy(node->work);
	kept_finish(&node->kept);
	free(node);
	return NULL;
}
