/* SPDX-License-Identifier: Apache-2.0 */
#include "node_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "duration.h"

/*
 * All that a node says, so that `journalctl` tells the story: what happened, why, and how long it took. The other
 * files only call these.
 */

static struct log_fields fields(const struct node *node)
{
	const struct election *e = &node->election;
	const char *primary = *node->view.primary ? node->view.primary : node->view.holder;

	return (struct log_fields){
		.primary = *primary ? primary : NULL,
		.epoch = e->epoch ? e->epoch : node->view.epoch,
		.state = election_phase_text(e->phase),
	};
}

static int64_t since(const struct node *node, int64_t then_us)
{
	return then_us ? node->election.now_us - then_us : 0;
}

/* -- moves of the election -- */

static void say_claimed(struct node *node, struct log_fields *f)
{
	bool claimed = node->election.reason == REASON_CLAIMED;

	f->epoch = node->election.view.key_mzxid;
	f->usec = claimed ? since(node, node->claimed_us) : 0;
	node->takeover_us = node->election.now_us;
	if (claimed)
		log_event(node->log, EVENT_CLAIMED, f, "claimed the vacant role");
	else
		log_event(node->log, EVENT_NAMED, f, "named primary by an operator");
}

static void say_stop(struct node *node, const struct election *before, struct log_fields *f)
{
	static const struct {
		uint8_t reason;
		enum event event;
		const char *text;
	} causes[] = {
		{ REASON_LEASE, EVENT_LEASE_RUNNING_OUT, "the lease runs out: stopping the work" },
		{ REASON_POST_LOST, EVENT_POST_LOST, "the post is gone: stopping the work" },
		{ REASON_SESSION_LOST, EVENT_LEASE_LOST, "the session expired: stopping the work" },
		{ REASON_WORK_FAILED, EVENT_TAKEOVER_FAILED,
		  "the work did not start: undoing the takeover" },
		{ REASON_FENCE_FAILED, EVENT_TAKEOVER_FAILED,
		  "a node that died acting could not be fenced: the role stays vacant" },
	};

	node->relinquish_us = node->election.now_us;
	f->reason = election_reason_text(node->election.stop_reason);
	for (size_t i = 0; i < sizeof(causes) / sizeof(causes[0]); i++) {
		if (causes[i].reason != node->election.stop_reason)
			continue;
		log_event(node->log, causes[i].event, f, "%s", causes[i].text);
		return;
	}
	if (before->phase == PHASE_HANDOVER && before->peers == PEERS_SOME) {
		f->usec = since(node, before->phase_since_us);
		log_event(node->log, EVENT_HANDOVER_TIMEOUT, f,
			  "no successor claimed the role in time");
	}
	if (before->phase != PHASE_INIT)
		log_event(node->log, EVENT_RELINQUISH_STARTED, f, "stopping the work: %s",
			  f->reason);
}

static void say_follow(struct node *node, const struct election *before, struct log_fields *f)
{
	switch (before->phase) {
	case PHASE_AWAIT:
	case PHASE_ENTER:
		log_event(node->log, EVENT_TAKEOVER_CANCELLED, f, "takeover called off: %s",
			  f->reason);
		break;
	case PHASE_CONTEND:
	case PHASE_LOCK:
	case PHASE_CLAIM:
		f->usec = since(node, node->claimed_us);
		log_event(node->log, EVENT_CONTENTION_LOST, f, "did not claim the role: %s",
			  f->reason);
		break;
	default:
		break;
	}
}

static void say_primary(struct node *node, const struct election *before, struct log_fields *f)
{
	switch (before->phase) {
	case PHASE_BEGIN:
		f->usec = since(node, node->takeover_us);
		log_event(node->log, EVENT_PRIMARY, f, "primary: the work is running");
		writes_record_takeover(&node->writes, f->usec);
		break;
	case PHASE_RESUME:
		log_event(node->log, EVENT_SESSION_RESUMED, f,
			  "still primary: the work was not touched");
		break;
	case PHASE_VACATED:
		log_event(node->log, EVENT_RECLAIMED, f,
			  "nobody claimed the role: it is ours again");
		break;
	default:
		log_event(node->log, EVENT_RELINQUISH_CANCELLED, f, "stays primary");
	}
}

