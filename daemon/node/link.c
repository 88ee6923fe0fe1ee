/* SPDX-License-Identifier: Apache-2.0 */
#include "internal.h"

#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/fnv.h"
#include "cluster/fault.h"
#include "election/lease.h"

/* How long the last words may take: telling the ensemble that we leave. */
#define FAREWELL_MS 2000

/* After keys were made again it is looked whether they stayed: so often, first after so long, then doubling. */
#define REPAIR_LOOKS 6
#define REPAIR_LOOK_S 0.05

/* Until the next attempt when the servers refused to make them: doubled so often. */
#define REPAIR_REFUSED_S 1.
#define REPAIR_DOUBLINGS 4

/* Between two trials of rights that are missing: doubled so often. */
#define RIGHTS_LOOK_S 1.
#define RIGHTS_DOUBLINGS 6

/* -- connection -- */

static bool lease_fits_session(struct node *node, int32_t timeout_ms)
{
	char text[512];

	if (!node->election_config.coordinator ||
	    config_check_lease(node->config, timeout_ms * INT64_C(1000), text, sizeof(text)) == 0)
		return true;
	node_say_misfit(node, text);
	return false;
}

/* Not before the wait that it brings is over: the process after this one would not wait any more. */
static void on_memory_due(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct node *node = timer->data;
	int64_t now_us = time_boot_us();
	int64_t left_us = survivor_untold_us(&node->survivor, false, true,
					     node->election.session_us, now_us) -
			  now_us;

	(void)events;
	/* A takeover meanwhile has seen yet another one. */
	if (left_us > 0) {
		ev_timer_set(timer, (double)left_us / 1e6, 0.);
		ev_timer_start(loop, timer);
		return;
	}
	node->survivor.cluster_new_us = 0;
	ensemble_note_made(&node->ensemble, node->survivor.cluster_czxid);
}

static void remember_cluster_later(struct node *node, int64_t session_us)
{
	ev_timer_stop(node->loop, &node->memory_due);
	ev_timer_set(&node->memory_due, (double)lease_unknown_promise_us(session_us) / 1e6, 0.);
	ev_timer_start(node->loop, &node->memory_due);
}

/* The ensemble is the known one: the election may read and write there. */
static void attach(struct node *node, bool fresh)
{
	struct election_event event = { .type = ELECTION_SESSION_UP, .fresh = fresh };
	int32_t timeout_ms = zkh_session_timeout_ms(node->session);

	/* A server may say anything; of no time at all the lease makes nothing. */
	event.session_us = (timeout_ms > 0 ? timeout_ms : 1) * INT64_C(1000);
	if (!lease_fits_session(node, timeout_ms))
		node_refuse(node, EX_CONFIG);
	if (!node->survivor.cluster_czxid)
		node->survivor.cluster_czxid = ensemble_made(&node->ensemble);
	if (node->ensemble.czxid)
		survivor_see_cluster(&node->survivor, node->ensemble.czxid, time_boot_us());
	if (node->survivor.cluster_new_us)
		remember_cluster_later(node, event.session_us);
	else
		ensemble_note_made(&node->ensemble, node->survivor.cluster_czxid);
	view_remember_epoch(&node->view, ensemble_epoch(&node->ensemble));
	node->writes.session = node->session;
	witness_attached(&node->witness, node->session, event.session_us);
	if (fresh)
		writes_unpublish(&node->writes);
	view_start(&node->view, node->session);
	/* Only before the first contention: later every lock node of this session has its owner here. */
	if (!fresh && !node->locks_cleaned)
		cleanup_locks(&node->cleanup, node->session);
	node->locks_cleaned = true;
	node_post(node, &event);
	if (node->repair_wanted)
		node_repair(node);
}

void node_attached(struct node *node, bool fresh)
{
	term_attached(&node->term, node->session);
	if (ensemble_attached(&node->ensemble, fresh))
		attach(node, fresh);
}

