/* SPDX-License-Identifier: Apache-2.0 */
#include "story.h"

#include <string.h>

#include "base/duration.h"
#include "election/lease.h"

/* 0: there is no such moment. */
static int64_t since(const struct story *story, int64_t then_us)
{
	return then_us ? story->election->now_us - then_us : 0;
}

/* Of a node whose work went away, "not healthy" is the consequence. */
static const char *reason_text(const struct story *story, uint8_t reason)
{
	const char *trouble = work_trouble(story->work);

	return reason == REASON_UNHEALTHY && *trouble ? trouble : election_reason_text(reason);
}

static const char *named_how(const struct election *before, const struct election *e)
{
	/* By whom and when, nobody here has seen. */
	if (before->phase == PHASE_OFFLINE)
		return "already named primary";
	if (before->phase == PHASE_LEAVE && before->view.key == KEY_ME &&
	    before->view.key_version == e->view.key_version)
		return "still named primary: taking over again";
	return "named primary by an operator";
}

static void say_claimed(struct story *story, const struct election *before, struct log_fields *f)
{
	bool claimed = story->election->reason == REASON_CLAIMED;

	f->epoch = story->election->view.key_mzxid;
	f->usec = claimed ? since(story, story->claimed_us) : 0;
	story->takeover_us = story->election->now_us;
	if (claimed)
		log_event(story->log, EVENT_CLAIMED, f, "claimed the vacant role");
	else
		log_event(story->log, EVENT_NAMED, f, "%s", named_how(before, story->election));
}

/* Slow servers, or none: what helps is not the same. */
static void say_lease(struct story *story, struct log_fields *f)
{
	const struct election *e = story->election;
	char waited[DURATION_TEXT_SIZE], allowed[DURATION_TEXT_SIZE];

	if (!e->attached) {
		log_event(
			story->log, EVENT_LEASE_RUNNING_OUT, f,
			"the lease runs out, because no server can be reached: stopping the work");
		return;
	}
	duration_format((e->now_us - e->progress_us) / 1000 * 1000, waited);
	duration_format(lease_patience_us(e->term_us), allowed);
	log_event(story->log, EVENT_LEASE_RUNNING_OUT, f,
		  "the lease runs out, because no renewal was committed for %s (at most %s is "
		  "allowed): stopping the work",
		  waited, allowed);
}

static void say_stop(struct story *story, const struct election *before, struct log_fields *f)
{
	static const struct {
		uint8_t reason;
		enum event event;
		const char *text;
	} causes[] = {
		{ REASON_POST_LOST, EVENT_POST_LOST, "the post is gone: stopping the work" },
		{ REASON_SESSION_LOST, EVENT_LEASE_LOST, "the session expired: stopping the work" },
		{ REASON_WORK_FAILED, EVENT_TAKEOVER_FAILED,
		  "the work did not start: undoing the takeover" },
		{ REASON_FENCE_FAILED, EVENT_TAKEOVER_FAILED,
		  "a node that died while acting could not be fenced: the role stays vacant" },
	};

	story->relinquish_us = story->election->now_us;
	f->reason = reason_text(story, story->election->stop_reason);
	if (story->election->stop_reason == REASON_LEASE) {
		say_lease(story, f);
		return;
	}
	for (size_t i = 0; i < sizeof(causes) / sizeof(causes[0]); i++) {
		if (causes[i].reason != story->election->stop_reason)
			continue;
		log_event(story->log, causes[i].event, f, "%s", causes[i].text);
		return;
	}
	if (before->phase == PHASE_HANDOVER && before->peers == PEERS_SOME) {
		f->usec = since(story, before->phase_since_us);
		log_event(story->log, EVENT_HANDOVER_TIMEOUT, f,
			  "no successor claimed the role in time");
	}
	if (before->phase != PHASE_INIT)
		log_event(story->log, EVENT_RELINQUISH_STARTED, f, "stopping the work: %s",
			  f->reason);
}

