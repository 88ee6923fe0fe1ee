/* SPDX-License-Identifier: Apache-2.0 */
#include "sim.h"

#include <errno.h>
#include <string.h>

/*
 * The guard: a process with a keeper of its own that outlives the daemon, as daemon/guard has it; and what the daemon knows
 * of it. The two share the lease file (struct sim_page) and the work lock.
 */

/* Of an event's argument. */
enum { GUARD_TIMER, GUARD_SIGNAL, GUARD_READY_NEWS, GUARD_FAILED_NEWS, GUARD_DECIDES };

/* -- the process -- */

static bool is_over(const struct sim_node *n)
{
	return n->page.watch != n->guard.watch;
}

static void read_lease(struct sim_node *n)
{
	n->guard.end_local = is_over(n) ? 0 : n->page.end_local;
}

/* Its relinquish command goes on. */
static void end_process(struct sim *w, struct sim_node *n)
{
	struct sim_guard *g = &n->guard;

	g->alive = g->watching = g->lock = g->decides = g->stop.awaited = 0;
	g->queued = 0;
	g->timer_gen++;
	if (n->work.truth != TRUTH_DOWN && !g->gone_at)
		g->gone_at = w->now;
	work_notify(w, n, KEEPER_ON_UNGUARDED, KEEPER_OK, g->spawn);
}

static void post(struct sim *w, struct sim_node *n, uint8_t type, uint8_t result, int64_t end_local)
{
	struct sim_guard *g = &n->guard;

	if (g->queued == WORK_EVENTS_MAX)
		sim_fail(w, "simulator: too many events for a guard");
	else
		g->queue[g->queued++] = (struct keeper_event){ .type = type,
							       .result = result,
							       .lease_end_us = end_local };
}

/* Nobody else starts or stops the work, or it is not asked whether. */
static enum keeper_result may_stop(struct sim *w, struct sim_node *n, bool force)
{
	bool stopping = page_stop_runs(n);

	if (force) {
		page_stop_kill(w, n);
		return KEEPER_OK;
	}
	if (!n->work.lock)
		n->guard.lock = 1;
	if (stopping)
		return KEEPER_BUSY;
	return n->guard.lock ? KEEPER_OK : KEEPER_IDLE;
}

/* Says so to the daemon; then, as a rule at once, it looks for the last time. */
static void set_mark(struct sim *w, struct sim_node *n)
{
	int64_t took = rng_chance(&w->rng, 900) ? 0 : rng_range(&w->rng, 1, 2 * MS);

	n->page.mark = LEASE_STOPPING;
	n->page.marked = n->page.watch;
	n->guard.decides = 1;
	sim_schedule(w, w->now + took, EVENT_GUARD, n->id, n->guard.spawn, GUARD_DECIDES);
}

static void begin_acting(struct sim *w, struct sim_node *n)
{
	n->guard.acted = 1;
	work_kill_takeover(w, n);
	page_stop_kill(w, n);
	if (n->work.truth == TRUTH_DOWN)
		return;
	SIM_TRACE(w, "node  %d guard stops the work", n->id);
	oracle_guard(w, n);
	w->stats.guard_stops++;
}

static void lock_work(struct sim *w, struct sim_node *n, bool force)
{
	enum keeper_result result = KEEPER_OK;

	if (!n->guard.acted) {
		result = may_stop(w, n, force);
		if (result == KEEPER_OK && !is_over(n)) {
			set_mark(w, n);
			return;
		}
		if (result == KEEPER_OK) {
			n->guard.end_local = 0;
			result = KEEPER_OFF;
		}
	}
	post(w, n, KEEPER_ON_LOCK, (uint8_t)result, n->guard.end_local);
}

static void decide(struct sim *w, struct sim_node *n)
{
	int64_t before = n->guard.end_local;
	enum keeper_result result = KEEPER_OK;

	n->guard.decides = 0;
	read_lease(n);
	if (is_over(n) || n->guard.end_local > before) {
		result = KEEPER_OFF;
		if (!is_over(n))
			n->page.mark = LEASE_WATCHED;
	} else {
		begin_acting(w, n);
	}
	post(w, n, KEEPER_ON_LOCK, (uint8_t)result, n->guard.end_local);
}

static void finish(struct sim *w, struct sim_node *n, bool down)
{
	if (n->guard.acted && down) {
		n->page.mark = LEASE_STOPPED;
		n->page.marked = n->page.watch;
	}
	if (!down)
		work_kill_guards_stop(w, n);
	end_process(w, n);
	if (!down)
		host_self_fence(w, n);
}

