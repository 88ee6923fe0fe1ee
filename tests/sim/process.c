/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The process of a daemon: its life, the turns of its loop, its timers. What runs in it is what ships: daemon/node, and what
 * that is made of.
 *
 * Wherever it calls for something outside of it, it may be stopped for a while, or killed (process_stop_point()): such a turn
 * of the loop has a stack of its own.
 */

#include "sim.h"

#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#define INSTANT_STEPS_MAX 60
#define GATHER_US 60
#define STACK_SIZE (512 * 1024)
/* A turn is stopped at one of the first so many calls, or now and then at a later one. */
#define CALLS_MAX 12
#define CALLS_MANY 64

static char stacks[NODES_MAX][STACK_SIZE];
static ucontext_t outside, inside[NODES_MAX];
static struct sim_node *turning; /* on a stack of its own; NULL: none */

void process_begin(void)
{
	turning = NULL;
}

/* -- turns of the loop -- */

static void drain(struct sim_node *n)
{
	while (n->fed && !n->gathering && !n->world->failed) {
		ev_io *watcher = n->fed;

		n->fed = NULL;
		watcher->cb((struct ev_loop *)n, watcher, EV_CUSTOM);
	}
}

static void run_turn(struct sim_node *n)
{
	const struct queue_event ev = n->turn.event;

	n->turn.fn(n->world, n, &ev);
	if (n->node)
		drain(n);
}

static void enter(void)
{
	struct sim_node *n = zkh_current();

	run_turn(n);
	n->turn.state = TURN_OVER;
}

static void switch_to(struct sim_node *n)
{
	zkh_enter(n);
	turning = n;
	(void)swapcontext(&outside, &inside[n->id]);
	turning = NULL;
}

static void begin_on_stack(struct sim_node *n)
{
	ucontext_t *context = &inside[n->id];

	if (getcontext(context) < 0)
		abort();
	context->uc_stack.ss_sp = stacks[n->id];
	context->uc_stack.ss_size = STACK_SIZE;
	context->uc_link = &outside;
	makecontext(context, enter, 0);
	switch_to(n);
}

/* What ends the process is not done from within it. */
static void look_after(struct sim *w, struct sim_node *n)
{
	bool reboots = n->turn.reboots, exits = n->turn.exits;

	if (n->turn.state == TURN_STOPPED || n->daemon != DAEMON_UP)
		return;
	n->turn.reboots = n->turn.exits = false;
	if (n->turn.state == TURN_KILLED) {
		n->turn.state = TURN_OVER;
		w->stats.faults[FAULT_AMBUSH]++;
		host_crash_daemon(w, n, false, rng_range(&w->rng, MS, w->params.restart_us));
	} else if (reboots) {
		host_self_fence(w, n);
	} else if (exits) {
		host_depart(w, n);
	}
}

static void plan_stop(struct sim *w, struct sim_node *n)
{
	uint32_t most = rng_chance(&w->rng, 900) ? CALLS_MAX : CALLS_MANY;

	n->turn.stop_in = n->turn.kills = 0;
	if (n->daemon != DAEMON_UP && n->turn.event.type != EVENT_BOOT)
		return;
	if (w->params.stop_in_step && rng_chance(&w->rng, w->params.stop_in_step / 2))
		n->turn.stop_in = (uint8_t)(1 + rng_below(&w->rng, most));
	else if (w->params.ambush && n->node && rng_chance(&w->rng, w->params.ambush / 32))
		n->turn.stop_in = n->turn.kills = (uint8_t)(1 + rng_below(&w->rng, most));
}

static bool is_news(const struct queue_event *ev)
{
	return ev->type == EVENT_REPLY || ev->type == EVENT_WATCH || ev->type == EVENT_CLOSED ||
	       ev->type == EVENT_UNACKED || ev->type == EVENT_ATTACHED;
}

void process_turn(struct sim *w, struct sim_node *n, process_turn_fn fn,
		  const struct queue_event *ev)
{
	process_go_on(w, n);
	if (n->turn.state == TURN_STOPPED || w->failed)
		return;
	zkh_enter(n);
	n->turn.fn = fn;
	n->turn.event = *ev;
	n->turn.state = TURN_RUNS;
	n->turn.news = is_news(ev);
	plan_stop(w, n);
	if (n->turn.stop_in) {
		begin_on_stack(n);
	} else {
		run_turn(n);
		n->turn.state = TURN_OVER;
	}
	look_after(w, n);
}

