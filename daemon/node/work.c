/* SPDX-License-Identifier: Apache-2.0 */
#include "internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/reboot.h>
#include <unistd.h>

#include "guard/work_lock.h"

/* While the guard stops the work itself, the lock is asked for again after this long. */
#define WORK_LOCK_RETRY_S 0.02

/* Between two attempts to start a guard for work that has none, and how long that may go on. */
#define GUARD_RETRY_S 0.2
#define UNGUARDED_MAX_US (INT64_C(5) * 1000000)

/* As when the configuration is refused at the start: no restart mends it. */
#define EXIT_CONFIG 1

/* How far away the lease of a guard on standby is set; extended by half of it. */
#define STANDBY_US (INT64_C(600) * 1000000)

static void release_work_lock(struct node *node)
{
	node->work_lock = work_lock_release(node->work_lock);
}

/* -- start -- */

static void on_started(void *userdata, bool ok)
{
	struct node *node = userdata;

	release_work_lock(node);
	if (node->lease) {
		/* In this order: at no moment may the guard, or a process after us, miss the group. */
		lease_file_set_group(node->lease, LEASE_GROUP_WORK, node->work.group);
		lease_file_set_group(node->lease, LEASE_GROUP_TAKEOVER, 0);
	}
	node_post_result(node, ELECTION_STARTED, ok ? RESULT_OK : RESULT_FAILED, 0);
}

/* When the stop of the work would have to begin: by then the guard may have looked for it, and found nothing. */
static int64_t start_by_us(void *userdata)
{
	const struct node *node = userdata;

	return node->election.lease_end_us - node->election_config.lease_timeout_us;
}

/* The unit went away by itself. Once it is stopped, this node stays out for the penalty. */
static void on_failed(void *userdata, const char *state)
{
	struct node *node = userdata;

	node_say_unit_failed(node, state);
	node->unit_failed = true;
	node_tell_health(node, state);
}

/* At once: an orderly end would begin with a stop of the work, and that is another daemon's. */
static void on_foreign(void *userdata, const char *text)
{
	struct node *node = userdata;

	node_say_foreign_unit(node, text);
	node->on_exit(node->userdata, EXIT_CONFIG);
}

static void on_penalty_over(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct node *node = timer->data;

	(void)loop;
	(void)events;
	node->unit_failed = false;
	node_tell_health(node, "");
}

static void on_unit(void *userdata, enum work_unit_word word, bool ok, const char *text)
{
	struct node *node = userdata;

	node_say_unit(node, word, ok, text);
	/* No step of the election follows, and systemctl status shall tell what is waited for. */
	if (node->on_status && *node_trouble(node))
		node->on_status(node->userdata, node);
}

static bool guard_has_acted(const struct node *node)
{
	return node->lease && lease_file_mark(node->lease) != LEASE_WATCHED;
}

void node_wake_guard(struct node *node)
{
	if (node->guard)
		guard_poke(node->guard);
	else if (*node->config->takeover.unit)
		(void)guard_wake(node->config->node.runtime_directory);
}

static void start_guarded(struct node *node)
{
	const struct script_facts facts = node_facts(node, "takeover",
						     election_reason_text(node->named_because));
	int r = 0;

	if (node->election.work != WORK_STARTING)
		return; /* the guard took its time; meanwhile the takeover was called off */
	if (node->lease)
		r = work_lock_try(node->config->node.runtime_directory, "daemon", &node->work_lock);
	if (r != 0) {
		node_say_guard(node, EVENT_GUARD_FAILED,
			       r < 0 ? strerror(-r) : "the work lock is held by another process");
		on_started(node, false);
		return;
	}
	if (guard_has_acted(node)) {
		on_started(node, false);
		return;
	}
	node_write_environment(node, &facts);
	/* It may have been started during the transition delay, with a lease far away. */
	node_wake_guard(node);
	work_start(&node->work, &facts);
}

/*
 * Work without a guard is safe only as long as nothing happens to this process. So another guard is started again and
 * again, and when that does not help for a while, the role is given up while it can be done in order.
 */
