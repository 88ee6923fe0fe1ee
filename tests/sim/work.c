/* SPDX-License-Identifier: Apache-2.0 */
#include "sim.h"

#include <string.h>

/*
 * The work of being primary as it really runs on the host, and the commands of the daemon: takeover, relinquish, fence. The
 * work counts as running from the first action that starts it until it is surely down. A kill always succeeds, within the
 * part of the lease that is kept for it.
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

uint32_t page_stop_number(const struct sim_node *n)
{
	return n->page.stop == STOP_OF_DAEMON  ? n->work.stop.gen
	       : n->page.stop == STOP_OF_GUARD ? n->guard.stop.gen
					       : 0;
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
static void fork_work(struct sim *w, struct sim_node *n, int64_t not_after_us)
{
	struct sim_command *c = &n->work.takeover;
	int64_t took = rng_range(&w->rng, MS, w->params.start_us);
	bool fails = !w->calm && rng_chance(&w->rng, w->params.start_fails);

	if (c->runs)
		sim_fail(w, "node %d: a takeover command while another runs", n->id);
	c->gen++;
	c->awaited = 1;
	if (!sim_mutated(w, MUTATION_BLIND_START) && clock_local(w, n) > not_after_us) {
		plan(w, n, MS, c->gen, ENDED_TAKEOVER, END_KILLED);
		return;
	}
	oracle_command(w, n, "takeover");
	oracle_start(w, n);
	c->runs = 1;
	n->work.died = 0;
	set_truth(w, n, TRUTH_STARTING);
	if (!n->guard.alive && !n->guard.gone_at)
		n->guard.gone_at = w->now;
	if (fails) {
		w->stats.faults[FAULT_START_FAILS]++;
		w->stats.failed_starts++;
	}
	if ((fails && rng_chance(&w->rng, 300)) || took > w->params.takeover_timeout_us)
		plan(w, n, w->params.takeover_timeout_us, c->gen, ENDED_TAKEOVER, END_LATE);
	else
		plan(w, n, took, c->gen, ENDED_TAKEOVER, fails ? END_FAILED : END_OK);
}

/* -- work/script.h -- */

static struct sim_command *command_of(const struct script *script)
{
	struct sim_node *n = node_of(script->loop);

	return !strcmp(script->name, "takeover") ? &n->work.takeover : &n->work.stop;
}

void script_init(struct script *script, struct ev_loop *loop, struct log *log, const char *name,
		 script_end_fn on_end, void *userdata)
{
	*script = (struct script){ .loop = loop, .log = log, .name = name };
	script->on_end = on_end;
	script->userdata = userdata;
}

/* Who is killed kills nothing; whoever ends in order has nothing that runs. */
void script_finish(struct script *script)
{
}

void script_note_group(struct script *script, struct lease_file *lease, enum lease_group group)
{
	script->lease = lease;
	script->group = group;
}

void script_heed_mark(struct script *script)
{
	script->heeds_mark = true;
	script->mark = (enum lease_mark)page_mark(node_of(script->loop));
}

/* The process does not become the command. */
static void give_up(struct sim *w, struct sim_node *n, struct sim_command *c)
{
	c->awaited = 1;
	plan(w, n, MS, ++c->gen, c == &n->work.takeover ? ENDED_TAKEOVER : ENDED_STOP, END_KILLED);
}

void script_run(struct script *script, char *const *argv, int64_t timeout_us,
		const struct script_facts *facts)
{
	struct sim_node *n = node_of(script->loop);

	(void)timeout_us; /* params.takeover_timeout_us */
	if (command_of(script) == &n->work.takeover &&
	    (facts->epoch != n->core.epoch || n->page_epoch != n->core.epoch))
		sim_fail(n->world, "node %d: its takeover command is told another epoch", n->id);
	process_stop_point(n);
	if (script->heeds_mark && page_mark(n) != script->mark)
		give_up(n->world, n, command_of(script));
	else if (command_of(script) == &n->work.takeover)
		fork_work(n->world, n, script->not_after_us);
	else
		work_run_stop(n->world, n, STOP_OF_DAEMON);
}

bool script_is_running(const struct script *script)
{
	return command_of(script)->awaited;
}

static void kill_script(struct script *script)
{
	struct sim_node *n = node_of(script->loop);
	struct sim_command *c = command_of(script);

	kill_command(n->world, n, c, c == &n->work.takeover ? ENDED_TAKEOVER : ENDED_STOP);
}

void script_cancel(struct script *script)
{
	if (!script_is_running(script))
		return;
	command_of(script)->awaited = 0;
	kill_script(script);
}

void script_kill(struct script *script)
{
	if (script_is_running(script))
		kill_script(script);
}

bool command_succeeded(const struct command_result *result)
{
	return result->end == COMMAND_EXITED && result->value == 0;
}

/* What is left is found by the lease file. */
bool command_group_exists(pid_t group)
{
	return false;
}

bool command_group_signal(pid_t group, int signal)
{
	return false;
}

/* Once the turn is over. */
int sim_reboot(int how)
{
	zkh_current()->turn.reboots = true;
	return 0;
}

const struct work_kind work_units; /* none is configured */

/* -- work/scripts.h: fence commands run one after the other; what the first failure leaves undone stays a corpse -- */

enum fence_end { FENCE_DONE, FENCE_FAILED };

