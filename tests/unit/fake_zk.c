/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_zk_internal.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

const int ZOO_EXPIRED_SESSION_STATE = -112;
const int ZOO_AUTH_FAILED_STATE = -113;
const int ZOO_CONNECTING_STATE = 1;
const int ZOO_ASSOCIATING_STATE = 2;
const int ZOO_CONNECTED_STATE = 3;
const int ZOO_READONLY_STATE = 5;
const int ZOO_NOTCONNECTED_STATE = 999;
const int ZOO_CREATED_EVENT = 1;
const int ZOO_DELETED_EVENT = 2;
const int ZOO_CHANGED_EVENT = 3;
const int ZOO_CHILD_EVENT = 4;
const int ZOO_SESSION_EVENT = -1;
const int ZOO_NOTWATCHING_EVENT = -2;
const int ZOOKEEPER_WRITE = 1;
const int ZOOKEEPER_READ = 2;
const int ZOO_PERSISTENT = 0;
const int ZOO_EPHEMERAL = 1;
const int ZOO_SEQUENCE = 2;
const int ZOO_PERSISTENT_SEQUENTIAL = 2;
const int ZOO_EPHEMERAL_SEQUENTIAL = 3;

static char world[] = "world", anyone[] = "anyone", auth_scheme[] = "auth", nobody[] = "";
static struct ACL open_acl[] = { { 0x1f, { world, anyone } } };
static struct ACL creator_acl[] = { { 0x1f, { auth_scheme, nobody } } };
struct ACL_vector ZOO_OPEN_ACL_UNSAFE = { 1, open_acl };
struct ACL_vector ZOO_CREATOR_ALL_ACL = { 1, creator_acl };

int64_t fz_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static struct timeval timeval_of(int64_t ms)
{
	if (ms < 0)
		ms = 0;
	return (struct timeval){ .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 };
}

bool fz_is_connected(const zhandle_t *zh)
{
	return zh->state == ZOO_CONNECTED_STATE;
}

int is_unrecoverable(zhandle_t *zh)
{
	return zh->state < 0 ? ZINVALIDSTATE : ZOK;
}

/* ---- The end of a connection ---- */

void fz_close_socket(zhandle_t *zh)
{
	if (zh->fd >= 0)
		close(zh->fd);
	zh->fd = -1;
	if (zh->connection)
		fz_server_drop(zh->connection);
	zh->connection = NULL;
}

static void call_auths(zhandle_t *zh, int rc)
{
	for (struct fz_auth *auth = zh->auths; auth; auth = auth->next) {
		void_completion_t completion = auth->completion;

		auth->completion = NULL;
		if (completion)
			completion(rc, auth->data);
	}
}

void fz_drop_requests(zhandle_t *zh, int rc)
{
	struct fz_completion *completion;

	while (zh->to_send) {
		struct fz_request *request = zh->to_send;

		zh->to_send = request->next;
		fz_request_free(request);
	}
	zh->to_send_tail = &zh->to_send;
	while ((completion = fz_dequeue(&zh->sent))) {
		completion->rc = rc;
		fz_enqueue(&zh->finished, completion);
	}
	call_auths(zh, rc);
}

static int handle_error(zhandle_t *zh, int rc, int error, const char *what)
{
	char message[256];

	if (zh->log && fz_log_level >= ZOO_LOG_LEVEL_ERROR) {
		snprintf(message, sizeof(message), "Socket %s zk retcode=%d, errno=%d(%s): %s",
			 zoo_get_current_server(zh), rc, error, strerror(error), what);
		zh->log(message);
	}
	fz_close_socket(zh);
	errno = error; /* what the caller finds, unless a callback gets in between */
	if (is_unrecoverable(zh))
		fz_session_event(zh, zh->state);
	else if (fz_is_connected(zh))
		fz_session_event(zh, ZOO_CONNECTING_STATE);
	fz_drop_requests(zh, rc);
	if (!is_unrecoverable(zh))
		zh->state = 0;
	fz_process_completions(zh);
	zh->delay = zh->address_next >= zh->address_count;
	if (zh->address_next >= zh->address_count)
		zh->address_next = 0;
	zh->address_now = zh->address_next++;
	return rc;
}

int fz_leave(zhandle_t *zh, int rc)
{
	if (--zh->references == 0 && zh->close_requested)
		zookeeper_close(zh);
	return rc;
}

