/* SPDX-License-Identifier: Apache-2.0 */
#include "internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/duration.h"
#include "base/fnv.h"
#include "base/wall.h"

/*
 * The log lines of this wing, in one place: `journalctl` shall read like a story. The other files only call these
 * functions.
 */

static void say_maintenance(struct cluster *c)
{
	const struct view *view = &c->view;
	char time[WALL_TEXT_SIZE];

	if (view->maintenance == c->said.maintenance &&
	    view->maintenance_end_ms == c->said.maintenance_end_ms)
		return;
	c->said.maintenance = view->maintenance;
	c->said.maintenance_end_ms = view->maintenance_end_ms;
	if (!view->maintenance)
		log_event(c->log, EVENT_MAINTENANCE_OFF, NULL, "maintenance is over");
	else if (view->maintenance_end_ms)
		log_event(c->log, EVENT_MAINTENANCE_ON, NULL,
			  "maintenance until %.19s: only operators move the role",
			  wall_local(view->maintenance_end_ms, time));
	else
		log_event(c->log, EVENT_MAINTENANCE_ON, NULL,
			  "maintenance: only operators move the role");
}

void cluster_say_pardon(struct cluster *c, const char *who, int result)
{
	if (result == ZKH_OK)
		log_event(c->log, EVENT_PENALTY_CLEARED, NULL,
			  "the penalty is over: cleared by an operator%s%s", *who ? ", " : "", who);
	else
		log_event(
			c->log, EVENT_REQUEST_FAILED, NULL,
			"the penalty cannot be cleared, because the keys of this node cannot be written: %s",
			zkh_result_text(result));
}

void cluster_say_endless(struct cluster *c, int result)
{
	struct log_fields f = { .target = PATH_MAINTENANCE };

	log_event(c->log, EVENT_REQUEST_FAILED, &f,
		  "the end of the maintenance has passed, but " PATH_MAINTENANCE
		  " cannot be deleted: %s (primaryctl maintenance off)",
		  zkh_result_text(result));
}

void cluster_say_view(struct cluster *c)
{
	const struct view *view = &c->view;

	if (view->drained != c->said.drained)
		log_event(c->log, view->drained ? EVENT_DRAIN_ON : EVENT_DRAIN_OFF, NULL,
			  view->drained
				  ? "drained: this node gives up the role and does not contend"
				  : "no longer drained");
	say_maintenance(c);
	c->said.drained = view->drained;
	if (!view->slots[VIEW_POST].known || !strcmp(view->primary, c->said.primary))
		return;
	strcpy(c->said.primary, view->primary);
	if (!*view->primary)
		log_event(c->log, EVENT_PRIMARY_CHANGED, NULL, "no node is the acting primary");
	else if (strcmp(view->primary, c->name))
		log_event(c->log, EVENT_PRIMARY_CHANGED, NULL, "%s is the acting primary",
			  view->primary);
}

void cluster_say_session(struct cluster *c, const struct zkh_session_report *report)
{
	static const enum event events[] = {
		[ZKH_CONNECTED] = EVENT_CONNECTED,	  [ZKH_DISCONNECTED] = EVENT_DISCONNECTED,
		[ZKH_EXPIRED] = EVENT_SESSION_LOST,	  [ZKH_AUTH_REFUSED] = EVENT_AUTH_REFUSED,
		[ZKH_NAMES_FAILED] = EVENT_NAMES_FAILED,  [ZKH_SERVER_FAILED] = EVENT_SERVER_FAILED,
		[ZKH_SET_BACK] = EVENT_ENSEMBLE_SET_BACK,
	};
	struct log_fields f = { 0 };
	char timeout[DURATION_TEXT_SIZE];

	if (report->event == ZKH_CONNECTED) {
		f.target = zkh_session_server(c->session);
		log_event(c->log, EVENT_CONNECTED, &f, "%s session %016" PRIx64 ", timeout %s",
			  report->fresh ? "new" : "same", (uint64_t)zkh_session_id(c->session),
			  duration_format(report->timeout_ms * INT64_C(1000), timeout));
		return;
	}
	/* The event's name stands in front of it, or in the catalog: the detail tells the rest. */
	log_event(c->log, events[report->event], &f, "%s%s",
		  *report->detail ? report->detail : zkh_session_event_text(report->event),
		  report->event == ZKH_SERVER_FAILED && c->config->zookeeper.tunnel
			  ? " (behind the TLS tunnel: see `journalctl -u 'primaryd-tunnel*'`)"
			  : "");
}

