/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The least that a hand-over can take: two sessions hand one post to and fro, with nothing around it.
 *
 *   the stop command ends; its side deletes the post and sets its state, in one transaction;
 *   the other side hears of it, makes the post and sets its state, in one transaction; answered, it starts the command.
 *
 * usage: bench_handover SERVERS ROOT ROUNDS COMMAND [ARG...]. The times are in the log that the command writes (see
 * event_log.h), as they are for primaryd. Half a second of silence comes before each round.
 */

#include <ev.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "zk/session/zkh_op.h"
#include "zk/session/zkh_watch.h"

#define POST "/post"

struct side {
	struct bench *bench;
	struct side *other;
	struct zkh_session *session;
	struct zkh_watch watch;
	const char *name;
	const char *state; /* its key */
};

struct bench {
	struct ev_loop *loop;
	struct side sides[2];
	struct side *holder; /* of the post */
	char **command;
	ev_child child;
	ev_timer pause;
	bool leaving; /* the command that runs is the holder's stop */
	int rounds;
};

static void must(int result, const char *what)
{
	if (result == ZKH_OK)
		return;
	fprintf(stderr, "bench_handover: %s: %s\n", what, zkh_result_text(result));
	exit(1);
}

static void run_command(struct bench *b, const char *event)
{
	char node[32], event_text[64];
	char *environment[] = { node, event_text, NULL };
	pid_t pid;

	snprintf(node, sizeof(node), "PRIMARYD_NODE=%s", b->holder->name);
	snprintf(event_text, sizeof(event_text), "PRIMARYD_EVENT=%s", event);
	if (posix_spawn(&pid, b->command[0], NULL, NULL, b->command, environment) != 0) {
		perror(b->command[0]);
		exit(1);
	}
	ev_child_set(&b->child, pid, 0);
	ev_child_start(b->loop, &b->child);
}

static void on_watched(void *userdata, int result, const struct zkh_stat *stat)
{
	struct side *side = userdata;

	must(result, "look at the post");
	ev_timer_start(side->bench->loop, &side->bench->pause);
}

/* The side without the post waits for it to go. */
static void round_begin(struct bench *b)
{
	struct side *side = b->holder->other;

	must(zkh_exists(side->session, POST, true, on_watched, side, NULL), "look at the post");
}

static void on_entered(void *userdata, int result, const struct zkh_txn_reply *reply)
{
	struct side *side = userdata;

	must(result, "make the post");
	side->bench->holder = side;
	side->bench->leaving = false;
	run_command(side->bench, "takeover");
}

static void enter(struct side *side)
{
	struct zkh_txn *txn = zkh_txn_create(side->session);

	zkh_txn_create_text(txn, POST, side->name, ZKH_CREATE_EPHEMERAL);
	zkh_txn_set_text(txn, side->state, "takeover", ZKH_ANY_VERSION);
	must(zkh_commit(txn, on_entered, side, NULL), "make the post");
}

static void on_post(void *userdata, enum zkh_watch_event event, const char *path)
{
	if (event == ZKH_WATCH_DELETED)
		enter(userdata);
}

static void on_left(void *userdata, int result, const struct zkh_txn_reply *reply)
{
	must(result, "delete the post");
}

static void on_command_ended(struct ev_loop *loop, ev_child *child, int events)
{
	struct bench *b = child->data;
	struct zkh_txn *txn;

	ev_child_stop(loop, child);
	if (!b->leaving) {
		if (--b->rounds > 0)
			round_begin(b);
		else
			ev_break(loop, EVBREAK_ALL);
		return;
	}
	txn = zkh_txn_create(b->holder->session);
	zkh_txn_delete(txn, POST, ZKH_ANY_VERSION);
	zkh_txn_set_text(txn, b->holder->state, "secondary", ZKH_ANY_VERSION);
	must(zkh_commit(txn, on_left, b, NULL), "delete the post");
}

static void on_pause(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct bench *b = timer->data;

	b->leaving = true;
	run_command(b, "relinquish");
}

static void on_state(void *userdata, int result, const struct zkh_txn_reply *reply)
{
	struct side *side = userdata;
	struct bench *b = side->bench;

	must(result, "make a state");
	side->watch.fn = on_post;
	side->watch.userdata = side;
	must(zkh_watch_add(side->session, &side->watch, POST), "watch");
	if (!b->holder) {
		b->holder = side; /* the first one to be ready waits for the second */
		return;
	}
	enter(side);
}

static void on_session(void *userdata, const struct zkh_session_report *report)
{
	struct side *side = userdata;
	struct zkh_txn *txn;

	if (report->event != ZKH_CONNECTED || !report->fresh)
		return;
	txn = zkh_txn_create(side->session);
	zkh_txn_create_text(txn, side->state, "", ZKH_CREATE_EPHEMERAL);
	must(zkh_commit(txn, on_state, side, NULL), "make a state");
}

static void start_side(struct bench *b, int index, const char *servers, const char *root)
{
	static const char *const names[] = { "a", "b" }, *const states[] = { "/state-a",
									     "/state-b" };
	struct side *side = &b->sides[index];
	const struct zkh_session_config config = {
		.servers = servers,
		.root = root,
		.timeout_ms = 10000,
		.seed = (uint32_t)index,
		.on_event = on_session,
		.userdata = side,
	};

	side->bench = b;
	side->other = &b->sides[1 - index];
	side->name = names[index];
	side->state = states[index];
	must(zkh_session_create(b->loop, &config, &side->session), "session");
}

int main(int argc, char *argv[])
{
	struct bench b = { .rounds = argc > 4 ? atoi(argv[3]) : 0 };

	if (b.rounds < 1) {
		fputs("usage: bench_handover SERVERS ROOT ROUNDS COMMAND [ARG...]\n", stderr);
		return 2;
	}
	b.command = argv + 4;
	b.loop = ev_default_loop(EVFLAG_AUTO);
	ev_child_init(&b.child, on_command_ended, 0, 0);
	b.child.data = &b;
	ev_timer_init(&b.pause, on_pause, 0.5, 0.);
	b.pause.data = &b;
	for (int i = 0; i < 2; i++)
		start_side(&b, i, argv[1], argv[2]);
	ev_run(b.loop, 0);
	for (int i = 0; i < 2; i++) {
		zkh_watch_remove(&b.sides[i].watch);
		zkh_session_destroy(b.sides[i].session);
	}
	return 0;
}
