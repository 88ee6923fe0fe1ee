/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Goes through every state that the keeper can get into, the daemon's and the guard's, with every event that its shell may
 * bring in any order, and holds each step against the rules below. The world around it (the work, the guard, the lock) is
 * as small as the rules need it. Times are relative to now, on a grid, and forgotten after some seconds, so that the states
 * are finite.
 */
#include "work/keeper.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define S INT64_C(1000000)
#define NOW (1000 * S) /* of every state that is kept */
#define FORGOTTEN_US (6 * S)

/* What a renewal brings: some of the time is there for work, the rest for its stop. */
#define LEASE_US (8 * S)
#define LEASE_TIMEOUT_US (4 * S)
#define STOP_TIMEOUT_US (3 * S)

#define STATES_MAX (1U << 20)
#define GOOD_MOVES_MAX 200

enum role { DAEMON, GUARD };

struct world {
	struct keeper keeper;
	int64_t now_us;
	int64_t begun_us;  /* the stop, as the rules see it; 0: none */
	int64_t killed_us; /* KILL was first said in it */

	uint8_t runs;	 /* something of the work may run */
	uint8_t owed;	 /* the stop has not succeeded since the work was started */
	uint8_t cold;	 /* nothing is known to have been started */
	uint8_t watched; /* a guard watches */
	uint8_t acted;	 /* it has begun to stop the work */
	uint8_t arming;	 /* ARM is to be answered */
	uint8_t locked;
	uint8_t locking, starting, trying, cleaning; /* to be answered */
	uint8_t seizing;			     /* LOCK was SEIZE */
	uint8_t idle;				     /* who has the lock runs nothing */
	uint8_t fenced;

	uint8_t wanted_down; /* TELL_DOWN is owed */
	uint8_t decided;     /* the guard acts */
	uint8_t over;	     /* the guard has nothing more to do */
};

/* One move: what happens next. */
struct happening {
	int64_t wait_us;
	int64_t lease_end_us;
	uint8_t type, result, cold;
};

#define HAPPENINGS_MAX 32

struct happenings {
	unsigned n;
	struct happening list[HAPPENINGS_MAX];
};

static struct keeper_config config;
static int64_t tick_us; /* looks at the clock are this far apart, or much further */

static const char *broken;
static bool loud;

static void rule(bool holds, const char *text)
{
	if (!holds && !broken)
		broken = text;
}

/* -- the world's side of the actions -- */

static int64_t kill_due_us(const struct world *w)
{
	int64_t lease_end_us = w->keeper.lease_end_us;
	int64_t share_us = config.lease_timeout_us / 8;
	int64_t due_us = lease_end_us ? lease_end_us - share_us : INT64_MAX;

	/* Late: a moment for the relinquish command. */
	if (due_us < w->begun_us + share_us / 4)
		due_us = w->begun_us + share_us / 4;
	if (config.stop_timeout_us && w->begun_us + config.stop_timeout_us < due_us)
		due_us = w->begun_us + config.stop_timeout_us;
	return due_us;
}

static void act_start(struct world *w)
{
	rule(!w->runs, "started while something of the work may run");
	rule(w->watched, "started without a guard");
	rule(w->locked, "started without the lock");
	rule(w->keeper.lease_end_us - LEASE_TIMEOUT_US > w->now_us,
	     "started without a lease that lasts");
	rule(!w->starting && !w->trying, "started twice, or beside a stop");
	w->runs = w->owed = w->starting = 1;
	w->cold = 0;
}

static void act_stop(struct world *w)
{
	rule(!w->trying, "two tries of a stop at once");
	rule(w->locked || w->decided, "stopped without the lock");
	w->starting = 0;
	w->trying = 1;
}

