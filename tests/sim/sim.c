/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The simulator: two to seven nodes in a model of the world, in simulated time, from one seed. A node is made of the code that
 * ships (meson.build): daemon/node, daemon/cluster, the work and its keeper, the election, and of lib/zk the lock and the
 * mirror. What it calls outside of that is simulated behind the product's own headers.
 *
 *   sim --runs 1000                 a thousand runs, seeds 1 to 1000
 *   sim --steps 20000000            as many runs as it takes
 *   sim --fresh --minutes 5         seeds that nobody has seen, for five minutes of processor time
 *   sim --seed 17 --runs 1 --trace  what happened in run 17
 *
 * What is modelled, and where:
 *   zk_server, zk_commit
 *        one log that a quorum agrees on; servers apply it late; leaders die, are isolated, are
 *        replaced; an isolated leader or follower answers reads, pings and (the leader) syncs for
 *        up to 5 s; what an old leader had in its log may be committed by the next
 *   zk_session
 *        expiry T to T + tick after the last touch that the leader knows of, T as the node asked and
 *        the server granted, which may differ between them; clocks of leaders that are stepped, and
 *        sessions that somebody else closes: nothing rests on when they expire
 *   zk_conn, client
 *        FIFO connections; silent and one-way cuts; late landing of what was sent, never after the
 *        session has re-attached; one-shot watches that precede the reply of the write that fired
 *        them; an expired session is learnt of on re-attaching only
 *   tree
 *        the keys: versions, ephemerals, sequence nodes, and the transactions on them
 *   zkh, zkh_txn, zkh_hooks
 *        the headers of lib/zk over the simulated client, and libev's timers, for what is linked; the
 *        texts that the keys hold; reads that are refused
 *   process, files
 *        the process of a daemon, the turns of its loop, its timers; it may be stopped, or killed, wherever
 *        it calls for something outside of it; and its files, of which some outlive it
 *   work, guard
 *        the commands (slow, failing, hanging, outliving who started them); the guard around the product's
 *        keeper, which may be killed, late, or not to be started
 *   host, chaos
 *        drifting clocks, pauses, crashes, restarts, resets, operators; an ensemble that is set back
 *        to a backup or emptied while an old server may keep its connections, and accepted later
 *   oracle
 *        the judge, by the truth of the world: never work on two nodes, nor on a machine whose name
 *        another bears now; the post is never released while its owner's work runs; no work past the
 *        end of its lease, and none without post, lease and guard, or before the leases of others are
 *        over; no lease but by a commit; no write to an ensemble that is not the known one; epochs of
 *        started work grow, whatever is deleted, as long as a node that takes part remembers; the dead
 *        are fenced or marked first; no contender from before a claim is left when the claimer
 *        enters; of the commands that start and stop the work one runs at a time; after the last fault one
 *        primary within a stated bound, no phase left half-way, no busy loop
 *
 * Each run draws its own timing and its own set of faults.
 *
 * A run that fails is run again with the trace on; its last lines, the seed and the command that
 * repeats it are printed. --mutate NAME makes the world wrong in one way (--mutate list), to show
 * that the oracle sees it; --often FAULT makes one kind of fault frequent; --frozen-hosts lets hosts
 * sleep past their lease with work up, the case that software on the host cannot close; --unequal-servers
 * and --refusals make servers that grant different session timeouts, access lists and quotas frequent.
 */

#include "sim.h"

#include <getopt.h>
#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

static struct sim world;
static sigjmp_buf aborted;

void sim_fail(struct sim *w, const char *format, ...)
{
	va_list args;

	if (w->failed)
		return;
	w->failed = true;
	va_start(args, format);
	vsnprintf(w->failure, sizeof(w->failure), format, args);
	va_end(args);
	SIM_TRACE(w, "FAIL  %s", w->failure);
}

