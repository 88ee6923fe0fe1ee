/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* libmicrohttpd on the loop, which watches its epoll descriptor: without requests nothing wakes up. */

#include <ev.h>
#include <limits.h>

#include "status/page.h"

struct server {
	struct ev_loop *loop;
	void *daemon; /* struct MHD_Daemon; NULL: it does not listen */
	ev_io io;
	ev_timer timer;
	const char *page; /* path */
	struct status_clock clock;
};

/* Answers what comes on a listening socket, for good. page must outlive it. Returns 0 or -errno. */
int server_open(struct server *server, struct ev_loop *loop, int fd, const char *page);