static void act_lock(struct world *w, bool seize)
{
	rule(!w->locking, "asked for the lock twice");
	rule(!w->trying && !w->cleaning, "asked for the lock with a stop under way");
	rule(!config.guard || w->now_us >= w->keeper.lease_end_us - LEASE_TIMEOUT_US,
	     "the guard acts while the lease lasts");
	rule(!seize || w->idle || w->now_us >= w->keeper.lease_end_us - LEASE_TIMEOUT_US / 8,
	     "a stop that runs is passed over");
	w->locking = 1;
	w->seizing = seize;
}

static void act_tell_down(struct world *w)
{
	rule(!w->runs, "said to be down, and something is left");
	rule(!w->owed, "said to be down, and no stop has succeeded");
	rule(!w->trying && !w->starting, "said to be down in the middle of something");
	rule(w->wanted_down || config.guard, "said to be down, and nobody asked");
	rule(!w->locked || config.guard, "the lock is kept");
	w->wanted_down = 0;
	w->over = (uint8_t)config.guard;
}

static void act(struct world *w, enum keeper_action action)
{
	if (loud)
		printf("\t-> %s\n", keeper_action_text(action));
	switch (action) {
	case KEEPER_DO_ARM:
		rule(!w->arming, "armed twice");
		w->arming = 1;
		break;
	case KEEPER_DO_DISARM:
		rule(!w->runs || (config.guard && !w->keeper.lease_end_us && !w->decided),
		     "the guard is dismissed, and something may run");
		w->watched = w->arming = w->acted = 0;
		break;
	case KEEPER_DO_LOCK:
	case KEEPER_DO_SEIZE:
		act_lock(w, action == KEEPER_DO_SEIZE);
		break;
	case KEEPER_DO_UNLOCK:
		rule(!w->trying && !w->starting, "unlocked in the middle of something");
		w->locked = 0;
		break;
	case KEEPER_DO_START:
		act_start(w);
		break;
	case KEEPER_DO_STOP:
		act_stop(w);
		break;
	case KEEPER_DO_CLEAN:
		rule(!w->cleaning && !w->trying, "cleaned up beside a stop");
		w->cleaning = 1;
		w->starting = 0;
		break;
	case KEEPER_DO_KILL:
		rule(w->begun_us, "killed without a stop");
		rule(!config.guard || w->decided, "the guard kills before it has decided");
		if (!w->killed_us)
			w->killed_us = w->now_us;
		w->starting = 0;

		break;
	case KEEPER_DO_FENCE:
		rule(w->killed_us, "fenced before anything was killed");
		/* Of units, what was not started by the start may be up. */
		rule(w->runs || w->owed || config.units, "fenced though it is down");
		rule(!w->fenced, "fenced twice");
		rule(w->now_us >= w->killed_us + LEASE_TIMEOUT_US / 8, "fenced too soon");
		w->fenced = 1;

		w->over = (uint8_t)config.guard;
		break;
	case KEEPER_DO_TELL_DOWN:
		act_tell_down(w);
		break;
	case KEEPER_DO_TELL_UP:
		rule(!w->acted, "said to be up, and the guard stops it");
		break;
	case KEEPER_DO_LEASE:
		/* The guard lets start what waits for it. */
		rule(keeper_may_run(&w->keeper), "a lease before the start was ordered");
		w->owed = w->owed || w->keeper.state == KEEPER_ARMING;
		break;
	case KEEPER_DO_TELL_FAILED:
	case KEEPER_DO_TELL_TROUBLE:
	case KEEPER_ACTION_COUNT:
		break;
	}
}

/* -- what may happen -- */

static void add(struct happenings *h, uint8_t type, uint8_t result, int64_t wait_us)
{
	assert_true(h->n < HAPPENINGS_MAX);
	h->list[h->n++] = (struct happening){ .type = type, .result = result, .wait_us = wait_us };
}

static void add_both(struct happenings *h, uint8_t type)
{
	add(h, type, KEEPER_OK, 0);
	add(h, type, KEEPER_FAILED, 0);
}

static void add_lease(struct happenings *h, int64_t end_us)
{
	add(h, KEEPER_ON_LEASE, KEEPER_OK, 0);
	h->list[h->n - 1].lease_end_us = end_us;
}