void sim_schedule(struct sim *w, int64_t at, uint8_t type, int node, uint32_t gen, uint32_t arg)
{
	struct queue_event ev = {
		.at = at, .type = type, .node = (uint8_t)node, .gen = gen, .arg = arg
	};

	if (!queue_push(&w->queue, ev))
		sim_fail(w, "simulator: too many events");
}

void sim_hold(struct sim *w, const struct queue_event *ev, int64_t until)
{
	struct queue_event later = *ev;

	later.at = until;
	if (!queue_put(&w->queue, later))
		sim_fail(w, "simulator: too many events");
}

/* An assertion of the core is a finding like any other. */
static void on_abort(int signal_number)
{
	siglongjmp(aborted, signal_number);
}

/* Until a node goes on: in the order in which they came, also if it is stopped once more just then. */
static void put_off(struct sim *w, const struct queue_event *ev, int64_t until)
{
	struct queue_event later = *ev;

	later.at = until;
	later.waits = true;
	if (!(ev->waits ? queue_put : queue_push)(&w->queue, later))
		sim_fail(w, "simulator: too many events");
}

static bool asleep(struct sim *w, const struct sim_node *n, const struct queue_event *ev)
{
	int64_t until = n->frozen_until;

	if (ev->type > EVENT_BOOT)
		return false;
	if (ev->type < EVENT_WORK && n->paused_until > until)
		until = n->paused_until;
	if (until <= w->now)
		return false;
	/* What is held up on its way comes no earlier than that, and not behind what was sent after it. */
	if (ev->type == EVENT_REPLY || ev->type == EVENT_WATCH || ev->type == EVENT_ATTACHED ||
	    (ev->type == EVENT_CLOSED && ev->arg == CLOSED_BY_SERVER)) {
		struct sim_conn *c = conn_get(w, ev->node, ev->gen);
		int64_t held = c ? conn_held_up(w, c, 1) : 0;

		if (held && held < until) {
			sim_hold(w, ev, held);
			return true;
		}
	}
	put_off(w, ev, until);
	if (ev->type == EVENT_TIMER && w->nodes[ev->node].alarms[ev->arg].at == ev->at)
		w->nodes[ev->node].alarms[ev->arg].at = until;
	return true;
}

static void on_step(struct sim *w, struct sim_node *n, const struct queue_event *ev)
{
}

/* What the daemon's loop turns for. NULL: it is not the daemon's. */
static process_turn_fn turn_of(uint8_t type)
{
	static const process_turn_fn turns[EVENT_WORK] = {
		[EVENT_TIMER] = process_on_timer,
		[EVENT_TELL] = process_on_news,
		[EVENT_REPLY] = client_on_reply,
		[EVENT_WATCH] = client_on_watch,
		[EVENT_CLOSED] = client_on_closed,
		[EVENT_ATTACHED] = client_on_attached,
		[EVENT_CLIENT] = client_on_timer,
		[EVENT_FENCE] = work_on_fence,
		[EVENT_STEP] = on_step,
		[EVENT_READY] = work_on_notice,
		[EVENT_LIBEV] = zkh_on_timer,
		[EVENT_RENEW] = zkh_on_renew,
		[EVENT_CALL] = zkh_on_call,
		[EVENT_UNACKED] = client_on_unacked,
	};

	return type < EVENT_WORK ? turns[type] : NULL;
}

static void dispatch_node(struct sim *w, const struct queue_event *ev)
{
	struct sim_node *n = &w->nodes[ev->node];
	process_turn_fn turn = turn_of(ev->type);

	if (turn)
		process_turn(w, n, turn, ev);
	else if (ev->type == EVENT_WORK)
		work_on_event(w, n, ev);
	else if (ev->type == EVENT_GUARD)
		guard_on_event(w, n, ev);
	else
		host_on_boot(w, n, ev);
}

/*
 * gen 0: the faults end; 1 and 2: an operator puts things right; 3: from here on there should be
 * rest; 4: an operator looks whether the ensemble is refused.
 */