void process_go_on(struct sim *w, struct sim_node *n)
{
	if (n->turn.state != TURN_STOPPED || n->paused_until > w->now || w->failed)
		return;
	n->turn.state = TURN_RUNS;
	switch_to(n);
	look_after(w, n);
}

void process_stop_point(struct sim_node *n)
{
	struct sim *w = n->world;
	int64_t longest;

	if (turning != n || !n->turn.stop_in || --n->turn.stop_in)
		return;
	if (n->turn.kills) {
		if (guard_missing(n))
			return;
		n->turn.state = TURN_KILLED;
	} else {
		longest = w->params.session_us * (rng_chance(&w->rng, 500) ? 2 : 1);
		host_pause_daemon(w, n, rng_range(&w->rng, MS, longest));
		if (n->paused_until <= w->now)
			return;
		w->stats.faults[FAULT_STOP_IN_STEP]++;
		sim_schedule(w, n->paused_until, EVENT_STEP, n->id, n->incarnation, 0);
		n->turn.state = TURN_STOPPED;
	}
	(void)swapcontext(&inside[n->id], &outside);
}

/* -- libev's, for what is posted to the election: it hears of it at the end of the turn -- */

/* A connection is read until nothing is left, and then the election steps: what is told together came in several packets. */
void ev_feed_event(struct ev_loop *loop, void *watcher, int revents)
{
	struct sim_node *n = node_of(loop);
	struct sim *w = n->world;

	if (n->fed)
		return;
	n->fed = watcher;
	n->gathering = n->turn.news && rng_chance(&w->rng, 300);
	if (n->gathering)
		sim_schedule(w, w->now + rng_range(&w->rng, 0, GATHER_US), EVENT_TELL, n->id,
			     n->incarnation, TELL_GATHERED);
}

int ev_clear_pending(struct ev_loop *loop, void *watcher)
{
	struct sim_node *n = node_of(loop);

	n->fed = NULL;
	return 0;
}

/* -- timers: base/timer.h -- */

static int64_t lateness(struct sim *w)
{
	if (!w->params.timer_late_us || !rng_chance(&w->rng, 50))
		return 0;
	return rng_range(&w->rng, 0, w->params.timer_late_us);
}

static struct sim_alarm *alarm_of(struct sim_node *n, const struct timer *timer)
{
	for (int i = 0; i < ALARMS_MAX; i++)
		if (n->alarms[i].timer == timer)
			return &n->alarms[i];
	return NULL;
}

int timer_init(struct timer *timer, struct ev_loop *loop, int priority, timer_fn on_due,
	       void *userdata)
{
	struct sim_alarm *alarm = alarm_of(node_of(loop), NULL);

	if (!alarm)
		abort();
	memset(timer, 0, sizeof(*timer));
	timer->loop = loop;
	timer->on_due = on_due;
	timer->userdata = userdata;
	alarm->timer = timer;
	return 0;
}

/* One that is planned too early looks again. */
static void plan(struct sim_node *n, struct sim_alarm *alarm)
{
	struct sim *w = n->world;
	int64_t at = clock_true(w, n, alarm->timer->due_us) + lateness(w);

	if (alarm->at && alarm->at <= at)
		return;
	alarm->at = at;
	sim_schedule(w, at, EVENT_TIMER, n->id, n->incarnation, (uint32_t)(alarm - n->alarms));
}

void timer_set(struct timer *timer, int64_t due_us)
{
	struct sim_node *n = node_of(timer->loop);

	timer->due_us = due_us;
	plan(n, alarm_of(n, timer));
}

void timer_clear(struct timer *timer)
{
	timer->due_us = 0;
}

void timer_finish(struct timer *timer)
{
	struct sim_alarm *alarm = timer->loop ? alarm_of(node_of(timer->loop), timer) : NULL;

	if (alarm)
		*alarm = (struct sim_alarm){ .timer = NULL };
}

void process_on_timer(struct sim *w, struct sim_node *n, const struct queue_event *ev)
{
	struct sim_alarm *alarm = &n->alarms[ev->arg];
	struct timer *timer = alarm->timer;

	if (ev->gen != n->incarnation || n->daemon != DAEMON_UP)
		return;
	if (ev->at != alarm->at && alarm->at > w->now)
		return;
	alarm->at = 0;
	if (!timer || !timer->due_us)
		return;
	if (timer->due_us > clock_local(w, n)) {
		plan(n, alarm);
		return;
	}
	timer->due_us = 0;
	timer->on_due(timer, timer->userdata);
}

