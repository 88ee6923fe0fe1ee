/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Registers this node: creates the root, /nodes/NAME/..., /history, and the ephemeral `alive` of this session. If
 * another live session has the name, that is reported, and the name is never taken. A coordinator first tries the
 * rights that it needs: without them it registers as not healthy, if it can register at all.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/detail.h"
#include "base/keys.h"
#include "base/rights.h"
#include "election/survivor.h"
#include "view.h"
#include "zk/session/zkh_op.h"

/* Conflicts with others who register at the same moment are tried again at once, this often. */
#define REGISTRATION_TRIES 8

enum registration_result {
	REGISTRATION_OK,
	REGISTRATION_FOREIGN, /* another session is alive under this name: see `other` */
	REGISTRATION_UNKNOWN, /* connection lost under way */
	REGISTRATION_TRACE, /* another machine of this name was at work: its term is waited for, see wait_us */
	REGISTRATION_REFUSED, /* by the server: see result and path */
};

struct registration_report {
	enum registration_result outcome;
	struct alive other;
	int64_t other_session;
	int64_t wait_us;
	int result;	  /* enum zkh_result */
	const char *path; /* never NULL */
};

typedef void (*registration_fn)(void *userdata, const struct registration_report *report);

struct registration {
	struct zkh_session *session;
	const char *name;
	bool coordinator;
	struct alive self; /* session is filled in */
	const struct view
		*view; /* what this node remembers of epochs; set by the owner, as the next */
	struct survivor *survivor;
	registration_fn on_done;
	void *userdata;

	struct zkh_op *root_op, *history_op, *nodes_op, *names_op, *epoch_op, *router_op,
		*keepalive_op, *alive_op, *write_op;
	unsigned tries;
	bool running;
	int64_t epoch;		/* in /epoch; 0: none */
	int32_t epoch_version;	/* -1: it is missing; -2: it cannot be read */
	bool trace;		/* a process of this name says that it acts */
	int64_t trace_until_us; /* and is of another machine: until its term is over; 0: no */
	bool alive_there;	/* ours already */
	bool alive_junk;	/* in the way, not ephemeral */
	bool root_there, history_there, nodes_there, node_there;
	char detail[DETAIL_SIZE];   /* "": none */
	bool there[NODE_KEY_COUNT]; /* below /nodes/NAME */
	bool only_missing;	    /* a check */
	bool repairs;		    /* of a node that is registered */
	bool wrote;		    /* it was not only looked */
	int64_t zxid;		    /* of the last write that committed; 0: none */
	bool made;		    /* wrote, and made keys that were missing */
	char health[KEY_VALUE_MAX];
	char router[16];
	unsigned rights_flags; /* set by the owner */
	bool try_rights;       /* not yet, in this registration */
	struct rights rights;  /* as tried by the last registration_run() */
};

/* `self` describes this process; name must outlive the registration. */
void registration_init(struct registration *reg, const char *name, bool coordinator,
		       const struct alive *self, registration_fn on_done, void *userdata);

/*
 * Registers: daemonstate run, routerstate secondary or client, health as given. on_done follows exactly once, from
 * the loop or at once.
 */
void registration_run(struct registration *reg, struct zkh_session *session, const char *health);

/*
 * Makes keys again that somebody deleted, with this router state; states that are there are set again. only_missing:
 * nothing is written while all keys are there, see `wrote`.
 */
void registration_repair(struct registration *reg, struct zkh_session *session, const char *health,
			 const char *router_state, bool only_missing);

/* Gives up what is under way without a callback. */
void registration_cancel(struct registration *reg);
