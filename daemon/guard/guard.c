/* SPDX-License-Identifier: Apache-2.0 */
#include "guard.h"

#include <assert.h>
#include <errno.h>
#include <ev.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <unistd.h>

#include "base/timer.h"
#include "lease_file.h"
#include "spawn.h"

/* A former guard that holds up its successor for that long is broken. */
#define FORMER_TIMEOUT_US INT64_C(1000000)

/* A guard process that has not been seen dead; in the list of its guard. */
struct guard_process {
	struct guard_process *next;
	struct guard *guard;
	ev_io io; /* the pidfd: readable when it is dead */
	int pid;
};

struct guard {
	struct ev_loop *loop;
	struct guard_argv *argv;
	struct lease_file *lease;
	char *runtime_directory;
	guard_died_fn on_died;
	void *userdata;

	struct guard_process *processes; /* all, the ending ones too */
	struct guard_process *current;	 /* NULL: none */
	bool ready;			 /* current watches */

	guard_done_fn done; /* start under way, else NULL */
	ev_io ready_io;	    /* active while a start is under way */
	struct timer timer; /* of a start */
	int64_t give_up_us;
};

static void forget(struct guard_process *process)
{
	struct guard *guard = process->guard;
	struct guard_process **link = &guard->processes;

	while (*link != process)
		link = &(*link)->next;
	*link = process->next;
	if (guard->current == process) {
		guard->current = NULL;
		guard->ready = false;
	}
	ev_io_stop(guard->loop, &process->io);
	(void)close(process->io.fd);
	free(process);
}

/* Ends the start that is under way and returns whom to tell. */
static guard_done_fn end_start(struct guard *guard)
{
	guard_done_fn done = guard->done;

	if (done != NULL) {
		ev_io_stop(guard->loop, &guard->ready_io);
		(void)close(guard->ready_io.fd);
		timer_clear(&guard->timer);
		guard->done = NULL;
	}
	return done;
}

static bool has_acted(const struct guard *guard)
{
	return lease_file_mark(guard->lease) != LEASE_WATCHED;
}

static void on_dead(struct ev_loop *loop, ev_io *io, int revents)
{
	struct guard_process *process = io->data;
	struct guard *guard = process->guard;
	bool was_current = process == guard->current;
	bool was_ready = was_current && guard->ready;

	guard_child_reap(io->fd);
	forget(process);
	if (was_ready) {
		guard->on_died(guard, has_acted(guard), guard->userdata);
	} else if (was_current) {
		guard_done_fn done = end_start(guard);

		done(guard, -ECHILD, guard->userdata);
	}
}

static struct guard_process *follow(struct guard *guard, const struct guard_child *child)
{
	struct guard_process *process = calloc(1, sizeof(*process));

	if (process == NULL)
		return NULL;
	process->guard = guard;
	process->pid = child->pid;
	process->next = guard->processes;
	guard->processes = process;
	ev_io_init(&process->io, on_dead, child->pidfd, EV_READ);
	process->io.data = process;
	ev_io_start(guard->loop, &process->io);
	return process;
}

static void signal_all(struct guard *guard, const struct guard_process *except, int signal)
{
	for (struct guard_process *p = guard->processes; p != NULL; p = p->next) {
		if (p != except)
			(void)pidfd_send_signal(p->io.fd, signal, NULL, 0);
	}
}

static void on_ready(struct ev_loop *loop, ev_io *io, int revents)
{
	struct guard *guard = io->data;
	guard_done_fn done;
	char byte;
	ssize_t n = read(io->fd, &byte, 1);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n != 1) {
		/* It is ending: on_dead() says so. */
		ev_io_stop(loop, io);
		return;
	}
	guard->ready = true;
	done = end_start(guard);
	done(guard, 0, guard->userdata);
}

static void on_late(struct timer *timer, void *userdata)
{
	struct guard *guard = userdata;
	guard_done_fn done;

	if (time_boot_us() < guard->give_up_us) {
		signal_all(guard, guard->current, SIGKILL);
		timer_set(timer, guard->give_up_us);
		return;
	}
	signal_all(guard, NULL, SIGKILL);
	guard->current = NULL;
	done = end_start(guard);
	done(guard, -ETIMEDOUT, guard->userdata);
}

