/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The ZooKeeper module's headers, as far as what is linked of the daemon uses them, over the simulated client: reads of single
 * keys, and the transactions that the tree knows by their kind. Every call is answered exactly once, in the order of the
 * calls, with ZKH_UNKNOWN if the connection is lost; or never, after zkh_op_cancel() or the end of the process.
 */

#include "sim.h"

#include <assert.h>
#include <ev.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#include "base/clock.h"
#include "base/timer.h"
#include "zk/mirror/zkh_mirror.h"

struct zkh_session {
	int node;
};

enum txn_kind { KIND_RENEWAL, KIND_MARK, KIND_MAKE };

struct zkh_txn {
	int32_t epoch_version, version; /* of /epoch, and of the key that is set first */
	int64_t generation;
	int32_t id;
	uint8_t kind;
	int8_t node, of;
	uint8_t makes, sets;
	bool in_use;
	struct keepalive keepalive;
};

ssize_t sim_getrandom(void *buffer, size_t size, unsigned flags);

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

const struct identity *zkh_disk_of(const char *name)
{
	return &world->nodes[node_of_name(name)].disk;
}

static struct sim_node *node_of(const struct zkh_session *session)
{
	return &world->nodes[session->node];
}

int64_t time_boot_us(void)
{
	return clock_local(world, &world->nodes[current]);
}

/* Nothing that is simulated asks for the time of day. */
int64_t time_wall_us(void)
{
	return time_boot_us();
}

bool zkh_session_connected(const struct zkh_session *session)
{
	const struct sim_node *n = node_of(session);

	return n->daemon == DAEMON_UP && n->client.link == LINK_ATTACHED;
}

int64_t zkh_session_zxid(const struct zkh_session *session)
{
	return node_of(session)->client.last_zxid;
}

void zkh_session_cut(struct zkh_session *session)
{
	struct sim_node *n = node_of(session);

	sim_schedule(world, world->now, EVENT_CLOSED, n->id, n->client.conn, CLOSED_HERE);
}

/* From the loop. */
void zkh_session_renew(struct zkh_session *session)
{
	struct sim_node *n = node_of(session);

	sim_schedule(world, world->now, EVENT_RENEW, n->id, n->incarnation,
		     (uint32_t)n->client.session);
}

void zkh_on_renew(struct sim *w, struct sim_node *n, const struct queue_event *ev)
{
	if (ev->gen == n->incarnation && n->daemon == DAEMON_UP &&
	    (uint32_t)n->client.session == ev->arg)
		client_give_up(w, n);
}

/* What is linked of the product gets this one: no two draws are the same. */
ssize_t sim_getrandom(void *buffer, size_t size, unsigned flags)
{
	uint32_t drawn = (uint32_t)++world->ids;
	unsigned char *bytes = buffer;

	(void)flags;
	memset(bytes, 0, size);
	for (size_t i = 0; i < sizeof(drawn) && i < size; i++)
		bytes[size - 1 - i] = (unsigned char)(drawn >> (8 * i));
	return (ssize_t)size;
}

/* -- names -- */

const char *node_name(int node)
{
	static const char *const names[NODES_MAX] = { "a", "b", "c", "d", "e", "f", "g" };

	return names[node];
}

int node_of_name(const char *name)
{
	return name[0] - 'a';
}

static void machine_text(int32_t machine, char *ret, size_t size)
{
	snprintf(ret, size, "%032" PRIx32, (uint32_t)machine);
}