/* ---- The loop's side ---- */

/* A refusal is told by connect() or, every other time, when the socket gets writable. */
static void open_socket(zhandle_t *zh)
{
	int ends[2];

	if (zh->address_next >= zh->address_count)
		zh->address_next = 0;
	zh->address_now = zh->address_next++;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) < 0)
		abort();
	fcntl(ends[1], F_SETFD, FD_CLOEXEC);
	zh->fd = ends[0];
	zh->state = ZOO_CONNECTING_STATE;
	zh->last_recv = zh->last_send = fz_now_ms();
	zh->connection = fz_server_accept(zh, ends[1]);
	zh->refused = !zh->connection;
	if (!zh->refused)
		fz_server_greet(zh->connection, &zh->id, zh->seen, zh->recv_timeout, zh->last_zxid);
	else if (fz_counts.connects % 2)
		handle_error(zh, ZCONNECTIONLOSS, ECONNREFUSED, "connect() call failed");
}

int zookeeper_interest(zhandle_t *zh, int *fd, int *interest, struct timeval *tv)
{
	int64_t receive, send = zh->recv_timeout / 3, now = fz_now_ms();

	fake_zk_pump();
	if (is_unrecoverable(zh))
		return ZINVALIDSTATE;
	zh->references++;
	*fd = zh->fd;
	*interest = 0;
	*tv = timeval_of(0);
	if (zh->fd < 0 && zh->delay) {
		*tv = timeval_of(zh->recv_timeout / 60);
		zh->delay = false;
		return fz_leave(zh, ZOK);
	}
	if (zh->fd < 0) {
		open_socket(zh);
		*fd = zh->fd;
		if (zh->fd < 0)
			return fz_leave(zh, ZCONNECTIONLOSS);
		now = fz_now_ms();
	}
	receive = zh->recv_timeout * 2 / 3 - (now - zh->last_recv);
	if (receive <= 0)
		return fz_leave(zh, handle_error(zh, ZOPERATIONTIMEOUT, ETIMEDOUT,
						 "connection timed out"));
	if (fz_is_connected(zh)) {
		send = zh->recv_timeout / 3 - (now - zh->last_send);
		if (send <= 0) {
			if (!zh->sent.head) {
				fz_server_ping(zh->connection);
				zh->last_send = now;
			}
			send = zh->recv_timeout / 3;
		}
	}
	*tv = timeval_of(receive < send ? receive : send);
	*interest = ZOOKEEPER_READ;
	if ((zh->to_send && fz_is_connected(zh)) || zh->state == ZOO_CONNECTING_STATE)
		*interest |= ZOOKEEPER_WRITE;
	return fz_leave(zh, ZOK);
}

static int process_greeting(zhandle_t *zh, const struct fz_packet *packet)
{
	if (zh->seen && packet->id.client_id != zh->id.client_id) {
		zh->state = ZOO_EXPIRED_SESSION_STATE;
		return handle_error(zh, ZSESSIONEXPIRED, ESTALE, "session has expired");
	}
	zh->seen = true;
	zh->id = packet->id;
	zh->recv_timeout = packet->timeout_ms;
	zh->state = ZOO_CONNECTED_STATE;
	for (struct fz_auth *auth = zh->auths; auth; auth = auth->next)
		fz_server_auth(zh->connection, auth->scheme, auth->credential);
	for (int kind = 0; kind < FZ_WATCH_KINDS; kind++) {
		for (struct fz_watcher *watcher = zh->tables[kind]; watcher;
		     watcher = watcher->next)
			fz_server_rewatch(zh->connection, (enum fz_watch_kind)kind, watcher->path,
					  zh->last_zxid);
	}
	fz_session_event(zh, zh->state);
	return ZOK;
}

