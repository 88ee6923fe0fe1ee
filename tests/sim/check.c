/* SPDX-License-Identifier: Apache-2.0 */

/*
 * check: goes through every state that two and three cores can get into, in the model of check_world.h, and holds each one
 * against the rules of check_rules.c.
 *
 *	check [--quick] [--nodes N --faults N --only net|process|work --orders N] [--states N]
 */

#include "check_world.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

#define MODEL(nodes_, faults_, kinds_, orders_, states_)                                           \
	{                                                                                          \
		.nodes = (nodes_), .faults = (faults_), .kinds = (kinds_), .orders = (orders_),    \
		.states = (states_)                                                                \
	}

static const struct check_limits quick_models[] = {
	MODEL(2, 1, FAULT_WORK, 1, 8000000),
	MODEL(2, 1, FAULT_ANY, 0, 8000000),
	MODEL(3, 0, FAULT_ANY, 1, 1000000),
};

static const struct check_limits full_models[] = {
	MODEL(2, 1, FAULT_WORK, 1, 12000000), MODEL(2, 1, FAULT_ANY, 0, 12000000),
	MODEL(2, 0, FAULT_ANY, 2, 12000000),  MODEL(3, 0, FAULT_ANY, 1, 12000000),
	MODEL(2, 1, FAULT_ANY, 1, 5000000),   MODEL(2, 2, FAULT_ANY, 0, 5000000),
	MODEL(3, 1, FAULT_ANY, 0, 5000000),
};

static int usage(void)
{
	fprintf(stderr,
		"usage: check [--quick] [--nodes 2|3] [--faults N] [--only net|process|work] "
		"[--orders N] [--states N]\n");
	return 2;
}

static const char *kind_text(uint8_t kinds)
{
	switch (kinds) {
	case FAULT_NET:
		return " of the network";
	case FAULT_PROCESS:
		return " of the daemon";
	case FAULT_WORK:
		return " of the work or of a command";
	default:
		return "";
	}
}

static uint8_t kinds_of(const char *word)
{
	if (!strcmp(word, "net"))
		return FAULT_NET;
	if (!strcmp(word, "process"))
		return FAULT_PROCESS;
	return !strcmp(word, "work") ? FAULT_WORK : FAULT_ANY;
}

/* True if the model holds. */
static bool run(const struct check_limits *limits)
{
	struct check_report report;

	printf("%d nodes, up to %d faults%s and %d orders:\n", limits->nodes, limits->faults,
	       kind_text(limits->kinds), limits->orders);
	fflush(stdout);
	if (check_search(limits, &report)) {
		printf("  out of memory\n");
		return false;
	}
	printf("  %llu states, %llu moves, %llu liveness probes in %.1f s (%.0f states/s): %s of %u moves\n",
	       (unsigned long long)report.states, (unsigned long long)report.moves,
	       (unsigned long long)report.probes, report.seconds,
	       (double)report.states / report.seconds,
	       report.whole ? "the whole space, ways" : "every way", report.depth);
	fflush(stdout);
	return !report.broken;
}

static int run_models(const struct check_limits *models, size_t count)
{
	unsigned passed = 0, failed = 0;

	/* After a violation the other models would show the same, less briefly. */
	for (size_t k = 0; !failed && k < count; k++) {
		if (run(&models[k]))
			passed++;
		else
			failed++;
	}
	printf("%u passed, %u failed\n", passed, failed);
	return failed != 0;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "quick", no_argument, NULL, 'q' },
		{ "nodes", required_argument, NULL, 'n' },
		{ "faults", required_argument, NULL, 'f' },
		{ "only", required_argument, NULL, 'k' },
		{ "orders", required_argument, NULL, 'o' },
		{ "states", required_argument, NULL, 's' },
		{ NULL, 0, NULL, 0 },
	};
	struct check_limits own = {
		.nodes = 0, .faults = 1, .kinds = FAULT_ANY, .orders = 1, .states = 10000000
	};
	bool quick = false;
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'q')
			quick = true;
		else if (option == 'n')
			own.nodes = (uint8_t)atoi(optarg);
		else if (option == 'f')
			own.faults = (uint8_t)atoi(optarg);
		else if (option == 'k')
			own.kinds = kinds_of(optarg);
		else if (option == 'o')
			own.orders = (uint8_t)atoi(optarg);
		else if (option == 's')
			own.states = (uint32_t)strtoul(optarg, NULL, 10);
		else
			return usage();
	}
	if (optind != argc || own.nodes == 1 || own.nodes > CHECK_NODES_MAX || !own.states)
		return usage();
	if (own.nodes)
		return run_models(&own, 1);
	if (quick)
		return run_models(quick_models, COUNT(quick_models));
	return run_models(full_models, COUNT(full_models));
}
