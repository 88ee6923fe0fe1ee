/* SPDX-License-Identifier: Apache-2.0 */
#include "tree.h"

#include <string.h>

void tree_init(struct sim_tree *t)
{
	memset(t, 0, sizeof(*t));
	t->key = NAMED_MISSING;
	t->post = -1;
	t->epoch_version = ANY_VERSION;
	t->epoch_owner = OWNER_UNKNOWN;
}

bool tree_has(const struct sim_tree *t, int bit)
{
	int node = bit % 8;

	if (bit < BIT_ALIVE)
		return bit == BIT_KEY	    ? t->key != NAMED_MISSING
		       : bit == BIT_POST    ? t->post >= 0
		       : bit == BIT_EPOCH   ? t->epoch_version != ANY_VERSION
		       : bit == BIT_CLUSTER ? t->cluster_czxid != 0
					    : t->maintenance;
	if (node >= NODES_MAX || bit >= BIT_PARDON)
		return false;
	return bit < BIT_DRAIN	     ? t->alive[node] != 0
	       : bit < BIT_KEEPALIVE ? t->drained[node]
				     : t->keepalive[node].there;
}

int tree_find_lock(const struct sim_tree *t, int32_t uid, int32_t *ret_before)
{
	int found = -1, before = -1;

	for (int i = 0; i < t->lock_count; i++)
		if (t->locks[i].uid == uid)
			found = i;
	*ret_before = 0;
	if (found < 0)
		return -1;
	for (int i = 0; i < t->lock_count; i++)
		if (t->locks[i].sequence < t->locks[found].sequence &&
		    (before < 0 || t->locks[i].sequence > t->locks[before].sequence))
			before = i;
	if (before >= 0)
		*ret_before = t->locks[before].uid;
	return found;
}

static void remove_lock(struct sim_tree *t, int at, uint64_t *changed)
{
	t->locks[at] = t->locks[--t->lock_count];
	*changed |= CHANGED_LOCKS;
}

static void remove_locks_of(struct sim_tree *t, int32_t session, uint64_t *changed)
{
	for (int i = t->lock_count - 1; i >= 0; i--)
		if (t->locks[i].session == session)
			remove_lock(t, i, changed);
}

static enum txn_result remove_lock_uid(struct sim_tree *t, int32_t uid, uint64_t *changed)
{
	int32_t before;
	int at = tree_find_lock(t, uid, &before);

	if (at < 0)
		return TXN_CONFLICT;
	remove_lock(t, at, changed);
	return TXN_OK;
}

static enum txn_result set_key(struct sim_tree *t, int8_t value, int32_t version, uint64_t *changed)
{
	if (t->key == NAMED_MISSING || (version >= 0 && version != t->key_version))
		return TXN_CONFLICT;
	t->key = value;
	t->key_version++;
	t->key_mzxid = t->zxid;
	*changed |= CHANGED_KEY;
	return TXN_OK;
}

static enum txn_result create_key(struct sim_tree *t, int8_t value, uint64_t *changed)
{
	if (t->rootless)
		return TXN_MISSING;
	if (t->key != NAMED_MISSING)
		return TXN_CONFLICT;
	t->key = value;
	t->key_version = 0;
	t->key_czxid = t->key_mzxid = t->zxid;
	t->lock_sequence = 0;
	*changed |= CHANGED_KEY;
	return TXN_OK;
}

static enum txn_result delete_key(struct sim_tree *t, uint64_t *changed)
{
	if (t->key == NAMED_MISSING)
		return TXN_CONFLICT;
	t->key = NAMED_MISSING;
	t->lock_count = 0;
	*changed |= CHANGED_KEY | CHANGED_LOCKS;
	return TXN_OK;
}

static bool refuses(const struct sim_tree *t, const struct sim_txn *txn, int what)
{
	return t->refused[txn->node] & what;
}

