/* SPDX-License-Identifier: Apache-2.0 */
#include "internal.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/reboot.h>

#include "base/lock_file.h"

/* The shell around the keeper: the lease file, the lock, the leftovers, and what the node is told. */

/* A process that SIGKILL has not ended by then is one that somebody has to look at. */
#define LEFT_AFTER_US INT64_C(1000000)

static void carry_out(struct work *work, enum keeper_action action);

/* -- events in -- */

static void settle(struct work *work)
{
	int64_t next_us = keeper_next_us(&work->keeper_config, &work->keeper);

	if (next_us)
		timer_set(&work->timer, next_us);
	else
		timer_clear(&work->timer);
}

static void post(struct work *work, const struct keeper_event *event)
{
	assert(work->queue_length < WORK_QUEUE_MAX);
	work->queue[(work->queue_head + work->queue_length++) % WORK_QUEUE_MAX] = *event;
	if (work->stepping)
		return;
	work->stepping = true;
	while (work->queue_length) {
		struct keeper_event next = work->queue[work->queue_head];
		struct keeper_actions actions;

		work->queue_head = (work->queue_head + 1) % WORK_QUEUE_MAX;
		work->queue_length--;
		next.now_us = time_boot_us();
		keeper_step(&work->keeper_config, &work->keeper, &next, &actions);
		if (!work_is_up(work))
			work_emit(work, WORK_NOT_UP);
		for (int32_t i = 0; i < actions.count; i++)
			carry_out(work, (enum keeper_action)actions.list[i]);
	}
	work->stepping = false;
	settle(work);
}

static void answer(struct work *work, enum keeper_event_type type, enum keeper_result result)
{
	const struct keeper_event event = { .type = (uint8_t)type, .result = (uint8_t)result };

	post(work, &event);
}

void work_answer(struct work *work, enum keeper_event_type type, bool ok)
{
	answer(work, type, ok ? KEEPER_OK : KEEPER_FAILED);
}

static void on_timer(struct timer *timer, void *userdata)
{
	answer(userdata, KEEPER_ON_TIME, KEEPER_OK);
}

void work_emit(struct work *work, enum work_event event)
{
	work->options.on_event(work->options.userdata, event);
}

void work_say_guard(struct work *work, enum event event, const char *text)
{
	log_event(work->options.log, event, NULL, "%s%s%s", log_event_text(event),
		  *text ? ": " : "", text);
}

/* -- the lease file -- */

static void set_lease(struct work *work)
{
	int64_t end_us = work->keeper.lease_end_us, before_us;

	if (!work->lease || work->lease_is_over)
		return;
	before_us = lease_file_end_us(work->lease);
	lease_file_set_epoch(work->lease, work->epoch);
	if (!lease_file_set(work->lease, end_us)) {
		if (work->keeper.state == KEEPER_UP && lease_file_is_damaged(work->lease) &&
		    work->keeper.trouble == KEEPER_TROUBLE_NONE)
			work_say_guard(
				work, EVENT_GUARD_FAILED,
				"somebody truncated or overwrote the lease file, so the guard "
				"cannot see that the lease is extended: stopping the work");
		answer(work, KEEPER_ON_ACTED, KEEPER_OK);
	}
	/* It sleeps until the end that it saw. One on standby is called when the work starts. */
	if (end_us < before_us && keeper_may_run(&work->keeper))
		work->kind->wake(work);
}

/* Of the previous process, or of the guard: it would run beside our own, or beside the next start. */
static void end_foreign_stop(const struct work *work, struct process_group stop)
{
	if (!script_is_running(&work->relinquish))
		(void)process_group_kill(stop);
}

static void disarm(struct work *work)
{
	if (!work->lease)
		return;
	if (work->armed)
		lease_file_disarm(work->lease);
	end_foreign_stop(work, lease_file_noted(work->lease, LEASE_GROUP_STOP));
	lease_file_set_group(work->lease, LEASE_GROUP_TAKEOVER, 0);
	lease_file_set_group(work->lease, LEASE_GROUP_WORK, 0);
	lease_file_set_group(work->lease, LEASE_GROUP_STOP, 0);
	work->lease_is_over = false;
	if (!work->armed)
		return;
	work->armed = false;
	work->kind->disarm(work);
}

