/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl.h"

#include <assert.h>
#include <errno.h>
#include <json-c/json.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/keys.h"
#include "base/clock.h"
#include "zk/session/zkh_resolve.h"

/* Telling the ensemble goodbye: when it takes longer, the session is left to expire. */
#define FAREWELL_MS 1000

#define ERROR_SIZE (2 * ZKH_PATH_MAX)

/* -- the loop -- */

static void on_signal(struct ev_loop *loop, ev_signal *signal, int events)
{
	struct ctl *ctl = signal->data;

	if (ctl->on_signal && ctl->on_signal(ctl->on_signal_userdata, signal->signum))
		return;
	ctl->signal_seen = signal->signum;
	ev_break(loop, EVBREAK_ONE);
}

static void on_timer(struct ev_loop *loop, ev_timer *timer, int events)
{
	ev_break(loop, EVBREAK_ONE);
}

/* nohup, and what a script puts into the background. */
static bool is_ignored(int number)
{
	struct sigaction action;

	return sigaction(number, NULL, &action) == 0 && action.sa_handler == SIG_IGN;
}

bool ctl_open(struct ctl *ctl)
{
	static const int numbers[CTL_SIGNALS] = {
		SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2
	};

	ctl->loop = ev_default_loop(EVFLAG_AUTO);
	if (!ctl->loop) {
		ctl_error("no event loop: %s", strerror(errno));
		return false;
	}
	for (int i = 0; i < CTL_SIGNALS; i++) {
		ev_signal_init(&ctl->signals[i], on_signal, numbers[i]);
		ctl->signals[i].data = ctl;
		if (is_ignored(numbers[i]))
			continue;
		ev_signal_start(ctl->loop, &ctl->signals[i]);
		ev_unref(ctl->loop);
	}
	ev_timer_init(&ctl->timer, on_timer, 0., 0.);
	return true;
}

static void say_goodbye(struct ctl *ctl)
{
	struct ctl_reply closed = { 0 };

	ctl->on_session = NULL;
	ctl->deadline_us = 0;
	/* A second signal ends it at once. */
	ctl->signal_seen = 0;
	if (ctl->connected_once && zkh_session_connected(ctl->session) &&
	    zkh_session_close(ctl->session, FAREWELL_MS, ctl_on_result, &closed) == 0)
		ctl_wait(ctl, ctl_is_set, &closed.over);
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
		for (int i = 0; i < CTL_SIGNALS; i++) {
			if (!ev_is_active(&ctl->signals[i]))
				continue;
			ev_ref(ctl->loop);
			ev_signal_stop(ctl->loop, &ctl->signals[i]);
		}
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

	ctl->deadline_us = time_monotonic_us() + timeout_us;
}

static void arm(struct ctl *ctl)
{
	int64_t left_us = ctl->deadline_us - time_monotonic_us();

	ev_timer_stop(ctl->loop, &ctl->timer);
	if (!ctl->deadline_us)
		return;
	ev_now_update(ctl->loop);
	ev_timer_set(&ctl->timer, left_us > 0 ? (double)left_us / 1e6 : 0., 0.);
	ev_timer_start(ctl->loop, &ctl->timer);
}

bool ctl_is_set(void *flag)
{
	return *(bool *)flag;
}

void ctl_on_result(void *userdata, int result)
{
	struct ctl_reply *reply = userdata;

	reply->over = true;
	reply->result = result;
}

