/* SPDX-License-Identifier: Apache-2.0 */

/* The life of the session, and what the election's steps mean for it. */

#include "internal.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "base/fnv.h"
#include "base/timer.h"
#include "election/lease.h"

/* -- events for the owner -- */

void cluster_emit(struct cluster *c, enum cluster_event_type type)
{
	const struct cluster_event event = { .type = type };

	c->on_event(c->userdata, &event);
}

void cluster_refuse(struct cluster *c, int code)
{
	const struct cluster_event event = { .type = CLUSTER_REFUSES, .code = code };

	c->on_event(c->userdata, &event);
}

void cluster_post(struct cluster *c, const struct election_event *event)
{
	const struct cluster_event carrier = { .type = CLUSTER_ELECTION, .election = *event };

	c->on_event(c->userdata, &carrier);
}

void cluster_post_result(struct cluster *c, enum election_event_type type,
			 enum election_result result, int32_t count)
{
	const struct election_event event = { .type = (uint8_t)type,
					      .result = (uint8_t)result,
					      .count = count };

	cluster_post(c, &event);
}

void cluster_post_done(struct cluster *c, enum election_op op, enum election_result result,
		       int64_t zxid)
{
	const struct election_event event = {
		.type = ELECTION_DONE, .op = (uint8_t)op, .result = (uint8_t)result, .zxid = zxid
	};

	cluster_post(c, &event);
}

/* -- the session -- */

static bool lease_fits_session(struct cluster *c, int32_t timeout_ms)
{
	char text[512];

	if (!c->rules->coordinator ||
	    config_check_lease(c->config, timeout_ms * INT64_C(1000), text, sizeof(text)) == 0)
		return true;
	cluster_say_misfit(c, text);
	return false;
}

/* Not before the wait that it brings is over: the next process would not wait any more. */
static void on_memory_due(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct cluster *c = timer->data;
	int64_t now_us = time_boot_us();
	int64_t left_us = survivor_untold_us(&c->survivor, false, true, c->election->session_us,
					     now_us) -
			  now_us;

	/* A takeover meanwhile has seen yet another one. */
	if (left_us > 0) {
		ev_timer_set(timer, (double)left_us / 1e6, 0.);
		ev_timer_start(loop, timer);
		return;
	}
	c->survivor.cluster_new_us = 0;
	ensemble_note_made(&c->ensemble, c->survivor.cluster_czxid);
}

static void remember_cluster_later(struct cluster *c, int64_t session_us)
{
	ev_timer_stop(c->loop, &c->memory_due);
	ev_timer_set(&c->memory_due, (double)lease_unknown_promise_us(session_us) / 1e6, 0.);
	ev_timer_start(c->loop, &c->memory_due);
}

/* The ensemble is the known one: the election may read and write there. */
static void attach(struct cluster *c, bool fresh)
{
	struct election_event event = { .type = ELECTION_SESSION_UP, .fresh = fresh };
	int32_t timeout_ms = zkh_session_timeout_ms(c->session);

	c->attached = c->has_session = true;
	/* A server may grant anything; the lease needs a time above 0. */
	event.session_us = (timeout_ms > 0 ? timeout_ms : 1) * INT64_C(1000);
	if (!lease_fits_session(c, timeout_ms))
		cluster_refuse(c, EX_CONFIG);
	if (!c->survivor.cluster_czxid)
		c->survivor.cluster_czxid = ensemble_made(&c->ensemble);
	if (c->ensemble.czxid)
		survivor_see_cluster(&c->survivor, c->ensemble.czxid, time_boot_us());
	if (c->survivor.cluster_new_us)
		remember_cluster_later(c, event.session_us);
	else
		ensemble_note_made(&c->ensemble, c->survivor.cluster_czxid);
	view_remember_epoch(&c->view, ensemble_epoch(&c->ensemble));
	c->writes.session = c->session;
	witness_attached(&c->witness, c->session, event.session_us);
	/* The store may have been set back to a backup that holds this session, but an earlier router state. */
	writes_unpublish(&c->writes);
	view_start(&c->view, c->session);
	cluster_pardon_start(c, fresh);
	cleanup_attached(&c->cleanup, c->session);
	cluster_post(c, &event);
}

