/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What the cluster's keys mean. Everything in them is untrusted: what does not fit is taken as absent and noted.
 * Pure: from a mirror that is complete, without I/O.
 */

#include "base/detail.h"
#include "cluster.h"
#include "election/election.h"
#include "renewal_seen.h"

#define FACTS_JUNK_MAX 32
#define FACTS_TEXT_SIZE 160
#define FACTS_TROUBLE_SIZE IDENTITY_TEXT_SIZE /* of facts_trouble() */

struct node_facts {
	char name[NAME_SIZE];
	int64_t since_ms
		[NODE_KEY_COUNT]; /* when each was written last, ms since 1970; 0: not there, or the keepalive */
	char mode[16], state[16], router[16]; /* "": missing, or junk */
	char health[FACTS_TEXT_SIZE];	      /* "ok", or why not */
	bool coordinator, alive, healthy, drained;
	uint32_t unreadable;	     /* of its keys, a bit for each of enum node_key */
	char drain[FACTS_TEXT_SIZE]; /* what the operator said */
	bool named, acting;
	struct alive self;
	struct node_detail detail;
	uint32_t obstacles; /* of enum election_obstacle; BUSY for the acting one, too */
};

struct facts {
	bool connected; /* false, set by who follows the cluster: all of this may be outdated */
	struct identity_seen identity;
	enum identity_reason
		foreign; /* why it is not the cluster of the node here; IDENTITY_FINE: it is, or not known */
	char foreign_text[IDENTITY_TEXT_SIZE]; /* the same for people */
	bool key_there, key_junk;
	char named[NAME_SIZE]; /* the desired primary; "": none */
	int32_t key_version;
	int64_t key_mzxid, key_mtime_ms;
	int32_t contenders;	    /* children of the key: nodes of the contention lock, or junk */
	bool post_there, post_junk; /* junk: persistent, not NAME EPOCH, or not readable */
	char acting[NAME_SIZE];	    /* "": nobody, or junk */
	int64_t epoch, post_since_ms;	/* epoch 0: not known */
	struct renewal_verdict renewal; /* renewal.h finds it out; zeroed: fine, or not known */
	bool maintenance;
	int64_t maintenance_since_ms, maintenance_end_ms; /* end 0: it has none */
	struct node_facts *nodes;			  /* sorted by name */
	size_t node_count;
	size_t strangers;
	char junk[FACTS_JUNK_MAX][KEY_PATH_SIZE + 80];
	bool junk_unreadable
		[FACTS_JUNK_MAX]; /* it may not be read: nobody knows whether it is junk */
	size_t junk_count;
};

/* False: out of memory. */
bool facts_gather(const struct cluster *cluster, struct facts *ret_facts);
void facts_finish(struct facts *facts); /* also fine when zeroed */

/* Adds what was seen of the renewals. */
void facts_take_renewal(struct facts *facts, const struct renewal_verdict *renewal);

const struct node_facts *facts_find(const struct facts *facts, const char *name); /* "": NULL */

/* The acting primary, or NULL. */
const struct node_facts *facts_primary(const struct facts *facts);

/* Exactly one acting, healthy primary, with its work up. */
bool facts_in_order(const struct facts *facts);

/* Nobody is named, or one that is not alive. */
bool facts_vacant(const struct facts *facts);

/*
 * What keeps it from the role if an operator names it: obstacles without those that an operator's word overrides
 * (MAINTENANCE with force, BUSY when it acts already).
 */
uint32_t facts_obstacles(const struct node_facts *node, bool force);

/* "on", "off" or "on until TIME"; returns text. */
const char *facts_maintenance(const struct facts *facts, char text[FACTS_TEXT_SIZE]);

/* Another eligible node of a higher rank, to which the node leaves a vacancy for its contend-delay. NULL: none. */
const struct node_facts *facts_preferred(const struct facts *facts, const struct node_facts *node);

/* The best candidate but for `except`: eligible, of the highest rank, in the order of names after it. NULL: none. */
const struct node_facts *facts_candidate(const struct facts *facts, const char *except, bool force);

/* What a node waits for, "" for nothing; into text[size]. */
void facts_waiting(const struct facts *facts, const struct node_facts *node, char *text,
		   size_t size);

/* Why there is no primary in order; "" if there is. text[FACTS_TROUBLE_SIZE] holds all of it. */
void facts_trouble(const struct facts *facts, char *text, size_t size);
