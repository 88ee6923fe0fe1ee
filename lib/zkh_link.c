/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The libzookeeper handle and its place in the loop. Every prepare asks the library what it waits for; the
 * pace of connection attempts is ours: while there is no socket, the library is not asked before it is time.
 *
 * Each address stands twice in the list that the library gets: after a failed attempt it moves on by two, and
 * by one after a silently closed socket. Doubled, both lead through all servers, whatever their number.
 */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <zookeeper/zookeeper.h>

#include "zkh_internal.h"
#include "zkh_op.h"

/* Packets taken off the socket before other watchers get their turn. */
#define PACKETS_MAX 32

/* A connection that broke sooner counts as a failed attempt. */
#define STABLE_MS 500

/* Pauses: between rounds over all servers, after a refused credential, between name look-ups. */
#define PAUSE_MIN_MS 10
#define PAUSE_MAX_MS 2000
#define AUTH_PAUSE_MS 5000
#define RESOLVE_TIMEOUT_MS 5000
#define RESOLVE_PAUSE_MS 1000
#define RESOLVE_AGAIN_MS 5000
#define OPEN_PAUSE_MS 1000

#define CLOSE_PACKETS_MAX (1 << 20)

/* Nothing is logged at level 0; this is for whoever raises it: a library does not write to stderr. */
static void link_swallow(const char *message)
{
}

/*
 * What went wrong is in errno when a call fails, unless a callback ran in between; then zkh_watch_fired() has
 * kept it. The library's log would say it too, but formatting it reads the time zone from disk every time.
 */
static void link_note_trouble(struct zkh_session *session, int code)
{
	if (code != ZOK && code != ZNOTHING && session->trouble == 0)
		session->trouble = errno;
}

static const char *trouble_text(int trouble)
{
	switch (trouble) {
	case 0:
	case EAGAIN:
	case EINPROGRESS:
		return "connection lost";
	case EHOSTDOWN: /* the library's own name for an end of file */
		return "connection closed by the server";
	case ESTALE:
		return "session has expired";
	default:
		return strerror(trouble);
	}
}

static int link_process(struct zkh_session *session, int events)
{
	int r;

	errno = 0;
	r = zookeeper_process(session->zh, events);
	link_note_trouble(session, r);
	return r;
}

static int link_interest(struct zkh_session *session, int *ret_fd, int *ret_events, int64_t *ret_wait_ms)
{
	struct timeval wait = { 0 };
	int r;

	*ret_fd = -1;
	*ret_events = 0;
	errno = 0;
	r = zookeeper_interest(session->zh, ret_fd, ret_events, &wait);
	link_note_trouble(session, r);
	*ret_wait_ms = (int64_t) wait.tv_sec * 1000 + wait.tv_usec / 1000;
	return r;
}

bool zkh_link_has_socket(const struct zkh_session *session)
{
	int state;

	if (session->zh == NULL || session->fd < 0)
		return false;
	state = zoo_state(session->zh);
	return state == ZOO_CONNECTING_STATE || state == ZOO_ASSOCIATING_STATE ||
	       state == ZOO_CONNECTED_STATE;
}

static void link_watch(struct zkh_session *session, int fd, int events)
{
	if (fd == session->fd && events == session->fd_events)
		return;
	ev_io_stop(session->loop, &session->io);
	session->fd = fd;
	session->fd_events = events;
	if (fd < 0)
		return;
	ev_io_set(&session->io, fd, (events & ZOOKEEPER_READ ? EV_READ : 0) |
		  (events & ZOOKEEPER_WRITE ? EV_WRITE : 0));
	ev_io_start(session->loop, &session->io);
}

/* Uneven pauses keep the clients of a restarted ensemble apart. */
static int64_t pause_ms(struct zkh_session *session, int64_t base_ms)
{
	return base_ms / 2 + zkh_session_random(session, (uint32_t) base_ms + 1);
}

/* When the next attempt may begin: at once as long as there is a server that was not tried, then slower. */
static int64_t hold_ms(struct zkh_session *session)
{
	size_t count = session->addresses.count > 0 ? session->addresses.count : 1;
	unsigned rounds = session->failures / (unsigned) count;
	int64_t pause, limit = session->timeout_ms / 8;

	if (session->failures % count != 0 || session->failures == 0)
		return 0;
	if (limit > PAUSE_MAX_MS)
		limit = PAUSE_MAX_MS;
	pause = session->timeout_ms / 60;
	if (pause < PAUSE_MIN_MS)
		pause = PAUSE_MIN_MS;
	while (--rounds > 0 && pause < limit)
		pause *= 2;
	return pause_ms(session, pause < limit || limit < PAUSE_MIN_MS ? pause : limit);
}

/* ---- the handle ---- */

