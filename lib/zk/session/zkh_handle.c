/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The libzookeeper handle: opened, asked, closed, and what its state says about the connection.
 */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <zookeeper/zookeeper.h>

#include "zkh_internal.h"

/* A connection that broke sooner counts as a failed attempt. */
#define STABLE_MS 500

/*
 * Pauses: between rounds over all servers, after a refused credential, after a failure of our own.
 */
#define PAUSE_MIN_MS 10
#define PAUSE_MAX_MS 2000
#define AUTH_PAUSE_MS 5000
#define OPEN_PAUSE_MS 1000

#define CLOSE_PACKETS_MAX (1 << 20)

/*
 * An attempt may fail within the very call that begins it, and then the library names the next
 * server already. Its log callback runs just before that, but has no argument: this tells it whose
 * attempt it is. NULL but for the length of such a call; nothing else here outlives one.
 */
static _Thread_local struct zkh_session *attempting;

/* Outside of such a call nothing is logged, at level 0; a library does not write to stderr. */
static void link_log(const char *message)
{
	const char *number = strstr(message, "errno=");

	if (attempting == NULL)
		return;
	zkh_link_note_server(attempting);
	if (number != NULL) /* formatting the message may have changed the real one */
		attempting->trouble = atoi(number + strlen("errno="));
}

/*
 * What went wrong is in errno when a call fails, unless a callback ran in between; then
 * zkh_watch_fired() has kept it. The library's log would say it too, but formatting it asks the
 * file system for the time zone, and a connection may be lost because that one hangs.
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

int zkh_link_process(struct zkh_session *session, int events)
{
	bool read = (events & ZOOKEEPER_READ) != 0,
	     unseen = read && !zkh_packet_may_be_read(session);
	int r;

	if (unseen)
		events &= ~ZOOKEEPER_READ;
	if (unseen && events == 0)
		return ZNOTHING;
	errno = 0;
	r = zookeeper_process(session->zh, events);
	link_note_trouble(session, r);
	if (read && !unseen)
		session->mid_packet = r == ZNOTHING;
	return r == ZOK && unseen ? ZNOTHING : r;
}

int zkh_link_interest(struct zkh_session *session, int *ret_fd, int *ret_events,
		      int64_t *ret_wait_ms)
{
	struct timeval wait = { 0 };
	int r;

	*ret_fd = -1;
	*ret_events = 0;
	if (session->link == ZKH_LINK_NONE) {
		session->trouble = 0;
		attempting = session;
		zoo_set_debug_level(ZOO_LOG_LEVEL_ERROR);
	}
	errno = 0;
	r = zookeeper_interest(session->zh, ret_fd, ret_events, &wait);
	link_note_trouble(session, r);
	if (attempting != NULL) {
		attempting = NULL;
		zoo_set_debug_level((ZooLogLevel)0);
	}
	*ret_wait_ms = (int64_t)wait.tv_sec * 1000 + wait.tv_usec / 1000;
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

/*
 * When the next attempt may begin: at once as long as there is a server that was not tried, then
 * slower.
 */
static int64_t hold_ms(struct zkh_session *session)
{
	size_t count = zkh_names_entries(session);
	unsigned rounds = session->failures / (unsigned)count;
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
	return zkh_session_pause_ms(session, pause < limit || limit < PAUSE_MIN_MS ? pause : limit);
}

