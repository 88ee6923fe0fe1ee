/* SPDX-License-Identifier: Apache-2.0 */

/*
 * watch: the status, live from watches. On a terminal one screen that is drawn anew when something changed, with the
 * latest changes below; else the status once, then a line for each change (as JSON: the status after each change).
 */

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cluster/changes.h"
#include "cluster/renewal.h"
#include "out/screen.h"
#include "base/wall.h"
#include "status.h"

#define LOG_LINES 200
#define LINE_SIZE 320

struct watch {
	struct ctl *ctl;
	struct cluster cluster;
	struct facts facts;
	struct renewal renewal;
	bool has_facts, on_screen, over, dirty;
	bool shown; /* the status, where there is no screen */
	bool lost;  /* the connection: what is known may be outdated */
	int code;
	char log[LOG_LINES][LINE_SIZE];
	size_t logged; /* ever; the newest is log[(logged - 1) % LOG_LINES] */
	ev_io keys;
	ev_signal resized, suspended;
	ev_timer clock; /* ages go on */
	ev_prepare draw;
};

static void finish(struct watch *w, int code)
{
	w->over = true;
	w->code = code;
	ev_break(w->ctl->loop, EVBREAK_ONE);
}

static void on_line(void *userdata, const char *text)
{
	struct watch *w = userdata;
	char time[WALL_TEXT_SIZE];
	char *line = w->log[w->logged++ % LOG_LINES];

	snprintf(line, LINE_SIZE, "%s  %s", wall_local(wall_now_ms(), time), text);
	if (w->on_screen || w->ctl->options.json)
		return;
	puts(line);
	if (ctl_flush() != CTL_DONE)
		finish(w, CTL_REFUSED);
}

/* -- drawing -- */

static char *format(struct watch *w, unsigned columns)
{
	struct table *tables[STATUS_TABLES];
	struct table_style style = ctl_style(w->ctl);
	char *text;

	if (columns)
		style.width = columns;
	status_tables(&w->facts, tables);
	text = tables_format(tables, STATUS_TABLES, &style);
	status_finish(tables);
	return text;
}

static unsigned count_lines(const char *text)
{
	unsigned n = 0;

	for (; *text; text++)
		n += *text == '\n';
	return n;
}

static void add_log(FILE *file, const struct watch *w, unsigned rows)
{
	size_t n = w->logged < LOG_LINES ? w->logged : LOG_LINES;

	for (size_t i = 0; i < n && i < rows; i++)
		fprintf(file, "%s\n", w->log[(w->logged - 1 - i) % LOG_LINES]);
}

static void draw_screen(struct watch *w)
{
	unsigned rows, columns, used;
	char *frame = NULL, *status;
	size_t length;
	FILE *file = ctl_need(open_memstream(&frame, &length));

	screen_size(&rows, &columns);
	status = w->has_facts ? format(w, columns) : ctl_need(strdup("reading ...\n"));
	used = count_lines(status) + 3;
	fprintf(file, "%s\n%s", status,
		w->lost ? "not connected: the status above may be outdated\n" : "");
	if (used < rows)
		add_log(file, w, rows - used);
	fclose(file);
	if (!screen_draw(ctl_need(frame), rows, columns))
		finish(w, CTL_REFUSED);
	free(frame);
	free(status);
}

static void print_status(struct watch *w)
{
	char *text = format(w, 0);

	fputs(text, stdout);
	free(text);
	if (ctl_flush() != CTL_DONE)
		finish(w, CTL_REFUSED);
}

/* Many changes in one turn of the loop are one picture. */
static void on_draw(struct ev_loop *loop, ev_prepare *prepare, int events)
{
	struct watch *w = prepare->data;

	if (!w->dirty)
		return;
	/* The status could say "in order" too early: the renewals have not been looked at yet. */
	if (!w->on_screen && (!w->has_facts || !renewal_decided(&w->renewal)))
		return;
	w->dirty = false;
	if (w->on_screen)
		draw_screen(w);
	else if (w->ctl->options.json || !w->shown)
		print_status(w);
	w->shown = true;
}

/* -- what happens -- */

static void on_look(void *userdata)
{
	struct watch *w = userdata;
	struct renewal_verdict seen = renewal_judge(&w->renewal.seen);
	char text[NAME_SIZE + 64];
	bool before = w->facts.renewal.stale;

	w->facts.renewal = seen;
	if (seen.stale == before)
		return;
	snprintf(text, sizeof(text),
		 seen.stale ? "%s no longer renews its lease" : "%s renews its lease again",
		 w->facts.acting);
	on_line(w, text);
	w->dirty = true;
}

