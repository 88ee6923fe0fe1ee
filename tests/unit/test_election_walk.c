/* SPDX-License-Identifier: Apache-2.0 */
#include "test_election_walk.h"

#include <assert.h>
#include <string.h>

#include "election/lease.h"

#define SESSION_US INT64_C(6000000)
#define SHORTER_SESSION_US INT64_C(4800000)
#define LATE_US INT64_C(20000000)
#define TERM_LEFT_US INT64_C(700000) /* of a node that was primary before */

void walk_init(struct walk *walk, int64_t now_us)
{
	memset(walk, 0, sizeof(*walk));
	election_init(&walk->core);
	walk->core.now_us = now_us;
}

static struct election_event *add(const struct walk *walk, struct walk_events *events, uint8_t type)
{
	struct election_event *event = &events->list[events->count++];

	assert(events->count <= WALK_EVENTS_MAX);
	memset(event, 0, sizeof(*event));
	event->type = type;
	event->now_us = walk->core.now_us;
	return event;
}

static void add_result(const struct walk *walk, struct walk_events *events, uint8_t type,
		       uint8_t result)
{
	add(walk, events, type)->result = result;
}

static void add_count(const struct walk *walk, struct walk_events *events, uint8_t type,
		      int32_t count)
{
	add(walk, events, type)->count = count;
}

static void list_start(const struct walk *walk, struct walk_events *events)
{
	static const int64_t ends_us[] = { 3000000, 1000000, 500000, -500000 };

	add(walk, events, ELECTION_START)->resume = RESUME_COLD;
	for (size_t i = 0; i < sizeof(ends_us) / sizeof(ends_us[0]); i++) {
		for (uint8_t resume = RESUME_PRIMARY; resume <= RESUME_OTHER; resume++) {
			struct election_event *event = add(walk, events, ELECTION_START);

			event->resume = resume;
			event->lease_end_us = walk->core.now_us + ends_us[i];
			event->epoch = 5;
			event->session_us = SESSION_US;
		}
	}
}

static void list_time(const struct walk *walk, const struct election_config *config,
		      struct walk_events *events)
{
	int64_t next_us = election_next_us(config, &walk->core);

	if (!next_us)
		return;
	add(walk, events, ELECTION_TIME)->now_us = next_us;
	add(walk, events, ELECTION_TIME)->now_us = next_us + LATE_US;
}

static void list_session(const struct walk *walk, struct walk_events *events)
{
	bool open = walk->op || walk->scan || walk->peers;

	if (walk->core.attached)
		add(walk, events, ELECTION_SESSION_DOWN);
	else if (!open && !walk->broken) {
		struct election_event *event = add(walk, events, ELECTION_SESSION_UP);

		event->session_us = SESSION_US;
		event->fresh = !walk->session;
		event = add(walk, events, ELECTION_SESSION_UP);
		event->session_us = SHORTER_SESSION_US;
		event->fresh = !walk->session;
	}
	if (walk->session)
		add(walk, events, ELECTION_SESSION_LOST);
}

static void add_view(const struct walk *walk, struct walk_events *events, uint8_t key, uint8_t post,
		     bool moved)
{
	struct election_view *view = &add(walk, events, ELECTION_VIEW)->view;

	*view = walk->core.view;
	view->key = key;
	view->post = post;
	view->epoch_known = 1;
	view->key_version += moved;
	view->key_mzxid += 2 * moved;
}

static bool same_value(uint8_t a, uint8_t b)
{
	return a == b || (a == KEY_OTHER && b == KEY_DEAD) || (a == KEY_DEAD && b == KEY_OTHER);
}

static void list_views(const struct walk *walk, struct walk_events *events)
{
	const struct election_view *view = &walk->core.view;

	for (uint8_t post = POST_UNKNOWN; post <= POST_OTHER; post++) {
		for (uint8_t key = KEY_MISSING; key <= KEY_DEAD; key++) {
			if (view->key_mzxid && same_value(key, view->key))
				add_view(walk, events, key, post, false);
			add_view(walk, events, key, post, true);
		}
	}
	if (!view->key_mzxid || view->key == KEY_UNKNOWN || view->post == POST_UNKNOWN)
		return;
	add_view(walk, events, view->key, view->post, false);
	events->list[events->count - 1].view.drained ^= 1;
	add_view(walk, events, view->key, view->post, false);
	events->list[events->count - 1].view.maintenance ^= 1;
	add_view(walk, events, view->key, view->post, false);
	events->list[events->count - 1].view.absent ^= 1;
	add_view(walk, events, view->key, view->post, false);
	events->list[events->count - 1].view.epoch_known = 0;
	add_view(walk, events, view->key, view->post, false);
	events->list[events->count - 1].view.epoch += 7;
}

