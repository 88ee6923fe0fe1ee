/* SPDX-License-Identifier: Apache-2.0 */
#include "sim.h"

/*
 * The work of being primary, and the guard that outlives the daemon. The work counts as running
 * from the first action that starts it until it is surely down. A kill always succeeds, within the
 * part of the lease that is kept for it.
 */

/* KEEPER_REARM_US and KEEPER_UNGUARDED_MAX_US of daemon/work/keeper.h. */
#define REARM_US (200 * MS)
#define UNGUARDED_MAX_US (5 * SEC)

enum guard_news { GUARD_NEWS_UP = 1, GUARD_NEWS_FAILED, GUARD_NEWS_DIED, GUARD_NEWS_RETRY };

enum work_end { WORK_STARTED, WORK_START_FAILED, WORK_START_LATE, WORK_STOPPED, WORK_GUARDED };

static void set_truth(struct sim *w, struct sim_node *n, enum truth truth)
{
	bool was = n->work.truth != TRUTH_DOWN, is = truth != TRUTH_DOWN;

	n->work.truth = (uint8_t)truth;
	if (was != is) {
		SIM_TRACE(w, "node  %d work %s", n->id, is ? "runs" : "is down");
		oracle_running(w, n, is);
	}
}

/* The part of the lease that leasing.c keeps for killing. */
static int64_t kill_share_us(const struct sim_node *n)
{
	return n->config.lease_timeout_us / 8;
}

static int64_t kill_took(struct sim *w, const struct sim_node *n)
{
	return rng_range(&w->rng, 100, kill_share_us(n) * 7 / 10);
}

static void plan(struct sim *w, struct sim_node *n, int64_t delay, enum work_end end)
{
	sim_schedule(w, w->now + delay, EVENT_WORK, n->id, n->work.gen, end);
}

/*
 * When it begins to stop the work: a little after the daemon should have. It kills when the daemon
 * would, or, in the mutation, looks only when the lease is over.
 */
static int64_t guard_due_local(const struct sim *w, const struct sim_node *n)
{
	if (sim_mutated(w, MUTATION_LATE_GUARD))
		return n->guard.end_local;
	return n->guard.end_local - n->config.lease_timeout_us + kill_share_us(n);
}

static void guard_arm(struct sim *w, struct sim_node *n)
{
	int64_t due;

	if (!n->guard.running || !n->guard.alive || n->guard.armed ||
	    sim_mutated(w, MUTATION_NO_GUARD))
		return;
	due = clock_true(w, n, guard_due_local(w, n));
	if (due < w->now)
		due = w->now;
	n->guard.armed = due;
	sim_schedule(w, due, EVENT_GUARD, n->id, n->guard.gen, 0);
}

static void start_failed(struct sim *w, struct sim_node *n)
{
	n->work.starting = 1;
	shell_post(w, n, 0, ELECTION_STARTED, 0, RESULT_FAILED);
}

/*
 * The process is made; before it becomes the takeover command it looks at the clock: the guard may
 * have been through already.
 */
static void fork_work(struct sim *w, struct sim_node *n)
{
	int64_t took = rng_range(&w->rng, MS, w->params.start_us);
	bool fails = !w->calm && rng_chance(&w->rng, w->params.start_fails);

	if (!sim_mutated(w, MUTATION_BLIND_START) &&
	    clock_local(w, n) > n->core.lease_end_us - n->config.lease_timeout_us) {
		start_failed(w, n);
		return;
	}
	oracle_start(w, n);
	n->work.gen++;
	n->work.telling = 0;
	n->work.starting = 1;
	set_truth(w, n, TRUTH_STARTING);
	if (fails) {
		w->stats.faults[FAULT_START_FAILS]++;
		w->stats.failed_starts++;
	}
	if (fails && rng_chance(&w->rng, 300))
		plan(w, n, w->params.takeover_timeout_us, WORK_START_LATE);
	else if (took > w->params.takeover_timeout_us)
		plan(w, n, w->params.takeover_timeout_us, WORK_START_LATE);
	else
		plan(w, n, took, fails ? WORK_START_FAILED : WORK_STARTED);
}

