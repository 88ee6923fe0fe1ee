/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One question to every server at once: a four-letter word, and what each of them answers. */

#include <ev.h>
#include <stddef.h>
#include <stdint.h>

#include "ctl.h"
#include "zk/session/zkh_tunnel.h"

#define PROBE_ANSWER_MAX 4096

struct probe {
	struct probes *all;
	const char *at; /* ADDRESS:PORT that is asked */
	char address
		[ZKH_SERVER_TEXT_SIZE]; /* the same for people; behind a tunnel, the server's name */
	ev_io io;
	int fd;
	int64_t started_us, connected_us;
	char answer[PROBE_ANSWER_MAX];
	size_t length;
	int error;     /* errno; 0: none */
	bool is_local; /* the server runs on this machine */
	bool over;
};

struct probes {
	struct ctl *ctl;
	const char *word;
	struct zkh_resolver resolver;
	struct zkh_addresses addresses;
	struct probe *list;
	size_t open;
	bool resolved;
	char problem[256];
};

/*
 * Asks each address of zookeeper.servers, until all have answered or the time of `ctl` is over. A name that cannot be resolved is
 * told in `problem`. Ends with probes_finish().
 */
void probes_ask(struct probes *all, struct ctl *ctl, const char *word);
void probes_finish(struct probes *all);
