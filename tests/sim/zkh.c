/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The ZooKeeper module's headers, as far as what is linked of the daemon uses them, over the simulated client: reads of single
 * keys, and the transactions that the tree knows by their kind. Every call is answered exactly once, in the order of the
 * calls, with ZKH_UNKNOWN if the connection is lost; or never, after zkh_op_cancel() or the end of the process.
 */

#include "sim.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/timer.h"
#include "zk/session/zkh_op.h"

struct zkh_session {
	int node;
};

struct zkh_txn {
	int32_t epoch_version, version; /* of /epoch, and of the key that is set */
	int8_t node;
	uint8_t makes;
	bool in_use;
	struct keepalive keepalive;
};

static struct zkh_session sessions[NODES_MAX];
static struct zkh_txn transaction; /* one is built at a time */
static struct sim *world;
static int current; /* whose clock it is */

void zkh_begin(struct sim *w)
{
	world = w;
	transaction.in_use = false;
	for (int i = 0; i < NODES_MAX; i++)
		sessions[i].node = i;
}

struct zkh_session *zkh_session_of(struct sim_node *n)
{
	current = n->id;
	return &sessions[n->id];
}

static struct sim_node *node_of(const struct zkh_session *session)
{
	return &world->nodes[session->node];
}

int64_t time_boot_us(void)
{
	return clock_local(world, &world->nodes[current]);
}

bool zkh_session_connected(const struct zkh_session *session)
{
	const struct sim_node *n = node_of(session);

	return n->daemon == DAEMON_UP && n->client.link == LINK_ATTACHED;
}

/* -- names -- */

const char *node_name(int node)
{
	static const char *const names[NODES_MAX] = { "a", "b", "c", "d", "e", "f", "g" };

	return names[node];
}

static void machine_text(int32_t machine, char *ret, size_t size)
{
	snprintf(ret, size, "%032" PRIx32, (uint32_t)machine);
}

/* -- operations -- */

static struct zkh_op *op_create(struct sim_node *n, void *userdata, struct zkh_op **ret_op)
{
	for (int i = 0; i < OPS_MAX; i++) {
		struct zkh_op *op = &world->ops[i];

		if (op->order)
			continue;
		*op = (struct zkh_op){ .order = ++world->op_order,
				       .node = (int8_t)n->id,
				       .userdata = userdata };
		if (ret_op)
			*ret_op = op;
		return op;
	}
	sim_fail(world, "simulator: too many operations under way");
	return NULL;
}

void zkh_op_cancel(struct zkh_op *op)
{
	if (op)
		op->order = 0;
}

/* What it says of the keys is what the server told. */
static void op_end(struct zkh_op *op, int result, const struct sim_request *r)
{
	struct zkh_op ended = *op;

	op->order = 0;
	current = ended.node;
	if (ended.on_get) {
		const struct tree_keepalive *k = r ? &r->seen.keepalive : NULL;
		char text[KEEPALIVE_SIZE] = "";
		struct zkh_stat stat = { .version = k ? k->version : 0, .mzxid = k ? k->mzxid : 0 };

		if (result == ZKH_OK)
			zkh_format_keepalive(k, text);
		ended.on_get(ended.userdata, result, text, strlen(text),
			     result == ZKH_OK ? &stat : NULL);
	} else {
		struct zkh_txn_reply reply = { .failed_path = "", .failed = r ? ended.failed : 0 };

		ended.on_commit(ended.userdata, result, &reply);
	}
}

/* The oldest of a node; NULL: there is none. */
static struct zkh_op *op_next(const struct sim_node *n)
{
	struct zkh_op *oldest = NULL;

	for (int i = 0; i < OPS_MAX; i++) {
		struct zkh_op *op = &world->ops[i];

		if (op->order && op->node == (int8_t)n->id &&
		    (!oldest || op->order < oldest->order))
			oldest = op;
	}
	return oldest;
}

void zkh_detached(struct sim_node *n)
{
	struct zkh_op *op;

	while ((op = op_next(n)))
		op_end(op, ZKH_UNKNOWN, NULL);
}

void zkh_drop(struct sim_node *n)
{
	struct zkh_op *op;

	while ((op = op_next(n)))
		op->order = 0;
}

/* Not connected: that is told from the loop. */
void zkh_on_call(struct sim *w, struct sim_node *n, const struct queue_event *ev)
{
	struct zkh_op *op = &w->ops[ev->arg];

	if (n->daemon == DAEMON_UP && op->order && (uint32_t)op->order == ev->gen)
		op_end(op, ZKH_NOT_CONNECTED, NULL);
}

static void send(struct sim_node *n, struct zkh_op *op, struct sim_request *r)
{
	r->call = (int16_t)(op - world->ops);
	r->call_order = op->order;
	request_send(world, r);
}

static bool is_sent(struct sim_node *n, struct zkh_op *op)
{
	if (n->client.link == LINK_ATTACHED)
		return true;
	sim_schedule(world, world->now, EVENT_CALL, n->id, (uint32_t)op->order,
		     (uint32_t)(op - world->ops));
	return false;
}

/* -- reads -- */

int zkh_get(struct zkh_session *session, const char *path, bool watch, zkh_get_fn fn,
	    void *userdata, struct zkh_op **ret_op)
{
	struct sim_node *n = node_of(session);
	char own[KEY_PATH_SIZE];
	struct sim_request *r;
	struct zkh_op *op;

	node_key_path(node_name(n->id), NODE_KEY_KEEPALIVE, own);
	assert(!strcmp(path, own));
	if (n->daemon != DAEMON_UP)
		return ZKH_FAILED;
	op = op_create(n, userdata, ret_op);
	op->on_get = fn;
	if (!is_sent(n, op))
		return 0;
	r = request_create(world, n, REQUEST_READ, FOR_CALL);
	r->parts = watch ? PART_KEEPALIVE : 0;
	r->holder = -1;
	send(n, op, r);
	return 0;
}

