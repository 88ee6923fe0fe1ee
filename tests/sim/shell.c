/* SPDX-License-Identifier: Apache-2.0 */
#include "sim.h"

#include <string.h>

/*
 * The shell around one core: events in, actions carried out, the state file written in between, the
 * timer armed after. No action calls back into the core: every answer is an event of its own.
 */

#define INSTANT_STEPS_MAX 60
#define GATHER_US 60

int64_t shell_lateness(struct sim *w)
{
	if (!w->params.timer_late_us || !rng_chance(&w->rng, 50))
		return 0;
	return rng_range(&w->rng, 0, w->params.timer_late_us);
}

static int64_t next_us(struct sim *w, const struct sim_node *n)
{
	int64_t next = election_next_us(&n->config, &n->core);

	if (next && next <= n->core.now_us)
		sim_fail(w, "node %d: election_next_us() is not later than now", n->id);
	return next;
}

static void arm_timer(struct sim *w, struct sim_node *n)
{
	int64_t next = next_us(w, n), due;

	if (!next)
		return;
	due = clock_true(w, n, next) + shell_lateness(w);
	if (n->timer_armed && n->timer_armed <= due)
		return;
	n->timer_armed = due;
	sim_schedule(w, due, EVENT_TIMER, n->id, n->incarnation, 0);
}

void shell_on_timer(struct sim *w, struct sim_node *n, const struct queue_event *ev)
{
	int64_t next;

	if (ev->gen != n->incarnation || n->daemon != DAEMON_UP)
		return;
	if (ev->at == n->timer_armed || n->timer_armed <= w->now)
		n->timer_armed = 0;
	else
		return;
	next = next_us(w, n);
	if (!next)
		return;
	if (next > clock_local(w, n))
		arm_timer(w, n);
	else
		shell_tell_result(w, n, ELECTION_TIME, 0, 0, 0);
}

/*
 * The page in memory tells that the file of before is void: a takeover, or a stop, that is not known of would be taken for
 * work that runs, or for none.
 */
void shell_raise_generation(struct sim_node *n)
{
	if (n->page_generation < n->file.generation)
		n->page_generation = n->file.generation;
	n->page_generation++;
}

bool shell_persist(struct sim *w, struct sim_node *n)
{
	const struct election *e = &n->core;
	bool idle = e->work == WORK_DOWN && e->phase != PHASE_ENTER && e->phase != PHASE_RECOVER;
	/* As cluster_left() has it: whoever resumes it takes the ensemble for the known one. */
	int32_t session = ensemble_is_open(&n->ensemble) && n->client.session ? n->client.session
									      : n->file.session;

	if (w->now < n->state_fails_until)
		return false;
	n->file = (struct sim_state_file){
		.there = 1,
		.phase = idle ? PHASE_FOLLOW : e->phase,
		.work = e->work,
		.epoch = idle ? 0 : e->epoch,
		.session = session,
		.term_us = e->term_us ? e->term_us : e->session_us,
		.epoch_version = n->term.epoch_version,
		.generation = n->page_generation,
	};
	term_nonces(&n->term, n->file.nonces);
	return true;
}

/* As node.c has it: who may not read what a takeover has to know is not healthy before one. */
static void judge_takeover(struct sim *w, struct sim_node *n)
{
	bool blind = n->config.coordinator && view_is_blind(&n->view) &&
		     n->core.phase <= PHASE_AWAIT;

	if (blind == n->no_takeover)
		return;
	n->no_takeover = blind;
	work_tell_health(w, n);
}

static void persist(struct sim *w, struct sim_node *n)
{
	const struct election *e = &n->core;

	/* Half-stopped work is nothing to resume, also if that cannot be saved. */
	if (e->phase == PHASE_STOP && n->file.work != WORK_DOWN && n->file.phase != PHASE_STOP &&
	    n->file.generation == n->page_generation)
		shell_raise_generation(n);
	/* ENTER is saved before it is sent. */
	if (e->phase != PHASE_LEAVE && e->phase != PHASE_ENTER)
		(void)shell_persist(w, n);
}

