/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon.h"

#include <errno.h>
#include <ev.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/config/config.h"
#include "base/timer.h"
#include "guard/lease_file.h"
#include "host/notify.h"
#include "host/orphans.h"
#include "host/reload.h"
#include "host/runtime.h"
#include "host/state.h"
#include "log/log.h"
#include "node/node.h"
#include "service.h"

/* A reload carries the lock of the runtime directory over to the new image: its descriptor's number. */
#define LOCK_FD_VARIABLE "PRIMARYD_LOCK_FD"

/* It was not ready before either, and the service manager is not to believe that it is. */
#define UNREADY_VARIABLE "PRIMARYD_UNREADY"

/* How long killed commands are waited for at the end: one that does not die hangs in the kernel. */
#define REAP_TIMEOUT_S 0.5

/* Before an end that systemd answers with a start, when it is no crash: shorter than its watchdog's patience. */
#define PAUSE_S 2.

/* How often the runtime directory is asked for that a killed daemon holds until the kernel has torn it down: 300 ms. */
#define START_TRIES 30
#define START_PAUSE_S 0.01

/* Then, under a service manager, for one that lives on. */
#define TAKEN_PAUSE_S 5.

struct daemon {
	struct ev_loop *loop;
	const char *config_path;
	char binary[PATH_MAX];
	char **argv;
	const struct config *config;
	struct config_auth *auth;
	struct log *log;
	char boot_id[BOOT_ID_SIZE];
	struct runtime runtime;
	struct orphans *orphans;
	struct node *node;
	struct service service;
	bool executed_anew; /* a reload brought us here */
	bool ready_before;  /* and the service manager had been told so */
	ev_timer start;
	unsigned tries; /* to start, while another daemon has the runtime directory */
	ev_signal sigterm, sigint, sighup;
	struct reload reload;
	ev_timer execute; /* the reload itself, once what came before it is seen */
	bool reload_wanted;
	int exit_code;
};

/* -- reload -- */

/* From before a new image is executed until it can take them: meanwhile they would end it, or be lost. */
static void hold_signals(bool hold)
{
	sigset_t signals;

	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGHUP);
	sigprocmask(hold ? SIG_BLOCK : SIG_UNBLOCK, &signals, NULL);
}

static void execute_anew(struct daemon *d)
{
	char fd[16];

	d->reload_wanted = false;
	log_event(d->log, EVENT_RELOAD, NULL, "executing %s anew", d->binary);
	snprintf(fd, sizeof(fd), "%d", d->runtime.lock_fd);
	setenv(LOCK_FD_VARIABLE, fd, 1);
	if (!d->service.ready)
		setenv(UNREADY_VARIABLE, "1", 1);
	state_lock_inherit(d->runtime.lock_fd, true);
	service_reload_begins(&d->service);
	execv(d->binary, d->argv);
	log_event(d->log, EVENT_RELOAD_REFUSED, NULL, "cannot execute %s: %s; this process goes on",
		  d->binary, strerror(errno));
	service_reload_failed(&d->service);
	state_lock_inherit(d->runtime.lock_fd, false);
	unsetenv(LOCK_FD_VARIABLE);
	unsetenv(UNREADY_VARIABLE);
}

static void on_execute(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct daemon *d = timer->data;

	(void)loop;
	(void)events;
	/* A signal that came before they were held may have ended it all. */
	if (node_is_settled(d->node))
		execute_anew(d);
	hold_signals(false);
}

/* Else the new image would find nothing to resume, and stop the work. */
static bool is_kept(struct daemon *d)
{
	if (node_can_be_resumed(d->node))
		return true;
	log_event(
		d->log, EVENT_RELOAD_REFUSED, NULL,
		"%s does not hold what a new image needs to go on: see what was said of it before",
		d->runtime.directory);
	return false;
}

static void on_sighup(struct ev_loop *loop, ev_signal *signal, int events)
{
	struct daemon *d = signal->data;

	(void)loop;
	(void)events;
	if (!d->node || ev_is_active(&d->execute))
		return;
	d->reload_wanted = false; /* also one that waited, and was valid when it began to */
	if (reload_is_valid(d->config_path, d->config, d->log) && is_kept(d))
		reload_ask_binary(&d->reload);
}

static void on_accepted(void *userdata)
{
	struct daemon *d = userdata;

	d->reload_wanted = is_kept(d);
	if (!d->reload_wanted || !node_is_settled(d->node))
		return;
	hold_signals(true);
	ev_timer_set(&d->execute, 0., 0.);
	ev_timer_start(d->loop, &d->execute);
}

/* -- node's callbacks -- */

static void on_status(void *userdata, const struct node *node)
{
	struct daemon *d = userdata;

	service_update(&d->service, node);
	/* A reload waits for a takeover or a stop to end: commands must not lose their parent. */
	if (d->reload_wanted && node_is_settled(node))
		ev_feed_event(d->loop, &d->sighup, EV_SIGNAL);
}

