/* SPDX-License-Identifier: Apache-2.0 */

/*
 * How long a vacancy lasts, and the least it could last, measured in turns on one connection:
 *
 *   floor  two writes one after the other, the same that a claim needs: create a lock node, then the transaction
 *          that sets the key, adds an entry and deletes the lock node
 *   claim  from the acknowledgement of `none` in /primary_node to the news that a node is named there
 *
 * usage: bench_claim SERVERS ROOT ROUNDS [--one-write]; prints `FLOOR_US CLAIM_US` a round; with --one-write `WRITE_US 0`,
 * the time of a single write after half a second of silence, as in a handover. Nodes must be running under
 * ROOT. They never take over: the key is taken back long before their transition delay is over.
 */

#include <ev.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "zk/session/zkh_op.h"
#include "zk/session/zkh_watch.h"

#define KEY "/primary_node"
#define FLOOR "/bench-floor"

struct bench {
	struct ev_loop *loop;
	struct zkh_session *session;
	struct zkh_watch watch;
	int rounds;
	int64_t begin_us, floor_us, news_us;
	bool vacant, one_write;
	ev_timer pause; /* what follows a claim shall not be measured with the next one */
};

static void floor_begin(struct bench *b);

static int64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * INT64_C(1000000) + t.tv_nsec / 1000;
}

static void must(struct bench *b, int result, const char *what)
{
	if (result == ZKH_OK)
		return;
	fprintf(stderr, "bench_claim: %s: %s\n", what, zkh_result_text(result));
	ev_break(b->loop, EVBREAK_ALL);
	exit(1);
}

static void round_over(struct bench *b, int64_t claim_us)
{
	printf("%" PRId64 " %" PRId64 "\n", b->floor_us, claim_us);
	if (--b->rounds > 0)
		ev_timer_start(b->loop, &b->pause);
	else
		ev_break(b->loop, EVBREAK_ALL);
}

static void on_pause(struct ev_loop *loop, ev_timer *timer, int events)
{
	floor_begin(timer->data);
}

/* -- claim -- */

static void on_key(void *userdata, int result, const char *data, size_t length,
		   const struct zkh_stat *stat)
{
	struct bench *b = userdata;

	must(b, result, "read " KEY);
	if (!b->vacant || (length == 4 && !memcmp(data, "none", 4)))
		return; /* the watch will tell */
	b->vacant = false;
	round_over(b, (b->news_us ? b->news_us : now_us()) - b->begin_us);
}

static void read_key(struct bench *b)
{
	must(b, zkh_get(b->session, KEY, true, on_key, b, NULL), "read " KEY);
}

static void on_watch(void *userdata, enum zkh_watch_event event, const char *path)
{
	struct bench *b = userdata;

	/* The news is what is timed; the read only makes sure of what it was. */
	b->news_us = now_us();
	read_key(b);
}

static void on_vacant(void *userdata, int result, const struct zkh_txn_reply *reply)
{
	struct bench *b = userdata;

	must(b, result, "write " KEY);
	b->begin_us = now_us();
	b->vacant = true;
	b->news_us = 0;
	read_key(b);
}

static void claim_begin(struct bench *b)
{
	struct zkh_txn *txn = zkh_txn_create(b->session);

	zkh_txn_set_text(txn, KEY, "none", ZKH_ANY_VERSION);
	must(b, zkh_commit(txn, on_vacant, b, NULL), "write " KEY);
}

/* -- floor -- */

static void on_second(void *userdata, int result, const struct zkh_txn_reply *reply)
{
	struct bench *b = userdata;

	must(b, result, "second write");
	b->floor_us = now_us() - b->begin_us;
	claim_begin(b);
}

static void on_first(void *userdata, int result, const struct zkh_txn_reply *reply)
{
	struct bench *b = userdata;
	struct zkh_txn *txn = zkh_txn_create(b->session);

	must(b, result, "first write");
	if (b->one_write) {
		b->floor_us = now_us() - b->begin_us;
		round_over(b, 0);
		zkh_txn_destroy(txn);
		return;
	}
	zkh_txn_set_text(txn, FLOOR, "somebody", ZKH_ANY_VERSION);
	zkh_txn_create_text(txn, FLOOR "-history/claim-", "{\"an entry\":\"of about this length\"}",
			    ZKH_CREATE_SEQUENCE);
	zkh_txn_delete(txn, reply->created_paths[0], ZKH_ANY_VERSION);
	must(b, zkh_commit(txn, on_second, b, NULL), "second write");
}

static void floor_begin(struct bench *b)
{
	struct zkh_txn *txn = zkh_txn_create(b->session);

	b->begin_us = now_us();
	zkh_txn_create_text(txn, FLOOR "/0123456789abcdef0123456789abcdef__lock__", "bench",
			    ZKH_CREATE_EPHEMERAL | ZKH_CREATE_SEQUENCE);
	must(b, zkh_commit(txn, on_first, b, NULL), "first write");
}

/* -- life -- */

static void on_ready(void *userdata, int result, const struct zkh_txn_reply *reply)
{
	struct bench *b = userdata;

	if (result != ZKH_NODE_EXISTS)
		must(b, result, "create " FLOOR);
	floor_begin(b);
}

static void on_session(void *userdata, const struct zkh_session_report *report)
{
	struct bench *b = userdata;
	struct zkh_txn *txn;

	if (report->event != ZKH_CONNECTED || !report->fresh)
		return;
	txn = zkh_txn_create(b->session);
	zkh_txn_create_text(txn, FLOOR, "", ZKH_PERSISTENT);
	zkh_txn_create_text(txn, FLOOR "-history", "", ZKH_PERSISTENT);
	must(b, zkh_commit(txn, on_ready, b, NULL), "create " FLOOR);
	b->watch.fn = on_watch;
	b->watch.userdata = b;
	must(b, zkh_watch_add(b->session, &b->watch, KEY), "watch");
}

int main(int argc, char *argv[])
{
	struct bench b = { .rounds = argc > 3 ? atoi(argv[3]) : 0, .one_write = argc > 4 };
	struct zkh_session_config config = { .timeout_ms = 10000,
					     .on_event = on_session,
					     .userdata = &b };

	if (b.rounds < 1) {
		fputs("usage: bench_claim SERVERS ROOT ROUNDS [--one-write]\n", stderr);
		return 2;
	}
	b.loop = ev_loop_new(EVFLAG_AUTO);
	ev_timer_init(&b.pause, on_pause, b.one_write ? 0.5 : 0.1, 0.);
	b.pause.data = &b;
	config.servers = argv[1];
	config.root = argv[2];
	must(&b, zkh_session_create(b.loop, &config, &b.session), "session");
	ev_run(b.loop, 0);
	zkh_watch_remove(&b.watch);
	zkh_session_destroy(b.session);
	ev_loop_destroy(b.loop);
	return 0;
}
