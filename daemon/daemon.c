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
#include "base/notify.h"
#include "guard/guard.h"
#include "host/host.h"
#include "log/log.h"
#include "node/node.h"
#include "service.h"
#include "status/page.h"

/* Set for the new image: the service manager does not know this daemon as ready. */
#define UNREADY_VARIABLE "PRIMARYD_UNREADY"

/* Before an end that systemd answers with a start, when it is no crash: shorter than the time of its watchdog. */
#define PAUSE_S 2

/* A killed daemon keeps its lock until the kernel has torn it down. */
#define TORN_DOWN_MS 300

struct daemon {
	struct ev_loop *loop;
	const char *config_path;
	char binary[PATH_MAX];
	char **argv;
	const struct config *config;
	struct config_auth *auth;
	struct log *log;
	struct runtime runtime;
	struct status_page *page;
	struct node *node;
	struct service service;
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
	d->reload_wanted = false;
	log_event(d->log, EVENT_RELOAD, NULL, "re-executing %s", d->binary);
	if (!d->service.ready)
		setenv(UNREADY_VARIABLE, "1", 1);
	runtime_hand_over(&d->runtime, true);
	service_reload_begins(&d->service);
	execv(d->binary, d->argv);
	reload_refuse(&d->reload, "cannot execute %s: %s", d->binary, strerror(errno));
	service_reload_failed(&d->service);
	runtime_hand_over(&d->runtime, false);
	unsetenv(UNREADY_VARIABLE);
}

static void on_execute(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct daemon *d = timer->data;

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
	reload_refuse(&d->reload,
		      "%s lacks the files that a new process needs to continue; the log says more",
		      d->config->node.runtime_directory);
	return false;
}

static void on_sighup(struct ev_loop *loop, ev_signal *signal, int events)
{
	struct daemon *d = signal->data;

	if (ev_is_active(&d->execute))
		return;
	d->reload_wanted = false; /* also one that waited, and was valid when it began to */
	if (reload_is_valid(&d->reload) && is_kept(d))
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

	node_shutdown(d->node);
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
	strcpy(expected.boot_id, d->runtime.boot_id);
	expected.place = d->runtime.place;
	expected.cluster = state_cluster_of(d->config);
	r = state_load(d->config->node.runtime_directory, &expected, ret_state, message,
		       sizeof(message));
	if (r == STATE_FOREIGN_PLACE)
		lease_file_forget_groups(d->runtime.lease);
	if (r != 0 && r != -ENOENT)
		log_event(d->log, EVENT_RESUME_REFUSED, NULL, "starting cold: %s",
			  *message ? message : strerror(-r));
	return r == 0;
}

/* Blocks while another daemon holds the lock: nothing has begun yet, and a signal simply ends the process. */
static int open_runtime(struct daemon *d)
{
	const char *directory = d->config->node.runtime_directory;
	char message[RUNTIME_MESSAGE_SIZE];
	int r = runtime_open(&d->runtime, directory, TORN_DOWN_MS, message, sizeof(message));
	/* A service manager would start this daemon again and again, each time with a line in the journal. */
	bool may_wait = notify_wanted() && !d->runtime.is_handed_over;

	if (r == RUNTIME_TAKEN)
		log_event(d->log, EVENT_RUNTIME_TAKEN, NULL, "%s: %s",
			  may_wait ? "waiting" : "refusing to start", message);
	while (r == RUNTIME_TAKEN && may_wait) {
		(void)notify_send("STATUS=Waiting: %.400s", message);
		r = runtime_open(&d->runtime, directory, -1, message, sizeof(message));
	}
	if (r == RUNTIME_TAKEN)
		return EX_UNAVAILABLE;
	if (r != 0)
		log_event(d->log, EVENT_CONFIG_INVALID, NULL, "%s", message);
	else if (*message)
		log_event(d->log, EVENT_RESUME_REFUSED, NULL, "%s", message);
	return r == 0 ? 0 : EX_CANTCREAT;
}