int scripts_create(const struct scripts_options *options, struct scripts **ret_scripts)
{
	*ret_scripts = (struct scripts *)options->userdata;
	return 0;
}

struct scripts *scripts_destroy(struct scripts *scripts)
{
	return NULL;
}

void scripts_fence(struct scripts *scripts, const char *target, const struct script_facts *facts)
{
	struct sim_node *n = zkh_current();
	struct sim *w = n->world;
	bool fails = rng_chance(&w->rng, w->params.fence_fails);
	bool hangs = rng_chance(&w->rng, w->params.fence_hangs);
	uint32_t end = fails || hangs ? FENCE_FAILED : FENCE_DONE;
	int64_t took = hangs ? w->params.fence_timeout_us
			     : rng_range(&w->rng, MS, w->params.fence_us);

	if (!w->params.fence_exists) {
		node_scripts_event(scripts, SCRIPTS_FENCED);
		return;
	}
	process_stop_point(n);
	w->stats.faults[FAULT_FENCE_FAILS] += fails;
	w->stats.faults[FAULT_FENCE_HANGS] += hangs;
	sim_schedule(w, w->now + took, EVENT_FENCE, n->id, ++n->fence_gen,
		     end << 16 | (uint32_t)node_of_name(target));
}

void work_on_fence(struct sim *w, struct sim_node *n, const struct queue_event *ev)
{
	uint32_t target = ev->arg & 0xffff;
	enum fence_end ended = (enum fence_end)(ev->arg >> 16);
	bool done = ended == FENCE_DONE;
	bool heard = ev->gen == n->fence_gen && n->daemon == DAEMON_UP;

	/* One that failed, or nobody waits for any more, may have done it all the same. */
	if (!heard || !done)
		done = !w->calm && rng_chance(&w->rng, 200);
	if (done) {
		w->stats.fences++;
		SIM_TRACE(w, "node  %d fenced node %u", n->id, target);
		host_power_off(w, &w->nodes[target],
			       100 * MS + rng_range(&w->rng, 0, w->params.restart_us * 2));
	}
	if (heard)
		node_scripts_event(n->node,
				   ended == FENCE_DONE ? SCRIPTS_FENCED : SCRIPTS_FENCE_FAILED);
}

void scripts_cancel_fence(struct scripts *scripts)
{
	zkh_current()->fence_gen++;
}

void scripts_check_fence(struct scripts *scripts, const struct script_facts *facts,
			 const char *const *names, size_t count)
{
}

const struct fence_checked *scripts_checked(const struct scripts *scripts)
{
	static const struct fence_checked none;

	return &none;
}

void scripts_follow(struct scripts *scripts, const struct script_facts *facts)
{
}

const char *scripts_trouble(const struct scripts *scripts)
{
	const struct sim_node *n = zkh_current();

	return n->sick || n->work.died ? "the health command failed" : "";
}

/* -- what the daemon is told -- */

void work_notify(struct sim *w, struct sim_node *n, uint8_t type, uint8_t result, uint32_t tag)
{
	sim_schedule(w, w->now, EVENT_READY, n->id, n->incarnation,
		     (uint32_t)type | (uint32_t)result << 8 | (tag & 0xffff) << 16);
}

static void command_ended(struct sim_command *c, struct script *script, uint8_t result,
			  uint32_t tag)
{
	const struct command_result ended = { .end = COMMAND_EXITED, .value = result != KEEPER_OK };

	if (!c->awaited || tag != (c->gen & 0xffff))
		return;
	c->awaited = 0;
	script->on_end(script->userdata, script, &ended);
}

/* As units.c has it. */
static void unit_failed(struct work *work)
{
	strcpy(work->failure, "the unit failed");
	work_answer(work, KEEPER_ON_FAILED, true);
}

void work_on_notice(struct sim *w, struct sim_node *n, const struct queue_event *ev)
{
	uint8_t type = ev->arg & 0xff, result = ev->arg >> 8 & 0xff;
	uint32_t tag = ev->arg >> 16;
	struct work *work;

	if (ev->gen != n->incarnation || n->daemon != DAEMON_UP)
		return;
	work = n->node->work;
	if (type == KEEPER_ON_STARTED)
		command_ended(&n->work.takeover, &work->takeover, result, tag);
	else if (type == KEEPER_ON_ENDED)
		command_ended(&n->work.stop, &work->relinquish, result, tag);
	else if (type == KEEPER_ON_FAILED)
		unit_failed(work);
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
	process_post(w, n, 0, TELL_HEALTH);
}

/* -- life -- */

/* What a process knew; what it started goes on. */
void work_end(struct sim_node *n)
{
	n->work.takeover.awaited = n->work.stop.awaited = 0;
	n->work.lock = 0;
	n->guard.known = GUARD_UNKNOWN;
}

/* With its host. */
void work_off(struct sim *w, struct sim_node *n)
{
	if (n->work.truth != TRUTH_DOWN)
		set_truth(w, n, TRUTH_DOWN);
	n->work = (struct sim_work){ .takeover.gen = n->work.takeover.gen + 1,
				     .stop.gen = n->work.stop.gen + 1,
				     .kill_gen = n->work.kill_gen + 1 };
	n->guard = (struct sim_guard){ .stop.gen = n->guard.stop.gen + 1,
				       .timer_gen = n->guard.timer_gen + 1,
				       .spawn = n->guard.spawn + 1 };
	n->page = (struct sim_page){ .watch = 0 };
}
