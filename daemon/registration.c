/* SPDX-License-Identifier: Apache-2.0 */
#include "registration.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

void registration_init(struct registration *reg, const char *name, bool coordinator,
		       const struct alive *self, registration_fn on_done, void *userdata)
{
	*reg = (struct registration){ .name = name,
				      .coordinator = coordinator,
				      .self = *self,
				      .on_done = on_done,
				      .userdata = userdata };
}

void registration_cancel(struct registration *reg)
{
	zkh_op_cancel(reg->alive_op);
	zkh_op_cancel(reg->keepalive_op);
	zkh_op_cancel(reg->maintain_op);
	zkh_op_cancel(reg->root_op);
	zkh_task_cancel(reg->task);
	reg->alive_op = reg->keepalive_op = reg->maintain_op = reg->root_op = NULL;
	reg->task = NULL;
	reg->running = false;
}

void registration_finish(struct registration *reg)
{
	registration_cancel(reg);
}

static void report(struct registration *reg, const struct registration_report *report)
{
	registration_cancel(reg);
	reg->on_done(reg->userdata, report);
}

static void start(struct registration *reg);

/* Somebody works on the same keys, as when a whole cluster starts: looking again shows who and what. */
static bool try_again(struct registration *reg, int result)
{
	if (result != ZKH_CONFLICT && result != ZKH_NO_NODE && result != ZKH_NODE_EXISTS)
		return false;
	if (reg->tries++ == REGISTRATION_TRIES)
		return false;
	registration_cancel(reg);
	start(reg);
	return true;
}

static void report_result(struct registration *reg, int result, const char *path)
{
	struct registration_report r = { .outcome = REGISTRATION_REFUSED,
					 .result = result,
					 .path = path ? path : "" };

	if (try_again(reg, result))
		return;
	if (result == ZKH_OK)
		r.outcome = REGISTRATION_OK;
	else if (result == ZKH_UNKNOWN || result == ZKH_NOT_CONNECTED || result == ZKH_CONFLICT ||
		 result == ZKH_NO_NODE || result == ZKH_NODE_EXISTS)
		r.outcome = REGISTRATION_UNKNOWN;
	report(reg, &r);
}

static void on_alive_created(void *userdata, int result, const struct zkh_txn_reply *reply)
{
	struct registration *reg = userdata;

	reg->alive_op = NULL;
	report_result(reg, result, reply ? reply->failed_path : "");
}

/* Last step: `alive` says that all the rest is in place. */
static void write_alive(struct registration *reg)
{
	struct zkh_txn *txn = zkh_txn_create(reg->session);
	char path[KEY_PATH_SIZE], text[KEY_VALUE_MAX];
	int r = ZKH_FAILED;

	reg->self.session = zkh_session_id(reg->session);
	alive_format(&reg->self, text, sizeof(text));
	node_key_path(reg->name, NODE_KEY_ALIVE, path);
	if (txn) {
		if (reg->alive_junk)
			zkh_txn_delete(txn, path, ZKH_ANY_VERSION);
		if (reg->alive_there)
			zkh_txn_set_text(txn, path, text, ZKH_ANY_VERSION);
		else
			zkh_txn_create_text(txn, path, text, ZKH_CREATE_EPHEMERAL);
		r = zkh_commit(txn, on_alive_created, reg, &reg->alive_op);
	}
	if (r != 0)
		report_result(reg, r > 0 ? r : ZKH_FAILED, path);
}

/* The place of the claims, once for the whole cluster. That it exists already is fine. */
static void on_history(void *userdata, int result, const struct zkh_txn_reply *reply)
{
	struct registration *reg = userdata;

	(void)result;
	(void)reply;
	reg->maintain_op = NULL;
}

static void make_history(struct registration *reg)
{
	struct zkh_txn *txn = zkh_txn_create(reg->session);

	if (!txn)
		return;
	zkh_txn_create_text(txn, PATH_HISTORY, "", ZKH_PERSISTENT);
	zkh_commit(txn, on_history, reg, &reg->maintain_op);
}

static void on_keys_written(void *userdata, int result, const char *path)
{
	struct registration *reg = userdata;

	reg->task = NULL;
	if (result != ZKH_OK) {
		report_result(reg, result, path);
		return;
	}
	make_history(reg);
	write_alive(reg);
}

static struct zkh_pair pair(const char *path, const char *text)
{
	return (struct zkh_pair){ .path = path, .data = text, .length = strlen(text) };
}