bool ctl_is_zero(void *count)
{
	return !*(size_t *)count;
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
		else if (ctl->deadline_us && time_monotonic_us() >= ctl->deadline_us)
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

static int start_session(struct ctl *ctl)
{
	struct zkh_session_config config = {
		.servers = ctl->config.zookeeper.servers,
		.tunnel = ctl->config.zookeeper.tunnel,
		.root = ctl->config.zookeeper.root,
		.timeout_ms = (int32_t)(ctl->config.zookeeper.session_timeout_us / 1000),
		.seed = (uint32_t)time_monotonic_us(),
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

int ctl_reach(struct ctl *ctl)
{
	int code = start_session(ctl);

	return code == CTL_DONE ? ctl_wait(ctl, is_connected, ctl) : code;
}

int ctl_connect(struct ctl *ctl)
{
	int code = ctl_reach(ctl);

	return code == CTL_DONE || !ctl->session ? code : ctl_explain_wait(ctl, code, NULL);
}

/* -- saying -- */

static bool errors_as_json;

void ctl_errors_as_json(bool json)
{
	errors_as_json = json;
}

static void print_json_error(const char *text)
{
	struct json_object *object = ctl_need(json_object_new_object());

	json_object_object_add(object, "error", json_object_new_string(text));
	fprintf(stderr, "%s\n",
		json_object_to_json_string_ext(object, JSON_C_TO_STRING_SPACED |
							       JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(object);
}

void ctl_error(const char *fmt, ...)
{
	char text[ERROR_SIZE];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	fflush(stdout);
	if (errors_as_json)
		print_json_error(text);
	else
		fprintf(stderr, "primaryctl: %s\n", text);
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
	const char *see = ctl->config.zookeeper.tunnel ? "`journalctl -u 'primaryd-tunnel*'`"
						       : "--servers";
	struct zkh_addresses numeric;

	if (!*trouble && zkh_resolve_numeric(servers, ctl->config.zookeeper.tunnel, &numeric) == 0)
		zkh_addresses_finish(&numeric);
	else if (!*trouble)
		trouble = "no answer in time, or the lookup of a name took too long";
	/* The trouble of a single server begins with its name. */
	if (!strncmp(trouble, servers, strlen(servers)) && trouble[strlen(servers)] == ':')
		ctl_error("ZooKeeper is out of reach: %s (see %s, or `primaryctl check`)", trouble,
			  see);
	else
		ctl_error("ZooKeeper is out of reach at %s%s%s (see %s, or `primaryctl check`)",
			  servers, *trouble ? ": " : "", trouble, see);
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

int ctl_await(struct ctl *ctl, bool *over, const char *doing)
{
	int code = ctl_wait(ctl, ctl_is_set, over);

	return code == CTL_DONE ? code : ctl_explain_wait(ctl, code, doing);
}

const char *ctl_denied_hint(const struct ctl *ctl)
{
	return ctl->has_auth ? " (the credential of --auth-file is not the one it was created with)"
			     : " (name the credential with --auth-file)";
}

int ctl_explain_result(struct ctl *ctl, int result, const char *path)
{
	static const char *const hints[] = {
		[ZKH_CONFLICT] = "; nothing was changed (check, then try again)",
		[ZKH_NOT_EMPTY] = " (--recursive deletes them, too)",
		[ZKH_EPHEMERAL] = ": it belongs to the session that created it (stop the owner)",
		[ZKH_ACL_REFUSED] =
			": the list holds an identity that the server does not know (set another list)",
		[ZKH_TOO_LARGE] = " (split the request)",
	};
	const char *hint = result > 0 && result < (int)(sizeof(hints) / sizeof(*hints))
				   ? hints[result]
				   : NULL;

	if (result == ZKH_OK)
		return CTL_DONE;
	if (zkh_is_unanswered(result)) {
		ctl_error(
			"the connection to ZooKeeper was lost%s",
			result == ZKH_UNKNOWN
				? ": the change may or may not have been made (check, then try again)"
				: "; nothing was changed (try again)");
		return CTL_UNREACHABLE;
	}
	if (result == ZKH_DENIED)
		hint = ctl_denied_hint(ctl);
	ctl_error("%s%s%s%s", path, *path || hint ? ": " : "",
		  result < 0 ? strerror(-result) : zkh_result_text(result), hint ? hint : "");
	return CTL_REFUSED;
}

int ctl_finish(struct ctl *ctl, int r, struct ctl_reply *reply, const char *path, const char *doing)
{
	int code = r == 0 ? ctl_await(ctl, &reply->over, doing) : CTL_DONE;

	return code == CTL_DONE ? ctl_explain_result(ctl, r != 0 ? r : reply->result, path) : code;
}

int ctl_flush(void)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return CTL_DONE;
	/* A reader that closed the pipe wants no message either. */
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

int ctl_commit(struct ctl *ctl, struct zkh_txn *txn, const char *doing,
	       struct ctl_commit *ret_commit)
{
	struct zkh_op *op = NULL;
	int code;

	memset(ret_commit, 0, sizeof(*ret_commit));
	ret_commit->result = zkh_commit(txn, on_commit, ret_commit, &op);
	if (ret_commit->result != 0)
		return CTL_DONE;
	code = ctl_wait(ctl, ctl_is_set, &ret_commit->over);
	if (code == CTL_DONE)
		return CTL_DONE;
	zkh_op_cancel(op);
	return doing ? ctl_explain_wait(ctl, code, doing) : code;
}

struct look {
	struct ctl_reply reply;
	struct identity_seen seen;
};

static void on_identity(void *userdata, int result, const char *data, size_t length,
			const struct zkh_stat *stat)
{
	struct look *look = userdata;

	/* There may be none yet. */
	ctl_on_result(&look->reply, result == ZKH_NO_NODE ? ZKH_OK : result);
	if (result == ZKH_OK)
		identity_parse_value(data, length, &look->seen);
}

/* Nothing is made in an ensemble that has lost its data, or is another one. */
static int look_for_cluster(struct ctl *ctl)
{
	struct look look = { .seen.key = IDENTITY_MISSING };
	struct identity known;
	enum identity_reason reason;
	char path[PATH_MAX], text[IDENTITY_TEXT_SIZE];
	struct zkh_op *op = NULL;
	int code;

	if (ctl_remember(ctl, &known, path) != 0)
		return CTL_DONE;
	code = ctl_finish(ctl, zkh_get(ctl->session, PATH_CLUSTER, false, on_identity, &look, &op),
			  &look.reply, PATH_CLUSTER, "reading " PATH_CLUSTER);
	if (!look.reply.over)
		zkh_op_cancel(op);
	if (code != CTL_DONE)
		return code;
	if (identity_judge(&known, &look.seen, false, &reason) != IDENTITY_FOREIGN)
		return CTL_DONE;
	ctl_error("%s", identity_explain(reason, &known, &look.seen, ctl->config.zookeeper.servers,
					 text));
	return CTL_REFUSED;
}

int ctl_make_root(struct ctl *ctl, bool anyway)
{
	struct ctl_reply made = { 0 };
	struct zkh_op *op = NULL;
	int code = anyway ? CTL_DONE : look_for_cluster(ctl);

	if (code != CTL_DONE)
		return code;
	code = ctl_finish(ctl, zkh_make_root(ctl->session, ctl_on_result, &made, &op), &made,
			  ctl->config.zookeeper.root, "making the root");
	if (!made.over)
		zkh_op_cancel(op);
	return code;
}
