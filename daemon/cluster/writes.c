/* SPDX-License-Identifier: Apache-2.0 */
#include "writes.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/timer.h"
#include "fault.h"
#include "own_key.h"

void writes_init(struct writes *writes, struct view *view, struct term *term, const char *name)
{
	*writes = (struct writes){ .view = view, .term = term, .name = name };
}

void writes_finish(struct writes *writes)
{
	zkh_op_cancel(writes->op);
	zkh_op_cancel(writes->publication);
	zkh_op_cancel(writes->record);
	zkh_op_cancel(writes->farewell);
	writes->op = writes->publication = writes->record = writes->farewell = NULL;
}

static enum election_result translate(int result)
{
	switch (result) {
	case ZKH_OK:
		return RESULT_OK;
	case ZKH_UNKNOWN:
	case ZKH_NOT_CONNECTED:
		return RESULT_UNKNOWN;
	case ZKH_NO_NODE:
	case ZKH_NODE_EXISTS:
	case ZKH_CONFLICT:
	case ZKH_NOT_EMPTY:
		return RESULT_CONFLICT;
	default:
		return RESULT_FAILED;
	}
}

static void begin_entry(struct writes *writes)
{
	struct history_entry *entry = &writes->entry;
	const struct view *view = writes->view;

	*entry = history_entry_empty();
	(void)wall_utc(wall_now_ms(), entry->time);
	(void)snprintf(entry->to, sizeof(entry->to), "%s", writes->name);
	/* Named until it died; or it has named nobody, and acts until its successor has claimed. */
	(void)snprintf(entry->from, sizeof(entry->from), "%s",
		       *view->holder ? view->holder : view->primary);
	writes->left_epoch = *view->holder ? 0 : view->epoch;
	if (*view->holder)
		(void)snprintf(entry->reason, sizeof(entry->reason), "%s died or was cut off",
			       view->holder);
	else
		(void)snprintf(entry->reason, sizeof(entry->reason), "%s", writes->reason);
}

static void router_path(const struct writes *writes, char *path)
{
	node_key_path(writes->name, NODE_KEY_ROUTER, path);
}

/* -- the transactions -- */

static void build_claim(struct writes *writes, struct zkh_txn *txn)
{
	char text[HISTORY_ENTRY_SIZE];

	begin_entry(writes);
	zkh_txn_set_text(txn, PATH_PRIMARY, writes->name, writes->version);
	/* The words come from our own tables and checked names: they need no escapes, and there is room. */
	(void)history_entry_format(&writes->entry, text, sizeof(text));
	zkh_txn_create_text(txn, HISTORY_PREFIX, text, ZKH_CREATE_SEQUENCE);
	zkh_txn_delete(txn, writes->lock_path, ZKH_ANY_VERSION);
}

/* At the version that was read, or made where it was missing: one of two who do so at once fails. */
static void set_epoch(struct writes *writes, struct zkh_txn *txn, int64_t epoch, const char *owner)
{
	const struct view *view = writes->view;
	char text[NAME_SIZE + 24];

	snprintf(text, sizeof(text), "%" PRId64 " %s", epoch, *owner ? owner : NAME_NONE);
	if (view->top_version < 0)
		zkh_txn_create_text(txn, PATH_EPOCH, text, ZKH_PERSISTENT);
	else
		zkh_txn_set_text(txn, PATH_EPOCH, text, view->top_version);
	writes->epoch_version = view->top_version + 1;
}

/* The operations of a takeover whose stats are of use, in their order. */
enum { ENTER_EPOCH = 1, ENTER_KEEPALIVE = 4 };

static void build_enter(struct writes *writes, struct zkh_txn *txn)
{
	char path[KEY_PATH_SIZE], post[NAME_SIZE + 24];

	snprintf(post, sizeof(post), "%s %" PRId64, writes->name, writes->epoch);
	router_path(writes, path);
	zkh_txn_check(txn, PATH_PRIMARY, writes->version);
	set_epoch(writes, txn, writes->epoch, writes->name);
	zkh_txn_create_text(txn, PATH_POST, post, ZKH_CREATE_EPHEMERAL);
	zkh_txn_set_text(txn, path, "takeover", ZKH_ANY_VERSION);
	term_open(writes->term, txn, writes->session_us, writes->owes, writes->epoch_version,
		  time_boot_us());
}

/*
 * The post that is deleted must be ours still: nobody can have taken it without moving /epoch, which was read no later than
 * the post. Who comes next reads there whom to wait for. (Where it is missing it is made again, so that a takeover in between
 * makes this fail, too.)
 */