static void guard_again_later(struct node *node)
{
	if (!node->unguarded_us)
		node->unguarded_us = time_boot_us();
	if (!node->guard_lost && time_boot_us() - node->unguarded_us > UNGUARDED_MAX_US) {
		node->guard_lost = true;
		node_tell_health(node, "no guard can be started");
	}
	ev_timer_set(&node->guard_retry, GUARD_RETRY_S, 0.);
	ev_timer_start(node->loop, &node->guard_retry);
}

static void on_guard_ready(struct guard *guard, int result, void *userdata);

static void on_guard_retry(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct node *node = timer->data;
	int r;

	(void)loop;
	(void)events;
	if ((node->election.work != WORK_UP && node->election.work != WORK_STARTING) ||
	    guard_is_alive(node->guard))
		return;
	r = guard_start(node->guard, on_guard_ready);
	if (r < 0 && r != -EALREADY)
		guard_again_later(node);
}

static void on_guard_ready(struct guard *guard, int result, void *userdata)
{
	struct node *node = userdata;

	(void)guard;
	if (result != 0) {
		node_say_guard(node, EVENT_GUARD_FAILED, strerror(-result));
		if (node->election.work == WORK_STARTING)
			on_started(node, false);
		else if (node->election.work == WORK_UP)
			guard_again_later(node);
		return;
	}
	node->unguarded_us = 0;
	ev_timer_stop(node->loop, &node->guard_retry);
	node_say_guard(node, EVENT_GUARD_STARTED, "");
	if (node->election.work == WORK_STARTING && !node->work.starting)
		start_guarded(node);
}

void node_work_start(struct node *node)
{
	int r;

	if (!node->guard) {
		/* With a unit the guard is a service that the unit is bound to: it comes and goes with it. */
		if (node->lease && !work_is_prepared(&node->work))
			lease_file_begin_watch(node->lease);
		start_guarded(node);
		return;
	}
	if (guard_is_alive(node->guard)) {
		start_guarded(node);
		return;
	}
	r = guard_start(node->guard, on_guard_ready);
	if (r < 0 && r != -EALREADY) {
		node_say_guard(node, EVENT_GUARD_FAILED, strerror(-r));
		on_started(node, false);
	}
}

/*
 * Named: while the transition delay runs, a guard is started and the nodes' names are learnt, so that neither costs
 * anything between the old primary's stop and our start. The guard's lease is far away until there is a real one.
 */
void node_get_ready(struct node *node)
{
	int64_t now_us = node->election.now_us;

	if (!node->lease || lease_file_end_us(node->lease) > now_us + STANDBY_US / 2)
		return;
	/* No epoch: a guard that is a service does not let anything start before it has one. */
	lease_file_set_epoch(node->lease, 0);
	(void)lease_file_set(node->lease, now_us + STANDBY_US);
	if (!node->guard) {
		const struct script_facts facts =
			node_facts(node, "takeover", election_reason_text(node->named_because));

		node_write_environment(node, &facts);
		work_prepare(&node->work);
		return;
	}
	if (!guard_is_alive(node->guard))
		(void)guard_start(node->guard,
				  on_guard_ready); /* if not: tried again when it counts */
}

/* No work, and none to come: nothing to guard. */
void node_stand_down(struct node *node)
{
	if (!node->lease || !lease_file_end_us(node->lease))
		return;
	if (node->guard) {
		guard_disarm(node->guard);
		return;
	}
	lease_file_disarm(node->lease);
	/*
	 * It may have been told to end before, with the lease still on, as at a shutdown of the system. One on standby is not
	 * called: if it ended before systemd stops it, that would be a failed start.
	 */
	if (!work_is_preparing(&node->work))
		(void)guard_wake(node->config->node.runtime_directory);
	work_release_guard(&node->work);
}

/* It stops the work, or did: as far as this node is concerned the work has failed. */
void node_guard_acted(struct node *node, bool is_damaged)
{
	if (is_damaged && !node->guard_acted)
		node_say_guard(
			node, EVENT_GUARD_FAILED,
			"the lease file was cut or overwritten by somebody, so the guard cannot be "
			"told that the lease goes on: the work is stopped");
	node->guard_acted = true;
	node_tell_health(node, "the guard stopped the work");
}