/* Answers that came over the connection: none but UNKNOWN once it is gone. */
static void list_answers(const struct walk *walk, struct walk_events *events)
{
	bool alive = walk->core.attached && !walk->broken;

	for (uint8_t result = RESULT_OK; result <= RESULT_FAILED; result++) {
		if (!alive && result != RESULT_UNKNOWN)
			continue;
		if (walk->op) {
			struct election_event *event = add(walk, events, ELECTION_DONE);

			event->op = walk->op;
			event->result = result;
			event->zxid = walk->core.view.key_mzxid + 2;
		}
		if (walk->renew && result <= RESULT_CONFLICT) {
			add_result(walk, events, ELECTION_RENEWED, result);
			events->list[events->count - 1].time_us = walk->renew_us;
		}
		if (walk->lock == LOCK_WAITING ||
		    (walk->lock == LOCK_HELD && result > RESULT_CONFLICT))
			add_result(walk, events, ELECTION_LOCK, result);
	}
	if (walk->scan) {
		add_result(walk, events, ELECTION_CORPSES, RESULT_UNKNOWN);
		for (int32_t count = 0; alive && count < 3; count++)
			add_count(walk, events, ELECTION_CORPSES, count);
		if (alive) {
			add_result(walk, events, ELECTION_CORPSES, RESULT_CONFLICT);
			add_count(walk, events, ELECTION_CORPSES, 1);
			events->list[events->count - 1].time_us = walk->core.now_us + TERM_LEFT_US;
		}
	}
	if (walk->peers) {
		add_result(walk, events, ELECTION_PEERS, RESULT_UNKNOWN);
		for (int32_t count = 0; alive && count < 3; count += 2)
			add_count(walk, events, ELECTION_PEERS, count);
	}
}

static void list_local(const struct walk *walk, struct walk_events *events)
{
	static const uint8_t fenced[] = { RESULT_OK, RESULT_UNKNOWN, RESULT_FAILED };

	for (size_t i = 0; walk->fence && i < 3; i++)
		add_result(walk, events, ELECTION_FENCED, fenced[i]);
	if (walk->start) {
		add_result(walk, events, ELECTION_STARTED, RESULT_OK);
		add_result(walk, events, ELECTION_STARTED, RESULT_FAILED);
	}
	if (walk->stop)
		add(walk, events, ELECTION_STOPPED);
	add_result(walk, events, ELECTION_HEALTH, walk->core.healthy ? RESULT_FAILED : RESULT_OK);
	if (!walk->core.shutdown)
		add(walk, events, ELECTION_SHUTDOWN);
	add(walk, events, ELECTION_PARDON);
}

void walk_list(const struct walk *walk, const struct election_config *config,
	       struct walk_events *ret_events)
{
	ret_events->count = 0;
	if (walk->core.phase == PHASE_INIT) {
		list_start(walk, ret_events);
		return;
	}
	if (walk->core.phase == PHASE_GONE)
		return;
	list_time(walk, config, ret_events);
	list_session(walk, ret_events);
	list_answers(walk, ret_events);
	list_local(walk, ret_events);
	if (walk->core.attached && !walk->broken)
		list_views(walk, ret_events);
}

static void note_event(struct walk *walk, const struct election_event *event)
{
	if (event->result == RESULT_UNKNOWN && event->type != ELECTION_FENCED &&
	    event->type != ELECTION_LOCK)
		walk->broken = walk->core.attached;
	switch ((enum election_event_type)event->type) {
	case ELECTION_START:
		walk->session = event->resume != RESUME_COLD;
		break;
	case ELECTION_SESSION_UP:
		walk->session = walk->refresh = 1;
		break;
	case ELECTION_SESSION_LOST:
		walk->session = walk->broken = walk->refresh = walk->renew = 0;
		break;
	case ELECTION_SESSION_DOWN:
		walk->broken = walk->refresh = walk->renew = 0;
		break;
	case ELECTION_VIEW:
		/* What is not known is being read. */
		walk->refresh = event->view.post == POST_UNKNOWN || !event->view.epoch_known;
		break;
	case ELECTION_DONE:
		if (walk->op == OP_CLAIM && event->result == RESULT_OK)
			walk->lock = LOCK_FREE;
		walk->refresh |= walk->op == OP_REGISTER && event->result == RESULT_OK;
		walk->op = OP_NONE;
		break;
	case ELECTION_LOCK:
		walk->lock = event->result == RESULT_OK ? LOCK_HELD : LOCK_FREE;
		break;
	case ELECTION_CORPSES:
		walk->scan = 0;
		break;
	case ELECTION_FENCED:
		walk->fence = 0;
		break;
	case ELECTION_STARTED:
		walk->start = 0;
		break;
	case ELECTION_STOPPED:
		walk->stop = 0;
		break;
	case ELECTION_RENEWED:
		walk->renew = 0;
		break;
	case ELECTION_PEERS:
		walk->peers = 0;
		break;
	case ELECTION_TIME:
	case ELECTION_HEALTH:
	case ELECTION_PARDON:
	case ELECTION_SHUTDOWN:
	case ELECTION_EVENT_COUNT:
		break;
	}
}

