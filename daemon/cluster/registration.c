/* SPDX-License-Identifier: Apache-2.0 */
#include "registration.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/timer.h"

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
	zkh_op_cancel(reg->root_op);
	zkh_op_cancel(reg->history_op);
	zkh_op_cancel(reg->nodes_op);
	zkh_op_cancel(reg->names_op);
	zkh_op_cancel(reg->epoch_op);
	zkh_op_cancel(reg->router_op);
	zkh_op_cancel(reg->keepalive_op);
	zkh_op_cancel(reg->alive_op);
	zkh_op_cancel(reg->write_op);
	rights_cancel(&reg->rights);
	reg->root_op = reg->history_op = reg->nodes_op = reg->names_op = NULL;
	reg->epoch_op = reg->router_op = reg->keepalive_op = NULL;
	reg->alive_op = reg->write_op = NULL;
	reg->running = false;
}

static void report(struct registration *reg, const struct registration_report *report)
{
	registration_cancel(reg);
	reg->on_done(reg->userdata, report);
}

static void start(struct registration *reg);

static void node_path(const struct registration *reg, char *path)
{
	snprintf(path, KEY_PATH_SIZE, PATH_NODES "/%s", reg->name);
}

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
	else if (zkh_is_unanswered(result) || result == ZKH_CONFLICT || result == ZKH_NO_NODE ||
		 result == ZKH_NODE_EXISTS)
		r.outcome = REGISTRATION_UNKNOWN;
	report(reg, &r);
}

static void on_written(void *userdata, int result, const struct zkh_txn_reply *reply)
{
	struct registration *reg = userdata;

	reg->write_op = NULL;
	for (size_t i = 0; result == ZKH_OK && i < reply->count; i++)
		if (reply->stats[i].mzxid > reg->zxid)
			reg->zxid = reply->stats[i].mzxid;
	report_result(reg, result, reply ? reply->failed_path : "");
}

static void write_key(struct registration *reg, struct zkh_txn *txn, enum node_key key,
		      const char *text)
{
	char path[KEY_PATH_SIZE];

	node_key_path(reg->name, key, path);
	if (reg->there[key])
		zkh_txn_set_text(txn, path, text, ZKH_ANY_VERSION);
	else
		zkh_txn_create_text(txn, path, text, ZKH_PERSISTENT);
}

static void write_alive(struct registration *reg, struct zkh_txn *txn)
{
	char path[KEY_PATH_SIZE], text[KEY_VALUE_MAX];

	reg->self.session = zkh_session_id(reg->session);
	alive_format(&reg->self, text, sizeof(text));
	node_key_path(reg->name, NODE_KEY_ALIVE, path);
	if (reg->alive_junk)
		zkh_txn_delete(txn, path, ZKH_ANY_VERSION);
	if (reg->alive_there)
		zkh_txn_set_text(txn, path, text, ZKH_ANY_VERSION);
	else
		zkh_txn_create_text(txn, path, text, ZKH_CREATE_EPHEMERAL);
}

/* The store knows of fewer takeovers than this node does: it was restored, or the key was deleted. */
static bool knows_more(const struct registration *reg)
{
	return reg->epoch_version >= -1 && reg->view->memory_epoch > reg->epoch;
}

static void write_epoch(struct registration *reg, struct zkh_txn *txn)
{
	char text[NAME_SIZE + 24];

	if (!knows_more(reg))
		return;
	/* Of the takeovers that the store has lost nobody knows whether they are over. */
	snprintf(text, sizeof(text), "%" PRId64 " " NAME_NONE, reg->view->memory_epoch);
	if (reg->epoch_version < 0)
		zkh_txn_create_text(txn, PATH_EPOCH, text, ZKH_PERSISTENT);
	else
		zkh_txn_set_text(txn, PATH_EPOCH, text, reg->epoch_version);
}

/* The reason stands in the key before the others see the sign of life. */
static void write_health(struct registration *reg, struct zkh_txn *txn)
{
	char missing[RIGHTS_TEXT_SIZE], text[KEY_VALUE_MAX];

	rights_format_missing(&reg->rights, missing);
	snprintf(text, sizeof(text), "failed: " RIGHTS_MISSING "%s", missing);
	write_key(reg, txn, NODE_KEY_HEALTH, *missing ? text : reg->health);
}

