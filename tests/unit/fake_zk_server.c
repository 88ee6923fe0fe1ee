/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_zk_internal.h"

#include <arpa/inet.h>
#include <assert.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

struct fake_zk_counts fz_counts;
static struct fz_session *sessions;
static struct fz_connection *connections;
static unsigned failing_connects;
static enum fake_zk_connect failing_way;
static int timeout_min_ms, timeout_max_ms;
static char *accepted_credential;
static int64_t last_session;
static bool paced;

void fz_packet_free(struct fz_packet *packet)
{
	if (!packet)
		return;
	for (int i = 0; i < packet->strings.count; i++)
		free(packet->strings.data[i]);
	free(packet->strings.data);
	for (int i = 0; i < packet->acl.count; i++) {
		free(packet->acl.data[i].id.scheme);
		free(packet->acl.data[i].id.id);
	}
	free(packet->acl.data);
	fz_results_free(packet->results, packet->count);
	free(packet->path);
	free(packet->data);
	free(packet);
}

void fz_request_free(struct fz_request *request)
{
	fz_ops_free(request->ops, request->count);
	free(request->path);
	free(request);
}

static void clear_watches(struct fz_connection *connection)
{
	while (connection->watches) {
		struct fz_watch *watch = connection->watches;

		connection->watches = watch->next;
		free(watch->path);
		free(watch);
	}
}

/* The server's end goes; what was sent before can still be read. */
static void hang_up(struct fz_connection *connection)
{
	if (connection->fd >= 0)
		close(connection->fd);
	connection->fd = -1;
	if (connection->session)
		connection->session->connection = NULL;
	connection->session = NULL;
	clear_watches(connection);
}

static void turn_away(struct fz_connection *connection)
{
	connection->turned_away = true;
	hang_up(connection);
}

static void free_session(struct fz_session *session)
{
	struct fz_session **link = &sessions;

	while (*link != session)
		link = &(*link)->next;
	*link = session->next;
	if (session->connection)
		session->connection->session = NULL;
	free(session);
}

static struct fz_session *find_session(int64_t id)
{
	struct fz_session *session = sessions;

	while (session && session->id.client_id != id)
		session = session->next;
	return session;
}

/* ---- Packets to the client ---- */

static bool shut_by_client(const struct fz_connection *connection)
{
	struct pollfd poll_fd = { .fd = connection->fd, .events = POLLIN };

	return poll(&poll_fd, 1, 0) > 0 && poll_fd.revents & (POLLHUP | POLLERR);
}

/* As on the wire: length, xid, zxid, error; or length, protocol, session timeout, session. */
static void fill_head(const struct fz_packet *packet, uint32_t head[5])
{
	static const int xids[] = { [FZ_EVENT] = -1, [FZ_PING] = -2, [FZ_AUTH] = -4 };
	int64_t number = packet->kind == FZ_CONNECTED ? packet->id.client_id : packet->zxid;

	if (packet->kind == FZ_CONNECTED) {
		head[0] = htonl(37);
		head[2] = htonl((uint32_t)packet->timeout_ms);
	} else {
		head[0] = htonl(16);
		head[1] = htonl(
			(uint32_t)(packet->kind == FZ_REPLY ? packet->xid : xids[packet->kind]));
		head[4] = htonl((uint32_t)packet->err);
	}
	head[packet->kind == FZ_CONNECTED ? 3 : 2] = htonl((uint32_t)((uint64_t)number >> 32));
	head[packet->kind == FZ_CONNECTED ? 4 : 3] = htonl((uint32_t)number);
}

static void send_token(struct fz_connection *connection)
{
	uint32_t head[5] = { 0 };

	if (connection->token || !connection->head || connection->fd < 0 ||
	    (paced && !connection->turn))
		return;
	connection->turn = false;
	fill_head(connection->head, head);
	connection->token = send(connection->fd, head, sizeof(head), MSG_NOSIGNAL) == sizeof(head);
}

static void send_packet(struct fz_connection *connection, struct fz_packet *packet)
{
	if (connection->fd < 0 || connection->silent || shut_by_client(connection)) {
		fz_packet_free(packet);
		return;
	}
	packet->zxid = fz_tree_zxid();
	*connection->tail = packet;
	connection->tail = &packet->next;
	send_token(connection);
}

static struct fz_packet *new_packet(enum fz_packet_kind kind)
{
	struct fz_packet *packet = fz_alloc(sizeof(*packet));

	packet->kind = kind;
	return packet;
}

struct fz_packet *fz_server_next(struct fz_connection *connection)
{
	struct fz_packet *packet = connection->head;

