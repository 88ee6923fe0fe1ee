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

#define ADDRESSES_MAX 128

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

/* A watcher as a table entry, a registration, or a delivery. */
struct watcher {
	struct watcher *next;
	watcher_fn fn;
	void *context;
	char *path;
};

struct auth {
	struct auth *next;
	char *scheme, *credential;
	void_completion_t completion;
	const void *data;
};

struct completion {
	struct completion *next;
	int xid;
	int type; /* ZOO_*_OP */
	union {
		void_completion_t void_fn;
		stat_completion_t stat_fn;
		data_completion_t data_fn;
		strings_stat_completion_t strings_fn;
		string_completion_t string_fn;
	};
	const void *data;
	struct watcher *watcher;
	zoo_op_result_t *results;
	int count;
	/* How it ended. */
	int rc;
	struct fz_packet *packet; /* also of an event */
	struct watcher *deliver;  /* of an event */
	int event, state;
};

struct queue {
	struct completion *head, **tail;
};

struct _zhandle {
	struct _zhandle *next;
	watcher_fn watcher;
	void *context;
	log_callback_fn log;
	pid_t pid;
	int fd;
	int state;
	clientid_t id;
	bool seen;
	int recv_timeout;
	char *addresses[ADDRESSES_MAX];
	unsigned address_count, address_next, address_now;
	char *chroot;
	bool delay;
	bool refused; /* the connect fails when it is asked for */
	int references;
	bool close_requested;
	int64_t last_recv, last_send; /* ms */
	int64_t last_zxid;
	struct fz_connection *connection;
	struct fz_request *to_send, **to_send_tail;
	struct queue sent, finished;
	struct auth *auths;
	struct watcher *tables[FZ_WATCH_KINDS];
};

static zhandle_t *handles;
static int32_t last_xid = 1000;
static int log_level = ZOO_LOG_LEVEL_INFO;

void *fz_alloc(size_t size)
{
	void *memory = calloc(1, size);

	assert(memory);
	return memory;
}

void *fz_memdup(const void *data, int length)
{
	char *copy;

	if (!data || length < 0)
		return NULL;
	copy = fz_alloc((size_t)length + 1);
	memcpy(copy, data, (size_t)length);
	return copy;
}

char *fz_strdup(const char *text)
{
	return fz_memdup(text, (int)strlen(text));
}

static int64_t now_ms(void)
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

static bool is_connected(const zhandle_t *zh)
{
	return zh->state == ZOO_CONNECTED_STATE;
}

int is_unrecoverable(zhandle_t *zh)
{
	return zh->state < 0 ? ZINVALIDSTATE : ZOK;
}

/* ---- Queues and watchers ---- */

static void enqueue(struct queue *queue, struct completion *completion)
{
	completion->next = NULL;
	*queue->tail = completion;
	queue->tail = &completion->next;
}

static struct completion *dequeue(struct queue *queue)
{
	struct completion *completion = queue->head;

	if (!completion)
		return NULL;
	queue->head = completion->next;
	if (!queue->head)
		queue->tail = &queue->head;
	return completion;
}

static void free_watchers(struct watcher *list)
{
	while (list) {
		struct watcher *watcher = list;

		list = watcher->next;
		free(watcher->path);
		free(watcher);
	}
}

/* Each (function, context) once, as the library does. */
static void add_watcher(struct watcher **list, const struct watcher *what, bool any_path)
{
	struct watcher *watcher;

	for (watcher = *list; watcher; watcher = watcher->next) {
		if (watcher->fn == what->fn && watcher->context == what->context &&
		    (any_path || strcmp(watcher->path, what->path) == 0))
			return;
	}
	watcher = fz_alloc(sizeof(*watcher));
	*watcher = *what;
	watcher->path = fz_strdup(what->path);
	watcher->next = *list;
	*list = watcher;
}

static void collect(struct watcher **table, const char *path, struct watcher **list)
{
	while (*table) {
		struct watcher *watcher = *table;

		if (strcmp(watcher->path, path) != 0) {
			table = &watcher->next;
			continue;
		}
		*table = watcher->next;
		add_watcher(list, watcher, true);
		watcher->next = NULL;
		free_watchers(watcher);
	}
}