static void on_guard_died(struct guard *guard, bool acted, void *userdata)
{
	struct node *node = userdata;

	if (acted) {
		/* The lease was over for it; the election will see the same, or hears it here. */
		node_say_guard(node, EVENT_GUARD_DONE, "");
		if (node->election.work == WORK_UP)
			node_guard_acted(node, false);
		return;
	}
	node_say_guard(node, EVENT_GUARD_FAILED, "it died; another one is to be started");
	if (node->election.work != WORK_UP && node->election.work != WORK_STARTING)
		return;
	if (guard_start(guard, on_guard_ready) < 0)
		guard_again_later(node);
}

/* -- stop -- */

/*
 * Kills what is left of the work, also of a process before us: the lease file knows its session. False: some of it is
 * not gone yet.
 */
static bool work_is_gone(struct node *node)
{
	static const enum lease_group groups[] = { LEASE_GROUP_TAKEOVER, LEASE_GROUP_WORK };
	bool gone = true;

	for (size_t i = 0; node->lease && i < sizeof(groups) / sizeof(groups[0]); i++) {
		(void)lease_file_group_kill(node->lease, groups[i]);
		gone = gone && !lease_file_group_runs(node->lease, groups[i]);
	}
	return gone;
}

static void forget_groups(struct node *node)
{
	if (!node->lease)
		return;
	lease_file_set_group(node->lease, LEASE_GROUP_TAKEOVER, 0);
	lease_file_set_group(node->lease, LEASE_GROUP_WORK, 0);
	lease_file_set_group(node->lease, LEASE_GROUP_STOP, 0);
}

static void on_stopped(void *userdata)
{
	struct node *node = userdata;

	node->work_dying = !work_is_gone(node);
	if (node->work_dying) {
		ev_timer_set(&node->work_retry, WORK_LOCK_RETRY_S, 0.);
		ev_timer_start(node->loop, &node->work_retry);
		return;
	}
	release_work_lock(node);
	forget_groups(node);
	node->unguarded_us = 0;
	node->kill_wanted = false;
	ev_timer_stop(node->loop, &node->guard_retry);
	if (node->guard_acted || node->guard_lost) {
		node->guard_acted = node->guard_lost = false;
		node_tell_health(node, "");
	}
	if (node->unit_failed) {
		ev_timer_set(&node->unit_penalty, (double)node->config->election.penalty_us / 1e6,
			     0.);
		ev_timer_start(node->loop, &node->unit_penalty);
	}
	node_stand_down(node);
	node_post_result(node, ELECTION_STOPPED, RESULT_OK, 0);
}

/* Those of a process before us would go on starting what is stopped here, or run beside our own. */
static void end_former_commands(struct node *node)
{
	if (!node->lease)
		return;
	if (!script_is_running(&node->work.takeover))
		(void)lease_file_group_kill(node->lease, LEASE_GROUP_TAKEOVER);
	if (!script_is_running(&node->work.relinquish))
		(void)lease_file_group_kill(node->lease, LEASE_GROUP_STOP);
}

static void stop_guarded(struct node *node)
{
	const struct script_facts facts = node_facts(node, "relinquish", node->stop_reason);
	int r = 0;

	if (node->lease && node->work_lock < 0)
		r = work_lock_try(node->config->node.runtime_directory, "daemon", &node->work_lock);
	if (r == WORK_LOCK_BUSY) {
		ev_timer_set(&node->work_retry, WORK_LOCK_RETRY_S, 0.);
		ev_timer_start(node->loop, &node->work_retry);
		return;
	}
	if (node->lease && lease_file_mark(node->lease) == LEASE_STOPPED) {
		on_stopped(node); /* the guard was faster, and is through */
		return;
	}
	end_former_commands(node);
	node->work.cold = node->election.stop_reason == REASON_COLD_START &&
			  !node->election.lease_end_us;
	work_stop(&node->work, &facts);
	/* The time for an orderly stop ran out while the lock was waited for. */
	if (node->kill_wanted)
		work_kill(&node->work);
}

static void on_work_retry(struct ev_loop *loop, ev_timer *timer, int events)
{
	(void)loop;
	(void)events;
	if (((struct node *)timer->data)->work_dying)
		on_stopped(timer->data);
	else
		stop_guarded(timer->data);
}