	if (!packet)
		return NULL;
	connection->head = packet->next;
	if (!connection->head)
		connection->tail = &connection->head;
	connection->token = false; /* the client has read it */
	send_token(connection);
	return packet;
}

/* ---- Watches ---- */

static void arm(struct fz_connection *connection, bool child, const char *path)
{
	struct fz_watch *watch = connection->watches;

	while (watch && (watch->child != child || strcmp(watch->path, path) != 0))
		watch = watch->next;
	if (watch)
		return;
	watch = fz_alloc(sizeof(*watch));
	*watch = (struct fz_watch){ .next = connection->watches,
				    .child = child,
				    .path = fz_strdup(path) };
	connection->watches = watch;
}

static bool disarm(struct fz_connection *connection, bool child, const char *path)
{
	for (struct fz_watch **link = &connection->watches; *link; link = &(*link)->next) {
		struct fz_watch *watch = *link;

		if (watch->child != child || strcmp(watch->path, path) != 0)
			continue;
		*link = watch->next;
		free(watch->path);
		free(watch);
		return true;
	}
	return false;
}

static void send_event(struct fz_connection *connection, int event, const char *path)
{
	struct fz_packet *packet = new_packet(FZ_EVENT);

	packet->event = event;
	packet->path = fz_strdup(path);
	send_packet(connection, packet);
}

void fz_server_fire(int event, const char *path)
{
	for (struct fz_connection *connection = connections; connection;
	     connection = connection->next) {
		bool data = event != ZOO_CHILD_EVENT && disarm(connection, false, path);
		bool child = (event == ZOO_CHILD_EVENT || event == ZOO_DELETED_EVENT) &&
			     disarm(connection, true, path);

		if (data || child)
			send_event(connection, event, path);
	}
}

void fz_server_rewatch(struct fz_connection *connection, enum fz_watch_kind kind, const char *path,
		       int64_t last_zxid)
{
	const struct fz_node *node = fz_tree_find(path);

	if (kind == FZ_WATCH_EXIST && node)
		send_event(connection, ZOO_CREATED_EVENT, path);
	else if (kind != FZ_WATCH_EXIST && !node)
		send_event(connection, ZOO_DELETED_EVENT, path);
	else if (kind == FZ_WATCH_DATA && node->stat.mzxid > last_zxid)
		send_event(connection, ZOO_CHANGED_EVENT, path);
	else if (kind == FZ_WATCH_CHILD && node->stat.pzxid > last_zxid)
		send_event(connection, ZOO_CHILD_EVENT, path);
	else
		arm(connection, kind == FZ_WATCH_CHILD, path);
}

/* ---- Requests ---- */

static void answer_children(struct fz_packet *packet, const struct fz_node *node)
{
	packet->strings.data = fz_alloc((size_t)(node->stat.numChildren + 1) * sizeof(char *));
	for (const struct fz_node *child = node->child; child; child = child->sibling)
		packet->strings.data[packet->strings.count++] =
			fz_strdup(strrchr(child->path, '/') + 1);
}

/* A key with a credential shows it as the id of a digest, in clear. */
static void answer_acl(struct fz_packet *packet, const struct fz_node *node)
{
	const char *credential = node->credential;

	packet->acl.count = 1;
	packet->acl.data = fz_alloc(sizeof(*packet->acl.data));
	packet->acl.data[0].perms = 0x1f;
	packet->acl.data[0].id.scheme = fz_strdup(credential ? "digest" : "world");
	packet->acl.data[0].id.id = fz_strdup(credential ? credential : "anyone");
}

static void answer_read(struct fz_connection *connection, const struct fz_request *request,
			struct fz_packet *packet)
{
	const struct fz_node *node = fz_tree_find(request->path);
	bool exists = request->type == ZOO_EXISTS_OP;

	if (!node)
		packet->err = ZNONODE;
	else if (!exists && !fz_tree_may(node, connection->credential))
		packet->err = ZNOAUTH;
	if (request->watch && (packet->err == ZOK || (exists && packet->err == ZNONODE)))
		arm(connection, request->type == ZOO_GETCHILDREN2_OP, request->path);
	if (packet->err != ZOK)
		return;
	packet->stat = node->stat;
	if (request->type == ZOO_GETDATA_OP) {
		packet->data = fz_memdup(node->data, node->length);
		packet->length = node->data ? node->length : -1;
	} else if (request->type == ZOO_GETCHILDREN2_OP) {
		answer_children(packet, node);
	} else if (request->type == ZOO_GETACL_OP) {
		answer_acl(packet, node);
	}
}