static void on_calm(struct sim *w, const struct queue_event *ev)
{
	if (ev->gen == 0) {
		chaos_off(w);
		return;
	}
	if (ev->gen == 3) {
		oracle_calm(w);
		return;
	}
	if (!server_can_commit(w)) {
		sim_schedule(w, w->now + 100 * MS, EVENT_CALM, 0, ev->gen, 0);
		return;
	}
	operator_do(w, FAULT_ACCEPT);
	sim_schedule(w, w->now + 2 * SEC, EVENT_CALM, 0, 4, 0);
	if (ev->gen == 4)
		return;
	operator_do(w, FAULT_MAINT_OFF);
	for (int i = 0; i < w->node_count; i++) {
		struct sim_txn allow = { .type = TXN_REFUSE, .node = (int8_t)i };

		if (w->params.for_ever && w->tree.refused[i]) {
			w->params.for_ever = 0;
			continue;
		}
		commit_txn(w, &allow, -1, w->leader);
	}
	for (int i = 0; i < w->node_count && ev->gen == 2; i++) {
		struct sim_txn txn = { .type = TXN_DRAIN, .node = (int8_t)i };

		commit_txn(w, &txn, -1, w->leader);
	}
}

static void dispatch(struct sim *w, const struct queue_event *ev)
{
	if (ev->type <= EVENT_BOOT) {
		if (!asleep(w, &w->nodes[ev->node], ev))
			dispatch_node(w, ev);
	} else if (ev->type == EVENT_TWIN) {
		host_on_twin(w, &w->nodes[ev->node]);
	} else if (ev->type == EVENT_ARRIVE) {
		conn_arrive(w, ev);
	} else if (ev->type == EVENT_CONNECT) {
		conn_on_connect(w, ev);
	} else if (ev->type == EVENT_REVALIDATE) {
		conn_on_revalidate(w, ev);
	} else if (ev->type == EVENT_COMMIT) {
		commit_on_event(w, ev->arg);
	} else if (ev->type == EVENT_EXPIRE) {
		if (ev->gen == w->sessions[ev->arg].timer)
			session_on_expire(w, ev->arg);
	} else if (ev->type == EVENT_CHAOS) {
		chaos_on_event(w);
	} else if (ev->type == EVENT_OPERATOR) {
		operator_on_event(w, ev);
	} else if (ev->type == EVENT_CALM) {
		on_calm(w, ev);
	} else {
		server_on_event(w, ev);
	}
}

static void begin(struct sim *w, const struct sim_options *options, uint64_t seed, bool tracing)
{
	struct sim_stats stats = w->stats;

	/* What failed may be in any state. */
	for (int i = 0; i < w->node_count && !w->failed; i++) {
		process_end(&w->nodes[i]);
	}
	memset(w, 0, sizeof(*w));
	w->stats = stats;
	w->options = options;
	w->tracing = tracing || options->trace;
	w->rng.state = seed * UINT64_C(0x2545f4914f6cdd1d) + 1;
	w->now = 10 * SEC;
	for (int i = 0; i < REQUESTS_MAX; i++)
		w->requests[i].next_free = (uint16_t)(i + 1);
	zkh_begin(w);
	params_draw(w);
	server_start(w);
	for (int i = 0; i < w->node_count; i++)
		sim_schedule(w, w->now + rng_range(&w->rng, 0, SEC), EVENT_BOOT, i, 0, 0);
	sim_schedule(w, w->now + SEC, EVENT_CHAOS, 0, 0, 0);
	sim_schedule(w, w->now + w->params.fault_phase_us, EVENT_CALM, 0, 0, 0);
}

/* True: passed. */
static bool run(struct sim *w, const struct sim_options *options, uint64_t seed, bool tracing)
{
	struct queue_event ev;

	trace_reset();
	begin(w, options, seed, tracing);
	if (sigsetjmp(aborted, 1)) {
		w = &world;
		sim_fail(w, "an assertion of the core failed");
		return false;
	}
	while (!w->failed && queue_pop(&w->queue, &ev)) {
		w->now = ev.at;
		if (ev.type == EVENT_END) {
			oracle_liveness(w);
			break;
		}
		dispatch(w, &ev);
		w->stats.events++;
	}
	w->stats.runs++;
	return !w->failed;
}

