/* SPDX-License-Identifier: Apache-2.0 */
#include "internal.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/duration.h"
#include "election/lease.h"

static void carry_out(struct node *node, const struct election_action *action);

/* -- events in -- */

/* Named, or named again: what is worth having before the post is free. */
static void moved_to_await(struct node *node, const struct election *before)
{
	if (before->phase == PHASE_ENTER)
		return;
	node->named_because = before->phase == PHASE_CLAIM ? before->reason : (uint8_t)REASON_NAMED;
	/* If not, this node is not healthy, and hands the role back before the old primary has stopped. */
	node_try_to_keep(node);
	if (node->election.attached)
		recovery_prepare(&node->recovery, node->session);
}

/* What a move asks of the shell beside the actions. */
static void moved(struct node *node, const struct election *before)
{
	uint8_t phase = node->election.phase;

	if (before->phase == PHASE_RECOVER)
		node_recovery_cancel(node);
	if (phase == PHASE_AWAIT)
		moved_to_await(node, before);
	/* What it has not sent yet would be written after the takeover, with the router state of before. */
	if (phase == PHASE_ENTER && node->registration.running) {
		registration_cancel(&node->registration);
		writes_unpublish(&node->writes);
		node->repair_wanted = true;
	}
	if (phase == PHASE_PRIMARY && before->phase == PHASE_BEGIN)
		cleanup_history(&node->cleanup, node->session);
	if (before->phase == PHASE_ENTER && node->repair_wanted)
		node_repair(node);
	/* The registration wrote the health of when it began, and no reason. */
	if (phase == PHASE_FOLLOW && before->phase == PHASE_OFFLINE &&
	    (node->unkept || node->used_up || node->registration.healthy != node->election.healthy))
		node_tell_health(node, "");
	/* `alive` still tells of the process before. */
	if (phase == PHASE_PRIMARY && before->phase == PHASE_RESUME)
		node_repair(node);
}

/* What others wait for is on its way before it is put into words. Returns how many of the actions are carried out. */
static int32_t send_requests(struct node *node, const struct election_actions *actions)
{
	int32_t i;

	for (i = 0; i < actions->count; i++) {
		uint8_t type = actions->list[i].type;

		if (type != ACTION_DO && type != ACTION_LOCK && type != ACTION_UNLOCK)
			break;
		carry_out(node, &actions->list[i]);
	}
	return i;
}

static void step(struct node *node, struct election_event *event)
{
	struct election before = node->election;
	struct election_actions actions;
	int32_t sent;

	event->now_us = time_boot_us();
	election_step(&node->election_config, &node->election, event, &actions);
	if (!election_primary_until_us(&node->election_config, &node->election))
		node_withdraw(node);
	node_count(node, &before, event);
	if (before.term_us && !node->election.term_us)
		term_close(&node->term);
	node_keep(node);
	node_note_primary(node);
	sent = send_requests(node, &actions);
	node_say_step(node, &before);
	if (node->election.phase != before.phase)
		moved(node, &before);
	for (int32_t i = sent; i < actions.count; i++)
		carry_out(node, &actions.list[i]);
}

/* What follows from the state, whatever led to it. */
static void settle(struct node *node)
{
	const struct election *e = &node->election;
	int64_t next_us = election_next_us(&node->election_config, e);

	if (next_us)
		timer_set(&node->timer, next_us);
	else
		timer_clear(&node->timer);
	/* What was refused is written again along with the next repair. */
	if (e->attached && !node->farewell && !node->repair_refused)
		writes_publish(&node->writes, election_router_state(&node->election_config, e));
	node_show(node);
	if (node->on_status)
		node->on_status(node->userdata, node);
}

