/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Breadth first. Of a world that was seen only its hash, its parent and the move that led to it are kept; the way to a
 * violation is found by making the moves again. Worlds not yet looked at wait, packed, in a chain of blocks.
 */

#include "check_world.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define BLOCK_BYTES ((size_t)1 << 20)
#define ROOTS 3
#define NO_PARENT UINT32_MAX
/* Liveness is tried from one world in so many. */
#define PROBE_ONE_IN 64
#define WAY_MAX 100000
#define ROOT_MOVES_MAX 1000
#define ROOT_SETTLE_UNITS 100
/* So much of what follows is shown where no primary comes to be. */
#define SHOWN_UNITS 8

struct block {
	struct block *next;
	size_t written;
	size_t read;
	uint8_t bytes[BLOCK_BYTES];
};

struct step {
	uint32_t parent;
	struct check_move move;
} __attribute__((packed));

struct search {
	const struct check_limits *limits;
	struct check_report *report;
	uint64_t *slots;
	uint64_t slot_mask;
	struct step *steps;
	uint32_t count;
	struct block *first, *last;
	uint32_t here; /* the world being looked at */
	struct check_move move;
	enum { DOING_ROOT, DOING_PROBE, DOING_MOVE } doing;
};

static sigjmp_buf aborted;

static void on_abort(int signal_number)
{
	siglongjmp(aborted, 1);
}

/* The same assertion again, at the end of the trace. */
static void on_abort_again(int signal_number)
{
	static const char text[] = "\n0 passed, 1 failed\n";

	fflush(stdout);
	if (write(STDOUT_FILENO, text, sizeof(text) - 1) < 0)
		_exit(2);
	_exit(1);
}

/* -- what was seen, and what waits -- */

/* True if it is new. */
static bool remember(struct search *s, uint64_t hash)
{
	uint64_t slot = hash & s->slot_mask;

	hash |= 1;
	while (s->slots[slot] && s->slots[slot] != hash)
		slot = (slot + 1) & s->slot_mask;
	if (s->slots[slot])
		return false;
	s->slots[slot] = hash;
	return true;
}

static int enqueue(struct search *s, const struct check_world *world)
{
	uint8_t packed[CHECK_PACKED_MAX];
	size_t size = check_pack(world, packed);

	if (!s->last || s->last->written + size > BLOCK_BYTES) {
		struct block *block = malloc(sizeof(*block));

		if (!block)
			return -ENOMEM;
		block->next = NULL;
		block->written = block->read = 0;
		if (s->last)
			s->last->next = block;
		else
			s->first = block;
		s->last = block;
	}
	memcpy(s->last->bytes + s->last->written, packed, size);
	s->last->written += size;
	return 0;
}

static void dequeue(struct search *s, struct check_world *ret_world)
{
	struct block *block = s->first;

	if (block->read == block->written) {
		s->first = block->next;
		free(block);
		block = s->first;
	}
	block->read += check_unpack(block->bytes + block->read, ret_world);
}

static int discover(struct search *s, struct check_world *world, uint32_t parent,
		    struct check_move move)
{
	if (s->count == s->limits->states || !remember(s, check_hash(world)))
		return 0;
	s->steps[s->count++] = (struct step){ .parent = parent, .move = move };
	return enqueue(s, world);
}

/* -- the starting worlds -- */

static bool all_follow(const struct check_world *world)
{
	for (unsigned i = 0; i < world->nodes; i++)
		if (world->core[i].phase != PHASE_FOLLOW)
			return false;
	return true;
}

/* 0: all daemons start. 1: all follow, the key is vacant. 2: one is primary. False: the core does not get there. */
static bool make_root(const struct check_limits *limits, unsigned root,
		      struct check_world *ret_world)
{
	struct check_moves moves;
	bool ready = true;

	check_world_init(ret_world, limits->nodes);
	ret_world->maintenance = root != 0;
	for (unsigned made = 0; root && !all_follow(ret_world); made++) {
		size_t k = 0;

		check_list_moves(ret_world, &moves);
		while (k < moves.count && check_move_class(moves.list[k].kind) > CLASS_FREE)
			k++;
		if (k == moves.count || made == ROOT_MOVES_MAX)
			return false;
		check_world_move(ret_world, moves.list[k]);
	}
	ret_world->maintenance = 0;
	if (root == 2)
		ready = check_settle(ret_world, ROOT_SETTLE_UNITS) && !check_broken;
	ret_world->faults = limits->faults;
	ret_world->kinds = limits->kinds;
	ret_world->orders = limits->orders;
	check_normalise(ret_world);
	return ready;
}

/* -- the way to a violation -- */