/* With a guard that watches. */
static void start_guarded(struct sim *w, struct sim_node *n)
{
	if (n->core.work != WORK_STARTING)
		return;
	if (n->guard.acted) {
		start_failed(w, n);
		return;
	}
	n->guard.running = 1;
	guard_arm(w, n);
	n->work.forking = shell_stopped_here(w, n);
	if (!n->work.forking)
		fork_work(w, n);
}

void work_go_on(struct sim *w, struct sim_node *n)
{
	n->work.forking = 0;
	fork_work(w, n);
}

/* False: no process can be made. */
static bool guard_spawn(struct sim *w, struct sim_node *n)
{
	int64_t took = rng_range(&w->rng, MS, 20 * MS);
	bool fails = rng_chance(&w->rng, w->params.guard_fails);

	if (n->guard.spawning)
		return true;
	n->guard.alive = n->guard.acted = n->guard.acting = 0;
	n->guard.armed = 0;
	n->guard.gen++;
	w->stats.faults[FAULT_GUARD_FAILS] += fails;
	if (fails && rng_chance(&w->rng, 500))
		return false;
	if (rng_chance(&w->rng, w->params.guard_late)) {
		w->stats.faults[FAULT_GUARD_LATE]++;
		took = rng_range(&w->rng, MS, 3 * SEC);
	}
	n->guard.spawning = 1;
	n->guard.spawn++;
	sim_schedule(w, w->now + took, EVENT_GUARD, n->id, n->guard.spawn,
		     fails ? GUARD_NEWS_FAILED : GUARD_NEWS_UP);
	return true;
}

void work_start(struct sim *w, struct sim_node *n)
{
	n->work.starting = 0;
	if (n->guard.alive)
		start_guarded(w, n);
	else if (!guard_spawn(w, n))
		start_failed(w, n);
}

static void guard_again_later(struct sim *w, struct sim_node *n)
{
	if (n->guard.gone_at && !n->guard.lost && w->now > n->guard.gone_at + UNGUARDED_MAX_US) {
		n->guard.lost = 1;
		shell_post(w, n, 0, ELECTION_HEALTH, 0, RESULT_FAILED);
	}
	sim_schedule(w, w->now + REARM_US, EVENT_READY, n->id, n->incarnation, GUARD_NEWS_RETRY);
}

static bool to_be_guarded(const struct sim *w, const struct sim_node *n, uint32_t news)
{
	if (news == GUARD_NEWS_RETRY && sim_mutated(w, MUTATION_LONE_WORK))
		return n->core.work == WORK_UP;
	return n->core.work == WORK_UP || n->core.work == WORK_STARTING;
}

void guard_on_ready(struct sim *w, struct sim_node *n, const struct queue_event *ev)
{
	if (ev->gen != n->incarnation || n->daemon != DAEMON_UP)
		return;
	if (ev->arg == GUARD_NEWS_UP) {
		n->guard.spawning = 0;
		if (n->core.work == WORK_STARTING && !n->work.starting && !n->work.forking)
			start_guarded(w, n);
	} else if (ev->arg == GUARD_NEWS_FAILED) {
		n->guard.spawning = 0;
		if (n->core.work == WORK_STARTING)
			start_failed(w, n);
		else if (n->core.work == WORK_UP)
			guard_again_later(w, n);
	} else if (to_be_guarded(w, n, ev->arg) && !n->guard.alive && !guard_spawn(w, n)) {
		guard_again_later(w, n);
	}
}

void guard_prepare(struct sim *w, struct sim_node *n)
{
	if (!n->guard.alive && !n->guard.spawning)
		(void)guard_spawn(w, n);
}

void guard_stand_down(struct sim_node *n)
{
	n->guard.alive = n->guard.spawning = 0;
	n->guard.end_local = 0;
	n->guard.spawn++;
}

void guard_adopt(struct sim *w, struct sim_node *n)
{
	if (n->guard.end_local && !n->guard.alive && !n->guard.acted && !guard_spawn(w, n))
		guard_again_later(w, n);
}