static void act(struct sim *w, struct sim_node *n, const struct election_action *a)
{
	switch ((enum election_action_type)a->type) {
	case ACTION_DO:
		shell_do(w, n, a);
		break;
	case ACTION_LOCK:
		lock_acquire(w, n);
		break;
	case ACTION_UNLOCK:
		election_inbox_forget_lock(&n->inbox);
		lock_release(n);
		break;
	case ACTION_SCAN:
		shell_scan(n);
		break;
	case ACTION_FENCE:
		shell_fence(w, n);
		break;
	case ACTION_START:
		ensemble_note_made(&n->ensemble, n->survivor.cluster_czxid);
		n->survivor.cluster_new_us = 0;
		ensemble_note_own(&n->ensemble, n->core.epoch);
		work_start(w, n);
		term_started(&n->term, clock_local(w, n));
		break;
	case ACTION_STOP:
		work_stop(w, n, a->reason == REASON_COLD_START && !n->core.lease_end_us);
		break;
	case ACTION_RENEW:
		term_renew(&n->term, clock_local(w, n));
		break;
	case ACTION_CUT:
		sim_schedule(w, w->now, EVENT_CLOSED, n->id, n->client.conn, CLOSED_HERE);
		break;
	case ACTION_REFRESH:
		view_refresh(&n->view);
		break;
	case ACTION_COUNT_PEERS:
		shell_count_peers(n);
		break;
	case ACTION_DEPART:
		host_depart(w, n);
		break;
	case ELECTION_ACTION_COUNT:
		break;
	}
}

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

bool shell_stopped_here(struct sim *w, struct sim_node *n)
{
	int64_t longest = w->params.session_us * (rng_chance(&w->rng, 500) ? 2 : 1);

	if (!w->params.stop_in_step || n->going_on || !rng_chance(&w->rng, w->params.stop_in_step))
		return false;
	host_pause_daemon(w, n, rng_range(&w->rng, MS, longest));
	if (n->paused_until <= w->now)
		return false;
	w->stats.faults[FAULT_STOP_IN_STEP]++;
	sim_schedule(w, n->paused_until, EVENT_STEP, n->id, n->incarnation, 0);
	return true;
}

/* In their order; or some of them, and the rest when the daemon goes on. */
static void carry_out(struct sim *w, struct sim_node *n, const struct election_actions *actions)
{
	uint32_t incarnation = n->incarnation;

	for (int i = 0; i < actions->count && n->incarnation == incarnation; i++) {
		if (n->paused_until > w->now || shell_stopped_here(w, n)) {
			n->held.count = actions->count - i;
			memcpy(n->held.list, actions->list + i,
			       (size_t)n->held.count * sizeof(actions->list[0]));
			return;
		}
		act(w, n, &actions->list[i]);
	}
}

static void step(struct sim *w, struct sim_node *n, struct election_event *event);

/* What was posted during a step comes after it. */
static void drain(struct sim *w, struct sim_node *n)
{
	struct election_event event;

	while (!n->held.count && !n->work.forking && n->daemon == DAEMON_UP && !w->failed &&
	       election_inbox_take(&n->inbox, &event)) {
		n->stepping = true;
		step(w, n, &event);
		n->stepping = false;
	}
}

void shell_go_on(struct sim *w, struct sim_node *n)
{
	struct election_actions rest = n->held;

	if (n->daemon != DAEMON_UP || n->paused_until > w->now || w->failed)
		return;
	if (!rest.count && !n->work.forking)
		return;
	n->going_on = true;
	if (n->work.forking)
		work_go_on(w, n);
	n->held.count = 0;
	n->stepping = true;
	carry_out(w, n, &rest);
	n->stepping = false;
	drain(w, n);
	n->going_on = false;
	if (n->daemon != DAEMON_UP)
		return;
	oracle_show(w, n);
	shell_settle(w, n);
	arm_timer(w, n);
}