static void disconnected(struct node *node, enum election_event_type type)
{
	ensemble_detached(&node->ensemble, type == ELECTION_SESSION_LOST);
	witness_detached(&node->witness);
	if (type == ELECTION_SESSION_LOST)
		view_stop(&node->view);
	else
		view_forget(&node->view);
	node_post_result(node, type, RESULT_OK, 0);
}

/* What it has not written yet would go to another ensemble. True: the election waits for its end. */
static bool drop_registration(struct node *node)
{
	bool registering = node->registering;

	registration_cancel(&node->registration);
	node->registering = false;
	return registering;
}

static void on_ensemble(void *userdata, enum ensemble_news news, const char *text)
{
	struct node *node = userdata;

	if (*text)
		node_say_ensemble(node, news, text);
	if (node->farewell)
		return;
	if (news == ENSEMBLE_IS_KNOWN && !node->election.attached) {
		attach(node, true);
	} else if (news == ENSEMBLE_IS_FOREIGN) {
		/* Nothing that this session holds there is worth anything: the work stops, and nothing is written. */
		bool registering = drop_registration(node);

		witness_detached(&node->witness);
		view_stop(&node->view);
		node_post_result(node, ELECTION_SESSION_LOST, RESULT_OK, 0);
		if (registering)
			node_post_done(node, OP_REGISTER, RESULT_UNKNOWN, 0);
	} else if (node->on_status) {
		node->on_status(node->userdata, node);
	}
}

/* Who leaves a server only to look at it anew, or at the next one, comes back at once; troubles on the way are said. */
static bool is_worth_a_line(const struct node *node, enum zkh_session_event event)
{
	bool looking = ensemble_is_looking(&node->ensemble);

	if (event == ZKH_CONNECTED || event == ZKH_DISCONNECTED)
		return !looking;
	return !looking || event != ZKH_EXPIRED;
}

static void on_session(void *userdata, const struct zkh_session_report *report)
{
	struct node *node = userdata;

	if (node->farewell)
		return;
	if (is_worth_a_line(node, report->event))
		node_say_session(node, report);
	if (report->event == ZKH_CONNECTED)
		node->foreign_since_us = 0;
	if (node->cold) {
		node_cold_look(node);
		return;
	}
	switch (report->event) {
	case ZKH_CONNECTED:
		node_attached(node, report->fresh);
		break;
	case ZKH_DISCONNECTED:
		disconnected(node, ELECTION_SESSION_DOWN);
		break;
	case ZKH_EXPIRED:
		disconnected(node, ELECTION_SESSION_LOST);
		break;
	case ZKH_SET_BACK: /* ZKH_EXPIRED follows */
	case ZKH_AUTH_REFUSED:
	case ZKH_NAMES_FAILED:
	case ZKH_SERVER_FAILED:
		break;
	}
}

static void on_repair_look(struct ev_loop *loop, ev_timer *timer, int events);
static void on_rights_look(struct ev_loop *loop, ev_timer *timer, int events);

int node_session_start(struct node *node, const struct config_auth *auth,
		       const struct zkh_client_id *resume)
{
	struct zkh_session_config config = {
		.servers = node->config->zookeeper.servers,
		.root = node->config->zookeeper.root,
		.timeout_ms = (int32_t)(node->config->zookeeper.session_timeout_us / 1000),
		.resume = resume,
		.seed = (uint32_t)fnv_text(node->name), /* another one for each node of a cluster */
		.on_event = on_session,
		.userdata = node,
	};

	const struct ensemble_options ensemble = {
		.loop = node->loop,
		.servers = config.servers,
		.root = config.root,
		.name = node->name,
		.directory = node->keep_state ? node->config->node.state_directory : NULL,
		.runtime_directory = node->config->node.runtime_directory,
		.resumed = resume,
		.on_news = on_ensemble,
		.userdata = node,
	};
	int r;

	config_auth_put(auth, config.auth);
	ev_init(&node->repair_look, on_repair_look);
	node->repair_look.data = node;
	ev_init(&node->rights_look, on_rights_look);
	node->rights_look.data = node;
	ev_init(&node->memory_due, on_memory_due);
	node->memory_due.data = node;
	r = zkh_session_create(node->loop, &config, &node->session);
	if (r == 0)
		ensemble_start(&node->ensemble, &ensemble, node->session);
	return r;
}

