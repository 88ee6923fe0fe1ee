/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The events to come, by time; those of one instant in the order in which they were planned. */

#include <stdbool.h>
#include <stdint.h>

#define QUEUE_MAX 4096

enum queue_type {
	EVENT_TIMER, /* core: ELECTION_TIME is due */
	EVENT_TELL,  /* arg: enum process_news */
	EVENT_REPLY, /* arg: request, at the node */
	EVENT_WATCH, /* arg: the bit of what changed, and whether it is there, or which lock node; at the node */
	EVENT_CLOSED,	     /* the connection, at the node */
	EVENT_ATTACHED,	     /* arg: session, 0 expired; at the node */
	EVENT_CLIENT,	     /* timer of the client library */
	EVENT_FENCE,	     /* a fence command ends */
	EVENT_STEP,	     /* a daemon that was stopped within a step goes on */
	EVENT_READY,	     /* arg: enum guard_news, at the daemon */
	EVENT_LIBEV,	     /* a timer of what is linked of the daemon; arg: its slot */
	EVENT_RENEW,	     /* the session is left as it is; arg: which */
	EVENT_CALL,	     /* arg: an operation that was called while there was no connection */
	EVENT_UNACKED,	     /* the kernel looks whether the path is dead; gen: connection */
	EVENT_WORK,	     /* arg: enum work_end */
	EVENT_GUARD,	     /* arg 1: it is up */
	EVENT_BOOT,	     /* daemon starts */
	EVENT_TWIN,	     /* another process of that name renews */
	EVENT_ARRIVE,	     /* arg: request, at the server */
	EVENT_CONNECT,	     /* at the server */
	EVENT_REVALIDATE,    /* at the leader */
	EVENT_COMMIT,	     /* arg: request, at the leader */
	EVENT_APPLY,	     /* arg: server */
	EVENT_EXPIRE,	     /* arg: session slot */
	EVENT_CLOSE_SESSION, /* arg: session slot; expiry is committed */
	EVENT_RESIGN,	     /* arg: server, which gives up on its leader or its quorum */
	EVENT_LEADER_LOST,   /* gen: epoch */
	EVENT_ELECT,	     /* gen: epoch */
	EVENT_JOIN,	     /* arg: server finds the leader */
	EVENT_SERVER_UP,     /* arg: server */
	EVENT_SERVER_HEAL,   /* arg: server */
	EVENT_CHAOS,
	EVENT_OPERATOR, /* arg: fault, gen: version read */
	EVENT_CALM,
	EVENT_END,
};

struct queue_event {
	int64_t at;
	uint32_t sequence;
	uint32_t gen;
	uint32_t arg;
	uint8_t type;
	uint8_t node;
	bool waits; /* put off once, and given its place among those that wait */
};

struct queue {
	uint32_t count, sequence;
	struct queue_event heap[QUEUE_MAX];
};

static inline bool queue_before(const struct queue_event *a, const struct queue_event *b)
{
	return a->at < b->at || (a->at == b->at && a->sequence < b->sequence);
}

/* As it is, its place included. false: full */
static inline bool queue_put(struct queue *q, struct queue_event ev)
{
	uint32_t i = q->count;

	if (i == QUEUE_MAX)
		return false;
	q->count++;
	while (i) {
		uint32_t parent = (i - 1) / 4;

		if (!queue_before(&ev, &q->heap[parent]))
			break;
		q->heap[i] = q->heap[parent];
		i = parent;
	}
	q->heap[i] = ev;
	return true;
}

static inline bool queue_push(struct queue *q, struct queue_event ev)
{
	ev.sequence = q->sequence++;
	return queue_put(q, ev);
}

static inline uint32_t queue_least_child(const struct queue *q, uint32_t first)
{
	uint32_t last = first + 4 < q->count ? first + 4 : q->count, least = first;

	for (uint32_t i = first + 1; i < last; i++)
		if (queue_before(&q->heap[i], &q->heap[least]))
			least = i;
	return least;
}

/* false: empty */
static inline bool queue_pop(struct queue *q, struct queue_event *ret_event)
{
	struct queue_event last;
	uint32_t i = 0;

	if (!q->count)
		return false;
	*ret_event = q->heap[0];
	last = q->heap[--q->count];
	while (4 * i + 1 < q->count) {
		uint32_t child = queue_least_child(q, 4 * i + 1);

		if (!queue_before(&q->heap[child], &last))
			break;
		q->heap[i] = q->heap[child];
		i = child;
	}
	q->heap[i] = last;
	return true;
}
