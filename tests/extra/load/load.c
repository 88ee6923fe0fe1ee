/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The load driver: many nodes in one process, told what to do on stdin, and one line of JSON for each answer.
 *
 * usage: load SERVERS ROOT COORDINATORS CLIENTS SESSION-TIMEOUT [LOG]
 *
 *   start          starts all nodes at once
 *   mark           counters and clock begin anew
 *   kill NAME      that node ends without a word; its session expires
 *   stop NAME      that node hands over and leaves
 *   at SERVER      how many nodes are connected to HOST:PORT
 *   wait P [S]     until every node is registered and knows the same primary, by name and acting: NAME; !NAME, another;
 *                  * any; and (S) none is connected to server S. Answers with the figures since the mark
 *   lag            who keeps a wait from ending: the first of them, and how many
 *   quit
 *
 * Times of nodes are told in us of the wall clock since the mark.
 */

#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "count.h"
#include "fleet.h"

struct load {
	struct ev_loop *loop;
	struct fleet fleet;
	struct fleet_options options;
	ev_io input;
	ev_check settled; /* after each turn of the loop: is the wait over? */
	bool changed;
	char line[256];
	size_t length;
	int64_t mark_us, mark_cpu_us;
	bool waiting;
	char wanted[NAME_SIZE + 1], away_from[80];
};

static int64_t cpu_us(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * INT64_C(1000000) +
	       usage.ru_utime.tv_usec + usage.ru_stime.tv_usec;
}

static void mark(struct load *load)
{
	memset(counts, 0, sizeof(counts));
	load->mark_us = time_wall_us();
	load->mark_cpu_us = cpu_us();
}

/* -- answers -- */

static int compare_times(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

/* "what":[least, median, 99th, greatest]; nodes for which it did not happen since the mark are left out. */
static void print_times(const struct load *load, const char *what, size_t offset)
{
	const struct fleet *fleet = &load->fleet;
	int64_t *times = calloc(fleet->count + 1, sizeof(*times));
	size_t n = 0;

	if (!times)
		exit(1);
	for (size_t i = 0; i < fleet->count; i++) {
		int64_t at_us =
			*(const int64_t *)(const void *)((const char *)&fleet->members[i] + offset);

		if (fleet->members[i].node && at_us >= load->mark_us)
			times[n++] = at_us - load->mark_us;
	}
	qsort(times, n, sizeof(*times), compare_times);
	if (n > 0)
		printf(",\"%s\":{\"nodes\":%zu,\"first\":%" PRId64 ",\"median\":%" PRId64
		       ",\"p99\":%" PRId64 ",\"last\":%" PRId64 "}",
		       what, n, times[0], times[n / 2], times[n * 99 / 100], times[n - 1]);
	free(times);
}

static void print_figures(const struct load *load, const struct member *one)
{
	printf("{\"primary\":\"%s\",\"mark_us\":%" PRId64 ",\"took_us\":%" PRId64
	       ",\"cpu_us\":%" PRId64,
	       one->primary, load->mark_us, time_wall_us() - load->mark_us,
	       cpu_us() - load->mark_cpu_us);
	print_times(load, "named", offsetof(struct member, named_us));
	print_times(load, "acting", offsetof(struct member, acting_us));
	print_times(load, "up", offsetof(struct member, up_us));
	print_times(load, "ready", offsetof(struct member, ready_us));
	for (int i = 0; i < COUNT_COUNT; i++)
		printf(",\"%s\":%" PRId64, count_text((enum count)i), counts[i]);
	printf("}\n");
}

/* -- waiting -- */

static bool fits(const struct load *load, const char *primary)
{
	if (!*primary)
		return false;
	if (*load->wanted == '*')
		return true;
	if (*load->wanted == '!')
		return strcmp(primary, load->wanted + 1) != 0;
	return !strcmp(primary, load->wanted);
}

/* The node whose view all share, or NULL. */
static const struct member *agreed(const struct load *load)
{
	const struct member *one = NULL;

	for (size_t i = 0; i < load->fleet.count; i++) {
		const struct member *m = &load->fleet.members[i];

		if (!m->node)
			continue;
		if (!m->ready || strcmp(m->holder, m->primary) != 0 || !fits(load, m->primary))
			return NULL;
		if (*load->away_from && !strcmp(m->server, load->away_from))
			return NULL;
		if (one && strcmp(one->primary, m->primary) != 0)
			return NULL;
		one = m;
	}
	return one;
}

static void print_lag(const struct load *load)
{
	const struct member *first = NULL;
	size_t count = 0;

	for (size_t i = 0; i < load->fleet.count; i++) {
		const struct member *m = &load->fleet.members[i];

		if (m->node && (!m->ready || strcmp(m->holder, m->primary) != 0)) {
			first = first ? first : m;
			count++;
		}
	}
	printf("{\"nodes\":%zu", count);
	if (first) {
		const struct election *e = node_election(first->node);

		printf(",\"first\":\"%s\",\"attached\":%d,\"registered\":%d,\"ready\":%d,"
		       "\"holder\":\"%s\",\"primary\":\"%s\",\"key\":\"%s\",\"post_known\":%d",
		       first->config.node.name, first->attached, e->registered, first->ready,
		       first->holder, first->primary, election_key_text(e->view.key),
		       e->view.post != POST_UNKNOWN);
	}
	puts("}");
}

static void on_settled(struct ev_loop *loop, ev_check *check, int events)
{
	struct load *load = check->data;
	const struct member *one;

	if (!load->waiting || !load->changed)
		return;
	load->changed = false;
	one = agreed(load);
	if (!one)
		return;
	load->waiting = false;
	print_figures(load, one);
}

static void on_change(void *userdata)
{
	struct load *load = userdata;

	load->changed = true;
}

/* -- commands -- */

static void must(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "load: cannot %s\n", what);
	exit(1);
}