/* The first of them is the good one, where there is one: see comes_down(). */
static void add_answers(const struct world *w, struct happenings *h)
{
	if (w->locking) {
		add(h, KEEPER_ON_LOCK, KEEPER_OK, 0);
		if (!w->seizing && !w->decided) {
			add(h, KEEPER_ON_LOCK, KEEPER_BUSY, 0);
			add(h, KEEPER_ON_LOCK, config.guard ? KEEPER_IDLE : KEEPER_FAILED, 0);
		}
		if (!config.guard && w->begun_us)
			add(h, KEEPER_ON_LOCK, KEEPER_DONE, 0);
		if (config.guard && !w->decided) {
			add(h, KEEPER_ON_LOCK, KEEPER_OFF, 0);
			h->list[h->n - 1].lease_end_us = w->now_us + LEASE_US;
			add(h, KEEPER_ON_LOCK, KEEPER_OFF, 0);
		}
	}
	if (w->cleaning)
		add_both(h, KEEPER_ON_CLEAN);
	if (w->locking || w->cleaning)
		return; /* the shell answers these at once */
	if (w->arming)
		add_both(h, KEEPER_ON_ARMED);
	if (w->starting)
		add_both(h, KEEPER_ON_STARTED);
	if (w->trying)
		add_both(h, KEEPER_ON_ENDED);
}

static void add_wishes(const struct world *w, struct happenings *h)
{
	const struct keeper *k = &w->keeper;

	if (k->state == KEEPER_UNKNOWN && w->cold && !w->wanted_down && !k->lease_end_us) {
		add(h, KEEPER_ON_DOWN, KEEPER_OK, 0);
		add(h, KEEPER_ON_RESUME, KEEPER_OK, 0);
		h->list[h->n - 1].lease_end_us = w->now_us + LEASE_US;
	}
	if (!w->wanted_down) {
		add(h, KEEPER_ON_STOP, KEEPER_OK, 0);
		h->list[h->n - 1].cold = k->state == KEEPER_UNKNOWN && w->cold;
	}
	if (k->state == KEEPER_DOWN)
		add(h, KEEPER_ON_NAMED, KEEPER_OK, 0);
	if (k->state == KEEPER_STANDBY && !k->lease_end_us)
		add(h, KEEPER_ON_UNNAMED, KEEPER_OK, 0);
	if ((k->state == KEEPER_DOWN || k->state == KEEPER_STANDBY) && k->lease_end_us &&
	    !w->wanted_down)
		add(h, KEEPER_ON_START, KEEPER_OK, 0);
}

/* waits: also such that nobody is awake when something is due. */
static void add_time(const struct world *w, struct happenings *h)
{
	int64_t next_us = keeper_next_us(&config, &w->keeper);

	if (!next_us)
		return;
	add(h, KEEPER_ON_TIME, KEEPER_OK,
	    next_us - w->now_us > 2 * LEASE_US ? next_us - w->now_us : tick_us);
	add(h, KEEPER_ON_TIME, KEEPER_OK, 2 * LEASE_US);
}

static void list(const struct world *w, struct happenings *h)
{
	h->n = 0;
	if (w->over)
		return;
	add_answers(w, h);
	if (w->locking || w->cleaning)
		return;
	if (!config.guard) {
		add_wishes(w, h);
		if (w->watched) {
			add(h, KEEPER_ON_UNGUARDED, KEEPER_OK, 0);
			add(h, KEEPER_ON_ACTED, KEEPER_OK, 0);
		}
		if (w->keeper.state == KEEPER_UP)
			add(h, KEEPER_ON_FAILED, KEEPER_OK, 0);
		if (!w->cold || w->keeper.state != KEEPER_UNKNOWN)
			add_lease(h, w->now_us + LEASE_US);
	} else if (!w->decided && !w->locking) {
		add_lease(h, w->now_us + LEASE_US);
		add_lease(h, 0);
	}
	add_time(w, h);
}

