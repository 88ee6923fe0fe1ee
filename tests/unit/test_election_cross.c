/* SPDX-License-Identifier: Apache-2.0 */

/* Walks through the states of the core, breadth first, and tells it everything that may happen in each of them. */

#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "test_election_check.h"
#include "test_election_walk.h"

#define MS INT64_C(1000)
#define STATES_MAX 80000
/* Broad, not deep in a few: no phase gets more than its share of the states. */
#define STATES_PER_PHASE 6000
#define SLOTS (1u << 18)
#define START_US (INT64_C(1000000) * MS)

struct place {
	struct walk walk;
	struct election_event event; /* that led here */
	uint32_t parent;
};

static struct place places[STATES_MAX];
static uint64_t slots[SLOTS];
static uint32_t place_count;
static uint64_t steps;
static uint32_t pairs[PHASE_COUNT][ELECTION_EVENT_COUNT];
static uint32_t edges_seen[PHASE_COUNT];
static uint32_t kept[PHASE_COUNT];

/* For the trace of what broke. */
static uint32_t here;
static struct election_event tried;

static const struct election_config coordinator = {
	.lock_timeout_us = 400 * MS,
	.transition_delay_us = 500 * MS,
	.contend_delay_us = 50 * MS,
	.handover_timeout_us = 2000 * MS,
	.penalty_us = 5000 * MS,
	.acquire_delay_us = 100 * MS,
	.lease_timeout_us = 1000 * MS,
	.coordinator = 1,
};

static void print_event(const struct election_event *event)
{
	fprintf(stderr, "\t%8" PRId64 " ms %s", (event->now_us - START_US) / MS,
		election_event_text(event->type));
	if (event->type == ELECTION_VIEW)
		fprintf(stderr, " key %s@%" PRId32 " post %d%s%s",
			election_key_text(event->view.key), event->view.key_version,
			event->view.post, event->view.drained ? " drained" : "",
			event->view.maintenance ? " maintenance" : "");
	if (event->type == ELECTION_DONE)
		fprintf(stderr, " %s", election_op_text(event->op));
	fprintf(stderr, " result %d count %" PRId32 " resume %d fresh %d\n", event->result,
		event->count, event->resume, event->fresh);
}

static void print_trace(uint32_t place)
{
	if (place)
		print_trace(places[place].parent);
	if (place)
		print_event(&places[place].event);
	fprintf(stderr, "\t\t\t=> %s (%s)\n", election_phase_text(places[place].walk.core.phase),
		election_reason_text(places[place].walk.core.reason));
}

static void broken(const char *rule)
{
	print_trace(here);
	print_event(&tried);
	fail_msg("%s", rule);
}

static void on_abort(int signal_number)
{
	print_trace(here);
	print_event(&tried);
	signal(SIGABRT, SIG_DFL);
	raise(SIGABRT);
}

/* Steps twice from the same state: what comes out depends on nothing but what goes in. */
static void step_pure(const struct election_config *config, struct election *state,
		      const struct election_event *event, struct election_actions *ret_actions)
{
	struct election_actions second;
	struct election copy = *state;

	memset(ret_actions, 0x55, sizeof(*ret_actions));
	memset(&second, 0xaa, sizeof(second));
	election_step(config, state, event, ret_actions);
	election_step(config, &copy, event, &second);
	if (memcmp(state, &copy, sizeof(copy)) != 0 || ret_actions->count != second.count ||
	    memcmp(ret_actions->list, second.list, (size_t)second.count * sizeof(second.list[0])) !=
		    0)
		broken("the same event in the same state led elsewhere");
	steps += 2;
}

static bool same_but_now(const struct election *a, const struct election *b)
{
	struct election copy = *a;

	copy.now_us = b->now_us;
	return !memcmp(&copy, b, sizeof(copy));
}

/* The same view again tells nothing new. */
static void check_level(const struct election_config *config, const struct election *state,
			const struct election_event *event)
{
	struct election copy = *state;
	struct election_actions actions;

	if (event->type != ELECTION_VIEW)
		return;
	step_pure(config, &copy, event, &actions);
	if (actions.count || memcmp(&copy, state, sizeof(copy)) != 0)
		broken("the same view led on when it came again");
}