void node_session_stop(struct node *node)
{
	zkh_op_cancel(node->state_op);
	zkh_op_cancel(node->health_op);
	if (node->repair_look.data)
		ev_timer_stop(node->loop, &node->repair_look);
	if (node->rights_look.data)
		ev_timer_stop(node->loop, &node->rights_look);
	if (node->memory_due.data)
		ev_timer_stop(node->loop, &node->memory_due);
	rights_cancel(&node->rights);
	cleanup_finish(&node->cleanup);
	ensemble_finish(&node->ensemble);
	node->lock = zkh_lock_release(node->lock);
	node->session = zkh_session_destroy(node->session);
}

/* -- view -- */

void node_view_changed(void *userdata)
{
	struct node *node = userdata;
	struct election_event event = { .type = ELECTION_VIEW };

	if (node->farewell || !ensemble_is_open(&node->ensemble))
		return;
	ensemble_note_epoch(&node->ensemble, node->view.memory_epoch);
	view_election(&node->view, &event.view);
	witness_set_primary(&node->witness,
			    node->view.coordinator && strcmp(node->view.primary, node->name)
				    ? node->view.primary
				    : "");
	node_say_view(node);
	node_post(node, &event);
	node_follow(node);
	/* Somebody deleted our sign of life: without it the others take us for dead. */
	if (node->view.coordinator && node->election.registered && !node->view.alive &&
	    node->view.slots[VIEW_ALIVE].known)
		node_repair(node);
}

/* -- registration -- */

static bool is_own_past(const struct node *node, const struct registration_report *report)
{
	return report->other.pid == getpid() && !strcmp(report->other.boot, node->boot_id);
}

/*
 * The time of one connection counts: while there was none, a new leader may have given the other session a whole timeout
 * again. A session that this very process has left behind expires for sure.
 */
void node_meet_foreign(struct node *node, const struct registration_report *report,
		       int64_t session_us)
{
	int64_t now_us = time_boot_us();
	int64_t patience_us = session_us + session_us / 2;

	if (!node->foreign_since_us) {
		node->foreign_since_us = now_us;
		node_say_foreign(node, report, false);
	} else if (now_us - node->foreign_since_us > patience_us && !is_own_past(node, report) &&
		   !node->election.shutdown) {
		node_say_foreign(node, report, true);
		node_refuse(node, EX_UNAVAILABLE);
	}
}

/* Who deletes a whole subtree may still be at it: what was there during the repair may be gone after it. */
static void look_again(struct node *node, bool repaired)
{
	node->repair_looks = repaired ? 0 : node->repair_looks + 1;
	if (node->repair_looks == REPAIR_LOOKS)
		return;
	ev_timer_set(&node->repair_look, REPAIR_LOOK_S * (1 << node->repair_looks), 0.);
	ev_timer_start(node->loop, &node->repair_look);
}

/* Whatever asks for it meanwhile waits: the servers would refuse it as fast as they can. */
void node_repair_later(void *userdata)
{
	struct node *node = userdata;

	node->repair_refused = true;
	node->repair_looks = 0;
	ev_timer_stop(node->loop, &node->repair_look);
	ev_timer_set(&node->repair_look, REPAIR_REFUSED_S * (1 << node->repair_refusals), 0.);
	ev_timer_start(node->loop, &node->repair_look);
	if (node->repair_refusals < REPAIR_DOUBLINGS)
		node->repair_refusals++;
}