static void delete_node(struct sim_tree *t, int node, uint64_t *changed)
{
	if (t->alive[node])
		*changed |= CHANGED_ALIVE(node);
	if (t->drained[node])
		*changed |= CHANGED_DRAIN(node);
	if (t->keepalive[node].there)
		*changed |= CHANGED_KEEPALIVE(node);
	t->alive[node] = 0;
	t->drained[node] = 0;
	t->router[node] = 0;
	t->router_version[node] = 0;
	t->there[node] = t->rest[node] = 0;
	t->keepalive[node] = (struct tree_keepalive){ .there = 0 };
}

static enum txn_result delete_epoch(struct sim_tree *t, uint64_t *changed)
{
	if (t->epoch_version == ANY_VERSION)
		return TXN_CONFLICT;
	t->epoch = 0;
	t->epoch_owner = OWNER_UNKNOWN;
	t->epoch_version = ANY_VERSION;
	*changed |= CHANGED_EPOCH;
	return TXN_OK;
}

/* Its version as the view read it; ANY_VERSION: it was missing. */
static bool epoch_holds(const struct sim_tree *t, const struct sim_txn *txn)
{
	return txn->epoch_version == UNCHECKED || txn->epoch_version == t->epoch_version;
}

static void set_epoch(struct sim_tree *t, int64_t epoch, int8_t owner, uint64_t *changed)
{
	t->epoch = epoch;
	t->epoch_owner = owner;
	t->epoch_version++;
	*changed |= CHANGED_EPOCH;
}

static void set_keepalive(struct sim_tree *t, const struct sim_txn *txn, uint64_t *changed)
{
	struct tree_keepalive *k = &t->keepalive[txn->node];

	k->version = k->there ? k->version + 1 : 0;
	k->there = 1;
	k->nonce = txn->nonce;
	k->counter = txn->counter;
	k->lease_us = txn->lease_us;
	k->machine = txn->machine;
	k->boot = txn->boot;
	k->mzxid = t->zxid;
	*changed |= CHANGED_KEEPALIVE(txn->node);
}

static void delete_root(struct sim_tree *t, uint64_t *changed)
{
	for (int i = 0; i < NODES_MAX; i++)
		delete_node(t, i, changed);
	(void)delete_key(t, changed);
	if (t->post >= 0)
		*changed |= CHANGED_POST;
	t->post = -1;
	if (t->maintenance)
		*changed |= CHANGED_MAINT;
	t->maintenance = 0;
	(void)delete_epoch(t, changed);
	if (t->cluster_czxid)
		*changed |= CHANGED_CLUSTER;
	t->cluster_czxid = 0;
	t->rootless = 1;
}

static void set_router(struct sim_tree *t, int node, char router)
{
	t->router[node] = router;
	t->router_version[node]++;
}

static enum txn_result claim(struct sim_tree *t, const struct sim_txn *txn, uint64_t *changed)
{
	int32_t before;
	int at = tree_find_lock(t, txn->uid, &before);

	if (refuses(t, txn, REFUSE_KEY))
		return TXN_REFUSED;
	if (at < 0 || t->key == NAMED_MISSING)
		return TXN_CONFLICT;
	if (txn->version >= 0 && txn->version != t->key_version)
		return TXN_CONFLICT;
	if (refuses(t, txn, REFUSE_NOTE))
		return TXN_REFUSED_NOTE;
	(void)set_key(t, txn->node, txn->version, changed);
	remove_lock(t, at, changed);
	return TXN_OK;
}

static enum txn_result enter(struct sim_tree *t, const struct sim_txn *txn, uint64_t *changed)
{
	if (t->post >= 0 || t->key == NAMED_MISSING)
		return TXN_CONFLICT;
	if ((txn->version >= 0 && txn->version != t->key_version) || !epoch_holds(t, txn) ||
	    t->rootless)
		return TXN_CONFLICT;
	if (refuses(t, txn, REFUSE_POST))
		return TXN_REFUSED;
	if (!t->router[txn->node] || !t->keepalive[txn->node].there)
		return TXN_MISSING;
	if (refuses(t, txn, REFUSE_OWN | REFUSE_RENEW))
		return TXN_REFUSED_OWN;
	t->post = txn->node;
	t->post_session = txn->session;
	t->post_epoch = txn->epoch;
	set_epoch(t, txn->epoch, txn->node, changed);
	set_keepalive(t, txn, changed);
	set_router(t, txn->node, 't');
	*changed |= CHANGED_POST;
	return TXN_OK;
}

