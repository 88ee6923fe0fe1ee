/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Watches the acting primary for the survivor's rule (survivor.h): reads its keepalive every T/6, and after each
 * attachment. These reads are this node's pings, too: if a server does not answer within T/8, the node goes to the next
 * one.
 */

#include <ev.h>

#include "base/keys.h"
#include "election/survivor.h"
#include "zk/session/zkh_op.h"

struct witness {
	struct ev_loop *loop;
	struct zkh_session *session;
	struct survivor *survivor;
	ev_timer timer; /* until the next read, or until its answer is overdue */
	struct zkh_op *op;
	char primary[NAME_SIZE]; /* "": nobody is to be watched */
	int64_t session_us;
	void (*on_silent)(void *userdata); /* the server is to be left */
	void *userdata;
};

void witness_init(struct witness *witness, struct ev_loop *loop, struct survivor *survivor,
		  void (*on_silent)(void *userdata), void *userdata);
void witness_finish(struct witness *witness);

/* Attached: reads at once if there is somebody to be watched. session_us: T as granted. */
void witness_attached(struct witness *witness, struct zkh_session *session, int64_t session_us);
void witness_detached(struct witness *witness);

/* Who acts; "" or the own name: nobody to be watched. Reads at once if it is another one. */
void witness_set_primary(struct witness *witness, const char *name);