static bool is_complete(const struct registration *reg)
{
	static const enum node_key keys[] = { NODE_KEY_MODE, NODE_KEY_STATE, NODE_KEY_ROUTER,
					      NODE_KEY_HEALTH, NODE_KEY_KEEPALIVE };

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (!reg->there[keys[i]])
			return false;
	return reg->history_there && reg->alive_there && !knows_more(reg);
}

/* All or nothing, and one write for the ensemble: whoever sees this node alive sees the rest of it, too. */
static void write_keys(struct registration *reg)
{
	struct zkh_txn *txn = zkh_txn_create(reg->session);
	char node[KEY_PATH_SIZE];
	int r = ZKH_FAILED;

	reg->wrote = true;
	reg->made = !is_complete(reg);
	node_path(reg, node);
	if (txn) {
		if (!reg->history_there)
			zkh_txn_create_text(txn, PATH_HISTORY, "", ZKH_PERSISTENT);
		if (!reg->nodes_there)
			zkh_txn_create_text(txn, PATH_NODES, "", ZKH_PERSISTENT);
		if (!reg->node_there)
			zkh_txn_create_text(txn, node, "", ZKH_PERSISTENT);
		write_key(reg, txn, NODE_KEY_MODE, reg->coordinator ? "coordinator" : "client");
		write_key(reg, txn, NODE_KEY_STATE, "run");
		write_key(reg, txn, NODE_KEY_ROUTER, reg->router);
		write_health(reg, txn);
		/* Of one that acts it is made by the next renewal: another's text there would end the term. */
		if (!reg->there[NODE_KEY_KEEPALIVE] && !router_state_is_acting(reg->router))
			write_key(reg, txn, NODE_KEY_KEEPALIVE, "0");
		write_epoch(reg, txn);
		if (*reg->detail)
			write_key(reg, txn, NODE_KEY_DETAIL, reg->detail);
		write_alive(reg, txn);
		r = zkh_commit(txn, on_written, reg, &reg->write_op);
	}
	if (r != 0)
		report_result(reg, r > 0 ? r : ZKH_FAILED, node);
}

static void on_rights(void *userdata, int result)
{
	struct registration *reg = userdata;

	reg->try_rights = false;
	if (result == ZKH_OK)
		write_keys(reg);
	else
		report_result(reg, result, "");
}

/* The root is there. */
static void enter_keys(struct registration *reg)
{
	int r;

	if (!reg->try_rights) {
		write_keys(reg);
		return;
	}
	r = rights_try(&reg->rights, reg->session, reg->name, reg->rights_flags, on_rights, reg);
	if (r != 0)
		report_result(reg, r > 0 ? r : ZKH_FAILED, "");
}

static void on_root_made(void *userdata, int result)
{
	struct registration *reg = userdata;

	reg->root_op = NULL;
	if (result == ZKH_OK)
		enter_keys(reg);
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
	/* What is written here would wipe the only sign of it. */
	if (reg->trace_until_us > time_boot_us()) {
		foreign.outcome = REGISTRATION_TRACE;
		foreign.wait_us = reg->trace_until_us - time_boot_us();
		report(reg, &foreign);
		return;
	}
	if (reg->only_missing && is_complete(reg))
		report_result(reg, ZKH_OK, "");
	else if (reg->root_there)
		enter_keys(reg);
	else if (zkh_make_root(reg->session, on_root_made, reg, &reg->root_op) != 0)
		report_result(reg, ZKH_FAILED, "/");
}

static void on_root(void *userdata, int result, const struct zkh_stat *stat)
{
	struct registration *reg = userdata;

	reg->root_op = NULL;
	reg->root_there = stat;
}

static void on_history(void *userdata, int result, const struct zkh_stat *stat)
{
	struct registration *reg = userdata;

	reg->history_op = NULL;
	reg->history_there = stat;
}

static void on_nodes(void *userdata, int result, const struct zkh_stat *stat)
{
	struct registration *reg = userdata;

	reg->nodes_op = NULL;
	reg->nodes_there = stat;
}

static void on_epoch(void *userdata, int result, const char *data, size_t length,
		     const struct zkh_stat *stat)
{
	struct registration *reg = userdata;
	char owner[NAME_SIZE];

	reg->epoch_op = NULL;
	reg->epoch = 0;
	reg->epoch_version = result == ZKH_NO_NODE ? -1 : -2;
	if (result != ZKH_OK)
		return;
	reg->epoch_version = stat->version;
	(void)value_epoch(data, length, &reg->epoch, owner);
}