void zkh_link_open(struct zkh_session *session, int64_t now_ms)
{
	clientid_t id = { .client_id = session->id.id };
	char *list = zkh_names_list(session);
	int error;

	memcpy(id.passwd, session->id.password, sizeof(id.passwd));
	zoo_set_debug_level((ZooLogLevel)0);
	zoo_deterministic_conn_order(1);
	if (list != NULL)
		session->zh = zookeeper_init2(list, zkh_watch_fired, session->timeout_ms,
					      session->id.id != 0 ? &id : NULL, session,
					      ZOO_NO_LOG_CLIENTENV, link_log);
	error = list == NULL ? ENOMEM : errno;
	free(list);
	if (session->zh == NULL) {
		session->hold_until_ms = now_ms + zkh_session_pause_ms(session, OPEN_PAUSE_MS);
		zkh_session_emit(session, ZKH_SERVER_FAILED, strerror(error));
		return;
	}
	session->addresses_changed = false;
	(void)zoo_set_servers_resolution_delay(session->zh, -1);
	for (size_t i = 0; i < ZKH_AUTH_MAX && session->auth_schemes[i] != NULL; i++)
		(void)zoo_add_auth(session->zh, session->auth_schemes[i],
				   session->auth_credentials[i],
				   (int)strlen(session->auth_credentials[i]), NULL, NULL);
}

void zkh_link_free_handle(struct zkh_session *session)
{
	zkh_link_watch(session, -1, 0);
	(void)zookeeper_close(session->zh);
	session->zh = NULL;
	zkh_op_free_unsure(session);
}

void zkh_link_close_handle(struct zkh_session *session)
{
	session->link = ZKH_LINK_NONE;
	if (session->zh == NULL)
		return;
	/*
	 * zookeeper_close() blocks while connected, so the library has to see the end of the
	 * connection first.
	 */
	if (zkh_link_has_socket(session))
		(void)shutdown(session->fd, SHUT_RDWR);
	for (int i = 0; i < CLOSE_PACKETS_MAX && zoo_state(session->zh) == ZOO_CONNECTED_STATE; i++)
		(void)zkh_link_process(session, ZOOKEEPER_READ | ZOOKEEPER_WRITE);
	zkh_link_free_handle(session);
}

/*
 * After a send error inside a request the library has closed the socket and says nothing; what it
 * had queued would go out over the next connection, long after we called it unknown. A connection
 * that is shut down at birth makes it drop its queues.
 */
static void link_flush_queues(struct zkh_session *session)
{
	int fd = -1, events;
	int64_t wait_ms;

	for (int i = 0; i < 3 && fd < 0; i++)
		if (zkh_link_interest(session, &fd, &events, &wait_ms) != ZOK)
			return; /* it failed to connect, which drops them as well */
	if (fd < 0)
		return;
	(void)fcntl(fd, F_SETFD, FD_CLOEXEC);
	(void)shutdown(fd, SHUT_RDWR);
	for (int i = 0; i < 3 && zoo_state(session->zh) > 0 &&
			zoo_state(session->zh) != ZOO_NOTCONNECTED_STATE;
	     i++)
		(void)zkh_link_process(session, ZOOKEEPER_READ | ZOOKEEPER_WRITE);
}

/* The server refuses the session or the credential: this handle is of no use any more. */
static void link_unrecoverable(struct zkh_session *session, int state, const char *detail)
{
	zkh_link_close_handle(session);
	session->failures = 0;
	zkh_doubt_end(session);
	if (state == ZOO_EXPIRED_SESSION_STATE) {
		session->id = (struct zkh_client_id){ 0 };
		session->hold_until_ms = 0;
		if (session->closing.state != ZKH_CLOSE_NONE)
			zkh_close_expired(session);
		else
			zkh_session_emit(session, ZKH_EXPIRED, detail);
		return;
	}
	session->hold_until_ms = zkh_now_ms() + zkh_session_pause_ms(session, AUTH_PAUSE_MS);
	zkh_session_emit(session, ZKH_AUTH_REFUSED, detail);
}

/*
 * Makes the next attempt go to the server that was just left: another one may lag behind what this session has seen,
 * and would refuse it. The library only steps forward in its list, and an attempt begins with a step; so this walks
 * around once to see the order, then on to the entry before the one that is wanted.
 */