/* The list for libzookeeper, in a drawn order. NULL: out of memory. */
static char *addresses_list(struct zkh_session *session)
{
	struct zkh_addresses *addresses = &session->addresses;
	size_t size = 1;
	char *list, *end;

	for (size_t i = addresses->count; i > 1; i--) {
		size_t other = zkh_session_random(session, (uint32_t) i);
		char *text = addresses->text[i - 1];

		addresses->text[i - 1] = addresses->text[other];
		addresses->text[other] = text;
	}
	for (size_t i = 0; i < addresses->count; i++)
		size += 2 * (strlen(addresses->text[i]) + 1);
	end = list = malloc(size);
	if (list == NULL)
		return NULL;
	for (size_t i = 0; i < addresses->count; i++)
		end += sprintf(end, "%s%s,%s", i > 0 ? "," : "", addresses->text[i], addresses->text[i]);
	return list;
}

static void link_open(struct zkh_session *session, int64_t now_ms)
{
	clientid_t id = { .client_id = session->id.id };
	char *list = addresses_list(session);

	memcpy(id.passwd, session->id.password, sizeof(id.passwd));
	zoo_set_debug_level((ZooLogLevel) 0);
	zoo_deterministic_conn_order(1);
	if (list != NULL)
		session->zh = zookeeper_init2(list, zkh_watch_fired, session->timeout_ms,
					      session->id.id != 0 ? &id : NULL, session,
					      ZOO_NO_LOG_CLIENTENV, link_swallow);
	free(list);
	if (session->zh == NULL) {
		session->hold_until_ms = now_ms + pause_ms(session, OPEN_PAUSE_MS);
		zkh_session_emit(session, ZKH_SERVER_FAILED, strerror(errno));
		return;
	}
	session->addresses_changed = false;
	(void) zoo_set_servers_resolution_delay(session->zh, -1);
	if (session->auth_scheme != NULL)
		(void) zoo_add_auth(session->zh, session->auth_scheme, session->auth_credential,
				    (int) strlen(session->auth_credential), NULL, NULL);
}

void zkh_link_close_handle(struct zkh_session *session)
{

	session->link = ZKH_LINK_NONE;
	if (session->zh == NULL)
		return;
	/* zookeeper_close() blocks while connected, so the library has to see the end of the connection first. */
	if (zkh_link_has_socket(session))
		(void) shutdown(session->fd, SHUT_RDWR);
	for (int i = 0; i < CLOSE_PACKETS_MAX && zoo_state(session->zh) == ZOO_CONNECTED_STATE; i++)
		(void) link_process(session, ZOOKEEPER_READ | ZOOKEEPER_WRITE);
	link_watch(session, -1, 0);
	(void) zookeeper_close(session->zh);
	session->zh = NULL;
}

/*
 * After a send error inside a request the library has closed the socket and says nothing; what it had queued
 * would go out over the next connection, long after we called it unknown. A connection that is shut down
 * at birth makes it drop its queues.
 */
static void link_flush_queues(struct zkh_session *session)
{
	int fd = -1, events;
	int64_t wait_ms;

	for (int i = 0; i < 3 && fd < 0; i++)
		if (link_interest(session, &fd, &events, &wait_ms) != ZOK)
			return; /* it failed to connect, which drops them as well */
	if (fd < 0)
		return;
	(void) fcntl(fd, F_SETFD, FD_CLOEXEC);
	(void) shutdown(fd, SHUT_RDWR);
	for (int i = 0; i < 3 && zoo_state(session->zh) > 0 && zoo_state(session->zh) != ZOO_NOTCONNECTED_STATE;
	     i++)
		(void) link_process(session, ZOOKEEPER_READ | ZOOKEEPER_WRITE);
}

/* The server refuses the session or the credential: this handle is of no use any more. */
static void link_unrecoverable(struct zkh_session *session, int state, const char *detail)
{
	zkh_link_close_handle(session);
	session->failures = 0;
	if (state == ZOO_EXPIRED_SESSION_STATE) {
		session->id = (struct zkh_client_id){ 0 };
		session->hold_until_ms = 0;
		if (session->closing.state != ZKH_CLOSE_NONE)
			zkh_close_expired(session);
		else
			zkh_session_emit(session, ZKH_EXPIRED, detail);
		return;
	}
	session->hold_until_ms = zkh_now_ms() + pause_ms(session, AUTH_PAUSE_MS);
	zkh_session_emit(session, ZKH_AUTH_REFUSED, detail);
}

