/* SPDX-License-Identifier: Apache-2.0 */
#include "sim.h"

#include <string.h>

/*
 * The work of being primary as it really runs on the host, its commands, and the daemon's shell around the product's keeper.
 * The work counts as running from the first action that starts it until it is surely down. A kill always succeeds, within
 * the part of the lease that is kept for it.
 */

enum end { END_OK, END_LEFTOVERS, END_FAILED, END_LATE, END_KILLED };

/* Of the commands, and of what is killed: bits 8 and up of an event's argument. */
enum ended { ENDED_TAKEOVER, ENDED_STOP, ENDED_GUARDS_STOP, ENDED_KILL };

static void set_truth(struct sim *w, struct sim_node *n, enum truth truth)
{
	bool was = n->work.truth != TRUTH_DOWN, is = truth != TRUTH_DOWN;

	n->work.truth = (uint8_t)truth;
	/* What is killed are processes of before. */
	if (!is) {
		n->work.kill_gen++;
		n->work.dying = 0;
	}
	if (was != is) {
		SIM_TRACE(w, "node  %d work %s", n->id, is ? "runs" : "is down");
		oracle_running(w, n, is);
	}
}

static void plan(struct sim *w, struct sim_node *n, int64_t delay, uint32_t gen, enum ended what,
		 enum end how)
{
	sim_schedule(w, w->now + delay, EVENT_WORK, n->id, gen,
		     (uint32_t)what << 8 | (uint32_t)how);
}

struct keeper_config work_config(const struct sim *w, const struct sim_node *n)
{
	return (struct keeper_config){
		.stop_timeout_us = w->params.relinquish_timeout_us,
		.lease_timeout_us = n->config.lease_timeout_us,
		.penalty_us = n->config.penalty_us,
	};
}

uint8_t page_mark(const struct sim_node *n)
{
	return n->page.marked == n->page.watch ? n->page.mark : LEASE_WATCHED;
}

/* -- commands -- */

/* Whoever waits for it is told. */
static void kill_command(struct sim *w, struct sim_node *n, struct sim_command *c, enum ended what)
{
	if (!c->runs)
		return;
	c->runs = 0;
	plan(w, n, rng_range(&w->rng, 10, MS), ++c->gen, what, END_KILLED);
}

void work_kill_takeover(struct sim *w, struct sim_node *n)
{
	kill_command(w, n, &n->work.takeover, ENDED_TAKEOVER);
}

void work_kill_guards_stop(struct sim *w, struct sim_node *n)
{
	kill_command(w, n, &n->guard.stop, ENDED_GUARDS_STOP);
}

bool page_stop_runs(const struct sim_node *n)
{
	return n->page.stop == STOP_OF_DAEMON  ? n->work.stop.runs
	       : n->page.stop == STOP_OF_GUARD ? n->guard.stop.runs
					       : false;
}

void page_stop_kill(struct sim *w, struct sim_node *n)
{
	if (n->page.stop == STOP_OF_DAEMON)
		kill_command(w, n, &n->work.stop, ENDED_STOP);
	else if (n->page.stop == STOP_OF_GUARD)
		work_kill_guards_stop(w, n);
}

static void begin_to_stop(struct sim *w, struct sim_node *n)
{
	if (n->work.truth == TRUTH_DOWN)
		return;
	oracle_stop(w, n);
	set_truth(w, n, TRUTH_STOPPING);
}

void work_run_stop(struct sim *w, struct sim_node *n, enum stop_of whose)
{
	bool guards = whose == STOP_OF_GUARD, down = n->work.truth == TRUTH_DOWN;
	struct sim_command *c = guards ? &n->guard.stop : &n->work.stop;
	enum ended what = guards ? ENDED_GUARDS_STOP : ENDED_STOP;
	int64_t took = down ? rng_range(&w->rng, 10, MS)
			    : rng_range(&w->rng, MS, w->params.stop_us);

	oracle_command(w, n, "relinquish");
	n->page.stop = (uint8_t)whose;
	c->gen++;
	c->runs = c->awaited = 1;
	begin_to_stop(w, n);
	if (!w->calm && !down && rng_chance(&w->rng, w->params.stop_hangs)) {
		w->stats.faults[FAULT_STOP_HANGS]++;
	} else if (rng_chance(&w->rng, w->params.stop_fails)) {
		w->stats.faults[FAULT_STOP_FAILS]++;
		plan(w, n, took, c->gen, what, END_FAILED);
	} else {
		plan(w, n, took, c->gen, what,
		     rng_chance(&w->rng, w->params.stop_fails / 2) ? END_LEFTOVERS : END_OK);
	}
}

