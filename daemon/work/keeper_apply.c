/* SPDX-License-Identifier: Apache-2.0 */

/* Updates what is known from an event. The only decisions here are those that the event forces. */

#include "keeper_internal.h"

#include <assert.h>

static void note_lease(struct keeper_turn *s, int64_t end_us)
{
	struct keeper *k = s->state;

	if (end_us || s->config->guard)
		k->lease_end_us = end_us;
	if (!end_us || s->config->guard)
		return;
	/* A guard that sees a lease lets the units that wait for it start. */
	if (keeper_may_run(k) &&
	    (k->armed != KEEPER_UNARMED || k->state == KEEPER_UP || k->state == KEEPER_STARTING))
		keeper_say(s, KEEPER_DO_LEASE);
}

static void note_armed(struct keeper_turn *s, enum keeper_result result)
{
	struct keeper *k = s->state;

	if (k->armed != KEEPER_ARM_ASKED)
		return;
	k->armed = result == KEEPER_OK ? KEEPER_ARMED : KEEPER_UNARMED;
	if (result == KEEPER_OK)
		k->unguarded_us = 0;
	if (result == KEEPER_OK || (k->state != KEEPER_UP && k->state != KEEPER_STARTING))
		return;
	k->rearm_us = k->now_us + KEEPER_REARM_US;
	if (!k->unguarded_us)
		k->unguarded_us = k->now_us;
	/* The role is given up while that can be done in order. */
	if (k->now_us - k->unguarded_us > KEEPER_UNGUARDED_MAX_US &&
	    k->trouble == KEEPER_TROUBLE_NONE)
		keeper_set_trouble(s, KEEPER_TROUBLE_GUARD_LOST);
}

static void note_acted(struct keeper_turn *s)
{
	struct keeper *k = s->state;

	if (k->state == KEEPER_STANDBY || k->state == KEEPER_ARMING)
		k->armed = KEEPER_UNARMED;
	if ((k->state == KEEPER_UP || k->state == KEEPER_STARTING) &&
	    k->trouble != KEEPER_TROUBLE_FAILED)
		keeper_set_trouble(s, KEEPER_TROUBLE_GUARD_ACTED);
}

static void start_locked(struct keeper_turn *s, enum keeper_result result)
{
	struct keeper *k = s->state;

	if (result != KEEPER_OK || k->now_us >= keeper_start_by_us(s->config, k->lease_end_us)) {
		keeper_start_failed(s);
		return;
	}
	k->doing = KEEPER_DOES_START;
	keeper_move(s, KEEPER_STARTING);
	keeper_say(s, KEEPER_DO_START);
}

static void try_once(struct keeper_turn *s)
{
	struct keeper *k = s->state;

	assert(!k->stopped);
	k->doing = KEEPER_DOES_TRY;
	k->try_since_us = k->now_us;
	if (k->state == KEEPER_WAITING)
		keeper_move(s, KEEPER_STOPPING);
	keeper_say(s, KEEPER_DO_STOP);
}

/* A lock whose holder runs nothing (it was stopped, or hangs) is waited for until then. */
static int64_t seize_us(const struct keeper_config *config, const struct keeper *k)
{
	return k->lease_end_us - config->lease_timeout_us / 2;
}

static void note_lock(struct keeper_turn *s, const struct keeper_event *event)
{
	enum keeper_result result = (enum keeper_result)event->result;
	struct keeper *k = s->state;

	if (k->doing != KEEPER_DOES_LOCK)
		return;
	k->doing = KEEPER_DOES_NOTHING;
	if (k->state == KEEPER_ARMING) {
		start_locked(s, result);
	} else if (result == KEEPER_OK) {
		/* The stop begins only now, and gets the shortest time that makes sense. */
		if (s->config->guard && k->state == KEEPER_WAITING)
			k->stop_since_us = k->now_us;
		if (!k->stopped)
			try_once(s);
	} else if (result == KEEPER_DONE) {
		k->stopped = 1;
		k->next_us = k->now_us;
		if (k->state == KEEPER_WAITING)
			keeper_move(s, KEEPER_STOPPING);
	} else if (result == KEEPER_OFF && k->state == KEEPER_WAITING) {
		k->lease_end_us = event->lease_end_us;
		k->next_us = k->now_us;
	} else {
		/* The guard has seized the lock, and stops the work now. */
		if (k->state == KEEPER_STOPPING)
			keeper_move(s, KEEPER_WAITING);
		k->next_us = k->now_us + KEEPER_LOOK_US;
		if (result == KEEPER_IDLE && s->config->guard &&
		    k->now_us >= seize_us(s->config, k)) {
			keeper_ask(s, KEEPER_DO_SEIZE);
		}
	}
}