void cluster_say_ensemble(struct cluster *c, enum ensemble_news news, const char *text)
{
	static const enum event events[] = {
		[ENSEMBLE_IS_KNOWN] = EVENT_CLUSTER_KNOWN,
		[ENSEMBLE_IS_FOREIGN] = EVENT_CLUSTER_FOREIGN,
		[ENSEMBLE_WAS_MADE] = EVENT_CLUSTER_MADE,
		[ENSEMBLE_WAS_REFUSED] = EVENT_REQUEST_FAILED,
		[ENSEMBLE_NOT_KEPT] = EVENT_CLUSTER_FILE_FAILED,
	};
	struct log_fields f = { 0 };

	f.target = PATH_CLUSTER;
	if (news == ENSEMBLE_WAS_MADE)
		log_event(c->log, EVENT_CLUSTER_MADE, &f, "created %s: this is cluster %s",
			  PATH_CLUSTER, text);
	else
		log_event(c->log, events[news], &f, "%s", text);
}

void cluster_say_foreign(struct cluster *c, const struct registration_report *report, bool final)
{
	struct log_fields f = { 0 };
	char started[WALL_TEXT_SIZE];

	f.target = c->name;
	if (cluster_is_own_past(c, report)) {
		log_event(c->log, EVENT_DUPLICATE_NAME, &f,
			  "waiting for an earlier session of this daemon to expire");
		return;
	}
	log_event(c->log, EVENT_DUPLICATE_NAME, &f,
		  "%s: another daemon is alive as '%s': host %s, pid %" PRId64
		  ", started %.19s, session %016" PRIx64 "%s",
		  final ? "refusing to start" : "waiting up to one and a half session timeouts",
		  c->name, *report->other.host ? report->other.host : "unknown", report->other.pid,
		  wall_local(report->other.started_ms, started), (uint64_t)report->other_session,
		  final ? "; stop it, or give this node another node.name" : "");
}

static const char *op_text(enum election_op op)
{
	switch (op) {
	case CLUSTER_OP_RENEWAL:
		return "lease renewal";
	case CLUSTER_OP_LOCK:
		return "lock";
	default:
		return election_op_text((uint8_t)op);
	}
}

void cluster_say_refused(struct cluster *c, enum election_op op, int result, const char *path)
{
	struct log_fields f = { 0 };
	uint64_t said = fnv_text(path) + (uint64_t)result;
	const char *remedy = rights_remedy(result);

	if (c->said.refused[op] == said)
		return;
	c->said.refused[op] = said;
	f.target = path;
	f.reason = zkh_result_text(result);
	log_event(c->log, EVENT_REQUEST_FAILED, &f, "%s refused: %s%s%s%s%s", op_text(op), path,
		  *path ? ": " : "", f.reason, *remedy ? "; " : "", remedy);
}

void cluster_say_rights(struct cluster *c, const struct rights *rights, bool changed)
{
	struct log_fields f = { 0 };
	const char *remedy = rights_remedy(rights_first_refusal(rights));
	char wide[RIGHTS_TEXT_SIZE];

	rights_format_wide(rights, wide);
	f.reason = zkh_result_text(rights_first_refusal(rights));
	if (changed && *c->rights.missing)
		log_event(c->log, EVENT_RIGHTS_MISSING, &f,
			  "this node is not a candidate: " RIGHTS_MISSING "%s%s%s",
			  c->rights.missing, *remedy ? "; " : "", remedy);
	else if (changed)
		log_event(c->log, EVENT_RIGHTS_BACK, NULL,
			  "this node is a candidate again: it has all rights that it needs");
	if (*wide && c->said.wide != fnv_text(wide))
		log_event(
			c->log, EVENT_RIGHTS_WIDE, NULL,
			"every client of ZooKeeper may change keys that the credential should protect: %s; %s",
			wide, RIGHTS_WIDE_REMEDY);
	c->said.wide = fnv_text(wide);
}

void cluster_say_junk(struct cluster *c, const char *path, const char *what)
{
	struct log_fields f = { 0 };

	f.target = path;
	log_event(c->log, EVENT_JUNK_IGNORED, &f, "%s %s", path, what);
}

void cluster_say_missing(struct cluster *c, const char *path)
{
	struct log_fields f = { 0 };

	f.target = path;
	if (c->said.missing)
		return;
	c->said.missing = true;
	log_event(c->log, EVENT_KEYS_DELETED, &f,
		  "somebody deleted %s: creating the keys of this node again", path);
}