/* -- what happens to it -- */

void process_post(struct sim *w, struct sim_node *n, int64_t delay, enum process_news news)
{
	sim_schedule(w, w->now + delay, EVENT_TELL, n->id, n->incarnation, (uint32_t)news);
}

void process_on_news(struct sim *w, struct sim_node *n, const struct queue_event *ev)
{
	if (ev->gen != n->incarnation || n->daemon != DAEMON_UP)
		return;
	switch ((enum process_news)ev->arg) {
	case TELL_GATHERED:
		n->gathering = false;
		break;
	case TELL_SICK:
	case TELL_WELL:
		n->sick = ev->arg == TELL_SICK;
		__attribute__((fallthrough));
	case TELL_HEALTH:
		node_scripts_event(n->node, SCRIPTS_HEALTH);
		break;
	case TELL_SHUTDOWN:
		node_shutdown(n->node);
		break;
	case TELL_CLOSED:
		n->on_closed(n->closed_userdata, host_close_result(w, n));
		break;
	}
}

/* -- the steps of the election, as node.c makes them -- */

static void trace_actions(struct sim *w, const struct sim_node *n,
			  const struct election_actions *actions)
{
	for (int i = 0; i < actions->count; i++) {
		const struct election_action *a = &actions->list[i];

		SIM_TRACE(w, "node  %d      -> %s %s (%s)", n->id, election_action_text(a->type),
			  a->type == ACTION_DO ? election_op_text(a->op) : "",
			  election_reason_text(a->reason));
	}
}

static void trace_step(struct sim *w, const struct sim_node *n, const struct election_event *ev,
		       uint8_t before)
{
	const struct election *e = &n->core;

	SIM_TRACE(w, "node  %d %s %s %d, %d; key %s, post %d: %s -> %s (%s) at %lld lease %lld",
		  n->id, election_event_text(ev->type),
		  ev->type == ELECTION_DONE ? election_op_text(ev->op) : "", ev->result, ev->count,
		  election_key_text(e->view.key), e->view.post, election_phase_text(before),
		  election_phase_text(e->phase), election_reason_text(e->reason),
		  (long long)e->now_us, (long long)e->lease_end_us);
}

static void count_instant(struct sim *w, struct sim_node *n)
{
	if (n->instant != w->now) {
		n->instant = w->now;
		n->instant_steps = 0;
	}
	if (++n->instant_steps > INSTANT_STEPS_MAX)
		sim_fail(w, "node %d: more than %d steps in one instant", n->id, INSTANT_STEPS_MAX);
}

static void note_event(struct sim *w, struct sim_node *n, const struct election_event *ev)
{
	bool ok = ev->result == RESULT_OK;

	if (ev->type == ELECTION_DONE) {
		w->stats.unknown += ev->result == RESULT_UNKNOWN;
		if (ev->op == OP_ENTER && ev->result == RESULT_FAILED)
			n->refused_claim = n->enter_claim;
		chaos_ambush(w, n);
	} else if (ev->type == ELECTION_CORPSES && ok) {
		n->waits_over = ev->time_us;
	} else if (ev->type == ELECTION_PEERS && ok && n->core.phase == PHASE_CONTEND) {
		oracle_peers(w, n, ev->count);
	}
}

static void note_lock(struct sim *w, struct sim_node *n, const struct election_actions *actions)
{
	for (int i = 0; i < actions->count; i++)
		if (actions->list[i].type == ACTION_LOCK) {
			n->lock_began = w->now;
			n->lock_placed = 0;
		}
}

static void check_next(struct sim *w, const struct sim_node *n,
		       const struct election_config *config)
{
	int64_t next_us = election_next_us(config, &n->core);

	if (next_us && next_us <= n->core.now_us)
		sim_fail(w, "node %d: election_next_us() is not later than now", n->id);
}

