/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_zk_internal.h"

#include <arpa/inet.h>
#include <assert.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int fz_log_level = ZOO_LOG_LEVEL_INFO;
static zhandle_t *handles;

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
	fz_close_socket(zh);
	free_addresses(zh);
	for (int kind = 0; kind < FZ_WATCH_KINDS; kind++)
		fz_free_watchers(zh->tables[kind]);
	while (zh->auths) {
		struct fz_auth *auth = zh->auths;

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
		struct fz_completion *completion;

		while ((completion = fz_dequeue(&zh->sent))) {
			completion->rc = ZCLOSING;
			fz_enqueue(&zh->finished, completion);
		}
		return fz_leave(zh, ZOK);
	}
	if (fz_is_connected(zh)) {
		uint32_t packet[3] = { htonl(8), htonl(1), htonl((uint32_t)ZOO_CLOSE_OP) };
		bool sent = !fz_is_shut(zh) && zh->connection->fd >= 0 &&
			    send(zh->fd, packet, sizeof(packet), MSG_NOSIGNAL) == sizeof(packet);

		if (sent && zh->pid == getpid())
			fake_zk_pump();
		/* Without an answer it waits for one. */
		fz_counts.blocking_closes += zh->connection->fd >= 0;
	}
	fz_counts.closed++;
	fz_drop_requests(zh, ZCLOSING);
	fz_process_completions(zh);
	free_handle(zh);
	return ZOK;
}

unsigned fz_handles_free_all(void)
{
	unsigned count = 0;

	for (; handles; count++) {
		struct fz_completion *completion;

		while ((completion = fz_dequeue(&handles->sent)))
			fz_free_completion(completion);
		while ((completion = fz_dequeue(&handles->finished)))
			fz_free_completion(completion);
		for (struct fz_auth *auth = handles->auths; auth; auth = auth->next)
			auth->completion = NULL;
		fz_drop_requests(handles, ZCLOSING);
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
	struct fz_auth *auth;

	if (is_unrecoverable(zh) || zh->state == 0)
		return ZINVALIDSTATE;
	auth = fz_alloc(sizeof(*auth));
	auth->scheme = fz_strdup(scheme);
	auth->credential = fz_memdup(credential, length);
	auth->completion = completion;
	auth->data = data;
	auth->next = zh->auths;
	zh->auths = auth;
	if (fz_is_connected(zh))
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
	if (zh->address_next >= zh->address_count)
		zh->address_next = 0;
	zh->address_now = zh->address_next++;
}

int zoo_set_servers_resolution_delay(zhandle_t *zh, int delay_ms)
{
	return delay_ms < -1 ? ZBADARGUMENTS : ZOK;
}

void zoo_set_debug_level(ZooLogLevel level)
{
	fz_log_level = (int)level;
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
