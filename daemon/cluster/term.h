/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The term of the acting primary, as recorded in its keepalive: the takeover's transaction opens it, and each renewal
 * writes it at the version of the previous renewal, so that only one process can continue it.
 *
 * Renewals overlap: one is sent every h, whether or not the previous one was answered. A renewal counts when it is
 * known to be committed (it was acknowledged, or its counter was read in the keepalive), and a read that the server handles
 * after it finds the post in this session. The transaction cannot tell that: it checks versions, which begin anew when a key
 * is deleted. Nor can a watch: it tells nothing of a change to what this node may not read at that moment.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/boot.h"
#include "base/keys.h"
#include "election/election.h"
#include "zk/mirror/zkh_mirror.h"

/* Renewals that may be without an answer: the library gives up a server after 2T/3, that is 8 of them. */
#define TERM_RENEWALS_MAX 16

/* Processes, one killed after the other, whose renewals may still be on their way. */
#define TERM_NONCES 4

/* sent_us: with RESULT_OK, when the renewal that is known to be committed was sent. May come more than once a renewal. */
typedef void (*term_renewed_fn)(void *userdata, enum election_result result, int64_t sent_us);
/* The first renewal of a term that another process began is about to be sent: term_nonces() is to be kept before that. */
typedef void (*term_claim_fn)(void *userdata);
/* Another process lives on this session, and renewed the term. */
typedef void (*term_superseded_fn)(void *userdata);
typedef void (*term_refused_fn)(void *userdata, int result, const char *path);

struct term;

struct term_renewal {
	struct term *term;
	struct zkh_op *op, *post_op;
	int64_t counter, sent_us; /* 0: none */
	bool committed;
};

struct term {
	struct zkh_session *session;
	const char *name;
	const char *boot;
	char machine[MACHINE_ID_SIZE];
	uint64_t nonce;		      /* of this process */
	uint64_t before[TERM_NONCES]; /* of processes that are resumed; 0: none */
	term_renewed_fn on_renewed;
	term_claim_fn on_claim;
	term_superseded_fn on_superseded;
	term_refused_fn on_refused;
	void *userdata;

	int64_t session_us; /* T of the term; 0: there is none */
	int64_t debt_us; /* until when this node has to wait for others before it starts anything */
	int64_t counter; /* sent last */
	int32_t epoch_version;
	int32_t version; /* of the keepalive, as the next renewal expects it */
	bool known;	 /* the version is */
	bool proven;	 /* a renewal of this connection is acknowledged */
	bool ours; /* the term is known to be: it was committed by this process, or left by the one before */
	bool claimed; /* a renewal of this process was sent, or the takeover is its own */
	int made;     /* by the one before: what was not enough is made more of */
	int makes; /* what the next renewal makes: 0 nothing, 1 the keepalive, 2 its parent too, 3 and that one's */
	bool wanted;   /* a renewal, once it is read */
	bool decisive; /* read_op was sent for a renewal: when the post was known to be held */
	struct zkh_op *read_op;
	/* From an attachment on until the term is proven: what the connection before left may still commit. */
	struct zkh_mirror mirror;
	struct term_renewal renewals[TERM_RENEWALS_MAX]; /* by counter */
};

/* Draws the nonce. Returns 0 or -errno. The strings must outlive it. */
int term_init(struct term *term, const char *name, const char *machine, const char *boot);
void term_finish(struct term *term);

/*
 * Adds the term of a takeover to its transaction. epoch_version: what /epoch will have. A renewal promises L; or
 * longer, as long as this node has to wait for others: who comes after it waits no shorter. owes: that may be the
 * longest term that there is, until term_owes() tells.
 */
void term_open(struct term *term, struct zkh_txn *txn, int64_t session_us, bool owes,
	       int32_t epoch_version, int64_t now_us);
/* A look at the others told how long they are to be waited for. */
void term_owes(struct term *term, int64_t until_us);
/* The work starts: nobody is waited for any more, which is told at once. */
void term_started(struct term *term, int64_t now_us);
/* The post is released, or lost for good. */
void term_close(struct term *term);
/* That transaction committed. */
void term_opened(struct term *term, int32_t epoch_version, int32_t version);

/*
 * What the process after this one may find in the keepalive, the latest first: the nonce that is to be committed next,
 * the one that is, and those of processes that were killed before they heard of their renewals. 0: none.
 */
void term_nonces(const struct term *term, uint64_t ret_nonces[TERM_NONCES]);

/* A process before this one opened it; before: what it left of term_nonces(). */
void term_resume(struct term *term, const uint64_t before[TERM_NONCES], int32_t epoch_version,
		 int64_t session_us);

/*
 * Connected, before anything else is sent: what is in the keepalive is not known any more; if there is a term it is
 * read, and watched for what is still on its way. fresh: in a new session, in which no term goes on.
 */
void term_attached(struct term *term, struct zkh_session *session, bool fresh);

/* Sends a renewal, after a look at the keepalive if need be. */
void term_renew(struct term *term, int64_t now_us);
