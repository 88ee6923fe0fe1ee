/* SPDX-License-Identifier: Apache-2.0 */

/*
 * zkh_tool --servers S [--root R] [--session-timeout MS] [--auth USER:PASSWORD] [--destroy-in-callback] COMMAND...
 *
 * The operations of lib/ at a command line, for the tests beside this file. Each command has a number, 1 for the
 * first; each line on stdout begins with the number that it belongs to, or with "session".
 *
 *   write KEY[@VERSION]=VALUE...   VALUE %N stands for N bytes
 *   delete [-r] PATH               prints "N RESULT PATH COUNT deleted" when it ends half-way
 *   rename FROM TO [FROM TO]...
 *   tree PATH [LIMIT]              prints "N entry PATH VERSION DATA" for each
 *   lock exclusive|read|write PATH [--timeout MS] [--hold-until-stdin-eof]
 *   release N, consume N           of the lock that command N took
 *   cancel N                       the task that command N began
 *   sync                           what others wrote before is seen afterwards
 *   pending                        lock nodes still to be removed
 *   destroy                        the session, at once
 *   shell                          commands from stdin, one a line, until its end
 */
#include <ev.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "zk/lock/zkh_lock.h"
#include "zk/session/zkh_session.h"
#include "zk/tree/zkh_keys.h"

#define JOBS_MAX 20000
#define WORDS_MAX 6000
#define LINE_MAX_BYTES (1 << 20)

struct job {
	unsigned number;
	struct zkh_task *task;
	struct zkh_lock *lock;
	bool hold;
};

static struct ev_loop *loop;
static struct zkh_session *session;
static struct job jobs[JOBS_MAX + 1];
static unsigned job_count;
static unsigned running; /* jobs that a callback will end */
static bool destroy_in_callback, shell, at_end, closing;
static int last_result;
static char **single;
static int single_count;
static char input[LINE_MAX_BYTES];
static size_t input_length;
static ev_io input_io;
static ev_timer end_timer;

static const char *result_name(int result)
{
	static char other[32];

	switch (result) {
#define X(name, value, text)                                                                       \
	case name:                                                                                 \
		return #name;
		ZKH_RESULTS(X)
#undef X
	default:
		snprintf(other, sizeof(other), "errno-%d", -result);
		return other;
	}
}

static void on_closed(void *userdata, int result)
{
	printf("session closed %s\n", result_name(result));
	ev_break(loop, EVBREAK_ALL);
}

/* After the last command: waits until nothing is under way, then closes the session. */
static void on_end_timer(struct ev_loop *unused, ev_timer *timer, int events)
{
	if (running > 0 || zkh_lock_pending(session) > 0)
		return;
	ev_timer_stop(loop, timer);
	closing = true;
	if (zkh_session_close(session, 3000, on_closed, NULL) != 0)
		ev_break(loop, EVBREAK_ALL);
}

static void begin_end(void)
{
	unsigned i;

	if (at_end)
		return;
	at_end = true;
	ev_io_stop(loop, &input_io);
	for (i = 1; i <= job_count; i++)
		jobs[i].lock = zkh_lock_release(jobs[i].lock);
	running = 0;
	for (i = 1; i <= job_count; i++)
		running += jobs[i].task != NULL;
	ev_timer_start(loop, &end_timer);
}

static void destroy(void)
{
	session = zkh_session_destroy(session);
	ev_io_stop(loop, &input_io);
	ev_timer_stop(loop, &end_timer);
	ev_break(loop, EVBREAK_ALL);
}

static void job_over(struct job *job, int result)
{
	last_result = result;
	if (running > 0)
		running--;
	if (destroy_in_callback)
		destroy();
	else if (!shell && !job->hold)
		begin_end();
}

static void on_task(void *userdata, int result, const char *path)
{
	struct job *job = userdata;
	size_t deleted = zkh_task_deleted(job->task);

	job->task = NULL;
	if (result != ZKH_OK && deleted > 0)
		printf("%u %s %s %zu deleted\n", job->number, result_name(result), path, deleted);
	else
		printf("%u %s %s\n", job->number, result_name(result), path);
	job_over(job, result);
}

static void on_synced(void *userdata, int result)
{
	on_task(userdata, result, "");
}

static void on_tree(void *userdata, int result, const struct zkh_entry *entries, size_t count)
{
	struct job *job = userdata;
	size_t i;

	job->task = NULL;
	for (i = 0; i < count; i++)
		printf("%u entry %s %d %.*s\n", job->number, entries[i].path,
		       entries[i].stat.version, (int)entries[i].length, entries[i].data);
	printf("%u %s %zu\n", job->number, result_name(result), count);
	job_over(job, result);
}

