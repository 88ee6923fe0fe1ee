/* SPDX-License-Identifier: Apache-2.0 */
#include "zkh_resolve.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "zkh_internal.h"

/* How long a stop waits for a killed child, so that no zombie stays. */
#define REAP_MS 50
#define RESOLVE_MORE 2 /* times the time for it, when nothing at all was found in that */

static bool is_host(const char *host)
{
	struct in_addr address;

	/* Digits and dots alone are an address, or a typo. */
	if (host[strspn(host, "0123456789.")] == '\0')
		return inet_pton(AF_INET, host, &address) == 1;
	return *host != '-' && *host != '.';
}

int zkh_server_next(const char **list, struct zkh_server *ret_server)
{
	struct zkh_server server = { 0 };
	struct in6_addr address;
	const char *end;
	int length = 0;

	if (**list == '\0')
		return -ENOENT;
	if (sscanf(*list, " [%253[^]]]:%5[0-9]%n", server.host, server.port, &length) == 2) {
		if (inet_pton(AF_INET6, server.host, &address) != 1)
			return ZKH_INVALID;
	} else if (sscanf(*list, " %253[A-Za-z0-9._-]:%5[0-9]%n", server.host, server.port,
			  &length) != 2 ||
		   !is_host(server.host)) {
		return ZKH_INVALID;
	}
	end = *list + length + strspn(*list + length, " ");
	if (atoi(server.port) < 1 || atoi(server.port) > 65535 ||
	    (*end != '\0' && (*end != ',' || end[1] == '\0')))
		return ZKH_INVALID;
	*list = *end == ',' ? end + 1 : end;
	*ret_server = server;
	return 0;
}

void zkh_server_format(const char *address, char *ret_text, size_t size)
{
	const char *port = strrchr(address, ':');

	if (port == NULL || address[0] == '[' ||
	    memchr(address, ':', (size_t)(port - address)) == NULL)
		snprintf(ret_text, size, "%s", address);
	else
		snprintf(ret_text, size, "[%.*s]%s", (int)(port - address), address, port);
}

void zkh_addresses_finish(struct zkh_addresses *addresses)
{
	for (size_t i = 0; i < addresses->count; i++)
		free(addresses->text[i]);
	free(addresses->text);
	*addresses = (struct zkh_addresses){ 0 };
}

static bool addresses_have(const struct zkh_addresses *addresses, const char *text)
{
	for (size_t i = 0; i < addresses->count; i++)
		if (strcmp(addresses->text[i], text) == 0)
			return true;
	return false;
}

bool zkh_addresses_equal(const struct zkh_addresses *a, const struct zkh_addresses *b)
{
	if (a->count != b->count)
		return false;
	for (size_t i = 0; i < a->count; i++)
		if (!addresses_have(b, a->text[i]))
			return false;
	return true;
}

/* Adds it unless it is there already or there are too many. 0 or -ENOMEM. */
static int addresses_add(struct zkh_addresses *addresses, const char *text)
{
	char **grown;

	if (addresses->count >= ZKH_ADDRESSES_MAX || addresses_have(addresses, text))
		return 0;
	grown = realloc(addresses->text, (addresses->count + 1) * sizeof(*grown));
	if (grown == NULL)
		return -ENOMEM;
	addresses->text = grown;
	grown[addresses->count] = strdup(text);
	if (grown[addresses->count] == NULL)
		return -ENOMEM;
	addresses->count++;
	return 0;
}

int zkh_addresses_merge(struct zkh_addresses *to, const struct zkh_addresses *from)
{
	int r = 0;

	for (size_t i = 0; i < from->count && r == 0; i++)
		r = addresses_add(to, from->text[i]);
	return r;
}

static bool address_print(const struct addrinfo *info, char *text, size_t size)
{
	char host[NI_MAXHOST], port[NI_MAXSERV];

	if (info->ai_family != AF_INET && info->ai_family != AF_INET6)
		return false;
	if (getnameinfo(info->ai_addr, info->ai_addrlen, host, sizeof(host), port, sizeof(port),
			NI_NUMERICHOST | NI_NUMERICSERV) != 0)
		return false;
	return snprintf(text, size, "%s:%s", host, port) < (int)size;
}

static int server_lookup(const struct zkh_server *server, int flags, struct addrinfo **ret_list)
{
	struct addrinfo hints = {
		.ai_family = AF_UNSPEC,
		.ai_socktype = SOCK_STREAM,
		.ai_protocol = IPPROTO_TCP,
		.ai_flags = flags | AI_NUMERICSERV,
	};

	return getaddrinfo(server->host, server->port, &hints, ret_list);
}