/* What own_key_write() makes fits what is there. */
static bool can_make(const struct sim_tree *t, int node, int makes, bool is_there)
{
	if (makes > 1)
		return makes == 2 && !t->there[node] && !t->rootless;
	return makes ? t->there[node] && !is_there : is_there;
}

/* If not: what is missing is not made by it, rather than there already. */
static bool lacks(const struct sim_tree *t, int node, int makes, bool is_there)
{
	if (makes > 1)
		return t->rootless;
	return makes ? !t->there[node] : !is_there;
}

static enum txn_result leave(struct sim_tree *t, const struct sim_txn *txn, uint64_t *changed)
{
	bool is_there = t->router[txn->node];

	if (!epoch_holds(t, txn) || (txn->value == LEAVE_DELETE && t->post < 0))
		return TXN_CONFLICT;
	if (txn->value == LEAVE_DELETE && refuses(t, txn, REFUSE_LEAVE))
		return TXN_REFUSED_POST;
	if (lacks(t, txn->node, txn->makes, is_there))
		return TXN_MISSING;
	if (!can_make(t, txn->node, txn->makes, is_there))
		return TXN_CONFLICT;
	if (refuses(t, txn, REFUSE_OWN))
		return txn->value == LEAVE_DELETE ? TXN_REFUSED_POST : TXN_REFUSED_OWN;
	if (txn->value == LEAVE_DELETE) {
		t->post = -1;
		*changed |= CHANGED_POST;
		if (txn->epoch)
			set_epoch(t, txn->epoch, txn->owner, changed);
	}
	t->there[txn->node] = 1;
	set_router(t, txn->node, 's');
	return TXN_OK;
}

/* Of anybody's post: the servers cannot check whose it is. */
static enum txn_result renew(struct sim_tree *t, const struct sim_txn *txn, uint64_t *changed)
{
	const struct tree_keepalive *k = &t->keepalive[txn->node];

	if (t->post < 0 || !epoch_holds(t, txn))
		return TXN_CONFLICT;
	if (lacks(t, txn->node, txn->makes, k->there))
		return TXN_KEEP_MISSING;
	if (!can_make(t, txn->node, txn->makes, k->there))
		return TXN_KEEP_MOVED;
	if (!txn->makes && txn->version != ANY_VERSION && k->version != txn->version)
		return TXN_KEEP_MOVED;
	if (refuses(t, txn, REFUSE_OWN | REFUSE_RENEW))
		return TXN_REFUSED_OWN;
	t->there[txn->node] = 1;
	set_keepalive(t, txn, changed);
	return TXN_OK;
}

static enum txn_result publish(struct sim_tree *t, const struct sim_txn *txn)
{
	if (!epoch_holds(t, txn))
		return TXN_CONFLICT;
	if (!t->router[txn->node])
		return TXN_MISSING;
	if (refuses(t, txn, REFUSE_OWN))
		return TXN_REFUSED_OWN;
	set_router(t, txn->node, txn->router);
	return TXN_OK;
}

/* Only whether it may be written counts. */
static enum txn_result write_rest(const struct sim_tree *t, const struct sim_txn *txn)
{
	if (!t->rest[txn->node])
		return TXN_MISSING;
	return refuses(t, txn, REFUSE_OWN) ? TXN_REFUSED_OWN : TXN_OK;
}

static enum txn_result add_lock(struct sim_tree *t, const struct sim_txn *txn)
{
	if (refuses(t, txn, REFUSE_LOCK))
		return TXN_REFUSED;
	if (t->key == NAMED_MISSING || t->lock_count == LOCKS_MAX)
		return TXN_CONFLICT;
	t->locks[t->lock_count++] = (struct tree_lock){
		.uid = txn->uid,
		.session = txn->session,
		.sequence = t->lock_sequence++,
	};
	return TXN_OK;
}