static void carry_out(struct sim *w, struct sim_node *n, enum keeper_action action)
{
	switch (action) {
	case KEEPER_DO_LOCK:
	case KEEPER_DO_SEIZE:
		lock_work(w, n, action == KEEPER_DO_SEIZE);
		break;
	case KEEPER_DO_STOP:
		work_run_stop(w, n, STOP_OF_GUARD);
		break;
	case KEEPER_DO_CLEAN:
		post(w, n, KEEPER_ON_CLEAN, work_clean_up(w, n) ? KEEPER_OK : KEEPER_FAILED, 0);
		break;
	case KEEPER_DO_KILL:
		work_kill_guards_stop(w, n);
		(void)work_clean_up(w, n);
		break;
	case KEEPER_DO_FENCE:
		finish(w, n, false);
		break;
	case KEEPER_DO_TELL_DOWN:
		finish(w, n, true);
		break;
	default:
		break; /* the daemon's */
	}
}

static struct keeper_config config_of(const struct sim_node *n)
{
	return (struct keeper_config){ .guard = 1, .lease_timeout_us = n->config.lease_timeout_us };
}

static void drain(struct sim *w, struct sim_node *n)
{
	const struct keeper_config config = config_of(n);
	struct sim_guard *g = &n->guard;

	while (g->queued && g->alive && !w->failed) {
		struct keeper_event event = g->queue[0];
		struct keeper_actions actions;
		uint8_t before = g->keeper.state;

		memmove(g->queue, g->queue + 1, (size_t)--g->queued * sizeof(event));
		event.now_us = clock_local(w, n);
		keeper_step(&config, &g->keeper, &event, &actions);
		if (before != g->keeper.state)
			SIM_TRACE(w, "node  %d guard: %s %d: %s -> %s", n->id,
				  keeper_event_text(event.type), event.result,
				  keeper_state_text(before), keeper_state_text(g->keeper.state));
		for (int i = 0; i < actions.count && g->alive; i++)
			carry_out(w, n, (enum keeper_action)actions.list[i]);
	}
	if (g->alive && g->keeper.state == KEEPER_UP)
		g->lock = 0;
}

/* The daemon has seen the work down while the stop was under way, or begun another watch. */
static void give_way(struct sim *w, struct sim_node *n)
{
	work_kill_guards_stop(w, n);
	end_process(w, n);
}

static void arm_timer(struct sim *w, struct sim_node *n)
{
	const struct keeper_config config = config_of(n);
	int64_t next = keeper_next_us(&config, &n->guard.keeper);

	n->guard.timer_gen++;
	if (next)
		sim_schedule(w, clock_true(w, n, next), EVENT_GUARD, n->id, n->guard.timer_gen,
			     GUARD_TIMER);
}

/* On standby until there is a lease. False: nothing to watch. */
static bool stand_by(struct sim *w, struct sim_node *n)
{
	const struct keeper_config config = config_of(n);
	struct sim_guard *g = &n->guard;

	if (g->watching)
		return true;
	if (is_over(n)) {
		end_process(w, n);
		return false;
	}
	if (!n->page.end_local)
		return false;
	g->watching = 1;
	keeper_init(&config, &g->keeper);
	read_lease(n);
	post(w, n, KEEPER_ON_RESUME, KEEPER_OK, g->end_local);
	return true;
}

static void look(struct sim *w, struct sim_node *n)
{
	struct sim_guard *g = &n->guard;

	if (!g->alive || g->decides || sim_mutated(w, MUTATION_NO_GUARD) || !stand_by(w, n))
		return;
	read_lease(n);
	if (g->acted && is_over(n))
		give_way(w, n);
	drain(w, n);
	if (g->alive)
		post(w, n, g->acted ? KEEPER_ON_TIME : KEEPER_ON_LEASE, KEEPER_OK, g->end_local);
	drain(w, n);
	if (g->alive)
		arm_timer(w, n);
}

void guard_stop_ended(struct sim *w, struct sim_node *n, uint8_t result)
{
	n->guard.stop.awaited = 0;
	post(w, n, KEEPER_ON_ENDED, result, 0);
	look(w, n);
}

static void begin_process(struct sim *w, struct sim_node *n)
{
	struct sim_guard *g = &n->guard;

	g->alive = 1;
	g->acted = g->watching = g->lock = 0;
	g->gone_at = 0;
	work_notify(w, n, KEEPER_ON_ARMED, KEEPER_OK, g->spawn);
	look(w, n);
}

void guard_on_event(struct sim *w, struct sim_node *n, const struct queue_event *ev)
{
	struct sim_guard *g = &n->guard;

	if (ev->arg == GUARD_TIMER && ev->gen == g->timer_gen)
		look(w, n);
	else if (ev->arg == GUARD_SIGNAL)
		look(w, n);
	else if (ev->arg == GUARD_DECIDES && ev->gen == g->spawn && g->alive && g->decides) {
		decide(w, n);
		look(w, n);
	} else if (ev->arg == GUARD_READY_NEWS && ev->gen == g->spawn && !is_over(n))
		begin_process(w, n);
	else if (ev->arg == GUARD_FAILED_NEWS && ev->gen == g->spawn)
		work_notify(w, n, KEEPER_ON_ARMED, KEEPER_FAILED, g->spawn);
}

