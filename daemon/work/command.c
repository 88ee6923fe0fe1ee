/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/timer.h"
#include "command_exec.h"
#include "command_output.h"

/* The group is looked at again in this interval, and no longer than this after SIGKILL. */
#define SETTLE_INTERVAL_US (20 * INT64_C(1000))
#define SETTLE_MAX_US (200 * INT64_C(1000))

#define PIPE_CAPACITY (64 * 1024)

enum phase {
	PHASE_RUNNING,
	PHASE_TERMINATING, /* SIGTERM was sent */
	PHASE_KILLING,	   /* SIGKILL was sent */
	PHASE_REAPED, /* the process is gone; its group, if terminated by us, may still settle */
	PHASE_ENDED,  /* on_end has run or runs */
};

struct command {
	struct ev_loop *loop;
	enum phase phase;
	enum command_end cause; /* EXITED unless we ended it */
	bool is_group_killed;	/* SIGKILL was sent */
	pid_t pid;
	int failure_fd;
	ev_child child;
	ev_io pipe;
	struct timer timer;
	int64_t started_us;
	int64_t grace_us;
	int64_t kill_us;   /* when SIGKILL is due after SIGTERM */
	int64_t settle_us; /* when to stop waiting for the group */
	int status;	   /* of the dead process, as waitpid() has it */
	int failure;	   /* errno of the exec */
	void (*on_end)(void *userdata, const struct command_result *result);
	void *userdata;
	struct command_output output;
};

static struct command *command_free(struct command *command)
{
	if (command == NULL)
		return NULL;
	ev_child_stop(command->loop, &command->child);
	ev_io_stop(command->loop, &command->pipe);
	timer_finish(&command->timer);
	if (command->pipe.fd >= 0)
		(void)close(command->pipe.fd);
	if (command->failure_fd >= 0)
		(void)close(command->failure_fd);
	free(command);
	return NULL;
}

static void close_pipe(struct command *command)
{
	if (command->pipe.fd < 0)
		return;
	ev_io_stop(command->loop, &command->pipe);
	(void)close(command->pipe.fd);
	command->pipe.fd = -1;
}

/* Reads once. False: nothing more there, for now or (the pipe is closed then) at all. */
static bool read_pipe(struct command *command)
{
	char bytes[COMMAND_READ_MAX];
	ssize_t n = read(command->pipe.fd, bytes, sizeof(bytes));

	if (n > 0) {
		command_output_take(&command->output, bytes, (size_t)n);
		return true;
	}
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	close_pipe(command);
	command_output_flush(&command->output);
	return false;
}

/* What was written before an end is in the pipe by then, and no more than the pipe holds. */
static void drain_pipe(struct command *command)
{
	for (int i = 0; i <= PIPE_CAPACITY / COMMAND_READ_MAX && command->pipe.fd >= 0; i++) {
		if (!read_pipe(command))
			break;
	}
}

static void make_result(const struct command *command, bool has_leftovers,
			struct command_result *ret)
{
	*ret = (struct command_result){
		.end = command->cause,
		.duration_us = time_boot_us() - command->started_us,
		.has_leftovers = has_leftovers,
		.holds_output = command->pipe.fd >= 0,
		.group = command->pid,
	};
	if (command->failure != 0) {
		ret->end = COMMAND_NOT_STARTED;
		ret->value = command->failure;
	} else if (command->cause == COMMAND_EXITED) {
		ret->end = WIFEXITED(command->status) ? COMMAND_EXITED : COMMAND_SIGNALLED;
		ret->value = WIFEXITED(command->status) ? WEXITSTATUS(command->status)
							: WTERMSIG(command->status);
	}
}

/* The command may be gone afterwards. */
static void finish(struct command *command, bool has_leftovers)
{
	struct command_result result;

	assert(command->phase == PHASE_REAPED);
	timer_clear(&command->timer);
	command_output_flush(&command->output);
	make_result(command, has_leftovers, &result);
	command->phase = PHASE_ENDED;
	command->on_end(command->userdata, &result);
}

static void kill_group(struct command *command)
{
	command->is_group_killed = true;
	command->settle_us = time_boot_us() + SETTLE_MAX_US;
	(void)kill(-command->pid, SIGKILL);
}

/* Terminated by us, so nothing of the group may stay; those that are not our children tell nobody. */
static void settle(struct command *command)
{
	int64_t now_us = time_boot_us();
	bool exists = command_group_exists(command->pid);
	int64_t look_us;

	assert(command->phase == PHASE_REAPED);
	if (exists && !command->is_group_killed && now_us >= command->kill_us)
		kill_group(command);
	if (!exists || (command->is_group_killed && now_us >= command->settle_us)) {
		drain_pipe(command);
		finish(command, exists);
		return;
	}
	/* A look at the group takes its time where there are many processes. */
	look_us = 10 * (time_boot_us() - now_us);
	timer_set(&command->timer,
		  time_boot_us() + (look_us > SETTLE_INTERVAL_US ? look_us : SETTLE_INTERVAL_US));
}

static void on_child(struct ev_loop *loop, ev_child *child, int revents)
{
	struct command *command = child->data;
	int failure = 0;

	ev_child_stop(loop, child);
	command->status = child->rstatus;
	if (read(command->failure_fd, &failure, sizeof(failure)) == (ssize_t)sizeof(failure))
		command->failure = failure;
	command->phase = PHASE_REAPED;
	drain_pipe(command);
	if (command->cause == COMMAND_EXITED)
		finish(command, command_group_signal(command->pid, 0));
	else
		settle(command);
}