/* All that the takeover command has started. True: nothing is left. */
bool work_clean_up(struct sim *w, struct sim_node *n)
{
	int64_t longest = lease_kill_share_us(n->config.lease_timeout_us) * 7 / 10;

	work_kill_takeover(w, n);
	if (n->work.truth == TRUTH_DOWN)
		return true;
	begin_to_stop(w, n);
	if (!n->work.dying)
		plan(w, n, rng_range(&w->rng, 100, longest), ++n->work.kill_gen, ENDED_KILL,
		     END_KILLED);
	n->work.dying = 1;
	return false;
}

/* The process is made; before it becomes the takeover command it looks at the clock: the guard may have been through. */
static void fork_work(struct sim *w, struct sim_node *n)
{
	struct sim_command *c = &n->work.takeover;
	int64_t took = rng_range(&w->rng, MS, w->params.start_us);
	bool fails = !w->calm && rng_chance(&w->rng, w->params.start_fails);

	c->gen++;
	c->awaited = 1;
	if (!sim_mutated(w, MUTATION_BLIND_START) && clock_local(w, n) > n->work.not_after) {
		plan(w, n, MS, c->gen, ENDED_TAKEOVER, END_KILLED);
		return;
	}
	oracle_command(w, n, "takeover");
	oracle_start(w, n);
	c->runs = 1;
	n->work.died = 0;
	set_truth(w, n, TRUTH_STARTING);
	if (fails) {
		w->stats.faults[FAULT_START_FAILS]++;
		w->stats.failed_starts++;
	}
	if ((fails && rng_chance(&w->rng, 300)) || took > w->params.takeover_timeout_us)
		plan(w, n, w->params.takeover_timeout_us, c->gen, ENDED_TAKEOVER, END_LATE);
	else
		plan(w, n, took, c->gen, ENDED_TAKEOVER, fails ? END_FAILED : END_OK);
}

/* -- the daemon's shell around the keeper -- */

static void carry_out(struct sim *w, struct sim_node *n, enum keeper_action action);

static void arm_timer(struct sim *w, struct sim_node *n)
{
	const struct keeper_config config = work_config(w, n);
	int64_t next = keeper_next_us(&config, &n->work.keeper);
	uint32_t tag = ++n->work.timer_gen & 0xffff;

	if (next)
		sim_schedule(w, clock_true(w, n, next) + shell_lateness(w), EVENT_READY, n->id,
			     n->incarnation, (uint32_t)KEEPER_ON_TIME | tag << 16);
}

static void trace_keeper(struct sim *w, const struct sim_node *n, const struct keeper_event *event,
			 uint8_t before, const struct keeper_actions *actions)
{
	if (event->type != KEEPER_ON_LEASE || actions->count > 1)
		SIM_TRACE(w, "node  %d keeper: %s %d: %s -> %s", n->id,
			  keeper_event_text(event->type), event->result, keeper_state_text(before),
			  keeper_state_text(n->work.keeper.state));
	for (int i = 0; i < actions->count; i++)
		SIM_TRACE(w, "node  %d         -> %s", n->id, keeper_action_text(actions->list[i]));
}

static void withdraw_page(struct sim *w, struct sim_node *n)
{
	if (!keeper_is_up(&n->work.keeper) && !sim_mutated(w, MUTATION_SHOW_LATE))
		n->shown_until = 0;
}

static void tell_keeper(struct sim *w, struct sim_node *n, const struct keeper_event *event)
{
	const struct keeper_config config = work_config(w, n);
	struct sim_work *k = &n->work;
	uint32_t incarnation = n->incarnation;
	bool held;

	if (k->queued == WORK_EVENTS_MAX) {
		sim_fail(w, "simulator: too many events for the keeper");
		return;
	}
	k->queue[k->queued++] = *event;
	if (k->stepping)
		return;
	k->stepping = 1;
	held = shell_hold(n);
	while (k->queued && n->incarnation == incarnation && !w->failed) {
		struct keeper_event next = k->queue[0];
		struct keeper_actions actions;
		uint8_t before = k->keeper.state;

		memmove(k->queue, k->queue + 1, (size_t)--k->queued * sizeof(next));
		next.now_us = clock_local(w, n);
		keeper_step(&config, &k->keeper, &next, &actions);
		trace_keeper(w, n, &next, before, &actions);
		withdraw_page(w, n);
		for (int i = 0; i < actions.count && n->incarnation == incarnation; i++)
			carry_out(w, n, (enum keeper_action)actions.list[i]);
	}
	if (n->incarnation == incarnation) {
		k->stepping = 0;
		arm_timer(w, n);
	}
	shell_let_go(w, n, held);
}

