/* SPDX-License-Identifier: Apache-2.0 */

/* Transactions, which the tree knows by their kind: what their operations write is put together to that. */

#include "zkh_internal.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rights.h"
#include "zk/lock/zkh_lock_name.h"

struct zkh_txn {
	struct sim_txn is;
	int64_t post_epoch; /* as the post says; 0: it makes none */
	int8_t node;
	bool in_use, checks_post;
};

/* The random part of a lock node's name ends with the number that was drawn for it. */
#define RANDOM_DIGITS 32
#define UID_DIGITS 8

static struct zkh_txn transactions[NODES_MAX]; /* one is built at a time */

void zkh_lock_text(int32_t uid, int32_t sequence, char *ret_text)
{
	snprintf(ret_text, KEY_PATH_SIZE, "%032" PRIx32 "__lock__%010" PRId32, (uint32_t)uid,
		 sequence);
}

static bool is_below_key(const char *path)
{
	return !strncmp(path, PATH_PRIMARY "/", sizeof(PATH_PRIMARY));
}

static int32_t prefix_uid(const char *path)
{
	char digits[UID_DIGITS + 1] = "";

	memcpy(digits, zkh_path_name(path) + RANDOM_DIGITS - UID_DIGITS, UID_DIGITS);
	return (int32_t)strtol(digits, NULL, 16);
}

/* One that has its number. */
int32_t zkh_lock_uid(const char *path)
{
	struct zkh_lock_name name;

	return is_below_key(path) && zkh_lock_name_parse(zkh_path_name(path), &name)
		       ? prefix_uid(path)
		       : 0;
}

void zkh_txn_begin(void)
{
	memset(transactions, 0, sizeof(transactions));
}

void zkh_txn_drop(const struct sim_node *n)
{
	transactions[n->id].in_use = false;
}

struct zkh_txn *zkh_txn_create(struct zkh_session *session)
{
	struct zkh_txn *txn = &transactions[session->node];

	if (zkh_node_of(session)->daemon != DAEMON_UP)
		return NULL;
	assert(!txn->in_use);
	*txn = (struct zkh_txn){ .node = (int8_t)session->node, .in_use = true };
	txn->is = (struct sim_txn){ .type = TXN_NOP,
				    .epoch_version = UNCHECKED,
				    .node = (int8_t)session->node };
	return txn;
}

void zkh_txn_check(struct zkh_txn *txn, const char *path, int32_t version)
{
	if (!strcmp(path, PATH_EPOCH))
		txn->is.epoch_version = version;
	else if (!strcmp(path, PATH_PRIMARY))
		txn->is.version = version;
	else if (!strcmp(path, PATH_POST))
		txn->checks_post = true;
	else
		abort();
}

/* The last digits of it. */
static int32_t id_of_cluster(const char *text)
{
	return (int32_t)strtol(text + IDENTITY_ID_SIZE - 1 - 7, NULL, 16);
}

static void take_cluster(struct sim_txn *t, const char *text)
{
	struct identity_seen seen;

	identity_parse_value(text, strlen(text), &seen);
	t->type = TXN_MAKE;
	t->id = id_of_cluster(seen.id);
	t->generation = seen.generation;
}

static void take_keepalive(struct sim_txn *t, const char *text)
{
	const struct sim_node *n = &zkh_world->nodes[t->node];
	struct keepalive k;

	if (!value_keepalive(text, strlen(text), &k))
		abort();
	if (t->type == TXN_NOP)
		t->type = TXN_RENEW;
	t->nonce = (int64_t)k.nonce;
	t->counter = k.counter;
	t->lease_us = k.lease_us;
	t->machine = (int32_t)strtol(k.machine, NULL, 16);
	t->boot = (int32_t)strtol(k.boot, NULL, 16);
	t->session_us = cluster_of(n)->term.session_us;
	t->sent_local = clock_local(zkh_world, n);
}

static void take_epoch(struct sim_txn *t, const char *text, int32_t version)
{
	char owner[NAME_SIZE];

	if (!value_epoch(text, strlen(text), &t->epoch, owner))
		abort();
	t->owner = owner_of_name(owner);
	t->epoch_version = version;
}

/* The router state of another node is marked; the own one says how far the work is. */
static void take_router(struct sim_txn *t, int8_t of, const char *text, int32_t version)
{
	t->router = *text;
	if (of != t->node) {
		t->type = TXN_MARK;
		t->node = of;
		t->version = version;
	} else if (t->type == TXN_NOP) {
		t->type = cluster_of(&zkh_world->nodes[of])->writes.doing == OP_LEAVE ? TXN_LEAVE
										      : TXN_ROUTER;
	}
}