static void obey(struct load *load, char *line)
{
	char *word = strtok(line, " "), *argument = strtok(NULL, " ");
	char *second = strtok(NULL, " ");

	if (!word)
		return;
	if (!strcmp(word, "start")) {
		mark(load);
		must(fleet_create(&load->fleet, load->loop, &load->options) == 0, "start");
	} else if (!strcmp(word, "mark")) {
		mark(load);
		printf("{}\n");
	} else if (!strcmp(word, "kill") && argument) {
		must(fleet_kill(&load->fleet, argument), "kill");
	} else if (!strcmp(word, "stop") && argument) {
		must(fleet_stop(&load->fleet, argument), "stop");
	} else if (!strcmp(word, "at") && argument) {
		printf("{\"nodes\":%zu}\n", fleet_count_at(&load->fleet, argument));
	} else if (!strcmp(word, "wait") && argument) {
		snprintf(load->wanted, sizeof(load->wanted), "%s", argument);
		snprintf(load->away_from, sizeof(load->away_from), "%s", second ? second : "");
		load->waiting = load->changed = true;
	} else if (!strcmp(word, "lag")) {
		print_lag(load);
	} else if (!strcmp(word, "quit")) {
		ev_break(load->loop, EVBREAK_ALL);
	} else {
		must(false, "understand that command");
	}
}

static void on_input(struct ev_loop *loop, ev_io *io, int events)
{
	struct load *load = io->data;
	ssize_t n = read(0, load->line + load->length, sizeof(load->line) - 1 - load->length);
	char *end;

	if (n <= 0) {
		ev_break(loop, EVBREAK_ALL);
		return;
	}
	load->length += (size_t)n;
	load->line[load->length] = '\0';
	while ((end = strchr(load->line, '\n'))) {
		*end = '\0';
		obey(load, load->line);
		load->length -= (size_t)(end + 1 - load->line);
		memmove(load->line, end + 1, load->length + 1);
	}
}

static void raise_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &limit);
	}
}

int main(int argc, char *argv[])
{
	struct load load = { 0 };

	if (argc != 6 && argc != 7) {
		fputs("usage: load SERVERS ROOT COORDINATORS CLIENTS SESSION-TIMEOUT [LOG]\n",
		      stderr);
		return 2;
	}
	raise_limit();
	setvbuf(stdout, NULL, _IOLBF, 0);
	load.options = (struct fleet_options){
		.servers = argv[1],
		.root = argv[2],
		.coordinators = strtoul(argv[3], NULL, 10),
		.clients = strtoul(argv[4], NULL, 10),
		.session_timeout = argv[5],
		.log_fd = argc > 6 ? open(argv[6], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600)
				   : -1,
	};
	load.fleet.on_change = on_change;
	load.fleet.userdata = &load;
	load.loop = ev_default_loop(EVFLAG_AUTO);
	must(load.loop, "make a loop");
	ev_io_init(&load.input, on_input, 0, EV_READ);
	ev_check_init(&load.settled, on_settled);
	/* Behind everything that the turn brings. */
	ev_set_priority(&load.settled, EV_MINPRI);
	load.input.data = load.settled.data = &load;
	ev_io_start(load.loop, &load.input);
	ev_check_start(load.loop, &load.settled);
	ev_run(load.loop, 0);
	fleet_finish(&load.fleet);
	ev_loop_destroy(load.loop);
	return 0;
}