static void delete_post(struct writes *writes, struct zkh_txn *txn)
{
	const struct view *view = writes->view;

	writes->sets_epoch = view->top_version < 0 || !strcmp(view->top_owner, writes->name);
	if (writes->sets_epoch)
		set_epoch(writes, txn, view->memory_epoch, writes->leaves);
	else
		zkh_txn_check(txn, PATH_EPOCH, view->top_version);
	zkh_txn_delete(txn, PATH_POST, ZKH_ANY_VERSION);
}

/*
 * A router state that comes late must not stand over what a takeover since has written, be it that this node is dead. (An
 * epoch that cannot be read is no reason not to tell it.)
 */
static void check_epoch(const struct writes *writes, struct zkh_txn *txn)
{
	struct election_view now;

	view_election(writes->view, &now);
	if (now.epoch_known && writes->view->top_version >= 0)
		zkh_txn_check(txn, PATH_EPOCH, writes->view->top_version);
}

/* Good to know, no more: what failed once is tried without it. */
static void write_detail(const struct writes *writes, struct zkh_txn *txn)
{
	char path[KEY_PATH_SIZE];

	if (!*writes->detail)
		return;
	node_key_path(writes->name, NODE_KEY_DETAIL, path);
	zkh_txn_set_text(txn, path, writes->detail, ZKH_ANY_VERSION);
}

static void build_leave(struct writes *writes, struct zkh_txn *txn)
{
	struct election_view now;

	view_election(writes->view, &now);
	writes->deletes_post = now.post == POST_MINE;
	if (writes->deletes_post)
		delete_post(writes, txn);
	else
		check_epoch(writes, txn);
	own_key_write(txn, writes->name, NODE_KEY_ROUTER, "secondary", ZKH_ANY_VERSION,
		      writes->makes);
	if (!writes->leave_failed)
		write_detail(writes, txn);
}

static struct zkh_txn *build(struct writes *writes)
{
	struct zkh_txn *txn = zkh_txn_create(writes->session);

	if (!txn)
		return NULL;
	switch (writes->doing) {
	case OP_CLAIM:
		build_claim(writes, txn);
		break;
	case OP_ENTER:
		build_enter(writes, txn);
		break;
	case OP_LEAVE:
		build_leave(writes, txn);
		break;
	case OP_HAND_BACK:
		zkh_txn_set_text(txn, PATH_PRIMARY, NAME_NONE, writes->version);
		if (!writes->detail_refused)
			write_detail(writes, txn);
		break;
	case OP_RECLAIM:
		zkh_txn_set_text(txn, PATH_PRIMARY, writes->name, writes->version);
		break;
	case OP_CREATE_KEY:
		zkh_txn_create_text(txn, PATH_PRIMARY, NAME_NONE, ZKH_PERSISTENT);
		break;
	case OP_NONE:
	case OP_REGISTER:
	case OP_COUNT:
		assert(false);
	}
	return txn;
}

/* -- why the role was given up, and when: for the history -- */

/* The detail of a primary that has handed the role back ends with `left=EPOCH reason=TEXT`. */
static void on_farewell(void *userdata, int result, const char *data, size_t length,
			const struct zkh_stat *stat)
{
	struct writes *writes = userdata;
	struct history_entry *entry = &writes->entry;
	char text[KEY_VALUE_MAX], *left, *why;

	writes->farewell = NULL;
	if (result != ZKH_OK || !value_text(data, length, text, sizeof(text)))
		return;
	left = strstr(text, DETAIL_LEFT);
	why = left ? strstr(left, DETAIL_REASON) : NULL;
	if (!why || strtoll(left + strlen(DETAIL_LEFT), NULL, 10) != writes->left_epoch)
		(void)snprintf(entry->reason, sizeof(entry->reason), "released by an operator");
	else if (!strpbrk(why, "\"\\")) /* the entry takes no escapes */
		(void)snprintf(entry->reason, sizeof(entry->reason), "%s handed over: %.60s",
			       entry->from, why + strlen(DETAIL_REASON));
}

/* That of a primary that has released the post has `stop=` and how long the stop took. */
static void on_stop_told(void *userdata, int result, const char *data, size_t length,
			 const struct zkh_stat *stat)
{
	struct writes *writes = userdata;
	struct node_detail detail;

	writes->farewell = NULL;
	if (result != ZKH_OK)
		return;
	detail_parse(data, length, &detail);
	if (detail.stop_us)
		writes->entry.stop_us = detail.stop_us;
}