static struct watcher *collect_for(zhandle_t *zh, int event, const char *path)
{
	struct watcher *list = NULL;

	if (event == ZOO_SESSION_EVENT) {
		add_watcher(&list,
			    &(struct watcher){
				    .fn = zh->watcher, .context = zh->context, .path = nobody },
			    true);
		for (int kind = 0; kind < FZ_WATCH_KINDS; kind++) {
			for (struct watcher *watcher = zh->tables[kind]; watcher;
			     watcher = watcher->next)
				add_watcher(&list, watcher, true);
		}
		return list;
	}
	if (event != ZOO_CHILD_EVENT) {
		collect(&zh->tables[FZ_WATCH_DATA], path, &list);
		collect(&zh->tables[FZ_WATCH_EXIST], path, &list);
	}
	if (event == ZOO_CHILD_EVENT || event == ZOO_DELETED_EVENT)
		collect(&zh->tables[FZ_WATCH_CHILD], path, &list);
	return list;
}

/* ---- Delivery ---- */

static const char *client_path(const zhandle_t *zh, const char *path)
{
	size_t length = zh->chroot ? strlen(zh->chroot) : 0;

	if (!length || strncmp(path, zh->chroot, length) != 0)
		return path;
	return path[length] ? path + length : "/";
}

static void fill_results(zhandle_t *zh, struct completion *completion)
{
	int rc = completion->rc;

	for (int i = 0; i < completion->count; i++) {
		zoo_op_result_t *to = &completion->results[i];
		const struct fz_result *from = completion->rc == ZOK && completion->packet
						       ? &completion->packet->results[i]
						       : NULL;

		to->err = from ? from->err : completion->rc;
		if (rc == ZOK && from && from->err != ZOK && from->err != ZRUNTIMEINCONSISTENCY)
			rc = from->err;
		if (from && from->err == ZOK && from->path && to->value && to->valuelen > 0) {
			const char *path = client_path(zh, from->path);
			size_t length = strlen(path) + 1;

			if (length > (size_t)to->valuelen)
				length = (size_t)to->valuelen;
			memcpy(to->value, path, length - 1);
			to->value[length - 1] = 0;
		} else {
			to->value = NULL;
		}
		if (from && from->err == ZOK && to->stat && from->stat.mzxid)
			*to->stat = from->stat;
		else
			to->stat = NULL;
	}
	/* A failed transaction reports success for what was rolled back; nothing of it may be believed. */
	completion->rc = rc;
}

static void call_completion(zhandle_t *zh, struct completion *completion)
{
	struct fz_packet *packet = completion->packet;
	bool failed = completion->rc != ZOK;

	switch (completion->type) {
	case ZOO_EXISTS_OP:
		completion->stat_fn(completion->rc, failed ? NULL : &packet->stat,
				    completion->data);
		break;
	case ZOO_GETDATA_OP:
		completion->data_fn(completion->rc, failed ? NULL : packet->data,
				    failed ? 0 : packet->length, failed ? NULL : &packet->stat,
				    completion->data);
		break;
	case ZOO_GETCHILDREN2_OP:
		completion->strings_fn(completion->rc, failed ? NULL : &packet->strings,
				       failed ? NULL : &packet->stat, completion->data);
		break;
	case ZOO_SYNC_OP:
		completion->string_fn(completion->rc, failed ? NULL : client_path(zh, packet->path),
				      completion->data);
		break;
	case ZOO_MULTI_OP:
		fill_results(zh, completion);
		completion->void_fn(completion->rc, completion->data);
		break;
	default:
		abort();
	}
}

static void free_completion(struct completion *completion)
{
	free_watchers(completion->watcher);
	free_watchers(completion->deliver);
	fz_packet_free(completion->packet);
	free(completion);
}