/* Between two timers nothing happens. */
static void check_quiet(const struct election_config *config, const struct election *state)
{
	int64_t next_us = election_next_us(config, state);
	int64_t until_us = next_us ? next_us - 1 : state->now_us + 3600000 * MS;
	const int64_t moments_us[] = { state->now_us,
				       state->now_us + (until_us - state->now_us) / 2, until_us };

	if (state->phase == PHASE_INIT)
		return;
	for (size_t i = 0; i < 3; i++) {
		struct election_event event = { .type = ELECTION_TIME, .now_us = moments_us[i] };
		struct election copy = *state;
		struct election_actions actions;

		tried = event;
		step_pure(config, &copy, &event, &actions);
		if (actions.count || !same_but_now(&copy, state))
			broken("something happened before its time");
		if (election_next_us(config, &copy) != next_us)
			broken("a look at the clock moved the next timer");
	}
}

/* True if the state is new. */
static bool remember(uint64_t hash)
{
	uint32_t slot = (uint32_t)(hash >> 20) & (SLOTS - 1);

	hash |= 1;
	while (slots[slot] && slots[slot] != hash)
		slot = (slot + 1) & (SLOTS - 1);
	if (slots[slot])
		return false;
	slots[slot] = hash;
	return true;
}

static void visit(const struct election_config *config, const struct walk *from,
		  const struct election_event *event)
{
	struct walk to = *from;
	struct election_actions actions;
	const char *rule;

	tried = *event;
	step_pure(config, &to.core, event, &actions);
	walk_note(&to, event, &actions);
	rule = election_check_step(config, &from->core, event, &to.core, &actions);
	if (!rule)
		rule = walk_stuck(&to, config);
	if (rule)
		broken(rule);
	check_level(config, &to.core, event);
	pairs[from->core.phase][event->type]++;
	edges_seen[from->core.phase] |= UINT32_C(1) << to.core.phase;
	if (place_count == STATES_MAX || kept[to.core.phase] == STATES_PER_PHASE ||
	    !remember(walk_hash(&to)))
		return;
	kept[to.core.phase]++;
	places[place_count++] = (struct place){ .walk = to, .event = *event, .parent = here };
}

static void walk_from_start(const struct election_config *config)
{
	struct walk_events events;

	memset(slots, 0, sizeof(slots));
	memset(pairs, 0, sizeof(pairs));
	memset(kept, 0, sizeof(kept));
	memset(edges_seen, 0, sizeof(edges_seen));
	place_count = 1;
	steps = 0;
	walk_init(&places[0].walk, START_US);
	signal(SIGABRT, on_abort);
	for (here = 0; here < place_count; here++) {
		struct walk from = places[here].walk;

		check_quiet(config, &from.core);
		walk_list(&from, config, &events);
		for (size_t i = 0; i < events.count; i++)
			visit(config, &from, &events.list[i]);
	}
	signal(SIGABRT, SIG_DFL);
	print_message("%" PRIu32 " states, %" PRIu64 " steps\n", place_count, steps);
}

static void print_coverage(void)
{
	for (uint8_t phase = 0; phase < PHASE_COUNT; phase++) {
		print_message("%-9s", election_phase_text(phase));
		for (uint8_t type = 0; type < ELECTION_EVENT_COUNT; type++)
			print_message(" %7" PRIu32, pairs[phase][type]);
		print_message("\n");
	}
}

static void test_coordinator(void **state)
{
	walk_from_start(&coordinator);
	print_coverage();
	for (uint8_t phase = PHASE_OFFLINE; phase < PHASE_GONE; phase++) {
		assert_true(pairs[phase][ELECTION_TIME] || phase == PHASE_LOCK);
		assert_true(pairs[phase][ELECTION_SESSION_DOWN]);
		assert_true(pairs[phase][ELECTION_SHUTDOWN]);
	}
}

static void test_client(void **state)
{
	struct election_config client = coordinator;

	client.coordinator = 0;
	walk_from_start(&client);
	for (uint8_t phase = PHASE_CONTEND; phase <= PHASE_BEGIN; phase++)
		assert_int_equal(pairs[phase][ELECTION_SHUTDOWN], 0);
}

/* Delays of nothing: every timer that could be in the past is. */
static void test_no_delays(void **state)
{
	struct election_config hasty = coordinator;

	hasty.contend_delay_us = hasty.handover_timeout_us = hasty.penalty_us =
		hasty.acquire_delay_us = 0;
	walk_from_start(&hasty);
}

static void test_no_padding(void **state)
{
	struct election a, b;

	memset(&a, 0x55, sizeof(a));
	memset(&b, 0xaa, sizeof(b));
	election_init(&a);
	election_init(&b);
	assert_memory_equal(&a, &b, sizeof(a));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_padding),
		cmocka_unit_test(test_coordinator),
		cmocka_unit_test(test_client),
		cmocka_unit_test(test_no_delays),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
