/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The orderly end of a session. zookeeper_close() waits up to 1.5 s for the server's answer, so it is called only when
 * nothing else is under way and the socket accepts the request at once. It does not say whether there was an answer; a
 * second descriptor of the socket does.
 */

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zookeeper/zookeeper.h>

#include "zkh_internal.h"

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

/* Whether the socket is idle in both directions, and not at its end, and nobody waits for an answer. */
static bool close_drained(const struct zkh_session *session)
{
	char byte;

	return session->link == ZKH_LINK_UP && session->cut == NULL && !session->to_send &&
	       session->sent.first == NULL && session->refused.first == NULL &&
	       session->held == 0 && zkh_link_has_socket(session) &&
	       recv(session->fd, &byte, sizeof(byte), MSG_PEEK | MSG_DONTWAIT) < 0;
}

static void close_ask(struct zkh_session *session)
{
	int fd = fcntl(session->fd, F_DUPFD_CLOEXEC, 3);
	char answer;
	ssize_t n;

	zkh_link_free_handle(session);
	n = recv(fd, &answer, sizeof(answer), MSG_DONTWAIT);
	if (fd >= 0)
		(void)close(fd);
	close_finish(session, n > 0 ? ZKH_OK : n == 0 ? ZKH_NOT_CONNECTED : ZKH_TIMEOUT);
}

void zkh_close_advance(struct zkh_session *session, int64_t now_ms)
{
	if (session->closing.state != ZKH_CLOSE_DRAINING)
		return;
	if (now_ms >= session->closing.deadline_ms)
		close_finish(session,
			     session->link == ZKH_LINK_UP ? ZKH_TIMEOUT : ZKH_NOT_CONNECTED);
	else if (close_drained(session))
		close_ask(session);
}

int64_t zkh_close_due_ms(const struct zkh_session *session)
{
	return session->closing.state == ZKH_CLOSE_DRAINING ? session->closing.deadline_ms
							    : INT64_MAX;
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
