/* SPDX-License-Identifier: Apache-2.0 */
#include "orphans.h"

#include <ev.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* How long a zombie is left to whoever started it. */
#define LOOK_S 1.

/* Remembered at a time: more are reaped a look later. */
#define ZOMBIES_MAX 64

struct zombie {
	pid_t pid;
	unsigned long long start; /* tells it from a later one with its number */
};

struct orphans {
	struct ev_loop *loop;
	ev_signal ended;
	ev_timer look;
	struct zombie zombies[ZOMBIES_MAX];
	unsigned count;
};

static bool is_zombie(pid_t pid, unsigned long long *ret_start)
{
	char path[32], stat[512], state;
	const char *p;
	FILE *file;
	size_t n;

	(void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	file = fopen(path, "re");
	if (!file)
		return false;
	n = fread(stat, 1, sizeof(stat) - 1, file);
	(void)fclose(file);
	stat[n] = '\0';
	/* The name in parentheses may hold any character. The start is field 22. */
	p = strrchr(stat, ')');
	return p &&
	       sscanf(p + 1,
		      " %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
		      &state, ret_start) == 2 &&
	       state == 'Z';
}

static bool was_seen(const struct orphans *orphans, const struct zombie *zombie)
{
	for (unsigned i = 0; i < orphans->count; i++)
		if (orphans->zombies[i].pid == zombie->pid &&
		    orphans->zombies[i].start == zombie->start)
			return true;
	return false;
}

/* Reaps those that were there at the last look, and remembers the others. */
static void on_look(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct orphans *orphans = timer->data;
	struct zombie zombie, found[ZOMBIES_MAX];
	FILE *file = fopen("/proc/thread-self/children", "re");
	unsigned count = 0;

	(void)events;
	/* A timer that has come to its end is stopped without this being undone. */
	ev_ref(loop);
	while (file && count < ZOMBIES_MAX && fscanf(file, "%d", &zombie.pid) == 1) {
		if (!is_zombie(zombie.pid, &zombie.start))
			continue;
		if (was_seen(orphans, &zombie))
			(void)waitpid(zombie.pid, NULL, WNOHANG);
		else
			found[count++] = zombie;
	}
	if (file)
		(void)fclose(file);
	memcpy(orphans->zombies, found, count * sizeof(*found));
	orphans->count = count;
	if (count) {
		ev_timer_set(timer, LOOK_S, 0.);
		ev_timer_start(loop, timer);
		ev_unref(loop);
	}
}

static void on_ended(struct ev_loop *loop, ev_signal *watcher, int events)
{
	struct orphans *orphans = watcher->data;

	(void)events;
	if (ev_is_active(&orphans->look))
		return;
	ev_timer_set(&orphans->look, LOOK_S, 0.);
	ev_timer_start(loop, &orphans->look);
	ev_unref(loop);
}

struct orphans *orphans_create(struct ev_loop *loop)
{
	struct orphans *orphans = calloc(1, sizeof(*orphans));

	if (!orphans)
		return NULL;
	orphans->loop = loop;
	ev_signal_init(&orphans->ended, on_ended, SIGCHLD);
	ev_timer_init(&orphans->look, on_look, LOOK_S, 0.);
	ev_set_priority(&orphans->look, EV_MINPRI); /* after whoever waits for a child */
	orphans->ended.data = orphans->look.data = orphans;
	ev_signal_start(loop, &orphans->ended);
	/* The first look is for those of the image before. */
	ev_timer_start(loop, &orphans->look);
	ev_unref(loop);
	ev_unref(loop);
	return orphans;
}

struct orphans *orphans_destroy(struct orphans *orphans)
{
	if (!orphans)
		return NULL;
	ev_ref(orphans->loop);
	ev_signal_stop(orphans->loop, &orphans->ended);
	if (ev_is_active(&orphans->look) || ev_is_pending(&orphans->look))
		ev_ref(orphans->loop);
	ev_timer_stop(orphans->loop, &orphans->look);
	free(orphans);
	return NULL;
}
