/* SPDX-License-Identifier: Apache-2.0 */
#include "writes.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "fault.h"
#include "timer.h"

void writes_init(struct writes *writes, struct view *view, const char *name)
{
	*writes = (struct writes){ .view = view, .name = name };
}

void writes_finish(struct writes *writes)
{
	zkh_op_cancel(writes->op);
	zkh_op_cancel(writes->renewal);
	zkh_op_cancel(writes->publication);
	zkh_op_cancel(writes->record);
	writes->op = writes->renewal = writes->publication = writes->record = NULL;
}

/* Missing keys are being made again; so often is that waited for. A release is urgent, and tried in long intervals. */
#define MISSING_MAX 20
#define MISSING_LEAVE_MAX 2

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

static void utc_now(char *text, size_t size)
{
	int64_t us = time_wall_us();
	time_t seconds = (time_t)(us / 1000000);
	struct tm tm;
	size_t n;

	gmtime_r(&seconds, &tm);
	n = strftime(text, size, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(text + n, size - n, ".%03dZ", (int)(us / 1000 % 1000));
}

/* One line of JSON; the words come from our own tables and checked names. */
static void history_text(struct writes *writes)
{
	char now[40];

	utc_now(now, sizeof(now));
	snprintf(writes->history, sizeof(writes->history),
		 "{\"time\":\"%s\",\"to\":\"%s\",\"from\":\"%s\",\"reason\":\"%s\"}", now,
		 writes->name, writes->view->holder, writes->reason);
}

static void router_path(const struct writes *writes, char *path)
{
	node_key_path(writes->name, NODE_KEY_ROUTER, path);
}

/* -- the transactions -- */

static void build_claim(struct writes *writes, struct zkh_txn *txn)
{
	history_text(writes);
	zkh_txn_set_text(txn, PATH_PRIMARY, writes->name, writes->version);
	if (writes->history_refused < MISSING_MAX)
		zkh_txn_create_text(txn, HISTORY_PREFIX, writes->history, ZKH_CREATE_SEQUENCE);
	zkh_txn_delete(txn, writes->lock_path, ZKH_ANY_VERSION);
}

static void build_enter(struct writes *writes, struct zkh_txn *txn)
{
	char path[KEY_PATH_SIZE], post[NAME_SIZE + 24];

	snprintf(post, sizeof(post), "%s %" PRId64, writes->name, writes->epoch);
	router_path(writes, path);
	zkh_txn_check(txn, PATH_PRIMARY, writes->version);
	zkh_txn_create_text(txn, PATH_POST, post, ZKH_CREATE_EPHEMERAL);
	zkh_txn_set_text(txn, path, "takeover", ZKH_ANY_VERSION);
}

/* A post that another session owns is not ours to delete. */
static void build_leave(struct writes *writes, struct zkh_txn *txn)
{
	struct election_view now;
	char path[KEY_PATH_SIZE];

	view_election(writes->view, &now);
	router_path(writes, path);
	writes->deletes_post = now.post == POST_MINE;
	if (writes->deletes_post)
		zkh_txn_delete(txn, PATH_POST, ZKH_ANY_VERSION);
	if (writes->own_keys_refused >= MISSING_LEAVE_MAX) {
		if (!writes->deletes_post) /* nothing is left to do: so that there is an answer */
			zkh_txn_check(txn, PATH_NODES, ZKH_ANY_VERSION);
		return;
	}
	zkh_txn_set_text(txn, path, "secondary", ZKH_ANY_VERSION);
	if (!*writes->detail)
		return;
	node_detail_path(writes->name, path);
	zkh_txn_set_text(txn, path, writes->detail, ZKH_ANY_VERSION);
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

/* What the committed transaction made known, before anybody else reads it. */
static int64_t committed(struct writes *writes, const struct zkh_txn_reply *reply)
{
	const struct zkh_stat *first = &reply->stats[0];

	switch (writes->doing) {
	case OP_CLAIM:
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
		strcpy(writes->published, "takeover");
		view_post_written(writes->view, true, writes->epoch);
		return 0;
	case OP_LEAVE:
		strcpy(writes->published,
		       writes->own_keys_refused < MISSING_LEAVE_MAX ? "secondary" : "");
		if (writes->deletes_post)
			view_post_written(writes->view, false, 0);
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

/* Notes that it failed because of what goes along with it. Too often for a takeover's trace: then it is refused. */
static enum election_result note_failure(struct writes *writes, enum election_op op, int result,
					 const char *path)
{
	enum election_result outcome = translate(result);
	bool own = is_own_key(writes, path);
	unsigned *count = own ? &writes->own_keys_refused : &writes->history_refused;

	if (!own && !zkh_path_is_below(path, PATH_HISTORY))
		return outcome;
	if (outcome == RESULT_FAILED)
		*count = MISSING_MAX;
	else if (result == ZKH_NO_NODE)
		++*count;
	return op == OP_ENTER && *count >= MISSING_MAX ? RESULT_FAILED : outcome;
}

static void note_success(struct writes *writes, enum election_op op)
{
	if (op == OP_CLAIM)
		writes->history_refused = 0;
	else if (op == OP_ENTER || op == OP_LEAVE)
		writes->own_keys_refused = 0;
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
	outcome = note_failure(writes, op, result, path);
	if (outcome == RESULT_UNKNOWN)
		writes_unpublish(writes); /* it may have written the router state, too */
	if (outcome == RESULT_OK) {
		zxid = committed(writes, reply);
		note_success(writes, op);
	}
	writes->doing = OP_NONE;
	if (result == ZKH_NO_NODE &&
	    (is_own_key(writes, path) || zkh_path_is_below(path, PATH_HISTORY)))
		writes->on_missing(writes->userdata, path);
	else if (outcome == RESULT_FAILED)
		writes->on_refused(writes->userdata, op, result, path);
	writes->on_done(writes->userdata, op, outcome, zxid);
}

void writes_do(struct writes *writes, enum election_op op, int32_t version, int64_t epoch,
	       const char *lock_path, const char *reason)
{
	struct zkh_txn *txn;
	int r;

	assert(writes->doing == OP_NONE);
	writes->doing = op;
	writes->version = version;
	writes->epoch = epoch;
	snprintf(writes->lock_path, sizeof(writes->lock_path), "%s", lock_path ? lock_path : "");
	snprintf(writes->reason, sizeof(writes->reason), "%s", reason);
	fault_point(election_op_text((uint8_t)op), "before");
	txn = build(writes);
	r = txn ? zkh_commit(txn, on_commit, writes, &writes->op) : ZKH_FAILED;
	if (r == 0)
		return;
	writes->doing = OP_NONE;
	writes->on_refused(writes->userdata, op, r > 0 ? r : ZKH_FAILED, "");
	writes->on_done(writes->userdata, op, RESULT_FAILED, 0);
}

/* -- renewals -- */

static bool start_renewal(struct writes *writes, const char *keepalive);

static void on_owner(void *userdata, int result, const struct zkh_stat *stat)
{
	struct writes *writes = userdata;
	enum election_result outcome = RESULT_UNKNOWN;

	writes->renewal = NULL;
	if (result == ZKH_NO_NODE)
		outcome = RESULT_CONFLICT;
	else if (result == ZKH_OK)
		outcome = stat->ephemeral_owner == zkh_session_id(writes->session)
				  ? RESULT_OK
				  : RESULT_CONFLICT;
	writes->on_renewed(writes->userdata, outcome);
}

/*
 * The transaction says that the post is there, not whose it is. As long as the mirror has it as ours nothing is missing:
 * the news of its end would have come before the reply. Else it is looked at, and on_owner() tells.
 */
static enum election_result judge_owner(struct writes *writes, bool *ret_later)
{
	struct election_view now;

	view_election(writes->view, &now);
	*ret_later = now.post != POST_MINE && zkh_exists(writes->session, PATH_POST, false,
							 on_owner, writes, &writes->renewal) == 0;
	return now.post == POST_MINE ? RESULT_OK : RESULT_UNKNOWN;
}

static void on_renewal(void *userdata, int result, const struct zkh_txn_reply *reply)
{
	struct writes *writes = userdata;
	enum election_result outcome = translate(result);
	bool later = false;

	fault_point("renew", "after");
	writes->renewal = NULL;
	if ((outcome == RESULT_CONFLICT || outcome == RESULT_FAILED) && reply &&
	    reply->failed == 1) {
		/* The post is fine, our own keepalive is not. The check alone is as good a proof. */
		if (outcome == RESULT_CONFLICT)
			writes->on_missing(writes->userdata, reply->failed_path);
		else if (!writes->keepalive_refused)
			writes->on_refused(writes->userdata, OP_NONE, result, reply->failed_path);
		writes->keepalive_refused = outcome == RESULT_FAILED;
		if (start_renewal(writes, NULL))
			return;
		outcome = RESULT_UNKNOWN;
	} else if (outcome == RESULT_FAILED) {
		writes->on_refused(writes->userdata, OP_NONE, result,
				   reply ? reply->failed_path : "");
		outcome = RESULT_UNKNOWN;
	}
	if (outcome == RESULT_OK)
		outcome = judge_owner(writes, &later);
	if (later)
		return;
	writes->on_renewed(writes->userdata, outcome);
}

/* keepalive: its text, or NULL for a transaction that changes nothing; only a quorum can commit that, too. */
static bool start_renewal(struct writes *writes, const char *keepalive)
{
	struct zkh_txn *txn = zkh_txn_create(writes->session);
	char path[KEY_PATH_SIZE];

	if (!txn)
		return false;
	zkh_txn_check(txn, PATH_POST, ZKH_ANY_VERSION);
	if (keepalive) {
		node_key_path(writes->name, NODE_KEY_KEEPALIVE, path);
		zkh_txn_set_text(txn, path, keepalive, ZKH_ANY_VERSION);
	}
	return zkh_commit(txn, on_renewal, writes, &writes->renewal) == 0;
}

void writes_renew(struct writes *writes)
{
	char text[80], now[40];

	assert(!writes->renewal);
	fault_point("renew", "before");
	utc_now(now, sizeof(now));
	snprintf(text, sizeof(text), "%" PRId64 " %s", ++writes->renewals, now);
	if (!start_renewal(writes, text))
		writes->on_renewed(writes->userdata, RESULT_UNKNOWN);
}

static void on_touched(void *userdata, int result, const struct zkh_stat *stat)
{
	struct writes *writes = userdata;

	(void)stat;
	writes->renewal = NULL;
	writes->on_renewed(writes->userdata,
			   result == ZKH_OK || result == ZKH_NO_NODE ? RESULT_OK : RESULT_UNKNOWN);
}

void writes_touch(struct writes *writes)
{
	assert(!writes->renewal);
	if (zkh_exists(writes->session, PATH_POST, false, on_touched, writes, &writes->renewal) !=
	    0)
		writes->on_renewed(writes->userdata, RESULT_UNKNOWN);
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

void writes_publish(struct writes *writes, const char *router_state)
{
	struct zkh_txn *txn;
	char path[KEY_PATH_SIZE];

	if (!*router_state || !strcmp(router_state, writes->published))
		return;
	/* These set it themselves; a write sent behind them would stand over theirs. */
	if (writes->doing == OP_ENTER || writes->doing == OP_LEAVE)
		return;
	txn = zkh_txn_create(writes->session);
	if (!txn)
		return;
	router_path(writes, path);
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
	(void)reply;
	writes->record = NULL;
}

void writes_record_takeover(struct writes *writes, int64_t duration_us)
{
	size_t n = strlen(writes->history);
	struct zkh_txn *txn;

	if (!*writes->history_path || !n)
		return;
	txn = zkh_txn_create(writes->session);
	if (!txn)
		return;
	snprintf(writes->history + n - 1, sizeof(writes->history) - n + 1,
		 ",\"takeover_us\":%" PRId64 "}", duration_us);
	zkh_txn_set_text(txn, writes->history_path, writes->history, 0);
	writes->history_path[0] = '\0';
	zkh_op_cancel(writes->record);
	writes->record = NULL;
	zkh_commit(txn, on_recorded, writes, &writes->record);
}