static void on_pipe(struct ev_loop *loop, ev_io *io, int revents)
{
	struct command *command = io->data;

	(void)read_pipe(command);
	if (command->pipe.fd < 0 && command->phase == PHASE_REAPED)
		settle(command);
}

static void terminate(struct command *command, enum command_end cause)
{
	assert(command->phase == PHASE_RUNNING);
	command->cause = cause;
	command->phase = PHASE_TERMINATING;
	command->kill_us = time_boot_us() + command->grace_us;
	timer_set(&command->timer, command->kill_us);
	(void)kill(-command->pid, SIGTERM);
	(void)kill(-command->pid, SIGCONT); /* a stopped one could not obey */
}

static void on_timer(struct timer *timer, void *userdata)
{
	struct command *command = userdata;

	switch (command->phase) {
	case PHASE_RUNNING:
		terminate(command, COMMAND_TIMED_OUT);
		return;
	case PHASE_TERMINATING:
		command->phase = PHASE_KILLING;
		kill_group(command);
		return;
	case PHASE_REAPED:
		settle(command);
		return;
	case PHASE_KILLING:
	case PHASE_ENDED:
		break;
	}
	assert(!"no timer in this phase");
}

static void watch(struct command *command, const struct command_child *child)
{
	command->pid = child->pid;
	command->failure_fd = child->failure;
	ev_child_set(&command->child, child->pid, 0);
	ev_io_set(&command->pipe, child->output, EV_READ);
	ev_child_start(command->loop, &command->child);
	ev_io_start(command->loop, &command->pipe);
}

int command_start(struct ev_loop *loop, const struct command_options *options,
		  struct command **ret_command)
{
	struct command_child child;
	struct command *command = calloc(1, sizeof(*command));
	int r;

	assert(options->on_end != NULL && options->timeout_us >= 0 && options->grace_us >= 0);
	if (command == NULL)
		return -ENOMEM;
	command->loop = loop;
	command->cause = COMMAND_EXITED;
	command->grace_us = options->grace_us;
	command->on_end = options->on_end;
	command->userdata = options->userdata;
	command->failure_fd = -1;
	command_output_init(&command->output, options->on_line, options->userdata);
	ev_child_init(&command->child, on_child, 0, 0);
	ev_io_init(&command->pipe, on_pipe, -1, EV_READ);
	command->child.data = command;
	command->pipe.data = command;
	/* Output comes after everything else that is due in the same turn of the loop. */
	ev_set_priority(&command->pipe, EV_MINPRI);

	r = timer_init(&command->timer, loop, 0, on_timer, command);
	if (r == 0)
		r = command_exec(options, &child);
	if (r < 0) {
		(void)command_free(command);
		return r;
	}
	command->started_us = time_boot_us();
	watch(command, &child);
	if (options->timeout_us > 0)
		timer_set(&command->timer, command->started_us + options->timeout_us);
	*ret_command = command;
	return 0;
}

void command_kill(struct command *command)
{
	if (command->phase == PHASE_RUNNING)
		terminate(command, COMMAND_KILLED);
}

void command_kill_now(struct command *command)
{
	switch (command->phase) {
	case PHASE_RUNNING:
		command->cause = COMMAND_KILLED;
		command->phase = PHASE_KILLING;
		break;
	case PHASE_TERMINATING:
		command->phase = PHASE_KILLING;
		break;
	case PHASE_REAPED:
		/* Settling: the next look at the group kills it. */
		command->kill_us = 0;
		if (timer_is_set(&command->timer))
			timer_set(&command->timer, time_boot_us());
		return;
	case PHASE_KILLING:
	case PHASE_ENDED:
		return;
	}
	timer_clear(&command->timer);
	kill_group(command);
}

pid_t command_group(const struct command *command)
{
	return command_is_running(command) ? command->pid : 0;
}

bool command_is_running(const struct command *command)
{
	return command->phase != PHASE_ENDED;
}

struct command *command_destroy(struct command *command)
{
	if (command == NULL)
		return NULL;
	if (command->phase != PHASE_ENDED)
		(void)kill(-command->pid, SIGKILL);
	return command_free(command);
}

bool command_succeeded(const struct command_result *result)
{
	return result->end == COMMAND_EXITED && result->value == 0;
}

char *command_result_format(const struct command_result *result, char buf[COMMAND_TEXT_SIZE])
{
	const char *name;

	switch (result->end) {
	case COMMAND_EXITED:
		(void)snprintf(buf, COMMAND_TEXT_SIZE, "exited with %d", result->value);
		break;
	case COMMAND_SIGNALLED:
		name = sigdescr_np(result->value);
		(void)snprintf(buf, COMMAND_TEXT_SIZE, "killed by signal %d (%s)", result->value,
			       name != NULL ? name : "unknown");
		break;
	case COMMAND_TIMED_OUT:
		(void)snprintf(buf, COMMAND_TEXT_SIZE, "timed out after %" PRId64 " ms",
			       result->duration_us / 1000);
		break;
	case COMMAND_KILLED:
		(void)snprintf(buf, COMMAND_TEXT_SIZE, "stopped by primaryd after %" PRId64 " ms",
			       result->duration_us / 1000);
		break;
	case COMMAND_NOT_STARTED:
		(void)snprintf(buf, COMMAND_TEXT_SIZE, "could not be started: %.80s",
			       result->value == COMMAND_NO_INTERPRETER
				       ? "no such interpreter (primaryd --check names it)"
				       : strerror(result->value));
		break;
	}
	return buf;
}
