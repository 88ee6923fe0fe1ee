/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The keys as one server has them, and the transactions that change them: the same in every server,
 * in one order.
 */

#include <stdbool.h>
#include <stdint.h>

#define NODES_MAX 7
#define LOCKS_MAX 64

/* Values of /primary_node besides a node's number. */
enum { NAMED_STRANGER = NODES_MAX, NAMED_NONE = -1, NAMED_JUNK = -2, NAMED_MISSING = -3 };

enum txn_type {
	TXN_NOP,
	TXN_REGISTER, /* node, session, router, creates, sets; epoch, epoch_version: if more is remembered */
	TXN_CREATE_KEY, /* value */
	TXN_SET_KEY,	/* value, version; -1: any */
	TXN_CLAIM,	/* node, version, uid */
	TXN_ENTER,	/* node, session, version, epoch, epoch_version, keep */
	TXN_LEAVE, /* node, session, value: enum leave, epoch_version; epoch, owner: if it sets it */
	TXN_RENEW,  /* node, version: of the keepalive, epoch_version, keep, makes */
	TXN_ROUTER, /* node, router, epoch_version */
	TXN_REST,   /* node: its health or state, which tell nothing here */
	TXN_LOCK,   /* node, session, uid */
	TXN_UNLOCK, /* uid */
	TXN_MARK,   /* node, version: of the router state */
	TXN_CLOSE,  /* session */
	TXN_DELETE_KEY,
	TXN_DELETE_POST,
	TXN_DRAIN,	  /* node, value */
	TXN_MAINTENANCE,  /* value */
	TXN_DELETE_ALIVE, /* node */
	TXN_DELETE_NODE,  /* node: all its keys */
	TXN_DELETE_ROOT,
	TXN_REFUSE, /* node, version: what its writes, or those on it, are refused */
	TXN_DELETE_EPOCH,
	TXN_DELETE_KEEPALIVE, /* node */
	TXN_MAKE,	      /* node, id, generation: /cluster, where it is missing */
	TXN_ACCEPT,	      /* id, generation: of /cluster, whatever it says */
	TXN_ROOT,	      /* the root, where it is missing */
	TXN_RIGHTS,	      /* node: changes nothing */
};

enum leave { LEAVE_KEEP, LEAVE_DELETE };
enum txn_result {
	TXN_OK,
	TXN_CONFLICT,
	TXN_MISSING, /* one of the node's own keys */
	TXN_REFUSED_OWN,
	TXN_REFUSED_NOTE,
	TXN_REFUSED_POST,
	TXN_REFUSED,
	TXN_KEEP_MISSING, /* a renewal: the keepalive, or its parent, is gone */
	TXN_KEEP_MOVED	  /* a renewal: it has another version, or is there */
};

#define ANY_VERSION (-1)
#define UNCHECKED (-2)

/* Whose the highest epoch is, if not a node's: it is not known whose, or nobody's any more. */
#define OWNER_UNKNOWN (-1)
#define OWNER_NOBODY (-2)

/* Access lists and quotas, as one node meets them. */
enum refusal {
	REFUSE_KEY = 1,	  /* /primary_node: claim, reclaim, hand-back */
	REFUSE_POST = 2,  /* to create below the root */
	REFUSE_LEAVE = 4, /* to delete below the root */
	REFUSE_OWN = 8,	  /* its own keys */
	REFUSE_NOTE = 16, /* the history */
	REFUSE_LOCK = 32,
	REFUSE_MARK = 64,   /* its router state, to others */
	REFUSE_RENEW = 128, /* its keepalive, to itself */
	REFUSE_LOOK = 256,  /* to read its router state, to others */
	REFUSE_WATCH = 512, /* to read its keepalive, to others */
	REFUSE_ALL = 1023,
};

/* Of what a registration writes. */
enum own_bit {
	OWN_NODE = 1, /* /nodes/NAME */
	OWN_REST = 2, /* mode, state and health, which come and go together */
	OWN_ROUTER = 4,
	OWN_KEEPALIVE = 8,
	OWN_ALIVE = 16,
};

struct tree_keepalive {
	int64_t nonce, counter, lease_us, mzxid;
	int32_t version, machine, boot;
	uint8_t there;
};

struct sim_txn {
	int64_t epoch;
	int64_t sent_local, session_us; /* ENTER, RENEW: for the oracle */
	int64_t lease_us, nonce, counter, generation;
	int32_t session, version, uid, epoch_version, machine, boot, id;
	uint8_t type;
	uint8_t makes;	       /* as own_key_write() has it */
	uint8_t creates, sets; /* enum own_bit, of the own keys */
	int8_t node, value, owner;
	char router;
};

struct tree_lock {
	int32_t uid, session, sequence;
};

struct sim_tree {
	int64_t zxid, key_czxid, key_mzxid, post_epoch;
	int64_t alive_zxid[NODES_MAX]; /* when it came */
	int32_t key_version, post_session, lock_sequence, lock_count;
	int64_t epoch, cluster_czxid, cluster_generation; /* czxid 0: there is no /cluster */
	struct tree_keepalive keepalive[NODES_MAX];
	int32_t cluster_id;
	int32_t epoch_version;	  /* ANY_VERSION: it is missing */
	int32_t alive[NODES_MAX]; /* session, 0: none */
	int32_t alive_machine[NODES_MAX], alive_boot[NODES_MAX];
	int32_t router_version[NODES_MAX];
	char router[NODES_MAX];
	uint8_t there[NODES_MAX];    /* /nodes/NAME */
	uint8_t rest[NODES_MAX];     /* OWN_REST is there */
	uint16_t refused[NODES_MAX]; /* enum refusal */
	int8_t epoch_owner;
	uint8_t drained[NODES_MAX];
	int8_t key, post; /* post: node, -1 none */
	uint8_t maintenance, rootless;
	struct tree_lock locks[LOCKS_MAX];
};

/* What watches are for. */
enum {
	BIT_KEY,
	BIT_POST,
	BIT_MAINT,
	BIT_LOCKS,
	BIT_EPOCH,
	BIT_CLUSTER,
	BIT_ALIVE = 8, /* of the first node, and so on: one more than there are */
	BIT_DRAIN = 24,
	BIT_KEEPALIVE = 40,
	BIT_PARDON = 48
};

#define CHANGED(bit) (UINT64_C(1) << (bit))
#define CHANGED_KEY CHANGED(BIT_KEY)
#define CHANGED_POST CHANGED(BIT_POST)
#define CHANGED_MAINT CHANGED(BIT_MAINT)
#define CHANGED_LOCKS CHANGED(BIT_LOCKS)
#define CHANGED_EPOCH CHANGED(BIT_EPOCH)
#define CHANGED_CLUSTER CHANGED(BIT_CLUSTER)
#define CHANGED_ALIVE(node) CHANGED(BIT_ALIVE + (node))
#define CHANGED_DRAIN(node) CHANGED(BIT_DRAIN + (node))
#define CHANGED_KEEPALIVE(node) CHANGED(BIT_KEEPALIVE + (node))

void tree_init(struct sim_tree *t);
enum txn_result tree_apply(struct sim_tree *t, const struct sim_txn *txn, int64_t zxid,
			   uint64_t *ret_changed);

/* What is there of a node: enum own_bit. */
uint8_t tree_own(const struct sim_tree *t, int node);

/* Whether the key is there whose changes have this bit. */
bool tree_has(const struct sim_tree *t, int bit);

/* Position of a lock node, -1: not there; ret_before: the uid it has to wait for, 0: none. */
int tree_find_lock(const struct sim_tree *t, int32_t uid, int32_t *ret_before);