static void note(struct world *w, const struct happening *m)
{
	switch ((enum keeper_event_type)m->type) {
	case KEEPER_ON_DOWN:
		w->runs = w->owed = 0;
		break;
	case KEEPER_ON_RESUME:
		w->cold = 0;
		break;
	case KEEPER_ON_STOP:
		w->wanted_down = 1;
		break;
	case KEEPER_ON_ARMED:
		w->arming = 0;
		w->watched = m->result == KEEPER_OK;
		w->acted = 0;
		break;
	case KEEPER_ON_UNGUARDED:
	case KEEPER_ON_ACTED:
		w->watched = 0;
		/* (Nothing is started during a penalty: the node is not healthy.) */
		w->acted = m->type == KEEPER_ON_ACTED && w->keeper.trouble != KEEPER_TROUBLE_FAILED;
		break;
	case KEEPER_ON_LOCK:
		w->locking = w->seizing = 0;
		w->idle = m->result == KEEPER_IDLE;

		w->locked = w->locked || m->result == KEEPER_OK;
		w->decided = w->decided || (config.guard && m->result == KEEPER_OK);
		if (m->result == KEEPER_BUSY && !config.guard)
			w->locked = 0;
		if (m->result == KEEPER_DONE)
			w->owed = 0;
		if (m->result == KEEPER_OFF && !m->lease_end_us)
			w->runs = w->owed = 0;
		break;
	case KEEPER_ON_LEASE:
		/* The daemon has seen it down. */
		if (config.guard && !m->lease_end_us)
			w->runs = w->owed = 0;
		break;
	case KEEPER_ON_STARTED:
		w->starting = 0;
		break;
	case KEEPER_ON_ENDED:
		w->trying = 0;
		if (m->result == KEEPER_OK)
			w->owed = 0;
		break;
	case KEEPER_ON_CLEAN:
		w->cleaning = 0;
		if (m->result == KEEPER_OK)
			w->runs = 0;
		break;
	default:
		break;
	}
}

/* The stop as such: what of the keeper's states is one. */
static void note_stop(struct world *w)
{
	uint8_t state = w->keeper.state;
	bool stops = state == KEEPER_WAITING || state == KEEPER_STOPPING || state == KEEPER_KILLING;

	if (!stops)
		w->begun_us = w->killed_us = w->fenced = 0;

	else if (!w->begun_us)
		w->begun_us = w->now_us;
	/* A cold start is content with less. */
	if (stops && w->keeper.cold && w->keeper.stopped)
		w->owed = 0;
}

static void check_times(const struct world *w)
{
	const struct keeper *k = &w->keeper;

	rule(!w->begun_us || w->killed_us || w->seizing || w->now_us < kill_due_us(w) || w->over,
	     "not killed in time");
	rule(!w->killed_us || !k->lease_end_us || w->fenced || k->cold ||
		     w->now_us < w->killed_us + LEASE_TIMEOUT_US / 8 ||
		     (w->now_us < k->lease_end_us && w->now_us < w->killed_us + LEASE_TIMEOUT_US),
	     "not fenced in time");
	rule(!config.guard || k->state != KEEPER_UP ||
		     w->now_us < k->lease_end_us - LEASE_TIMEOUT_US * 7 / 8,
	     "the guard does not act");
	rule(!w->acted || !keeper_is_up(k), "up, and the guard stops it");
	rule(k->state != KEEPER_UP || k->armed != KEEPER_UNARMED || k->rearm_us > w->now_us,
	     "work without a guard, and nobody starts one");
}