/* Told before the election hears that this node is registered: it shall not contend. */
static void take_rights(struct node *node, const struct rights *rights)
{
	char missing[RIGHTS_TEXT_SIZE];
	bool changed;

	rights_format_missing(rights, missing);
	changed = strcmp(missing, node->rights_missing) != 0;
	node_say_rights(node, rights);
	strcpy(node->rights_missing, missing);
	if (changed)
		node_tell_health(node, "");
	ev_timer_stop(node->loop, &node->rights_look);
	if (!*missing) {
		node->rights_looks = 0;
		return;
	}
	ev_timer_set(&node->rights_look, RIGHTS_LOOK_S * (1 << node->rights_looks), 0.);
	ev_timer_start(node->loop, &node->rights_look);
	if (node->rights_looks < RIGHTS_DOUBLINGS)
		node->rights_looks++;
}

static void on_rights(void *userdata, int result)
{
	struct node *node = userdata;

	if (result == ZKH_OK && !node->farewell)
		take_rights(node, &node->rights);
}

/* Nobody tells of a list that was mended. */
static void on_rights_look(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct node *node = timer->data;

	(void)events;
	/* A registration tries them itself. */
	if (node->farewell || !node->election.registered)
		return;
	ev_timer_set(timer, RIGHTS_LOOK_S * (1 << node->rights_looks), 0.);
	ev_timer_start(loop, timer);
	if (zkh_session_connected(node->session))
		(void)rights_try(&node->rights, node->session, node->name,
				 node->registration.rights_flags, on_rights, node);
}

static void repaired(struct node *node, enum election_result result)
{
	if (result != RESULT_OK) {
		node_repair_later(node);
		return;
	}
	node->said_refused[OP_REGISTER] = 0;
	if (node->registration.made)
		node_say_repaired(node);
	look_again(node, node->registration.wrote);
	if (node->election.attached)
		writes_publish(&node->writes,
			       election_router_state(&node->election_config, &node->election));
}

static void on_registration(void *userdata, const struct registration_report *report)
{
	struct node *node = userdata;
	bool registering = node->registering;
	enum election_result result = RESULT_FAILED;

	fault_point("register", "after");
	node->registering = false;
	if (registering && node->registration.coordinator &&
	    (report->outcome == REGISTRATION_OK || report->outcome == REGISTRATION_REFUSED))
		take_rights(node, &node->registration.rights);
	switch (report->outcome) {
	case REGISTRATION_OK:
		node->foreign_since_us = 0;
		node->view.floor_epoch = node->registration.zxid;
		result = RESULT_OK;
		break;
	case REGISTRATION_FOREIGN:
		node_meet_foreign(node, report, node->election.session_us);
		/* Not a refusal: with doubled pauses this node would come back long after that session has expired. */
		result = RESULT_CONFLICT;
		break;
	case REGISTRATION_UNKNOWN:
		result = RESULT_UNKNOWN;
		break;
	case REGISTRATION_TRACE:
		node_say_trace(node, report);
		result = RESULT_CONFLICT;
		break;
	case REGISTRATION_REFUSED:
		node_say_refused(node, OP_REGISTER, report->result, report->path);
		break;
	}
	/* It wrote the router state of its beginning, which may be another one by now. */
	if (result != RESULT_OK)
		writes_unpublish(&node->writes);
	else if (node->registration.wrote)
		writes_registered(&node->writes, node->registration.router);
	if (result == RESULT_OK)
		node->repair_refusals = 0;
	if (registering)
		node_post_done(node, OP_REGISTER, result, 0);
	else
		repaired(node, result);
	if (node->repair_wanted)
		node_repair(node);
}

void node_register(struct node *node)
{
	fault_point("register", "before");
	node->registering = true;
	node->repair_wanted = false;
	node->registration.on_done = on_registration;
	node->registration.rights_flags = *node->config->zookeeper.auth_file ? RIGHTS_WITH_LISTS
									     : 0;
	registration_run(&node->registration, node->session, node->election.healthy);
}