/* Without it the node works as ever, and no program of this host knows what it is. */
static void open_page(struct daemon *d)
{
	const struct config *c = d->config;
	char path[PATH_MAX] = "";
	int r = 0;

	(void)status_path(c->node.status_directory, c->node.runtime_directory, path);
	d->page = status_page_open(path, c->node.name, c->zookeeper.root, &r);
	if (r < 0)
		log_event(d->log, EVENT_CONFIG_WARNING, NULL,
			  "no status page, so nobody here can ask whether this node is primary: "
			  "%.300s: %s (see node.status-directory)",
			  path, strerror(-r));
}

static int start_node(struct daemon *d)
{
	struct state state = { 0 };
	struct node_options options = {
		.loop = d->loop,
		.config = d->config,
		.auth = d->auth,
		.log = d->log,
		.boot_id = d->runtime.boot_id,
		.place = d->runtime.place,
		.lease = d->runtime.lease,
		.page = d->page,
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
	bool ready = d->runtime.is_handed_over && !getenv(UNREADY_VARIABLE);

	unsetenv(UNREADY_VARIABLE);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* a full log is an error of its write, not ours */
	watch_signal(d, &d->sigterm, SIGTERM, on_stop_signal);
	watch_signal(d, &d->sigint, SIGINT, on_stop_signal);
	watch_signal(d, &d->sighup, SIGHUP, on_sighup);
	hold_signals(false);
	/* Children of the image before this one may have ended while nobody heard of it. */
	ev_feed_signal(SIGCHLD);
	ev_init(&d->execute, on_execute);
	ev_set_priority(&d->execute, EV_MINPRI); /* after the signals that are pending */
	d->execute.data = d;
	d->reload = (struct reload){ .loop = d->loop,
				     .log = d->log,
				     .binary = d->binary,
				     .config_path = d->config_path,
				     .running = d->config,
				     .auth_hash = config_auth_hash(d->auth),
				     .on_accepted = on_accepted,
				     .userdata = d };
	service_init(&d->service, d->loop, d->config, ready);
	open_page(d);
	return start_node(d);
}

static int run(struct daemon *d)
{
	int r;

	if (!d->loop)
		return EX_OSERR;
	r = open_runtime(d);
	if (r == 0)
		r = begin(d);
	if (r != 0)
		return r;
	ev_run(d->loop, 0);
	return d->exit_code;
}

/* It could not be resumed by this process, and its lease runs out: the next one tries at once. */
static bool work_may_run(const struct daemon *d)
{
	struct lease_file *lease = d->runtime.lease;

	return lease && lease_file_end_us(lease) > time_boot_us();
}

/*
 * What made the daemon end may last (a directory that cannot be made, an ensemble that grants too little): systemd starts it
 * again at once, as it shall after a crash, and would do so ten times a second. The work is down, and nothing is held.
 */
static void pause_before_restart(const struct daemon *d, int code)
{
	const struct timespec pause = { .tv_sec = PAUSE_S };
	sigset_t stop;

	if (code < EX__BASE || !notify_wanted() || work_may_run(d))
		return;
	(void)notify_send(
		"WATCHDOG=1\nSTATUS=Cannot continue (see the log); trying again in %d s\n",
		PAUSE_S);
	hold_signals(true);
	sigemptyset(&stop);
	sigaddset(&stop, SIGTERM);
	sigaddset(&stop, SIGINT);
	(void)sigtimedwait(&stop, NULL, &pause);
}

int daemon_run(const struct daemon_options *options)
{
	/* The default loop reaps every child of the process, also those that commands left to it. */
	struct daemon d = { .loop = ev_default_loop(EVFLAG_AUTO),
			    .config_path = options->config_path,
			    .argv = options->argv,
			    .config = options->config,
			    .auth = options->auth,
			    .log = options->log,
			    .runtime.lock_fd = -1 };
	ssize_t n = readlink("/proc/self/exe", d.binary, sizeof(d.binary) - 1);
	int r;

	d.binary[n > 0 ? n : 0] = '\0';
	r = run(&d);
	reload_finish(&d.reload);
	d.node = node_destroy(d.node);
	d.page = status_page_close(d.page);
	pause_before_restart(&d, r);
	runtime_close(&d.runtime);
	if (d.loop)
		ev_loop_destroy(d.loop);
	return r;
}