static void on_exit_node(void *userdata, int code)
{
	struct daemon *d = userdata;

	d->exit_code = code;
	ev_break(d->loop, EVBREAK_ALL);
}

static void on_stop_signal(struct ev_loop *loop, ev_signal *signal, int events)
{
	struct daemon *d = signal->data;

	(void)loop;
	(void)events;
	if (d->node)
		node_shutdown(d->node);
	else
		ev_break(d->loop, EVBREAK_ALL); /* the pause before the end */
}

/* -- start -- */

static void watch_signal(struct daemon *d, ev_signal *watcher, int number,
			 void (*fn)(struct ev_loop *, ev_signal *, int))
{
	ev_signal_init(watcher, fn, number);
	watcher->data = d;
	ev_signal_start(d->loop, watcher);
	ev_unref(d->loop);
}

/* What a process before us left: *ret_state is valid when true. Everything else is a cold start, said why. */
static bool load_state(struct daemon *d, struct state *ret_state)
{
	struct state expected = { 0 };
	char message[STATE_MESSAGE_SIZE] = "";
	int r;

	strcpy(expected.node, d->config->node.name);
	strcpy(expected.boot_id, d->boot_id);
	expected.cluster = node_cluster(d->config);
	r = state_load(d->config->node.runtime_directory, &expected, ret_state, message,
		       sizeof(message));
	if (r != 0 && r != -ENOENT)
		log_event(d->log, EVENT_RESUME_REFUSED, NULL, "starting cold: %s",
			  *message ? message : strerror(-r));
	return r == 0;
}

/*
 * A service manager would start this daemon again and again, each time with a word in the journal. Without one, whoever
 * starts it is told soon.
 */
static bool may_wait(const struct daemon *d)
{
	return notify_wanted() && !d->executed_anew;
}

/* EX_UNAVAILABLE: another daemon has it, as message[STATE_MESSAGE_SIZE] says. */
static int open_runtime(struct daemon *d, char *message)
{
	const char *inherited = getenv(LOCK_FD_VARIABLE);
	int r = boot_id_read(d->boot_id);

	d->executed_anew = d->executed_anew || inherited;
	if (r == 0)
		r = runtime_open(&d->runtime, d->config->node.runtime_directory, d->boot_id,
				 inherited ? atoi(inherited) : -1, message, STATE_MESSAGE_SIZE);
	d->ready_before = d->ready_before || (inherited && !getenv(UNREADY_VARIABLE));
	unsetenv(LOCK_FD_VARIABLE);
	unsetenv(UNREADY_VARIABLE);
	if (d->runtime.lease) {
		if (r == LEASE_FILE_DAMAGED)
			log_event(d->log, EVENT_RESUME_REFUSED, NULL, "%s", message);
		return 0;
	}
	if (r == STATE_LOCKED)
		return EX_UNAVAILABLE;
	log_event(d->log, EVENT_CONFIG_INVALID, NULL, "%s", *message ? message : strerror(-r));
	return EX_CANTCREAT;
}

static int start_node(struct daemon *d)
{
	struct state state = { 0 };
	struct node_options options = {
		.loop = d->loop,
		.config = d->config,
		.auth = d->auth,
		.log = d->log,
		.boot_id = d->boot_id,
		.lease = d->runtime.lease,
		.keep_state = true,
		.on_exit = on_exit_node,
		.on_status = on_status,
		.userdata = d,
	};
	int r;

	if (load_state(d, &state))
		options.resume = &state;
	r = node_create(&options, &d->node);
	explicit_bzero(&state, sizeof(state));
	if (d->auth)
		explicit_bzero(d->auth, sizeof(*d->auth));
	if (r == 0)
		return 0;
	log_event(d->log, EVENT_CONFIG_INVALID, NULL, "cannot start: %s",
		  r < 0 ? strerror(-r)
			: "zookeeper.servers, zookeeper.root or times are out of range");
	return EX_OSERR;
}

static int begin(struct daemon *d)
{
	signal(SIGPIPE, SIG_IGN);
	/* Ignored, as it may have been handed down, nobody could be waited for. */
	signal(SIGCHLD, SIG_DFL);
	signal(SIGXFSZ, SIG_IGN); /* a full log is an error of its write, not ours */
	watch_signal(d, &d->sigterm, SIGTERM, on_stop_signal);
	watch_signal(d, &d->sigint, SIGINT, on_stop_signal);
	watch_signal(d, &d->sighup, SIGHUP, on_sighup);
	hold_signals(false);
	ev_init(&d->execute, on_execute);
	ev_set_priority(&d->execute, EV_MINPRI); /* after the signals that are pending */
	d->execute.data = d;
	d->reload = (struct reload){ .loop = d->loop,
				     .log = d->log,
				     .binary = d->binary,
				     .config_path = d->config_path,
				     .auth_hash = config_auth_hash(d->auth),
				     .on_accepted = on_accepted,
				     .userdata = d };
	service_init(&d->service, d->loop, d->config, d->ready_before);
	d->orphans = orphans_create(d->loop);
	return start_node(d);
}