void node_post(struct node *node, const struct election_event *event)
{
	assert(node->queue_length < NODE_QUEUE_MAX);
	node->queue[(node->queue_head + node->queue_length++) % NODE_QUEUE_MAX] = *event;
	if (node->stepping)
		return;
	node->stepping = true;
	while (node->queue_length) {
		struct election_event next = node->queue[node->queue_head];

		node->queue_head = (node->queue_head + 1) % NODE_QUEUE_MAX;
		node->queue_length--;
		step(node, &next);
	}
	node->stepping = false;
	settle(node);
}

void node_post_result(struct node *node, enum election_event_type type, enum election_result result,
		      int32_t count)
{
	const struct election_event event = { .type = (uint8_t)type,
					      .result = (uint8_t)result,
					      .count = count };

	node_post(node, &event);
}

void node_post_done(struct node *node, enum election_op op, enum election_result result,
		    int64_t zxid)
{
	const struct election_event event = {
		.type = ELECTION_DONE, .op = (uint8_t)op, .result = (uint8_t)result, .zxid = zxid
	};

	node_post(node, &event);
}

static void on_timer(struct timer *timer, void *userdata)
{
	(void)timer;
	node_post_result(userdata, ELECTION_TIME, RESULT_OK, 0);
}

/* -- answers -- */

static void on_done(void *userdata, enum election_op op, enum election_result result, int64_t zxid)
{
	struct node *node = userdata;

	if (op == OP_CLAIM && result == RESULT_OK)
		node->lock = zkh_lock_consumed(node->lock);
	if (op == OP_ENTER && result != RESULT_OK)
		recovery_cancel(&node->recovery);
	if (result == RESULT_OK)
		node->said_refused[op] = 0;
	node_post_done(node, op, result, zxid);
}

static void on_renewed(void *userdata, enum election_result result, int64_t sent_us)
{
	const struct election_event event = { .type = ELECTION_RENEWED,
					      .result = (uint8_t)result,
					      .time_us = sent_us };
	struct node *node = userdata;

	if (result == RESULT_OK)
		node->said_refused[NODE_OP_RENEWAL] = 0;
	node_post(node, &event);
}

static void on_claim(void *userdata)
{
	node_keep(userdata);
}

/* Two processes on one session, as with a copied runtime directory: this one leaves it to the other. */
static void on_superseded(void *userdata)
{
	struct node *node = userdata;
	const struct election_event event = { .type = ELECTION_SESSION_LOST };

	node_say_superseded(node);
	/* Told first: a connection that is only interrupted would not keep a takeover from starting the work. */
	node_post(node, &event);
	zkh_session_renew(node->session);
}

static void on_renewal_refused(void *userdata, int result, const char *path)
{
	node_say_refused(userdata, NODE_OP_RENEWAL, result, path);
}

/* The server does not answer the reads that this node watches the primary with. */
static void on_silent(void *userdata)
{
	struct node *node = userdata;

	node_say_cut(node, lease_cut_us(node->election.session_us));
	zkh_session_cut(node->session);
}

static enum election_result lock_outcome(int result)
{
	switch (result) {
	case ZKH_OK:
		return RESULT_OK;
	case ZKH_TIMEOUT:
		return RESULT_CONFLICT;
	case ZKH_LOST:
	case ZKH_UNKNOWN:
	case ZKH_NOT_CONNECTED:
		return RESULT_UNKNOWN;
	default:
		return RESULT_FAILED;
	}
}

static void on_lock(void *userdata, int result)
{
	struct node *node = userdata;
	enum election_result outcome = lock_outcome(result);

	if (result != ZKH_OK)
		node->lock = NULL;
	if (outcome == RESULT_FAILED)
		node_say_refused(node, NODE_OP_LOCK, result, PATH_PRIMARY);
	else if (outcome == RESULT_OK)
		node->said_refused[NODE_OP_LOCK] = 0;
	/* Between the loss and this callback the election may have given the lock up by itself. */
	if (node->election.lock != LOCK_FREE)
		node_post_result(node, ELECTION_LOCK, outcome, 0);
}