/* Between a step and what it asks for there is a call. */
void sim_election_step(const struct election_config *config, struct election *state,
		       const struct election_event *event, struct election_actions *ret_actions)
{
	struct sim_node *n = zkh_current();
	struct sim *w = n->world;
	uint8_t before = state->phase;

	count_instant(w, n);
	n->steps++;
	w->stats.steps++;
	note_event(w, n, event);
	election_step(config, state, event, ret_actions);
	n->core = *state;
	trace_step(w, n, event, before);
	trace_actions(w, n, ret_actions);
	oracle_step(w, n, before);
	check_next(w, n, config);
	if (event->type == ELECTION_STARTED && event->result != RESULT_OK)
		oracle_start_failed(w, n);
	note_lock(w, n, ret_actions);
	process_stop_point(n);
}

/* -- life -- */

static void on_exit_of(void *userdata, int code)
{
	struct sim_node *n = userdata;

	n->turn.exits = true;
}

static void start(struct sim *w, struct sim_node *n, const struct queue_event *ev)
{
	struct node_options options = {
		.loop = (struct ev_loop *)n,
		.config = files_config(w, n),
		.log = (struct log *)n,
		.boot_id = n->boot_text,
		.resume = n->file_there ? &n->file : NULL,
		.lease = (struct lease_file *)n,
		.page = (struct status_page *)n,
		.keep_state = true,
		.on_exit = on_exit_of,
		.userdata = n,
	};

	n->daemon = DAEMON_UP;
	n->incarnation++;
	n->penalty_end = 0;
	n->refused_claim = 0;
	n->up_since = w->now;
	n->paused_until = 0;
	n->sick = false;
	zkh_enter(n);
	zkh_machine_text(n->boot, n->boot_text, sizeof(n->boot_text));
	election_init(&n->core);
	disk_settle(w, n);
	n->disk_due = 0;
	n->disk_next = n->disk;
	if (node_create(&options, &n->node) != 0)
		sim_fail(w, "simulator: no memory");
	if (w->failed)
		return;
	if (memcmp(&n->node->election_config, &n->config, sizeof(n->config)) != 0)
		sim_fail(w, "simulator: node %d is configured otherwise", n->id);
	/* A process draws its nonce; what those before it had is in the state file. */
	cluster_of(n)->term.nonce = (uint64_t)++w->nonces;
	SIM_TRACE(w, "node  %d daemon starts", n->id);
	client_begin(w, n);
	/* Its health command says so at its first run. */
	if (n->work.truth == TRUTH_DOWN && keeper_of(n)->state == KEEPER_UP) {
		n->work.died = 1;
		process_post(w, n, MS, TELL_HEALTH);
	}
}

void process_start(struct sim *w, struct sim_node *n, const struct queue_event *ev)
{
	n->world = w;
	if (n->daemon != DAEMON_UP && n->host_up)
		process_turn(w, n, start, ev);
}

/* What is asked of it once it is gone is answered as it was then. */
static void remember(struct sim_node *n)
{
	const struct cluster *c = cluster_of(n);

	n->left.known = c->ensemble.known;
	n->left.memory_epoch = c->view.memory_epoch;
	n->left.refused = view_is_refused(&c->view);
}

void process_end(struct sim_node *n)
{
	n->daemon = DAEMON_DOWN;
	zkh_enter(n);
	if (n->node)
		remember(n);
	n->node = node_destroy(n->node);
	zkh_drop(n);
}

/* kill -9, also what a reset host does to it. */
void process_kill(struct sim *w, struct sim_node *n)
{
	struct sim_node *before = zkh_current();

	n->incarnation++;
	n->turn = (struct sim_turn){ .state = TURN_OVER };
	n->fed = NULL;
	n->gathering = false;
	n->on_closed = NULL;
	n->fence_gen++;
	work_end(n);
	process_end(n);
	client_end(w, n);
	zkh_enter(before);
}

const struct identity *process_known(const struct sim_node *n)
{
	return n->node ? &cluster_of(n)->ensemble.known : &n->left.known;
}

int64_t process_memory_epoch(const struct sim_node *n)
{
	return n->node ? cluster_of(n)->view.memory_epoch : n->left.memory_epoch;
}

bool process_is_refused(const struct sim_node *n)
{
	return n->node ? view_is_refused(&cluster_of(n)->view) : n->left.refused;
}

bool process_waits_for_lock(const struct sim_node *n)
{
	const struct zkh_lock *lock = n->node ? cluster_of(n)->lock : NULL;

	return lock && lock->placed && lock->state != ZKH_LOCK_HELD;
}