static void take_alive(struct sim_txn *t, const char *text)
{
	struct alive self;

	value_alive(text, strlen(text), &self);
	t->machine = (int32_t)strtol(self.machine, NULL, 16);
	t->boot = (int32_t)strtol(self.boot, NULL, 16);
}

/* version: ANY_VERSION for what is made. */
static void take_text(struct sim_txn *t, const char *path, const char *text, int32_t version)
{
	int8_t of;
	enum sim_key key;

	if (zkh_path_is_below(path, PATH_HISTORY))
		return;
	key = zkh_key_of(path, &of);
	if (key == SIM_KEY_MODE) {
		t->type = TXN_REGISTER;
	} else if (key == SIM_KEY_ALIVE) {
		take_alive(t, text);
	} else if (key == SIM_KEY_KEEPALIVE && t->type == TXN_REGISTER) {
		return; /* the first, of a node that never was primary */
	} else if (key == SIM_KEY_KEEPALIVE) {
		take_keepalive(t, text);
		if (t->type == TXN_RENEW)
			t->version = version;
	} else if (key == SIM_KEY_ROUTER) {
		take_router(t, of, text, version);
	} else if (key == SIM_KEY_CLUSTER) {
		take_cluster(t, text);
	} else if (key == SIM_KEY_EPOCH) {
		take_epoch(t, text, version);
	} else if (key == SIM_KEY_POST) {
		t->type = TXN_ENTER;
	} else if (key == SIM_KEY_PRIMARY) {
		t->type = TXN_SET_KEY;
		t->version = version;
		t->value = strcmp(text, NAME_NONE) ? (int8_t)node_of_name(text) : NAMED_NONE;
	}
}

/* Of the own keys: enum own_bit. */
static uint8_t own_bit(const struct sim_txn *t, const char *path)
{
	int8_t of;

	if (!zkh_path_is_below(path, PATH_NODES))
		return 0;
	switch ((int)zkh_key_of(path, &of)) {
	case SIM_KEY_NODE:
		return OWN_NODE;
	case SIM_KEY_MODE:
	case SIM_KEY_STATE:
	case SIM_KEY_HEALTH:
		return OWN_REST;
	case SIM_KEY_ROUTER:
		return of == t->node ? OWN_ROUTER : 0;
	case SIM_KEY_KEEPALIVE:
		return OWN_KEEPALIVE;
	case SIM_KEY_ALIVE:
		return OWN_ALIVE;
	default:
		return 0;
	}
}

void zkh_txn_set_text(struct zkh_txn *txn, const char *path, const char *text, int32_t version)
{
	txn->is.sets |= own_bit(&txn->is, path);
	take_text(&txn->is, path, text, version);
}

static void create_key(struct sim_txn *t, int8_t value)
{
	t->type = TXN_CREATE_KEY;
	t->value = value;
}

/* The lock makes its parent where it is missing, with no value. */
void zkh_txn_create_key(struct zkh_txn *txn, const char *path, const void *data, size_t length,
			unsigned flags)
{
	assert(!strcmp(path, PATH_PRIMARY));
	create_key(&txn->is, NAMED_JUNK);
}

/* What ends with its session, and what gets a number. */
static unsigned flags_of(const char *path)
{
	int8_t of;

	if (is_below_key(path))
		return ZKH_CREATE_EPHEMERAL | ZKH_CREATE_SEQUENCE;
	if (zkh_path_is_below(path, PATH_HISTORY) && strcmp(path, PATH_HISTORY) != 0)
		return ZKH_CREATE_SEQUENCE;
	if (!strcmp(path, PATH_POST) || (!strncmp(path, PATH_NODES "/", sizeof(PATH_NODES)) &&
					 zkh_key_of(path, &of) == SIM_KEY_ALIVE))
		return ZKH_CREATE_EPHEMERAL;
	return ZKH_PERSISTENT;
}

void zkh_txn_create_text(struct zkh_txn *txn, const char *path, const char *text, unsigned flags)
{
	char name[NAME_SIZE];

	if (flags != flags_of(path))
		sim_fail(zkh_world, "node %d makes %s with flags %u", txn->node, path, flags);
	if (!strcmp(path, PATH_POST) && (!value_post(text, strlen(text), name, &txn->post_epoch) ||
					 strcmp(name, node_name(txn->node)) != 0))
		sim_fail(zkh_world, "node %d makes a post that says '%s'", txn->node, text);
	if (is_below_key(path)) {
		txn->is.type = TXN_LOCK;
		txn->is.uid = prefix_uid(path);
		return;
	}
	txn->is.creates |= own_bit(&txn->is, path);
	take_text(&txn->is, path, text, ANY_VERSION);
	if (!strncmp(path, PATH_NODES, sizeof(PATH_NODES) - 1))
		txn->is.makes++;
	else if (!strcmp(path, PATH_PRIMARY))
		create_key(&txn->is, NAMED_NONE);
}