static void on_corpses(void *userdata, enum election_result result, int32_t count)
{
	struct node *node = userdata;
	const struct election_event event = { .type = ELECTION_CORPSES,
					      .result = (uint8_t)result,
					      .count = count,
					      .time_us = node->recovery.until_us };

	if (result == RESULT_OK) {
		int64_t now_us = time_boot_us();

		term_owes(&node->term, event.time_us);
		/* Else the work starts now, which tells it, too. */
		if (count || event.time_us > now_us)
			term_renew(&node->term, now_us);
	}
	node_post(node, &event);
}

static void on_peers(void *userdata, enum election_result result, int32_t count)
{
	node_post_result(userdata, ELECTION_PEERS, result, count);
}

static void on_fenced(void *userdata, enum election_result result)
{
	node_post_result(userdata, ELECTION_FENCED, result, 0);
}

static void on_corpse(void *userdata, enum recovery_news news, const char *name,
		      const char *router_state, int64_t wait_us)
{
	node_say_corpse(userdata, news, name, router_state, wait_us);
}

static void on_junk(void *userdata, const char *path, const char *what)
{
	node_say_junk(userdata, path, what);
}

static void on_refused(void *userdata, enum election_op op, int result, const char *path)
{
	node_say_refused(userdata, op, result, path);
	/* A post that cannot be released goes with its session: the work is down. */
	if (op == OP_LEAVE)
		zkh_session_renew(((struct node *)userdata)->session);
}

static void on_missing(void *userdata, const char *path)
{
	node_say_missing(userdata, path);
	node_repair(userdata);
}

/* -- actions out -- */

/* What others cannot see in the other keys. `reason` is the last one, and open-ended. */
static void describe_detail(const struct node *node, const struct election_action *action,
			    char *ret_text)
{
	const struct election *e = &node->election;
	char lock[DURATION_TEXT_SIZE], delay[DURATION_TEXT_SIZE], session[DURATION_TEXT_SIZE];
	int64_t penalty_us = e->penalty_until_us - e->now_us;
	int n = snprintf(ret_text, DETAIL_SIZE,
			 "lock-timeout=%s transition-delay=%s session-timeout=%s",
			 duration_format(node->election_config.lock_timeout_us, lock),
			 duration_format(node->election_config.transition_delay_us, delay),
			 duration_format(e->session_us, session));

	if (action->op == OP_HAND_BACK)
		snprintf(ret_text + n, DETAIL_SIZE - (size_t)n,
			 " " DETAIL_LEFT "%" PRId64 " " DETAIL_REASON "%s", e->epoch,
			 election_reason_text(e->reason));
	else if (penalty_us > 0)
		snprintf(ret_text + n, DETAIL_SIZE - (size_t)n,
			 " penalty-until=%" PRId64 " " DETAIL_REASON "%s",
			 (time_wall_us() + penalty_us) / 1000,
			 election_reason_text(e->stop_reason));
}

/*
 * Who may be at work yet, now that this node's own work is down: whom it waited for in the takeover of the highest epoch, as
 * long as that has started nothing. Of a takeover that another process or machine of its name made, and that may have started
 * nothing, this is not known.
 */
static const char *own_debt(const struct node *node)
{
	int64_t epoch = node->view.memory_epoch;

	if (epoch == ensemble_own(&node->ensemble))
		return NAME_NOBODY;
	return epoch == node->takeover.epoch ? node->takeover.debt : "";
}

/* Who may be at work yet, whatever became of his keys: in the form of value_epoch(). */
static const char *owner_before(const struct node *node)
{
	const struct view *view = &node->view;

	if (view->top_version < 0 || view->top_epoch < view->memory_epoch)
		return "";
	return strcmp(view->top_owner, node->name) ? view->top_owner : own_debt(node);
}

/* Before it is sent. */
static void note_enter(struct node *node)
{
	char before[NAME_SIZE];

	strcpy(before, owner_before(node));
	node->takeover.epoch = node->election.epoch;
	node->takeover.remembers = node->view.memory_epoch > 0;
	strcpy(node->takeover.debt, before);
	/* Without any memory the own lease is waited for, no more. */
	node->writes.owes = node->takeover.remembers && strcmp(before, NAME_NOBODY) != 0;
}