/* A primary that died tells by its keepalive when it was last heard of. */
static void on_keepalive(void *userdata, int result, const char *data, size_t length,
			 const struct zkh_stat *stat)
{
	struct writes *writes = userdata;
	struct keepalive last;

	writes->farewell = NULL;
	if (result != ZKH_OK || !value_keepalive(data, length, &last) ||
	    stat->mtime_ms > writes->claimed_ms)
		return;
	writes->entry.silent_us = (writes->claimed_ms - stat->mtime_ms) * 1000;
	writes->entry.lease_us = last.lease_us;
}

static void ask(struct writes *writes, const char *path, zkh_get_fn fn)
{
	zkh_op_cancel(writes->farewell);
	writes->farewell = NULL;
	(void)zkh_get(writes->session, path, false, fn, writes, &writes->farewell);
}

/* While this node waits for the post: the entry is written again when its work runs. */
static void ask_why(struct writes *writes)
{
	char path[KEY_PATH_SIZE];

	if (!*writes->entry.from)
		return;
	if (writes->left_epoch)
		node_key_path(writes->entry.from, NODE_KEY_DETAIL, path);
	else
		node_key_path(writes->entry.from, NODE_KEY_KEEPALIVE, path);
	ask(writes, path, writes->left_epoch ? on_farewell : on_keepalive);
}

/* Once the post is released. */
static void ask_how_long(struct writes *writes)
{
	char path[KEY_PATH_SIZE];

	if (!*writes->history_path || !*writes->entry.from || !writes->left_epoch)
		return;
	node_key_path(writes->entry.from, NODE_KEY_DETAIL, path);
	ask(writes, path, on_stop_told);
}

/* What the committed transaction made known, before anybody else reads it. */
static int64_t committed(struct writes *writes, const struct zkh_txn_reply *reply)
{
	const struct zkh_stat *first = &reply->stats[0];

	switch (writes->doing) {
	case OP_CLAIM:
		writes->claimed_ms = first->mtime_ms;
		ask_why(writes);
		snprintf(writes->history_path, sizeof(writes->history_path), "%s",
			 reply->created_paths[1] ? reply->created_paths[1] : "");
		view_key_written(writes->view, writes->name, first);
		return first->mzxid;
	case OP_RECLAIM:
		view_key_written(writes->view, writes->name, first);
		return first->mzxid;
	case OP_HAND_BACK:
		view_key_written(writes->view, NAME_NONE, first);
		return first->mzxid;
	case OP_ENTER:
		ask_how_long(writes);
		strcpy(writes->published, "takeover");
		view_epoch_written(writes->view, writes->epoch, writes->name,
				   reply->stats[ENTER_EPOCH].version);
		view_post_written(writes->view, true, writes->epoch);
		term_opened(writes->term, reply->stats[ENTER_EPOCH].version,
			    reply->stats[ENTER_KEEPALIVE].version);
		return 0;
	case OP_LEAVE:
		strcpy(writes->published, "secondary");
		writes->post_session = 0;
		if (!writes->deletes_post)
			return 0;
		view_post_written(writes->view, false, 0);
		if (writes->sets_epoch)
			view_epoch_written(writes->view, writes->view->memory_epoch, writes->leaves,
					   first->version);
		return 0;
	case OP_CREATE_KEY:
	case OP_NONE:
	case OP_REGISTER:
	case OP_COUNT:
		break;
	}
	return 0;
}

static bool is_own_key(const struct writes *writes, const char *path)
{
	char own[KEY_PATH_SIZE];

	snprintf(own, sizeof(own), PATH_NODES "/%s", writes->name);
	return zkh_path_is_below(path, own);
}

static void note_leave(struct writes *writes, int result, const char *path)
{
	bool missing = result == ZKH_NO_NODE && is_own_key(writes, path);

	writes->leave_failed = result != ZKH_OK;
	writes->makes = missing ? writes->makes % OWN_KEY_MAKES_MAX + 1 : 0;
}

static void on_commit(void *userdata, int result, const struct zkh_txn_reply *reply)
{
	struct writes *writes = userdata;
	enum election_op op = writes->doing;
	const char *path = result != ZKH_OK && reply ? reply->failed_path : "";
	enum election_result outcome;
	int64_t zxid = 0;

	fault_point(election_op_text((uint8_t)op), "after");
	writes->op = NULL;
	outcome = translate(result);
	if (op == OP_LEAVE)
		note_leave(writes, result, path);
	if (op == OP_HAND_BACK)
		writes->detail_refused = result != ZKH_OK;
	if (outcome == RESULT_UNKNOWN)
		writes_unpublish(writes); /* it may have written the router state, too */
	if (outcome == RESULT_OK)
		zxid = committed(writes, reply);
	writes->doing = OP_NONE;
	if (result == ZKH_NO_NODE &&
	    (is_own_key(writes, path) || zkh_path_is_below(path, PATH_HISTORY)))
		writes->on_missing(writes->userdata, path);
	else if (outcome == RESULT_FAILED)
		writes->on_refused(writes->userdata, op, result, path);
	writes->on_done(writes->userdata, op, outcome, zxid);
}