void cluster_attached(struct cluster *c, bool fresh)
{
	term_attached(&c->term, c->session, fresh);
	if (ensemble_attached(&c->ensemble, fresh))
		attach(c, fresh);
}

/* Once for each session of which the election was told. */
static void tell_lost(struct cluster *c)
{
	if (c->has_session)
		cluster_post_result(c, ELECTION_SESSION_LOST, RESULT_OK, 0);
	c->has_session = false;
}

void cluster_give_up(struct cluster *c)
{
	c->attached = false;
	tell_lost(c);
}

void cluster_leave_session(struct cluster *c)
{
	cluster_give_up(c);
	zkh_session_renew(c->session);
}

static void disconnected(struct cluster *c, enum election_event_type type)
{
	c->attached = false;
	ensemble_detached(&c->ensemble, type == ELECTION_SESSION_LOST);
	witness_detached(&c->witness);
	if (type == ELECTION_SESSION_LOST) {
		view_stop(&c->view);
		tell_lost(c);
	} else {
		view_forget(&c->view);
		cluster_post_result(c, type, RESULT_OK, 0);
	}
}

static void on_ensemble(void *userdata, enum ensemble_news news, const char *text)
{
	struct cluster *c = userdata;

	if (*text)
		cluster_say_ensemble(c, news, text);
	if (c->farewell)
		return;
	if (news == ENSEMBLE_IS_KNOWN && !c->attached)
		attach(c, true);
	else if (news == ENSEMBLE_IS_FOREIGN)
		cluster_give_up(c);
	else
		cluster_emit(c, CLUSTER_STATUS);
	/* Accepted while this session went on: the keys may be those of a backup. */
	if (news == ENSEMBLE_IS_KNOWN)
		cluster_repair(c);
}

/* A session that is left only to look at the ensemble again, or at the next server, is no news; troubles on the way are. */
static bool is_worth_a_line(const struct cluster *c, enum zkh_session_event event)
{
	bool looking = ensemble_is_looking(&c->ensemble);

	if (event == ZKH_CONNECTED || event == ZKH_DISCONNECTED)
		return !looking;
	return !looking || event != ZKH_EXPIRED;
}

static void on_session(void *userdata, const struct zkh_session_report *report)
{
	struct cluster *c = userdata;

	if (c->farewell)
		return;
	if (is_worth_a_line(c, report->event))
		cluster_say_session(c, report);
	if (report->event == ZKH_CONNECTED)
		c->foreign_since_us = 0;
	if (c->cold.asked) {
		cluster_cold_look(c);
		return;
	}
	switch (report->event) {
	case ZKH_CONNECTED:
		cluster_attached(c, report->fresh);
		break;
	case ZKH_DISCONNECTED:
		disconnected(c, ELECTION_SESSION_DOWN);
		break;
	case ZKH_EXPIRED:
		disconnected(c, ELECTION_SESSION_LOST);
		break;
	case ZKH_SET_BACK: /* ZKH_EXPIRED follows */
	case ZKH_AUTH_REFUSED:
	case ZKH_NAMES_FAILED:
	case ZKH_SERVER_FAILED:
		break;
	}
}

static int start_session(struct cluster *c, const struct cluster_options *options)
{
	struct zkh_session_config config = {
		.servers = c->config->zookeeper.servers,
		.tunnel = c->config->zookeeper.tunnel,
		.root = c->config->zookeeper.root,
		.timeout_ms = (int32_t)(c->config->zookeeper.session_timeout_us / 1000),
		.resume = options->resume,
		.seed = (uint32_t)fnv_text(c->name), /* another one for each node of a cluster */
		.on_event = on_session,
		.userdata = c,
	};
	const struct ensemble_options ensemble = {
		.loop = c->loop,
		.servers = config.servers,
		.root = config.root,
		.name = c->name,
		.directory = options->remember ? c->config->node.state_directory : NULL,
		.runtime_directory = c->config->node.runtime_directory,
		.resumed = options->resume,
		.on_news = on_ensemble,
		.userdata = c,
	};
	int r;

	config_auth_put(options->auth, config.auth);
	r = zkh_session_create(c->loop, &config, &c->session);
	if (r == 0)
		ensemble_start(&c->ensemble, &ensemble, c->session);
	return r;
}