void cluster_say_repaired(struct cluster *c)
{
	c->said.missing = false;
	log_event(c->log, EVENT_KEYS_DELETED, NULL, "the deleted keys of this node exist again");
}

/* Where nothing has to be waited for, nothing is said of it. */
static const char *wait_text(int64_t wait_us, char ret_text[64])
{
	char duration[DURATION_TEXT_SIZE];

	ret_text[0] = '\0';
	if (wait_us > 0)
		snprintf(ret_text, 64, "; its lease is over in %s",
			 duration_format(wait_us / 1000 * 1000, duration));
	return ret_text;
}

void cluster_say_corpse(struct cluster *c, enum recovery_news news, const char *name,
			const char *router_state, int64_t wait_us)
{
	struct log_fields f = { 0 };
	char wait[64], duration[DURATION_TEXT_SIZE];

	f.target = name;
	f.reason = router_state;
	duration_format(wait_us / 1000 * 1000, duration);
	switch (news) {
	case RECOVERY_UNREADABLE:
		f.reason = zkh_result_text(ZKH_DENIED);
		log_event(
			c->log, EVENT_TAKEOVER_WAITING, &f,
			"%s may not be read (%s): another node may act, so nothing is started for "
			"%s; do all nodes have the same credential (zookeeper.auth-file)?",
			name, f.reason, duration);
		break;
	case RECOVERY_TOO_MANY:
		log_event(
			c->log, EVENT_TAKEOVER_WAITING, &f,
			"%s has more than %d children, and not all of them can be read: another node "
			"may act, so nothing is started for %s; delete the children that are not nodes",
			name, SURVEY_NODES_MAX, duration);
		break;
	case RECOVERY_STILL_ACTS:
		log_event(c->log, EVENT_TAKEOVER_WAITING, &f,
			  "%s is alive and says that it still acts (role '%s'): waiting "
			  "until it has stopped its work",
			  name, router_state);
		break;
	case RECOVERY_NEW:
		if (wait_us > 0)
			log_event(c->log, EVENT_TAKEOVER_WAITING, &f,
				  "%s and %s do not show whether another node acts, so nothing is "
				  "started for %s",
				  PATH_EPOCH, PATH_NODES, duration);
		break;
	case RECOVERY_FOUND:
		log_event(c->log, EVENT_CORPSE_FOUND, &f, "%s died in the role '%s'%s", name,
			  *router_state ? router_state : "(may not be read)",
			  wait_text(wait_us, wait));
		break;
	case RECOVERY_TERM:
		log_event(c->log, EVENT_TAKEOVER_WAITING, &f,
			  "%s was primary last and has not left cleanly: nothing is started for %s",
			  name, duration);
		break;
	case RECOVERY_REFUSED:
		log_event(c->log, EVENT_REQUEST_FAILED, &f,
			  "%s cannot be marked dead: the write to its keys was refused", name);
		break;
	case RECOVERY_MARKED:
		log_event(c->log, EVENT_FENCED, &f, "%s is marked as %s%s", name, router_state,
			  c->config->fence.command.argv ? "" : " (no fence command is configured)");
		break;
	}
}

void cluster_say_superseded(struct cluster *c)
{
	log_event(
		c->log, EVENT_SESSION_LOST, NULL,
		"another process uses this node's session: is %s a copy of the runtime directory of "
		"another daemon? Stopping the work and leaving the session",
		c->config->node.runtime_directory);
}

void cluster_say_trace(struct cluster *c, const struct registration_report *report)
{
	char duration[DURATION_TEXT_SIZE];

	if (c->said.trace)
		return;
	c->said.trace = true;
	log_event(c->log, EVENT_TAKEOVER_WAITING, NULL,
		  "another machine acted as %s and did not say that its work is down: this node "
		  "registers in %s, after the end of that machine's lease",
		  c->name, duration_format(report->wait_us / 1000 * 1000, duration));
}

void cluster_say_cut(struct cluster *c, int64_t waited_us)
{
	struct log_fields f = { 0 };
	char waited[DURATION_TEXT_SIZE];

	f.target = zkh_session_server(c->session);
	duration_format(waited_us / 1000 * 1000, waited);
	log_event(c->log, EVENT_CONNECTION_CUT, &f,
		  "%s has not answered for %s: trying the next server", f.target, waited);
}

void cluster_say_misfit(struct cluster *c, const char *text)
{
	log_event(c->log, EVENT_LEASE_MISFIT, NULL, "%s", text);
}