/* -- the work lock -- */

static void unlock(struct work *work)
{
	work->lock = lock_file_release(work->lock);
}

static int take_lock(struct work *work)
{
	if (work->lock >= 0)
		return 0;
	return lock_file_take(work->config->node.runtime_directory, WORK_LOCK_FILE, &work->lock);
}

static enum keeper_result lock_to_start(struct work *work, struct process_group stop)
{
	int r;

	script_heed_mark(&work->takeover);
	r = take_lock(work);
	if (r != 0)
		work_say_guard(work, EVENT_GUARD_FAILED,
			       r < 0 ? strerror(-r) : "the work lock is held by another process");
	if (r != 0 || lease_file_mark(work->lease) != LEASE_WATCHED)
		return KEEPER_FAILED;
	end_foreign_stop(work, stop);
	return KEEPER_OK;
}

/* The guard has begun to stop the work, and has not finished: the stop must not run twice. */
static bool guard_is_at_it(struct work *work)
{
	char text[LOCK_FILE_TEXT_SIZE];

	return lease_file_mark(work->lease) == LEASE_STOPPING &&
	       !lease_file_is_damaged(work->lease) &&
	       lock_file_look(work->config->node.runtime_directory, GUARD_LOCK_FILE, text) > 0;
}

static enum keeper_result lock_to_stop(struct work *work, struct process_group stop)
{
	script_heed_mark(&work->relinquish);
	if (guard_is_at_it(work)) {
		unlock(work);
		return KEEPER_BUSY;
	}
	if (take_lock(work) == LOCK_FILE_BUSY)
		return KEEPER_BUSY;
	/* Whether units are down only systemd knows. */
	if (lease_file_mark(work->lease) == LEASE_STOPPED && !*work->config->takeover.unit)
		return KEEPER_DONE;
	/* That of the previous process would go on starting what is stopped here. */
	if (!script_is_running(&work->takeover))
		(void)lease_file_group_kill(work->lease, LEASE_GROUP_TAKEOVER);
	end_foreign_stop(work, stop);
	return KEEPER_OK;
}

static void lock_work(struct work *work)
{
	enum keeper_result result = KEEPER_OK;

	if (work->lease) {
		/* Before the mark is looked at: what is ended here is not the stop of a guard that begins now. */
		struct process_group stop = lease_file_noted(work->lease, LEASE_GROUP_STOP);

		result = work->keeper.state == KEEPER_ARMING ? lock_to_start(work, stop)
							     : lock_to_stop(work, stop);
	}
	answer(work, KEEPER_ON_LOCK, result);
}

/* -- the end -- */

/* What does not even die of SIGKILL waits for a disk, or belongs to another user. */
static void say_left(struct work *work, pid_t group)
{
	const struct log_fields f = { .reason = work->obstacle,
				      .usec = time_boot_us() - work->left_since_us };

	if (f.usec < LEFT_AFTER_US || *work->obstacle)
		return;
	snprintf(work->obstacle, sizeof(work->obstacle),
		 "processes of the takeover command, in process group %d, still run after SIGKILL",
		 (int)group);
	log_event(work->options.log, EVENT_WORK_STOP_WAITS, &f, "the work is not down yet: %s",
		  work->obstacle);
	work_emit(work, WORK_OBSTACLE);
}

/* Also what the previous process left: the lease file knows its session. False: something is not gone yet. */
static bool clean_up(struct work *work)
{
	pid_t left = 0;
	bool gone;

	if (work->group && command_group_exists(work->group))
		command_group_signal(work->group, SIGKILL);
	gone = !work->lease || lease_file_clear_work(work->lease, &left);
	if (gone)
		work->left_since_us = 0;
	else if (!work->left_since_us)
		work->left_since_us = time_boot_us();
	else
		say_left(work, left);
	return gone;
}