static void repair(struct node *node, bool check)
{
	/* What the router state shall be is not known while the takeover transaction is under way. */
	bool later = node->registration.running || node->election.phase == PHASE_ENTER;

	if (node->repair_refused)
		return;
	/* A registration that is due makes them all. */
	node->repair_wanted = node->election.registered &&
			      (later || !zkh_session_connected(node->session));
	if (!node->election.registered || node->repair_wanted)
		return;
	node->registration.on_done = on_registration;
	(check ? registration_check
	       : registration_repair)(&node->registration, node->session, node->election.healthy,
				      election_router_state(&node->election_config,
							    &node->election));
}

void node_repair(struct node *node)
{
	repair(node, false);
}

static void on_repair_look(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct node *node = timer->data;
	bool refused = node->repair_refused;

	(void)loop;
	(void)events;
	node->repair_refused = false;
	if (!node->farewell && !node->registration.running)
		repair(node, !refused);
}

/* -- small writes that nobody waits for -- */

static void on_health_written(void *userdata, int result, const struct zkh_txn_reply *reply)
{
	struct node *node = userdata;

	(void)reply;
	node->health_op = NULL;
	if (result == ZKH_NO_NODE)
		node_repair(node);
}

void node_publish_health(struct node *node, bool ok, const char *reason)
{
	char path[KEY_PATH_SIZE], text[KEY_VALUE_MAX];
	struct zkh_txn *txn;

	if (!node->election.registered)
		return; /* registration writes it */
	txn = zkh_txn_create(node->session);
	if (!txn)
		return;
	node_key_path(node->name, NODE_KEY_HEALTH, path);
	snprintf(text, sizeof(text), ok ? "ok" : "failed: %s", reason);
	zkh_txn_set_text(txn, path, text, ZKH_ANY_VERSION);
	zkh_op_cancel(node->health_op);
	node->health_op = NULL;
	zkh_commit(txn, on_health_written, node, &node->health_op);
}

/* -- leaving -- */

static void leave(struct node *node)
{
	node_say_stopped(node);
	node->on_exit(node->userdata, node->exit_code);
}

static void on_closed(void *userdata, int result)
{
	struct node *node = userdata;

	/* A session that is closed is nothing to resume; one that could not be, is: it still holds our name. */
	if (result == ZKH_OK && node->keep_state)
		(void)state_remove(node->config->node.runtime_directory);
	leave(node);
}

static void close_session(struct node *node)
{
	if (zkh_session_close(node->session, FAREWELL_MS, on_closed, node) != 0)
		leave(node);
}

static void on_last_word(void *userdata, int result, const struct zkh_txn_reply *reply)
{
	struct node *node = userdata;

	(void)result;
	(void)reply;
	node->state_op = NULL;
}

/* Our daemonstate, for others to read. */
static void publish_state(struct node *node, const char *state)
{
	struct zkh_txn *txn;
	char path[KEY_PATH_SIZE];

	if (!node->election.registered)
		return;
	txn = zkh_txn_create(node->session);
	if (!txn)
		return;
	node_key_path(node->name, NODE_KEY_STATE, path);
	zkh_txn_set_text(txn, path, state, ZKH_ANY_VERSION);
	zkh_op_cancel(node->state_op);
	node->state_op = NULL;
	zkh_commit(txn, on_last_word, node, &node->state_op);
}

/* The close waits for what was sent before it, within its bound. */
void node_farewell(struct node *node)
{
	node->farewell = true;
	node_cold_finish(node);
	timer_clear(&node->timer);
	registration_cancel(&node->registration);
	recovery_cancel(&node->recovery);
	cleanup_finish(&node->cleanup);
	writes_finish(&node->writes);
	term_finish(&node->term);
	witness_finish(&node->witness);
	publish_state(node, "stop");
	close_session(node);
}

void node_shutdown(struct node *node)
{
	if (node->cold) {
		node_farewell(node); /* nothing has begun */
		return;
	}
	publish_state(node, "shutdown");
	node_post_result(node, ELECTION_SHUTDOWN, RESULT_OK, 0);
}

void node_refuse(struct node *node, int code)
{
	node->exit_code = code;
	node_shutdown(node);
}