static void report(struct sim *w, const struct sim_options *options, uint64_t seed)
{
	int64_t before = w->stats.steps;

	if (!options->trace) {
		run(w, options, seed, true);
		printf("the last lines of the trace:\n");
		trace_dump();
	}
	printf("%s\n", params_text(w));
	printf("FAILED: seed %" PRIu64 ", step %" PRId64 ", %.6f s: %s\n", seed,
	       w->stats.steps - before, (double)w->now / 1e6, w->failure);
	printf("repeat: sim --seed %" PRIu64 " --runs 1 --trace", seed);
	if (options->nodes)
		printf(" --nodes %d", options->nodes);
	if (options->quick)
		printf(" --quick");
	if (options->frozen_hosts)
		printf(" --frozen-hosts");
	if (options->refusals)
		printf(" --refusals");
	if (options->unequal_servers)
		printf(" --unequal-servers");
	if (options->often)
		printf(" --often %#" PRIx64, options->often);
	if (options->mutations)
		printf(" --mutate %#" PRIx64, options->mutations);
	printf("\n");
}

/* The rate is that of one core, whatever else keeps it busy. */
static void summary(const struct sim *w, double seconds, double cpu_seconds)
{
	static const char *const texts[] = {
#define X(name, text) text,
		SIM_FAULTS(X)
#undef X
	};
	const struct sim_stats *s = &w->stats;

	printf("%" PRId64 " runs, %" PRId64 " core steps, %" PRId64
	       " events in %.1f s (%.1f s of CPU): %.2f million steps/s\n",
	       s->runs, s->steps, s->events, seconds, cpu_seconds,
	       (double)s->steps / cpu_seconds / 1e6);
	printf("%" PRId64 " claims, %" PRId64 " takeovers, %" PRId64 " resumed, %" PRId64
	       " sessions expired, %" PRId64 " leaders elected, %" PRId64 " fenced\n",
	       s->elections, s->takeovers, s->resumes, s->expiries, s->leaders, s->fences);
	printf("%" PRId64 " transactions of unknown outcome, %" PRId64 " landed late, %" PRId64
	       " refused, %" PRId64 " kills, %" PRId64 " stops by the guard, %" PRId64
	       " fenced themselves, %" PRId64 " foreign ensembles\n",
	       s->unknown, s->late_commits, s->conflicts, s->kills, s->guard_stops, s->self_fences,
	       s->foreign);
	printf("faults:");
	for (int i = 0; i < FAULT_COUNT; i++)
		printf("%s %" PRId64 " %s", i ? "," : "", s->faults[i], texts[i]);
	printf("\n");
}

static uint64_t parse_mutation(const char *text)
{
	static const char *const names[] = {
#define X(name, text) text,
		SIM_MUTATIONS(X)
#undef X
	};

	for (int i = 0; i < MUTATION_COUNT; i++)
		if (!strcmp(text, names[i]))
			return UINT64_C(1) << i;
	if (text[0] == '0')
		return strtoull(text, NULL, 16);
	for (int i = 0; i < MUTATION_COUNT; i++)
		printf("%s\n", names[i]);
	exit(strcmp(text, "list") ? 2 : 0);
}

static uint64_t parse_fault(const char *text)
{
	static const char *const texts[] = {
#define X(name, text) text,
		SIM_FAULTS(X)
#undef X
	};

	for (int i = 0; i < FAULT_COUNT; i++)
		if (!strcmp(text, texts[i]))
			return UINT64_C(1) << i;
	if (text[0] == '0')
		return strtoull(text, NULL, 16);
	fprintf(stderr, "no such fault: %s\n", text);
	exit(2);
}