static void say_stop(struct work *work, enum event event, const char *text)
{
	const struct log_fields f = { .usec = work->stop_since_us
						      ? time_boot_us() - work->stop_since_us
						      : 0 };

	log_event(work->options.log, event, &f, "%s", text);
}

static void kill_all(struct work *work)
{
	if (work->keeper.killed_us == work->keeper.now_us)
		say_stop(work, EVENT_WORK_STOP_LATE, "the work did not stop in time: killing it");
	work->killed = true;
	script_kill(&work->takeover);
	work->kind->kill(work);
	(void)clean_up(work);
	/* The guard kills its own when it is time. */
	if (work->lease && !guard_is_at_it(work))
		end_foreign_stop(work, lease_file_noted(work->lease, LEASE_GROUP_STOP));
}

static void say_self_fence(struct work *work, const char *outcome)
{
	log_event(work->options.log, EVENT_SELF_FENCE, NULL,
		  "the work is not down at the end of the lease: %s", outcome);
}

static void self_fence(struct work *work)
{
	if (work->config->relinquish.self_fence == CONFIG_SELF_FENCE_NONE) {
		say_self_fence(work, "relinquish.self-fence is none: this host is not rebooted");
		return;
	}
	/* No sync(): the disk may be what hangs. */
	say_self_fence(work, "this host reboots now");
	if (reboot(RB_AUTOBOOT) < 0)
		say_self_fence(work, errno == EPERM
					     ? "not permitted to reboot: CAP_SYS_BOOT is missing"
					     : strerror(errno));
}

static void tell_down(struct work *work)
{
	work->group = 0;
	work->obstacle[0] = '\0';
	if (work->killed)
		say_stop(work, EVENT_WORK_KILLED, "the work was killed");
	work->killed = false;
	work_emit(work, WORK_IS_DOWN);
}

/* -- actions out -- */

static void start(struct work *work)
{
	/* It may be on standby. */
	work->kind->wake(work);
	work->kind->start(work);
}

static void carry_out(struct work *work, enum keeper_action action)
{
	switch (action) {
	case KEEPER_DO_LEASE:
		set_lease(work);
		break;
	case KEEPER_DO_ARM:
		work->armed = true;
		work->kind->arm(work);
		break;
	case KEEPER_DO_DISARM:
		disarm(work);
		break;
	case KEEPER_DO_LOCK:
		lock_work(work);
		break;
	case KEEPER_DO_UNLOCK:
		unlock(work);
		break;
	case KEEPER_DO_START:
		start(work);
		break;
	case KEEPER_DO_STOP:
		work->kind->stop(work);
		break;
	case KEEPER_DO_CLEAN:
		work_answer(work, KEEPER_ON_CLEAN, clean_up(work));
		break;
	case KEEPER_DO_KILL:
		kill_all(work);
		break;
	case KEEPER_DO_FENCE:
		self_fence(work);
		break;
	case KEEPER_DO_TELL_UP:
		work_emit(work, WORK_IS_UP);
		break;
	case KEEPER_DO_TELL_FAILED:
		work_emit(work, WORK_NOT_STARTED);
		break;
	case KEEPER_DO_TELL_DOWN:
		tell_down(work);
		break;
	case KEEPER_DO_TELL_TROUBLE:
		work_emit(work, WORK_TROUBLE);
		break;
	case KEEPER_DO_SEIZE: /* the guard's */
	case KEEPER_ACTION_COUNT:
		assert(false);
	}
}

/* -- what the node says -- */

void work_is_down(struct work *work)
{
	answer(work, KEEPER_ON_DOWN, KEEPER_OK);
}

void work_resume(struct work *work, int64_t lease_end_us)
{
	const struct keeper_event event = { .type = KEEPER_ON_RESUME,
					    .lease_end_us = lease_end_us };

	work->kind->resume(work);
	post(work, &event);
}

static void remember(struct work *work, const struct script_facts *facts)
{
	work->facts = *facts;
	snprintf(work->primary, sizeof(work->primary), "%s", facts->primary);
	snprintf(work->previous, sizeof(work->previous), "%s", facts->previous);
	snprintf(work->reason, sizeof(work->reason), "%s", facts->reason);
	work->facts.primary = work->primary;
	work->facts.previous = work->previous;
	work->facts.reason = work->reason;
}