/* -- what the election's steps mean -- */

void cluster_note_primary(struct cluster *c)
{
	const struct view *view = &c->view;
	const struct election *e = c->election;

	log_context(c->log, *view->primary ? view->primary : view->holder,
		    e->epoch ? e->epoch : view->epoch, election_phase_text(e->phase));
	if (!*view->primary || (view->epoch == c->acted_epoch && !strcmp(view->primary, c->acted)))
		return;
	strcpy(c->acted_before, c->acted);
	strcpy(c->acted, view->primary);
	c->acted_epoch = view->epoch;
}

void cluster_stepped(struct cluster *cluster, const struct election *before)
{
	if (before->term_us && !cluster->election->term_us)
		term_close(&cluster->term);
	cluster_note_primary(cluster);
}

void cluster_moved(struct cluster *cluster, const struct election *before)
{
	struct cluster *c = cluster;
	uint8_t phase = c->election->phase;

	/* Before the stop begins, which may take longer to begin than to end. */
	if (phase == PHASE_STOP)
		c->stopping_us = c->election->now_us;
	else if (phase != PHASE_LEAVE)
		c->stopping_us = 0;
	if (before->phase == PHASE_RECOVER)
		recovery_cancel(&c->recovery);
	/* Cancel pending writes: sent after the takeover, they would overwrite `takeover` with the previous router state. */
	if (phase == PHASE_ENTER && c->registration.running) {
		registration_cancel(&c->registration);
		writes_unpublish(&c->writes);
		c->repair.wanted = true;
	}
	if (phase == PHASE_PRIMARY && before->phase == PHASE_BEGIN)
		cleanup_history(&c->cleanup, c->session);
	/* The health changed while the registration was under way. */
	if (phase == PHASE_FOLLOW && before->phase == PHASE_OFFLINE &&
	    strcmp(c->registration.health, c->health) != 0)
		cluster_publish_own_health(c);
	/* `alive` still describes the previous process, which may not have been able to write down whose epoch this is. */
	if (phase == PHASE_PRIMARY && before->phase == PHASE_RESUME) {
		ensemble_note_own(&c->ensemble, c->election->epoch);
		cluster_repair(c);
	}
}

void cluster_settle(struct cluster *cluster)
{
	struct cluster *c = cluster;

	if (!c->election->attached || c->farewell)
		return;
	if (writes_leave_session(&c->writes, c->election)) {
		cluster_say_refused(c, OP_LEAVE, ZKH_DENIED, PATH_POST);
		cluster_leave_session(c);
		return;
	}
	/*
	 * What was refused is written again along with the next repair. The release tells by itself that the work is down: told
	 * before, it might stand over what a successor has found and marked.
	 */
	if (!c->repair.refused && c->election->phase != PHASE_LEAVE)
		writes_publish(&c->writes, election_router_state(c->rules, c->election));
	if (c->repair.wanted)
		cluster_repair(c);
	cluster_settle_fence_check(c);
}

static void note_work(struct cluster *c)
{
	ensemble_note_made(&c->ensemble, c->survivor.cluster_czxid);
	c->survivor.cluster_new_us = 0;
	ensemble_note_own(&c->ensemble, c->election->epoch);
	term_started(&c->term, c->election->now_us);
}

void cluster_carry_out(struct cluster *cluster, const struct election_action *action)
{
	struct cluster *c = cluster;

	switch ((enum election_action_type)action->type) {
	case ACTION_DO:
		cluster_do(c, action);
		break;
	case ACTION_LOCK:
		cluster_lock(c);
		break;
	case ACTION_UNLOCK:
		c->lock = zkh_lock_release(c->lock);
		break;
	case ACTION_SCAN:
		cluster_scan(c);
		break;
	case ACTION_FENCE:
		cluster_fence(c);
		break;
	case ACTION_START:
		note_work(c);
		break;
	case ACTION_RENEW:
		term_renew(&c->term, c->election->now_us);
		break;
	case ACTION_CUT:
		cluster_say_cut(c, lease_patience_us(c->election->session_us));
		zkh_session_cut(c->session);
		break;
	case ACTION_REFRESH:
		view_refresh(&c->view);
		break;
	case ACTION_COUNT_PEERS:
		cluster_count_peers(c);
		break;
	case ACTION_STOP:
	case ACTION_DEPART:
	case ELECTION_ACTION_COUNT:
		assert(false);
	}
}