bool guard_missing(const struct sim_node *n)
{
	return n->work.truth != TRUTH_DOWN && !n->guard.alive;
}

/* While the daemon runs: both at once is the stated impossible case. */
void guard_die(struct sim *w, struct sim_node *n)
{
	if (!n->guard.alive || n->daemon != DAEMON_UP || n->paused_until > w->now ||
	    n->frozen_until > w->now)
		return;
	/* Nor while it does what the daemon, held up, was too late for. */
	if (n->guard.acting && n->disturbed > w->now - w->params.session_us)
		return;
	SIM_TRACE(w, "fault guard of node %d is killed", n->id);
	n->guard.alive = 0;
	if (n->work.truth != TRUTH_DOWN)
		n->guard.gone_at = w->now;
	if (n->guard.acted && n->core.work == WORK_UP)
		shell_post(w, n, 0, ELECTION_HEALTH, 0, RESULT_FAILED);
	else if (!n->guard.acted)
		sim_schedule(w, w->now, EVENT_READY, n->id, n->incarnation, GUARD_NEWS_DIED);
	n->guard.acting = 0;
}

static void guard_up(struct sim *w, struct sim_node *n, uint32_t news)
{
	if (news == GUARD_NEWS_UP) {
		n->guard.alive = 1;
		n->guard.gone_at = 0;
		guard_arm(w, n);
	}
	sim_schedule(w, w->now, EVENT_READY, n->id, n->incarnation, news);
}

void work_stop(struct sim *w, struct sim_node *n)
{
	bool hangs = !w->calm && rng_chance(&w->rng, w->params.stop_hangs);

	n->work.gen++;
	n->work.telling = 1;
	n->work.stop_local = clock_local(w, n);
	n->work.killed = 0;
	if (n->work.truth == TRUTH_DOWN) {
		plan(w, n, rng_range(&w->rng, 10, MS), WORK_STOPPED);
		return;
	}
	oracle_stop(w, n);
	set_truth(w, n, TRUTH_STOPPING);
	if (hangs)
		w->stats.faults[FAULT_STOP_HANGS]++;
	else
		plan(w, n, rng_range(&w->rng, MS, w->params.stop_us), WORK_STOPPED);
}

int64_t work_kill_due(const struct sim *w, const struct sim_node *n)
{
	if (n->core.work != WORK_STOPPING || n->work.killed || sim_mutated(w, MUTATION_NO_KILL))
		return 0;
	return lease_kill_due_us(n->work.stop_local, w->params.relinquish_timeout_us,
				 n->core.lease_end_us, n->config.lease_timeout_us);
}

void work_judge(struct sim *w, struct sim_node *n)
{
	int64_t due = work_kill_due(w, n);

	if (!due || clock_local(w, n) < due)
		return;
	w->stats.kills++;
	n->work.killed = 1;
	oracle_stop(w, n);
	n->work.gen++;
	n->work.telling = 1;
	plan(w, n, kill_took(w, n), WORK_STOPPED);
}

/* By itself, or with its host. */
void work_down(struct sim *w, struct sim_node *n)
{
	n->work.gen++;
	set_truth(w, n, TRUTH_DOWN);
}

void work_die(struct sim *w, struct sim_node *n)
{
	if (n->work.truth != TRUTH_UP)
		return;
	SIM_TRACE(w, "fault work of node %d dies", n->id);
	set_truth(w, n, TRUTH_DOWN);
	shell_post(w, n, 0, ELECTION_HEALTH, 0, RESULT_FAILED);
}

static void guarded(struct sim *w, struct sim_node *n)
{
	bool up = n->work.truth == TRUTH_UP, starting = n->work.truth == TRUTH_STARTING;
	bool telling = n->work.telling;

	n->guard.alive = n->guard.acting = 0;
	if (n->work.truth == TRUTH_DOWN)
		return;
	if (starting || telling)
		n->work.gen++;
	set_truth(w, n, TRUTH_DOWN);
	if (starting)
		shell_post(w, n, 0, ELECTION_STARTED, 0, RESULT_FAILED);
	else if (telling)
		plan(w, n, rng_range(&w->rng, 10, MS), WORK_STOPPED);
	else if (up)
		shell_post(w, n, 0, ELECTION_HEALTH, 0, RESULT_FAILED);
}