void work_answer(struct sim *w, struct sim_node *n, uint8_t type, uint8_t result)
{
	const struct keeper_event event = { .type = type, .result = result };

	tell_keeper(w, n, &event);
}

void work_notify(struct sim *w, struct sim_node *n, uint8_t type, uint8_t result, uint32_t tag)
{
	sim_schedule(w, w->now, EVENT_READY, n->id, n->incarnation,
		     (uint32_t)type | (uint32_t)result << 8 | (tag & 0xffff) << 16);
}

static void set_lease(struct sim *w, struct sim_node *n)
{
	int64_t before = n->page.end_local;

	n->page_epoch = n->core.epoch;
	n->page.end_local = n->work.keeper.lease_end_us;
	if (page_mark(n) != LEASE_WATCHED)
		work_answer(w, n, KEEPER_ON_ACTED, KEEPER_OK);
	if (n->page.end_local < before && keeper_may_run(&n->work.keeper))
		guard_poke(w, n);
}

static void end_foreign_stop(struct sim *w, struct sim_node *n)
{
	if (!n->work.stop.awaited)
		page_stop_kill(w, n);
}

static void disarm(struct sim *w, struct sim_node *n)
{
	end_foreign_stop(w, n);
	n->page.stop = STOP_OF_NOBODY;
	n->page.end_local = 0;
	n->page.watch = (n->page.watch + 1) & ~1u;
	n->term_session = 0;
	n->work.died = 0;
	guard_disarm(w, n);
}

static enum keeper_result lock_to_start(struct sim_node *n)
{
	if (n->guard.lock)
		return KEEPER_FAILED;
	n->work.lock = 1;
	return page_mark(n) == LEASE_WATCHED ? KEEPER_OK : KEEPER_FAILED;
}

static enum keeper_result lock_to_stop(struct sim *w, struct sim_node *n)
{
	if (page_mark(n) == LEASE_STOPPING && n->guard.alive) {
		n->work.lock = 0;
		return KEEPER_BUSY;
	}
	if (n->guard.lock)
		return KEEPER_BUSY;
	n->work.lock = 1;
	if (page_mark(n) == LEASE_STOPPED)
		return KEEPER_DONE;
	if (!n->work.takeover.awaited)
		work_kill_takeover(w, n);
	end_foreign_stop(w, n);
	return KEEPER_OK;
}

static void lock_work(struct sim *w, struct sim_node *n)
{
	work_answer(w, n, KEEPER_ON_LOCK,
		    (uint8_t)(n->work.keeper.state == KEEPER_ARMING ? lock_to_start(n)
								    : lock_to_stop(w, n)));
}

static void start(struct sim *w, struct sim_node *n)
{
	const struct keeper_config config = work_config(w, n);

	guard_poke(w, n);
	n->work.not_after = keeper_start_by_us(&config, n->work.keeper.lease_end_us);
	n->work.forking = shell_stopped_here(w, n);
	if (!n->work.forking)
		fork_work(w, n);
}

void work_go_on(struct sim *w, struct sim_node *n)
{
	n->work.forking = 0;
	fork_work(w, n);
}

static void stop(struct sim *w, struct sim_node *n)
{
	if (n->work.takeover.awaited) {
		n->work.takeover.awaited = 0;
		work_kill_takeover(w, n);
	}
	work_run_stop(w, n, STOP_OF_DAEMON);
}

static void kill_all(struct sim *w, struct sim_node *n)
{
	w->stats.kills++;
	kill_command(w, n, &n->work.stop, ENDED_STOP);
	(void)work_clean_up(w, n);
	end_foreign_stop(w, n);
}

/* As far as the keeper, the health command and the node know. */
bool work_is_healthy(const struct sim_node *n)
{
	return n->work.keeper.trouble == KEEPER_TROUBLE_NONE && !n->work.died && !n->no_takeover;
}

void work_tell_health(struct sim *w, struct sim_node *n)
{
	shell_tell_result(w, n, ELECTION_HEALTH, 0, work_is_healthy(n) ? RESULT_OK : RESULT_FAILED,
			  0);
}