/* Makes the moves from the root to `place` again, aloud, and `last` if it is not NULL. */
static void retrace(struct search *s, uint32_t place, const struct check_move *last)
{
	static const char *const roots[] = { "all daemons starting", "the role vacant",
					     "one primary" };
	static struct check_move way[WAY_MAX];
	uint32_t length = 0;
	struct check_world world;
	double units = 0;

	if (last)
		way[length++] = *last;
	for (; s->steps[place].parent != NO_PARENT && length < WAY_MAX;
	     place = s->steps[place].parent)
		way[length++] = s->steps[place].move;
	make_root(s->limits, s->steps[place].move.node, &world);
	printf("  %u moves, from the start with %s (T = 12 units):\n", length,
	       roots[s->steps[place].move.node]);
	check_trace = stdout;
	while (length--) {
		int64_t now_us = world.now_us;

		check_world_move(&world, way[length]);
		units += (double)(world.now_us - now_us) / (double)CHECK_UNIT_US;
		if (world.now_us != now_us)
			printf("  %g:\n", units);
		check_normalise(&world);
	}
	if (!last) {
		printf("  and from here on, were everything to go well:\n");
		check_settle(&world, SHOWN_UNITS);
	}
	check_trace = NULL;
}

static void violated(struct search *s, const char *rule)
{
	s->report->broken = rule;
	printf("  broken: %s\n", rule);
	signal(SIGABRT, on_abort_again);
	if (s->doing == DOING_MOVE)
		retrace(s, s->here, &s->move);
	else if (s->doing == DOING_PROBE)
		retrace(s, s->here, NULL);
	else
		printf("  on the way to a starting world\n");
	check_trace = NULL;
	fflush(stdout);
}

/* -- the search -- */

static int try_move(struct search *s, const struct check_world *from)
{
	struct check_world to = *from;
	const char *rule;

	check_broken = NULL;
	check_world_move(&to, s->move);
	s->report->moves++;
	rule = check_broken ? check_broken : check_rules(&to);
	if (rule) {
		violated(s, rule);
		return 0;
	}
	check_normalise(&to);
	return discover(s, &to, s->here, s->move);
}

static bool probe(struct search *s, const struct check_world *world)
{
	const char *rule;

	if (check_hash(world) / 2 % PROBE_ONE_IN)
		return true;
	s->doing = DOING_PROBE;
	s->report->probes++;
	check_broken = NULL;
	rule = check_liveness(world);
	if (!rule)
		return true;
	violated(s, rule);
	return false;
}

static int look(struct search *s)
{
	struct check_world world;
	struct check_moves moves;
	int r = 0;

	dequeue(s, &world);
	s->doing = DOING_PROBE;
	if (!probe(s, &world))
		return 0;
	check_list_moves(&world, &moves);
	if (!moves.count)
		violated(s, "nothing can happen any more");
	s->doing = DOING_MOVE;
	for (size_t k = 0; !r && !s->report->broken && k < moves.count; k++) {
		s->move = moves.list[k];
		r = try_move(s, &world);
	}
	return r;
}

static int search_all(struct search *s)
{
	uint32_t level_end = s->count;
	int r = 0;

	for (s->here = 0; !r && !s->report->broken && s->here < s->count; s->here++) {
		if (s->here == level_end) {
			if (s->count == s->limits->states)
				break; /* what lies deeper is not complete any more */
			s->report->depth++;
			level_end = s->count;
		}
		r = look(s);
	}
	s->report->whole = s->here == s->count && s->count < s->limits->states;
	return r;
}

static int search_from_roots(struct search *s)
{
	struct check_world world;
	int r = 0;

	for (uint8_t root = 0; !r && root < ROOTS; root++) {
		check_broken = NULL;
		if (!make_root(s->limits, root, &world)) {
			violated(s, check_broken ? check_broken : "no way to a starting world");
			return 0;
		}
		r = discover(s, &world, NO_PARENT, (struct check_move){ .node = root });
	}
	return r ? r : search_all(s);
}

/* No local variable here: a jump would clobber it. */
static int search_until_abort(struct search *s)
{
	if (sigsetjmp(aborted, 1)) {
		violated(s, "an assertion of the core failed");
		return 0;
	}
	signal(SIGABRT, on_abort);
	return search_from_roots(s);
}

static void release(struct search *s)
{
	while (s->first) {
		struct block *next = s->first->next;

		free(s->first);
		s->first = next;
	}
	free(s->slots);
	free(s->steps);
}

static double seconds_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

int check_search(const struct check_limits *limits, struct check_report *ret_report)
{
	struct check_report report = { .states = 0 };
	struct search s = { .limits = limits, .report = &report };
	double start = seconds_now();
	uint64_t slots = 1024;
	int r = -ENOMEM;

	while (slots < (uint64_t)limits->states * 3 / 2)
		slots *= 2;
	s.slot_mask = slots - 1;
	s.slots = calloc(slots, sizeof(*s.slots));
	s.steps = malloc(((size_t)limits->states + ROOTS) * sizeof(*s.steps));
	if (s.slots && s.steps)
		r = search_until_abort(&s);
	signal(SIGABRT, SIG_DFL);
	release(&s);
	report.states = s.count;
	report.seconds = seconds_now() - start;
	if (!r)
		*ret_report = report;
	return r;
}
