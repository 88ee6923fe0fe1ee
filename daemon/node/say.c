/* SPDX-License-Identifier: Apache-2.0 */
#include "internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/duration.h"
#include "base/fnv.h"
#include "base/rights.h"

/*
 * All that a node says, so that `journalctl` tells the story: what happened, why, and how long it took. The other
 * files only call these. The moves of the election are in node_say_move.c.
 */

struct log_fields node_say_fields(const struct node *node)
{
	const struct election *e = &node->election;
	const char *primary = *node->view.primary ? node->view.primary : node->view.holder;

	return (struct log_fields){
		.primary = *primary ? primary : NULL,
		.epoch = e->epoch ? e->epoch : node->view.epoch,
		.state = election_phase_text(e->phase),
	};
}

int64_t node_say_since(const struct node *node, int64_t then_us)
{
	return then_us ? node->election.now_us - then_us : 0;
}

/* -- what others do -- */

void node_say_view(struct node *node)
{
	const struct view *view = &node->view;
	struct log_fields f = node_say_fields(node);

	if (view->drained != node->said_drained)
		log_event(node->log, view->drained ? EVENT_DRAIN_ON : EVENT_DRAIN_OFF, &f,
			  view->drained
				  ? "drained: this node gives up the role and does not contend"
				  : "no longer drained");
	if (view->maintenance != node->said_maintenance)
		log_event(node->log,
			  view->maintenance ? EVENT_MAINTENANCE_ON : EVENT_MAINTENANCE_OFF, &f,
			  view->maintenance ? "maintenance: only operators move the role"
					    : "maintenance is over");
	node->said_drained = view->drained;
	node->said_maintenance = view->maintenance;
	if (!view->slots[VIEW_POST].known || !strcmp(view->primary, node->said_primary))
		return;
	strcpy(node->said_primary, view->primary);
	if (!*view->primary)
		log_event(node->log, EVENT_PRIMARY_CHANGED, &f, "nobody is acting primary");
	else if (strcmp(view->primary, node->name))
		log_event(node->log, EVENT_PRIMARY_CHANGED, &f, "%s is acting primary",
			  view->primary);
}

void node_say_session(struct node *node, const struct zkh_session_report *report)
{
	static const enum event events[] = {
		[ZKH_CONNECTED] = EVENT_CONNECTED,	  [ZKH_DISCONNECTED] = EVENT_DISCONNECTED,
		[ZKH_EXPIRED] = EVENT_SESSION_LOST,	  [ZKH_AUTH_REFUSED] = EVENT_AUTH_REFUSED,
		[ZKH_NAMES_FAILED] = EVENT_NAMES_FAILED,  [ZKH_SERVER_FAILED] = EVENT_SERVER_FAILED,
		[ZKH_SET_BACK] = EVENT_ENSEMBLE_SET_BACK,
	};
	struct log_fields f = node_say_fields(node);
	char timeout[DURATION_TEXT_SIZE];

	if (report->event == ZKH_CONNECTED) {
		f.target = zkh_session_server(node->session);
		log_event(node->log, EVENT_CONNECTED, &f, "%s session %016" PRIx64 ", timeout %s",
			  report->fresh ? "new" : "same", (uint64_t)zkh_session_id(node->session),
			  duration_format(report->timeout_ms * INT64_C(1000), timeout));
		return;
	}
	/* The event's name stands in front of it, or in the catalog: the detail tells the rest. */
	log_event(node->log, events[report->event], &f, "%s",
		  *report->detail ? report->detail : zkh_session_event_text(report->event));
}

void node_say_ensemble(struct node *node, enum ensemble_news news, const char *text)
{
	static const enum event events[] = {
		[ENSEMBLE_IS_KNOWN] = EVENT_CLUSTER_KNOWN,
		[ENSEMBLE_IS_FOREIGN] = EVENT_CLUSTER_FOREIGN,
		[ENSEMBLE_WAS_MADE] = EVENT_CLUSTER_MADE,
		[ENSEMBLE_WAS_REFUSED] = EVENT_REQUEST_FAILED,
		[ENSEMBLE_NOT_KEPT] = EVENT_CLUSTER_FILE_FAILED,
	};
	struct log_fields f = node_say_fields(node);

	f.target = PATH_CLUSTER;
	if (news == ENSEMBLE_WAS_MADE)
		log_event(node->log, EVENT_CLUSTER_MADE, &f, "%s is made: this is cluster %s",
			  PATH_CLUSTER, text);
	else
		log_event(node->log, events[news], &f, "%s", text);
}