void zkh_txn_delete(struct zkh_txn *txn, const char *path, int32_t version)
{
	if (!strcmp(path, PATH_POST)) {
		txn->is.type = TXN_LEAVE;
		txn->is.value = LEAVE_DELETE;
	} else {
		assert(is_below_key(path));
		/* A claim has set the key before. */
		txn->is.type = txn->is.type == TXN_SET_KEY ? TXN_CLAIM : TXN_UNLOCK;
		txn->is.uid = zkh_lock_uid(path);
	}
}

void zkh_format_keepalive(const struct tree_keepalive *k, char *ret_text)
{
	struct keepalive value = { .nonce = (uint64_t)k->nonce,
				   .counter = k->counter,
				   .lease_us = k->lease_us };

	strcpy(ret_text, "0");
	if (!k->nonce)
		return; /* as a registration makes it */
	zkh_machine_text(k->machine, value.machine, sizeof(value.machine));
	zkh_machine_text(k->boot, value.boot, sizeof(value.boot));
	keepalive_format(&value, ret_text);
}

/* Checks that are left out, one at a time. */
static void mutate(struct sim_txn *t)
{
	if ((t->type == TXN_RENEW && sim_mutated(zkh_world, MUTATION_RENEW_EPOCH)) ||
	    (t->type == TXN_LEAVE && t->value == LEAVE_DELETE &&
	     sim_mutated(zkh_world, MUTATION_LEAVE_EPOCH)))
		t->epoch_version = UNCHECKED;
	if ((t->type == TXN_RENEW && sim_mutated(zkh_world, MUTATION_RENEW_VERSION)) ||
	    (t->type == TXN_CLAIM && sim_mutated(zkh_world, MUTATION_CLAIM_VERSION)) ||
	    (t->type == TXN_ENTER && sim_mutated(zkh_world, MUTATION_ENTER_VERSION)))
		t->version = ANY_VERSION;
}

static bool is_of_election(uint8_t type)
{
	return type == TXN_CLAIM || type == TXN_ENTER || type == TXN_LEAVE || type == TXN_SET_KEY ||
	       type == TXN_CREATE_KEY;
}

/* Of the election: what it is part of. */
static uint8_t op_of(const struct sim_node *n, const struct sim_txn *t)
{
	if (is_of_election(t->type))
		return (uint8_t)cluster_of(n)->writes.doing;
	return t->type == TXN_REGISTER && cluster_of(n)->repair.registering ? OP_REGISTER : OP_NONE;
}

/* Of an operation of the election, as it is sent. */
static void note_sent(struct sim_node *n, uint8_t op)
{
	oracle_do(zkh_world, n, op);
	chaos_ambush(zkh_world, n);
}

/* A takeover's post bears its epoch; who renews looks whether there is a post. */
static void check_post(const struct zkh_txn *txn)
{
	const struct sim_txn *t = &txn->is;

	if ((t->type == TXN_ENTER && txn->post_epoch != t->epoch) ||
	    (t->type == TXN_RENEW && !txn->checks_post))
		sim_fail(zkh_world, "node %d: a transaction with another post", txn->node);
}

int zkh_commit(struct zkh_txn *txn, zkh_commit_fn fn, void *userdata, struct zkh_op **ret_op)
{
	struct sim_node *n = &zkh_world->nodes[txn->node];
	const struct zkh_op call = { .on_commit = fn, .userdata = userdata };
	uint8_t of = op_of(n, &txn->is);
	struct zkh_op *op;
	bool read = txn->is.type == TXN_RENEW && sim_mutated(zkh_world, MUTATION_RENEW_BY_READ);
	struct sim_request *r;

	process_stop_point(n);
	txn->in_use = false;
	op = zkh_op_create(n, &call, ret_op);
	if (!zkh_is_sent(n, op))
		return 0;
	if (txn->is.type == TXN_NOP && txn->is.sets)
		txn->is.type = TXN_REST;
	if (of != OP_NONE)
		note_sent(n, of);
	check_post(txn);
	r = request_create(zkh_world, n, read ? REQUEST_READ : REQUEST_TXN, FOR_CALL);
	txn->is.session = r->txn.session;
	r->txn = txn->is;
	r->op = of;
	mutate(&r->txn);
	zkh_send(op, r);
	return 0;
}