static void happen(struct world *w, const struct happening *m)
{
	struct keeper_actions actions;
	struct keeper_event event = { .type = m->type, .result = m->result, .cold = m->cold };
	bool decides = config.guard && m->type == KEEPER_ON_LOCK && m->result == KEEPER_OK &&
		       !w->decided;

	w->now_us += m->wait_us;
	event.now_us = w->now_us;
	event.lease_end_us = m->lease_end_us;
	note(w, m);
	/* The guard's own stop begins when it decides. */
	if (decides)
		w->begun_us = w->now_us;
	keeper_step(&config, &w->keeper, &event, &actions);
	if (loud)
		printf("%g s: %s %d: %s\n", (double)m->wait_us / 1e6, keeper_event_text(m->type),
		       m->result, keeper_state_text(w->keeper.state));
	if (w->keeper.state == KEEPER_WAITING && !w->begun_us)
		w->begun_us = w->now_us;
	for (int32_t i = 0; i < actions.count; i++)
		act(w, (enum keeper_action)actions.list[i]);
	note_stop(w);
	check_times(w);

	rule(w->over || keeper_next_us(&config, &w->keeper) || w->arming || w->locking ||
		     w->starting || w->trying || w->cleaning || !w->wanted_down,
	     "nothing will ever happen");
}

/* -- the search -- */

static int64_t shift(int64_t time_us, int64_t by_us)
{
	if (!time_us)
		return 0;
	time_us -= by_us;
	return time_us < NOW - FORGOTTEN_US ? NOW - FORGOTTEN_US : time_us;
}

static void normalise(struct world *w)
{
	int64_t by_us = w->now_us - NOW;
	int64_t *times[] = {
		&w->keeper.now_us,
		&w->keeper.lease_end_us,
		&w->keeper.stop_since_us,
		&w->keeper.killed_us,
		&w->keeper.try_since_us,
		&w->keeper.next_us,
		&w->keeper.unguarded_us,
		&w->keeper.rearm_us,
		&w->keeper.penalty_until_us,
		&w->begun_us,
		&w->killed_us,
	};

	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++)
		*times[i] = shift(*times[i], by_us);
	w->now_us = NOW;
}

static uint64_t hash(const struct world *w)
{
	const unsigned char *byte = (const unsigned char *)w;
	uint64_t sum = UINT64_C(14695981039346656037);

	for (size_t i = 0; i < sizeof(*w); i++)
		sum = (sum ^ byte[i]) * UINT64_C(1099511628211);
	return sum | 1;
}

static struct world *worlds;
static uint32_t *parents;
static uint8_t *moves;
static uint64_t *seen;
static uint32_t n_worlds;

static void discover(const struct world *w, uint32_t parent, uint8_t move)
{
	uint64_t sum = hash(w);
	uint32_t slot = (uint32_t)(sum >> 20) & (2 * STATES_MAX - 1);

	for (; seen[slot]; slot = (slot + 1) & (2 * STATES_MAX - 1))
		if (seen[slot] == sum)
			return;
	assert_true(n_worlds < STATES_MAX);
	seen[slot] = sum;
	worlds[n_worlds] = *w;
	parents[n_worlds] = parent;
	moves[n_worlds++] = move;
}

static jmp_buf aborted;

static void on_abort(int number)
{
	longjmp(aborted, 1);
}

/* The way to it, aloud; then the assertion itself, if that is what broke. */
static void retrace(uint32_t place, const struct happening *last)
{
	static uint32_t way[10000];
	size_t length = 0;
	struct world w;
	struct happenings h;

	for (; parents[place] != UINT32_MAX && length < sizeof(way) / sizeof(way[0]);
	     place = parents[place])
		way[length++] = place;
	loud = true;
	w = worlds[place];
	while (length--) {
		list(&w, &h);
		happen(&w, &h.list[moves[way[length]]]);
		normalise(&w);
	}
	printf("broken: %s, by %s %d\n", broken, keeper_event_text(last->type), last->result);
	(void)signal(SIGABRT, SIG_DFL);
	(void)fflush(stdout);
	happen(&w, last);
}

static bool is_down(const struct world *w)
{
	return w->over || (!w->wanted_down && w->keeper.state == KEEPER_DOWN);
}