void work_named(struct work *work, const struct script_facts *facts)
{
	if (work->keeper.state != KEEPER_DOWN)
		return;
	remember(work, facts);
	answer(work, KEEPER_ON_NAMED, KEEPER_OK);
}

void work_unnamed(struct work *work)
{
	if (work->keeper.state == KEEPER_STANDBY)
		answer(work, KEEPER_ON_UNNAMED, KEEPER_OK);
}

void work_lease(struct work *work, int64_t end_us, int64_t epoch)
{
	const struct keeper_event event = { .type = KEEPER_ON_LEASE, .lease_end_us = end_us };

	work->epoch = epoch;
	if (end_us && end_us != work->keeper.lease_end_us)
		post(work, &event);
}

void work_start(struct work *work, const struct script_facts *facts)
{
	remember(work, facts);
	work->kind->begin(work);
	answer(work, KEEPER_ON_START, KEEPER_OK);
	/* One on standby waits for this. */
	if (work->keeper.state == KEEPER_ARMING)
		work->kind->wake(work);
}

void work_stop(struct work *work, const struct script_facts *facts, bool cold)
{
	const struct keeper_event event = { .type = KEEPER_ON_STOP, .cold = cold };

	remember(work, facts);
	work->stop_since_us = time_boot_us();
	post(work, &event);
}

const char *work_trouble(const struct work *work)
{
	return work->keeper.trouble == KEEPER_TROUBLE_FAILED
		       ? work->failure
		       : keeper_trouble_text(work->keeper.trouble);
}

bool work_in_order(const struct work *work, int64_t now_us)
{
	return keeper_in_order(&work->keeper, now_us);
}

bool work_is_up(const struct work *work)
{
	return keeper_is_up(&work->keeper);
}

bool work_is_guarded(const struct work *work)
{
	return work->keeper.armed == KEEPER_ARMED;
}

bool work_guard_acted(const struct work *work)
{
	return work->keeper.trouble == KEEPER_TROUBLE_GUARD_ACTED;
}

const char *work_obstacle(const struct work *work)
{
	return work->obstacle;
}

/* -- life -- */

/* A guard that the previous process had made ready for a takeover that did not come: it knows no lease, and goes. */
static void end_standby(struct work *work)
{
	lease_file_disarm(work->lease);
	(void)guard_wake(work->config->node.runtime_directory);
}

int work_create(const struct work_options *options, struct work **ret_work)
{
	const struct config *c = options->config;
	struct work *work = calloc(1, sizeof(*work));
	int r;

	if (!work)
		return -ENOMEM;
	work->options = *options;
	work->config = c;
	work->lease = options->lease;
	work->lock = -1;
	work->armed = work->lease && lease_file_end_us(work->lease);
	work->kind = *c->takeover.unit ? &work_units : &work_commands;
	work->keeper_config = (struct keeper_config){
		.stop_timeout_us = c->relinquish.timeout_us,
		.lease_timeout_us = c->relinquish.lease_timeout_us,
		.penalty_us = c->election.penalty_us,
		.units = *c->takeover.unit != '\0',
	};
	keeper_init(&work->keeper_config, &work->keeper);
	commands_init_scripts(work);
	if (work->lease && c->node.mode == CONFIG_COORDINATOR)
		lease_file_set_timeout(work->lease, c->relinquish.lease_timeout_us);
	r = timer_init(&work->timer, options->loop, EV_MAXPRI, on_timer, work);
	if (work->lease && !work->armed)
		end_standby(work);
	if (r == 0)
		r = work->kind->init(work);
	if (r < 0) {
		(void)work_destroy(work);
		return r;
	}
	*ret_work = work;
	return 0;
}

struct work *work_destroy(struct work *work)
{
	if (!work)
		return NULL;
	timer_finish(&work->timer);
	script_finish(&work->takeover);
	script_finish(&work->relinquish);
	work->kind->finish(work);
	unlock(work);
	free(work);
	return NULL;
}
