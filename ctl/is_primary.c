/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Is this node primary? Its status page answers, without ZooKeeper, for any user; for another node the keys answer. The
 * exit code is the answer, so no failure may use the codes for yes and no: if primaryctl cannot find out, that is "not
 * known".
 */

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cluster/snapshot.h"
#include "ctl.h"
#include "page.h"
#include "status/show.h"

/* Nobody is told of a change of the page, and a look at it costs microseconds. */
#define PAGE_LOOK_S 0.05
#define KEYS_LOOK_S 0.5

enum { IS_PRIMARY = 0, IS_NOT = 1, NOT_KNOWN = CTL_UNREACHABLE };

enum { PRIMARY, NODE, EPOCH, LEFT };
static const struct table_column columns[] = {
	[PRIMARY] = { "primary", "primary", 0 },
	[NODE] = { "node", "node", 0 },
	[EPOCH] = { "epoch", "epoch", 0 },
	[LEFT] = { "left", "left_us", 0 },
};

struct answer {
	int code;	    /* IS_PRIMARY, IS_NOT or NOT_KNOWN */
	const char *name;   /* NULL: not known */
	int64_t epoch;	    /* 0: not known */
	int64_t left_us;    /* of this node, as primary: at least */
	char why[PATH_MAX]; /* it is not known */
};

struct question {
	struct ctl *ctl;
	const char *node; /* NULL: this one */
	struct page page;
	struct status_look look; /* the last one */
	struct answer answer;
};

/* -- this node -- */

static void ask_page(struct question *q)
{
	struct answer *a = &q->answer;

	status_look(q->page.path, &q->page.clock, &q->look);
	*a = (struct answer){ .code = NOT_KNOWN };
	if (q->look.result != STATUS_OK) {
		(void)snprintf(a->why, sizeof(a->why), "%.300s: %s", q->page.path,
			       status_result_text(q->look.result));
		return;
	}
	a->name = q->look.status.node;
	a->epoch = q->look.status.epoch;
	a->left_us = status_primary_left_us(&q->look.status, q->look.now_us);
	a->code = a->left_us && a->left_us >= q->ctl->options.min_left_us ? IS_PRIMARY : IS_NOT;
}

/* -- another one -- */

static void ask_keys(struct question *q)
{
	struct answer *a = &q->answer;
	struct snapshot now = { 0 };
	const struct node_facts *node;
	bool yes = false;

	*a = (struct answer){ .code = NOT_KNOWN, .name = q->node };
	ctl_set_timeout(q->ctl, CONNECT_TIMEOUT_US);
	/* What is wrong was said. */
	if (snapshot_read_renewals(q->ctl, &now) == CTL_DONE) {
		node = facts_find(&now.facts, q->node);
		yes = node && node->acting && !strcmp(node->router, "primary") &&
		      !now.facts.renewal.stale;
		a->code = yes ? IS_PRIMARY : IS_NOT;
		a->epoch = now.facts.epoch;
	}
	snapshot_close(&now);
}

static int prepare(struct question *q)
{
	struct ctl *ctl = q->ctl;
	int code = ctl_load(ctl);

	if (code != CTL_DONE || !q->node)
		return code == CTL_DONE ? page_open(&q->page, ctl) : code;
	if (!ctl_node_argument(ctl, 0))
		return CTL_USAGE;
	if (ctl->options.min_left_us) {
		ctl_error("--min-left needs the status page of this node: leave NODE out");
		return CTL_USAGE;
	}
	ctl_set_timeout(ctl, CONNECT_TIMEOUT_US);
	return ctl_connect(ctl);
}

/* -- waiting -- */

static void ask(struct question *q)
{
	if (q->node)
		ask_keys(q);
	else
		ask_page(q);
}

static void on_pause_over(struct ev_loop *loop, ev_timer *timer, int events)
{
	*(bool *)timer->data = true;
}

/* False: a signal, or the time is up. */
static bool pause_until(struct question *q, int64_t deadline_us)
{
	struct ctl *ctl = q->ctl;
	bool over = false;
	ev_timer timer;
	int code;

	ev_timer_init(&timer, on_pause_over, q->node ? KEYS_LOOK_S : PAGE_LOOK_S, 0.);
	timer.data = &over;
	ev_now_update(ctl->loop);
	ev_timer_start(ctl->loop, &timer);
	ctl->deadline_us = deadline_us;
	code = ctl_wait(ctl, ctl_is_set, &over);
	ev_timer_stop(ctl->loop, &timer);
	return code == CTL_DONE;
}

static void ask_until_yes(struct question *q)
{
	int64_t wait_us = q->ctl->options.wait_us;
	/* 0: for ever */
	int64_t deadline_us = wait_us == WAIT_FOR_EVER ? 0 : time_monotonic_us() + wait_us;

	do {
		ask(q);
	} while (q->answer.code != IS_PRIMARY && wait_us && pause_until(q, deadline_us));
}

/* -- the answer -- */

static int print_json(struct question *q)
{
	struct table *t = TABLE_SINGLE("is_primary", columns);
	const struct answer *a = &q->answer;
	int code;

	table_row(t);
	if (a->code != NOT_KNOWN)
		table_put_boolean(t, PRIMARY, a->code == IS_PRIMARY);
	table_put(t, NODE, a->name);
	if (a->epoch)
		table_put_number(t, EPOCH, a->epoch);
	if (a->left_us)
		table_put_number(t, LEFT, a->left_us);
	code = ctl_print(q->ctl, &t, 1);
	table_destroy(t);
	return code;
}

/* A yes or no is silent where nobody looks: what stands before `&&` in a job must not send mail each time. */
static int tell(struct question *q)
{
	const struct answer *a = &q->answer;

	if (*a->why)
		ctl_error("not known: %s", a->why);
	if (q->ctl->options.json)
		return print_json(q) == CTL_DONE ? a->code : NOT_KNOWN;
	if (a->code == NOT_KNOWN || !isatty(STDOUT_FILENO))
		return a->code;
	if (a->code == IS_PRIMARY && a->left_us)
		printf("%s is primary, for at least %.1f s\n", a->name, (double)a->left_us / 1e6);
	else
		printf("%s is %sprimary\n", a->name, a->code == IS_PRIMARY ? "" : "not ");
	return ctl_flush() == CTL_DONE ? a->code : NOT_KNOWN;
}

int verb_is_primary(struct ctl *ctl)
{
	static struct question q;
	int code;

	q.ctl = ctl;
	q.node = ctl->options.argument_count ? ctl->options.arguments[0] : NULL;
	code = prepare(&q);
	if (code != CTL_DONE)
		return code == CTL_USAGE ? code : NOT_KNOWN;
	ask_until_yes(&q);
	return ctl->signal_seen ? CTL_INTERRUPTED : tell(&q);
}
