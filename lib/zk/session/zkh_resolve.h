/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Names of servers into addresses, without blocking the loop: getaddrinfo() runs in a child
 * process.
 */

#include <ev.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define ZKH_SERVERS_MAX 32	     /* entries of a server list */
#define ZKH_HOST_MAX 254	     /* bytes of a host name, the NUL included */
#define ZKH_RESOLVE_OUTPUT_MAX 16384 /* bytes of what a child says that are kept */

/* One server of a list. */
struct zkh_server {
	char host[ZKH_HOST_MAX]; /* without brackets */
	char port[6];
};

/*
 * Takes the next HOST:PORT off *list. 0; ZKH_INVALID: not well-formed; -ENOENT: the list is at its
 * end.
 */
int zkh_server_next(const char **list, struct zkh_server *ret_server);

/*
 * Distinct addresses, as "ADDRESS:PORT" (IPv6 without brackets, the way libzookeeper wants them).
 */
struct zkh_addresses {
	char **text;
	size_t count;
};

/* Such an address as an entry of a server list: IPv6 in brackets, where it has none. */
void zkh_server_format(const char *address, char *ret_text, size_t size);

void zkh_addresses_finish(struct zkh_addresses *addresses);
bool zkh_addresses_equal(const struct zkh_addresses *a,
			 const struct zkh_addresses *b); /* in any order */

/* Adds those that are not there, as far as there is room. 0 or -ENOMEM. */
int zkh_addresses_merge(struct zkh_addresses *to, const struct zkh_addresses *from);

/*
 * 0 and the addresses when no name must be looked up: every server of the list is numeric, or all are reached through a
 * tunnel (not 0, see zkh_tunnel.h). -ENOENT when a name must be; -ENOMEM.
 */
int zkh_resolve_numeric(const char *servers, uint64_t tunnel, struct zkh_addresses *ret_addresses);

/*
 * The result of a resolution: the addresses (the callee takes them over and empties the struct if
 * it wants them; none at all is possible) and what went wrong, "" when nothing did.
 */
typedef void (*zkh_resolve_fn)(void *userdata, struct zkh_addresses *addresses,
			       const char *problem);

struct zkh_resolver {
	struct ev_loop *loop; /* NULL: idle */
	ev_io readable;
	ev_timer late;
	pid_t pid;
	int output; /* a pipe; the child is over when it ends */
	char *text;
	size_t length;
	bool killed, extended;
	double timeout_s;
	zkh_resolve_fn fn;
	void *userdata;
};

/*
 * Zeroed before the first use. fn runs once, from the loop, unless stopped before: with what was found by then; when that
 * is nothing, after three times that time. 0 or -errno.
 */
int zkh_resolve_start(struct zkh_resolver *resolver, struct ev_loop *loop, const char *servers,
		      int32_t timeout_ms, zkh_resolve_fn fn, void *userdata);
bool zkh_resolve_running(const struct zkh_resolver *resolver);
void zkh_resolve_stop(struct zkh_resolver *resolver); /* kills it; also fine when idle */