uint8_t tree_own(const struct sim_tree *t, int node)
{
	return (uint8_t)((t->there[node] ? OWN_NODE : 0) | (t->rest[node] ? OWN_REST : 0) |
			 (t->router[node] ? OWN_ROUTER : 0) |
			 (t->keepalive[node].there ? OWN_KEEPALIVE : 0) |
			 (t->alive[node] ? OWN_ALIVE : 0));
}

/* What is created is missing, and what is set is there. */
static bool fits(const struct sim_tree *t, const struct sim_txn *txn)
{
	uint8_t own = tree_own(t, txn->node);

	return !t->rootless && (own | txn->creates) & OWN_NODE && !(own & txn->creates) &&
	       (own & txn->sets) == txn->sets;
}

static enum txn_result register_node(struct sim_tree *t, const struct sim_txn *txn,
				     uint64_t *changed)
{
	int node = txn->node;

	if (!fits(t, txn) || (txn->epoch && !epoch_holds(t, txn)))
		return TXN_CONFLICT;
	if (refuses(t, txn, REFUSE_OWN))
		return TXN_REFUSED_OWN;
	t->there[node] = t->rest[node] = 1;
	/* One that is there keeps its session. */
	if (txn->creates & OWN_ALIVE) {
		t->alive_zxid[node] = t->zxid;
		t->alive[node] = txn->session;
	}
	*changed |= CHANGED_ALIVE(node);
	t->alive_machine[node] = txn->machine;
	t->alive_boot[node] = txn->boot;
	set_router(t, node, txn->router);
	if (txn->creates & OWN_KEEPALIVE) {
		t->keepalive[node] = (struct tree_keepalive){ .there = 1, .mzxid = t->zxid };
		*changed |= CHANGED_KEEPALIVE(node);
	}
	if (txn->epoch)
		set_epoch(t, txn->epoch, txn->owner, changed);
	return TXN_OK;
}

/* All that a coordinator needs; what others may do with its keys is theirs. */
static enum txn_result try_rights(const struct sim_tree *t, const struct sim_txn *txn)
{
	return refuses(t, txn, REFUSE_ALL & ~(REFUSE_MARK | REFUSE_LOOK | REFUSE_WATCH))
		       ? TXN_REFUSED
		       : TXN_OK;
}

static enum txn_result close_session(struct sim_tree *t, int32_t session, uint64_t *changed)
{
	for (int i = 0; i < NODES_MAX; i++) {
		if (t->alive[i] != session)
			continue;
		t->alive[i] = 0;
		*changed |= CHANGED_ALIVE(i);
	}
	if (t->post >= 0 && t->post_session == session) {
		t->post = -1;
		*changed |= CHANGED_POST;
	}
	remove_locks_of(t, session, changed);
	return TXN_OK;
}

static enum txn_result delete_post(struct sim_tree *t, uint64_t *changed)
{
	if (t->post < 0)
		return TXN_CONFLICT;
	t->post = -1;
	*changed |= CHANGED_POST;
	return TXN_OK;
}

static enum txn_result mark(struct sim_tree *t, const struct sim_txn *txn)
{
	if (!t->router[txn->node])
		return TXN_OK; /* nothing to be marked */
	if (txn->version != ANY_VERSION && t->router_version[txn->node] != txn->version)
		return TXN_CONFLICT;
	if (refuses(t, txn, REFUSE_MARK))
		return TXN_REFUSED;
	set_router(t, txn->node, 's');
	return TXN_OK;
}

static void set_cluster(struct sim_tree *t, const struct sim_txn *txn, uint64_t *changed)
{
	if (!t->cluster_czxid)
		t->cluster_czxid = t->zxid;
	t->cluster_id = txn->id;
	t->cluster_generation = txn->generation;
	*changed |= CHANGED_CLUSTER;
}

static enum txn_result make_cluster(struct sim_tree *t, const struct sim_txn *txn,
				    uint64_t *changed)
{
	if (refuses(t, txn, REFUSE_POST))
		return TXN_REFUSED;
	if (t->cluster_czxid || t->rootless)
		return TXN_CONFLICT;
	set_cluster(t, txn, changed);
	return TXN_OK;
}