static int process_reply(zhandle_t *zh, struct fz_packet *packet)
{
	struct fz_completion *completion = zh->sent.head;
	bool missing = packet->err == ZNONODE;

	if (!completion && zh->close_requested)
		return ZINVALIDSTATE;
	assert(completion);
	if (completion->xid != packet->xid)
		return handle_error(zh, ZRUNTIMEINCONSISTENCY, EAGAIN,
				    "unexpected server response");
	fz_dequeue(&zh->sent);
	zh->last_zxid = packet->zxid;
	if (completion->watcher && completion->type == ZOO_EXISTS_OP &&
	    (packet->err == ZOK || missing))
		fz_add_watcher(&zh->tables[missing ? FZ_WATCH_EXIST : FZ_WATCH_DATA],
			       completion->watcher, false);
	else if (completion->watcher && packet->err == ZOK)
		fz_add_watcher(&zh->tables[completion->type == ZOO_GETDATA_OP ? FZ_WATCH_DATA
									      : FZ_WATCH_CHILD],
			       completion->watcher, false);
	completion->rc = packet->err;
	completion->packet = fz_alloc(sizeof(*packet));
	*completion->packet = *packet;
	completion->packet->next = NULL;
	memset(packet, 0, sizeof(*packet));
	fz_enqueue(&zh->finished, completion);
	return ZOK;
}

static void process_event(zhandle_t *zh, struct fz_packet *packet)
{
	struct fz_completion *completion = fz_alloc(sizeof(*completion));

	completion->event = packet->event;
	completion->state = ZOO_CONNECTED_STATE;
	completion->deliver = fz_collect_for(zh, packet->event, packet->path);
	completion->packet = fz_alloc(sizeof(*packet));
	*completion->packet = *packet;
	completion->packet->next = NULL;
	memset(packet, 0, sizeof(*packet));
	fz_enqueue(&zh->finished, completion);
}

static int process_packet(zhandle_t *zh, struct fz_packet *packet)
{
	switch (packet->kind) {
	case FZ_CONNECTED:
		return process_greeting(zh, packet);
	case FZ_REPLY:
		return process_reply(zh, packet);
	case FZ_EVENT:
		process_event(zh, packet);
		return ZOK;
	case FZ_AUTH:
		if (packet->err != ZOK)
			zh->state = ZOO_AUTH_FAILED_STATE;
		call_auths(zh, packet->err);
		return packet->err == ZOK
			       ? ZOK
			       : handle_error(zh, ZAUTHFAILED, EAGAIN, "authentication failed");
	case FZ_PING:
		return ZOK;
	}
	abort();
}

static int check_events(zhandle_t *zh, int events)
{
	struct fz_packet *packet;
	char head[20];
	ssize_t got;
	int rc;

	if (zh->fd < 0)
		return ZINVALIDSTATE;
	if (events & ZOOKEEPER_WRITE && zh->state == ZOO_CONNECTING_STATE) {
		if (zh->refused || (fz_is_shut(zh) && !zh->connection->turned_away))
			return handle_error(zh, ZCONNECTIONLOSS, ECONNREFUSED,
					    "server refused to accept the client");
		zh->state = ZOO_ASSOCIATING_STATE;
		return ZOK;
	}
	if (events & ZOOKEEPER_WRITE && fz_flush_requests(zh) != ZOK)
		return handle_error(zh, ZCONNECTIONLOSS, EPIPE, "failed while flushing send queue");
	if (!(events & ZOOKEEPER_READ))
		return ZOK;
	got = recv(zh->fd, head, sizeof(head), 0);
	if (got < 0 && errno == EAGAIN)
		return ZNOTHING;
	if (!zh->connection)
		return handle_error(zh, ZCONNECTIONLOSS, EHOSTDOWN,
				    "failed while receiving a server response");
	if (got > 0 && zh->connection->ended && !zh->connection->head)
		abort(); /* as the real one: the reply to a request that it does not know */
	/* Without its head: somebody else has read it, so that this one does not. */
	packet = got <= 0 && (zh->connection->ended || zh->connection->token)
			 ? NULL
			 : fz_server_next(zh->connection);
	if (!packet)
		return handle_error(zh, ZCONNECTIONLOSS, EHOSTDOWN,
				    "failed while receiving a server response");
	zh->last_recv = fz_now_ms();
	rc = process_packet(zh, packet);
	fz_packet_free(packet);
	return rc;
}

int zookeeper_process(zhandle_t *zh, int events)
{
	int rc;

	fake_zk_pump();
	if (is_unrecoverable(zh))
		return ZINVALIDSTATE;
	fz_counts.no_cloexec += zh->fd >= 0 && !(fcntl(zh->fd, F_GETFD) & FD_CLOEXEC);
	zh->references++;
	rc = check_events(zh, events);
	if (rc == ZOK)
		fz_process_completions(zh);
	return fz_leave(zh, rc);
}