static void do_op(struct node *node, const struct election_action *action)
{
	describe_detail(node, action, node->registration.detail);
	strcpy(node->writes.detail, node->registration.detail);
	if (action->op == OP_REGISTER) {
		node_register(node);
		return;
	}
	/* The mirror knows of a takeover that the election has not heard of yet: this epoch is not the highest any more. */
	if (action->op == OP_ENTER && node->election.epoch <= node->view.top_epoch) {
		node_post_done(node, OP_ENTER, RESULT_CONFLICT, 0);
		return;
	}
	if (action->op == OP_ENTER && node_keep_enter(node) < 0) {
		node_post_done(node, OP_ENTER, RESULT_FAILED, 0);
		return;
	}
	if (action->op == OP_ENTER)
		note_enter(node);
	strcpy(node->writes.leaves, own_debt(node));
	writes_do(&node->writes, (enum election_op)action->op, action->version,
		  node->election.epoch, node->election.term_us,
		  node->lock ? zkh_lock_path(node->lock) : NULL,
		  election_reason_text(action->reason));
	if (action->op == OP_ENTER)
		recovery_scan_early(&node->recovery, node->session, node->takeover.debt,
				    node->takeover.remembers, node->election.term_us);
}

static void do_lock(struct node *node)
{
	int timeout_ms = (int)(node->config->election.lock_timeout_us / 1000);
	int r = zkh_lock_acquire(node->session, ZKH_LOCK_EXCLUSIVE, PATH_PRIMARY, node->name,
				 timeout_ms, on_lock, node, &node->lock);

	if (r != 0)
		on_lock(node, r > 0 ? r : ZKH_FAILED);
}

static void carry_out(struct node *node, const struct election_action *action)
{
	switch ((enum election_action_type)action->type) {
	case ACTION_DO:
		do_op(node, action);
		break;
	case ACTION_LOCK:
		do_lock(node);
		break;
	case ACTION_UNLOCK:
		node->lock = zkh_lock_release(node->lock);
		break;
	case ACTION_SCAN:
		recovery_scan(&node->recovery, node->session, on_corpses);
		break;
	case ACTION_FENCE:
		recovery_fence(&node->recovery,
			       node->config->fence.failure == CONFIG_FENCE_FAILURE_CONTINUE,
			       on_fenced);
		break;
	case ACTION_START:
		ensemble_note_made(&node->ensemble, node->survivor.cluster_czxid);
		node->survivor.cluster_new_us = 0;
		ensemble_note_own(&node->ensemble, node->election.epoch);
		node_work_start(node);
		term_started(&node->term, node->election.now_us);
		break;
	case ACTION_STOP:
		node_work_stop(node, action->reason);
		break;
	case ACTION_KILL:
	case ACTION_SELF_FENCE:
		break; /* the keeper's: it judges by the same lease, see lease.h */
	case ACTION_RENEW:
		term_renew(&node->term, node->election.now_us);
		break;
	case ACTION_CUT:
		node_say_cut(node, lease_patience_us(node->election.session_us));
		zkh_session_cut(node->session);
		break;
	case ACTION_REFRESH:
		view_refresh(&node->view);
		break;
	case ACTION_COUNT_PEERS:
		recovery_count_peers(&node->recovery, node->session, on_peers);
		break;
	case ACTION_DEPART:
		node_farewell(node);
		break;
	case ELECTION_ACTION_COUNT:
		assert(false);
	}
}

/* -- life -- */

