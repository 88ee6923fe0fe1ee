/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Checks the head of each packet from a server before libzookeeper reads it. The library allocates memory for any
 * length, believes any session timeout, and ends the process at an answer to no request. It also hides the zxids that
 * it sees.
 */

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <zookeeper/zookeeper.h>

#include "zkh_internal.h"

/* Length, xid, zxid, error; or length, protocol, session timeout, session: no packet is shorter. */
#define HEAD_SIZE 20
#define REPLY_MIN 16
#define GREETING_MIN 36
#define GREETING_MAX 37

/* A list of 300,000 children is shorter. */
#define REPLY_MAX (16 << 20)
#define TIMEOUT_MAX_MS 3600000

static int32_t read_int(const unsigned char *bytes)
{
	return (int32_t)((uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 |
			 (uint32_t)bytes[2] << 8 | bytes[3]);
}

static int64_t read_long(const unsigned char *bytes)
{
	return (int64_t)((uint64_t)(uint32_t)read_int(bytes) << 32 | (uint32_t)read_int(bytes + 4));
}

/* An id of 0: the session that was asked for is gone. */
static void look_at_greeting(struct zkh_session *session, const unsigned char *head)
{
	int32_t length = read_int(head), timeout_ms = read_int(head + 8);
	int64_t id = read_long(head + 12);

	if (length < GREETING_MIN || length > GREETING_MAX)
		snprintf(session->fault, sizeof(session->fault),
			 "is not a ZooKeeper server: its first packet claims to have %d bytes",
			 length);
	else if (id == 0 && session->id.id == 0)
		snprintf(session->fault, sizeof(session->fault), "granted a session without an id");
	else if (id != 0 && (timeout_ms <= 0 || timeout_ms > TIMEOUT_MAX_MS))
		snprintf(session->fault, sizeof(session->fault),
			 "granted an absurd session timeout of %d ms", timeout_ms);
}

static void look_at_reply(struct zkh_session *session, const unsigned char *head)
{
	int32_t length = read_int(head), xid = read_int(head + 4);
	int64_t zxid = read_long(head + 8);

	if (length < REPLY_MIN || length > REPLY_MAX)
		snprintf(session->fault, sizeof(session->fault),
			 "sent a packet that claims to have %d bytes", length);
	else if (xid >= 0 && session->outstanding == 0)
		snprintf(session->fault, sizeof(session->fault),
			 "answered a request that was never made");
	if (session->fault[0] != '\0')
		return;
	if (zxid > session->zxid)
		session->zxid = zxid;
	if (zxid > session->last_zxid)
		session->last_zxid = zxid;
}

/* Nothing more is read from this socket, not even what has come already. */
static void sever(const struct zkh_session *session)
{
	const struct sockaddr nowhere = { .sa_family = AF_UNSPEC };
	char rest[4096];

	(void)connect(session->fd, &nowhere, sizeof(nowhere)); /* TCP: what is queued goes, too */
	while (recv(session->fd, rest, sizeof(rest), MSG_DONTWAIT) > 0)
		;
	(void)shutdown(session->fd, SHUT_RDWR);
}

/* Wakes the loop for a whole head only. True: there will be none, the connection has ended. */
static bool wait_for_head(struct zkh_session *session, int size)
{
	struct pollfd end = { .fd = session->fd, .events = POLLRDHUP };

	(void)setsockopt(session->fd, SOL_SOCKET, SO_RCVLOWAT, &size, sizeof(size));
	session->head_awaited = size > 1;
	return poll(&end, 1, 0) > 0;
}

bool zkh_packet_may_be_read(struct zkh_session *session)
{
	unsigned char head[HEAD_SIZE];
	int state = zoo_state(session->zh);
	ssize_t length;

	if (session->mid_packet || session->fd < 0 ||
	    (state != ZOO_ASSOCIATING_STATE && state != ZOO_CONNECTED_STATE))
		return true;
	length = recv(session->fd, head, sizeof(head), MSG_PEEK | MSG_DONTWAIT);
	if (length < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (length <= 0) { /* the library sees the end, but not any more why */
		if (length < 0 && session->trouble == 0)
			session->trouble = errno;
		session->turned_away = state == ZOO_ASSOCIATING_STATE;
		return true;
	}
	if (length < HEAD_SIZE) {
		if (!wait_for_head(session, HEAD_SIZE))
			return false;
		sever(session);
		return true;
	}
	if (session->head_awaited)
		(void)wait_for_head(session, 1);
	if (state == ZOO_ASSOCIATING_STATE)
		look_at_greeting(session, head);
	else
		look_at_reply(session, head);
	if (session->fault[0] != '\0')
		sever(session);
	return true;
}