static void step(struct sim *w, struct sim_node *n, struct election_event *event)
{
	uint8_t before = n->core.phase;
	uint32_t incarnation = n->incarnation;
	struct election_actions actions;
	int64_t had_term;

	(void)zkh_session_of(n);
	event->now_us = clock_local(w, n);
	count_instant(w, n);
	n->steps++;
	w->stats.steps++;
	had_term = n->core.term_us;
	election_step(&n->config, &n->core, event, &actions);
	if (had_term && !n->core.term_us)
		term_close(&n->term);
	trace_step(w, n, event, before);
	oracle_step(w, n, before);
	if (n->core.phase != PHASE_INIT)
		work_keep(w, n);
	if (n->incarnation != incarnation)
		return;
	judge_takeover(w, n);
	persist(w, n);
	/* Killed between the state file and the first action. */
	if (actions.count && w->params.ambush && rng_chance(&w->rng, w->params.ambush / 16)) {
		w->stats.faults[FAULT_AMBUSH]++;
		host_crash_daemon(w, n, false, rng_range(&w->rng, MS, w->params.restart_us));
		if (n->daemon != DAEMON_UP)
			return;
	}
	trace_actions(w, n, &actions);
	/* Its router state is that of before: a repair that is sent behind the takeover would tell the wrong one. */
	if (n->core.phase == PHASE_ENTER && before != PHASE_ENTER && n->registration.running) {
		repair_cancel(n);
		writes_unpublish(&n->writes);
		n->shell.repair_wanted = 1;
	}
	if (before == PHASE_RECOVER && n->core.phase != PHASE_RECOVER) {
		shell_recovery_cancel(n);
	}
	carry_out(w, n, &actions);
	/* The sign of life still tells of the process before. */
	if (before == PHASE_RESUME && n->core.phase == PHASE_PRIMARY)
		repair_begin(w, n);
	if (n->daemon != DAEMON_UP || n->incarnation != incarnation || n->held.count)
		return;
	if (event->type == ELECTION_STARTED && event->result != RESULT_OK)
		oracle_start_failed(w, n);
	oracle_show(w, n);
	if (!n->inbox.length)
		shell_settle(w, n);
	arm_timer(w, n);
}

bool shell_hold(struct sim_node *n)
{
	bool held = n->stepping;

	n->stepping = true;
	return held;
}

void shell_let_go(struct sim *w, struct sim_node *n, bool held)
{
	n->stepping = held;
	if (!held)
		drain(w, n);
}

/*
 * A connection is read until nothing is left, and then the election steps: what is told together came in several packets.
 */
static bool more_may_come(struct sim *w, const struct election_event *event)
{
	bool came = event->type == ELECTION_VIEW || event->type == ELECTION_DONE ||
		    event->type == ELECTION_RENEWED || event->type == ELECTION_LOCK ||
		    event->type == ELECTION_CORPSES || event->type == ELECTION_PEERS ||
		    event->type == ELECTION_SESSION_DOWN || event->type == ELECTION_SESSION_LOST;

	return came && rng_chance(&w->rng, 300);
}

void shell_tell(struct sim *w, struct sim_node *n, struct election_event *event)
{
	if (n->daemon != DAEMON_UP || w->failed)
		return;
	if (!election_inbox_put(&n->inbox, event))
		sim_fail(w, "node %d: too many events in one turn", n->id);
	if (n->stepping || n->gathering)
		return;
	n->gathering = more_may_come(w, event);
	if (n->gathering)
		sim_schedule(w, w->now + rng_range(&w->rng, 0, GATHER_US), EVENT_TELL, n->id,
			     n->incarnation, ELECTION_EVENT_COUNT);
	else
		drain(w, n);
}

void shell_tell_result(struct sim *w, struct sim_node *n, uint8_t type, uint8_t op, uint8_t result,
		       int count)
{
	struct election_event ev = { .type = type, .op = op, .result = result, .count = count };

	shell_tell(w, n, &ev);
}

/* To be told a little later. */
void shell_post(struct sim *w, struct sim_node *n, int64_t delay, uint8_t type, uint8_t op,
		uint8_t result)
{
	uint32_t arg = (uint32_t)type | (uint32_t)op << 8 | (uint32_t)result << 16;

	sim_schedule(w, w->now + delay, EVENT_TELL, n->id, n->incarnation, arg);
}

void shell_on_tell(struct sim *w, struct sim_node *n, const struct queue_event *ev)
{
	uint8_t type = ev->arg & 0xff, result = ev->arg >> 16 & 0xff;

	if (ev->gen != n->incarnation || n->daemon != DAEMON_UP)
		return;
	if (type == ELECTION_EVENT_COUNT) {
		n->gathering = false;
		if (!n->stepping)
			drain(w, n);
		return;
	}
	if (type == ELECTION_HEALTH && !work_is_healthy(n))
		result = RESULT_FAILED;
	shell_tell_result(w, n, type, ev->arg >> 8 & 0xff, result, 0);
}