int zkh_resolve_numeric(const char *servers, uint64_t tunnel, struct zkh_addresses *ret_addresses)
{
	struct zkh_addresses addresses = { 0 };
	struct zkh_server server;
	struct addrinfo *list;
	char text[NI_MAXHOST + NI_MAXSERV];
	int r = 0;

	while (r == 0 && zkh_server_next(&servers, &server) == 0) {
		if (tunnel != 0) {
			zkh_tunnel_address(tunnel, &server, server.host);
			strcpy(server.port, ZKH_TUNNEL_PORT);
		}
		switch (server_lookup(&server, AI_NUMERICHOST, &list)) {
		case 0:
			if (address_print(list, text, sizeof(text)))
				r = addresses_add(&addresses, text);
			freeaddrinfo(list);
			break;
		case EAI_MEMORY:
			r = -ENOMEM;
			break;
		default:
			r = -ENOENT;
		}
	}
	if (r < 0) {
		zkh_addresses_finish(&addresses);
		return r;
	}
	*ret_addresses = addresses;
	return 0;
}

/*
 * In the child: a line "=ADDRESS:PORT" for each address, "!HOST: what is wrong" for each failure.
 */
static void child_say(int output, char kind, const char *text)
{
	char line[NI_MAXHOST + 256];
	int length = snprintf(line, sizeof(line), "%c%s\n", kind, text);

	if (length <= 0 || (size_t)length >= sizeof(line) ||
	    write(output, line, (size_t)length) < 0)
		_exit(1);
}

static void child_look_up(int output, const struct zkh_server *server)
{
	struct addrinfo *list;
	char text[NI_MAXHOST + 128];
	int r = server_lookup(server, 0, &list);

	if (r != 0) {
		snprintf(text, sizeof(text), "%s: %s", server->host,
			 r == EAI_SYSTEM ? strerror(errno) : gai_strerror(r));
		child_say(output, '!', text);
		return;
	}
	for (const struct addrinfo *info = list; info != NULL; info = info->ai_next)
		if (address_print(info, text, sizeof(text)))
			child_say(output, '=', text);
	freeaddrinfo(list);
}

/* Each in a process of its own: a name whose look-up hangs keeps no other one up. */
static void child_resolve(int output, const char *servers)
{
	struct zkh_server server;
	struct addrinfo *list;
	pid_t self = getpid();

	while (zkh_server_next(&servers, &server) == 0) {
		bool numeric = server_lookup(&server, AI_NUMERICHOST, &list) == 0;
		pid_t pid;

		if (numeric)
			freeaddrinfo(list);
		pid = numeric ? -1 : fork();
		if (pid > 0)
			continue;
		if (pid == 0 && (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != self))
			_exit(1);
		child_look_up(output, &server);
		if (pid == 0)
			_exit(0);
	}
	while (wait(NULL) > 0)
		;
}

/* Nothing of the parent's stays with the child but the list: no descriptor, no handler, no mask. */
static void child_run(int output, pid_t parent, const char *servers)
{
	struct sigaction action = { .sa_handler = SIG_DFL };
	sigset_t none;
	int null;

	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
		_exit(1);
	for (int number = 1; number < NSIG; number++)
		(void)sigaction(number, &action, NULL);
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	if (output < 3) {
		output = fcntl(output, F_DUPFD, 3);
		if (output < 0)
			_exit(1);
	}
	null = open("/dev/null", O_RDWR);
	if (null < 0)
		_exit(1);
	for (int fd = 0; fd < 3; fd++)
		if (null != fd && dup2(null, fd) < 0)
			_exit(1);
	if (output != 3 && dup2(output, 3) < 0)
		_exit(1);
	(void)syscall(SYS_close_range, 4u, ~0u, 0u);
	child_resolve(3, servers);
	_exit(0);
}

/* The child is over, or will not be waited for. */
static void resolver_reset(struct zkh_resolver *resolver)
{
	ev_io_stop(resolver->loop, &resolver->readable);
	ev_timer_stop(resolver->loop, &resolver->late);
	close(resolver->output);
	free(resolver->text);
	resolver->text = NULL;
	resolver->loop = NULL;
}

/* Reads what the child said. Returns whether it is complete. */
static bool resolver_parse(char *output, struct zkh_addresses *addresses, char *problem,
			   size_t size)
{
	char *line, *rest = output;
	size_t used = 0;
	bool complete = true;

	problem[0] = '\0';
	while ((line = strsep(&rest, "\n")) != NULL) {
		if (line[0] == '=') {
			complete = addresses_add(addresses, line + 1) == 0 && complete;
		} else if (line[0] == '!' && used < size) {
			used += (size_t)snprintf(problem + used, size - used, "%s%s",
						 used > 0 ? "; " : "", line + 1);
		}
	}
	return complete;
}