static void apply(struct fz_connection *connection, const struct fz_request *request)
{
	struct fz_packet *packet = new_packet(FZ_REPLY);

	packet->xid = request->xid;
	switch (request->type) {
	case ZOO_SYNC_OP:
		packet->path = fz_strdup(request->path);
		break;
	case ZOO_MULTI_OP:
		packet->count = request->count;
		packet->results = fz_alloc((size_t)(request->count + 1) * sizeof(struct fz_result));
		fz_tree_commit(request->ops, request->count, connection->session->id.client_id,
			       connection->credential, packet->results);
		break;
	default:
		answer_read(connection, request, packet);
		break;
	}
	send_packet(connection, packet);
}

static void meet_fate(struct fz_connection *connection, const struct fz_request *request,
		      enum fake_zk_way way)
{
	int64_t session = connection->session->id.client_id;

	if (way == FAKE_ZK_CONFLICT_SET || way == FAKE_ZK_CONFLICT_DELETE)
		fz_plan_conflict(request, way == FAKE_ZK_CONFLICT_DELETE);
	if (way == FAKE_ZK_HANG_BEFORE || way == FAKE_ZK_HANG_AFTER)
		connection->silent = true;
	if (way != FAKE_ZK_LOST_BEFORE && way != FAKE_ZK_EXPIRED_BEFORE &&
	    way != FAKE_ZK_HANG_BEFORE) {
		/* Applied, but a reply only if nothing was lost. */
		bool silent = connection->silent;

		connection->silent = silent || way == FAKE_ZK_LOST_AFTER ||
				     way == FAKE_ZK_EXPIRED_AFTER;
		apply(connection, request);
		connection->silent = silent;
	}
	if (way == FAKE_ZK_LOST_BEFORE || way == FAKE_ZK_LOST_AFTER)
		hang_up(connection);
	if (way == FAKE_ZK_EXPIRED_BEFORE || way == FAKE_ZK_EXPIRED_AFTER)
		fake_zk_expire(session);
}

bool fz_server_take(struct fz_connection *connection, struct fz_request *request)
{
	enum fake_zk_way way = FAKE_ZK_LOST_BEFORE;
	bool fated;

	fz_plan_hook(request->ordinal, connection->handle);
	fated = fz_plan_fate(request->ordinal, &way);
	if (fated && way == FAKE_ZK_SILENT_CLOSE)
		return false;
	if (connection->silent || connection->fd < 0 || !connection->session) {
		fz_request_free(request);
		return true;
	}
	if (fated)
		meet_fate(connection, request, way);
	else
		apply(connection, request);
	fz_request_free(request);
	return true;
}

void fz_server_ping(struct fz_connection *connection)
{
	send_packet(connection, new_packet(FZ_PING));
}

void fz_server_auth(struct fz_connection *connection, const char *scheme, const char *credential)
{
	struct fz_packet *packet = new_packet(FZ_AUTH);

	if (strcmp(scheme, "digest") != 0 ||
	    (accepted_credential && strcmp(accepted_credential, credential) != 0)) {
		packet->err = ZAUTHFAILED;
		send_packet(connection, packet);
		hang_up(connection);
		return;
	}
	free(connection->credential);
	connection->credential = fz_strdup(credential);
	send_packet(connection, packet);
}

/* ---- Connections and sessions ---- */

struct fz_connection *fz_server_accept(zhandle_t *handle, int fd)
{
	struct fz_connection *connection;

	fz_counts.connects++;
	if (failing_connects && failing_way == FAKE_ZK_REFUSED) {
		failing_connects--;
		close(fd);
		return NULL;
	}
	connection = fz_alloc(sizeof(*connection));
	connection->handle = handle;
	connection->fd = fd;
	connection->tail = &connection->head;
	connection->next = connections;
	connections = connection;
	if (failing_connects) {
		failing_connects--;
		if (failing_way == FAKE_ZK_SILENT)
			connection->silent = true;
		else
			turn_away(connection);
	}
	return connection;
}

static struct fz_session *new_session(void)
{
	struct fz_session *session = fz_alloc(sizeof(*session));

	session->id.client_id = ++last_session;
	memcpy(session->id.passwd, "a-password-of-16", 16);
	session->next = sessions;
	sessions = session;
	return session;
}

