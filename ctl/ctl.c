/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/keys.h"
#include "base/timer.h"
#include "cluster/remember.h"
#include "zk/session/zkh_resolve.h"

/* Telling the ensemble goodbye: when it takes longer, the session is left to expire. */
#define FAREWELL_MS 1000

int64_t ctl_now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * INT64_C(1000000) + now.tv_nsec / 1000;
}

/* -- the loop -- */

static void on_signal(struct ev_loop *loop, ev_signal *signal, int events)
{
	struct ctl *ctl = signal->data;

	(void)events;
	if (ctl->on_signal && ctl->on_signal(ctl->on_signal_userdata, signal->signum))
		return;
	ctl->signal_seen = signal->signum;
	ev_break(loop, EVBREAK_ONE);
}

static void on_timer(struct ev_loop *loop, ev_timer *timer, int events)
{
	(void)timer;
	(void)events;
	ev_break(loop, EVBREAK_ONE);
}

bool ctl_signal_ignored(int number)
{
	struct sigaction action;

	return sigaction(number, NULL, &action) == 0 && action.sa_handler == SIG_IGN;
}

static void watch_signal(struct ctl *ctl, ev_signal *watcher, int number)
{
	ev_signal_init(watcher, on_signal, number);
	watcher->data = ctl;
	/* nohup, and what a script puts into the background. */
	if (ctl_signal_ignored(number))
		return;
	ev_signal_start(ctl->loop, watcher);
	ev_unref(ctl->loop);
}

bool ctl_open(struct ctl *ctl)
{
	ctl->loop = ev_loop_new(EVFLAG_AUTO);
	if (!ctl->loop) {
		ctl_error("no event loop: %s", strerror(errno));
		return false;
	}
	watch_signal(ctl, &ctl->sigint, SIGINT);
	watch_signal(ctl, &ctl->sigterm, SIGTERM);
	watch_signal(ctl, &ctl->sighup, SIGHUP);
	ev_timer_init(&ctl->timer, on_timer, 0., 0.);
	return true;
}

static void stop_signal(struct ctl *ctl, ev_signal *watcher)
{
	if (!ev_is_active(watcher))
		return;
	ev_ref(ctl->loop);
	ev_signal_stop(ctl->loop, watcher);
}

static void on_closed(void *userdata, int result)
{
	bool *over = userdata;

	(void)result;
	*over = true;
}

static bool is_set(void *userdata)
{
	return *(bool *)userdata;
}

static void say_goodbye(struct ctl *ctl)
{
	bool over = false;

	ctl->on_session = NULL;
	ctl->deadline_us = 0;
	/* A second signal ends it at once. */
	ctl->signal_seen = 0;
	if (ctl->connected_once && zkh_session_connected(ctl->session) &&
	    zkh_session_close(ctl->session, FAREWELL_MS, on_closed, &over) == 0)
		ctl_wait(ctl, is_set, &over);
}

void ctl_close(struct ctl *ctl)
{
	int seen = ctl->signal_seen;

	if (ctl->session)
		say_goodbye(ctl);
	ctl->signal_seen = seen;
	ctl->session = zkh_session_destroy(ctl->session);
	if (ctl->loop) {
		ev_timer_stop(ctl->loop, &ctl->timer);
		stop_signal(ctl, &ctl->sigint);
		stop_signal(ctl, &ctl->sigterm);
		stop_signal(ctl, &ctl->sighup);
		ev_loop_destroy(ctl->loop);
	}
	ctl->loop = NULL;
	explicit_bzero(&ctl->auth, sizeof(ctl->auth));
	config_finish(&ctl->config);
}

/* -- waiting -- */

void ctl_set_timeout(struct ctl *ctl, int64_t default_us)
{
	int64_t timeout_us = ctl->options.has_timeout ? ctl->options.timeout_us : default_us;

	ctl->deadline_us = ctl_now_us() + timeout_us;
}