/* While the daemon runs: both at once is the stated impossible case. */
void guard_die(struct sim *w, struct sim_node *n)
{
	if (!n->guard.alive || n->daemon != DAEMON_UP || n->paused_until > w->now ||
	    n->frozen_until > w->now)
		return;
	/* Nor while it does what the daemon, held up, was too late for. */
	if (n->guard.acted && n->disturbed > w->now - w->params.session_us)
		return;
	SIM_TRACE(w, "fault guard of node %d is killed", n->id);
	end_process(w, n);
}

bool guard_missing(const struct sim_node *n)
{
	return n->work.truth != TRUTH_DOWN && !n->guard.alive;
}

/* -- what the daemon does, and knows -- */

static void poke(struct sim *w, struct sim_node *n)
{
	sim_schedule(w, w->now + rng_range(&w->rng, 1, MS / 2), EVENT_GUARD, n->id, 0,
		     GUARD_SIGNAL);
}

/* False: no process can be made. */
static bool spawn(struct sim *w, struct sim_node *n)
{
	int64_t took = rng_range(&w->rng, MS, 20 * MS);
	bool fails = rng_chance(&w->rng, w->params.guard_fails);

	w->stats.faults[FAULT_GUARD_FAILS] += fails;
	n->guard.spawn++;
	if (fails && rng_chance(&w->rng, 500))
		return false;
	if (rng_chance(&w->rng, w->params.guard_late)) {
		w->stats.faults[FAULT_GUARD_LATE]++;
		took = rng_range(&w->rng, MS, 3 * SEC);
	}
	sim_schedule(w, w->now + took, EVENT_GUARD, n->id, n->guard.spawn,
		     fails ? GUARD_FAILED_NEWS : GUARD_READY_NEWS);
	return true;
}

int guard_create(struct ev_loop *loop, const struct guard_config *config, struct guard **ret_guard)
{
	struct sim_node *n = node_of(loop);

	n->guard.on_died = config->on_died;
	n->guard.userdata = config->userdata;
	*ret_guard = (struct guard *)n;
	return 0;
}

struct guard *guard_destroy(struct guard *guard)
{
	return NULL;
}

/* The former one, whose lock the new one waits for, goes at once: its watch is over. */
int guard_start(struct guard *guard, guard_done_fn done)
{
	struct sim_node *n = node_of(guard);
	struct sim_guard *g = &n->guard;
	struct sim *w = n->world;

	process_stop_point(n);
	if (g->known == GUARD_STARTS)
		return -EALREADY;
	n->page.watch = (n->page.watch + 1) | 1;
	look(w, n);
	if (g->alive)
		end_process(w, n); /* broken: it is killed */
	g->known = GUARD_UNKNOWN;
	if (!spawn(w, n))
		return -EAGAIN;
	g->watch = n->page.watch;
	g->known = GUARD_STARTS;
	g->done = done;
	return 0;
}

int guard_adopt(struct guard *guard)
{
	struct sim_node *n = node_of(guard);

	if (!n->guard.alive)
		return GUARD_NONE;
	n->guard.known = GUARD_WATCHES;
	return is_over(n) ? GUARD_OTHER : 0;
}

void guard_poke(struct guard *guard)
{
	struct sim_node *n = node_of(guard);

	process_stop_point(n);
	poke(n->world, n);
}

/* Of this node. */
int guard_wake(const char *runtime_directory)
{
	struct sim_node *n = zkh_current();

	poke(n->world, n);
	return 0;
}

bool guard_is_alive(const struct guard *guard)
{
	return node_of(guard)->guard.known == GUARD_WATCHES;
}

void guard_disarm(struct guard *guard)
{
	struct sim_node *n = node_of(guard);

	n->guard.known = GUARD_UNKNOWN;
	n->guard.gone_at = 0;
	poke(n->world, n);
}

void guard_on_notice(struct sim *w, struct sim_node *n, uint8_t type, uint8_t result, uint32_t tag)
{
	struct sim_guard *g = &n->guard;
	struct guard *guard = (struct guard *)n;

	if (tag != (g->spawn & 0xffff))
		return;
	if (type == KEEPER_ON_ARMED && g->known == GUARD_STARTS) {
		g->known = result == KEEPER_OK ? GUARD_WATCHES : GUARD_UNKNOWN;
		g->done(guard, result == KEEPER_OK ? 0 : -ECHILD, g->userdata);
	} else if (type == KEEPER_ON_UNGUARDED && g->known == GUARD_WATCHES) {
		g->known = GUARD_UNKNOWN;
		g->on_died(guard, page_mark(n) != LEASE_WATCHED, g->userdata);
	}
}