/* What operators do. */
static enum txn_result operate(struct sim_tree *t, const struct sim_txn *txn, uint64_t *changed)
{
	switch ((int)txn->type) {
	case TXN_DELETE_ALIVE:
		if (t->alive[txn->node])
			*changed |= CHANGED_ALIVE(txn->node);
		t->alive[txn->node] = 0;
		break;
	case TXN_DELETE_NODE:
		delete_node(t, txn->node, changed);
		break;
	case TXN_DELETE_ROOT:
		delete_root(t, changed);
		break;
	case TXN_REFUSE:
		t->refused[txn->node] = (uint16_t)txn->version;
		break;
	case TXN_DELETE_KEEPALIVE:
		if (t->keepalive[txn->node].there)
			*changed |= CHANGED_KEEPALIVE(txn->node);
		t->keepalive[txn->node] = (struct tree_keepalive){ .there = 0 };
		break;
	case TXN_ACCEPT:
		t->rootless = 0;
		set_cluster(t, txn, changed);
		break;
	default:
		return TXN_CONFLICT;
	}
	return TXN_OK;
}

static enum txn_result apply(struct sim_tree *t, const struct sim_txn *txn, uint64_t *changed)
{
	switch ((enum txn_type)txn->type) {
	case TXN_NOP:
		return TXN_OK;
	case TXN_REGISTER:
		return register_node(t, txn, changed);
	case TXN_ROOT:
		t->rootless = 0;
		return TXN_OK;
	case TXN_RIGHTS:
		return try_rights(t, txn);
	case TXN_MAKE:
		return make_cluster(t, txn, changed);
	case TXN_CREATE_KEY:
		if (refuses(t, txn, REFUSE_POST))
			return TXN_REFUSED;
		return create_key(t, txn->value, changed);
	case TXN_SET_KEY:
		if (txn->session && refuses(t, txn, REFUSE_KEY))
			return TXN_REFUSED;
		return set_key(t, txn->value, txn->version, changed);
	case TXN_CLAIM:
		return claim(t, txn, changed);
	case TXN_ENTER:
		return enter(t, txn, changed);
	case TXN_LEAVE:
		return leave(t, txn, changed);
	case TXN_RENEW:
		return renew(t, txn, changed);
	case TXN_DELETE_EPOCH:
		return delete_epoch(t, changed);
	case TXN_ROUTER:
		return publish(t, txn);
	case TXN_REST:
		return write_rest(t, txn);
	case TXN_LOCK:
		return add_lock(t, txn);
	case TXN_UNLOCK:
		return remove_lock_uid(t, txn->uid, changed);
	case TXN_MARK:
		return mark(t, txn);
	case TXN_CLOSE:
		return close_session(t, txn->session, changed);
	case TXN_DELETE_KEY:
		return delete_key(t, changed);
	case TXN_DELETE_POST:
		return delete_post(t, changed);
	case TXN_DRAIN:
		if (!t->there[txn->node])
			return TXN_CONFLICT;
		t->drained[txn->node] = txn->value != 0;
		*changed |= CHANGED_DRAIN(txn->node);
		return TXN_OK;
	case TXN_MAINTENANCE:
		t->maintenance = txn->value != 0;
		*changed |= CHANGED_MAINT;
		return TXN_OK;
	case TXN_DELETE_ALIVE:
	case TXN_DELETE_NODE:
	case TXN_DELETE_ROOT:
	case TXN_DELETE_KEEPALIVE:
	case TXN_ACCEPT:
	case TXN_REFUSE:
		return operate(t, txn, changed);
	}
	return TXN_CONFLICT;
}

enum txn_result tree_apply(struct sim_tree *t, const struct sim_txn *txn, int64_t zxid,
			   uint64_t *ret_changed)
{
	*ret_changed = 0;
	t->zxid = zxid;
	return apply(t, txn, ret_changed);
}