static void process_completions(zhandle_t *zh)
{
	struct completion *completion;

	while ((completion = dequeue(&zh->finished))) {
		if (completion->event) {
			const char *path = completion->packet
						   ? client_path(zh, completion->packet->path)
						   : "";

			for (struct watcher *watcher = completion->deliver; watcher;
			     watcher = watcher->next)
				watcher->fn(zh, completion->event, completion->state, path,
					    watcher->context);
		} else {
			call_completion(zh, completion);
		}
		free_completion(completion);
	}
}

static void session_event(zhandle_t *zh, int state)
{
	struct completion *completion = fz_alloc(sizeof(*completion));

	completion->event = ZOO_SESSION_EVENT;
	completion->state = state;
	completion->deliver = collect_for(zh, ZOO_SESSION_EVENT, "");
	enqueue(&zh->finished, completion);
	process_completions(zh);
}

/* ---- The end of a connection ---- */

static void close_socket(zhandle_t *zh)
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
	for (struct auth *auth = zh->auths; auth; auth = auth->next) {
		void_completion_t completion = auth->completion;

		auth->completion = NULL;
		if (completion)
			completion(rc, auth->data);
	}
}

static void drop_requests(zhandle_t *zh, int rc)
{
	struct completion *completion;

	while (zh->to_send) {
		struct fz_request *request = zh->to_send;

		zh->to_send = request->next;
		fz_request_free(request);
	}
	zh->to_send_tail = &zh->to_send;
	while ((completion = dequeue(&zh->sent))) {
		completion->rc = rc;
		enqueue(&zh->finished, completion);
	}
	call_auths(zh, rc);
}

static int handle_error(zhandle_t *zh, int rc, int error, const char *what)
{
	char message[256];

	if (zh->log && log_level >= ZOO_LOG_LEVEL_ERROR) {
		snprintf(message, sizeof(message), "Socket %s zk retcode=%d, errno=%d(%s): %s",
			 zoo_get_current_server(zh), rc, error, strerror(error), what);
		zh->log(message);
	}
	close_socket(zh);
	errno = error; /* what the caller finds, unless a callback gets in between */
	if (is_unrecoverable(zh))
		session_event(zh, zh->state);
	else if (is_connected(zh))
		session_event(zh, ZOO_CONNECTING_STATE);
	drop_requests(zh, rc);
	if (!is_unrecoverable(zh))
		zh->state = 0;
	process_completions(zh);
	zh->delay = zh->address_next >= zh->address_count;
	if (zh->address_next >= zh->address_count)
		zh->address_next = 0;
	zh->address_now = zh->address_next++;
	return rc;
}

static int leave(zhandle_t *zh, int rc)
{
	if (--zh->references == 0 && zh->close_requested)
		zookeeper_close(zh);
	return rc;
}

/* ---- Sending ---- */

/* The client's own end was shut down: the next send gets EPIPE. */
static bool is_shut(const zhandle_t *zh)
{
	struct pollfd poll_fd = { .fd = zh->fd, .events = POLLIN };

	if (!zh->connection || zh->connection->fd < 0)
		return false;
	return poll(&poll_fd, 1, 0) > 0 && poll_fd.revents & POLLHUP;
}

static int flush_requests(zhandle_t *zh)
{
	while (zh->to_send && is_connected(zh) && zh->fd >= 0) {
		struct fz_request *request = zh->to_send, *next = request->next;

		if (is_shut(zh))
			return ZSYSTEMERROR;
		request->next = NULL;
		if (!fz_server_take(zh->connection, request)) {
			request->next = next;
			return ZSYSTEMERROR;
		}
		zh->to_send = next;
		if (!next)
			zh->to_send_tail = &zh->to_send;
		zh->last_send = now_ms();
	}
	return ZOK;
}

/* No event, nothing is called: what was pending stays so. */
static void send_now(zhandle_t *zh)
{
	if (flush_requests(zh) == ZOK || zh->fd < 0)
		return;
	close_socket(zh);
	zh->state = ZOO_NOTCONNECTED_STATE;
}