void node_say_foreign(struct node *node, const struct registration_report *report, bool final)
{
	struct log_fields f = node_say_fields(node);

	f.target = node->name;
	if (report->other.pid == getpid() && !strcmp(report->other.boot, node->boot_id)) {
		log_event(node->log, EVENT_DUPLICATE_NAME, &f,
			  "waiting for an earlier session of this daemon to expire");
		return;
	}
	log_event(node->log, EVENT_DUPLICATE_NAME, &f,
		  "%s: another daemon is alive as '%s': host %s, pid %" PRId64 ", started %" PRId64
		  " ms after 1970, session %016" PRIx64 "%s",
		  final ? "refusing to start" : "waiting up to a session timeout", node->name,
		  *report->other.host ? report->other.host : "unknown", report->other.pid,
		  report->other.started_ms, (uint64_t)report->other_session,
		  final ? "; stop it, or give this node another node.name" : "");
}

static const char *op_text(enum election_op op)
{
	switch (op) {
	case NODE_OP_RENEWAL:
		return "lease renewal";
	case NODE_OP_LOCK:
		return "lock";
	default:
		return election_op_text((uint8_t)op);
	}
}

void node_say_refused(struct node *node, enum election_op op, int result, const char *path)
{
	struct log_fields f = node_say_fields(node);
	uint64_t said = fnv_text(path) + (uint64_t)result;
	const char *remedy = rights_remedy(result);

	if (node->said_refused[op] == said)
		return;
	node->said_refused[op] = said;
	f.target = path;
	f.reason = zkh_result_text(result);
	log_event(node->log, EVENT_REQUEST_FAILED, &f, "%s refused: %s%s%s%s%s", op_text(op), path,
		  *path ? ": " : "", f.reason, *remedy ? "; " : "", remedy);
}

void node_say_rights(struct node *node, const struct rights *rights)
{
	struct log_fields f = node_say_fields(node);
	const char *remedy = rights_remedy(rights_first_refusal(rights));
	char missing[RIGHTS_TEXT_SIZE], wide[RIGHTS_TEXT_SIZE];

	rights_format_missing(rights, missing);
	rights_format_wide(rights, wide);
	f.reason = zkh_result_text(rights_first_refusal(rights));
	if (strcmp(missing, node->rights_missing) != 0 && *missing)
		log_event(node->log, EVENT_RIGHTS_MISSING, &f,
			  "this node is no candidate: " RIGHTS_MISSING "%s%s%s", missing,
			  *remedy ? "; " : "", remedy);
	else if (strcmp(missing, node->rights_missing) != 0)
		log_event(node->log, EVENT_RIGHTS_BACK, NULL,
			  "this node is a candidate again: it has all rights that it needs");
	if (*wide && node->said_wide != fnv_text(wide))
		log_event(
			node->log, EVENT_RIGHTS_WIDE, NULL,
			"anybody who reaches ZooKeeper may change what the credential is to protect: %s; %s",
			wide, RIGHTS_WIDE_REMEDY);
	node->said_wide = fnv_text(wide);
}

void node_say_junk(struct node *node, const char *path, const char *what)
{
	struct log_fields f = node_say_fields(node);

	f.target = path;
	log_event(node->log, EVENT_JUNK_IGNORED, &f, "%s %s", path, what);
}

void node_say_missing(struct node *node, const char *path)
{
	struct log_fields f = node_say_fields(node);

	f.target = path;
	if (node->said_missing)
		return;
	node->said_missing = true;
	log_event(node->log, EVENT_CONFLICT, &f,
		  "%s was deleted by somebody: the keys of this node are to be made again", path);
}