static void tell_down(struct sim *w, struct sim_node *n)
{
	shell_tell_result(w, n, ELECTION_STOPPED, 0, RESULT_OK, 0);
	/* Whatever was wrong with it goes with it. */
	if (!n->core.healthy)
		shell_post(w, n, rng_range(&w->rng, MS, 2 * SEC), ELECTION_HEALTH, 0, RESULT_OK);
}

static void carry_out(struct sim *w, struct sim_node *n, enum keeper_action action)
{
	switch (action) {
	case KEEPER_DO_LEASE:
		set_lease(w, n);
		break;
	case KEEPER_DO_ARM:
		guard_arm(w, n);
		break;
	case KEEPER_DO_DISARM:
		disarm(w, n);
		break;
	case KEEPER_DO_LOCK:
		lock_work(w, n);
		break;
	case KEEPER_DO_UNLOCK:
		n->work.lock = 0;
		break;
	case KEEPER_DO_START:
		start(w, n);
		break;
	case KEEPER_DO_STOP:
		stop(w, n);
		break;
	case KEEPER_DO_CLEAN:
		work_answer(w, n, KEEPER_ON_CLEAN, work_clean_up(w, n) ? KEEPER_OK : KEEPER_FAILED);
		break;
	case KEEPER_DO_KILL:
		kill_all(w, n);
		break;
	case KEEPER_DO_FENCE:
		host_self_fence(w, n);
		break;
	case KEEPER_DO_TELL_UP:
		shell_tell_result(w, n, ELECTION_STARTED, 0, RESULT_OK, 0);
		break;
	case KEEPER_DO_TELL_FAILED:
		shell_tell_result(w, n, ELECTION_STARTED, 0, RESULT_FAILED, 0);
		break;
	case KEEPER_DO_TELL_DOWN:
		tell_down(w, n);
		break;
	case KEEPER_DO_TELL_TROUBLE:
		work_tell_health(w, n);
		break;
	case KEEPER_DO_SEIZE: /* the guard's */
	case KEEPER_ACTION_COUNT:
		break;
	}
}

/* -- what the daemon is told: it may be stopped just then -- */

static void command_ended(struct sim *w, struct sim_node *n, struct sim_command *c, uint8_t type,
			  uint8_t result, uint32_t tag)
{
	if (!c->awaited || tag != (c->gen & 0xffff))
		return;
	c->awaited = 0;
	/* One that the guard has killed ends when its stop is over. */
	if (type == KEEPER_ON_ENDED || n->work.keeper.doing == KEEPER_DOES_START)
		work_answer(w, n, type, result);
}

void work_on_notice(struct sim *w, struct sim_node *n, const struct queue_event *ev)
{
	uint8_t type = ev->arg & 0xff, result = ev->arg >> 8 & 0xff;
	uint32_t tag = ev->arg >> 16;

	if (ev->gen != n->incarnation || n->daemon != DAEMON_UP)
		return;
	if (type == KEEPER_ON_STARTED)
		command_ended(w, n, &n->work.takeover, type, result, tag);
	else if (type == KEEPER_ON_ENDED)
		command_ended(w, n, &n->work.stop, type, result, tag);
	else if (type == KEEPER_ON_TIME && tag == (n->work.timer_gen & 0xffff))
		work_answer(w, n, type, KEEPER_OK);
	else if (type == KEEPER_ON_FAILED)
		work_answer(w, n, type, KEEPER_OK);
	else if (type == KEEPER_ON_ARMED || type == KEEPER_ON_UNGUARDED)
		guard_on_notice(w, n, type, result, tag);
}

/* -- what happens on the host -- */

static void takeover_ended(struct sim *w, struct sim_node *n, enum end how)
{
	struct sim_command *c = &n->work.takeover;

	/* Nobody is there whose time-out it would be. */
	if (how == END_LATE && !c->awaited)
		return;
	c->runs = 0;
	if (how == END_OK && n->work.truth == TRUTH_STARTING)
		set_truth(w, n, TRUTH_UP);
	if (c->awaited)
		work_notify(w, n, KEEPER_ON_STARTED, how == END_OK ? KEEPER_OK : KEEPER_FAILED,
			    c->gen);
}

static void stop_ended(struct sim *w, struct sim_node *n, struct sim_command *c, enum end how)
{
	uint8_t result = how == END_OK || how == END_LEFTOVERS ? KEEPER_OK : KEEPER_FAILED;

	c->runs = 0;
	if (how == END_OK && n->work.truth != TRUTH_DOWN)
		set_truth(w, n, TRUTH_DOWN);
	if (c == &n->work.stop && c->awaited)
		work_notify(w, n, KEEPER_ON_ENDED, result, c->gen);
	else if (c == &n->guard.stop && c->awaited)
		guard_stop_ended(w, n, result);
}