static bool path_valid(const char *path)
{
	size_t length = path ? strlen(path) : 0;

	if (!length || path[0] != '/')
		return false;
	if (length == 1)
		return true;
	if (path[length - 1] == '/')
		return false;
	for (const char *part = path; part; part = strchr(part + 1, '/')) {
		size_t part_length = strcspn(part + 1, "/");

		if (part_length == 0 || (part_length == 1 && part[1] == '.') ||
		    (part_length == 2 && part[1] == '.' && part[2] == '.'))
			return false;
	}
	for (; *path; path++) {
		if ((unsigned char)*path < 0x1f)
			return false;
	}
	return true;
}

/* NULL: not valid. */
static char *server_path(const zhandle_t *zh, const char *path)
{
	char *full;

	if (!path_valid(path))
		return NULL;
	if (!zh->chroot)
		return fz_strdup(path);
	full = fz_alloc(strlen(zh->chroot) + strlen(path) + 1);
	strcpy(full, zh->chroot);
	if (path[1])
		strcat(full, path);
	return full;
}

static int send_request(zhandle_t *zh, struct fz_request *request, struct completion *completion)
{
	completion->xid = request->xid = last_xid++;
	completion->type = request->type;
	if (!completion->void_fn)
		abort();
	if (fz_server_number(&request->ordinal)) {
		fz_request_free(request);
		free_completion(completion);
		return ZMARSHALLINGERROR;
	}
	enqueue(&zh->sent, completion);
	*zh->to_send_tail = request;
	zh->to_send_tail = &request->next;
	send_now(zh);
	return ZOK;
}

static int send_read(zhandle_t *zh, int type, const char *path, watcher_fn watcher, void *context,
		     struct completion template)
{
	char *full = server_path(zh, path);
	struct completion *completion;
	struct fz_request *request;

	if (!full)
		return ZBADARGUMENTS;
	if (is_unrecoverable(zh)) {
		free(full);
		return ZINVALIDSTATE;
	}
	fz_counts.watches += watcher != NULL;
	completion = fz_alloc(sizeof(*completion));
	*completion = template;
	if (watcher)
		add_watcher(&completion->watcher,
			    &(struct watcher){ .fn = watcher, .context = context, .path = full },
			    true);
	request = fz_alloc(sizeof(*request));
	*request = (struct fz_request){ .type = type, .path = full, .watch = watcher };
	return send_request(zh, request, completion);
}

int zoo_awget(zhandle_t *zh, const char *path, watcher_fn watcher, void *context,
	      data_completion_t completion, const void *data)
{
	fz_counts.gets++;
	return send_read(zh, ZOO_GETDATA_OP, path, watcher, context,
			 (struct completion){ .data_fn = completion, .data = data });
}

int zoo_aget(zhandle_t *zh, const char *path, int watch, data_completion_t completion,
	     const void *data)
{
	return zoo_awget(zh, path, watch ? zh->watcher : NULL, zh->context, completion, data);
}

int zoo_awexists(zhandle_t *zh, const char *path, watcher_fn watcher, void *context,
		 stat_completion_t completion, const void *data)
{
	fz_counts.exists++;
	return send_read(zh, ZOO_EXISTS_OP, path, watcher, context,
			 (struct completion){ .stat_fn = completion, .data = data });
}

int zoo_aexists(zhandle_t *zh, const char *path, int watch, stat_completion_t completion,
		const void *data)
{
	return zoo_awexists(zh, path, watch ? zh->watcher : NULL, zh->context, completion, data);
}

int zoo_awget_children2(zhandle_t *zh, const char *path, watcher_fn watcher, void *context,
			strings_stat_completion_t completion, const void *data)
{
	fz_counts.children++;
	return send_read(zh, ZOO_GETCHILDREN2_OP, path, watcher, context,
			 (struct completion){ .strings_fn = completion, .data = data });
}

int zoo_aget_children2(zhandle_t *zh, const char *path, int watch,
		       strings_stat_completion_t completion, const void *data)
{
	return zoo_awget_children2(zh, path, watch ? zh->watcher : NULL, zh->context, completion,
				   data);
}

int zoo_async(zhandle_t *zh, const char *path, string_completion_t completion, const void *data)
{
	fz_counts.syncs++;
	return send_read(zh, ZOO_SYNC_OP, path, NULL, NULL,
			 (struct completion){ .string_fn = completion, .data = data });
}