void fz_server_greet(struct fz_connection *connection, const clientid_t *id, bool seen,
		     int timeout_ms, int64_t last_zxid)
{
	struct fz_packet *packet;
	struct fz_session *session;

	if (connection->silent || connection->fd < 0)
		return;
	if (last_zxid > fz_tree_zxid()) {
		turn_away(connection);
		return;
	}
	packet = new_packet(FZ_CONNECTED);
	session = seen ? find_session(id->client_id) : new_session();
	if (session && seen && memcmp(session->id.passwd, id->passwd, sizeof(id->passwd)) != 0)
		session = NULL;
	if (!session) { /* expired: an id of 0 */
		send_packet(connection, packet);
		hang_up(connection);
		return;
	}
	if (session->connection)
		hang_up(session->connection);
	session->connection = connection;
	session->timeout_ms = timeout_ms < timeout_min_ms   ? timeout_min_ms
			      : timeout_ms > timeout_max_ms ? timeout_max_ms
							    : timeout_ms;
	connection->session = session;
	packet->id = session->id;
	packet->timeout_ms = session->timeout_ms;
	send_packet(connection, packet);
}

void fz_server_drop(struct fz_connection *connection)
{
	struct fz_connection **link = &connections;

	while (*link != connection)
		link = &(*link)->next;
	*link = connection->next;
	hang_up(connection);
	while (connection->head) {
		struct fz_packet *packet = connection->head;

		connection->head = packet->next;
		fz_packet_free(packet);
	}
	free(connection->credential);
	free(connection);
}

static void close_session(struct fz_connection *connection, uint32_t xid)
{
	int64_t session = connection->session->id.client_id;
	uint32_t reply[5] = { htonl(16), xid }; /* length, xid, zxid, err */

	fz_counts.closed_sessions++;
	if (send(connection->fd, reply, sizeof(reply), MSG_NOSIGNAL) == sizeof(reply))
		connection->ended = true;
	hang_up(connection);
	free_session(find_session(session));
	fz_tree_drop_ephemerals(session);
}

/* The one packet that is ever written into a socket: "close my session". */
void fake_zk_pump(void)
{
	for (struct fz_connection *connection = connections; connection;
	     connection = connection->next) {
		uint32_t packet[3];

		if (connection->fd < 0 || connection->silent || !connection->session)
			continue;
		if (recv(connection->fd, packet, sizeof(packet), MSG_PEEK) != sizeof(packet))
			continue;
		if (ntohl(packet[0]) != 8 || (int32_t)ntohl(packet[2]) != ZOO_CLOSE_OP)
			abort();
		recv(connection->fd, packet, sizeof(packet), 0);
		close_session(connection, packet[1]);
	}
}

/* ---- What tests call ---- */

void fake_zk_pace(bool on)
{
	paced = on;
}

void fake_zk_turn(void)
{
	fake_zk_pump();
	for (struct fz_connection *connection = connections; connection;
	     connection = connection->next) {
		connection->turn = true;
		send_token(connection);
	}
}

void fz_server_reset(void)
{
	while (connections)
		fz_server_drop(connections);
	while (sessions)
		free_session(sessions);
	fz_plan_reset();
	memset(&fz_counts, 0, sizeof(fz_counts));
	paced = false;
	failing_connects = 0;
	timeout_min_ms = 100;
	timeout_max_ms = 600000;
	last_session = 0x7000;
	free(accepted_credential);
	accepted_credential = NULL;
}

void fake_zk_fail_connects(unsigned count, enum fake_zk_connect way)
{
	failing_connects = count;
	failing_way = way;
}

void fake_zk_limit_timeouts(int min_ms, int max_ms)
{
	timeout_min_ms = min_ms;
	timeout_max_ms = max_ms;
}

void fake_zk_accept_credential(const char *credential)
{
	free(accepted_credential);
	accepted_credential = credential ? fz_strdup(credential) : NULL;
}

static void expire(int64_t id, bool silently)
{
	struct fz_session *session = find_session(id);
	struct fz_connection *connection;

	if (!session)
		return;
	connection = session->connection;
	if (connection && silently)
		connection->silent = true;
	else if (connection)
		hang_up(connection);
	free_session(session);
	fz_tree_drop_ephemerals(id);
}

void fake_zk_expire(int64_t session)
{
	expire(session, false);
}

void fake_zk_expire_silently(int64_t session)
{
	expire(session, true);
}

void fake_zk_disconnect(int64_t id)
{
	struct fz_session *session = find_session(id);

	if (session && session->connection)
		hang_up(session->connection);
}

void fake_zk_set_back(void)
{
	while (sessions)
		fake_zk_expire(sessions->id.client_id);
	fz_tree_set_back();
}

bool fake_zk_session_alive(int64_t session)
{
	return find_session(session);
}

unsigned fake_zk_sessions(void)
{
	unsigned count = 0;

	for (struct fz_session *session = sessions; session; session = session->next)
		count++;
	return count;
}

struct fake_zk_counts fake_zk_counts(void)
{
	return fz_counts;
}