static void say_follow(struct story *story, const struct election *before, struct log_fields *f)
{
	switch (before->phase) {
	case PHASE_AWAIT:
	case PHASE_ENTER:
		log_event(story->log, EVENT_TAKEOVER_CANCELLED, f, "takeover cancelled: %s",
			  f->reason);
		break;
	case PHASE_CONTEND:
	case PHASE_LOCK:
	case PHASE_CLAIM:
		f->usec = since(story, story->claimed_us);
		log_event(story->log, EVENT_CONTENTION_LOST, f, "did not claim the role: %s",
			  f->reason);
		break;
	default:
		break;
	}
}

static void say_primary(struct story *story, const struct election *before, struct log_fields *f)
{
	switch (before->phase) {
	case PHASE_BEGIN:
		f->usec = since(story, story->takeover_us);
		log_event(story->log, EVENT_PRIMARY, f, "primary: the work is running");
		cluster_record_takeover(story->cluster, f->usec,
					story->post_us - story->takeover_us,
					since(story, before->phase_since_us));
		break;
	case PHASE_RESUME:
		log_event(story->log, EVENT_SESSION_RESUMED, f,
			  "still primary: the work was not touched");
		break;
	case PHASE_VACATED:
		log_event(story->log, EVENT_RECLAIMED, f,
			  "no other node claimed the role: this node keeps it");
		break;
	default:
		log_event(story->log, EVENT_RELINQUISH_CANCELLED, f, "remains primary");
	}
}

static void say_vacancy(struct story *story, struct log_fields *f)
{
	story->claimed_us = story->election->now_us;
	log_event(story->log, EVENT_VACANCY, f, "the role is vacant (%s): contending", f->reason);
}

static void say_left(struct story *story, struct log_fields f)
{
	f.usec = since(story, story->relinquish_us);
	log_event(story->log, EVENT_RELINQUISHED, &f, "the post is released");
}

static void say_move(struct story *story, const struct election *before)
{
	const struct election *e = story->election;
	struct log_fields f = { 0 };

	f.reason = reason_text(story, e->reason);
	/* One event can make several moves; what is said here is the first and the last of them. */
	if (before->phase == PHASE_LEAVE && e->reason != REASON_SESSION_LOST)
		say_left(story, f);
	if (before->phase == PHASE_OFFLINE && e->registered)
		log_event(story->log, EVENT_REGISTERED, &f, "registered as %s",
			  story->rules->coordinator ? "coordinator" : "client");
	/* Nothing was running yet: the stop was over in the same step. */
	if (election_acting(before) && before->phase != PHASE_STOP &&
	    before->phase != PHASE_LEAVE && (e->phase == PHASE_LEAVE || e->phase == PHASE_OFFLINE))
		say_stop(story, before, &f);
	switch ((enum election_phase)e->phase) {
	case PHASE_CONTEND:
	case PHASE_LOCK:
		if (before->phase != PHASE_CONTEND)
			say_vacancy(story, &f);
		break;
	case PHASE_FOLLOW:
		say_follow(story, before, &f);
		break;
	case PHASE_AWAIT:
		if (before->phase == PHASE_ENTER)
			log_event(story->log, EVENT_TAKEOVER_WAITING, &f, "waiting: %s", f.reason);
		else
			say_claimed(story, before, &f);
		break;
	case PHASE_RECOVER:
		story->post_us = e->now_us;
		log_event(story->log, EVENT_TAKEOVER_STARTED, &f,
			  "this node has the post: taking over");
		break;
	case PHASE_PRIMARY:
		say_primary(story, before, &f);
		break;
	case PHASE_VACATED:
		log_event(story->log, EVENT_RELEASED, &f,
			  "%s: remaining primary until another node claims the role", f.reason);
		break;
	case PHASE_YIELD:
		f.target = cluster_seen(story->cluster).holder;
		log_event(story->log, EVENT_NAMED, &f, "%s is named primary: handing over",
			  f.target);
		break;
	case PHASE_HANDOVER:
		log_event(story->log, EVENT_RELEASED, &f,
			  "giving up the role (%s): waiting for a successor", f.reason);
		break;
	case PHASE_STOP:
		say_stop(story, before, &f);
		break;
	case PHASE_GONE:
		log_event(story->log, EVENT_SHUTDOWN, &f, "leaving the cluster");
		break;
	default:
		break;
	}
}