void node_work_stop(struct node *node, uint8_t reason)
{
	if (reason == REASON_COLD_START && node->work_known_down) {
		on_stopped(node);
		return;
	}
	node->kill_wanted = false;
	snprintf(node->stop_reason, sizeof(node->stop_reason), "%s", election_reason_text(reason));
	/* A takeover command that still runs holds the lock; it ends with work_stop(). */
	stop_guarded(node);
}

void node_work_kill(struct node *node)
{
	/* Waiting for the lock: whoever holds it is killing already, and what is started after it is killed at once. */
	node->kill_wanted = true;
	work_kill(&node->work);
	/*
	 * systemd may refuse to stop it (no polkit, no bus). It needs no permission for what it does when the guard ends, and
	 * that takes only a lease that is over; node_keep() does not extend it any more.
	 */
	if (node->lease && !node->guard && lease_file_end_us(node->lease)) {
		(void)lease_file_set(node->lease, time_boot_us());
		node_wake_guard(node);
	}
}

void node_self_fence(struct node *node)
{
	if (node->config->relinquish.self_fence == CONFIG_SELF_FENCE_NONE) {
		node_say_self_fence(node, "self-fence is none: nothing more can be done here");
		return;
	}
	/* No sync(): the disk may be what hangs. */
	node_say_self_fence(node, "this host reboots now");
	if (reboot(RB_AUTOBOOT) < 0)
		node_say_self_fence(node,
				    errno == EPERM
					    ? "not permitted to reboot: CAP_SYS_BOOT is missing"
					    : strerror(errno));
}

static int guard_init(struct node *node)
{
	const struct guard_config config = {
		.runtime_directory = node->config->node.runtime_directory,
		.node = node->name,
		.relinquish = node->config->relinquish.command.argv,
		.lease_timeout_us = node->config->relinquish.lease_timeout_us,
		.self_fence = node->config->relinquish.self_fence == CONFIG_SELF_FENCE_REBOOT,
		.lease = node->lease,
		.on_died = on_guard_died,
		.userdata = node,
	};
	int r;

	if (!node->lease || !node->election_config.coordinator)
		return 0;
	lease_file_set_timeout(node->lease, node->config->relinquish.lease_timeout_us);
	if (*node->config->takeover.unit)
		return 0;
	r = guard_create(node->loop, &config, &node->guard);
	if (r < 0 || !lease_file_end_us(node->lease))
		return r;
	/* Work of a former process: its guard goes on, or a new one takes its place. */
	r = guard_adopt(node->guard);
	if (r == GUARD_NONE || r == GUARD_OTHER)
		r = guard_has_acted(node) ? 0 : guard_start(node->guard, on_guard_ready);
	return r;
}

int node_work_init(struct node *node)
{
	int r;

	r = work_init(&node->work, node->loop, node->config);
	if (r < 0)
		return r;
	script_note_group(&node->work.takeover, node->lease, LEASE_GROUP_TAKEOVER);
	/* The guard lets a stop that runs finish. */
	script_note_group(&node->work.relinquish, node->lease, LEASE_GROUP_STOP);
	node->work.on_started = on_started;
	node->work.start_by_us = start_by_us;
	node->work.on_stopped = on_stopped;
	node->work.on_failed = on_failed;
	node->work.on_foreign = on_foreign;
	node->work.on_unit = on_unit;
	node->work.on_line = node_script_line;
	node->work.on_end = node_script_ended;
	node->work.userdata = node;
	ev_init(&node->work_retry, on_work_retry);
	ev_init(&node->unit_penalty, on_penalty_over);
	ev_init(&node->guard_retry, on_guard_retry);
	node->guard_retry.data = node;
	node->unit_penalty.data = node;
	node->work_retry.data = node;
	r = guard_init(node);
	return r < 0 ? r : node_scripts_init(node);
}

void node_work_finish(struct node *node)
{
	if (node->work_retry.data)
		ev_timer_stop(node->loop, &node->work_retry);
	if (node->unit_penalty.data)
		ev_timer_stop(node->loop, &node->unit_penalty);
	if (node->guard_retry.data)
		ev_timer_stop(node->loop, &node->guard_retry);
	node_scripts_finish(node);
	work_finish(&node->work);
	node->guard = guard_destroy(node->guard);
	release_work_lock(node);
}
