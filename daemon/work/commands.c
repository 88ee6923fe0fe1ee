/* SPDX-License-Identifier: Apache-2.0 */

/* Work that is commands: their guard is a child of the daemon. Commands may also run in addition to a unit. */

#include "internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* -- the commands -- */

/* The work outlives this process, its output does not. */
static void say_output(const struct work *work)
{
	log_event(
		work->options.log, EVENT_CONFIG_WARNING, NULL,
		"what the takeover command has left running still writes to its output: redirect that "
		"(for example to systemd-cat), for after a reload or a crash of this daemon nobody "
		"reads it, and SIGPIPE ends whoever writes");
}

static void takeover_ended(void *userdata, struct script *script,
			   const struct command_result *result)
{
	struct work *work = userdata;

	work->group = result->has_leftovers ? result->group : 0;
	if (result->holds_output && command_succeeded(result))
		say_output(work);
	if (work->lease) {
		/* In this order: at no moment may the guard, or a process after us, miss the group. */
		lease_file_set_group(work->lease, LEASE_GROUP_WORK, work->group);
		lease_file_set_group(work->lease, LEASE_GROUP_TAKEOVER, 0);
	}
	/* One that the guard has killed ends when its stop is over. */
	if (work->keeper.doing == KEEPER_DOES_START && !work->unit_starting)
		work->on_command_started(work, command_succeeded(result));
}

static void relinquish_ended(void *userdata, struct script *script,
			     const struct command_result *result)
{
	struct work *work = userdata;

	/* What it leaves running is its own affair. (That of a try that failed is killed when the next one begins.) */
	if (work->lease && command_succeeded(result))
		lease_file_set_group(work->lease, LEASE_GROUP_STOP, 0);
	work->on_command_stopped(work, command_succeeded(result));
}

void commands_init_scripts(struct work *work)
{
	struct ev_loop *loop = work->options.loop;
	struct log *log = work->options.log;

	script_init(&work->takeover, loop, log, "takeover", takeover_ended, work);
	script_init(&work->relinquish, loop, log, "relinquish", relinquish_ended, work);
	script_note_group(&work->takeover, work->lease, LEASE_GROUP_TAKEOVER);
	/* The guard lets a stop that runs finish. */
	script_note_group(&work->relinquish, work->lease, LEASE_GROUP_STOP);
}

void commands_start(struct work *work, int64_t timeout_us)
{
	char **argv = work->config->takeover.command.argv;

	if (!argv) {
		work->on_command_started(work, true);
		return;
	}
	work->takeover.not_after_us = work->lease ? keeper_start_by_us(&work->keeper_config,
								       work->keeper.lease_end_us)
						  : 0;
	script_run(&work->takeover, argv, timeout_us, &work->facts);
}

void commands_stop(struct work *work)
{
	char **argv = work->config->relinquish.command.argv;

	/* A takeover under way ends here, with everything that it has started so far in its group. */
	script_cancel(&work->takeover);
	/* It has no bound of its own: the keeper knows the lease, and says when to kill. */
	if (argv)
		script_run(&work->relinquish, argv, 0, &work->facts);
	else
		work->on_command_stopped(work, true);
}

/* -- their guard -- */

static void on_guard_ready(struct guard *guard, int result, void *userdata)
{
	struct work *work = userdata;

	if (result != 0)
		work_say_guard(work, EVENT_GUARD_FAILED, strerror(-result));
	else
		work_say_guard(work, EVENT_GUARD_STARTED, "");
	work_answer(work, KEEPER_ON_ARMED, result == 0);
}

static void on_guard_died(struct guard *guard, bool acted, void *userdata)
{
	struct work *work = userdata;

	if (acted) {
		/* The lease was over for it; the election will see the same, or hears it here. */
		work_say_guard(work, EVENT_GUARD_DONE, "");
		work_answer(work, KEEPER_ON_ACTED, true);
	} else {
		work_say_guard(work, EVENT_GUARD_FAILED, "it died; starting another one");
		work_answer(work, KEEPER_ON_UNGUARDED, true);
	}
}

static void arm(struct work *work)
{
	int r;

	if (!work->guard || guard_is_alive(work->guard)) {
		work_answer(work, KEEPER_ON_ARMED, true);
		return;
	}
	r = guard_start(work->guard, on_guard_ready);
	if (r == 0 || r == -EALREADY)
		return;
	work_say_guard(work, EVENT_GUARD_FAILED, strerror(-r));
	work_answer(work, KEEPER_ON_ARMED, false);
}

static void disarm(struct work *work)
{
	if (work->guard)
		guard_disarm(work->guard);
}

static void wake(struct work *work)
{
	if (work->guard)
		guard_poke(work->guard);
}

static void start(struct work *work)
{
	commands_start(work, work->config->takeover.timeout_us);
}

static void started(struct work *work, bool ok)
{
	work_answer(work, KEEPER_ON_STARTED, ok);
}

static void stopped(struct work *work, bool ok)
{
	snprintf(work->obstacle, sizeof(work->obstacle), "%s", ok ? "" : WORK_COMMAND_FAILED);
	work_answer(work, KEEPER_ON_ENDED, ok);
}

static int init(struct work *work)
{
	const struct config *c = work->config;
	const struct guard_config config = {
		.runtime_directory = c->node.runtime_directory,
		.node = c->node.name,
		.relinquish = c->relinquish.command.argv,
		.lease_timeout_us = c->relinquish.lease_timeout_us,
		.self_fence = c->relinquish.self_fence == CONFIG_SELF_FENCE_REBOOT,
		.lease = work->lease,
		.on_died = on_guard_died,
		.userdata = work,
	};
	int r;

	work->on_command_started = started;
	work->on_command_stopped = stopped;
	if (!work->lease || c->node.mode != CONFIG_COORDINATOR)
		return 0;
	r = guard_create(work->options.loop, &config, &work->guard);
	if (r < 0 || !lease_file_end_us(work->lease))
		return r;
	/* Work of a former process: its guard goes on, or a new one takes its place. */
	r = guard_adopt(work->guard);
	if (r == GUARD_OTHER && lease_file_mark(work->lease) == LEASE_WATCHED)
		r = guard_start(work->guard, on_guard_ready);
	return r < 0 ? r : 0;
}

static void finish(struct work *work)
{
	work->guard = guard_destroy(work->guard);
}

static void kill_command(struct work *work)
{
	script_kill(&work->relinquish);
}

static void nothing(struct work *work)
{
}

const struct work_kind work_commands = {
	.init = init,
	.finish = finish,
	.resume = nothing,
	.begin = nothing,
	.arm = arm,
	.disarm = disarm,
	.wake = wake,
	.start = start,
	.stop = commands_stop,
	.kill = kill_command,
};