static void on_lock(void *userdata, int result)
{
	struct job *job = userdata;

	if (result == ZKH_OK)
		printf("%u ZKH_OK %s %lld\n", job->number, zkh_lock_path(job->lock),
		       (long long)zkh_lock_epoch(job->lock));
	else
		printf("%u %s\n", job->number, result_name(result));
	if (result != ZKH_OK)
		job->lock = NULL;
	job_over(job, result);
}

static void on_consumed(void *userdata, int result, const struct zkh_txn_reply *reply)
{
	struct job *job = userdata;

	if (result == ZKH_OK)
		job->lock = zkh_lock_consumed(job->lock);
	printf("%u consumed %s\n", job->number, result_name(result));
}

/* ---- Commands: each returns what the call returned ---- */

static int run_write(struct job *job, char **words, int count)
{
	static char filling[1 << 20];
	struct zkh_pair *pairs = calloc((size_t)count + 1, sizeof(*pairs));
	int i, r;

	memset(filling, 'x', sizeof(filling));
	for (i = 0; i < count; i++) {
		char *value = strchr(words[i], '=');
		char *version;

		if (value == NULL) {
			free(pairs);
			return ZKH_INVALID;
		}
		*value++ = '\0';
		version = strchr(words[i], '@');
		if (version != NULL)
			*version++ = '\0';
		pairs[i] = (struct zkh_pair){ .path = words[i],
					      .data = value,
					      .length = strlen(value),
					      .versioned = version != NULL,
					      .version = version ? atoi(version) : 0 };
		if (value[0] == '%') {
			pairs[i].length = (size_t)atoi(value + 1) % sizeof(filling);
			pairs[i].data = filling;
		}
	}
	r = zkh_write(session, pairs, (size_t)count, on_task, job, &job->task);
	free(pairs);
	return r;
}

static int run_rename(struct job *job, char **words, int count)
{
	struct zkh_move moves[ZKH_MOVES_MAX];

	if (count % 2 || count / 2 > ZKH_MOVES_MAX)
		return ZKH_INVALID;
	for (int i = 0; i < count; i++)
		*(i % 2 ? &moves[i / 2].to : &moves[i / 2].from) = words[i];
	return zkh_rename(session, moves, (size_t)count / 2, on_task, job, &job->task);
}

static int run_lock(struct job *job, char **words, int count)
{
	enum zkh_lock_kind kind;
	int32_t timeout_ms = -1;
	int i;

	if (count < 2)
		return ZKH_INVALID;
	kind = words[0][0] == 'e'   ? ZKH_LOCK_EXCLUSIVE
	       : words[0][0] == 'r' ? ZKH_LOCK_READ
				    : ZKH_LOCK_WRITE;
	for (i = 2; i < count; i++) {
		if (strcmp(words[i], "--timeout") == 0 && i + 1 < count)
			timeout_ms = atoi(words[++i]);
		else if (strcmp(words[i], "--hold-until-stdin-eof") == 0)
			job->hold = true;
	}
	return zkh_lock_acquire(session, kind, words[1], "zkh_tool", timeout_ms, on_lock, job,
				&job->lock);
}

static int run_consume(struct job *job)
{
	struct zkh_txn *txn = zkh_txn_create(session);
	struct zkh_op *op;

	zkh_txn_delete(txn, zkh_lock_path(job->lock), ZKH_ANY_VERSION);
	return zkh_commit(txn, on_consumed, job, &op);
}

/* Commands about other jobs. False: it is none of these. */
static bool run_control(char **words, int count)
{
	unsigned number = count > 1 ? (unsigned)atoi(words[1]) : 0;
	struct job *job = &jobs[number < job_count ? number : 0];

	if (strcmp(words[0], "release") == 0) {
		job->lock = zkh_lock_release(job->lock);
		printf("%u released\n", job->number);
	} else if (strcmp(words[0], "consume") == 0) {
		run_consume(job);
	} else if (strcmp(words[0], "cancel") == 0) {
		zkh_task_cancel(job->task);
		job->task = NULL;
		printf("%u cancelled\n", job->number);
	} else if (strcmp(words[0], "pending") == 0) {
		printf("pending %u\n", zkh_lock_pending(session));
	} else if (strcmp(words[0], "destroy") == 0) {
		destroy();
	} else {
		return false;
	}
	return true;
}

