/* SPDX-License-Identifier: Apache-2.0 */
#include "work.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

static void run_relinquish(struct work *work);

static void stopped(struct work *work)
{
	if (work->group && command_group_exists(work->group))
		command_group_signal(work->group, SIGKILL);
	work->group = 0;
	work->stopping = false;
	work->on_stopped(work->userdata);
}

static void takeover_ended(void *userdata, struct script *script,
			   const struct command_result *result)
{
	struct work *work = userdata;

	work->on_end(work->userdata, script, result);
	work->group = result->has_leftovers ? result->group : 0;
	work->starting = false;
	work->on_started(work->userdata, command_succeeded(result));
}

static void relinquish_ended(void *userdata, struct script *script,
			     const struct command_result *result)
{
	struct work *work = userdata;

	work->on_end(work->userdata, script, result);
	if (!command_succeeded(result) && !work->killed && ++work->tries < WORK_STOP_TRIES)
		run_relinquish(work);
	else
		stopped(work);
}

static void line(void *userdata, struct script *script, const char *text)
{
	struct work *work = userdata;

	work->on_line(work->userdata, script, text);
}

void work_init(struct work *work, struct ev_loop *loop, const struct config *config)
{
	*work = (struct work){ .config = config };
	script_init(&work->takeover, loop, "takeover", takeover_ended, line, work);
	script_init(&work->relinquish, loop, "relinquish", relinquish_ended, line, work);
}

void work_finish(struct work *work)
{
	script_finish(&work->takeover);
	script_finish(&work->relinquish);
}

void work_start(struct work *work, const struct script_facts *facts)
{
	work->starting = true;
	if (work->config->takeover.command.argv) {
		script_run(&work->takeover, work->config->takeover.command.argv,
			   work->config->takeover.timeout_us, facts);
		return;
	}
	work->starting = false;
	work->on_started(work->userdata, true);
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

static void run_relinquish(struct work *work)
{
	/* The bound is the election's: it knows the lease and says when to kill. */
	if (work->config->relinquish.command.argv)
		script_run(&work->relinquish, work->config->relinquish.command.argv, 0,
			   &work->facts);
	else
		stopped(work);
}

void work_stop(struct work *work, const struct script_facts *facts)
{
	/* A takeover under way ends here, with everything it has started so far in its group. */
	script_cancel(&work->takeover);
	work->starting = false;
	work->stopping = true;
	work->killed = false;
	work->tries = 0;
	remember(work, facts);
	run_relinquish(work);
}

void work_kill(struct work *work)
{
	if (!work->stopping)
		return;
	work->killed = true;
	if (script_is_running(&work->relinquish))
		script_kill(&work->relinquish);
	else
		stopped(work);
}