static void configure(struct node *node)
{
	const struct config *c = node->config;

	node->election_config = (struct election_config){
		.lock_timeout_us = c->election.lock_timeout_us,
		.transition_delay_us = c->election.transition_delay_us,
		.contend_delay_us = c->node.contend_delay_us,
		.handover_timeout_us = c->election.handover_timeout_us,
		.penalty_us = c->election.penalty_us,
		.acquire_delay_us = c->takeover.acquire_delay_us,
		.relinquish_timeout_us = c->relinquish.timeout_us,
		.lease_timeout_us = c->relinquish.lease_timeout_us,
		.coordinator = c->node.mode == CONFIG_COORDINATOR,
	};
}

static bool phase_runs_work(uint8_t phase)
{
	return phase == PHASE_PRIMARY || phase == PHASE_VACATED || phase == PHASE_YIELD ||
	       phase == PHASE_HANDOVER || phase == PHASE_RESUME;
}

static void resume_term(struct node *node, const struct state *resume)
{
	term_resume(&node->term, resume->nonces, resume->epoch_version, resume->session_us);
}

/* What the process before noted of its work, of its post and of its lease is one story. */
static bool was_primary(const struct node *node, const struct state *resume)
{
	return resume && resume->session.id && resume->work && phase_runs_work(resume->phase) &&
	       resume->epoch == lease_file_epoch(node->lease) &&
	       lease_file_mark(node->lease) == LEASE_WATCHED;
}

/* When the lease of the process before ends; 0: it had none, or only that of a guard on standby, which nothing runs under. */
static int64_t lease_before_us(const struct node *node)
{
	return node->lease && lease_file_epoch(node->lease) ? lease_file_end_us(node->lease) : 0;
}

/*
 * What the process before left decides how the election begins. `resume` is believed only as far as the lease file agrees:
 * whatever else may run is stopped first, by the end of the lease if there is one.
 */
static void begin(struct node *node, const struct state *resume)
{
	struct election_event event = { .type = ELECTION_START, .resume = RESUME_COLD };
	int64_t lease_end_us = lease_before_us(node);

	if (resume && resume->session.id)
		event.session_us = resume->session_us;
	/* A former process of this boot that noted no work, and nothing could be started since: there is nothing to stop. */
	if (resume && !resume->work && !lease_end_us)
		work_clear(node->work);
	if (lease_end_us > 0) {
		event.lease_end_us = lease_end_us;
		event.epoch = lease_file_epoch(node->lease);
		event.resume = was_primary(node, resume) ? RESUME_PRIMARY : RESUME_OTHER;
	}
	if (event.resume == RESUME_PRIMARY) {
		resume_term(node, resume);
		work_resume(node->work, lease_end_us);
	}
	if (lease_end_us > 0 && lease_file_mark(node->lease) != LEASE_WATCHED)
		node_count_guard_stop(node);
	node_say_started(node, event.resume == RESUME_PRIMARY);
	if (node->lease && !resume && !lease_end_us) {
		node_cold_hold(node);
		settle(node);
	} else {
		node_post(node, &event);
	}
}

static void describe(const struct node *node, struct alive *ret_self)
{
	char host[sizeof(ret_self->host)] = "";

	memset(ret_self, 0, sizeof(*ret_self));
	strcpy(ret_self->machine, node->machine_id);
	strncpy(ret_self->boot, node->boot_id, sizeof(ret_self->boot) - 1);
	strncpy(ret_self->version, PRIMARYD_VERSION, sizeof(ret_self->version) - 1);
	if (gethostname(host, sizeof(host) - 1) == 0)
		strcpy(ret_self->host, host);
	ret_self->pid = getpid();
	ret_self->started_ms = time_wall_us() / 1000;
}

static void init_parts(struct node *node)
{
	bool coordinator = node->config->node.mode == CONFIG_COORDINATOR;
	struct alive self;

	view_init(&node->view, node->name, coordinator, node_view_changed, on_junk, node);
	writes_init(&node->writes, &node->view, &node->term, node->name);
	node->writes.on_done = on_done;
	node->writes.on_missing = on_missing;
	node->writes.on_refused = on_refused;
	node->writes.on_stale = node_repair_later;
	node->writes.userdata = node;
	describe(node, &self);
	registration_init(&node->registration, node->name, coordinator, &self, NULL, node);
	node->registration.view = &node->view;
	node->registration.survivor = &node->survivor;
	witness_init(&node->witness, node->loop, &node->survivor, on_silent, node);
	recovery_init(&node->recovery, &node->survivor, node->name, node_fence, on_corpse, node);
}