void writes_do(struct writes *writes, enum election_op op, int32_t version, int64_t epoch,
	       int64_t session_us, const char *lock_path, const char *reason)
{
	struct zkh_txn *txn;
	int r;

	assert(writes->doing == OP_NONE);
	writes->doing = op;
	writes->version = version;
	writes->epoch = epoch;
	writes->session_us = session_us;
	snprintf(writes->lock_path, sizeof(writes->lock_path), "%s", lock_path ? lock_path : "");
	snprintf(writes->reason, sizeof(writes->reason), "%s", reason);
	if (op == OP_ENTER)
		writes->post_session = zkh_session_id(writes->session);
	fault_point(election_op_text((uint8_t)op), "before");
	txn = build(writes);
	r = txn ? zkh_commit(txn, on_commit, writes, &writes->op) : ZKH_FAILED;
	if (r == 0)
		return;
	writes->doing = OP_NONE;
	writes->on_refused(writes->userdata, op, r > 0 ? r : ZKH_FAILED, "");
	writes->on_done(writes->userdata, op, RESULT_FAILED, 0);
}

/* -- for others to read -- */

static void on_published(void *userdata, int result, const struct zkh_txn_reply *reply)
{
	struct writes *writes = userdata;

	writes->publication = NULL;
	if (result == ZKH_NO_NODE)
		writes->on_missing(writes->userdata, reply->failed_path);
	else if (translate(result) == RESULT_FAILED)
		writes->on_stale(writes->userdata);
	if (result != ZKH_OK)
		writes->published[0] = '\0';
}

bool writes_leave_session(struct writes *writes, const struct election *election)
{
	if (!writes->post_session || writes->post_session != zkh_session_id(writes->session) ||
	    !view_is_refused(writes->view) || !election_is_at_rest(election))
		return false;
	writes->post_session = 0;
	return true;
}

void writes_publish(struct writes *writes, const char *router_state)
{
	struct zkh_txn *txn;
	char path[KEY_PATH_SIZE];

	if (!*router_state || !strcmp(router_state, writes->published))
		return;
	/* Its version goes along, unless it cannot be read. */
	if (view_epoch_is_awaited(writes->view))
		return;
	/* These set it themselves; a write sent behind them would stand over theirs. */
	if (writes->doing == OP_ENTER || writes->doing == OP_LEAVE)
		return;
	txn = zkh_txn_create(writes->session);
	if (!txn)
		return;
	router_path(writes, path);
	check_epoch(writes, txn);
	zkh_txn_set_text(txn, path, router_state, ZKH_ANY_VERSION);
	zkh_op_cancel(writes->publication);
	writes->publication = NULL;
	if (zkh_commit(txn, on_published, writes, &writes->publication) == 0)
		snprintf(writes->published, sizeof(writes->published), "%s", router_state);
}

void writes_unpublish(struct writes *writes)
{
	writes->published[0] = '\0';
}

void writes_registered(struct writes *writes, const char *router_state)
{
	/* Something else was written meanwhile: which one came last is not known. */
	if (*writes->published && strcmp(writes->published, router_state) != 0)
		writes_unpublish(writes);
	else
		snprintf(writes->published, sizeof(writes->published), "%s", router_state);
}

static void on_recorded(void *userdata, int result, const struct zkh_txn_reply *reply)
{
	struct writes *writes = userdata;

	(void)result; /* the entry is there; only its duration is missing then */
	writes->record = NULL;
}

void writes_record_takeover(struct writes *writes, int64_t duration_us, int64_t post_us,
			    int64_t start_us)
{
	char text[HISTORY_ENTRY_SIZE];
	struct zkh_txn *txn;

	if (!*writes->history_path)
		return;
	txn = zkh_txn_create(writes->session);
	if (!txn)
		return;
	writes->entry.takeover_us = duration_us;
	writes->entry.post_us = post_us;
	writes->entry.start_us = start_us;
	(void)history_entry_format(&writes->entry, text, sizeof(text));
	zkh_txn_set_text(txn, writes->history_path, text, 0);
	writes->history_path[0] = '\0';
	zkh_op_cancel(writes->record);
	writes->record = NULL;
	zkh_commit(txn, on_recorded, writes, &writes->record);
}