/* The lease itself is judged by the core. */
static enum election_resume judge_state_file(const struct sim *w, const struct sim_node *n)
{
	const struct sim_state_file *f = &n->file;

	if (!n->page.end_local)
		return RESUME_COLD;
	if (f->there && f->generation != n->page_generation && !sim_mutated(w, MUTATION_OLD_STATE))
		return RESUME_OTHER;
	if (!f->there || !f->session || !f->term_us || f->work == WORK_DOWN ||
	    (f->epoch != n->page_epoch && !sim_mutated(w, MUTATION_OLD_STATE)))
		return RESUME_OTHER;
	if (f->phase != PHASE_PRIMARY && f->phase != PHASE_VACATED && f->phase != PHASE_YIELD &&
	    f->phase != PHASE_HANDOVER && f->phase != PHASE_RESUME)
		return RESUME_OTHER;
	return page_mark(n) == LEASE_WATCHED ? RESUME_PRIMARY : RESUME_OTHER;
}

/* A process of before that noted no work, and nothing could be started since: there is nothing to stop. */
static void begin_keeper(struct sim *w, struct sim_node *n, enum election_resume resume)
{
	const struct sim_state_file *f = &n->file;

	if (resume == RESUME_PRIMARY)
		work_resume(w, n);
	else if (!n->page.end_local && f->there && f->generation == n->page_generation &&
		 f->work == WORK_DOWN)
		work_answer(w, n, KEEPER_ON_DOWN, KEEPER_OK);
}

void shell_start(struct sim *w, struct sim_node *n)
{
	struct election_event ev = { .type = ELECTION_START,
				     .resume = (uint8_t)judge_state_file(w, n) };

	uint32_t look_gen = n->shell.look_gen, memory_gen = n->shell.memory_gen;
	uint32_t fence_gen = n->shell.fence_gen;

	if (n->daemon == DAEMON_UP || !n->host_up)
		return;
	n->daemon = DAEMON_UP;
	n->incarnation++;
	n->timer_armed = 0;
	n->penalty_end = 0;
	n->refused_claim = 0;
	n->no_takeover = false;
	n->up_since = w->now;
	n->paused_until = 0;
	memset(&n->shell, 0, sizeof(n->shell));
	n->shell.fence_gen = fence_gen + 1;
	n->shell.look_gen = look_gen + 1;
	n->shell.memory_gen = memory_gen + 1;
	election_init(&n->core);
	n->client.session = n->file.there ? n->file.session : 0;
	ev.session_us = n->file.there ? n->file.term_us : 0;
	if (ev.resume != RESUME_COLD) {
		ev.lease_end_us = n->page.end_local;
		ev.epoch = n->page_epoch;
	}
	disk_settle(w, n);
	n->disk_due = 0;
	n->disk_next = n->disk;
	n->world = w;
	gate_start(n, n->client.session != 0);
	shell_view_begin(n);
	memset(&n->survivor, 0, sizeof(n->survivor));
	n->survivor.cluster_czxid = n->disk.made;
	shell_survey_begin(n);
	shell_registration_begin(n);
	memset(&n->debt, 0, sizeof(n->debt));
	cleanup_init(&n->cleanup, n->client.session, &n->lock);
	shell_writes_begin(n);
	shell_term_begin(w, n, ev.resume == RESUME_PRIMARY);
	work_begin(w, n);
	begin_keeper(w, n, (enum election_resume)ev.resume);
	w->stats.resumes += ev.resume == RESUME_PRIMARY;
	SIM_TRACE(w, "node  %d daemon starts, resume %d", n->id, ev.resume);
	shell_tell(w, n, &ev);
	if (n->daemon != DAEMON_UP)
		return;
	client_begin(w, n);
	if (ev.resume == RESUME_PRIMARY && n->work.truth == TRUTH_DOWN) {
		n->work.died = 1;
		shell_post(w, n, MS, ELECTION_HEALTH, 0, RESULT_FAILED);
	}
}

/* kill -9, also what a reset host does to it. */
void shell_kill(struct sim *w, struct sim_node *n)
{
	n->daemon = DAEMON_DOWN;
	n->incarnation++;
	n->timer_armed = 0;
	n->held.count = 0;
	n->inbox.length = 0;
	n->going_on = n->gathering = false;
	work_end(n);
	shell_survey_end(n);
	zkh_drop(n);
	client_end(w, n);
}