/* Who this process is: the machine that it runs on, and what tells it from every other process. */
static int init_term(struct node *node)
{
	int r = machine_id_read(node->machine_id);

	if (r < 0)
		r = machine_id_make(node->config->node.state_directory, node->machine_id);
	if (r == 0)
		r = term_init(&node->term, node->name, node->machine_id, node->boot_id);
	node->term.on_renewed = on_renewed;
	node->term.on_claim = on_claim;
	node->term.on_superseded = on_superseded;
	node->term.on_refused = on_renewal_refused;
	node->term.userdata = node;
	return r;
}

/*
 * Returns what the process before left, as far as it is believed. A state of another lease file is void, and so is its session:
 * until that expires, others may go by it, be it only the guard of that lease file.
 */
static const struct state *take_state(struct node *node, const struct state *left)
{
	if (!left)
		return NULL;
	view_remember_epoch(&node->view, left->epoch);
	node->saved = *left;
	if (node_state_agrees(node, left))
		return left;
	node_say_older_state(node);
	node->saved.session = (struct zkh_client_id){ 0 };
	return NULL;
}

int node_create(const struct node_options *options, struct node **ret_node)
{
	const struct state *resume;
	struct node *node = calloc(1, sizeof(*node));
	int r;

	if (!node)
		return -ENOMEM;
	node->loop = options->loop;
	node->config = options->config;
	node->log = options->log;
	node->name = options->config->node.name;
	node->boot_id = options->boot_id;
	node->lease = options->lease;
	node->page = options->page;
	node->keep_state = options->keep_state;
	node->on_exit = options->on_exit;
	node->on_status = options->on_status;
	node->userdata = options->userdata;
	configure(node);
	election_init(&node->election);
	r = init_term(node);
	init_parts(node);
	resume = take_state(node, options->resume);
	node_state_init(node);
	if (r == 0)
		r = timer_init(&node->timer, node->loop, EV_MAXPRI, on_timer, node);
	if (r == 0)
		r = node_work_init(node);
	if (r == 0)
		r = node_session_start(node, options->auth,
				       resume && resume->session.id ? &resume->session : NULL);
	if (r != 0) {
		node_destroy(node);
		return r;
	}
	node_show_init(node);
	begin(node, resume);
	*ret_node = node;
	return 0;
}

struct node *node_destroy(struct node *node)
{
	if (!node)
		return NULL;
	node_cold_finish(node);
	node_show_finish(node);
	timer_finish(&node->timer);
	node_state_finish(node);
	recovery_finish(&node->recovery);
	registration_finish(&node->registration);
	writes_finish(&node->writes);
	term_finish(&node->term);
	witness_finish(&node->witness);
	view_finish(&node->view);
	node_session_stop(node);
	node_work_finish(node);
	explicit_bzero(&node->saved, sizeof(node->saved));
	free(node);
	return NULL;
}

bool node_is_settled(const struct node *node)
{
	const struct election *e = &node->election;

	return !e->shutdown && e->op == OP_NONE &&
	       (e->phase == PHASE_FOLLOW || e->phase == PHASE_PRIMARY || e->phase == PHASE_OFFLINE);
}

const char *node_trouble(const struct node *node)
{
	return work_obstacle(node->work);
}

const char *node_foreign(const struct node *node)
{
	return ensemble_trouble(&node->ensemble);
}

bool node_in_order(const struct node *node)
{
	return election_in_order(&node->election_config, &node->election, time_boot_us());
}

const struct election *node_election(const struct node *node)
{
	return &node->election;
}

const char *node_primary(const struct node *node)
{
	return node->view.primary;
}