static void say_vacancy(struct node *node, struct log_fields *f)
{
	node->claimed_us = node->election.now_us;
	log_event(node->log, EVENT_VACANCY, f, "the role is vacant (%s): contending", f->reason);
}

static void say_left(struct node *node, struct log_fields f)
{
	f.usec = since(node, node->relinquish_us);
	log_event(node->log, EVENT_RELINQUISHED, &f, "the post is released");
}

static void say_move(struct node *node, const struct election *before)
{
	const struct election *e = &node->election;
	struct log_fields f = fields(node);

	f.reason = election_reason_text(e->reason);
	/* One event can make several moves; what is said here is the first and the last of them. */
	if (before->phase == PHASE_LEAVE && e->reason != REASON_SESSION_LOST)
		say_left(node, f);
	if (before->phase == PHASE_OFFLINE && e->registered)
		log_event(node->log, EVENT_REGISTERED, &f, "registered as %s",
			  node->election_config.coordinator ? "coordinator" : "client");
	/* Nothing was running yet: the stop was over in the same step. */
	if (election_acting(before) && before->phase != PHASE_STOP &&
	    before->phase != PHASE_LEAVE && (e->phase == PHASE_LEAVE || e->phase == PHASE_OFFLINE))
		say_stop(node, before, &f);
	switch ((enum election_phase)e->phase) {
	case PHASE_CONTEND:
	case PHASE_LOCK:
		if (before->phase != PHASE_CONTEND)
			say_vacancy(node, &f);
		break;
	case PHASE_FOLLOW:
		say_follow(node, before, &f);
		break;
	case PHASE_AWAIT:
		if (before->phase == PHASE_ENTER)
			log_event(node->log, EVENT_TAKEOVER_WAITING, &f, "waiting: %s", f.reason);
		else
			say_claimed(node, &f);
		break;
	case PHASE_RECOVER:
		log_event(node->log, EVENT_TAKEOVER_STARTED, &f, "the post is ours: taking over");
		break;
	case PHASE_PRIMARY:
		say_primary(node, before, &f);
		break;
	case PHASE_VACATED:
		log_event(node->log, EVENT_RELEASED, &f,
			  "%s: going on until somebody claims the role", f.reason);
		break;
	case PHASE_YIELD:
		f.target = node->view.holder;
		log_event(node->log, EVENT_NAMED, &f, "%s is named primary: handing over",
			  node->view.holder);
		break;
	case PHASE_HANDOVER:
		log_event(node->log, EVENT_RELEASED, &f,
			  "giving the role up (%s): waiting for a successor", f.reason);
		break;
	case PHASE_STOP:
		say_stop(node, before, &f);
		break;
	case PHASE_GONE:
		log_event(node->log, EVENT_SHUTDOWN, &f, "leaving the cluster");
		break;
	default:
		break;
	}
}

/* Every move as such, for whoever follows closely; the sentences above tell the story. */
static void say_state(struct node *node, const struct election *before)
{
	struct log_fields f = fields(node);

	f.reason = election_reason_text(node->election.reason);
	f.usec = node->election.now_us - before->phase_since_us;
	if (before->phase == PHASE_INIT)
		f.usec = 0;
	log_event(node->log, EVENT_STATE_CHANGED, &f, "%s -> %s: %s",
		  election_phase_text(before->phase), f.state, f.reason);
}

/* What stands against it now; nothing but a takeover that failed, if nothing does. */
static const char *why_unwilling(const struct node *node)
{
	static const uint32_t obstacles[] = { OBSTACLE_CLIENT, OBSTACLE_SHUTDOWN, OBSTACLE_DRAINED,
					      OBSTACLE_UNHEALTHY };
	const struct election *e = &node->election;
	uint32_t bits = election_own_obstacles(&node->election_config, e);

	for (size_t i = 0; i < sizeof(obstacles) / sizeof(obstacles[0]); i++)
		if (bits & obstacles[i])
			return election_obstacle_text(obstacles[i]);
	return election_reason_text(e->stop_reason);
}

static void say_killed(struct node *node)
{
	struct log_fields f = fields(node);

	f.usec = since(node, node->election.stop_since_us);
	log_event(node->log, EVENT_WORK_KILLED, &f, "the work was killed");
}