/* -- watches: of the own keepalive -- */

int zkh_watch_add(struct zkh_session *session, struct zkh_watch *watch, const char *path)
{
	static char there[] = "";

	(void)path;
	watch->path = there;
	node_of(session)->watch = watch;
	return 0;
}

void zkh_watch_remove(struct zkh_watch *watch)
{
	watch->path = NULL;
}

void zkh_fire(struct sim_node *n)
{
	current = n->id;
	if (n->watch && n->watch->path)
		n->watch->fn(n->watch->userdata, ZKH_WATCH_CHANGED, "");
}

/* -- transactions -- */

struct zkh_txn *zkh_txn_create(struct zkh_session *session)
{
	if (node_of(session)->daemon != DAEMON_UP)
		return NULL;
	assert(!transaction.in_use);
	transaction = (struct zkh_txn){ .node = (int8_t)session->node,
					.in_use = true,
					.epoch_version = UNCHECKED };
	return &transaction;
}

struct zkh_txn *zkh_txn_destroy(struct zkh_txn *txn)
{
	txn->in_use = false;
	return NULL;
}

void zkh_txn_check(struct zkh_txn *txn, const char *path, int32_t version)
{
	if (!strcmp(path, PATH_EPOCH))
		txn->epoch_version = version;
	else
		assert(!strcmp(path, PATH_POST));
}

static void take_text(struct zkh_txn *txn, const char *path, const char *text)
{
	if (*text && !value_keepalive(text, strlen(text), &txn->keepalive))
		assert(!path);
}

void zkh_txn_set_text(struct zkh_txn *txn, const char *path, const char *text, int32_t version)
{
	take_text(txn, path, text);
	txn->version = version;
}

void zkh_txn_create_text(struct zkh_txn *txn, const char *path, const char *text, unsigned flags)
{
	(void)flags;
	take_text(txn, path, text);
	txn->makes++;
}

static void fill_keepalive(const struct sim_node *n, const struct zkh_txn *from, struct sim_txn *to)
{
	const struct keepalive *k = &from->keepalive;

	to->nonce = (int64_t)k->nonce;
	to->counter = k->counter;
	to->lease_us = k->lease_us;
	to->machine = (int32_t)strtol(k->machine, NULL, 16);
	to->boot = (int32_t)strtol(k->boot, NULL, 16);
	to->session_us = n->term.session_us;
	to->sent_local = clock_local(world, n);
}

void zkh_format_keepalive(const struct tree_keepalive *k, char *ret_text)
{
	struct keepalive value = { .nonce = (uint64_t)k->nonce,
				   .counter = k->counter,
				   .lease_us = k->lease_us };

	strcpy(ret_text, "0");
	if (!k->nonce)
		return; /* as a registration makes it */
	machine_text(k->machine, value.machine, sizeof(value.machine));
	machine_text(k->boot, value.boot, sizeof(value.boot));
	keepalive_format(&value, ret_text);
}

void zkh_open_term(struct sim_node *n, bool owes, int32_t epoch_version, struct sim_txn *txn)
{
	struct zkh_txn *opened = zkh_txn_create(zkh_session_of(n));

	term_open(&n->term, opened, n->core.term_us, owes, epoch_version, clock_local(world, n));
	fill_keepalive(n, opened, txn);
	zkh_txn_destroy(opened);
}

static bool mutated(enum sim_mutation m)
{
	return world->options->mutations & UINT64_C(1) << m;
}

/* A renewal: no other transaction is linked yet. */
int zkh_commit(struct zkh_txn *txn, zkh_commit_fn fn, void *userdata, struct zkh_op **ret_op)
{
	bool read = mutated(MUTATION_RENEW_BY_READ);
	struct sim_node *n = &world->nodes[txn->node];
	struct zkh_op *op = op_create(n, userdata, ret_op);
	struct sim_request *r;

	txn->in_use = false;
	op->on_commit = fn;
	if (!is_sent(n, op))
		return 0;
	r = request_create(world, n, read ? REQUEST_READ : REQUEST_TXN, FOR_CALL);
	r->parts = 0;
	r->holder = -1;
	r->txn.type = TXN_RENEW;
	r->txn.epoch_version = mutated(MUTATION_RENEW_EPOCH) ? UNCHECKED : txn->epoch_version;
	r->txn.version = mutated(MUTATION_RENEW_VERSION) ? ANY_VERSION : txn->version;
	r->txn.makes = txn->makes;
	fill_keepalive(n, txn, &r->txn);
	send(n, op, r);
	return 0;
}

/* -- answers -- */

/* Its operations: the post, /epoch, the keepalive. */
static int renewal_result(uint8_t result, size_t *ret_failed)
{
	*ret_failed = result == TXN_CONFLICT ? 1 : 2;
	switch ((enum txn_result)result) {
	case TXN_OK:
		return ZKH_OK;
	case TXN_CONFLICT:
	case TXN_KEEP_MOVED:
		return ZKH_CONFLICT;
	case TXN_KEEP_MISSING:
		return ZKH_NO_NODE;
	default:
		return ZKH_DENIED;
	}
}

void zkh_reply(struct sim *w, const struct sim_request *r)
{
	struct zkh_op *op = &w->ops[r->call];
	int result;

	if (!op->order || op->order != r->call_order)
		return; /* called off */
	if (op->on_get)
		result = r->seen.keepalive.there ? ZKH_OK : ZKH_NO_NODE;
	else
		result = renewal_result(r->result, &op->failed);
	op_end(op, result, r);
}