static void arm(struct ctl *ctl)
{
	int64_t left_us = ctl->deadline_us - ctl_now_us();

	ev_timer_stop(ctl->loop, &ctl->timer);
	if (!ctl->deadline_us)
		return;
	ev_now_update(ctl->loop);
	ev_timer_set(&ctl->timer, left_us > 0 ? (double)left_us / 1e6 : 0., 0.);
	ev_timer_start(ctl->loop, &ctl->timer);
}

int ctl_wait(struct ctl *ctl, ctl_ready_fn ready, void *userdata)
{
	int code = CTL_DONE;

	arm(ctl);
	while (!ready(userdata)) {
		if (ctl->signal_seen)
			code = CTL_INTERRUPTED;
		else if (ctl->auth_refused)
			code = CTL_UNREACHABLE;
		else if (ctl->deadline_us && ctl_now_us() >= ctl->deadline_us)
			code = ctl->connected_once ? CTL_TIMED_OUT : CTL_UNREACHABLE;
		if (code != CTL_DONE)
			break;
		ev_run(ctl->loop, EVRUN_ONCE);
	}
	ev_timer_stop(ctl->loop, &ctl->timer);
	return code;
}

/* -- the session -- */

static void on_session(void *userdata, const struct zkh_session_report *report)
{
	struct ctl *ctl = userdata;

	if (report->event == ZKH_CONNECTED)
		ctl->connected_once = true;
	if (report->event == ZKH_AUTH_REFUSED)
		ctl->auth_refused = true;
	if (*report->detail &&
	    (report->event == ZKH_AUTH_REFUSED || report->event == ZKH_NAMES_FAILED ||
	     report->event == ZKH_SERVER_FAILED))
		snprintf(ctl->trouble, sizeof(ctl->trouble), "%s", report->detail);
	if (ctl->on_session)
		ctl->on_session(ctl->on_session_userdata, report);
}

int ctl_session_start(struct ctl *ctl)
{
	struct zkh_session_config config = {
		.servers = ctl->config.zookeeper.servers,
		.root = ctl->config.zookeeper.root,
		.timeout_ms = (int32_t)(ctl->config.zookeeper.session_timeout_us / 1000),
		.seed = (uint32_t)ctl_now_us(),
		.on_event = on_session,
		.userdata = ctl,
	};
	int r;

	config_auth_put(ctl->has_auth ? &ctl->auth : NULL, config.auth);
	ctl->started_us = time_boot_us();
	r = zkh_session_create(ctl->loop, &config, &ctl->session);
	if (r == 0)
		return CTL_DONE;
	if (r < 0) {
		ctl_error("cannot start a session: %s", strerror(-r));
		return CTL_REFUSED;
	}
	ctl_error(
		"servers '%s' or root '%s' is not valid (HOST:PORT[,HOST:PORT...], and a path such as /)",
		config.servers, config.root);
	return CTL_USAGE;
}

static bool is_connected(void *userdata)
{
	struct ctl *ctl = userdata;

	return zkh_session_connected(ctl->session);
}

int ctl_connect(struct ctl *ctl)
{
	int code = ctl_session_start(ctl);

	if (code != CTL_DONE)
		return code;
	code = ctl_wait(ctl, is_connected, ctl);
	return code == CTL_DONE ? CTL_DONE : ctl_explain_wait(ctl, code, NULL);
}

/* -- saying -- */