void work_on_event(struct sim *w, struct sim_node *n, const struct queue_event *ev)
{
	if (ev->arg == WORK_GUARDED) {
		if (n->guard.acting && ev->gen == n->guard.spawn)
			guarded(w, n);
		return;
	}
	if (ev->gen != n->work.gen)
		return;
	if (ev->arg == WORK_STOPPED) {
		set_truth(w, n, TRUTH_DOWN);
		n->work.telling = 0;
		n->term_session = 0;
		if (n->daemon == DAEMON_UP)
			n->guard = (struct sim_guard){ .armed = n->guard.armed,
						       .gen = n->guard.gen };
		shell_post(w, n, 0, ELECTION_STOPPED, 0, RESULT_OK);
		/* Whatever was wrong with it goes with it. */
		if (!n->core.healthy)
			shell_post(w, n, rng_range(&w->rng, MS, 2 * SEC), ELECTION_HEALTH, 0,
				   RESULT_OK);
		return;
	}
	if (ev->arg == WORK_STARTED)
		set_truth(w, n, TRUTH_UP);
	shell_post(w, n, 0, ELECTION_STARTED, 0,
		   ev->arg == WORK_STARTED ? RESULT_OK : RESULT_FAILED);
}

bool guard_extend(struct sim *w, struct sim_node *n, int64_t end_local)
{
	n->guard.end_local = end_local;
	guard_arm(w, n);
	return !n->guard.acted;
}

/* It wakes once a lease, looks whether that was extended, and stops the work if not. */
void guard_on_event(struct sim *w, struct sim_node *n, const struct queue_event *ev)
{
	int64_t left;

	if (ev->arg) {
		if (ev->gen == n->guard.spawn)
			guard_up(w, n, ev->arg);
		return;
	}
	if (ev->gen != n->guard.gen)
		return;
	n->guard.armed = 0;
	if (!n->guard.running || n->guard.acted || !n->guard.alive)
		return;
	if (clock_local(w, n) < guard_due_local(w, n)) {
		guard_arm(w, n);
		return;
	}
	/* Whoever starts the work holds the lock; a daemon that is stopped is passed over. */
	if ((n->work.forking || n->work.truth == TRUTH_STARTING) &&
	    clock_local(w, n) < n->guard.end_local - n->config.lease_timeout_us / 2) {
		n->guard.armed = clock_true(w, n,
					    n->guard.end_local - n->config.lease_timeout_us / 2);
		sim_schedule(w, n->guard.armed, EVENT_GUARD, n->id, n->guard.gen, 0);
		return;
	}
	n->guard.acted = 1;
	if (n->work.truth == TRUTH_DOWN) {
		n->guard.alive = 0;
		if (n->core.work == WORK_UP)
			shell_post(w, n, 0, ELECTION_HEALTH, 0, RESULT_FAILED);
		return;
	}
	SIM_TRACE(w, "node  %d guard stops the work", n->id);
	oracle_stop(w, n);
	oracle_guard(w, n);
	w->stats.guard_stops++;
	left = n->guard.end_local - kill_share_us(n) - clock_local(w, n);
	if (left < 0 || !rng_chance(&w->rng, w->params.stop_hangs))
		left = left > 0 ? rng_range(&w->rng, 0, left) : 0;
	/* The relinquish command is run again; it has until the kill. */
	if (left > 0 && rng_chance(&w->rng, w->params.guard_stop_fails)) {
		int64_t latest = n->guard.end_local - kill_share_us(n) - clock_local(w, n);

		w->stats.faults[FAULT_GUARD_STOP_FAILS]++;
		left = rng_range(&w->rng, left, latest > left ? latest : left);
	}
	n->guard.acting = 1;
	sim_schedule(w, w->now + left + kill_took(w, n), EVENT_WORK, n->id, n->guard.spawn,
		     WORK_GUARDED);
}
