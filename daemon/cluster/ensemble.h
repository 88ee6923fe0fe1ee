/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The gate between session and election: is the ensemble that answers the one to which this node belongs (identity.h)?
 * /cluster is read and judged after each attachment, and whenever the key changes. If nothing is remembered, or if
 * somebody deleted the key, it is created. A foreign ensemble is left for the next server, each time in a new session,
 * until a known one answers or the operator accepts this one.
 *
 * Level-triggered: every answer is compared with what is remembered, so no event is needed twice.
 */

#include <ev.h>
#include <stdbool.h>

#include "base/identity.h"
#include "base/identity_file.h"
#include "zk/mirror/zkh_mirror.h"

enum ensemble_state {
	ENSEMBLE_UNKNOWN, /* the session is new, and nothing was read in it */
	ENSEMBLE_OPEN,	  /* it was the known one in this session */
	ENSEMBLE_CLOSED,  /* foreign */
};

enum ensemble_news {
	ENSEMBLE_IS_KNOWN,   /* it was UNKNOWN or CLOSED, and is OPEN now; said if text is not "" */
	ENSEMBLE_IS_FOREIGN, /* CLOSED now, or for another reason; text "": said already */
	ENSEMBLE_WAS_MADE,   /* the key was */
	ENSEMBLE_WAS_REFUSED, /* the key may be neither read nor made, and the session goes on all the same */
	ENSEMBLE_NOT_KEPT, /* the file cannot be written, or holds junk */
};

typedef void (*ensemble_fn)(void *userdata, enum ensemble_news news, const char *text);

struct ensemble_options {
	struct ev_loop *loop;
	const char *servers, *root, *name;	   /* must outlive it */
	const char *directory, *runtime_directory; /* where the memory is kept; NULL: nowhere */
	bool resumed; /* the session is one in which a process before this knew the ensemble */
	ensemble_fn on_news; /* from the loop, and from ensemble_start() */
	void *userdata;
};

struct ensemble {
	struct ensemble_options options;
	struct zkh_session *session;
	enum ensemble_state state;
	struct identity known, kept; /* kept: in the file */
	struct identity_seen seen;
	int64_t czxid;		     /* of the key as it was read last */
	enum identity_reason reason; /* of CLOSED, also while the next server is looked for */
	char made
		[IDENTITY_ID_SIZE]; /* the id that a key is made with, while nothing is remembered */
	int32_t version;	    /* of a key that holds junk; -1: there is none */
	struct zkh_mirror mirror;   /* of the key */
	int result;		    /* of the last read of it */
	struct zkh_op *primary_op, *make_op;
	struct identity_writer writer;
	ev_timer look;		   /* when something is tried again */
	double pause_s;		   /* before that */
	bool leaving;		   /* this session is given up for the next: not worth a line */
	struct identity_seen told; /* what was foreign when that was said last */
	char trouble[IDENTITY_TEXT_SIZE];
	int said_error;
};

/* Reads the memory from disk, once: blocks. session must outlive it. */
void ensemble_start(struct ensemble *ensemble, const struct ensemble_options *options,
		    struct zkh_session *session);
void ensemble_finish(struct ensemble *ensemble); /* also of one that is zeroed */

/*
 * The session is attached, and a sync is on its way. True: it goes on at once, a server that knows a session of the
 * known ensemble is one of it; if the key says something else, news follow. False: news follow in any case.
 */
bool ensemble_attached(struct ensemble *ensemble, bool fresh);
void ensemble_detached(struct ensemble *ensemble, bool expired);

bool ensemble_is_open(const struct ensemble *ensemble);

/* The session that is coming or going is only a look at another server. */
bool ensemble_is_looking(const struct ensemble *ensemble);

/* Why nothing is done with this ensemble; "": nothing of that kind. */
const char *ensemble_trouble(const struct ensemble *ensemble);

/* The highest epoch that this node has seen; 0: none. Noted for good, in the file as well. */
void ensemble_note_epoch(struct ensemble *ensemble, int64_t epoch);
/* The /cluster that the survivor knows of, once the wait that it brings is served; 0: none. */
void ensemble_note_made(struct ensemble *ensemble, int64_t czxid);
/* The highest epoch of an own takeover that started work; 0: none. */
void ensemble_note_own(struct ensemble *ensemble, int64_t epoch);
int64_t ensemble_own(const struct ensemble *ensemble);
int64_t ensemble_made(const struct ensemble *ensemble);
int64_t ensemble_epoch(const struct ensemble *ensemble);