void ctl_error(const char *fmt, ...)
{
	va_list ap;

	fflush(stdout);
	fputs("primaryctl: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
}

void *ctl_need(void *memory)
{
	if (memory)
		return memory;
	ctl_error("out of memory");
	exit(CTL_REFUSED);
}

static void say_unreachable(const struct ctl *ctl)
{
	const char *servers = ctl->config.zookeeper.servers, *trouble = ctl->trouble;
	struct zkh_addresses numeric;

	if (!*trouble && zkh_resolve_numeric(servers, &numeric) == 0)
		zkh_addresses_finish(&numeric);
	else if (!*trouble)
		trouble = "no answer, or the look-up of names takes longer than that";
	/* What went wrong with a single server begins with its name. */
	if (!strncmp(trouble, servers, strlen(servers)) && trouble[strlen(servers)] == ':')
		ctl_error("ZooKeeper is out of reach: %s (see --servers, or `primaryctl check`)",
			  trouble);
	else
		ctl_error("ZooKeeper is out of reach at %s%s%s (see --servers, or "
			  "`primaryctl check`)",
			  servers, *trouble ? ": " : "", trouble);
}

int ctl_explain_wait(struct ctl *ctl, int code, const char *doing)
{
	switch (code) {
	case CTL_UNREACHABLE:
		if (ctl->auth_refused)
			ctl_error("ZooKeeper refused the credential of %s: %s (see --auth-file)",
				  ctl->config.zookeeper.auth_file, ctl->trouble);
		else
			say_unreachable(ctl);
		break;
	case CTL_TIMED_OUT:
		if (!zkh_session_connected(ctl->session)) {
			ctl_error("the connection to ZooKeeper was lost%s%s%s%s",
				  doing ? " while " : "", doing ? doing : "",
				  *ctl->trouble ? ": " : "", ctl->trouble);
			return CTL_UNREACHABLE;
		}
		ctl_error("timed out%s%s (raise --timeout)", doing ? " while " : "",
			  doing ? doing : "");
		break;
	case CTL_INTERRUPTED:
		if (doing)
			ctl_error("interrupted while %s", doing);
		break;
	default:
		break;
	}
	return code;
}

const char *ctl_denied_hint(const struct ctl *ctl)
{
	return ctl->has_auth ? " (the credential of --auth-file is not the one it was made with)"
			     : " (name the credential with --auth-file)";
}

int ctl_explain_result(struct ctl *ctl, int result, const char *path)
{
	const char *what = zkh_result_text(result);

	switch (result) {
	case ZKH_OK:
		return CTL_DONE;
	case ZKH_DENIED:
		ctl_error("%s: %s%s", path, what, ctl_denied_hint(ctl));
		return CTL_REFUSED;
	case ZKH_CONFLICT:
		ctl_error("%s: %s; nothing was done (look, and try again)", path, what);
		return CTL_REFUSED;
	case ZKH_NOT_EMPTY:
		ctl_error("%s: %s (--recursive deletes them, too)", path, what);
		return CTL_REFUSED;
	case ZKH_EPHEMERAL:
		ctl_error("%s: %s: it goes with the session that made it (stop its owner)", path,
			  what);
		return CTL_REFUSED;
	case ZKH_ACL_REFUSED:
		ctl_error(
			"%s: %s: it has an identity that the server does not know (set another list)",
			path, what);
		return CTL_REFUSED;
	case ZKH_TOO_LARGE:
		ctl_error("%s: %s (do it in parts)", path, what);
		return CTL_REFUSED;
	case ZKH_NOT_CONNECTED:
		ctl_error("the connection to ZooKeeper was lost; nothing was done (try again)");
		return CTL_UNREACHABLE;
	case ZKH_UNKNOWN:
		ctl_error(
			"the connection to ZooKeeper was lost: it may or may not have been done (look, and try again)");
		return CTL_UNREACHABLE;
	default:
		ctl_error("%s%s%s", path, *path ? ": " : "", result < 0 ? strerror(-result) : what);
		return CTL_REFUSED;
	}
}

int ctl_flush(void)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return CTL_DONE;
	/* Who closed it does not want to hear of it either. */
	if (errno != EPIPE)
		ctl_error("cannot write: %s", strerror(errno));
	return CTL_REFUSED;
}

int ctl_print(struct ctl *ctl, struct table *const *tables, size_t count)
{
	const struct table_style style = ctl_style(ctl);
	char *text = tables_format(tables, count, &style);

	fputs(text, stdout);
	free(text);
	return ctl_flush();
}

/* -- one transaction -- */