/* Values first, `alive` last: whoever sees this node alive sees the rest of it, too. */
static void write_keys(struct registration *reg)
{
	char paths[NODE_KEY_COUNT][KEY_PATH_SIZE];
	struct zkh_pair pairs[NODE_KEY_COUNT];
	size_t n = 0;
	int r;

	for (int i = 0; i < NODE_KEY_COUNT; i++)
		node_key_path(reg->name, (enum node_key)i, paths[i]);
	pairs[n++] = pair(paths[NODE_KEY_MODE], reg->coordinator ? "coordinator" : "client");
	pairs[n++] = pair(paths[NODE_KEY_STATE], "run");
	pairs[n++] = pair(paths[NODE_KEY_ROUTER], reg->router);
	pairs[n++] = pair(paths[NODE_KEY_HEALTH], reg->healthy ? "ok" : "failed");
	if (!reg->keepalive_there)
		pairs[n++] = pair(paths[NODE_KEY_KEEPALIVE], "0");
	r = zkh_write(reg->session, pairs, n, on_keys_written, reg, &reg->task);
	if (r != 0)
		report_result(reg, r > 0 ? r : ZKH_FAILED, paths[NODE_KEY_MODE]);
}

static void on_root_made(void *userdata, int result)
{
	struct registration *reg = userdata;

	reg->root_op = NULL;
	if (result == ZKH_OK)
		write_keys(reg);
	else
		report_result(reg, result, "/");
}

static void on_alive(void *userdata, int result, const char *data, size_t length,
		     const struct zkh_stat *stat)
{
	struct registration *reg = userdata;
	struct registration_report foreign = { .outcome = REGISTRATION_FOREIGN, .path = "" };

	reg->alive_op = NULL;
	/* One that outlives its session is nobody's. */
	reg->alive_junk = result == ZKH_OK && !stat->ephemeral_owner;
	reg->alive_there = result == ZKH_OK && !reg->alive_junk;
	if (result != ZKH_OK && result != ZKH_NO_NODE) {
		report_result(reg, result, "");
		return;
	}
	if (reg->alive_there && stat->ephemeral_owner != zkh_session_id(reg->session)) {
		value_alive(data, length, &foreign.other);
		foreign.other_session = stat->ephemeral_owner;
		report(reg, &foreign);
		return;
	}
	if (reg->root_there)
		write_keys(reg);
	else if (zkh_make_root(reg->session, on_root_made, reg, &reg->root_op) != 0)
		report_result(reg, ZKH_FAILED, "/");
}

static void on_root(void *userdata, int result, const struct zkh_stat *stat)
{
	struct registration *reg = userdata;

	(void)stat;
	reg->root_op = NULL;
	reg->root_there = result == ZKH_OK;
}

static void on_keepalive(void *userdata, int result, const struct zkh_stat *stat)
{
	struct registration *reg = userdata;

	(void)stat;
	reg->keepalive_op = NULL;
	reg->keepalive_there = result == ZKH_OK;
}

static void start(struct registration *reg)
{
	struct zkh_session *session = reg->session;
	char alive[KEY_PATH_SIZE], keepalive[KEY_PATH_SIZE];
	int r;

	reg->running = true;
	node_key_path(reg->name, NODE_KEY_ALIVE, alive);
	node_key_path(reg->name, NODE_KEY_KEEPALIVE, keepalive);
	/* Replies come in order: root and keepalive are known when alive is. */
	r = zkh_exists(session, "/", false, on_root, reg, &reg->root_op);
	if (r == 0)
		r = zkh_exists(session, keepalive, false, on_keepalive, reg, &reg->keepalive_op);
	if (r == 0)
		r = zkh_get(session, alive, false, on_alive, reg, &reg->alive_op);
	if (r != 0)
		report_result(reg, r > 0 ? r : ZKH_FAILED, alive);
}

static void run(struct registration *reg, struct zkh_session *session, bool healthy)
{
	registration_cancel(reg);
	reg->session = session;
	reg->healthy = healthy;
	reg->tries = 0;
	start(reg);
}

void registration_run(struct registration *reg, struct zkh_session *session, bool healthy)
{
	strcpy(reg->router, reg->coordinator ? "secondary" : "client");
	run(reg, session, healthy);
}

void registration_repair(struct registration *reg, struct zkh_session *session, bool healthy,
			 const char *router_state)
{
	snprintf(reg->router, sizeof(reg->router), "%s",
		 *router_state ? router_state : "secondary");
	run(reg, session, healthy);
}