/* What is waited for before the dead are fenced. */
static void say_acquire_delay(struct node *node)
{
	struct log_fields f = fields(node);
	char delay[DURATION_TEXT_SIZE];

	f.usec = node->election_config.acquire_delay_us;
	log_event(node->log, EVENT_ACQUIRE_WAITING, &f,
		  "waiting for %s before the dead are dealt with", duration_format(f.usec, delay));
}

void node_say_step(struct node *node, const struct election *before)
{
	const struct election *e = &node->election;
	struct log_fields f;
	char delay[DURATION_TEXT_SIZE];

	if (e->phase != before->phase) {
		say_move(node, before);
		say_state(node, before);
	}
	if (e->corpses > 0 && before->corpses < 0 && node->election_config.acquire_delay_us > 0)
		say_acquire_delay(node);
	if (e->killed_us && before->work == WORK_STOPPING && e->work == WORK_DOWN)
		say_killed(node);
	if (e->penalty_until_us > before->penalty_until_us) {
		f = fields(node);
		f.usec = e->penalty_until_us - e->now_us;
		log_event(node->log, EVENT_PENALTY, &f,
			  "stays out of the contest for %s after %u failed takeover(s)",
			  duration_format(f.usec, delay), e->failures);
	}
	if (before->op == OP_HAND_BACK && e->op != OP_HAND_BACK && e->view.key == KEY_NONE) {
		f = fields(node);
		f.reason = why_unwilling(node);
		log_event(node->log, EVENT_HANDED_BACK, &f, "handed the role back: %s", f.reason);
	}
}

/* -- what others do -- */

void node_say_view(struct node *node)
{
	const struct view *view = &node->view;
	struct log_fields f = fields(node);

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
		[ZKH_CONNECTED] = EVENT_CONNECTED,	 [ZKH_DISCONNECTED] = EVENT_DISCONNECTED,
		[ZKH_EXPIRED] = EVENT_SESSION_LOST,	 [ZKH_AUTH_REFUSED] = EVENT_AUTH_REFUSED,
		[ZKH_NAMES_FAILED] = EVENT_NAMES_FAILED, [ZKH_SERVER_FAILED] = EVENT_SERVER_FAILED,
	};
	struct log_fields f = fields(node);
	char timeout[DURATION_TEXT_SIZE];

	if (report->event == ZKH_CONNECTED) {
		f.target = zkh_session_server(node->session);
		log_event(node->log, EVENT_CONNECTED, &f, "%s session %016" PRIx64 ", timeout %s",
			  report->fresh ? "new" : "same", (uint64_t)zkh_session_id(node->session),
			  duration_format(report->timeout_ms * INT64_C(1000), timeout));
		return;
	}
	log_event(node->log, events[report->event], &f, "%s%s%s",
		  zkh_session_event_text(report->event), *report->detail ? ": " : "",
		  report->detail);
}

