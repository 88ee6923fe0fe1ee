/* SPDX-License-Identifier: Apache-2.0 */

/* Turns the answers of the parts of this wing into events of the election. */

#include "internal.h"

#include <string.h>

#include "base/timer.h"
#include "election/lease.h"
#include "lock_outcome.h"

/* -- transactions and renewals -- */

static void on_done(void *userdata, enum election_op op, enum election_result result, int64_t zxid)
{
	struct cluster *c = userdata;

	if (op == OP_CLAIM && result == RESULT_OK)
		c->lock = zkh_lock_consumed(c->lock);
	if (result == RESULT_OK)
		c->said.refused[op] = 0;
	cluster_post_done(c, op, result, zxid);
}

static void on_missing(void *userdata, const char *path)
{
	cluster_say_missing(userdata, path);
	cluster_repair(userdata);
}

static void on_refused(void *userdata, enum election_op op, int result, const char *path)
{
	struct cluster *c = userdata;

	cluster_say_refused(c, op, result, path);
	/* A post that cannot be released goes with its session: the work is down. */
	if (op == OP_LEAVE)
		zkh_session_renew(c->session);
}

static void on_renewed(void *userdata, enum election_result result, int64_t sent_us)
{
	const struct election_event event = { .type = ELECTION_RENEWED,
					      .result = (uint8_t)result,
					      .time_us = sent_us };
	struct cluster *c = userdata;

	if (result == RESULT_OK)
		c->said.refused[CLUSTER_OP_RENEWAL] = 0;
	cluster_post(c, &event);
}

static void on_claim(void *userdata)
{
	cluster_emit(userdata, CLUSTER_RESUMES);
}

/* Two processes on one session, as with a copied runtime directory: this one leaves it to the other. */
static void on_superseded(void *userdata)
{
	struct cluster *c = userdata;

	cluster_say_superseded(c);
	cluster_leave_session(c);
}

static void on_renewal_refused(void *userdata, int result, const char *path)
{
	cluster_say_refused(userdata, CLUSTER_OP_RENEWAL, result, path);
}

/* -- the view -- */

static void on_view(void *userdata)
{
	struct cluster *c = userdata;
	struct election_event event = { .type = ELECTION_VIEW };

	if (c->farewell || !ensemble_is_open(&c->ensemble))
		return;
	ensemble_note_epoch(&c->ensemble, c->view.memory_epoch);
	cluster_maintenance_follow(c);
	view_election(&c->view, &event.view);
	witness_set_primary(&c->witness, c->view.coordinator && strcmp(c->view.primary, c->name)
						 ? c->view.primary
						 : "");
	cluster_note_primary(c);
	cluster_say_view(c);
	cluster_post(c, &event);
	cluster_emit(c, CLUSTER_SEEN);
	/* Somebody deleted this node's sign of life: without it the others take it for dead. */
	if (c->view.coordinator && c->election->registered && !c->view.alive &&
	    c->view.slots[VIEW_ALIVE].known)
		cluster_repair(c);
}

static void on_junk(void *userdata, const char *path, const char *what)
{
	cluster_say_junk(userdata, path, what);
}

/* The server does not answer the reads that this node watches the primary with. */
static void on_silent(void *userdata)
{
	struct cluster *c = userdata;

	cluster_say_cut(c, lease_cut_us(c->election->session_us));
	zkh_session_cut(c->session);
}

/* -- the lock -- */

static void on_lock(void *userdata, int result)
{
	struct cluster *c = userdata;
	enum election_result outcome = lock_outcome(result);

	if (result != ZKH_OK)
		c->lock = NULL;
	if (outcome == RESULT_FAILED)
		cluster_say_refused(c, CLUSTER_OP_LOCK, result, PATH_PRIMARY);
	else if (outcome == RESULT_OK)
		c->said.refused[CLUSTER_OP_LOCK] = 0;
	cluster_post_result(c, ELECTION_LOCK, outcome, 0);
}

void cluster_lock(struct cluster *c)
{
	int timeout_ms = (int)(c->config->election.lock_timeout_us / 1000);
	int r;

	if (!cleanup_locks_gone(&c->cleanup)) {
		/* One of them may stand before it. */
		on_lock(c, ZKH_TIMEOUT);
		return;
	}
	r = zkh_lock_acquire(c->session, ZKH_LOCK_EXCLUSIVE, PATH_PRIMARY, c->name, timeout_ms,
			     on_lock, c, &c->lock);

	if (r != 0)
		on_lock(c, r > 0 ? r : ZKH_FAILED);
}

/* -- what other nodes left behind -- */

static void on_corpses(void *userdata, enum election_result result, int32_t count)
{
	struct cluster *c = userdata;
	const struct election_event event = { .type = ELECTION_CORPSES,
					      .result = (uint8_t)result,
					      .count = count,
					      .time_us = c->recovery.until_us };

	if (result == RESULT_OK) {
		int64_t now_us = time_boot_us();

		term_owes(&c->term, event.time_us);
		/* Otherwise the work starts now, and term_started() renews. */
		if (count || event.time_us > now_us)
			term_renew(&c->term, now_us);
	}
	cluster_post(c, &event);
}

static void on_peers(void *userdata, enum election_result result, int32_t count)
{
	cluster_post_result(userdata, ELECTION_PEERS, result, count);
}

static void on_fenced(void *userdata, enum election_result result)
{
	cluster_post_result(userdata, ELECTION_FENCED, result, 0);
}

static void on_fence(void *userdata, const char *name)
{
	const struct cluster_event event = { .type = CLUSTER_FENCE, .name = name };
	struct cluster *c = userdata;

	c->on_event(c->userdata, &event);
}

static void on_corpse(void *userdata, enum recovery_news news, const char *name,
		      const char *router_state, int64_t wait_us)
{
	cluster_say_corpse(userdata, news, name, router_state, wait_us);
}

void cluster_scan(struct cluster *c)
{
	recovery_scan(&c->recovery, c->session, on_corpses);
}

void cluster_count_peers(struct cluster *c)
{
	/* Before it contends, a node waits only for nodes of a higher rank. */
	int64_t above = c->election->phase == PHASE_CONTEND ? c->config->node.rank : PEERS_ANY_RANK;

	peers_count(&c->peers, c->session, c->name, above, on_peers, c);
}

void cluster_fence(struct cluster *c)
{
	recovery_fence(&c->recovery, c->config->fence.failure == CONFIG_FENCE_FAILURE_CONTINUE,
		       on_fenced);
}

void cluster_fenced(struct cluster *cluster, bool ok)
{
	bool proven = ok && cluster->config->fence.command.argv;

	recovery_fenced(&cluster->recovery, ok, proven ? "fenced" : "dead");
}

/* -- the parts -- */

void cluster_init_parts(struct cluster *c)
{
	bool coordinator = c->rules->coordinator;

	c->term.on_renewed = on_renewed;
	c->term.on_claim = on_claim;
	c->term.on_superseded = on_superseded;
	c->term.on_refused = on_renewal_refused;
	c->term.userdata = c;
	view_init(&c->view, c->name, coordinator, on_view, on_junk, c);
	writes_init(&c->writes, &c->view, &c->term, c->name);
	c->writes.on_done = on_done;
	c->writes.on_missing = on_missing;
	c->writes.on_refused = on_refused;
	c->writes.on_stale = cluster_repair_later;
	c->writes.userdata = c;
	witness_init(&c->witness, c->loop, &c->survivor, on_silent, c);
	recovery_init(&c->recovery, &c->survivor, c->name, on_fence, on_corpse, c);
}