void node_say_repaired(struct node *node)
{
	struct log_fields f = node_say_fields(node);

	node->said_missing = false;
	log_event(node->log, EVENT_CONFLICT, &f,
		  "keys of this node that somebody had deleted are made again");
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

void node_say_corpse(struct node *node, enum recovery_news news, const char *name,
		     const char *router_state, int64_t wait_us)
{
	struct log_fields f = node_say_fields(node);
	char wait[64], duration[DURATION_TEXT_SIZE];

	f.target = name;
	f.reason = router_state;
	duration_format(wait_us / 1000 * 1000, duration);
	switch (news) {
	case RECOVERY_UNREADABLE:
		f.reason = zkh_result_text(ZKH_DENIED);
		log_event(
			node->log, EVENT_TAKEOVER_WAITING, &f,
			"%s may not be read (%s): another node may act, so nothing is started for "
			"%s; do all nodes have the same credential (zookeeper.auth-file)?",
			name, f.reason, duration);
		break;
	case RECOVERY_TOO_MANY:
		log_event(
			node->log, EVENT_TAKEOVER_WAITING, &f,
			"%s has more than %d children, and not all of them can be asked: another node "
			"may act, so nothing is started for %s; delete the children that are no nodes",
			name, SURVEY_NODES_MAX, duration);
		break;
	case RECOVERY_STILL_ACTS:
		log_event(node->log, EVENT_TAKEOVER_WAITING, &f,
			  "%s is alive and says that it still acts (router state '%s'): waiting "
			  "until it has stopped its work",
			  name, router_state);
		break;
	case RECOVERY_NEW:
		if (wait_us > 0)
			log_event(node->log, EVENT_TAKEOVER_WAITING, &f,
				  "%s and %s do not tell whether another node acts, so nothing is "
				  "started for %s",
				  PATH_EPOCH, PATH_NODES, duration);
		break;
	case RECOVERY_FOUND:
		log_event(node->log, EVENT_CORPSE_FOUND, &f, "%s died with router state '%s'%s",
			  name, *router_state ? router_state : "(may not be read)",
			  wait_text(wait_us, wait));
		break;
	case RECOVERY_TERM:
		log_event(
			node->log, EVENT_TAKEOVER_WAITING, &f,
			"%s was primary last and has not left in order: nothing is started for %s",
			name, duration);
		break;
	case RECOVERY_REFUSED:
		log_event(node->log, EVENT_FENCED, &f,
			  "%s cannot be marked dead: its keys refuse it", name);
		break;
	case RECOVERY_MARKED:
		log_event(node->log, EVENT_FENCED, &f, "%s is marked dead%s", name,
			  node->config->fence.command.argv ? ""
							   : " (no fence command is configured)");
		break;
	}
}

void node_say_superseded(struct node *node)
{
	struct log_fields f = node_say_fields(node);

	log_event(node->log, EVENT_SESSION_LOST, &f,
		  "another process goes on with this node's session and term: is %s a copy of the "
		  "runtime directory of another daemon? Stopping the work and leaving the session",
		  node->config->node.runtime_directory);
}

void node_say_trace(struct node *node, const struct registration_report *report)
{
	struct log_fields f = node_say_fields(node);
	char duration[DURATION_TEXT_SIZE];

	if (node->said_trace)
		return;
	node->said_trace = true;
	log_event(node->log, EVENT_TAKEOVER_WAITING, &f,
		  "another machine acted as %s and did not say that its work is down: this node "
		  "registers in %s, when the lease of that machine is over",
		  node->name, duration_format(report->wait_us / 1000 * 1000, duration));
}

void node_say_fence(struct node *node, const char *name, const struct command_result *result)
{
	struct log_fields f = node_say_fields(node);
	char text[COMMAND_TEXT_SIZE];

	f.target = name;
	if (!result) {
		log_event(node->log, EVENT_FENCE_STARTED, &f, "fencing %s", name);
	} else if (!command_succeeded(result)) {
		f.usec = result->duration_us;
		f.reason = command_result_format(result, text);
		log_event(node->log, EVENT_FENCE_FAILED, &f, "the fence of %s %s", name, text);
	}
}

/* -- commands -- */

void node_say_line(struct node *node, const char *script, const char *line)
{
	struct log_fields f = node_say_fields(node);
	uint64_t hash = fnv_add(fnv_text(script), &f.epoch, sizeof(f.epoch));

	/* A command that says the same each time would drown everything else. */
	hash = fnv_add(hash, line, strlen(line));
	if (hash == node->said_line)
		return;
	node->said_line = hash;
	f.target = script;
	log_event(node->log, EVENT_COMMAND_OUTPUT, &f, "%s command: %s", script, line);
}

void node_say_script(struct node *node, const char *script, const struct command_result *result)
{
	struct log_fields f = node_say_fields(node);
	enum event event = command_succeeded(result) ? EVENT_COMMAND_ENDED : EVENT_COMMAND_FAILED;
	char text[COMMAND_TEXT_SIZE];

	if (result->end == COMMAND_TIMED_OUT || result->end == COMMAND_KILLED)
		event = EVENT_COMMAND_KILLED;
	f.target = script;
	f.usec = result->duration_us;
	log_event(node->log, event, &f, "%s command %s", script,
		  command_result_format(result, text));
}

void node_say_kill(struct node *node)
{
	struct log_fields f = node_say_fields(node);

	f.usec = node_say_since(node, node->election.stop_since_us);
	log_event(node->log, EVENT_WORK_STOP_LATE, &f, "the work did not stop in time: killing it");
}

void node_say_obstacle(struct node *node, const char *obstacle)
{
	struct log_fields f = node_say_fields(node);

	f.usec = node_say_since(node, node->election.stop_since_us);
	f.reason = obstacle;
	log_event(node->log, EVENT_WORK_STOP_WAITS, &f, "the work is not down yet: %s", obstacle);
}

void node_say_self_fence(struct node *node, const char *outcome)
{
	struct log_fields f = node_say_fields(node);

	log_event(node->log, EVENT_SELF_FENCE, &f,
		  "the work is not down at the end of the lease: %s", outcome);
}

void node_say_unit(struct node *node, enum work_unit_word word, bool ok, const char *text,
		   int64_t us)
{
	static const struct {
		enum event ok, failed;
		const char *text;
	} words[] = {
		[WORK_UNIT_START] = { EVENT_UNIT_STARTED, EVENT_REQUEST_FAILED, "start" },
		[WORK_UNIT_STOP] = { EVENT_UNIT_STOPPED, EVENT_REQUEST_FAILED, "stop" },
		[WORK_UNIT_BUS] = { EVENT_BUS_BACK, EVENT_BUS_LOST, "system bus" },
	};
	struct log_fields f = node_say_fields(node);

	f.target = node->config->takeover.unit;
	f.usec = us;
	log_event(node->log, ok ? words[word].ok : words[word].failed, &f, "%s: %s: %s", f.target,
		  words[word].text, text);
}

void node_say_unit_failed(struct node *node, const char *text, bool system_stops)
{
	struct log_fields f = node_say_fields(node);

	f.target = node->config->takeover.unit;
	f.reason = text;
	log_event(node->log, system_stops ? EVENT_UNIT_STOPPED : EVENT_UNIT_FAILED, &f, "%s", text);
}

void node_say_foreign_unit(struct node *node, const char *text)
{
	struct log_fields f = node_say_fields(node);

	f.target = node->config->takeover.unit;
	log_event(
		node->log, EVENT_CONFIG_INVALID, &f,
		"refusing to start: takeover.unit %s is the work of another daemon: %s; give this "
		"one a unit, and a guard, of its own",
		f.target, text);
}

void node_say_guard(struct node *node, enum event event, const char *text)
{
	struct log_fields f = node_say_fields(node);

	log_event(node->log, event, &f, "%s%s%s", log_event_text(event), *text ? ": " : "", text);
}

void node_say_health(struct node *node, bool ok, const char *reason)
{
	struct log_fields f = node_say_fields(node);

	f.reason = reason;
	log_event(node->log, ok ? EVENT_HEALTH_OK : EVENT_HEALTH_FAILED, &f, "%s%s",
		  ok ? "healthy again" : "not healthy: ", reason);
}

/* -- this process -- */

void node_say_cut(struct node *node, int64_t waited_us)
{
	struct log_fields f = node_say_fields(node);
	char waited[DURATION_TEXT_SIZE];

	f.target = zkh_session_server(node->session);
	duration_format(waited_us / 1000 * 1000, waited);
	log_event(node->log, EVENT_CONNECTION_CUT, &f,
		  "%s has not answered for %s: trying the next server", f.target, waited);
}

void node_say_misfit(struct node *node, const char *text)
{
	struct log_fields f = node_say_fields(node);

	log_event(node->log, EVENT_LEASE_MISFIT, &f, "%s", text);
}

void node_say_state(struct node *node, int error)
{
	struct log_fields f = node_say_fields(node);

	f.target = node->config->node.runtime_directory;
	if (error == 0)
		log_event(node->log, EVENT_STATE_FILE_WRITTEN, &f,
			  "the state for a restart is kept in %s again", f.target);
	else
		log_event(
			node->log, EVENT_STATE_FILE_FAILED, &f,
			"cannot keep the state for a restart in %s: %s; until it can, this node "
			"takes no role over, and a restart stops its work first; make room there, "
			"or, if files were deleted there, move the role and restart the daemon",
			f.target, strerror(-error));
}

void node_say_older_state(struct node *node)
{
	struct log_fields f = node_say_fields(node);

	f.target = node->config->node.runtime_directory;
	log_event(node->log, EVENT_RESUME_REFUSED, &f,
		  "starting cold: %s/" STATE_FILE " is older than %s/" LEASE_FILE
		  ", or belongs to another one",
		  f.target, f.target);
}

void node_say_started(struct node *node, bool resumed)
{
	struct log_fields f = node_say_fields(node);

	log_event(node->log, EVENT_STARTED, &f, "primaryd %s, %s, servers %s, root %s%s",
		  PRIMARYD_VERSION, config_mode_text(node->config->node.mode),
		  node->config->zookeeper.servers, node->config->zookeeper.root,
		  resumed ? ": was primary before the restart, looking whether it still is" : "");
}

void node_say_stopped(struct node *node)
{
	struct log_fields f = node_say_fields(node);

	log_event(node->log, EVENT_STOPPED, &f, "stopped");
}