void work_on_event(struct sim *w, struct sim_node *n, const struct queue_event *ev)
{
	enum end how = (enum end)(ev->arg & 0xff);

	switch ((enum ended)(ev->arg >> 8)) {
	case ENDED_TAKEOVER:
		if (ev->gen == n->work.takeover.gen)
			takeover_ended(w, n, how);
		break;
	case ENDED_STOP:
		if (ev->gen == n->work.stop.gen)
			stop_ended(w, n, &n->work.stop, how);
		break;
	case ENDED_GUARDS_STOP:
		if (ev->gen == n->guard.stop.gen)
			stop_ended(w, n, &n->guard.stop, how);
		break;
	case ENDED_KILL:
		if (ev->gen == n->work.kill_gen)
			set_truth(w, n, TRUTH_DOWN);
		break;
	}
}

/* By itself. A unit's end is seen at once, that of other work by the health command. */
void work_die(struct sim *w, struct sim_node *n)
{
	if (n->work.truth != TRUTH_UP)
		return;
	SIM_TRACE(w, "fault work of node %d dies", n->id);
	set_truth(w, n, TRUTH_DOWN);
	if (rng_chance(&w->rng, 500)) {
		work_notify(w, n, KEEPER_ON_FAILED, KEEPER_OK, 0);
		return;
	}
	n->work.died = 1;
	shell_post(w, n, 0, ELECTION_HEALTH, 0, RESULT_FAILED);
}

/* -- life -- */

/* What a process knew; what it started goes on. */
void work_end(struct sim_node *n)
{
	struct sim_work *k = &n->work;

	k->takeover.awaited = k->stop.awaited = 0;
	k->lock = k->forking = k->stepping = 0;
	k->queued = 0;
	k->timer_gen++;
	n->guard.known = GUARD_UNKNOWN;
}

/* With its host. */
void work_off(struct sim *w, struct sim_node *n)
{
	if (n->work.truth != TRUTH_DOWN)
		set_truth(w, n, TRUTH_DOWN);
	n->work = (struct sim_work){ .takeover.gen = n->work.takeover.gen + 1,
				     .stop.gen = n->work.stop.gen + 1,
				     .kill_gen = n->work.kill_gen + 1,
				     .timer_gen = n->work.timer_gen + 1 };
	n->guard = (struct sim_guard){ .stop.gen = n->guard.stop.gen + 1,
				       .timer_gen = n->guard.timer_gen + 1,
				       .spawn = n->guard.spawn + 1 };
	n->page = (struct sim_page){ .watch = 0 };
}

void work_begin(struct sim *w, struct sim_node *n)
{
	const struct keeper_config config = work_config(w, n);

	keeper_init(&config, &n->work.keeper);
	n->work.died = 0;
	if (!n->page.end_local)
		guard_end_standby(w, n);
	guard_adopt(n);
}

/* -- what the node says, see daemon/node -- */

void work_keep(struct sim *w, struct sim_node *n)
{
	const struct election *e = &n->core;
	const struct keeper *k = &n->work.keeper;
	const struct keeper_event lease = { .type = KEEPER_ON_LEASE,
					    .lease_end_us = e->lease_end_us };

	if (e->phase == PHASE_AWAIT || e->phase == PHASE_ENTER) {
		if (k->state == KEEPER_DOWN)
			work_answer(w, n, KEEPER_ON_NAMED, KEEPER_OK);
	} else if (!election_work_may_run(e) && e->phase != PHASE_RECOVER) {
		if (k->state == KEEPER_STANDBY)
			work_answer(w, n, KEEPER_ON_UNNAMED, KEEPER_OK);
	}
	if (e->lease_end_us && e->lease_end_us != k->lease_end_us)
		tell_keeper(w, n, &lease);
}

void work_start(struct sim *w, struct sim_node *n)
{
	work_answer(w, n, KEEPER_ON_START, KEEPER_OK);
	if (n->work.keeper.state == KEEPER_ARMING)
		guard_poke(w, n);
}

void work_stop(struct sim *w, struct sim_node *n, bool cold)
{
	const struct keeper_event event = { .type = KEEPER_ON_STOP, .cold = cold };

	tell_keeper(w, n, &event);
}

void work_resume(struct sim *w, struct sim_node *n)
{
	const struct keeper_event event = { .type = KEEPER_ON_RESUME,
					    .lease_end_us = n->page.end_local };

	tell_keeper(w, n, &event);
}