static void on_router(void *userdata, int result, const char *data, size_t length,
		      const struct zkh_stat *stat)
{
	struct registration *reg = userdata;
	char text[16];

	reg->router_op = NULL;
	reg->trace = result == ZKH_OK && value_text(data, length, text, sizeof(text)) &&
		     router_state_is_acting(text);
}

/* The work of this machine is down by now, also that of another boot; the other machine may be at work yet. */
static void on_keepalive(void *userdata, int result, const char *data, size_t length,
			 const struct zkh_stat *stat)
{
	struct registration *reg = userdata;
	struct keepalive term;

	reg->keepalive_op = NULL;
	reg->trace_until_us = 0;
	if (!reg->trace || reg->repairs || zkh_is_unanswered(result))
		return;
	if (result != ZKH_OK || !value_keepalive(data, length, &term))
		reg->trace_until_us = survivor_until_us(reg->survivor, reg->name,
							SURVIVOR_UNREADABLE, 0, 0, time_boot_us());
	else if (strcmp(term.machine, reg->self.machine) != 0)
		reg->trace_until_us = survivor_until_us(reg->survivor, reg->name, stat->mzxid,
							term.lease_us, 0, time_boot_us());
}

static void on_names(void *userdata, int result, const char *const *names, size_t count,
		     const struct zkh_stat *stat)
{
	struct registration *reg = userdata;

	reg->names_op = NULL;
	reg->node_there = result == ZKH_OK;
	memset(reg->there, 0, sizeof(reg->there));
	for (size_t i = 0; result == ZKH_OK && i < count; i++)
		for (int key = 0; key < NODE_KEY_COUNT; key++)
			if (!strcmp(names[i], node_key_leaf((enum node_key)key)))
				reg->there[key] = true;
}

static void start(struct registration *reg)
{
	struct zkh_session *session = reg->session;
	char node[KEY_PATH_SIZE], alive[KEY_PATH_SIZE], router[KEY_PATH_SIZE];
	char keepalive[KEY_PATH_SIZE];
	int r;

	reg->running = true;
	node_path(reg, node);
	node_key_path(reg->name, NODE_KEY_ALIVE, alive);
	node_key_path(reg->name, NODE_KEY_ROUTER, router);
	node_key_path(reg->name, NODE_KEY_KEEPALIVE, keepalive);
	/* Replies come in order: all the rest is known when alive is. */
	r = zkh_exists(session, "/", false, on_root, reg, &reg->root_op);
	if (r == 0)
		r = zkh_exists(session, PATH_HISTORY, false, on_history, reg, &reg->history_op);
	if (r == 0)
		r = zkh_exists(session, PATH_NODES, false, on_nodes, reg, &reg->nodes_op);
	if (r == 0)
		r = zkh_children(session, node, false, on_names, reg, &reg->names_op);
	if (r == 0)
		r = zkh_get(session, PATH_EPOCH, false, on_epoch, reg, &reg->epoch_op);
	if (r == 0)
		r = zkh_get(session, router, false, on_router, reg, &reg->router_op);
	if (r == 0)
		r = zkh_get(session, keepalive, false, on_keepalive, reg, &reg->keepalive_op);
	if (r == 0)
		r = zkh_get(session, alive, false, on_alive, reg, &reg->alive_op);
	if (r != 0)
		report_result(reg, r > 0 ? r : ZKH_FAILED, alive);
}

static void run(struct registration *reg, struct zkh_session *session, const char *health)
{
	registration_cancel(reg);
	reg->session = session;
	snprintf(reg->health, sizeof(reg->health), "%s", health);
	reg->wrote = reg->made = false;
	reg->tries = 0;
	start(reg);
}

void registration_run(struct registration *reg, struct zkh_session *session, const char *health)
{
	strcpy(reg->router, reg->coordinator ? "secondary" : "client");
	reg->only_missing = reg->repairs = false;
	reg->try_rights = reg->coordinator;
	run(reg, session, health);
}

void registration_repair(struct registration *reg, struct zkh_session *session, const char *health,
			 const char *router_state, bool only_missing)
{
	snprintf(reg->router, sizeof(reg->router), "%s",
		 *router_state ? router_state : "secondary");
	reg->only_missing = only_missing;
	reg->repairs = true;
	reg->try_rights = false;
	rights_cancel(&reg->rights);
	reg->rights = (struct rights){ 0 }; /* known to the owner, who says whether it is healthy */
	run(reg, session, health);
}
