/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The keys in ZooKeeper, and how their values are read. Every value read there is untrusted: its length is bounded, its
 * form is checked, and an invalid value counts as absent. Pure.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PATH_PRIMARY "/primary_node" /* the desired primary: a name or `none` */
#define PATH_POST "/primary_active"  /* ephemeral: NAME EPOCH of the acting primary */
#define PATH_EPOCH "/epoch" /* E WHO: the highest epoch handed out, and who may be at work since */
#define PATH_MAINTENANCE "/maintenance"
#define PATH_NODES "/nodes"
#define PATH_CLUSTER "/cluster" /* which ensemble this is: see identity.h */
#define PATH_HISTORY "/history"
#define HISTORY_PREFIX PATH_HISTORY "/claim-"

#define EPOCH_LIMIT (INT64_C(1) << 62) /* epochs from here on are junk */
/* A keepalive that promises more is junk: no session that is believed lasts longer. */
#define KEEPALIVE_LEASE_MAX_US (INT64_C(3600) * 1000000)

#define NAME_NONE "none"
#define NAME_NOBODY "-"	   /* no node can be called that */
#define NAME_SIZE 65	   /* of a node name, the NUL included */
#define KEY_PATH_SIZE 128  /* of "/nodes/NAME/LEAF" */
#define KEY_VALUE_MAX 1024 /* bytes of a value that is looked at */
#define HISTORY_KEPT 100   /* entries */

/* X(NAME, leaf) below /nodes/NAME */
#define NODE_KEYS(X)                                                                               \
	X(MODE, "daemonmode")                                                                      \
	X(STATE, "daemonstate")                                                                    \
	X(ROUTER, "routerstate")                                                                   \
	X(ALIVE, "alive")                                                                          \
	X(DRAIN, "drain")                                                                          \
	X(HEALTH, "health")                                                                        \
	X(KEEPALIVE, "keepalive")                                                                  \
	X(DETAIL, "detail")

enum node_key {
#define X(name, leaf) NODE_KEY_##name,
	NODE_KEYS(X)
#undef X
		NODE_KEY_COUNT
};

/*
 * Optional: /nodes/NAME/pardon, from an operator to that node. The node ends its penalty and deletes the key. Its text says
 * who asked for it.
 */
void node_pardon_path(const char *name, char *ret_path);

/* Its name below /nodes/NAME. */
const char *node_key_leaf(enum node_key key);

/* "/nodes/NAME/LEAF" into ret_path[KEY_PATH_SIZE]; name must be valid. */
void node_key_path(const char *name, enum node_key key, char *ret_path);

/* The text of a value without blanks around it: false when it is longer than size - 1, or binary. */
bool value_text(const char *data, size_t length, char *ret_text, size_t size);

/* A node's name. False (junk) for everything that is not one, `none` included. */
bool value_name(const char *data, size_t length, char ret_name[NAME_SIZE]);

/* `NAME EPOCH`. False: junk. */
bool value_post(const char *data, size_t length, char ret_name[NAME_SIZE], int64_t *ret_epoch);

/*
 * What is in /maintenance while it is there. Only what says no ends a maintenance: false, no, off or 0, in any case. An
 * operator who wrote something else surely wanted one, and what it costs is a role that stays vacant, in plain sight.
 * ret_clear: whether it says true, yes, on or 1, or no; else it is junk, and to be said.
 * `true until TIME` (UTC) ends at that time by the clock of the first node that sees it come; 0 in ret_end_ms: it has no
 * end. It lasts as long as the key is there: the end is that a node deletes it.
 */
bool value_maintenance(const char *data, size_t length, bool *ret_clear, int64_t *ret_end_ms);
#define MAINTENANCE_UNTIL " until "

/*
 * `E NAME`: NAME took over, so it may be at work. `E none`, which makes the name "": it is not known who. `E -`: nobody, it has
 * left in order. False: junk.
 */
bool value_epoch(const char *data, size_t length, int64_t *ret_epoch, char ret_name[NAME_SIZE]);

/* The term of an acting primary, in its keepalive. */
struct keepalive {
	uint64_t nonce;	  /* of the process; not 0 */
	int64_t lease_us; /* L: the longest lease of the term, > 0 */
	int64_t counter;  /* of the renewals of this process */
	char machine[40];
	char boot[40];
};

#define KEEPALIVE_SIZE 192

/* False: junk, or from before the first takeover. */
bool value_keepalive(const char *data, size_t length, struct keepalive *ret);
void keepalive_format(const struct keepalive *keepalive, char ret_text[KEEPALIVE_SIZE]);

/* Router states that a node leaves behind only when it died with its work running. */
bool router_state_is_acting(const char *text);

/* What /nodes/NAME/alive tells. Numbers are 0 and texts empty where it says nothing valid. */
struct alive {
	int64_t session;
	int64_t pid;
	int64_t started_ms; /* since 1970 */
	char machine[40];
	char boot[40];
	char version[32];
	char host[72];
	char address[80]; /* node.address */
};

/* `key=value` pairs with blanks between them; unknown ones are ignored. */
void value_alive(const char *data, size_t length, struct alive *ret_alive);

/* The same the other way; returns the length, at most size - 1. */
size_t alive_format(const struct alive *alive, char *ret_text, size_t size);
