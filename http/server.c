/* SPDX-License-Identifier: Apache-2.0 */
#include "server.h"

#include <errno.h>
#include <inttypes.h>
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>

#include "answer.h"

/*
 * Idle connections and slow readers cost a descriptor each for a moment, and delay nobody: there are more of them than
 * they are likely to be, and each ends after the timeout.
 */
#define CONNECTIONS_MAX 480
#define IDLE_TIMEOUT_S 2
#define REQUEST_MAX 4096 /* bytes: longer ones are refused */
#define BACKLOG 128

/* -- one request -- */

static enum MHD_Result queue(struct MHD_Connection *connection, struct answer *answer)
{
	static char nothing[1];
	struct MHD_Response *response = MHD_create_response_from_buffer(
		answer->length, answer->body ? answer->body : nothing,
		answer->body ? MHD_RESPMEM_MUST_FREE : MHD_RESPMEM_PERSISTENT);
	char epoch[24];
	enum MHD_Result r;

	if (!response) {
		free(answer->body);
		return MHD_NO;
	}
	(void)MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
	if (answer->type)
		(void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, answer->type);
	if (answer->code == MHD_HTTP_METHOD_NOT_ALLOWED)
		(void)MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, ANSWER_METHODS);
	if (answer->epoch) {
		(void)snprintf(epoch, sizeof(epoch), "%" PRId64, answer->epoch);
		(void)MHD_add_response_header(response, "Primaryd-Epoch", epoch);
	}
	r = MHD_queue_response(connection, (unsigned)answer->code, response);
	MHD_destroy_response(response);
	return r;
}

/* Called with the headers, then once more for each part of a body (none is wanted), then without any. */
static enum MHD_Result on_request(void *userdata, struct MHD_Connection *connection,
				  const char *url, const char *method, const char *version,
				  const char *body, size_t *n_body, void **seen)
{
	static char marker;
	const struct server *server = userdata;
	const char *accept;
	struct status_look look;
	struct answer answer;

	if (!*seen) {
		*seen = &marker;
		return MHD_YES;
	}
	if (*n_body) {
		*n_body = 0;
		return MHD_YES;
	}
	status_look(server->page, &server->clock, &look);
	accept = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_ACCEPT);
	answer_make(method, url, accept, &look, &answer);
	return queue(connection, &answer);
}

/* -- the loop -- */

static void run(struct server *server)
{
	MHD_UNSIGNED_LONG_LONG timeout_ms;

	(void)MHD_run(server->daemon);
	ev_timer_stop(server->loop, &server->timer);
	if (MHD_get_timeout(server->daemon, &timeout_ms) != MHD_YES)
		return;
	ev_now_update(server->loop);
	ev_timer_set(&server->timer, (double)timeout_ms / 1e3, 0.);
	ev_timer_start(server->loop, &server->timer);
}

static void on_ready(struct ev_loop *loop, ev_io *io, int events)
{
	run(io->data);
}

static void on_timeout(struct ev_loop *loop, ev_timer *timer, int events)
{
	run(timer->data);
}

int server_open(struct server *server, struct ev_loop *loop, int fd, const char *page)
{
	const union MHD_DaemonInfo *info;
	int r = status_clock_read(&server->clock);

	if (r < 0)
		return r;
	server->loop = loop;
	server->page = page;
	server->daemon = MHD_start_daemon(MHD_USE_EPOLL, 0, NULL, NULL, on_request, server,
					  MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT,
					  CONNECTIONS_MAX, MHD_OPTION_CONNECTION_TIMEOUT,
					  IDLE_TIMEOUT_S, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
					  (size_t)REQUEST_MAX, MHD_OPTION_LISTEN_BACKLOG_SIZE,
					  BACKLOG, MHD_OPTION_END);
	if (!server->daemon)
		return -EINVAL;
	info = MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	if (!info || info->epoll_fd < 0)
		return -EINVAL;
	ev_io_init(&server->io, on_ready, info->epoll_fd, EV_READ);
	server->io.data = server;
	ev_io_start(loop, &server->io);
	ev_init(&server->timer, on_timeout);
	server->timer.data = server;
	run(server); /* who connected before we were started */
	return 0;
}