int guard_create(struct ev_loop *loop, const struct guard_config *config, struct guard **ret_guard)
{
	struct guard *guard;
	int r;

	assert(config->lease_timeout_us > 0 && config->lease != NULL && config->on_died != NULL);
	guard = calloc(1, sizeof(*guard));
	if (guard == NULL)
		return -ENOMEM;
	guard->loop = loop;
	guard->lease = config->lease;
	guard->on_died = config->on_died;
	guard->userdata = config->userdata;
	guard->runtime_directory = strdup(config->runtime_directory);
	r = guard->runtime_directory == NULL ? -ENOMEM : guard_argv_create(config, &guard->argv);
	if (r == 0)
		r = timer_init(&guard->timer, loop, 0, on_late, guard);
	if (r < 0) {
		(void)guard_destroy(guard);
		return r;
	}
	*ret_guard = guard;
	return 0;
}

struct guard *guard_destroy(struct guard *guard)
{
	if (guard == NULL)
		return NULL;
	(void)end_start(guard);
	while (guard->processes != NULL)
		forget(guard->processes);
	timer_finish(&guard->timer);
	free(guard->argv);
	free(guard->runtime_directory);
	free(guard);
	return NULL;
}

static void begin_start(struct guard *guard, int ready_fd, guard_done_fn done)
{
	int64_t now_us = time_boot_us();

	guard->done = done;
	guard->ready = false;
	guard->give_up_us = now_us + GUARD_READY_TIMEOUT_US;
	ev_io_init(&guard->ready_io, on_ready, ready_fd, EV_READ);
	/* Before its death is seen: a guard may be ready, act and be gone within one turn of the loop. */
	ev_set_priority(&guard->ready_io, 1);
	guard->ready_io.data = guard;
	ev_io_start(guard->loop, &guard->ready_io);
	timer_set(&guard->timer, now_us + FORMER_TIMEOUT_US);
}

int guard_start(struct guard *guard, guard_done_fn done)
{
	struct guard_process *process;
	struct guard_child child;
	int r;

	if (guard->done != NULL)
		return -EALREADY;
	guard->current = NULL;
	guard->ready = false;
	lease_file_begin_watch(guard->lease);
	r = guard_child_spawn(guard->argv, &child);
	if (r < 0) {
		signal_all(guard, NULL, SIGTERM);
		return r;
	}
	process = follow(guard, &child);
	if (process == NULL) {
		(void)pidfd_send_signal(child.pidfd, SIGKILL, NULL, 0);
		(void)close(child.pidfd);
		(void)close(child.ready_fd);
		return -ENOMEM;
	}
	guard->current = process;
	begin_start(guard, child.ready_fd, done);
	signal_all(guard, process, SIGTERM);
	return 0;
}

int guard_adopt(struct guard *guard)
{
	struct guard_child child;
	bool same;
	int r;

	assert(guard->current == NULL && guard->done == NULL);
	r = guard_child_find(guard->runtime_directory, guard->argv, lease_file_watch(guard->lease),
			     &child, &same);
	if (r != 0)
		return r;
	guard->current = follow(guard, &child);
	if (guard->current == NULL) {
		(void)close(child.pidfd);
		return -ENOMEM;
	}
	guard->ready = true;
	return same ? 0 : GUARD_OTHER;
}

bool guard_is_alive(const struct guard *guard)
{
	return guard->ready;
}

int guard_pid(const struct guard *guard)
{
	return guard->ready ? guard->current->pid : 0;
}

/* SIGTERM means "look again" to a guard with an armed lease. */
void guard_poke(struct guard *guard)
{
	signal_all(guard, NULL, SIGTERM);
}

void guard_disarm(struct guard *guard)
{
	lease_file_disarm(guard->lease);
	(void)end_start(guard);
	guard->current = NULL;
	guard->ready = false;
	signal_all(guard, NULL, SIGTERM);
}