static void note_started(struct keeper_turn *s, enum keeper_result result)
{
	if (s->state->doing != KEEPER_DOES_START)
		return;
	s->state->doing = KEEPER_DOES_NOTHING;
	/* What was started is stopped by now. */
	if (result != KEEPER_OK || s->state->trouble == KEEPER_TROUBLE_GUARD_ACTED) {
		keeper_start_failed(s);
		return;
	}
	keeper_move(s, KEEPER_UP);
	keeper_say(s, KEEPER_DO_UNLOCK);
	keeper_say(s, KEEPER_DO_TELL_UP);
}

static void note_ended(struct keeper_turn *s, enum keeper_result result)
{
	struct keeper *k = s->state;

	if (k->doing != KEEPER_DOES_TRY)
		return;
	k->doing = KEEPER_DOES_NOTHING;
	k->next_us = k->now_us;
	if (result == KEEPER_OK || (k->cold && (k->killed_us || ++k->tries == KEEPER_COLD_TRIES)))
		k->stopped = 1;
	else
		k->next_us += KEEPER_RETRY_US;
}

static void note_clean(struct keeper_turn *s, enum keeper_result result)
{
	struct keeper *k = s->state;

	if (k->doing != KEEPER_DOES_CLEAN)
		return;
	k->doing = KEEPER_DOES_NOTHING;
	if (result == KEEPER_OK)
		keeper_go_down(s);
	else
		k->next_us = k->now_us + KEEPER_LOOK_US;
}

void keeper_apply(struct keeper_turn *s, const struct keeper_event *event)
{
	struct keeper *k = s->state;
	enum keeper_result result = (enum keeper_result)event->result;

	switch ((enum keeper_event_type)event->type) {
	case KEEPER_ON_DOWN:
		if (k->state == KEEPER_UNKNOWN)
			keeper_go_down(s);
		break;
	case KEEPER_ON_RESUME:
		assert(k->state == KEEPER_UNKNOWN && event->lease_end_us);
		k->lease_end_us = event->lease_end_us;
		k->wish = KEEPER_WANTS_UP;
		keeper_move(s, KEEPER_UP);
		break;
	case KEEPER_ON_NAMED:
		if (k->wish == KEEPER_WANTS_DOWN && k->state == KEEPER_DOWN)
			k->wish = KEEPER_WANTS_STANDBY;
		break;
	case KEEPER_ON_UNNAMED:
		if (k->wish == KEEPER_WANTS_STANDBY)
			k->wish = KEEPER_WANTS_DOWN;
		break;
	case KEEPER_ON_LEASE:
		note_lease(s, event->lease_end_us);
		break;
	case KEEPER_ON_START:
		assert(!keeper_may_run(k));
		k->wish = KEEPER_WANTS_UP;
		break;
	case KEEPER_ON_STOP:
		k->wish = KEEPER_WANTS_STOP;
		k->cold = event->cold || (k->state == KEEPER_ARMING && !s->config->units);
		break;
	case KEEPER_ON_ARMED:
		note_armed(s, result);
		break;
	case KEEPER_ON_UNGUARDED:
		k->armed = KEEPER_UNARMED;
		break;
	case KEEPER_ON_ACTED:
		note_acted(s);
		break;
	case KEEPER_ON_LOCK:
		note_lock(s, event);
		break;
	case KEEPER_ON_STARTED:
		note_started(s, result);
		break;
	case KEEPER_ON_FAILED:
		if (k->state != KEEPER_UP)
			break;
		keeper_move(s, KEEPER_UNKNOWN);
		keeper_set_trouble(s, KEEPER_TROUBLE_FAILED);
		break;
	case KEEPER_ON_ENDED:
		note_ended(s, result);
		break;
	case KEEPER_ON_CLEAN:
		note_clean(s, result);
		break;
	case KEEPER_ON_TIME:
	case KEEPER_EVENT_COUNT:
		break;
	}
}