/* Every move as such, for whoever follows closely; the sentences above tell the story. */
static void say_state(struct story *story, const struct election *before)
{
	struct log_fields f = { 0 };

	f.reason = reason_text(story, story->election->reason);
	f.usec = story->election->now_us - before->phase_since_us;
	if (before->phase == PHASE_INIT)
		f.usec = 0;
	log_event(story->log, EVENT_STATE_CHANGED, &f, "%s -> %s: %s",
		  election_phase_text(before->phase), election_phase_text(story->election->phase),
		  f.reason);
}

/* What stands against it now; nothing but a takeover that failed, if nothing does. */
static const char *why_unwilling(const struct story *story)
{
	static const uint32_t obstacles[] = { OBSTACLE_CLIENT, OBSTACLE_SHUTDOWN, OBSTACLE_DRAINED,
					      OBSTACLE_UNHEALTHY };
	const struct election *e = story->election;
	uint32_t bits = election_own_obstacles(story->rules, e);

	for (size_t i = 0; i < sizeof(obstacles) / sizeof(obstacles[0]); i++)
		if (bits & obstacles[i])
			return election_obstacle_text(obstacles[i]);
	if (cluster_was_refused(story->cluster))
		return "the servers refused its takeover";
	return election_reason_text(e->stop_reason);
}

/* What is waited for before the dead are fenced. */
static void say_acquire_delay(struct story *story)
{
	struct log_fields f = { 0 };
	char delay[DURATION_TEXT_SIZE];

	f.usec = story->rules->acquire_delay_us;
	log_event(story->log, EVENT_ACQUIRE_WAITING, &f,
		  "waiting for %s before taking over from a dead node",
		  duration_format(f.usec, delay));
}

/* Once a contest: when it is known how many nodes of a higher rank may claim. */
static void say_head_start(struct story *story)
{
	struct log_fields f = { 0 };
	char delay[DURATION_TEXT_SIZE];

	f.usec = story->rules->contend_delay_us;
	log_event(
		story->log, EVENT_CONTENTION_WAITING, &f,
		"nodes of a higher rank may claim the role first: waiting for them for at most %s",
		duration_format(f.usec, delay));
}

/* Somebody keeps the lock: the first contest for this vacancy, and why it was lost, are told; the next ones are not. */
static bool contends_again(const struct election *before, const struct election *e)
{
	bool began = before->phase == PHASE_FOLLOW &&
		     (e->phase == PHASE_CONTEND || e->phase == PHASE_LOCK);
	bool lost = before->phase == PHASE_LOCK && e->phase == PHASE_FOLLOW &&
		    e->reason == REASON_LOCK_TIMEOUT;

	return before->refusals && (began || lost);
}

void story_step(struct story *story, const struct election *before)
{
	const struct election *e = story->election;
	struct log_fields f;
	char delay[DURATION_TEXT_SIZE];

	if (e->phase != before->phase && !contends_again(before, e)) {
		say_move(story, before);
		say_state(story, before);
	}
	if (e->phase == PHASE_CONTEND && e->peers == PEERS_SOME && before->peers != PEERS_SOME)
		say_head_start(story);
	if (e->corpses > 0 && before->corpses < 0 && story->rules->acquire_delay_us > 0)
		say_acquire_delay(story);
	if (e->penalty_until_us > before->penalty_until_us) {
		f = (struct log_fields){ 0 };
		f.usec = e->penalty_until_us - e->now_us;
		log_event(story->log, EVENT_PENALTY, &f,
			  "this node stays out of the election for %s after %u failed takeover(s)",
			  duration_format(f.usec, delay), e->failures);
	}
	/* Who acts has said that it releases the role. */
	if (before->op == OP_HAND_BACK && e->op != OP_HAND_BACK && e->view.key == KEY_NONE &&
	    before->phase != PHASE_HANDOVER) {
		f = (struct log_fields){ 0 };
		f.reason = why_unwilling(story);
		log_event(story->log, EVENT_HANDED_BACK, &f, "handed the role back: %s", f.reason);
	}
}