static void on_commit(void *userdata, int result, const struct zkh_txn_reply *reply)
{
	struct ctl_commit *commit = userdata;

	commit->over = true;
	commit->result = result;
	if (!reply)
		return;
	snprintf(commit->failed_path, sizeof(commit->failed_path), "%s", reply->failed_path);
	if (result != ZKH_OK)
		return;
	if (reply->count)
		commit->stat = reply->stats[0];
	for (size_t i = 0; i < reply->count; i++)
		if (reply->created_paths[i])
			snprintf(commit->created_path, sizeof(commit->created_path), "%s",
				 reply->created_paths[i]);
}

static bool commit_over(void *userdata)
{
	return ((struct ctl_commit *)userdata)->over;
}

int ctl_commit(struct ctl *ctl, struct zkh_txn *txn, struct ctl_commit *ret_commit)
{
	struct zkh_op *op = NULL;
	int r, code;

	memset(ret_commit, 0, sizeof(*ret_commit));
	r = txn ? zkh_commit(txn, on_commit, ret_commit, &op) : -ENOMEM;
	if (r != 0) {
		ret_commit->result = r;
		return CTL_DONE;
	}
	code = ctl_wait(ctl, commit_over, ret_commit);
	if (code != CTL_DONE)
		zkh_op_cancel(op);
	return code;
}

static void on_root(void *userdata, int result)
{
	struct ctl_commit *commit = userdata;

	commit->over = true;
	commit->result = result;
}

struct look {
	struct identity_seen seen;
	bool over;
	int result;
};

static void on_identity(void *userdata, int result, const char *data, size_t length,
			const struct zkh_stat *stat)
{
	struct look *look = userdata;

	(void)stat;
	look->over = true;
	look->result = result;
	if (result == ZKH_OK)
		identity_parse_value(data, length, &look->seen);
}

static bool look_over(void *userdata)
{
	return ((struct look *)userdata)->over;
}

/* Nothing is made in an ensemble that has lost its data, or is another one. */
static int look_for_cluster(struct ctl *ctl)
{
	struct look look = { .seen.key = IDENTITY_MISSING };
	struct identity known;
	enum identity_reason reason;
	char path[PATH_MAX], text[IDENTITY_TEXT_SIZE];
	struct zkh_op *op = NULL;
	int code, r;

	if (remember(ctl, &known, path) != 0)
		return CTL_DONE;
	r = zkh_get(ctl->session, PATH_CLUSTER, false, on_identity, &look, &op);
	code = r == 0 ? ctl_wait(ctl, look_over, &look) : CTL_DONE;
	if (code != CTL_DONE) {
		zkh_op_cancel(op);
		return ctl_explain_wait(ctl, code, "reading " PATH_CLUSTER);
	}
	if (r != 0 || (look.result != ZKH_OK && look.result != ZKH_NO_NODE))
		return ctl_explain_result(ctl, r != 0 ? r : look.result, PATH_CLUSTER);
	if (identity_judge(&known, &look.seen, false, &reason) != IDENTITY_FOREIGN)
		return CTL_DONE;
	ctl_error("%s", identity_explain(reason, &known, &look.seen, ctl->config.zookeeper.servers,
					 text));
	return CTL_REFUSED;
}

int ctl_make_root(struct ctl *ctl, bool anyway)
{
	struct ctl_commit made = { 0 };
	struct zkh_op *op = NULL;
	int code = anyway ? CTL_DONE : look_for_cluster(ctl), r;

	if (code != CTL_DONE)
		return code;
	r = zkh_make_root(ctl->session, on_root, &made, &op);
	if (r != 0)
		return ctl_explain_result(ctl, r, ctl->config.zookeeper.root);
	code = ctl_wait(ctl, commit_over, &made);
	if (code != CTL_DONE) {
		zkh_op_cancel(op);
		return ctl_explain_wait(ctl, code, "making the root");
	}
	return ctl_explain_result(ctl, made.result, ctl->config.zookeeper.root);
}