/* -- what is known -- */

struct cluster_seen cluster_seen(const struct cluster *cluster)
{
	return (struct cluster_seen){
		.holder = cluster->view.holder,
		.primary = cluster->view.primary,
		.acted = cluster->acted,
		.before = cluster->acted_before,
		.server = zkh_session_server(cluster->session),
		.epoch = cluster->view.epoch,
	};
}

const char *cluster_foreign(const struct cluster *cluster)
{
	return ensemble_trouble(&cluster->ensemble);
}

const char *cluster_id(const struct cluster *cluster)
{
	return cluster->ensemble.known.id;
}

bool cluster_is_blind(const struct cluster *cluster)
{
	return cluster->rules->coordinator && view_is_blind(&cluster->view);
}

const char *cluster_rights_missing(const struct cluster *cluster)
{
	return cluster->rights.missing;
}

bool cluster_was_refused(const struct cluster *cluster)
{
	return cluster->said.refused[OP_ENTER];
}

void cluster_left(const struct cluster *cluster, struct cluster_left *ret_left)
{
	memset(ret_left, 0, sizeof(*ret_left));
	/* Whoever resumes it takes the ensemble for the known one. */
	if (ensemble_is_open(&cluster->ensemble))
		(void)zkh_session_client_id(cluster->session, &ret_left->session);
	term_nonces(&cluster->term, ret_left->nonces);
	ret_left->epoch_version = cluster->term.epoch_version;
}

void cluster_remember_epoch(struct cluster *cluster, int64_t epoch)
{
	view_remember_epoch(&cluster->view, epoch);
}

void cluster_resume(struct cluster *cluster, const uint64_t nonces[TERM_NONCES],
		    int32_t epoch_version, int64_t session_us)
{
	term_resume(&cluster->term, nonces, epoch_version, session_us);
}

/* -- life -- */

/* Who this process is: the machine that it runs on, and the number that tells it from every other process. */
static int init_identity(struct cluster *c)
{
	int r = machine_id_read(c->machine_id);

	if (r < 0)
		r = machine_id_make(c->config->node.state_directory, c->machine_id);
	return r == 0 ? term_init(&c->term, c->name, c->machine_id, c->boot_id) : r;
}

int cluster_create(const struct cluster_options *options, struct cluster **ret_cluster)
{
	struct cluster *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return -ENOMEM;
	c->loop = options->loop;
	c->config = options->config;
	c->log = options->log;
	c->name = options->config->node.name;
	c->boot_id = options->boot_id;
	c->has_session = options->resume;
	cleanup_init(&c->cleanup, options->resume ? options->resume->id : 0, &c->lock);
	c->rules = options->rules;
	c->election = options->election;
	c->on_event = options->on_event;
	c->userdata = options->userdata;
	strcpy(c->health, "ok");
	c->fence_check.untold = options->resume;
	ev_init(&c->memory_due, on_memory_due);
	c->memory_due.data = c;
	r = init_identity(c);
	cluster_init_parts(c);
	c->writes.post_session = options->resume ? options->resume->id : 0;
	cluster_repair_init(c);
	cluster_maintenance_init(c);
	if (r == 0)
		r = start_session(c, options);
	if (r != 0) {
		(void)cluster_destroy(c);
		return r;
	}
	*ret_cluster = c;
	return 0;
}

struct cluster *cluster_destroy(struct cluster *cluster)
{
	struct cluster *c = cluster;

	if (!c)
		return NULL;
	cluster_cancel(c);
	view_finish(&c->view);
	zkh_op_cancel(c->state_op);
	zkh_op_cancel(c->health_op);
	cluster_repair_finish(c);
	cluster_maintenance_finish(c);
	cluster_pardon_finish(c);
	ev_timer_stop(c->loop, &c->memory_due);
	ensemble_finish(&c->ensemble);
	c->lock = zkh_lock_release(c->lock);
	c->session = zkh_session_destroy(c->session);
	free(c);
	return NULL;
}