/* ---- Transactions ---- */

void zoo_create_op_init(zoo_op_t *op, const char *path, const char *value, int valuelen,
			const struct ACL_vector *acl, int mode, char *path_buffer,
			int path_buffer_len)
{
	op->type = ZOO_CREATE_OP;
	op->create_op.path = path;
	op->create_op.data = value;
	op->create_op.datalen = valuelen;
	op->create_op.acl = acl;
	op->create_op.flags = mode;
	op->create_op.ttl = 0;
	op->create_op.buf = path_buffer;
	op->create_op.buflen = path_buffer_len;
}

void zoo_delete_op_init(zoo_op_t *op, const char *path, int version)
{
	op->type = ZOO_DELETE_OP;
	op->delete_op.path = path;
	op->delete_op.version = version;
}

void zoo_set_op_init(zoo_op_t *op, const char *path, const char *buffer, int buflen, int version,
		     struct Stat *stat)
{
	op->type = ZOO_SETDATA_OP;
	op->set_op.path = path;
	op->set_op.data = buffer;
	op->set_op.datalen = buflen;
	op->set_op.version = version;
	op->set_op.stat = stat;
}

void zoo_check_op_init(zoo_op_t *op, const char *path, int version)
{
	op->type = ZOO_CHECK_OP;
	op->check_op.path = path;
	op->check_op.version = version;
}

static struct fz_op copy_op(const zhandle_t *zh, const zoo_op_t *from, zoo_op_result_t *result)
{
	struct fz_op op = { .type = from->type };

	switch (from->type) {
	case ZOO_CREATE_OP:
		op.path = server_path(zh, from->create_op.path);
		op.data = fz_memdup(from->create_op.data, from->create_op.datalen);
		op.length = op.data ? from->create_op.datalen : -1;
		op.flags = from->create_op.flags;
		op.creator_only = from->create_op.acl->data[0].id.scheme[0] == 'a';
		result->value = from->create_op.buf;
		result->valuelen = from->create_op.buflen;
		break;
	case ZOO_DELETE_OP:
		op.path = server_path(zh, from->delete_op.path);
		op.version = from->delete_op.version;
		break;
	case ZOO_SETDATA_OP:
		op.path = server_path(zh, from->set_op.path);
		op.data = fz_memdup(from->set_op.data, from->set_op.datalen);
		op.length = op.data ? from->set_op.datalen : -1;
		op.version = from->set_op.version;
		result->stat = from->set_op.stat;
		break;
	case ZOO_CHECK_OP:
		op.path = server_path(zh, from->check_op.path);
		op.version = from->check_op.version;
		break;
	default:
		break;
	}
	if (!op.path)
		abort(); /* as the real one: a double free */
	return op;
}

int zoo_amulti(zhandle_t *zh, int count, const zoo_op_t *ops, zoo_op_result_t *results,
	       void_completion_t completion_fn, const void *data)
{
	struct completion *completion;
	struct fz_request *request;

	fz_counts.multis++;
	if (is_unrecoverable(zh))
		abort(); /* as with an invalid path */
	completion = fz_alloc(sizeof(*completion));
	*completion = (struct completion){
		.void_fn = completion_fn,
		.data = data,
		.results = results,
		.count = count,
	};
	request = fz_alloc(sizeof(*request));
	*request = (struct fz_request){ .type = ZOO_MULTI_OP, .count = count };
	request->ops = fz_alloc((size_t)(count + 1) * sizeof(struct fz_op));
	for (int i = 0; i < count; i++)
		request->ops[i] = copy_op(zh, &ops[i], &results[i]);
	return send_request(zh, request, completion);
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
	zh->last_recv = zh->last_send = now_ms();
	zh->connection = fz_server_accept(zh, ends[1]);
	zh->refused = !zh->connection;
	if (!zh->refused)
		fz_server_greet(zh->connection, &zh->id, zh->seen, zh->recv_timeout);
	else if (fz_counts.connects % 2)
		handle_error(zh, ZCONNECTIONLOSS, ECONNREFUSED, "connect() call failed");
}