void zkh_link_stay(struct zkh_session *session)
{
	size_t entries = zkh_names_entries(session), at = entries;

	session->stay = false;
	for (size_t i = 0; i < entries; i++) {
		const char *server;

		zoo_cycle_next_server(session->zh);
		server = zoo_get_current_server(session->zh);
		if (at == entries && server != NULL && strcmp(server, session->server) == 0)
			at = i;
	}
	for (size_t i = 0; at < entries && i < at; i++)
		zoo_cycle_next_server(session->zh);
}

/*
 * Requests may reach the servers while no answer reaches us. Then every attempt to attach anew keeps the session alive, and
 * with it what this process cannot release: nobody else could take its place. After as long a time as an honest cut
 * would have needed to end the session, it is given up.
 */
static bool link_is_one_way(const struct zkh_session *session, bool silent, int64_t now_ms)
{
	int32_t timeout_ms = session->granted_ms > 0 ? session->granted_ms : session->timeout_ms;

	return silent && session->id.id != 0 && now_ms - session->down_ms >= timeout_ms;
}

/* The old session would never be taken again. */
static void link_set_back(struct zkh_session *session)
{
	char detail[ZKH_DETAIL_MAX];

	snprintf(detail, sizeof(detail),
		 "%s: knows less than this session has seen (zxid %" PRIx64
		 "): restored from a backup, emptied, or another ensemble's",
		 session->server_name, (uint64_t)session->last_zxid);
	if (zkh_session_emit(session, ZKH_SET_BACK, detail))
		link_unrecoverable(session, ZOO_EXPIRED_SESSION_STATE,
				   "given up: the servers know less than it has seen");
}

/* The connection, or the attempt at one, is over. */
static void link_lost(struct zkh_session *session, int state)
{
	enum zkh_link was = session->link;
	bool cut = was == ZKH_LINK_UP && session->cut != NULL; /* asked for: the next one at once */
	int64_t now_ms = zkh_now_ms();
	const char *why = session->fault[0] != '\0'	   ? session->fault
			  : session->cut != NULL	   ? session->cut
			  : state == ZOO_AUTH_FAILED_STATE ? "credential refused"
							   : trouble_text(session->trouble);
	bool silent = was == ZKH_LINK_TRYING && session->cut == zkh_link_silent;
	bool turned_away = was == ZKH_LINK_TRYING && session->cut == NULL && session->turned_away &&
			   session->id.id != 0;
	char detail[ZKH_DETAIL_MAX];

	snprintf(detail, sizeof(detail), "%s: %s", session->server_name, why);
	if (was == ZKH_LINK_UP) {
		session->down_ms = now_ms;
		zkh_watch_disarm_all(session);
	}
	if (cut || (was == ZKH_LINK_UP && now_ms - session->link_since_ms >= STABLE_MS))
		session->failures = 0;
	else
		session->failures++;
	session->link = ZKH_LINK_NONE;
	session->cut = NULL;
	session->to_send = false;
	if (session->stay)
		zkh_link_stay(session);
	zkh_link_watch(session, -1, 0);
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
	else if (link_is_one_way(session, silent, now_ms))
		link_unrecoverable(session, ZOO_EXPIRED_SESSION_STATE,
				   "given up: no server has answered for a session timeout");
	else if (turned_away && zkh_doubt_refused(session))
		link_set_back(session);
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
	zkh_link_bound_path(session, session->granted_ms);
	session->link = ZKH_LINK_UP;
	session->link_since_ms = zkh_now_ms();
	zkh_doubt_end(session);
	session->to_send =
		true; /* perhaps: watches and credential are sent again; the next interest tells */
	zkh_session_emit(session, ZKH_CONNECTED, session->server_name);
}

void zkh_link_update(struct zkh_session *session)
{
	int state;

	assert(session->depth > 0);
	if (session->destroyed || session->zh == NULL)
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

void zkh_link_tell_addresses(struct zkh_session *session)
{
	char *list;

	if (!session->addresses_changed)
		return;
	list = zkh_names_list(session);
	if (list == NULL)
		return;
	if (zoo_set_servers(session->zh, list) == ZOK)
		session->addresses_changed = false;
	free(list);
}