static void resolver_finish(struct zkh_resolver *resolver)
{
	struct zkh_addresses addresses = { 0 };
	char problem[ZKH_DETAIL_MAX];
	bool complete, killed = resolver->killed;

	/*
	 * It closes the pipe as it exits, so this does not wait. The loop's own SIGCHLD handling
	 * may have been faster: ECHILD is fine.
	 */
	(void)waitpid(resolver->pid, NULL, 0);
	resolver->text[resolver->length] = '\0';
	complete = resolver_parse(resolver->text, &addresses, problem, sizeof(problem));
	resolver_reset(resolver);
	if (!complete)
		snprintf(problem, sizeof(problem), "out of memory");
	else if (killed)
		snprintf(problem, sizeof(problem), "name resolution took too long");
	else if (addresses.count == 0 && problem[0] == '\0')
		snprintf(problem, sizeof(problem), "name resolution failed");
	resolver->fn(resolver->userdata, &addresses, problem);
	zkh_addresses_finish(&addresses);
}

static void resolver_on_readable(struct ev_loop *loop, ev_io *watcher, int revents)
{
	struct zkh_resolver *resolver = watcher->data;
	char excess[512];
	size_t room = ZKH_RESOLVE_OUTPUT_MAX - 1 - resolver->length;
	ssize_t length = room > 0 ? read(resolver->output, resolver->text + resolver->length, room)
				  : read(resolver->output, excess, sizeof(excess));

	if (length > 0 && room > 0)
		resolver->length += (size_t)length;
	else if (length == 0 || (length < 0 && errno != EAGAIN && errno != EINTR))
		resolver_finish(resolver);
}

static void resolver_on_late(struct ev_loop *loop, ev_timer *watcher, int revents)
{
	struct zkh_resolver *resolver = watcher->data;

	/* Better late than never: where the first of two name servers is dead, each answer takes that long. */
	if (!resolver->extended && memchr(resolver->text, '=', resolver->length) == NULL) {
		resolver->extended = true;
		ev_timer_set(watcher, RESOLVE_MORE * resolver->timeout_s, 0.);
		ev_timer_start(loop, watcher);
		return;
	}
	resolver->killed = true;
	(void)kill(resolver->pid, SIGKILL);
}

int zkh_resolve_start(struct zkh_resolver *resolver, struct ev_loop *loop, const char *servers,
		      int32_t timeout_ms, zkh_resolve_fn fn, void *userdata)
{
	char *text = malloc(ZKH_RESOLVE_OUTPUT_MAX);
	pid_t parent = getpid(), pid;
	int pipes[2], saved;

	if (text == NULL)
		return -ENOMEM;
	if (pipe2(pipes, O_CLOEXEC | O_NONBLOCK) < 0) {
		saved = errno;
		free(text);
		return -saved;
	}
	pid = fork();
	if (pid == 0)
		child_run(pipes[1], parent, servers);
	saved = errno;
	close(pipes[1]);
	if (pid < 0) {
		close(pipes[0]);
		free(text);
		return -saved;
	}
	*resolver = (struct zkh_resolver){
		.loop = loop,
		.pid = pid,
		.output = pipes[0],
		.text = text,
		.timeout_s = timeout_ms / 1e3,
		.fn = fn,
		.userdata = userdata,
	};
	ev_io_init(&resolver->readable, resolver_on_readable, pipes[0], EV_READ);
	ev_timer_init(&resolver->late, resolver_on_late, timeout_ms / 1e3, 0.);
	resolver->readable.data = resolver->late.data = resolver;
	ev_now_update(loop);
	ev_io_start(loop, &resolver->readable);
	ev_timer_start(loop, &resolver->late);
	return 0;
}

bool zkh_resolve_running(const struct zkh_resolver *resolver)
{
	return resolver->loop != NULL;
}

void zkh_resolve_stop(struct zkh_resolver *resolver)
{
	struct pollfd end = { .fd = resolver->output };

	if (resolver->loop == NULL)
		return;
	(void)kill(resolver->pid, SIGKILL);
	/* POLLHUP alone is waited for: the end, not what was said before it. */
	(void)waitpid(resolver->pid, NULL, poll(&end, 1, REAP_MS) > 0 ? 0 : WNOHANG);
	resolver_reset(resolver);
}
