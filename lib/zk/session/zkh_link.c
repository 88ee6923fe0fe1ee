/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The session in its loop. In every prepare phase the library is asked what it waits for: that covers packets, timers
 * and requests. The pace of connection attempts is ours: while there is no socket, the library is asked only when it is
 * time.
 */

#include <assert.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <zookeeper/zookeeper.h>

#include "zkh_internal.h"

/* Packets taken off the socket before other watchers get their turn. */
#define PACKETS_MAX 32

/*
 * How long the kernel may wait for the acknowledgement of bytes that it sent: this part of the session timeout, but
 * time for its first repetition. Longer: the path is dead. The library by itself would take two thirds.
 */
#define PATH_PART 8
#define PATH_MIN_MS 100

void zkh_link_watch(struct zkh_session *session, int fd, int events)
{
	if (fd == session->fd && events == session->fd_events)
		return;
	ev_io_stop(session->loop, &session->io);
	session->fd = fd;
	session->fd_events = events;
	if (fd < 0)
		return;
	ev_io_set(&session->io, fd,
		  (events & ZOOKEEPER_READ ? EV_READ : 0) |
			  (events & ZOOKEEPER_WRITE ? EV_WRITE : 0));
	ev_io_start(session->loop, &session->io);
}

const char zkh_link_silent[] = "no answer in time";

/*
 * How long an attempt may take. Longer after each round over all servers: those that are slow because many connect at
 * once become no faster by being left and asked again, each time for a new session.
 */
static int64_t attempt_ms(const struct zkh_session *session)
{
	size_t rounds = session->failures / zkh_names_entries(session);
	int64_t ms = session->connect_timeout_ms, limit_ms = session->timeout_ms * INT64_C(2) / 3;

	while (rounds-- > 0 && 2 * ms <= limit_ms)
		ms *= 2;
	return ms;
}

/*
 * Only the path counts: the kernel of a server that hangs or is slow acknowledges all the same. The connection then
 * ends as if the network had told (ETIMEDOUT).
 */
void zkh_link_bound_path(const struct zkh_session *session, int32_t timeout_ms)
{
	unsigned limit_ms = timeout_ms / PATH_PART < PATH_MIN_MS ? PATH_MIN_MS
								 : (unsigned)timeout_ms / PATH_PART;

	(void)setsockopt(session->fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &limit_ms, sizeof(limit_ms));
}

void zkh_link_note_server(struct zkh_session *session)
{
	snprintf(session->server, sizeof(session->server), "%s",
		 zoo_get_current_server(session->zh));
	zkh_tunnel_name(session->tunnel, session->servers, session->server, session->server_name);
}

/* A new socket: it becomes a connection in time, or is given up. */
static void link_begin(struct zkh_session *session, int fd, int events, int64_t now_ms)
{
	(void)fcntl(fd, F_SETFD, FD_CLOEXEC);
	zkh_link_note_server(session);
	session->trouble = 0;
	session->cut = NULL;
	session->fault[0] = '\0';
	session->turned_away = session->mid_packet = session->head_awaited = false;
	session->zxid = 0;
	session->link = ZKH_LINK_TRYING;
	session->link_since_ms = now_ms;
	session->attempt_end_ms = now_ms + attempt_ms(session);
	/* Stopped since the last one went; a new socket often has the old one's number. */
	assert(session->fd == -1);
	zkh_link_watch(session, fd, events);
	zkh_link_bound_path(session, session->timeout_ms);
}

/* Lets the library work and watch. Returns the ms until it wants to be asked again. */
static int64_t link_serve(struct zkh_session *session, int64_t now_ms)
{
	int fd, events, r;
	int64_t wait_ms;

	if (session->link == ZKH_LINK_NONE)
		zkh_link_tell_addresses(session);
	r = zkh_link_interest(session, &fd, &events, &wait_ms);
	if (r == ZOK && fd < 0 && session->link == ZKH_LINK_NONE)
		r = zkh_link_interest(session, &fd, &events,
				      &wait_ms); /* a pause is ours to decide */
	if (session->link == ZKH_LINK_NONE && (fd >= 0 || r != ZOK)) {
		if (r == ZOK) {
			link_begin(session, fd, events, now_ms);
		} else { /* refused on the spot; zkh_link_interest() has noted by whom */
			session->link = ZKH_LINK_TRYING;
			session->link_since_ms = now_ms;
		}
	}
	zkh_link_update(session);
	if (session->destroyed || session->link == ZKH_LINK_NONE)
		return 0;
	if (r != ZOK) { /* its ping failed, and it keeps the socket: the end of file will tell it */
		(void)shutdown(session->fd, SHUT_RDWR);
		zkh_link_watch(session, session->fd, ZOOKEEPER_READ);
		return wait_ms > 0 ? wait_ms : session->granted_ms / 3 + 1;
	}
	session->to_send = (events & ZOOKEEPER_WRITE) != 0;
	zkh_link_watch(session, fd, events);
	return wait_ms;
}

static void link_arm(struct zkh_session *session, int64_t due_ms)
{
	int64_t now_ms = zkh_now_ms();

	ev_timer_stop(session->loop, &session->timer);
	if (due_ms == INT64_MAX)
		return;
	ev_now_update(session->loop);
	ev_timer_set(&session->timer, due_ms > now_ms ? (double)(due_ms - now_ms) / 1e3 : 0., 0.);
	ev_timer_start(session->loop, &session->timer);
}

/* It came in the very moment in which the attempt would be given up, and is about to be read. */
static bool link_has_answer(const struct zkh_session *session)
{
	char byte;

	return recv(session->fd, &byte, sizeof(byte), MSG_PEEK | MSG_DONTWAIT) > 0;
}