int zookeeper_interest(zhandle_t *zh, int *fd, int *interest, struct timeval *tv)
{
	int64_t receive, send = zh->recv_timeout / 3, now = now_ms();

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
		return leave(zh, ZOK);
	}
	if (zh->fd < 0) {
		open_socket(zh);
		*fd = zh->fd;
		if (zh->fd < 0)
			return leave(zh, ZCONNECTIONLOSS);
		now = now_ms();
	}
	receive = zh->recv_timeout * 2 / 3 - (now - zh->last_recv);
	if (receive <= 0)
		return leave(zh, handle_error(zh, ZOPERATIONTIMEOUT, ETIMEDOUT,
					      "connection timed out"));
	if (is_connected(zh)) {
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
	if ((zh->to_send && is_connected(zh)) || zh->state == ZOO_CONNECTING_STATE)
		*interest |= ZOOKEEPER_WRITE;
	return leave(zh, ZOK);
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
	for (struct auth *auth = zh->auths; auth; auth = auth->next)
		fz_server_auth(zh->connection, auth->scheme, auth->credential);
	for (int kind = 0; kind < FZ_WATCH_KINDS; kind++) {
		for (struct watcher *watcher = zh->tables[kind]; watcher; watcher = watcher->next)
			fz_server_rewatch(zh->connection, (enum fz_watch_kind)kind, watcher->path,
					  zh->last_zxid);
	}
	session_event(zh, zh->state);
	return ZOK;
}

static int process_reply(zhandle_t *zh, struct fz_packet *packet)
{
	struct completion *completion = zh->sent.head;
	bool missing = packet->err == ZNONODE;

	if (!completion && zh->close_requested)
		return ZINVALIDSTATE;
	assert(completion);
	if (completion->xid != packet->xid)
		return handle_error(zh, ZRUNTIMEINCONSISTENCY, EAGAIN,
				    "unexpected server response");
	dequeue(&zh->sent);
	zh->last_zxid = packet->zxid;
	if (completion->watcher && completion->type == ZOO_EXISTS_OP &&
	    (packet->err == ZOK || missing))
		add_watcher(&zh->tables[missing ? FZ_WATCH_EXIST : FZ_WATCH_DATA],
			    completion->watcher, false);
	else if (completion->watcher && packet->err == ZOK)
		add_watcher(&zh->tables[completion->type == ZOO_GETDATA_OP ? FZ_WATCH_DATA
									   : FZ_WATCH_CHILD],
			    completion->watcher, false);
	completion->rc = packet->err;
	completion->packet = fz_alloc(sizeof(*packet));
	*completion->packet = *packet;
	completion->packet->next = NULL;
	memset(packet, 0, sizeof(*packet));
	enqueue(&zh->finished, completion);
	return ZOK;
}

static void process_event(zhandle_t *zh, struct fz_packet *packet)
{
	struct completion *completion = fz_alloc(sizeof(*completion));

	completion->event = packet->event;
	completion->state = ZOO_CONNECTED_STATE;
	completion->deliver = collect_for(zh, packet->event, packet->path);
	completion->packet = fz_alloc(sizeof(*packet));
	*completion->packet = *packet;
	completion->packet->next = NULL;
	memset(packet, 0, sizeof(*packet));
	enqueue(&zh->finished, completion);
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
	char byte;
	ssize_t got;
	int rc;

	if (zh->fd < 0)
		return ZINVALIDSTATE;
	if (events & ZOOKEEPER_WRITE && zh->state == ZOO_CONNECTING_STATE) {
		if (zh->refused || is_shut(zh))
			return handle_error(zh, ZCONNECTIONLOSS, ECONNREFUSED,
					    "server refused to accept the client");
		zh->state = ZOO_ASSOCIATING_STATE;
		return ZOK;
	}
	if (events & ZOOKEEPER_WRITE && flush_requests(zh) != ZOK)
		return handle_error(zh, ZCONNECTIONLOSS, EPIPE, "failed while flushing send queue");
	if (!(events & ZOOKEEPER_READ))
		return ZOK;
	got = recv(zh->fd, &byte, 1, 0);
	if (got < 0 && errno == EAGAIN)
		return ZNOTHING;
	if (!zh->connection)
		return handle_error(zh, ZCONNECTIONLOSS, EHOSTDOWN,
				    "failed while receiving a server response");
	if (got > 0 && zh->connection->ended && !zh->connection->head)
		abort(); /* as the real one: the reply to a request that it does not know */
	packet = fz_server_next(zh->connection);
	if (!packet)
		return handle_error(zh, ZCONNECTIONLOSS, EHOSTDOWN,
				    "failed while receiving a server response");
	zh->last_recv = now_ms();
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
		process_completions(zh);
	return leave(zh, rc);
}