static void run(char **words, int count)
{
	struct job *job = &jobs[++job_count];
	int r = ZKH_INVALID;

	*job = (struct job){ .number = job_count };
	if (run_control(words, count))
		return;
	running++;
	if (strcmp(words[0], "write") == 0)
		r = run_write(job, words + 1, count - 1);
	else if (strcmp(words[0], "delete") == 0 && count > 1)
		r = zkh_delete(session, words[count - 1], count > 2, on_task, job, &job->task);
	else if (strcmp(words[0], "rename") == 0)
		r = run_rename(job, words + 1, count - 1);
	else if (strcmp(words[0], "tree") == 0 && count > 1)
		r = zkh_tree(session, words[1], count > 2 ? (size_t)atoi(words[2]) : 1000000,
			     on_tree, job, &job->task);
	else if (strcmp(words[0], "sync") == 0)
		r = zkh_sync(session, on_synced, job, NULL);
	else if (strcmp(words[0], "lock") == 0)
		r = run_lock(job, words + 1, count - 1);
	if (r != 0) {
		printf("%u refused %s\n", job->number, result_name(r));
		job_over(job, r);
	}
}

/* ---- Input ---- */

static void run_line(char *line)
{
	static char *words[WORDS_MAX];
	char *word, *rest = NULL;
	int count = 0;

	for (word = strtok_r(line, " ", &rest); word != NULL && count < WORDS_MAX;
	     word = strtok_r(NULL, " ", &rest))
		words[count++] = word;
	if (count > 0 && job_count < JOBS_MAX)
		run(words, count);
}

static void on_input(struct ev_loop *unused, ev_io *io, int events)
{
	ssize_t got = read(STDIN_FILENO, input + input_length, sizeof(input) - input_length);
	char *end;

	if (got <= 0) {
		begin_end();
		return;
	}
	input_length += (size_t)got;
	while (session != NULL && (end = memchr(input, '\n', input_length)) != NULL) {
		size_t used = (size_t)(end - input) + 1;

		*end = '\0';
		if (shell)
			run_line(input);
		input_length -= used;
		memmove(input, input + used, input_length);
	}
}

static void on_session(void *userdata, const struct zkh_session_report *report)
{
	printf("session %s %llx\n", zkh_session_event_text(report->event),
	       (unsigned long long)zkh_session_id(session));
	if (report->event == ZKH_CONNECTED && single != NULL) {
		char **words = single;

		single = NULL;
		run(words, single_count);
	}
}

static int usage(void)
{
	fprintf(stderr,
		"usage: zkh_tool --servers S [--root R] [--session-timeout MS] COMMAND...\n");
	return 2;
}

static int parse(int argc, char **argv, struct zkh_session_config *config)
{
	static const struct option options[] = {
		{ "servers", required_argument, NULL, 's' },
		{ "root", required_argument, NULL, 'r' },
		{ "session-timeout", required_argument, NULL, 't' },
		{ "auth", required_argument, NULL, 'a' },
		{ "destroy-in-callback", no_argument, NULL, 'd' },
		{ 0 },
	};
	int option;

	while ((option = getopt_long(argc, argv, "+", options, NULL)) != -1) {
		if (option == 's')
			config->servers = optarg;
		else if (option == 'r')
			config->root = optarg;
		else if (option == 't')
			config->timeout_ms = atoi(optarg);
		else if (option == 'a')
			config->auth[0].credential = optarg;
		else if (option == 'd')
			destroy_in_callback = true;
		else
			return -1;
	}
	if (config->servers == NULL || optind == argc)
		return -1;
	if (config->auth[0].credential != NULL)
		config->auth[0].scheme = "digest";
	shell = strcmp(argv[optind], "shell") == 0;
	single = shell ? NULL : argv + optind;
	single_count = argc - optind;
	return 0;
}

int main(int argc, char **argv)
{
	struct zkh_session_config config = {
		.root = "/", .timeout_ms = 6000, .seed = (uint32_t)getpid(), .on_event = on_session
	};
	int r;

	if (parse(argc, argv, &config) < 0)
		return usage();
	setvbuf(stdout, NULL, _IOLBF, 0);
	loop = ev_default_loop(0);
	ev_io_init(&input_io, on_input, STDIN_FILENO, EV_READ);
	ev_timer_init(&end_timer, on_end_timer, 0., 0.01);
	r = zkh_session_create(loop, &config, &session);
	if (r != 0) {
		fprintf(stderr, "zkh_tool: %s\n", result_name(r));
		return 1;
	}
	ev_io_start(loop, &input_io);
	ev_run(loop, 0);
	zkh_session_destroy(session);
	return last_result < 0 ? 99 : last_result;
}
