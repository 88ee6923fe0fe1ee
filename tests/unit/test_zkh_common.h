/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the tests of lib/ share: a loop, a session on the fake servers, and bounded waiting. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <ev.h>

#include "fake_zk.h"
#include "zk/session/zkh_op.h"
#include "zk/session/zkh_session.h"
#include "zk/session/zkh_watch.h"

#define EVENTS_MAX 64
#define SERVERS "127.0.0.1:2181,127.0.0.1:2182,127.0.0.1:2183"

struct world {
	struct ev_loop *loop;
	struct ev_timer guard; /* bounds every wait for the loop */
	struct zkh_session *session;
	const char *root;
	bool turning; /* the loop runs: callbacks are allowed */
	struct {
		enum zkh_session_event event;
		bool fresh;
		int32_t timeout_ms;
		char detail[64];
	} events[EVENTS_MAX];
	unsigned event_count;
	struct world *first; /* NULL: this is the first */
	/* Called with every event, may be NULL. */
	void (*on_event)(struct world *world, const struct zkh_session_report *report);
	void *userdata;
};

/* A loop over freshly reset servers; no session yet. */
void world_init(struct world *world, const char *root);
/* A session of 4 s; config may be changed before. */
struct zkh_session_config world_config(struct world *world);
void world_open(struct world *world); /* and waits until it is connected */
/* A second session on the loop of the first: world_step(first) turns both; world_leave() before world_finish(first). */
void world_join(struct world *world, struct world *first);
void world_leave(struct world *world);
/* Destroys the session if there is one; asserts that no handle leaked and that nothing would have blocked. */
void world_finish(struct world *world);

/* One turn of the loop, at most 1 ms. */
void world_step(struct world *world);
/* Turns until *flag, or false after limit_ms. */
bool world_wait(struct world *world, const bool *flag, int limit_ms);
bool world_wait_event(struct world *world, enum zkh_session_event event, unsigned nth);
bool world_wait_connected(struct world *world);
/* Turns until the servers have heard nothing for a few ms and no lock node waits for its removal. */
void world_settle(struct world *world);
void world_steps(struct world *world, unsigned count);
unsigned world_count(const struct world *world, enum zkh_session_event event);

int64_t world_now_ms(void);
/* ROOT + path; valid for the next 7 calls. */
const char *at(const struct world *world, const char *path);
/* Creates ROOT + path as a stranger. */
void plant(const struct world *world, const char *path, const char *data);