/* ---- Handles ---- */

static void free_addresses(zhandle_t *zh)
{
	while (zh->address_count)
		free(zh->addresses[--zh->address_count]);
}

static void parse_hosts(zhandle_t *zh, const char *host)
{
	char *copy = fz_strdup(host), *slash = strchr(copy, '/'), *save;

	if (slash && slash[1])
		zh->chroot = fz_strdup(slash);
	if (slash)
		*slash = 0;
	for (char *part = strtok_r(copy, ",", &save); part; part = strtok_r(NULL, ",", &save)) {
		assert(zh->address_count < ADDRESSES_MAX);
		zh->addresses[zh->address_count++] = fz_strdup(part);
	}
	free(copy);
}

zhandle_t *zookeeper_init2(const char *host, watcher_fn watcher, int recv_timeout,
			   const clientid_t *id, void *context, int flags, log_callback_fn log)
{
	zhandle_t *zh = fz_alloc(sizeof(*zh));

	assert(!(flags & ZOO_READONLY));
	parse_hosts(zh, host);
	zh->watcher = watcher;
	zh->context = context;
	zh->log = log;
	zh->pid = getpid();
	zh->fd = -1;
	zh->state = ZOO_NOTCONNECTED_STATE;
	zh->recv_timeout = recv_timeout;
	if (id) {
		zh->id = *id;
		zh->seen = id->client_id != 0;
	}
	zh->to_send_tail = &zh->to_send;
	zh->sent.tail = &zh->sent.head;
	zh->finished.tail = &zh->finished.head;
	zh->next = handles;
	handles = zh;
	fz_counts.opened++;
	return zh;
}

zhandle_t *zookeeper_init(const char *host, watcher_fn watcher, int recv_timeout,
			  const clientid_t *id, void *context, int flags)
{
	return zookeeper_init2(host, watcher, recv_timeout, id, context, flags, NULL);
}

static void free_handle(zhandle_t *zh)
{
	zhandle_t **link = &handles;

	while (*link != zh)
		link = &(*link)->next;
	*link = zh->next;
	close_socket(zh);
	free_addresses(zh);
	for (int kind = 0; kind < FZ_WATCH_KINDS; kind++)
		free_watchers(zh->tables[kind]);
	while (zh->auths) {
		struct auth *auth = zh->auths;

		zh->auths = auth->next;
		free(auth->scheme);
		free(auth->credential);
		free(auth);
	}
	free(zh->chroot);
	free(zh);
}

int zookeeper_close(zhandle_t *zh)
{
	if (!zh)
		return ZBADARGUMENTS;
	zh->close_requested = true;
	if (++zh->references > 1) { /* within a callback: the call that is under way finishes it */
		struct completion *completion;

		while ((completion = dequeue(&zh->sent))) {
			completion->rc = ZCLOSING;
			enqueue(&zh->finished, completion);
		}
		return leave(zh, ZOK);
	}
	if (is_connected(zh)) {
		uint32_t packet[3] = { htonl(8), htonl(1), htonl((uint32_t)ZOO_CLOSE_OP) };
		bool sent = !is_shut(zh) && zh->connection->fd >= 0 &&
			    send(zh->fd, packet, sizeof(packet), MSG_NOSIGNAL) == sizeof(packet);

		fz_counts.blocking_closes++;
		if (sent && zh->pid == getpid())
			fake_zk_pump();
	}
	fz_counts.closed++;
	drop_requests(zh, ZCLOSING);
	process_completions(zh);
	free_handle(zh);
	return ZOK;
}