/* The connection, or the attempt at one, is over. */
static void link_lost(struct zkh_session *session, int state)
{
	enum zkh_link was = session->link;
	bool cut = was == ZKH_LINK_UP && session->cut != NULL; /* asked for: the next one at once */
	int64_t now_ms = zkh_now_ms();
	const char *why = session->cut != NULL ? session->cut :
			  state == ZOO_AUTH_FAILED_STATE ? "credential refused" : trouble_text(session->trouble);
	char detail[ZKH_DETAIL_MAX];

	snprintf(detail, sizeof(detail), "%s: %s", session->server, why);
	if (cut || (was == ZKH_LINK_UP && now_ms - session->link_since_ms >= STABLE_MS))
		session->failures = 0;
	else
		session->failures++;
	session->link = ZKH_LINK_NONE;
	session->cut = NULL;
	session->to_send = false;
	link_watch(session, -1, 0);
	if (state == ZOO_NOTCONNECTED_STATE)
		link_flush_queues(session);
	session->hold_until_ms = now_ms + hold_ms(session);
	zkh_op_fail_sent(session);
	if (!session->destroyed)
		zkh_op_fail_refused(session);
	if (session->destroyed)
		return;
	if (was == ZKH_LINK_UP && !zkh_session_emit(session, ZKH_DISCONNECTED, detail))
		return;
	if (state == ZOO_EXPIRED_SESSION_STATE || state == ZOO_AUTH_FAILED_STATE)
		link_unrecoverable(session, state, detail);
	else if (was == ZKH_LINK_TRYING)
		zkh_session_emit(session, ZKH_SERVER_FAILED, detail);
}

static void link_up(struct zkh_session *session)
{
	const clientid_t *id = zoo_client_id(session->zh);

	session->fresh = id->client_id != session->id.id;
	session->id.id = id->client_id;
	memcpy(session->id.password, id->passwd, sizeof(session->id.password));
	session->granted_ms = zoo_recv_timeout(session->zh);
	session->link = ZKH_LINK_UP;
	session->link_since_ms = zkh_now_ms();
	session->to_send = true; /* perhaps: watches and credential are sent again; the next interest tells */
	zkh_session_emit(session, ZKH_CONNECTED, session->server);
}

void zkh_link_update(struct zkh_session *session)
{
	int state;

	assert(session->depth > 0);
	if (session->destroyed || session->zh == NULL || session->closing.state == ZKH_CLOSE_ASKED)
		return;
	state = zoo_state(session->zh);
	if (state == ZOO_CONNECTED_STATE) {
		if (session->link != ZKH_LINK_UP)
			link_up(session);
	} else if (state != ZOO_CONNECTING_STATE && state != ZOO_ASSOCIATING_STATE) {
		if (session->link != ZKH_LINK_NONE)
			link_lost(session, state);
	}
}

/* ---- names ---- */

static void link_on_resolved(void *userdata, struct zkh_addresses *addresses, const char *problem)
{
	struct zkh_session *session = userdata;
	int64_t now_ms = zkh_now_ms();

	zkh_session_enter(session);
	session->resolved_ms = now_ms;
	session->resolve_at_ms = now_ms + pause_ms(session, RESOLVE_PAUSE_MS);
	if (addresses->count > 0 && !zkh_addresses_equal(addresses, &session->addresses)) {
		zkh_addresses_finish(&session->addresses);
		session->addresses = *addresses;
		*addresses = (struct zkh_addresses){ 0 };
		session->addresses_changed = true;
		session->failures = 0;
	}
	if (problem[0] != '\0')
		zkh_session_emit(session, ZKH_NAMES_FAILED, problem);
	zkh_session_leave(session);
}

/* Looks names up: before the first attempt, and again while no server can be reached. */
static void link_resolve(struct zkh_session *session, int64_t now_ms)
{
	struct zkh_addresses numeric = { 0 };
	int r;

	if (zkh_resolve_running(&session->resolver) || now_ms < session->resolve_at_ms)
		return;
	if (session->addresses.count > 0 && (session->failures < session->addresses.count ||
	    now_ms - session->resolved_ms < RESOLVE_AGAIN_MS))
		return;
	if (session->addresses.count > 0 && zkh_resolve_numeric(session->servers, &numeric) == 0) {
		zkh_addresses_finish(&numeric);
		session->resolve_at_ms = INT64_MAX; /* there is nothing to look up */
		return;
	}
	r = zkh_resolve_start(&session->resolver, session->loop, session->servers, RESOLVE_TIMEOUT_MS,
			      link_on_resolved, session);
	if (r < 0) {
		session->resolve_at_ms = now_ms + pause_ms(session, RESOLVE_PAUSE_MS);
		zkh_session_emit(session, ZKH_NAMES_FAILED, strerror(-r));
	}
}

static void link_tell_addresses(struct zkh_session *session)
{
	char *list;

	if (!session->addresses_changed)
		return;
	list = addresses_list(session);
	if (list == NULL)
		return;
	if (zoo_set_servers(session->zh, list) == ZOK)
		session->addresses_changed = false;
	free(list);
}

/* ---- the loop ---- */

