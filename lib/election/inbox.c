/* SPDX-License-Identifier: Apache-2.0 */
#include "inbox.h"

static void append(struct election_inbox *inbox, const struct election_event *event)
{
	inbox->events[(inbox->head + inbox->length++) % ELECTION_INBOX_MAX] = *event;
}

bool election_inbox_take(struct election_inbox *inbox, struct election_event *ret_event)
{
	if (!inbox->length)
		return false;
	*ret_event = inbox->events[inbox->head];
	inbox->head = (inbox->head + 1) % ELECTION_INBOX_MAX;
	inbox->length--;
	return true;
}

/* Not the end of an operation: each has exactly one. */
static bool is_void_without_session(const struct election_event *event)
{
	switch ((enum election_event_type)event->type) {
	case ELECTION_SESSION_UP:
	case ELECTION_SESSION_DOWN:
	case ELECTION_SESSION_LOST:
	case ELECTION_VIEW:
	case ELECTION_LOCK:
	case ELECTION_CORPSES:
	case ELECTION_RENEWED:
	case ELECTION_PEERS:
		return true;
	case ELECTION_START:
	case ELECTION_TIME:
	case ELECTION_DONE:
	case ELECTION_FENCED:
	case ELECTION_STARTED:
	case ELECTION_STOPPED:
	case ELECTION_HEALTH:
	case ELECTION_PARDON:
	case ELECTION_SHUTDOWN:
	case ELECTION_EVENT_COUNT:
		break;
	}
	return false;
}

static void put_loss(struct election_inbox *inbox, const struct election_event *loss)
{
	struct election_event event;
	unsigned waiting = inbox->length;

	append(inbox, loss);
	while (waiting-- && election_inbox_take(inbox, &event)) {
		if (event.type == ELECTION_DONE)
			event.result = RESULT_UNKNOWN;
		if (!is_void_without_session(&event))
			append(inbox, &event);
	}
}

bool election_inbox_put(struct election_inbox *inbox, const struct election_event *event)
{
	if (inbox->length == ELECTION_INBOX_MAX)
		return false;
	if (event->type == ELECTION_SESSION_LOST)
		put_loss(inbox, event);
	else
		append(inbox, event);
	return true;
}

static enum election_event_type answer_to(enum election_action_type action)
{
	switch ((int)action) {
	case ACTION_UNLOCK:
		return ELECTION_LOCK;
	case ACTION_COUNT_PEERS:
		return ELECTION_PEERS;
	case ACTION_SCAN:
		return ELECTION_CORPSES;
	default:
		return ELECTION_EVENT_COUNT;
	}
}

void election_inbox_act(struct election_inbox *inbox, enum election_action_type action)
{
	enum election_event_type answer = answer_to(action);
	struct election_event event;

	for (unsigned waiting = inbox->length; waiting; waiting--)
		if (election_inbox_take(inbox, &event) && event.type != answer)
			append(inbox, &event);
}