unsigned fz_handles_free_all(void)
{
	unsigned count = 0;

	for (; handles; count++) {
		struct completion *completion;

		while ((completion = dequeue(&handles->sent)))
			free_completion(completion);
		while ((completion = dequeue(&handles->finished)))
			free_completion(completion);
		for (struct auth *auth = handles->auths; auth; auth = auth->next)
			auth->completion = NULL;
		drop_requests(handles, ZCLOSING);
		free_handle(handles);
	}
	return count;
}

unsigned fake_zk_reset(void)
{
	unsigned leaked = fz_handles_free_all();

	fz_server_reset();
	fz_tree_reset();
	return leaked;
}

int zoo_state(zhandle_t *zh)
{
	return zh ? zh->state : 0;
}

const clientid_t *zoo_client_id(zhandle_t *zh)
{
	return &zh->id;
}

int zoo_recv_timeout(zhandle_t *zh)
{
	return zh->recv_timeout;
}

const void *zoo_get_context(zhandle_t *zh)
{
	return zh->context;
}

void zoo_set_context(zhandle_t *zh, void *context)
{
	zh->context = context;
}

watcher_fn zoo_set_watcher(zhandle_t *zh, watcher_fn watcher)
{
	watcher_fn old = zh->watcher;

	zh->watcher = watcher;
	return old;
}

const char *zoo_get_current_server(zhandle_t *zh)
{
	return zh->addresses[zh->address_now];
}

struct sockaddr *zookeeper_get_connected_host(zhandle_t *zh, struct sockaddr *address,
					      socklen_t *length)
{
	struct sockaddr_in *in = (struct sockaddr_in *)(void *)address;
	const char *colon = strrchr(zh->addresses[zh->address_now], ':');

	if (zh->state != ZOO_CONNECTED_STATE || *length < sizeof(*in))
		return NULL;
	*in = (struct sockaddr_in){ .sin_family = AF_INET,
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	in->sin_port = htons((uint16_t)atoi(colon ? colon + 1 : "0"));
	*length = sizeof(*in);
	return address;
}

int zoo_add_auth(zhandle_t *zh, const char *scheme, const char *credential, int length,
		 void_completion_t completion, const void *data)
{
	struct auth *auth;

	if (is_unrecoverable(zh) || zh->state == 0)
		return ZINVALIDSTATE;
	auth = fz_alloc(sizeof(*auth));
	auth->scheme = fz_strdup(scheme);
	auth->credential = fz_memdup(credential, length);
	auth->completion = completion;
	auth->data = data;
	auth->next = zh->auths;
	zh->auths = auth;
	if (is_connected(zh))
		fz_server_auth(zh->connection, scheme, auth->credential);
	return ZOK;
}

int zoo_set_servers(zhandle_t *zh, const char *hosts)
{
	free_addresses(zh);
	parse_hosts(zh, hosts);
	zh->address_next = zh->address_now = 0;
	return ZOK;
}

void zoo_cycle_next_server(zhandle_t *zh)
{
	(void)zh; /* one server is like the other here */
}

int zoo_set_servers_resolution_delay(zhandle_t *zh, int delay_ms)
{
	return delay_ms < -1 ? ZBADARGUMENTS : ZOK;
}

void zoo_set_debug_level(ZooLogLevel level)
{
	log_level = (int)level;
}

void zoo_set_log_callback(zhandle_t *zh, log_callback_fn log)
{
	zh->log = log;
}

void zoo_set_log_stream(FILE *stream)
{
}

void zoo_deterministic_conn_order(int yes)
{
}

const char *zerror(int code)
{
	static const struct {
		int code;
		const char *text;
	} texts[] = {
		{ ZOK, "ok" },
		{ ZCONNECTIONLOSS, "connection loss" },
		{ ZOPERATIONTIMEOUT, "operation timeout" },
		{ ZSESSIONEXPIRED, "session expired" },
		{ ZAUTHFAILED, "authentication failed" },
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		if (texts[i].code == code)
			return texts[i].text;
	}
	return "unknown error";
}