static void usage(void)
{
	fprintf(stderr,
		"usage: sim [--seed S | --fresh] [--runs N | --steps N | --minutes N] [--nodes 2..%d]\n"
		"           [--quick] [--trace] [--frozen-hosts] [--unequal-servers] [--refusals]\n"
		"           [--mutate NAME] [--often FAULT]\n",
		NODES_MAX);
	exit(2);
}

/* A seed that nobody has seen, told so that it can be seen again. */
static uint64_t fresh_seed(void)
{
	uint64_t seed = 0;

	while (getrandom(&seed, sizeof(seed), 0) != (ssize_t)sizeof(seed))
		continue;
	seed >>= 20;
	printf("base seed %" PRIu64 "\n", seed);
	fflush(stdout);
	return seed;
}

static void parse(int argc, char **argv, struct sim_options *o)
{
	static const struct option options[] = {
		{ "seed", required_argument, NULL, 's' },
		{ "runs", required_argument, NULL, 'r' },
		{ "steps", required_argument, NULL, 'n' },
		{ "minutes", required_argument, NULL, 'M' },
		{ "fresh", no_argument, NULL, 'F' },
		{ "nodes", required_argument, NULL, 'N' },
		{ "mutate", required_argument, NULL, 'm' },
		{ "often", required_argument, NULL, 'o' },
		{ "frozen-hosts", no_argument, NULL, 'f' },
		{ "unequal-servers", no_argument, NULL, 'u' },
		{ "refusals", no_argument, NULL, 'w' },
		{ "trace", no_argument, NULL, 't' },
		{ "quick", no_argument, NULL, 'q' },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		if (c == 's')
			o->seed = strtoull(optarg, NULL, 10);
		else if (c == 'r')
			o->runs = strtoll(optarg, NULL, 10);
		else if (c == 'n')
			o->steps = strtoll(optarg, NULL, 10);
		else if (c == 'M')
			o->minutes = strtod(optarg, NULL);
		else if (c == 'F')
			o->seed = fresh_seed();
		else if (c == 'N')
			o->nodes = (int32_t)strtol(optarg, NULL, 10);
		else if (c == 'm')
			o->mutations |= parse_mutation(optarg);
		else if (c == 'o')
			o->often |= parse_fault(optarg);
		else if (c == 'f')
			o->frozen_hosts = true;
		else if (c == 'u')
			o->unequal_servers = true;
		else if (c == 'w')
			o->refusals = true;
		else if (c == 't')
			o->trace = true;
		else if (c == 'q')
			o->quick = true;
		else
			usage();
	}
	if (optind < argc || o->nodes < 0 || o->nodes == 1 || o->nodes > NODES_MAX)
		usage();
}

static double seconds_now(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
	static struct sim_options options = { .seed = 1, .runs = 0 };
	int64_t passed = 0, failed = 0;
	double begun = seconds_now(CLOCK_MONOTONIC);
	struct sigaction action = { .sa_handler = on_abort };

	parse(argc, argv, &options);
	if (!options.runs && !options.steps && options.minutes <= 0)
		options.runs = 100;
	sigaction(SIGABRT, &action, NULL);
	for (int64_t i = 0; !failed; i++) {
		uint64_t seed = options.seed + (uint64_t)i;

		if ((options.runs && i >= options.runs) ||
		    (options.steps && world.stats.steps >= options.steps) ||
		    (options.minutes > 0 &&
		     seconds_now(CLOCK_PROCESS_CPUTIME_ID) >= options.minutes * 60))
			break;
		if (run(&world, &options, seed, false)) {
			passed++;
		} else {
			failed++;
			report(&world, &options, seed);
		}
	}
	summary(&world, seconds_now(CLOCK_MONOTONIC) - begun,
		seconds_now(CLOCK_PROCESS_CPUTIME_ID));
	printf("%" PRId64 " passed, %" PRId64 " failed\n", passed, failed);
	return failed ? 1 : 0;
}