void zkh_format_cluster(int32_t id, int64_t generation, char *ret_text)
{
	char text[IDENTITY_ID_SIZE];

	machine_text(id, text, sizeof(text));
	identity_format_value(text, generation, IDENTITY_FORMAT, ret_text);
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

static const char *router_text(char router)
{
	static const char *const texts[] = { "takeover", "primary", "relinquish", "secondary",
					     "client" };

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (texts[i][0] == router)
			return texts[i];
	return "";
}

static void format_alive(const struct sim_sight *s, char *ret_text, size_t size)
{
	struct alive alive = { .session = s->session };

	machine_text(s->machine, alive.machine, sizeof(alive.machine));
	machine_text(s->boot, alive.boot, sizeof(alive.boot));
	alive_format(&alive, ret_text, size);
}

/* The value of the key that was read. */
static void format_value(const struct sim_request *r, const struct sim_node *of, char *ret_text,
			 size_t size)
{
	const struct sim_sight *s = &r->sight;

	*ret_text = '\0';
	if (r->key == SIM_KEY_KEEPALIVE)
		zkh_format_keepalive(&s->keepalive, ret_text);
	else if (r->key == SIM_KEY_ROUTER)
		snprintf(ret_text, size, "%s", router_text(s->router));
	else if (r->key == SIM_KEY_MODE)
		snprintf(ret_text, size, "%s", of->config.coordinator ? "coordinator" : "client");
	else if (r->key == SIM_KEY_STATE)
		snprintf(ret_text, size, "run");
	else if (r->key == SIM_KEY_HEALTH)
		snprintf(ret_text, size, "ok");
	else if (r->key == SIM_KEY_DETAIL)
		snprintf(ret_text, size, "rank=%" PRId64, of->rank);
	else if (r->key == SIM_KEY_CLUSTER)
		zkh_format_cluster(s->id, s->generation, ret_text);
	else if (r->key == SIM_KEY_ALIVE)
		format_alive(s, ret_text, size);
}

static void end_children(const struct zkh_op *op, int result, const struct sim_request *r,
			 const struct zkh_stat *stat)
{
	const char *names[NODES_MAX] = { NULL };
	size_t count = 0;

	for (int i = 0; r && i < NODES_MAX; i++)
		if (r->sight.names & 1u << i)
			names[count++] = node_name(i);
	op->on_children(op->userdata, result, names, count, stat);
}

/* What it says of the keys is what the server told. */
static void op_end(struct zkh_op *op, int result, const struct sim_request *r)
{
	struct zkh_op ended = *op;
	const struct sim_sight *s = r ? &r->sight : NULL;
	struct zkh_stat stats = { .version = s ? s->version : 0,
				  .czxid = s ? s->czxid : 0,
				  .mzxid = s ? s->mzxid : 0,
				  .ephemeral_owner = s ? s->session : 0 };
	const struct zkh_stat *stat = result == ZKH_OK ? &stats : NULL;
	struct zkh_txn_reply reply = { .failed_path = "", .failed = r ? ended.failed : 0 };
	char text[KEY_VALUE_MAX] = "";

	op->order = 0;
	current = ended.node;
	if (ended.on_get) {
		if (result == ZKH_OK)
			format_value(r, &world->nodes[r->of], text, sizeof(text));
		ended.on_get(ended.userdata, result, text, strlen(text), stat);
	} else if (ended.on_exists) {
		ended.on_exists(ended.userdata, result, stat);
	} else if (ended.on_done) {
		ended.on_done(ended.userdata, result);
	} else if (ended.on_children) {
		end_children(&ended, result, r, stat);
	} else {
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
	for (int i = 0; i < TIMERS_MAX; i++)
		n->timers[i].gen++;
	for (int i = 0; i < MIRRORS_MAX; i++)
		n->mirrors[i].mirror = NULL;
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

static enum sim_key key_of(const char *path, int8_t *ret_of)
{
	static const struct {
		const char *name;
		enum sim_key key;
	} keys[] = {
		{ "daemonmode", SIM_KEY_MODE },	   { "daemonstate", SIM_KEY_STATE },
		{ "routerstate", SIM_KEY_ROUTER }, { "alive", SIM_KEY_ALIVE },
		{ "drain", SIM_KEY_DRAIN },	   { "keepalive", SIM_KEY_KEEPALIVE },
		{ "health", SIM_KEY_HEALTH },	   { "detail", SIM_KEY_DETAIL },
	};
	const size_t n = sizeof(PATH_NODES) - 1;

	if (!strcmp(path, PATH_CLUSTER))
		return SIM_KEY_CLUSTER;
	if (!strcmp(path, PATH_PRIMARY))
		return SIM_KEY_PRIMARY;
	if (!strcmp(path, PATH_NODES))
		return SIM_KEY_NODES;
	assert(!strncmp(path, PATH_NODES "/", n + 1) && path[n + 2] == '/');
	*ret_of = (int8_t)node_of_name(path + n + 1);
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (!strcmp(path + n + 3, keys[i].name))
			return keys[i].key;
	assert(false);
	return SIM_KEY_NONE;
}

/* The read is sent, unless there is no connection. The caller sets the callback. NULL: the process has ended. */
static struct zkh_op *read_key(struct zkh_session *session, const char *path, bool watch,
			       void *userdata, struct zkh_op **ret_op)
{
	struct sim_node *n = node_of(session);
	struct sim_request *r;
	struct zkh_op *op;

	if (n->daemon != DAEMON_UP)
		return NULL;
	op = op_create(n, userdata, ret_op);
	if (!is_sent(n, op))
		return op;
	r = request_create(world, n, REQUEST_READ, FOR_CALL);
	r->holder = -1;
	r->of = 0;
	r->key = (uint8_t)key_of(path, &r->of);
	r->parts = 0;
	if (watch)
		r->parts = r->key == SIM_KEY_CLUSTER ? PART_CLUSTER : PART_KEEPALIVE;
	send(n, op, r);
	return op;
}

int zkh_get(struct zkh_session *session, const char *path, bool watch, zkh_get_fn fn,
	    void *userdata, struct zkh_op **ret_op)
{
	struct zkh_op *op = read_key(session, path, watch, userdata, ret_op);

	if (!op)
		return ZKH_FAILED;
	op->on_get = fn;
	return 0;
}

int zkh_exists(struct zkh_session *session, const char *path, bool watch, zkh_exists_fn fn,
	       void *userdata, struct zkh_op **ret_op)
{
	struct zkh_op *op = read_key(session, path, watch, userdata, ret_op);

	if (!op)
		return ZKH_FAILED;
	op->on_exists = fn;
	return 0;
}

int zkh_children(struct zkh_session *session, const char *path, bool watch, zkh_children_fn fn,
		 void *userdata, struct zkh_op **ret_op)
{
	struct zkh_op *op = read_key(session, path, watch, userdata, ret_op);

	if (!op)
		return ZKH_FAILED;
	op->on_children = fn;
	return 0;
}

/* What makes /cluster makes it, too; here it is only a round trip. */
int zkh_make_root(struct zkh_session *session, zkh_done_fn fn, void *userdata,
		  struct zkh_op **ret_op)
{
	struct zkh_op *op = read_key(session, PATH_NODES, false, userdata, ret_op);

	if (!op)
		return ZKH_FAILED;
	op->on_done = fn;
	return 0;
}

/* What a server says of a key. */
void zkh_answer(const struct sim *w, const struct sim_tree *t, struct sim_request *r)
{
	struct sim_sight *s = &r->sight;
	bool other = r->of != r->node;

	(void)w;
	*s = (struct sim_sight){ .there = t->there[r->of] };
	if (r->key == SIM_KEY_NODES) {
		for (int i = 0; i < NODES_MAX; i++)
			s->names |= (uint16_t)(t->there[i] ? 1u << i : 0);
		s->there = s->names != 0;
	} else if (r->key == SIM_KEY_CLUSTER) {
		s->there = t->cluster_czxid != 0;
		s->czxid = t->cluster_czxid;
		s->id = t->cluster_id;
		s->generation = t->cluster_generation;
	} else if (r->key == SIM_KEY_PRIMARY) {
		s->there = t->key != NAMED_MISSING;
		s->mzxid = t->key_mzxid;
	} else if (r->key == SIM_KEY_ROUTER) {
		s->there = t->router[r->of] != 0;
		s->denied = other && t->refused[r->of] & REFUSE_LOOK;
		s->router = t->router[r->of];
		s->version = t->router_version[r->of];
	} else if (r->key == SIM_KEY_ALIVE) {
		s->there = t->alive[r->of] != 0;
		s->session = t->alive[r->of];
		s->machine = t->alive_machine[r->of];
		s->boot = t->alive_boot[r->of];
	} else if (r->key == SIM_KEY_DRAIN) {
		s->there = t->drained[r->of];
	} else if (r->key == SIM_KEY_KEEPALIVE) {
		s->keepalive = t->keepalive[r->of];
		s->there = s->keepalive.there;
		s->denied = other && t->refused[r->of] & REFUSE_WATCH;
		s->version = s->keepalive.version;
		s->mzxid = s->keepalive.mzxid;
	}
}

/* -- timers -- */

static struct sim_timer *timer_of(struct sim_node *n, const ev_timer *timer)
{
	for (int i = 0; i < TIMERS_MAX; i++)
		if (!n->timers[i].timer || n->timers[i].timer == timer)
			return &n->timers[i];
	abort();
}

/* The loop is the node. */
void ev_timer_start(struct ev_loop *loop, ev_timer *timer)
{
	struct sim_node *n = (struct sim_node *)loop;
	struct sim_timer *slot = timer_of(n, timer);

	slot->timer = timer;
	timer->active = 1;
	sim_schedule(world, world->now + (int64_t)(timer->at * 1e6), EVENT_LIBEV, n->id,
		     ++slot->gen, (uint32_t)(slot - n->timers));
}

void ev_timer_stop(struct ev_loop *loop, ev_timer *timer)
{
	timer_of((struct sim_node *)loop, timer)->gen++;
	timer->active = 0;
}

void zkh_on_timer(struct sim_node *n, const struct queue_event *ev)
{
	struct sim_timer *slot = &n->timers[ev->arg];

	if (ev->gen != slot->gen || n->daemon != DAEMON_UP)
		return;
	slot->timer->active = 0;
	slot->timer->cb((struct ev_loop *)n, slot->timer, EV_TIMER);
}

/* -- mirrors: of the own keepalive, and of /cluster -- */

#define MIRROR_PAUSE_US SEC

static struct sim_keeper *keeper_of(const struct zkh_mirror *mirror)
{
	struct sim_node *n = node_of(mirror->watch.session);

	return &n->mirrors[mirror->flags & ZKH_MIRROR_SYNCED ? 1 : 0];
}

static void on_mirror_read(void *userdata, int result, const char *data, size_t length,
			   const struct zkh_stat *stat)
{
	struct zkh_mirror *mirror = userdata;
	struct sim_keeper *keeper = keeper_of(mirror);
	struct sim_node *n = node_of(mirror->watch.session);
	int refused = result == ZKH_OK || result == ZKH_NO_NODE ? ZKH_OK : result;
	bool is_news = !refused || refused != mirror->refused;

	mirror->op = NULL;
	if (zkh_is_unanswered(result))
		return; /* it is read again when attached */
	mirror->current = true;
	mirror->refused = refused;
	if (refused)
		sim_schedule(world, world->now + MIRROR_PAUSE_US, EVENT_MIRROR, n->id,
			     ++keeper->gen, (uint32_t)(keeper - n->mirrors));
	if (is_news)
		mirror->fn(mirror->userdata, result, data, length, stat);
}

static void send_sync(struct sim_node *n)
{
	struct sim_request *r = request_create(world, n, REQUEST_SYNC, FOR_NOTHING);

	r->parts = 0;
	r->holder = -1;
	n->synced = n->client.conn;
	request_send(world, r);
}

static void read_mirror(struct zkh_mirror *mirror)
{
	struct zkh_session *session = mirror->watch.session;
	struct sim_node *n = node_of(session);

	mirror->current = false;
	zkh_op_cancel(mirror->op);
	mirror->op = NULL;
	if (n->client.link != LINK_ATTACHED)
		return;
	if (mirror->flags & ZKH_MIRROR_SYNCED && n->synced != n->client.conn)
		send_sync(n);
	(void)zkh_get(session, mirror->watch.path, true, on_mirror_read, mirror, &mirror->op);
}

int zkh_mirror_open(struct zkh_mirror *mirror, struct zkh_session *session, const char *path,
		    unsigned flags, zkh_mirror_fn fn, void *userdata)
{
	struct sim_keeper *keeper;

	assert(!zkh_mirror_is_open(mirror));
	*mirror = (struct zkh_mirror){
		.fn = fn, .userdata = userdata, .flags = flags, .watch = { .session = session }
	};
	keeper = keeper_of(mirror);
	snprintf(keeper->path, sizeof(keeper->path), "%s", path);
	keeper->mirror = mirror;
	keeper->gen++;
	mirror->watch.path = keeper->path;
	read_mirror(mirror);
	return 0;
}

void zkh_mirror_close(struct zkh_mirror *mirror)
{
	if (!zkh_mirror_is_open(mirror))
		return;
	zkh_op_cancel(mirror->op);
	keeper_of(mirror)->mirror = NULL;
	memset(mirror, 0, sizeof(*mirror));
}

bool zkh_mirror_is_open(const struct zkh_mirror *mirror)
{
	return mirror->fn;
}

bool zkh_mirror_is_current(const struct zkh_mirror *mirror)
{
	return mirror->current;
}

void zkh_attached(struct sim_node *n)
{
	current = n->id;
	for (int i = 0; i < MIRRORS_MAX; i++)
		if (n->mirrors[i].mirror)
			read_mirror(n->mirrors[i].mirror);
}

static void fire(const struct sim_keeper *keeper)
{
	struct zkh_mirror *mirror = keeper->mirror;

	if (!mirror || mirror->op)
		return;
	read_mirror(mirror);
	mirror->fn(mirror->userdata, ZKH_UNKNOWN, NULL, 0, NULL);
}

void zkh_fire(struct sim_node *n, uint16_t parts)
{
	current = n->id;
	if (parts & PART_KEEPALIVE)
		fire(&n->mirrors[0]);
	if (parts & PART_CLUSTER)
		fire(&n->mirrors[1]);
}

void zkh_on_mirror(struct sim_node *n, const struct queue_event *ev)
{
	struct sim_keeper *keeper = &n->mirrors[ev->arg];

	if (ev->gen == keeper->gen && n->daemon == DAEMON_UP && keeper->mirror &&
	    keeper->mirror->refused)
		read_mirror(keeper->mirror);
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

/* The last digits of it. */
static int32_t cluster_id(const char *text)
{
	return (int32_t)strtol(text + IDENTITY_ID_SIZE - 1 - 7, NULL, 16);
}

/* The first key that is set, or made, is what it is about. */
static void take_text(struct zkh_txn *txn, const char *path, const char *text)
{
	int8_t of = -1;
	/* A node's key, or its parents. */
	bool below = !strncmp(path, PATH_NODES, sizeof(PATH_NODES) - 1);
	bool parent = below && strlen(path) < sizeof(PATH_NODES) + 2;
	enum sim_key key = parent ? SIM_KEY_NONE : key_of(path, &of);

	if (key == SIM_KEY_KEEPALIVE && !value_keepalive(text, strlen(text), &txn->keepalive))
		abort();
	if (key == SIM_KEY_ROUTER) {
		txn->kind = KIND_MARK;
		txn->of = of;
	} else if (key == SIM_KEY_CLUSTER) {
		struct identity_seen seen;

		identity_parse_value(text, strlen(text), &seen);
		txn->kind = KIND_MAKE;
		txn->id = cluster_id(seen.id);
		txn->generation = seen.generation;
	}
}

void zkh_txn_set_text(struct zkh_txn *txn, const char *path, const char *text, int32_t version)
{
	take_text(txn, path, text);
	if (txn->sets++ == 0)
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

static void fill_renewal(const struct sim_node *n, const struct zkh_txn *from, struct sim_txn *to)
{
	to->type = TXN_RENEW;
	to->epoch_version = sim_mutated(world, MUTATION_RENEW_EPOCH) ? UNCHECKED
								     : from->epoch_version;
	to->version = sim_mutated(world, MUTATION_RENEW_VERSION) ? ANY_VERSION : from->version;
	to->makes = from->makes;
	fill_keepalive(n, from, to);
}

/* A renewal, the mark of a node that died, or /cluster. */
int zkh_commit(struct zkh_txn *txn, zkh_commit_fn fn, void *userdata, struct zkh_op **ret_op)
{
	struct sim_node *n = &world->nodes[txn->node];
	struct zkh_op *op = op_create(n, userdata, ret_op);
	bool read = txn->kind == KIND_RENEWAL && sim_mutated(world, MUTATION_RENEW_BY_READ);
	struct sim_request *r;

	txn->in_use = false;
	op->on_commit = fn;
	if (!is_sent(n, op))
		return 0;
	r = request_create(world, n, read ? REQUEST_READ : REQUEST_TXN, FOR_CALL);
	r->parts = 0;
	r->holder = -1;
	r->key = SIM_KEY_NONE;
	r->of = 0;
	if (txn->kind == KIND_RENEWAL) {
		fill_renewal(n, txn, &r->txn);
	} else if (txn->kind == KIND_MAKE) {
		r->txn.type = TXN_MAKE;
		r->txn.id = txn->id;
		r->txn.generation = txn->generation;
	} else {
		r->txn.type = TXN_MARK;
		r->txn.node = txn->of;
		r->txn.version = txn->version;
	}
	send(n, op, r);
	return 0;
}

/* -- answers -- */

/* The operations of a renewal are the post, /epoch, the keepalive. A mark fails at its first. */
static int commit_result(uint8_t type, uint8_t result, size_t *ret_failed)
{
	*ret_failed = type != TXN_RENEW ? 0 : result == TXN_CONFLICT ? 1 : 2;
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

static bool is_blind(const struct sim *w, const struct sim_node *n)
{
	return w->now < n->blind_until && n->blind & PART_CLUSTER;
}

void zkh_reply(struct sim *w, const struct sim_request *r)
{
	struct zkh_op *op = &w->ops[r->call];
	int result;

	if (!op->order || op->order != r->call_order)
		return; /* called off */
	if (op->on_done)
		result = ZKH_OK;
	else if (r->key == SIM_KEY_CLUSTER && is_blind(w, &w->nodes[r->node]))
		result = ZKH_DENIED;
	else if (!op->on_commit)
		result = r->sight.denied ? ZKH_DENIED : r->sight.there ? ZKH_OK : ZKH_NO_NODE;
	else
		result = commit_result(r->txn.type, r->result, &op->failed);
	op_end(op, result, r);
}
