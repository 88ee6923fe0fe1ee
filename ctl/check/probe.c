/* SPDX-License-Identifier: Apache-2.0 */
#include "probe.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"

static void end(struct probe *probe, int error)
{
	if (probe->over)
		return;
	probe->over = true;
	probe->error = error;
	ev_io_stop(probe->all->ctl->loop, &probe->io);
	if (probe->fd >= 0)
		close(probe->fd);
	probe->all->open--;
}

/* A client that connects to an address of this machine does so from the same address. */
static bool is_local(int fd)
{
	struct sockaddr_storage own = { 0 }, other = { 0 };
	socklen_t own_size = sizeof(own), other_size = sizeof(other);
	char own_text[NI_MAXHOST], other_text[NI_MAXHOST];

	return getsockname(fd, (struct sockaddr *)&own, &own_size) == 0 &&
	       getpeername(fd, (struct sockaddr *)&other, &other_size) == 0 &&
	       getnameinfo((struct sockaddr *)&own, own_size, own_text, sizeof(own_text), NULL, 0,
			   NI_NUMERICHOST) == 0 &&
	       getnameinfo((struct sockaddr *)&other, other_size, other_text, sizeof(other_text),
			   NULL, 0, NI_NUMERICHOST) == 0 &&
	       strcmp(own_text, other_text) == 0;
}

static void on_connected(struct probe *probe)
{
	const char *word = probe->all->word;
	int error = 0;
	socklen_t size = sizeof(error);

	getsockopt(probe->fd, SOL_SOCKET, SO_ERROR, &error, &size);
	probe->is_local = is_local(probe->fd);
	if (!error && send(probe->fd, word, strlen(word), MSG_NOSIGNAL) < 0)
		error = errno;
	if (error) {
		end(probe, error);
		return;
	}
	probe->connected_us = time_monotonic_us();
	ev_io_stop(probe->all->ctl->loop, &probe->io);
	ev_io_set(&probe->io, probe->fd, EV_READ);
	ev_io_start(probe->all->ctl->loop, &probe->io);
}

static void on_ready(struct ev_loop *loop, ev_io *io, int events)
{
	struct probe *probe = io->data;
	ssize_t n;

	if (!probe->connected_us) {
		on_connected(probe);
		return;
	}
	n = read(probe->fd, probe->answer + probe->length, PROBE_ANSWER_MAX - 1 - probe->length);
	if (n > 0)
		probe->length += (size_t)n;
	else if (n == 0 || errno != EAGAIN)
		end(probe, n < 0 && !probe->length ? errno : 0);
}

static void start(struct probe *probe)
{
	const struct addrinfo hints = { .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV,
					.ai_socktype = SOCK_STREAM };
	char text[ZKH_HOST_MAX + 8];
	const char *list = text;
	struct zkh_server server;
	struct addrinfo *found = NULL;

	probe->fd = -1;
	probe->all->open++;
	ev_io_init(&probe->io, on_ready, -1, EV_WRITE);
	zkh_server_format(probe->at, text, sizeof(text));
	if (zkh_server_next(&list, &server) != 0 ||
	    getaddrinfo(server.host, server.port, &hints, &found) != 0) {
		end(probe, EINVAL);
		return;
	}
	probe->fd = socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	probe->started_us = time_monotonic_us();
	if (probe->fd < 0 ||
	    (connect(probe->fd, found->ai_addr, found->ai_addrlen) < 0 && errno != EINPROGRESS)) {
		end(probe, errno);
	} else {
		ev_io_set(&probe->io, probe->fd, EV_WRITE);
		probe->io.data = probe;
		ev_io_start(probe->all->ctl->loop, &probe->io);
	}
	freeaddrinfo(found);
}

static void on_resolved(void *userdata, struct zkh_addresses *addresses, const char *problem)
{
	struct probes *all = userdata;

	all->resolved = true;
	all->addresses = *addresses;
	memset(addresses, 0, sizeof(*addresses));
	snprintf(all->problem, sizeof(all->problem), "%s", problem);
}

static void resolve(struct probes *all)
{
	struct ctl *ctl = all->ctl;
	const char *servers = ctl->config.zookeeper.servers;

	if (zkh_resolve_numeric(servers, ctl->config.zookeeper.tunnel, &all->addresses) == 0)
		return;
	if (zkh_resolve_start(&all->resolver, ctl->loop, servers,
			      (int32_t)(CONNECT_TIMEOUT_US / 1000), on_resolved, all) == 0)
		(void)ctl_wait(ctl, ctl_is_set, &all->resolved);
	zkh_resolve_stop(&all->resolver);
}

void probes_ask(struct probes *all, struct ctl *ctl, const char *word)
{
	*all = (struct probes){ .ctl = ctl, .word = word };
	resolve(all);
	all->list = ctl_need(calloc(all->addresses.count + 1, sizeof(*all->list)));
	for (size_t i = 0; i < all->addresses.count; i++) {
		all->list[i].all = all;
		all->list[i].at = all->addresses.text[i];
		zkh_tunnel_name(ctl->config.zookeeper.tunnel, ctl->config.zookeeper.servers,
				all->list[i].at, all->list[i].address);
		start(&all->list[i]);
	}
	(void)ctl_wait(ctl, ctl_is_zero, &all->open);
	for (size_t i = 0; i < all->addresses.count; i++)
		end(&all->list[i], ETIMEDOUT);
}

void probes_finish(struct probes *all)
{
	free(all->list);
	zkh_addresses_finish(&all->addresses);
}