static void note_action(struct walk *walk, const struct election_action *action)
{
	switch ((enum election_action_type)action->type) {
	case ACTION_DO:
		walk->op = action->op;
		break;
	case ACTION_LOCK:
		walk->lock = LOCK_WAITING;
		break;
	case ACTION_UNLOCK:
		walk->lock = LOCK_FREE;
		break;
	case ACTION_SCAN:
		walk->scan = 1;
		break;
	case ACTION_FENCE:
		walk->fence = 1;
		break;
	case ACTION_START:
		walk->start = 1;
		break;
	case ACTION_STOP:
		walk->start = 0;
		walk->stop = 1;
		break;
	case ACTION_RENEW:
		walk->renew = 1;
		walk->renew_us = walk->core.now_us;
		break;
	case ACTION_REFRESH:
		walk->refresh = 1;
		break;
	case ACTION_COUNT_PEERS:
		walk->peers = 1;
		break;
	case ACTION_CUT:
	case ACTION_DEPART:
	case ELECTION_ACTION_COUNT:
		break;
	}
}

void walk_note(struct walk *walk, const struct election_event *event,
	       const struct election_actions *actions)
{
	note_event(walk, event);
	for (int32_t i = 0; i < actions->count; i++)
		note_action(walk, &actions->list[i]);
}

const char *walk_stuck(const struct walk *walk, const struct election_config *config)
{
	const struct election *e = &walk->core;
	bool open = walk->op || walk->lock || walk->scan || walk->fence || walk->peers ||
		    walk->renew || walk->start || walk->stop || walk->refresh;

	if (e->phase == PHASE_INIT || e->phase == PHASE_GONE || !e->attached || walk->broken)
		return NULL;
	if ((e->view.key == KEY_UNKNOWN || e->view.post == POST_UNKNOWN) && e->registered &&
	    !open && !election_next_us(config, e))
		return "the view is not known, and nobody reads it";
	if (e->phase == PHASE_RECOVER && !walk->scan && !walk->fence && !walk->refresh &&
	    !walk->renew && e->view.post != POST_UNKNOWN && e->now_us >= e->waits_over_us &&
	    e->now_us >= e->deadline_us && e->now_us >= e->retry_us)
		return "a takeover that waits for nothing";
	if (open || election_next_us(config, e))
		return NULL;
	if (e->phase == PHASE_FOLLOW || (e->phase == PHASE_AWAIT && e->view.post != POST_NONE))
		return NULL;
	return "a phase that nothing can end";
}

static uint64_t mix(uint64_t hash, uint64_t value)
{
	hash = (hash ^ value) * UINT64_C(0x9e3779b97f4a7c15);
	return hash ^ hash >> 29;
}

static uint64_t mix_order(uint64_t hash, int64_t a, int64_t b)
{
	return mix(hash, (uint64_t)((a != 0) + 2 * (b != 0) + 4 * (a < b) + 8 * (a == b)));
}

/* Whatever is over is over, however long ago. */
static uint64_t ahead(int64_t time_us, int64_t now_us)
{
	return time_us > now_us ? (uint64_t)(time_us - now_us) : (uint64_t)(time_us != 0);
}

static uint64_t ago(int64_t time_us, int64_t now_us)
{
	return time_us ? (uint64_t)(now_us - time_us) : UINT64_MAX;
}

uint64_t walk_hash(const struct walk *walk)
{
	const struct election *e = &walk->core;
	const struct election_view *view = &e->view;
	const int64_t ahead_us[] = { e->deadline_us,	  e->lease_end_us, e->renew_next_us,
				     e->penalty_until_us, e->retry_us,	   e->depart_by_us,
				     e->waits_over_us };
	const uint8_t *bytes = &e->phase;
	const uint8_t *shell = &walk->op;
	uint64_t hash = mix((uint64_t)e->session_us, (uint64_t)e->corpses);

	static_assert(sizeof(struct election) == 208, "a new member: does it belong here?");
	for (size_t i = 0; i < sizeof(ahead_us) / sizeof(ahead_us[0]); i++)
		hash = mix(hash, ahead(ahead_us[i], e->now_us));
	hash = mix(hash, ago(e->op_sent_us, e->now_us));
	hash = mix(hash, ago(e->proof_us, e->now_us));
	hash = mix(hash, e->lease_end_us ? ago(e->progress_us, e->now_us) : 0);
	hash = mix(hash, (uint64_t)e->term_us);
	hash = mix(hash, walk->renew ? ago(walk->renew_us, e->now_us) : 0);
	for (size_t i = 0; i < 18; i++)
		hash = mix(hash, bytes[i]);
	for (size_t i = 0; i < 11; i++)
		hash = mix(hash, shell[i]);
	hash = mix(hash, (uint64_t)(view->key | view->post << 8 | view->drained << 16 |
				    view->maintenance << 24 | (uint64_t)view->absent << 32 |
				    (uint64_t)view->epoch_known << 40));
	hash = mix(hash, e->seen_version == view->key_version);
	hash = mix_order(hash, e->lease_end_us - lease_length_us(e->term_us), e->waits_over_us);
	hash = mix_order(hash, e->failed_mzxid, view->key_mzxid);
	hash = mix_order(hash, e->epoch, view->epoch);
	hash = mix_order(hash, e->epoch, view->post_epoch);
	return mix_order(hash, e->epoch, view->key_mzxid);
}
