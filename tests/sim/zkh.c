/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The ZooKeeper module's headers, as far as what is linked of the daemon uses them, over the simulated client: here the
 * session, the operations, and reads of single keys. Every call is answered exactly once, in the order of the calls, with
 * ZKH_UNKNOWN if the connection is lost; or never, after zkh_op_cancel() or the end of the process.
 */

#include "zkh_internal.h"

#include <assert.h>
#include <ev.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/timer.h"
#include "zk/mirror/zkh_mirror.h"

ssize_t sim_getrandom(void *buffer, size_t size, unsigned flags);

static struct zkh_session sessions[NODES_MAX];
struct sim *zkh_world;
static int current; /* whose clock it is */

void zkh_begin(struct sim *w)
{
	zkh_world = w;
	zkh_txn_begin();
	process_begin();
	for (int i = 0; i < NODES_MAX; i++)
		sessions[i].node = i;
}

void zkh_enter(struct sim_node *n)
{
	current = n->id;
}

struct sim_node *zkh_current(void)
{
	return &zkh_world->nodes[current];
}

struct sim_node *zkh_node_of(const struct zkh_session *session)
{
	return &zkh_world->nodes[session->node];
}

int64_t time_boot_us(void)
{
	return clock_local(zkh_world, &zkh_world->nodes[current]);
}

/* Nothing that is simulated asks for the time of day. */
int64_t time_wall_us(void)
{
	return time_boot_us();
}

/* -- the session -- */

int zkh_session_create(struct ev_loop *loop, const struct zkh_session_config *config,
		       struct zkh_session **ret_session)
{
	struct sim_node *n = node_of(loop);

	n->on_session = config->on_event;
	n->session_userdata = config->userdata;
	n->client.session = config->resume ? (int32_t)config->resume->id : 0;
	*ret_session = &sessions[n->id];
	return 0;
}

/* The locks and mirrors end with it. */
struct zkh_session *zkh_session_destroy(struct zkh_session *session)
{
	if (session)
		zkh_hooks_end(zkh_node_of(session));
	return NULL;
}

const char *zkh_session_event_text(enum zkh_session_event event)
{
	static const char *const texts[] = {
#define X(name, text) text,
		ZKH_SESSION_EVENTS(X)
#undef X
	};

	return texts[event];
}

static void report(struct sim_node *n, enum zkh_session_event event, bool fresh)
{
	const struct zkh_session_report report = {
		.event = event,
		.fresh = fresh,
		.timeout_ms = (int32_t)(n->client.timeout / MS),
		.detail = "",
	};

	zkh_enter(n);
	n->on_session(n->session_userdata, &report);
}

const char *zkh_session_server(const struct zkh_session *session)
{
	return "a server";
}

bool zkh_session_client_id(const struct zkh_session *session, struct zkh_client_id *ret_id)
{
	*ret_id = (struct zkh_client_id){ .id = zkh_session_id(session) };
	return ret_id->id;
}

bool zkh_session_connected(const struct zkh_session *session)
{
	const struct sim_node *n = zkh_node_of(session);

	return n->daemon == DAEMON_UP && client_connected(n);
}

int64_t zkh_session_id(const struct zkh_session *session)
{
	return zkh_node_of(session)->client.session;
}

int32_t zkh_session_timeout_ms(const struct zkh_session *session)
{
	return (int32_t)(zkh_node_of(session)->client.timeout / MS);
}

int64_t zkh_session_zxid(const struct zkh_session *session)
{
	return zkh_node_of(session)->client.last_zxid;
}

void zkh_session_cut(struct zkh_session *session)
{
	struct sim_node *n = zkh_node_of(session);

	sim_schedule(zkh_world, zkh_world->now, EVENT_CLOSED, n->id, n->client.conn, CLOSED_HERE);
}