/* -- answers -- */

/* What the committed transaction has written, in the order of its operations. */
void zkh_fill_stats(const struct sim_request *r, struct zkh_stat stats[REPLY_STATS],
		    const char *created[REPLY_STATS])
{
	static char path[sizeof(PATH_PRIMARY "/") + KEY_PATH_SIZE] = PATH_PRIMARY "/";

	memset(stats, 0, REPLY_STATS * sizeof(stats[0]));
	if (r->txn.type == TXN_CLAIM || r->txn.type == TXN_SET_KEY)
		stats[0] = (struct zkh_stat){ .version = r->txn.version + 1, .mzxid = r->zxid };
	else if (r->txn.type == TXN_LOCK)
		zkh_lock_text(r->txn.uid, r->lock_sequence, path + sizeof(PATH_PRIMARY));
	if (r->txn.type == TXN_LOCK)
		created[0] = path;
	else if (r->txn.type == TXN_REGISTER)
		stats[0].mzxid = r->zxid;
	else if (r->txn.type == TXN_LEAVE)
		stats[0].version = r->txn.epoch_version + 1;
	stats[1].version = r->txn.epoch_version + 1; /* of a takeover: /epoch; and the keepalive */
	stats[4].version = r->keep_version;
}

/* The path of the operation that failed. */
const char *zkh_failed_path(const struct sim_request *r)
{
	static char path[KEY_PATH_SIZE];

	switch ((enum txn_result)r->result) {
	case TXN_MISSING:
		if (r->txn.type == TXN_CREATE_KEY)
			return PATH_PRIMARY;
		__attribute__((fallthrough));
	case TXN_REFUSED_OWN:
		node_key_path(node_name(r->node), NODE_KEY_ROUTER, path);
		return path;
	case TXN_REFUSED_NOTE:
		return PATH_HISTORY;
	default:
		return "";
	}
}

/* The operations of a renewal are the post, /epoch, the keepalive. What else asks where it failed asks for the first. */
int zkh_commit_result(const struct sim_request *r, size_t *ret_failed)
{
	*ret_failed = r->txn.type != TXN_RENEW ? 0 : r->result == TXN_CONFLICT ? 1 : 2;
	switch ((enum txn_result)r->result) {
	case TXN_OK:
		return ZKH_OK;
	case TXN_CONFLICT:
		if (r->txn.type == TXN_LOCK || r->txn.type == TXN_UNLOCK)
			return ZKH_NO_NODE;
		return r->txn.type == TXN_CREATE_KEY ? ZKH_NODE_EXISTS : ZKH_CONFLICT;
	case TXN_KEEP_MOVED:
		return ZKH_CONFLICT;
	case TXN_KEEP_MISSING:
	case TXN_MISSING:
		return ZKH_NO_NODE;
	default:
		return ZKH_DENIED;
	}
}

/* -- what changes none of the keys that are modelled -- */

int zkh_make_root(struct zkh_session *session, zkh_done_fn fn, void *userdata,
		  struct zkh_op **ret_op)
{
	const struct zkh_op call = { .on_done = fn, .userdata = userdata };

	return zkh_send_plain(session, REQUEST_TXN, TXN_ROOT, &call, ret_op);
}

/* Where one is missing the registration is refused as a whole; the daemon registers as not healthy, as far as it can. */
static void on_rights(void *userdata, int result, const struct zkh_txn_reply *reply)
{
	struct rights *rights = userdata;

	rights->op = NULL;
	rights->on_done(rights->userdata, result);
}

int rights_try(struct rights *rights, struct zkh_session *session, const char *name, unsigned flags,
	       rights_fn on_done, void *userdata)
{
	const struct zkh_op call = { .on_commit = on_rights, .userdata = rights };

	rights->on_done = on_done;
	rights->userdata = userdata;
	return zkh_send_plain(session, REQUEST_TXN, TXN_RIGHTS, &call, &rights->op);
}

void rights_cancel(struct rights *rights)
{
	zkh_op_cancel(rights->op);
	rights->op = NULL;
}

void rights_format_missing(const struct rights *rights, char *ret_text)
{
	*ret_text = '\0';
}

void rights_format_wide(const struct rights *rights, char *ret_text)
{
	rights_format_missing(rights, ret_text);
}

int rights_first_refusal(const struct rights *rights)
{
	return ZKH_OK;
}

const char *rights_remedy(int result)
{
	return "";
}