void node_say_foreign(struct node *node, const struct registration_report *report, bool final)
{
	struct log_fields f = fields(node);

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

void node_say_refused(struct node *node, enum election_op op, int result, const char *path)
{
	struct log_fields f = fields(node);

	f.target = path;
	f.reason = zkh_result_text(result);
	log_event(node->log, EVENT_REQUEST_FAILED, &f, "%s refused: %s%s",
		  op == OP_NONE ? "lease renewal" : election_op_text((uint8_t)op),
		  zkh_result_text(result),
		  result == ZKH_DENIED
			  ? "; are all nodes given the same credential (zookeeper.auth-file)?"
			  : "");
}

void node_say_junk(struct node *node, const char *path, const char *what)
{
	struct log_fields f = fields(node);

	f.target = path;
	log_event(node->log, EVENT_JUNK_IGNORED, &f, "%s %s", path, what);
}

void node_say_missing(struct node *node, const char *path)
{
	struct log_fields f = fields(node);

	f.target = path;
	log_event(node->log, EVENT_CONFLICT, &f, "%s was deleted by somebody: made again", path);
}

void node_say_corpse(struct node *node, enum recovery_news news, const char *name,
		     const char *router_state)
{
	struct log_fields f = fields(node);

	f.target = name;
	f.reason = router_state;
	switch (news) {
	case RECOVERY_STILL_ACTS:
		log_event(node->log, EVENT_TAKEOVER_WAITING, &f,
			  "%s still acts (router state '%s') although its post was deleted: "
			  "waiting until it has stopped, or its lease is over",
			  name, router_state);
		break;
	case RECOVERY_FOUND:
		log_event(node->log, EVENT_CORPSE_FOUND, &f, "%s died with router state '%s'", name,
			  *router_state ? router_state : "(may not be read)");
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

void node_say_fence(struct node *node, const char *name, const struct command_result *result)
{
	struct log_fields f = fields(node);
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
	struct log_fields f = fields(node);

	f.target = script;
	log_event(node->log, EVENT_COMMAND_OUTPUT, &f, "%s", line);
}

void node_say_script(struct node *node, const char *script, const struct command_result *result)
{
	struct log_fields f = fields(node);
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
	struct log_fields f = fields(node);

	f.usec = since(node, node->election.stop_since_us);
	log_event(node->log, EVENT_WORK_STOP_LATE, &f, "the work did not stop in time: killing it");
}

void node_say_self_fence(struct node *node, const char *outcome)
{
	struct log_fields f = fields(node);

	log_event(node->log, EVENT_SELF_FENCE, &f,
		  "the work is not down at the end of the lease: %s", outcome);
}

void node_say_unit(struct node *node, enum work_unit_word word, bool ok, const char *text)
{
	static const struct {
		enum event ok, failed;
		const char *text;
	} words[] = {
		[WORK_UNIT_START] = { EVENT_UNIT_STARTED, EVENT_REQUEST_FAILED, "start" },
		[WORK_UNIT_STOP] = { EVENT_UNIT_STOPPED, EVENT_REQUEST_FAILED, "stop" },
		[WORK_UNIT_BUS] = { EVENT_BUS_BACK, EVENT_BUS_LOST, "system bus" },
	};
	struct log_fields f = fields(node);

	f.target = node->config->takeover.unit;
	f.usec = node->work.unit_us;
	log_event(node->log, ok ? words[word].ok : words[word].failed, &f, "%s: %s: %s", f.target,
		  words[word].text, text);
}

void node_say_unit_failed(struct node *node, const char *state)
{
	struct log_fields f = fields(node);

	f.target = node->config->takeover.unit;
	f.reason = state;
	log_event(node->log, EVENT_UNIT_FAILED, &f, "%s is %s though nobody here stopped it",
		  f.target, state);
}

void node_say_guard(struct node *node, enum event event, const char *text)
{
	struct log_fields f = fields(node);

	log_event(node->log, event, &f, "%s%s%s", log_event_text(event), *text ? ": " : "", text);
}

void node_say_health(struct node *node, bool ok, const char *reason)
{
	struct log_fields f = fields(node);

	f.reason = reason;
	log_event(node->log, ok ? EVENT_HEALTH_OK : EVENT_HEALTH_FAILED, &f, "%s%s",
		  ok ? "healthy again" : "not healthy: ", reason);
}

/* -- this process -- */

void node_say_cut(struct node *node)
{
	struct log_fields f = fields(node);

	f.target = zkh_session_server(node->session);
	log_event(node->log, EVENT_CONNECTION_CUT, &f, "%s does not answer: trying the next server",
		  f.target);
}

void node_say_misfit(struct node *node, const char *text)
{
	struct log_fields f = fields(node);

	log_event(node->log, EVENT_LEASE_MISFIT, &f, "%s", text);
}

void node_say_state_failed(struct node *node, int error)
{
	struct log_fields f = fields(node);

	f.target = node->config->node.runtime_directory;
	log_event(node->log, EVENT_STATE_FILE_FAILED, &f,
		  "cannot keep the state for a restart in %s: %s", f.target, strerror(-error));
}

void node_say_started(struct node *node, bool resumed)
{
	struct log_fields f = fields(node);

	log_event(node->log, EVENT_STARTED, &f, "primaryd %s, %s, servers %s, root %s%s",
		  PRIMARYD_VERSION, config_mode_text(node->config->node.mode),
		  node->config->zookeeper.servers, node->config->zookeeper.root,
		  resumed ? ": was primary before the restart, looking whether it still is" : "");
}

void node_say_stopped(struct node *node)
{
	struct log_fields f = fields(node);

	log_event(node->log, EVENT_STOPPED, &f, "stopped");
}