/* From the loop. */
void zkh_session_renew(struct zkh_session *session)
{
	struct sim_node *n = zkh_node_of(session);

	n->client.leaving = 1;
	sim_schedule(zkh_world, zkh_world->now, EVENT_RENEW, n->id, n->incarnation,
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
	uint32_t drawn = (uint32_t)++zkh_world->ids;
	unsigned char *bytes = buffer;

	memset(bytes, 0, size);
	for (size_t i = 0; i < sizeof(drawn) && i < size; i++)
		bytes[size - 1 - i] = (unsigned char)(drawn >> (8 * i));
	return (ssize_t)size;
}

/* -- names -- */

const char *node_name(int node)
{
	static const char *const names[] = { "a", "b", "c", "d", "e", "f", "g", "h" };

	static_assert(NAMED_STRANGER == sizeof(names) / sizeof(names[0]) - 1, "the last");

	return names[node];
}

int node_of_name(const char *name)
{
	return name[0] - 'a';
}

void zkh_machine_text(int32_t machine, char *ret, size_t size)
{
	snprintf(ret, size, "%032" PRIx32, (uint32_t)machine);
}

void zkh_format_cluster(int32_t id, int64_t generation, char *ret_text)
{
	char text[IDENTITY_ID_SIZE];

	zkh_machine_text(id, text, sizeof(text));
	identity_format_value(text, generation, IDENTITY_FORMAT, ret_text);
}

/* -- operations -- */

struct zkh_op *zkh_op_create(struct sim_node *n, const struct zkh_op *call, struct zkh_op **ret_op)
{
	for (int i = 0; i < OPS_MAX; i++) {
		struct zkh_op *op = &zkh_world->ops[i];

		if (op->order)
			continue;
		*op = *call;
		op->order = ++zkh_world->op_order;
		op->node = (int8_t)n->id;
		if (ret_op)
			*ret_op = op;
		return op;
	}
	sim_fail(zkh_world, "simulator: too many operations under way");
	return NULL;
}

void zkh_op_cancel(struct zkh_op *op)
{
	if (!op)
		return;
	if (op->order && op->node != current)
		sim_fail(zkh_world, "node %d cancels an operation that is over", current);
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
	/* All processes are this one: a session that a process has left behind counts as its own until it expires. */
	struct alive alive = { .session = s->session, .pid = getpid() };

	zkh_machine_text(s->machine, alive.machine, sizeof(alive.machine));
	zkh_machine_text(s->boot, alive.boot, sizeof(alive.boot));
	alive_format(&alive, ret_text, size);
}

/* In the primary key, or in /epoch. */
static const char *name_text(int8_t name)
{
	static_assert(NAMED_NONE == OWNER_UNKNOWN && NAMED_JUNK == OWNER_NOBODY, "one text each");
	return name >= 0 ? node_name(name) : name == NAMED_NONE ? NAME_NONE : NAME_NOBODY;
}

int8_t owner_of_name(const char *name)
{
	if (!*name)
		return OWNER_UNKNOWN;
	return strcmp(name, NAME_NOBODY) ? (int8_t)node_of_name(name) : OWNER_NOBODY;
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
	else if (r->key == SIM_KEY_PRIMARY)
		snprintf(ret_text, size, "%s", name_text(s->name));
	else if (r->key == SIM_KEY_POST)
		snprintf(ret_text, size, "%s %" PRId64, name_text(s->name), s->epoch);
	else if (r->key == SIM_KEY_EPOCH)
		snprintf(ret_text, size, "%" PRId64 " %s", s->epoch, name_text(s->name));
	else if (r->key == SIM_KEY_MAINTENANCE)
		snprintf(ret_text, size, "true");
	else if (r->key == SIM_KEY_ALIVE)
		format_alive(s, ret_text, size);
}

static size_t own_names(unsigned own, const char *ret_names[NODE_KEY_COUNT])
{
	static const struct {
		const char *name;
		unsigned bit;
	} keys[] = {
		{ "daemonmode", OWN_REST },	{ "daemonstate", OWN_REST },
		{ "health", OWN_REST },		{ "routerstate", OWN_ROUTER },
		{ "keepalive", OWN_KEEPALIVE }, { "alive", OWN_ALIVE },
	};
	size_t count = 0;

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (own & keys[i].bit)
			ret_names[count++] = keys[i].name;
	return count;
}

static void end_locks(const struct zkh_op *op, int result, const struct sim_request *r,
		      const struct zkh_stat *stat)
{
	char texts[LOCKS_MAX][KEY_PATH_SIZE]; /* of this call: it may be stopped within */
	const char *names[LOCKS_MAX];

	for (int i = 0; i < r->lock_count; i++) {
		zkh_lock_text(r->locks[i].uid, r->locks[i].sequence, texts[i]);
		names[i] = texts[i];
	}
	op->on_children(op->userdata, result, names, (size_t)r->lock_count, stat);
}

static void end_children(const struct zkh_op *op, int result, const struct sim_request *r,
			 const struct zkh_stat *stat)
{
	const char *names[NODES_MAX + NODE_KEY_COUNT] = { NULL };
	size_t count = 0;

	if (r && r->key == SIM_KEY_LOCKS) {
		end_locks(op, result, r, stat);
		return;
	}
	if (r && r->key == SIM_KEY_NODE)
		count = own_names(r->sight.names, names);
	for (int i = 0; r && r->key == SIM_KEY_NODES && i < NODES_MAX; i++)
		if (r->sight.names & 1u << i)
			names[count++] = node_name(i);
	op->on_children(op->userdata, result, names, count, stat);
}

/* What it says of the keys is what the server told. */
static void op_end(struct zkh_op *op, int result, const struct sim_request *r)
{
	static const struct zkh_stat untold = { .ephemeral_owner = 1,
						.version = ZKH_ANY_VERSION,
						.children = 1 };
	struct zkh_op ended = *op;
	const struct sim_sight *s = r ? &r->sight : NULL;
	struct zkh_stat stats = { .version = s ? s->version : 0,
				  .czxid = s ? s->czxid : 0,
				  .mzxid = s ? s->mzxid : 0,
				  .ephemeral_owner = s ? s->session : 0 };
	const struct zkh_stat *stat = result == ZKH_OK ? &stats : NULL;
	const char *created[REPLY_STATS] = { NULL };
	struct zkh_stat of_txn[REPLY_STATS];
	struct zkh_txn_reply reply = { .failed_path = r ? zkh_failed_path(r) : "",
				       .count = 1, /* for those who look at all of them */
				       .failed = r ? ended.failed : 0,
				       .stats = of_txn,
				       .created_paths = created };
	char text[KEY_VALUE_MAX] = "";

	op->order = 0;
	current = ended.node;
	if (ended.on_get) {
		if (result == ZKH_OK)
			format_value(r, &zkh_world->nodes[r->of], text, sizeof(text));
		ended.on_get(ended.userdata, result, text, strlen(text), stat);
	} else if (ended.on_exists) {
		ended.on_exists(ended.userdata, result, result == ZKH_DENIED ? &untold : stat);
	} else if (ended.on_done) {
		ended.on_done(ended.userdata, result);
	} else if (ended.on_children) {
		end_children(&ended, result, r, stat);
	} else {
		if (r)
			zkh_fill_stats(r, of_txn, created);
		ended.on_commit(ended.userdata, result, &reply);
	}
}

/* The oldest of a node that was sent, of those up to that one; NULL: there is none. */
static struct zkh_op *next_sent(const struct sim_node *n, int64_t up_to)
{
	struct zkh_op *oldest = NULL;

	for (int i = 0; i < OPS_MAX; i++) {
		struct zkh_op *op = &zkh_world->ops[i];

		if (op->order && op->order <= up_to && op->sent && op->node == (int8_t)n->id &&
		    (!oldest || op->order < oldest->order))
			oldest = op;
	}
	return oldest;
}

void zkh_detached(struct sim_node *n)
{
	int64_t up_to =
		zkh_world->op_order; /* what is called meanwhile is answered from the loop */
	struct zkh_op *op;

	while ((op = next_sent(n, up_to)))
		op_end(op, ZKH_UNKNOWN, NULL);
	zkh_hooks_detached(n);
	report(n, ZKH_DISCONNECTED, false);
}

void zkh_attached(struct sim_node *n, bool fresh)
{
	zkh_hooks_attached(n);
	report(n, ZKH_CONNECTED, fresh);
}

void zkh_expired(struct sim_node *n)
{
	zkh_hooks_expired(n);
	report(n, ZKH_EXPIRED, false);
}

void zkh_drop(struct sim_node *n)
{
	for (int i = 0; i < OPS_MAX; i++)
		if (zkh_world->ops[i].node == (int8_t)n->id)
			zkh_world->ops[i].order = 0;
	zkh_hooks_end(n);
	n->holds = 0;
	for (int i = 0; i < TIMERS_MAX; i++) {
		n->timers[i].gen++;
		n->timers[i].timer = NULL;
	}
	memset(n->alarms, 0, sizeof(n->alarms));
	zkh_txn_drop(n);
}

/* Not connected: that is told from the loop. */
void zkh_on_call(struct sim *w, struct sim_node *n, const struct queue_event *ev)
{
	struct zkh_op *op = &w->ops[ev->arg];

	if (n->daemon == DAEMON_UP && op->order && (uint32_t)op->order == ev->gen)
		op_end(op, ZKH_NOT_CONNECTED, NULL);
}

void zkh_send(struct zkh_op *op, struct sim_request *r)
{
	op->sent = true;
	r->call = (int16_t)(op - zkh_world->ops);
	r->call_order = op->order;
	request_send(zkh_world, r);
}

bool zkh_is_sent(struct sim_node *n, const struct zkh_op *op)
{
	if (client_connected(n))
		return true;
	sim_schedule(zkh_world, zkh_world->now, EVENT_CALL, n->id, (uint32_t)op->order,
		     (uint32_t)(op - zkh_world->ops));
	return false;
}

/* -- reads -- */

static const struct key {
	const char *name; /* those of a node are below /nodes/NAME */
	enum sim_key key;
	int8_t bit; /* of its changes, of the first node's; -1: nobody watches it */
} keys[] = {
	{ PATH_EPOCH, SIM_KEY_EPOCH, BIT_EPOCH },
	{ PATH_PRIMARY, SIM_KEY_PRIMARY, BIT_KEY },
	{ PATH_POST, SIM_KEY_POST, BIT_POST },
	{ PATH_MAINTENANCE, SIM_KEY_MAINTENANCE, BIT_MAINT },
	{ PATH_CLUSTER, SIM_KEY_CLUSTER, BIT_CLUSTER },
	{ "/", SIM_KEY_ROOT, -1 },
	{ PATH_HISTORY, SIM_KEY_HISTORY, -1 },
	{ PATH_NODES, SIM_KEY_NODES, -1 },
	{ "keepalive", SIM_KEY_KEEPALIVE, BIT_KEEPALIVE },
	{ "alive", SIM_KEY_ALIVE, BIT_ALIVE },
	{ "drain", SIM_KEY_DRAIN, BIT_DRAIN },
	{ "pardon", SIM_KEY_PARDON, BIT_PARDON },
	{ "routerstate", SIM_KEY_ROUTER, -1 },
	{ "daemonmode", SIM_KEY_MODE, -1 },
	{ "daemonstate", SIM_KEY_STATE, -1 },
	{ "health", SIM_KEY_HEALTH, -1 },
	{ "detail", SIM_KEY_DETAIL, -1 },
};

static const struct key *key_of(const char *path, int8_t *ret_of)
{
	static const struct key names = { "", SIM_KEY_NODE, -1 }, lock = { "", SIM_KEY_LOCK, -1 };
	const char *node = path + sizeof(PATH_NODES);
	bool below = !strncmp(path, PATH_NODES "/", sizeof(PATH_NODES));
	const char *name = below ? zkh_path_name(path) : path;
	const struct key *key = keys;

	*ret_of = (int8_t)(below ? node_of_name(node) : 0);
	if (below && !strchr(node, '/'))
		return &names;
	if (zkh_lock_uid(path))
		return &lock;
	while (strcmp(name, key->name) != 0) {
		key++;
		assert(key < keys + sizeof(keys) / sizeof(keys[0]));
	}
	return key;
}

enum sim_key zkh_key_of(const char *path, int8_t *ret_of)
{
	return key_of(path, ret_of)->key;
}

int zkh_bit_of(const char *path)
{
	int8_t of;
	const struct key *key = key_of(path, &of);

	return key->bit < 0 ? -1 : key->bit + of;
}

/* Servers from 3.9 on do not tell of a change to a key that may not be read. */
bool zkh_is_told(const struct sim *w, const struct sim_node *n, int bit)
{
	const struct key *watched = NULL;

	if (!w->params.hides_stat || !n->blind_denied || w->now >= n->blind_until)
		return true;
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (keys[i].bit >= 0 && keys[i].bit <= bit &&
		    (!watched || keys[i].bit > watched->bit))
			watched = &keys[i];
	return !watched || !(n->blind & 1u << watched->key);
}

/* The read is sent, unless there is no connection. Fails when the process has ended. */
static int read_key(struct zkh_session *session, const char *path, bool watch,
		    const struct zkh_op *call, struct zkh_op **ret_op)
{
	struct sim_node *n = zkh_node_of(session);
	struct sim_request *r;
	struct zkh_op *op;

	if (n->daemon != DAEMON_UP)
		return ZKH_FAILED;
	process_stop_point(n);
	op = zkh_op_create(n, call, ret_op);
	if (!zkh_is_sent(n, op))
		return 0;
	r = request_create(zkh_world, n, REQUEST_READ, FOR_CALL);
	r->key = (uint8_t)key_of(path, &r->of)->key;
	r->bit = (int8_t)zkh_bit_of(path);
	if (call->on_children && r->key == SIM_KEY_PRIMARY) {
		r->key = SIM_KEY_LOCKS;
		r->bit = -1;
	}
	r->txn.uid = zkh_lock_uid(path);
	/* Only the predecessor is looked at with a watch before the lock is held. */
	if (watch && r->txn.uid && process_waits_for_lock(n) && !n->lock_placed)
		n->lock_placed = zkh_world->now;
	r->watch = watch;
	r->exists = call->on_exists;
	zkh_send(op, r);
	return 0;
}

int zkh_get(struct zkh_session *session, const char *path, bool watch, zkh_get_fn fn,
	    void *userdata, struct zkh_op **ret_op)
{
	const struct zkh_op call = { .on_get = fn, .userdata = userdata };

	return read_key(session, path, watch, &call, ret_op);
}

int zkh_exists(struct zkh_session *session, const char *path, bool watch, zkh_exists_fn fn,
	       void *userdata, struct zkh_op **ret_op)
{
	const struct zkh_op call = { .on_exists = fn, .userdata = userdata };

	return read_key(session, path, watch, &call, ret_op);
}

int zkh_children(struct zkh_session *session, const char *path, bool watch, zkh_children_fn fn,
		 void *userdata, struct zkh_op **ret_op)
{
	const struct zkh_op call = { .on_children = fn, .userdata = userdata };

	return read_key(session, path, watch, &call, ret_op);
}

int zkh_send_plain(struct zkh_session *session, uint8_t type, uint8_t txn_type,
		   const struct zkh_op *call, struct zkh_op **ret_op)
{
	struct sim_node *n = zkh_node_of(session);
	struct sim_request *r;
	struct zkh_op *op;

	if (n->daemon != DAEMON_UP)
		return ZKH_FAILED;
	process_stop_point(n);
	op = zkh_op_create(n, call, ret_op);
	if (!zkh_is_sent(n, op))
		return 0;
	r = request_create(zkh_world, n, type, FOR_CALL);
	r->txn.type = txn_type;
	zkh_send(op, r);
	return 0;
}

int zkh_sync(struct zkh_session *session, zkh_done_fn fn, void *userdata, struct zkh_op **ret_op)
{
	const struct zkh_op call = { .on_done = fn, .userdata = userdata };

	return zkh_send_plain(session, REQUEST_SYNC, TXN_NOP, &call, ret_op);
}

/* Of LOCK and LOCKS. */
static void see_locks(const struct sim_tree *t, struct sim_request *r)
{
	int32_t before;
	int at = tree_find_lock(t, r->txn.uid, &before);

	r->lock_count = 0;
	if (r->key == SIM_KEY_LOCK) {
		r->sight.there = at >= 0;
		r->sight.session = at >= 0 ? t->locks[at].session : 0;
		return;
	}
	r->sight.there = t->key != NAMED_MISSING;
	r->lock_count = t->lock_count;
	memcpy(r->locks, t->locks, (size_t)t->lock_count * sizeof(r->locks[0]));
}

static void see_top(const struct sim_tree *t, enum sim_key key, struct sim_sight *s)
{
	if (key == SIM_KEY_NODES) {
		for (int i = 0; i < NODES_MAX; i++)
			s->names |= (uint16_t)(t->there[i] ? 1u << i : 0);
		s->there = !t->rootless;
	} else if (key == SIM_KEY_ROOT || key == SIM_KEY_HISTORY) {
		s->there = !t->rootless; /* which holds them */
	} else if (key == SIM_KEY_CLUSTER) {
		s->czxid = t->cluster_czxid;
		s->id = t->cluster_id;
		s->generation = t->cluster_generation;
	} else if (key == SIM_KEY_PRIMARY) {
		s->name = t->key;
		s->version = t->key_version;
		s->mzxid = t->key_mzxid;
	} else if (key == SIM_KEY_POST) {
		s->name = t->post;
		s->epoch = t->post_epoch;
		s->session = t->post_session;
	} else if (key == SIM_KEY_EPOCH) {
		s->name = t->epoch_owner;
		s->epoch = t->epoch;
		s->version = t->epoch_version;
	}
}

static void see_node(const struct sim_tree *t, const struct sim_request *r, struct sim_sight *s)
{
	bool other = r->of != r->node;

	if (r->key == SIM_KEY_NODE) {
		s->names = tree_own(t, r->of);
	} else if (r->key == SIM_KEY_ROUTER) {
		s->there = t->router[r->of] != 0;
		s->denied = other && t->refused[r->of] & REFUSE_LOOK;
		s->router = t->router[r->of];
		s->version = t->router_version[r->of];
	} else if (r->key == SIM_KEY_ALIVE) {
		s->session = t->alive[r->of];
		s->machine = t->alive_machine[r->of];
		s->boot = t->alive_boot[r->of];
	} else if (r->key == SIM_KEY_KEEPALIVE) {
		s->keepalive = t->keepalive[r->of];
		s->denied = other && t->refused[r->of] & REFUSE_WATCH;
		s->version = s->keepalive.version;
		s->mzxid = s->keepalive.mzxid;
	}
}

/* A key may be refused to a node, or cannot be read. Servers before 3.9 tell everybody whether it is there. */
static int result_of(struct sim *w, const struct sim_request *r)
{
	const struct sim_node *n = &w->nodes[r->node];
	unsigned key = r->key == SIM_KEY_LOCKS ? SIM_KEY_PRIMARY : r->key;
	/* Whoever asks others who is preferred is not to be misled: the oracle goes by it. */
	bool others = !r->watch && r->of != r->node &&
		      (r->key == SIM_KEY_ALIVE || r->key == SIM_KEY_DRAIN ||
		       r->key == SIM_KEY_ROUTER);
	bool blind = w->now < n->blind_until && n->blind & 1u << key && !others;

	w->stats.faults[FAULT_BLIND] += blind;
	if (blind && !n->blind_denied)
		return ZKH_FAILED;
	if (!r->sight.there)
		return ZKH_NO_NODE;
	if (!blind && !r->sight.denied)
		return ZKH_OK;
	return r->exists && !w->params.hides_stat ? ZKH_OK : ZKH_DENIED;
}

/* A read that fails leaves no watch, unless it asks whether the key is there, and it is not. */
uint64_t zkh_answer(struct sim *w, const struct sim_tree *t, struct sim_request *r)
{
	struct sim_sight *s = &r->sight;

	*s = (struct sim_sight){ .there = r->of < NODES_MAX && t->there[r->of] };
	see_top(t, (enum sim_key)r->key, s);
	if (r->of < NODES_MAX)
		see_node(t, r, s);
	if (r->bit >= 0)
		s->there = tree_has(t, r->bit);
	if (r->key == SIM_KEY_LOCK || r->key == SIM_KEY_LOCKS)
		see_locks(t, r);
	s->result = (uint8_t)result_of(w, r);
	if (!r->watch || (s->result != ZKH_OK && !(s->result == ZKH_NO_NODE && r->exists)))
		return 0;
	return r->key == SIM_KEY_LOCK ? CHANGED_LOCKS : CHANGED(r->bit);
}

/* -- timers -- */

/* NULL: it is not armed. */
static struct sim_timer *timer_of(struct sim_node *n, const ev_timer *timer)
{
	for (int i = 0; i < TIMERS_MAX; i++)
		if (n->timers[i].timer == timer)
			return &n->timers[i];
	return NULL;
}

/* The loop is the node. */
void ev_timer_start(struct ev_loop *loop, ev_timer *timer)
{
	struct sim_node *n = node_of(loop);
	struct sim_timer *slot = timer_of(n, timer);

	if (!slot)
		slot = timer_of(n, NULL);
	if (!slot)
		abort();
	slot->timer = timer;
	timer->active = 1;
	sim_schedule(zkh_world, zkh_world->now + (int64_t)(timer->at * 1e6), EVENT_LIBEV, n->id,
		     ++slot->gen, (uint32_t)(slot - n->timers));
}

static void disarm(struct sim_timer *slot)
{
	slot->gen++;
	slot->timer->active = 0;
	slot->timer = NULL;
}

void ev_timer_again(struct ev_loop *loop, ev_timer *timer)
{
	ev_timer_stop(loop, timer);
	timer->at = timer->repeat;
	if (timer->repeat > 0)
		ev_timer_start(loop, timer);
}

void ev_timer_stop(struct ev_loop *loop, ev_timer *timer)
{
	struct sim_timer *slot = timer_of(node_of(loop), timer);

	if (slot)
		disarm(slot);
}

/* Of the end of a maintenance: here they have none. */
void ev_periodic_start(struct ev_loop *loop, ev_periodic *periodic)
{
	abort();
}

void ev_periodic_stop(struct ev_loop *loop, ev_periodic *periodic)
{
}

/* Of the status page. */
void ev_check_start(struct ev_loop *loop, ev_check *check)
{
	check->active = 1;
}

void ev_check_stop(struct ev_loop *loop, ev_check *check)
{
	check->active = 0;
}

void ev_ref(struct ev_loop *loop)
{
}

void ev_unref(struct ev_loop *loop)
{
}

void ev_now_update(struct ev_loop *loop)
{
}

void zkh_on_timer(struct sim *w, struct sim_node *n, const struct queue_event *ev)
{
	struct sim_timer *slot = &n->timers[ev->arg];
	struct ev_timer *timer;

	if (ev->gen != slot->gen || n->daemon != DAEMON_UP)
		return;
	timer = slot->timer;
	disarm(slot);
	current = n->id;
	if (timer->repeat > 0) {
		timer->at = timer->repeat;
		ev_timer_start((struct ev_loop *)n, timer);
	}
	timer->cb((struct ev_loop *)n, timer, EV_TIMER);
}

/* -- answers -- */

void zkh_reply(struct sim *w, const struct sim_request *r)
{
	struct zkh_op *op = &w->ops[r->call];
	int result;

	if (!op->order || op->order != r->call_order)
		return; /* called off */
	if (op->on_done)
		result = ZKH_OK;
	else if (!op->on_commit)
		result = r->sight.result;
	else
		result = zkh_commit_result(r, &op->failed);
	op_end(op, result, r);
}