/* A new socket: at most connect_timeout for it to become a connection. */
static void link_begin(struct zkh_session *session, int fd, int events, int64_t now_ms)
{
	(void) fcntl(fd, F_SETFD, FD_CLOEXEC);
	snprintf(session->server, sizeof(session->server), "%s", zoo_get_current_server(session->zh));
	session->trouble = 0;
	session->cut = NULL;
	session->link = ZKH_LINK_TRYING;
	session->link_since_ms = now_ms;
	session->attempt_end_ms = now_ms + session->connect_timeout_ms;
	/* Stopped since the last one went; a new socket often has the old one's number. */
	assert(session->fd == -1);
	link_watch(session, fd, events);
}

/* Lets the library work and watch. Returns the ms until it wants to be asked again. */
static int64_t link_serve(struct zkh_session *session, int64_t now_ms)
{
	int fd, events, r;
	int64_t wait_ms;

	if (session->link == ZKH_LINK_NONE)
		link_tell_addresses(session);
	r = link_interest(session, &fd, &events, &wait_ms);
	if (r == ZOK && fd < 0 && session->link == ZKH_LINK_NONE)
		r = link_interest(session, &fd, &events, &wait_ms); /* it wanted a pause: that is ours to decide */
	if (session->link == ZKH_LINK_NONE && (fd >= 0 || r != ZOK)) {
		if (r == ZOK) {
			link_begin(session, fd, events, now_ms);
		} else { /* refused on the spot */
			snprintf(session->server, sizeof(session->server), "%s",
				 zoo_get_current_server(session->zh));
			session->link = ZKH_LINK_TRYING;
			session->link_since_ms = now_ms;
		}
	}
	zkh_link_update(session);
	if (session->destroyed || session->link == ZKH_LINK_NONE)
		return 0;
	if (r != ZOK) { /* its ping failed, and it keeps the socket: the end of file will tell it */
		(void) shutdown(session->fd, SHUT_RDWR);
		link_watch(session, session->fd, ZOOKEEPER_READ);
		return wait_ms > 0 ? wait_ms : session->granted_ms / 3 + 1;
	}
	session->to_send = (events & ZOOKEEPER_WRITE) != 0;
	link_watch(session, fd, events);
	return wait_ms;
}

static void link_arm(struct zkh_session *session, int64_t due_ms)
{
	int64_t now_ms = zkh_now_ms();

	ev_timer_stop(session->loop, &session->timer);
	if (due_ms == INT64_MAX)
		return;
	ev_now_update(session->loop);
	ev_timer_set(&session->timer, due_ms > now_ms ? (double) (due_ms - now_ms) / 1e3 : 0., 0.);
	ev_timer_start(session->loop, &session->timer);
}

/* Everything that time or a lost connection asks for. Returns when it is to be looked at again. */
static int64_t link_advance(struct zkh_session *session)
{
	int64_t now_ms = zkh_now_ms(), due_ms;

	/* A socket closed silently by a send: seen before the library is asked, which would open another. */
	zkh_link_update(session);
	if (session->destroyed)
		return 0;
	if (session->link == ZKH_LINK_NONE) {
		link_resolve(session, now_ms);
		if (session->destroyed)
			return 0;
		if (session->addresses.count == 0)
			return zkh_resolve_running(&session->resolver) ? INT64_MAX : session->resolve_at_ms;
		if (now_ms < session->hold_until_ms)
			return session->hold_until_ms;
		if (session->zh == NULL) {
			link_open(session, now_ms);
			if (session->destroyed || session->zh == NULL)
				return session->hold_until_ms;
		}
	}
	if (session->link == ZKH_LINK_TRYING && now_ms >= session->attempt_end_ms) {
		session->cut = "no answer in time";
		(void) shutdown(session->fd, SHUT_RDWR);
		(void) link_process(session, ZOOKEEPER_READ | ZOOKEEPER_WRITE);
		zkh_link_update(session);
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
	due_ms = session->closing.state < ZKH_CLOSE_ASKED ? link_advance(session) : INT64_MAX;
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
	int events = (revents & EV_READ ? ZOOKEEPER_READ : 0) | (revents & EV_WRITE ? ZOOKEEPER_WRITE : 0);
	int r;

	zkh_session_enter(session);
	if (session->closing.state == ZKH_CLOSE_ASKED) {
		zkh_close_readable(session);
	} else {
		for (int i = 0; i < PACKETS_MAX; i++) {
			r = link_process(session, events);
			zkh_link_update(session);
			if (r != ZOK || session->destroyed || session->link != ZKH_LINK_UP)
				break;
		}
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
	session->fd = -1;
	ev_prepare_init(&session->prepare, link_on_prepare);
	ev_init(&session->io, link_on_io);
	ev_timer_init(&session->timer, link_on_timer, 0., 0.);
	ev_timer_init(&session->kick, link_on_kick, 0., 0.);
	session->prepare.data = session->io.data = session->timer.data = session->kick.data = session;
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