/* If from here on everything goes well, the stop comes to its end. */
static bool comes_down(struct world w)
{
	struct happenings h;

	for (int i = 0; i < GOOD_MOVES_MAX && !is_down(&w); i++) {
		struct happening next = { .type = KEEPER_ON_STOP };

		h.n = 0;
		if (w.wanted_down || config.guard) {
			add_answers(&w, &h);
			add_time(&w, &h);
			next = h.list[0];
		} else if (w.keeper.state == KEEPER_UNKNOWN) {
			next.cold = w.cold;
		}
		happen(&w, &next);
		normalise(&w);
	}
	return is_down(&w);
}

static void search(struct world first)
{
	static struct happening last;
	static uint32_t here;
	struct happenings h;

	worlds = malloc(STATES_MAX * sizeof(*worlds));
	parents = malloc(STATES_MAX * sizeof(*parents));
	moves = malloc(STATES_MAX);
	seen = calloc(2 * STATES_MAX, sizeof(*seen));
	assert_true(worlds && parents && moves && seen);
	n_worlds = 0;
	broken = NULL;
	loud = false;
	if (setjmp(aborted)) {
		broken = broken ? broken : "an assertion of the keeper";
		retrace(here, &last);
		fail();
	}
	(void)signal(SIGABRT, on_abort);
	discover(&first, UINT32_MAX, 0);
	for (here = 0; here < n_worlds && !broken; here++) {
		list(&worlds[here], &h);
		for (unsigned i = 0; i < h.n && !broken; i++) {
			struct world w = worlds[here];

			last = h.list[i];
			happen(&w, &last);
			normalise(&w);
			if (!broken)
				discover(&w, here, (uint8_t)i);
		}
		if (!broken && here % 16 == 0 && !comes_down(worlds[here]))
			broken = "it never comes down";
	}
	if (broken) {
		retrace(here - 1, &last);
		(void)comes_down(worlds[here - 1]);
		fail();
	}
	printf("%u states\n", n_worlds);
	(void)signal(SIGABRT, SIG_DFL);
	free(worlds);
	free(parents);
	free(moves);
	free(seen);
}

static struct world world(enum role role)
{
	struct world w;

	memset(&w, 0, sizeof(w));
	config = (struct keeper_config){ .lease_timeout_us = LEASE_TIMEOUT_US,
					 .penalty_us = 2 * S,
					 .stop_timeout_us = role == GUARD ? 0 : STOP_TIMEOUT_US,
					 .guard = role == GUARD };
	keeper_init(&config, &w.keeper);
	tick_us = role == GUARD ? S / 4 : S;
	w.now_us = NOW;
	w.keeper.now_us = NOW;
	w.runs = w.owed = 1;
	w.cold = role == DAEMON;
	return w;
}

static void test_daemon(void **unused)
{
	search(world(DAEMON));
}

static void test_daemon_of_units(void **unused)
{
	struct world first = world(DAEMON);

	config.units = 1;
	search(first);
}

static void test_guard(void **unused)
{
	const struct happening resume = { .type = KEEPER_ON_RESUME,
					  .lease_end_us = NOW + LEASE_US };
	struct world w = world(GUARD);

	happen(&w, &resume);
	search(w);
}

/* The diagram and the words. */
static void test_tables(void **unused)
{
	for (uint8_t state = 0; state < KEEPER_STATE_COUNT; state++) {
		assert_true(keeper_edges(state) && keeper_edges(state) < 1U << KEEPER_STATE_COUNT);
		assert_string_not_equal(keeper_state_text(state), "?");
	}
	assert_int_equal(keeper_edges(KEEPER_STATE_COUNT), 0);
	assert_string_equal(keeper_state_text(KEEPER_STATE_COUNT), "?");
	assert_string_equal(keeper_event_text(KEEPER_EVENT_COUNT), "?");
	assert_string_equal(keeper_action_text(KEEPER_ACTION_COUNT), "?");
	assert_string_equal(keeper_trouble_text(KEEPER_TROUBLE_NONE), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tables),
		cmocka_unit_test(test_daemon),
		cmocka_unit_test(test_daemon_of_units),
		cmocka_unit_test(test_guard),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
