/* SPDX-License-Identifier: Apache-2.0 */
#include "sim.h"

#include <string.h>

/*
 * Sessions. The leader expires one between T and T + tick after the last touch it knows of. It
 * knows of a touch at a follower only when that follower reports, every half tick; what an isolated
 * follower has not reported yet is lost. The reports are not events: where a touch lands is
 * computed when somebody asks. Each touch brings the timeout along that its server granted, also
 * when that is a shorter one; only the one that a session was created with is kept in the log.
 */

struct sim_session *session_get(struct sim *w, int32_t id)
{
	struct sim_session *s = &w->sessions[id & (SESSIONS_MAX - 1)];

	return id && s->id == id ? s : NULL;
}

/* Reports that were due and went through have become knowledge. */
static void settle(struct sim *w, struct sim_session *s)
{
	for (int i = 0; i < w->server_count; i++) {
		if (!s->pending[i] || s->pending[i] > w->now)
			continue;
		if (s->pending[i] > s->base) {
			s->base = s->pending[i];
			s->timeout = s->pending_timeout[i];
		}
		s->pending[i] = 0;
	}
}

/* Leaders look at buckets of one tick. */
static int64_t deadline(const struct sim *w, const struct sim_session *s)
{
	int64_t tick = w->params.tick_us;

	return ((s->base + s->timeout) / tick + 1) * tick;
}

static void plan_expiry(struct sim *w, struct sim_session *s, int64_t at)
{
	s->timer++;
	s->planned = at;
	sim_schedule(w, at, EVENT_EXPIRE, 0, s->timer, (uint32_t)(s - w->sessions));
}

/* A shorter timeout moves the deadline nearer: the timer has to look at that moment, not later. */
static void look_at(struct sim *w, struct sim_session *s, int64_t at)
{
	if (!s->closing && at < s->planned)
		plan_expiry(w, s, at);
}

void session_moved(struct sim *w, struct sim_session *s, int64_t timeout)
{
	settle(w, s);
	s->base = w->now;
	s->timeout = timeout;
	look_at(w, s, deadline(w, s));
}

int64_t session_granted(const struct sim *w, int node, int server)
{
	int64_t wants = w->nodes[node].wants_us, grants = w->params.granted_us[server];

	return wants < grants ? wants : grants;
}

void session_step_clock(struct sim *w, int64_t by)
{
	for (int i = 0; i < SESSIONS_MAX; i++) {
		struct sim_session *s = &w->sessions[i];

		if (!s->alive || s->closing)
			continue;
		settle(w, s);
		s->base -= by;
		plan_expiry(w, s, deadline(w, s) > w->now ? deadline(w, s) : w->now);
	}
}

void session_touch(struct sim *w, struct sim_session *s, int server, int64_t timeout)
{
	const struct sim_server *sv = &w->servers[server];
	int64_t period = w->params.tick_us / 2;

	if (!s->alive)
		return;
	settle(w, s);
	if (server == w->leader) {
		bool nearer = timeout < s->timeout;

		s->base = w->now;
		s->timeout = timeout;
		if (nearer)
			look_at(w, s, deadline(w, s));
		return;
	}
	s->pending[server] = NEVER;
	s->pending_timeout[server] = timeout;
	if (server_linked(w, server))
		s->pending[server] = w->now - (w->now - sv->report_phase) % period + period;
	if (timeout < s->timeout)
		look_at(w, s, s->pending[server]);
}

static void lose_reports(struct sim *w, int server, int64_t until)
{
	for (int i = 0; i < SESSIONS_MAX; i++) {
		struct sim_session *s = &w->sessions[i];

		if (!s->alive)
			continue;
		settle(w, s);
		for (int k = 0; k < w->server_count; k++)
			if (s->pending[k] && (k == server || server == w->leader))
				s->pending[k] = until;
	}
}

/* The server lost its life or gave up on its leader: what it had not reported is lost. */
void session_server_gone(struct sim *w, int server)
{
	lose_reports(w, server, 0);
}

/* A link stalls: the reports wait, at this follower, or at all if it is the leader. */
void session_server_cut(struct sim *w, int server)
{
	lose_reports(w, server, NEVER);
}

/*
 * The leader's pings, which waited in the link as well, are answered before anything that was sent
 * after them.
 */
void session_server_linked(struct sim *w, int server)
{
	for (int i = 0; i < SESSIONS_MAX; i++) {
		struct sim_session *s = &w->sessions[i];

		if (!s->alive || s->pending[server] != NEVER)
			continue;
		s->base = w->now;
		s->timeout = s->pending_timeout[server];
		s->pending[server] = 0;
		look_at(w, s, deadline(w, s));
	}
}

void session_new_leader(struct sim *w)
{
	for (int i = 0; i < SESSIONS_MAX; i++) {
		struct sim_session *s = &w->sessions[i];

		if (!s->alive)
			continue;
		s->base = w->now;
		s->timeout = s->created_timeout;
		memset(s->pending, 0, sizeof(s->pending));
		s->closing = 0;
		s->owner = 0;
		plan_expiry(w, s, deadline(w, s));
	}
}

int32_t session_create(struct sim *w, int node, int64_t timeout)
{
	for (int k = 0; k < SESSIONS_PER_NODE; k++) {
		int slot = node * SESSIONS_PER_NODE + k;
		struct sim_session *s = &w->sessions[slot];

		if (s->alive)
			continue;
		*s = (struct sim_session){
			.id = ++w->session_count * SESSIONS_MAX + slot,
			.node = (int8_t)node,
			.alive = 1,
			.base = w->now,
			.timeout = timeout,
			.created_timeout = timeout,
			.timer = s->timer,
		};
		plan_expiry(w, s, deadline(w, s));
		return s->id;
	}
	return 0;
}

void session_closed(struct sim *w, int32_t id)
{
	struct sim_session *s = session_get(w, id);

	if (!s || !s->alive)
		return;
	s->alive = 0;
	s->closing = 0;
	s->closed_zxid = w->zxid;
}

static void commit_expiry(struct sim *w, struct sim_session *s)
{
	struct sim_txn txn = { .type = TXN_CLOSE, .session = s->id, .node = s->node };

	SIM_TRACE(w, "zk    session %d of node %d expires", s->id, s->node);
	w->stats.expiries++;
	commit_txn(w, &txn, -1, w->leader);
}

/* First the leader decides, then a quorum agrees: two firings of the timer. */
void session_on_expire(struct sim *w, uint32_t slot)
{
	struct sim_session *s = &w->sessions[slot];

	if (!s->alive || w->leader < 0)
		return;
	settle(w, s);
	if (!server_can_commit(w)) {
		s->closing = 0;
		plan_expiry(w, s, w->now + w->params.tick_us);
	} else if (s->closing) {
		commit_expiry(w, s);
	} else if (deadline(w, s) > w->now) {
		plan_expiry(w, s, deadline(w, s));
	} else {
		s->closing = 1;
		plan_expiry(w, s, w->now + commit_latency(w));
	}
}