static void link_give_up(struct zkh_session *session)
{
	session->cut = zkh_link_silent;
	(void)shutdown(session->fd, SHUT_RDWR);
	(void)zkh_link_process(session, ZOOKEEPER_READ | ZOOKEEPER_WRITE);
	zkh_link_update(session);
	/* If it was an answer after all, what callbacks sent has closed the socket: nobody else must see it so. */
	zkh_link_update(session);
}

/* Everything that time or a lost connection asks for. Returns when it is to be looked at again. */
static int64_t link_advance(struct zkh_session *session)
{
	int64_t now_ms = zkh_now_ms(), due_ms;

	/*
	 * A socket closed silently by a send: seen before the library is asked, which would open
	 * another.
	 */
	zkh_link_update(session);
	if (session->destroyed)
		return 0;
	if (session->link == ZKH_LINK_NONE) {
		zkh_names_advance(session, now_ms);
		if (session->destroyed)
			return 0;
		if (!zkh_names_ready(session, now_ms))
			return zkh_resolve_running(&session->resolver) ? INT64_MAX
								       : session->resolve_at_ms;
		if (zkh_doubt_asks(session))
			return INT64_MAX;
		if (now_ms < session->hold_until_ms)
			return session->hold_until_ms;
		if (session->zh == NULL) {
			zkh_link_open(session, now_ms);
			if (session->destroyed || session->zh == NULL)
				return session->hold_until_ms;
		}
	}
	if (session->link == ZKH_LINK_TRYING && now_ms >= session->attempt_end_ms) {
		if (!link_has_answer(session))
			link_give_up(session);
		if (session->destroyed || session->link == ZKH_LINK_NONE)
			return session->hold_until_ms;
		session->attempt_end_ms = now_ms + session->connect_timeout_ms;
	}
	due_ms = link_serve(session, now_ms);
	if (session->destroyed)
		return 0;
	if (session->link == ZKH_LINK_NONE)
		return session->hold_until_ms;
	due_ms += now_ms;
	if (session->link == ZKH_LINK_TRYING && session->attempt_end_ms < due_ms)
		due_ms = session->attempt_end_ms;
	return due_ms;
}

static void link_on_prepare(struct ev_loop *loop, ev_prepare *watcher, int revents)
{
	struct zkh_session *session = watcher->data;
	int64_t due_ms;

	zkh_session_enter(session);
	due_ms = link_advance(session);
	if (!session->destroyed)
		zkh_close_advance(session, zkh_now_ms());
	if (!session->destroyed && session->closing.state != ZKH_CLOSE_OVER) {
		if (zkh_close_due_ms(session) < due_ms)
			due_ms = zkh_close_due_ms(session);
		link_arm(session, due_ms);
	}
	zkh_session_leave(session);
}

static void link_on_io(struct ev_loop *loop, ev_io *watcher, int revents)
{
	struct zkh_session *session = watcher->data;
	int events = (revents & EV_READ ? ZOOKEEPER_READ : 0) |
		     (revents & EV_WRITE ? ZOOKEEPER_WRITE : 0);
	int r;

	zkh_session_enter(session);
	for (int i = 0; i < PACKETS_MAX; i++) {
		r = zkh_link_process(session, events);
		zkh_link_update(session);
		if (r != ZOK || session->destroyed || !zkh_session_connected(session))
			break;
	}
	zkh_session_leave(session);
}

/* Its work is done by the prepare that follows. */
static void link_on_timer(struct ev_loop *loop, ev_timer *watcher, int revents)
{
}

static void link_on_kick(struct ev_loop *loop, ev_timer *watcher, int revents)
{
	struct zkh_session *session = watcher->data;

	zkh_session_enter(session);
	zkh_link_kicked(session);
	zkh_session_leave(session);
}

static void link_renew(struct zkh_session *session)
{
	bool was_up = session->link == ZKH_LINK_UP;

	session->renew = false;
	zkh_doubt_end(session);
	zkh_link_close_handle(session);
	zkh_op_fail_sent(session);
	session->id = (struct zkh_client_id){ 0 };
	session->hold_until_ms = 0;
	session->failures = 0;
	session->cut = NULL;
	if (session->destroyed)
		return;
	if (was_up && !zkh_session_emit(session, ZKH_DISCONNECTED, "session given up"))
		return;
	zkh_session_emit(session, ZKH_EXPIRED, "session given up");
}

void zkh_link_kicked(struct zkh_session *session)
{
	zkh_link_update(session);
	if (!session->destroyed && session->renew && session->closing.state == ZKH_CLOSE_NONE)
		link_renew(session);
	if (!session->destroyed)
		zkh_op_fail_refused(session);
}

void zkh_link_init(struct zkh_session *session)
{
	session->down_ms = zkh_now_ms();
	session->fd = -1;
	ev_prepare_init(&session->prepare, link_on_prepare);
	ev_init(&session->io, link_on_io);
	ev_timer_init(&session->timer, link_on_timer, 0., 0.);
	ev_timer_init(&session->kick, link_on_kick, 0., 0.);
	session->prepare.data = session->io.data = session->timer.data = session->kick.data =
		session;
	ev_prepare_start(session->loop, &session->prepare);
	/* Also wakes a loop that is waiting already. */
	ev_timer_start(session->loop, &session->timer);
}

void zkh_link_stop(struct zkh_session *session)
{
	ev_prepare_stop(session->loop, &session->prepare);
	ev_io_stop(session->loop, &session->io);
	ev_timer_stop(session->loop, &session->timer);
	ev_timer_stop(session->loop, &session->kick);
}
