/* SPDX-License-Identifier: Apache-2.0 */
#include "renewal.h"

#include <string.h>

#include "base/wall.h"

/* No ensemble grants longer sessions: a longer one is junk. */
#define SESSION_MAX_US (10 * DURATION_MIN)
/* Looks within one T: two within each period of renewal. */
#define LOOKS 24

static bool is_usable(const struct node_facts *primary)
{
	return primary && primary->alive && primary->detail.session_us > 0 &&
	       primary->detail.session_us <= SESSION_MAX_US;
}

bool renewal_decided(void *renewal)
{
	const struct renewal *r = renewal;

	return r->over || renewal_suffices(&r->seen);
}

static void on_read(void *userdata, int result, const struct zkh_stat *stat)
{
	struct renewal *r = userdata;

	r->op = NULL;
	if (result == ZKH_OK || result == ZKH_NO_NODE)
		renewal_note(&r->seen, stat ? stat->mzxid : 0, stat ? stat->mtime_ms : 0,
			     r->sent_us, time_monotonic_us(), wall_now_ms());
	else if (!zkh_is_unanswered(result))
		r->over = true;
	if (r->on_look)
		r->on_look(r->userdata);
}

static void read_key(struct renewal *r)
{
	r->sent_us = time_monotonic_us();
	if (zkh_exists(r->ctl->session, r->path, false, on_read, r, &r->op) != 0)
		r->op = NULL;
}

static void on_synced(void *userdata, int result)
{
	struct renewal *r = userdata;

	r->op = NULL;
	if (result == ZKH_OK)
		read_key(r);
}

/* A server that lags behind would show a key that stands still: not before it has caught up. */
static void look(struct renewal *r)
{
	if (r->op || r->over)
		return;
	if (!r->seen.known)
		read_key(r);
	else if (zkh_sync(r->ctl->session, on_synced, r, &r->op) != 0)
		r->op = NULL;
}

static void on_timer(struct ev_loop *loop, ev_timer *timer, int events)
{
	look(timer->data);
}

void renewal_open(struct renewal *r, struct ctl *ctl, const struct facts *facts,
		  void (*on_look)(void *userdata), void *userdata)
{
	const struct node_facts *primary = facts_primary(facts);
	double period;

	*r = (struct renewal){ .ctl = ctl, .on_look = on_look, .userdata = userdata };
	r->epoch = facts->epoch;
	r->seen.post_since_ms = facts->post_since_ms;
	ev_timer_init(&r->timer, on_timer, 0., 0.);
	r->timer.data = r;
	r->over = !is_usable(primary);
	if (r->over)
		return;
	r->seen.session_us = primary->detail.session_us;
	strcpy(r->name, primary->name);
	node_key_path(r->name, NODE_KEY_KEEPALIVE, r->path);
	period = (double)r->seen.session_us / 1e6 / LOOKS;
	ev_timer_set(&r->timer, period, period);
	ev_timer_start(ctl->loop, &r->timer);
	look(r);
}

void renewal_close(struct renewal *r)
{
	if (!r->ctl)
		return;
	zkh_op_cancel(r->op);
	ev_timer_stop(r->ctl->loop, &r->timer);
	memset(r, 0, sizeof(*r));
}

bool renewal_follows(const struct renewal *r, const struct facts *facts)
{
	const struct node_facts *primary = facts_primary(facts);

	return r->ctl && r->over == !is_usable(primary) && r->epoch == facts->epoch &&
	       r->seen.post_since_ms == facts->post_since_ms &&
	       (!primary || r->over ||
		(!strcmp(r->name, primary->name) &&
		 r->seen.session_us == primary->detail.session_us));
}