/* Another daemon has the runtime directory. Returns how long to wait for it, 0: not at all. */
static double wait_for_other(struct daemon *d, const char *text)
{
	if (d->tries++ < START_TRIES)
		return START_PAUSE_S;
	if (d->tries == START_TRIES + 1)
		log_event(d->log, EVENT_RUNTIME_TAKEN, NULL, "%s: %s",
			  may_wait(d) ? "waiting" : "refusing to start", text);
	(void)notify_send("STATUS=Waiting: %.400s", text);
	return may_wait(d) ? TAKEN_PAUSE_S : 0.;
}

/* Nothing has begun before it succeeds: until then a signal simply ends the process. */
static void on_start(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct daemon *d = timer->data;
	char message[STATE_MESSAGE_SIZE] = "";
	int r = open_runtime(d, message);
	double pause_s = r == EX_UNAVAILABLE ? wait_for_other(d, message) : 0.;

	(void)events;
	if (pause_s > 0.) {
		ev_timer_set(timer, pause_s, 0.);
		ev_timer_start(loop, timer);
		return;
	}
	if (r == 0)
		r = begin(d);
	if (r == 0)
		return;
	d->exit_code = r;
	ev_break(loop, EVBREAK_ALL);
}

static int run(struct daemon *d)
{
	ev_timer_init(&d->start, on_start, 0., 0.);
	d->start.data = d;
	ev_timer_start(d->loop, &d->start);
	ev_run(d->loop, 0);
	return d->exit_code;
}

static void on_bound(struct ev_loop *loop, ev_timer *timer, int events)
{
	(void)timer;
	(void)events;
	ev_break(loop, EVBREAK_ALL);
}

/* Turns the loop for so long, or less: keeps tells whether the time itself keeps it going. */
static void turn_loop(struct daemon *d, double bound_s, bool keeps)
{
	ev_timer bound;

	ev_timer_init(&bound, on_bound, bound_s, 0.);
	ev_now_update(d->loop);
	ev_timer_start(d->loop, &bound);
	if (!keeps)
		ev_unref(d->loop);
	ev_run(d->loop, 0);
	if (!keeps)
		ev_ref(d->loop);
	ev_timer_stop(d->loop, &bound);
}

/* It could not be resumed by this process, and its lease runs out: the next one tries at once. */
static bool work_may_run(const struct daemon *d)
{
	struct lease_file *lease = d->runtime.lease;

	return lease && lease_file_epoch(lease) && lease_file_end_us(lease) > time_boot_us();
}

/*
 * What made the daemon end may last (a directory that cannot be made, an ensemble that grants too little): systemd starts it
 * again at once, as it shall after a crash, and would do so ten times a second. The work is down, and nothing is held.
 */
static void pause_before_restart(struct daemon *d, int code)
{
	if (code < EX__BASE || !notify_wanted() || work_may_run(d))
		return;
	(void)notify_send("WATCHDOG=1\nSTATUS=Cannot go on, see the log; tries again in %d s\n",
			  (int)PAUSE_S);
	turn_loop(d, PAUSE_S, true);
}

/* Its answer, or its execution, would meet a node that is gone: the loop turns some more. */
static void drop_reload(struct daemon *d)
{
	reload_finish(&d->reload);
	if (!ev_is_active(&d->execute))
		return;
	ev_timer_stop(d->loop, &d->execute);
	hold_signals(false);
}

static void finish(struct daemon *d)
{
	if (d->loop) {
		d->orphans = orphans_destroy(d->orphans);
		/* Commands that were killed on the way out are dead in a moment, and then nothing keeps the loop going. */
		turn_loop(d, REAP_TIMEOUT_S, false);
		ev_loop_destroy(d->loop);
	}
	runtime_close(&d->runtime);
}

int daemon_run(const struct daemon_options *options)
{
	struct daemon d = { .config_path = options->config_path,
			    .argv = options->argv,
			    .config = options->config,
			    .auth = options->auth,
			    .log = options->log,
			    .runtime.lock_fd = -1 };
	ssize_t n = readlink("/proc/self/exe", d.binary, sizeof(d.binary) - 1);
	int r = EX_OSERR;

	d.binary[n > 0 ? n : 0] = '\0';
	/* Not the default loop: that one reaps every child of the process. */
	d.loop = ev_loop_new(EVFLAG_AUTO);
	if (d.loop)
		r = run(&d);
	drop_reload(&d);
	d.node = node_destroy(d.node);
	service_finish(&d.service);
	if (d.loop)
		pause_before_restart(&d, r);
	finish(&d);
	return r;
}