/* Those of before hold for the same primary. */
static void follow_renewals(struct watch *w, const struct renewal_verdict *before)
{
	if (renewal_follows(&w->renewal, &w->facts)) {
		w->facts.renewal = *before;
		return;
	}
	renewal_close(&w->renewal);
	renewal_open(&w->renewal, w->ctl, &w->facts, on_look, w);
}

static void look_at_connection(struct watch *w)
{
	bool connected = zkh_session_connected(w->ctl->session);

	/* After a loss everything is read anew. */
	if (w->lost ? !connected || !cluster_complete(&w->cluster) : connected)
		return;
	w->lost = !w->lost;
	w->facts.connected = !w->lost;
	w->dirty = true;
	on_line(w,
		w->lost ? "not connected: from here on changes may be missed" : "connected again");
}

static void on_change(void *userdata)
{
	struct watch *w = userdata;
	struct renewal_verdict renewal = w->facts.renewal;
	struct facts facts;

	look_at_connection(w);
	w->dirty = w->dirty || w->on_screen;
	if (!cluster_complete(&w->cluster))
		return;
	if (w->cluster.result != ZKH_OK) {
		finish(w, CTL_REFUSED);
		return;
	}
	if (!facts_gather(&w->cluster, &facts))
		return;
	facts.connected = !w->lost;
	if (w->has_facts)
		changes_between(&w->facts, &facts, on_line, w);
	facts_finish(&w->facts);
	w->facts = facts;
	w->has_facts = true;
	w->dirty = true;
	follow_renewals(w, &renewal);
}

static void on_key(struct ev_loop *loop, ev_io *io, int events)
{
	struct watch *w = io->data;
	int key = screen_key();

	/* It was said to be readable. */
	if (key <= 0)
		finish(w, CTL_REFUSED);
	else if (key == 'q' || key == 'Q' || key == 4 /* Ctrl-D */)
		finish(w, CTL_DONE);
}

static void on_resized(struct ev_loop *loop, ev_signal *signal, int events)
{
	((struct watch *)signal->data)->dirty = true;
}

/* Ctrl-Z: the shell gets its screen and its modes; fg brings the picture back. */
static void on_suspended(struct ev_loop *loop, ev_signal *signal, int events)
{
	struct watch *w = signal->data;

	screen_close();
	/* With the default action the signal stops this process; the kernel ignores it where nobody could wake us. */
	ev_signal_stop(loop, signal);
	raise(SIGTSTP);
	ev_signal_start(loop, signal);
	if (!screen_open())
		finish(w, CTL_REFUSED);
	w->dirty = true;
}

static void on_clock(struct ev_loop *loop, ev_timer *timer, int events)
{
	((struct watch *)timer->data)->dirty = true;
}

static void start(struct watch *w)
{
	struct ev_loop *loop = w->ctl->loop;

	ev_prepare_init(&w->draw, on_draw);
	ev_io_init(&w->keys, on_key, STDIN_FILENO, EV_READ);
	ev_signal_init(&w->resized, on_resized, SIGWINCH);
	ev_signal_init(&w->suspended, on_suspended, SIGTSTP);
	ev_timer_init(&w->clock, on_clock, 1., 1.);
	w->draw.data = w->keys.data = w->resized.data = w->suspended.data = w->clock.data = w;
	ev_prepare_start(loop, &w->draw);
	if (!w->on_screen)
		return;
	ev_io_start(loop, &w->keys);
	ev_signal_start(loop, &w->resized);
	ev_signal_start(loop, &w->suspended);
	ev_timer_start(loop, &w->clock);
}

static void stop(struct watch *w)
{
	struct ev_loop *loop = w->ctl->loop;

	ev_prepare_stop(loop, &w->draw);
	ev_io_stop(loop, &w->keys);
	ev_signal_stop(loop, &w->resized);
	ev_signal_stop(loop, &w->suspended);
	ev_timer_stop(loop, &w->clock);
	screen_close();
	renewal_close(&w->renewal);
	cluster_close(&w->cluster);
	facts_finish(&w->facts);
}

int verb_watch(struct ctl *ctl)
{
	static struct watch w;
	int code, refused;

	w.ctl = ctl;
	ctl->deadline_us = 0;
	if (ctl->options.has_timeout)
		ctl_set_timeout(ctl, 0);
	w.on_screen = !ctl->options.json && screen_open();
	cluster_open(&w.cluster, ctl, true);
	w.cluster.on_change = on_change;
	w.cluster.userdata = &w;
	start(&w);
	code = ctl_wait(ctl, ctl_is_set, &w.over);
	refused = w.cluster.result;
	stop(&w);
	if (code == CTL_TIMED_OUT) /* --timeout: that long */
		return CTL_DONE;
	if (code != CTL_DONE)
		return ctl_explain_wait(ctl, code, NULL);
	return refused != ZKH_OK ? ctl_explain_result(ctl, refused, w.cluster.refused_path)
				 : w.code;
}
