/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The orderly end of a session. zookeeper_close() would block for seconds, so the request to close
 * goes out over the library's socket from here, once nothing else is under way, and the answer is
 * read here too: the library would not know what to do with it.
 */

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <zookeeper/zookeeper.h>

#include "zkh_internal.h"

/* The library counts from the time in seconds: it does not get here before 2038. */
#define CLOSE_XID 0x7fffffff
#define CLOSE_TYPE (-11)
#define READS_MAX 16

static void close_finish(struct zkh_session *session, int result)
{
	struct zkh_closing *closing = &session->closing;

	zkh_link_stop(session);
	zkh_resolve_stop(&session->resolver);
	zkh_doubt_end(session);
	closing->state = ZKH_CLOSE_OVER;
	zkh_link_close_handle(session);
	zkh_op_fail_sent(session);
	zkh_op_fail_refused(session);
	if (!session->destroyed && closing->done != NULL)
		closing->done(closing->userdata, result);
}

/* Whether the socket is idle in our direction and nobody waits for an answer. */
static bool close_drained(const struct zkh_session *session)
{
	return session->link == ZKH_LINK_UP && session->cut == NULL && !session->to_send &&
	       session->sent.first == NULL && session->refused.first == NULL &&
	       session->held == 0 && zkh_link_has_socket(session);
}

static void close_ask(struct zkh_session *session)
{
	struct {
		uint32_t length, xid, type;
	} request = { htonl(8), htonl(CLOSE_XID), htonl((uint32_t)CLOSE_TYPE) };
	ssize_t sent = send(session->fd, &request, sizeof(request), MSG_NOSIGNAL | MSG_DONTWAIT);

	if (sent != (ssize_t)sizeof(request)) {
		/*
		 * Full or broken: a few bytes of it on the wire leave nothing but a new
		 * connection.
		 */
		zkh_session_cut(session);
		return;
	}
	session->closing.state = ZKH_CLOSE_ASKED;
	session->closing.asked_until_ms = zkh_now_ms() + session->granted_ms / 3;
	session->closing.tail_length = 0;
	ev_io_stop(session->loop, &session->io);
	ev_io_set(&session->io, session->fd, EV_READ);
	ev_io_start(session->loop, &session->io);
}

/*
 * No answer. Connect again: the server will either know the session, and is asked again, or not,
 * which is what we want.
 */
static void close_again(struct zkh_session *session, const char *why)
{
	session->closing.state = ZKH_CLOSE_DRAINING;
	session->cut = why;
	(void)shutdown(session->fd, SHUT_RDWR);
	(void)zkh_link_process(session, ZOOKEEPER_READ | ZOOKEEPER_WRITE);
	zkh_link_update(session);
	zkh_session_kick(session);
}

void zkh_close_advance(struct zkh_session *session, int64_t now_ms)
{
	struct zkh_closing *closing = &session->closing;

	if (closing->state == ZKH_CLOSE_NONE || closing->state == ZKH_CLOSE_OVER)
		return;
	if (now_ms >= closing->deadline_ms)
		close_finish(session,
			     session->link == ZKH_LINK_UP ? ZKH_TIMEOUT : ZKH_NOT_CONNECTED);
	else if (closing->state == ZKH_CLOSE_DRAINING && close_drained(session))
		close_ask(session);
	else if (closing->state == ZKH_CLOSE_ASKED && now_ms >= closing->asked_until_ms)
		close_again(session, "no answer to the close request");
}

int64_t zkh_close_due_ms(const struct zkh_session *session)
{
	const struct zkh_closing *closing = &session->closing;

	if (closing->state == ZKH_CLOSE_ASKED && closing->asked_until_ms < closing->deadline_ms)
		return closing->asked_until_ms;
	return closing->state == ZKH_CLOSE_NONE || closing->state == ZKH_CLOSE_OVER
		       ? INT64_MAX
		       : closing->deadline_ms;
}

static void close_remember(struct zkh_closing *closing, const unsigned char *data, size_t length)
{
	size_t size = sizeof(closing->tail), keep;

	if (length >= size) {
		memcpy(closing->tail, data + length - size, size);
		closing->tail_length = size;
		return;
	}
	keep = closing->tail_length + length > size ? size - length : closing->tail_length;
	memmove(closing->tail, closing->tail + closing->tail_length - keep, keep);
	memcpy(closing->tail + keep, data, length);
	closing->tail_length = keep + length;
}

/* The last thing the server says is the reply: its length, our xid, a zxid, no error. */
static bool close_confirmed(const struct zkh_closing *closing)
{
	uint32_t length, xid, error;

	if (closing->tail_length < sizeof(closing->tail))
		return false;
	memcpy(&length, closing->tail, sizeof(length));
	memcpy(&xid, closing->tail + 4, sizeof(xid));
	memcpy(&error, closing->tail + 16, sizeof(error));
	return ntohl(length) == 16 && ntohl(xid) == CLOSE_XID && error == 0;
}

void zkh_close_readable(struct zkh_session *session)
{
	unsigned char data[4096];
	ssize_t length = 0;

	for (int i = 0; i < READS_MAX; i++) {
		length = recv(session->fd, data, sizeof(data), MSG_DONTWAIT);
		if (length <= 0)
			break;
		close_remember(&session->closing, data, (size_t)length);
	}
	if (length > 0 || (length < 0 && (errno == EAGAIN || errno == EINTR)))
		return;
	if (close_confirmed(&session->closing)) {
		close_finish(session, ZKH_OK);
		return;
	}
	close_again(session, "connection lost");
}

void zkh_close_expired(struct zkh_session *session)
{
	close_finish(session, ZKH_OK);
}

int zkh_session_close(struct zkh_session *session, int32_t timeout_ms,
		      void (*done)(void *userdata, int result), void *userdata)
{
	if (session->closing.state != ZKH_CLOSE_NONE)
		return -EALREADY;
	session->closing = (struct zkh_closing){
		.state = ZKH_CLOSE_DRAINING,
		.deadline_ms = zkh_now_ms() + (timeout_ms > 0 ? timeout_ms : 0),
		.done = done,
		.userdata = userdata,
	};
	zkh_session_kick(session);
	return 0;
}
