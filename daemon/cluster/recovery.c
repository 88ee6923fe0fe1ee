/* SPDX-License-Identifier: Apache-2.0 */
#include "recovery.h"

#include <stdlib.h>
#include <string.h>

#include "base/timer.h"

/* A node that still acts is told of this often. */
#define TELL_US (INT64_C(60) * 1000000)

/* In the notes of the survivor, for nodes that nobody can name. */
#define ANYBODY "*"

/* One node of a survey; one request at a time is under way for it. */
struct survey_node {
	struct recovery *recovery;
	struct survey_node *next;
	struct zkh_op *op;
	char name[NAME_SIZE];
	char text[16];
	int32_t version;
	int64_t until_us;
	bool suspect; /* its work may run */
	bool alive;
	bool acts;	       /* alive, as the machine and in the boot of its term */
	struct keepalive term; /* nonce 0: none that can be read */
};

void recovery_init(struct recovery *recovery, struct survivor *survivor, const char *name,
		   recovery_fence_fn fence, recovery_note_fn note, void *userdata)
{
	*recovery = (struct recovery){ .survivor = survivor,
				       .name = name,
				       .fence = fence,
				       .note = note,
				       .userdata = userdata };
}

static void drop_survey(struct recovery *recovery)
{
	struct survey_node *node;

	zkh_op_cancel(recovery->list_op);
	zkh_op_cancel(recovery->cluster_op);
	recovery->list_op = recovery->cluster_op = NULL;
	while ((node = recovery->nodes)) {
		recovery->nodes = node->next;
		zkh_op_cancel(node->op);
		free(node);
	}
	recovery->n_waiting = 0;
}

void recovery_cancel(struct recovery *recovery)
{
	drop_survey(recovery);
	zkh_op_cancel(recovery->mark_op);
	recovery->mark_op = NULL;
	recovery->in_fence = false;
}

/* -- surveys -- */

/* The term of NAME, or of somebody who cannot be named, is waited for. */
static int64_t wait_for(struct recovery *recovery, const char *name, int64_t mzxid,
			int64_t lease_us)
{
	int64_t until_us = survivor_until_us(recovery->survivor, name, mzxid, lease_us,
					     recovery->session_us, time_boot_us());

	if (mzxid == SURVIVOR_UNREADABLE && until_us > recovery->unread_until_us)
		recovery->unread_until_us = until_us;
	if (until_us > recovery->until_us)
		recovery->until_us = until_us;
	return until_us;
}

static int64_t left_us(int64_t until_us)
{
	int64_t left = until_us - time_boot_us();

	return left > 0 ? left : 0;
}

static int32_t collect_corpses(struct recovery *recovery)
{
	size_t told_of = recovery->told_of;

	recovery->n_corpses = 0;
	for (const struct survey_node *node = recovery->nodes; node; node = node->next) {
		struct corpse *corpse = &recovery->corpses[recovery->n_corpses];

		if (!node->suspect || node->acts)
			continue;
		strcpy(corpse->name, node->name);
		strcpy(corpse->router, node->text);
		corpse->router_version = node->version;
		corpse->alive = node->alive;
		if (recovery->n_corpses >= told_of)
			recovery->note(recovery->userdata, RECOVERY_FOUND, corpse->name,
				       corpse->router, left_us(node->until_us));
		if (++recovery->n_corpses == CORPSES_MAX)
			break;
	}
	recovery->told_of = recovery->n_corpses;
	return (int32_t)recovery->n_corpses;
}

static bool others_act(struct recovery *recovery)
{
	int64_t now_us = time_boot_us();

	for (const struct survey_node *node = recovery->nodes; node; node = node->next) {
		if (!node->suspect || !node->acts)
			continue;
		if (!recovery->told_of_others_us ||
		    now_us - recovery->told_of_others_us > TELL_US) {
			recovery->note(recovery->userdata, RECOVERY_STILL_ACTS, node->name,
				       node->text, 0);
			recovery->told_of_others_us = now_us;
		}
		return true;
	}
	return false;
}

/* Nobody was primary as far as the store knows; but who deleted its keys may have left one at work. */
static void wait_for_untold(struct recovery *recovery)
{
	if (!recovery->untold_us)
		return;
	if (!recovery->told_of_untold)
		recovery->note(recovery->userdata, RECOVERY_NEW, PATH_EPOCH, "",
			       left_us(recovery->untold_us));
	recovery->told_of_untold = true;
	if (recovery->untold_us > recovery->until_us)
		recovery->until_us = recovery->untold_us;
}

static void tell_of_term(struct recovery *recovery)
{
	for (const struct survey_node *node = recovery->nodes; node; node = node->next) {
		if (node->suspect || !left_us(node->until_us) || recovery->told_of_term)
			continue;
		recovery->note(recovery->userdata, RECOVERY_TERM, node->name, "",
			       left_us(node->until_us));
		recovery->told_of_term = true;
	}
}

static void survey_over(struct recovery *recovery)
{
	recovery_count_fn on_count = recovery->on_count;
	enum election_result result = recovery->survey_lost ? RESULT_UNKNOWN : RESULT_OK;
	int32_t count = 0;

	if (result == RESULT_OK) {
		if (others_act(recovery)) {
			result = RESULT_CONFLICT;
		} else {
			wait_for_untold(recovery);
			tell_of_term(recovery);
			count = collect_corpses(recovery);
		}
	}
	drop_survey(recovery);
	on_count(recovery->userdata, result, count);
}

static void answered(struct recovery *recovery, int result)
{
	if (result != ZKH_OK && result != ZKH_NO_NODE)
		recovery->survey_lost = true;
	if (--recovery->n_waiting == 0)
		survey_over(recovery);
}

/* Alive is not enough: another machine of that name, or the same one after a reboot, is no longer at work. */
static void on_suspect_alive(void *userdata, int result, const char *data, size_t length,
			     const struct zkh_stat *stat)
{
	struct survey_node *node = userdata;
	struct alive alive;

	node->op = NULL;
	node->alive = result == ZKH_DENIED || (result == ZKH_OK && stat->ephemeral_owner);
	if (result == ZKH_OK && node->alive) {
		value_alive(data, length, &alive);
		/* It says so itself: of one whose router state cannot be read only the term is waited for. */
		node->acts = *node->text && node->term.nonce &&
			     !strcmp(alive.machine, node->term.machine) &&
			     !strcmp(alive.boot, node->term.boot);
	}
	answered(node->recovery, result == ZKH_DENIED ? ZKH_OK : result);
}

static void on_suspect_keepalive(void *userdata, int result, const char *data, size_t length,
				 const struct zkh_stat *stat)
{
	struct survey_node *node = userdata;
	struct recovery *recovery = node->recovery;
	bool read = result == ZKH_OK && value_keepalive(data, length, &node->term);
	char path[KEY_PATH_SIZE];

	node->op = NULL;
	if (zkh_is_unanswered(result)) {
		answered(recovery, result);
		return;
	}
	node->until_us = wait_for(recovery, node->name, read ? stat->mzxid : SURVIVOR_UNREADABLE,
				  read ? node->term.lease_us : 0);
	if (!node->suspect) {
		answered(recovery, ZKH_OK);
		return;
	}
	node_key_path(node->name, NODE_KEY_ALIVE, path);
	if (zkh_get(recovery->session, path, false, on_suspect_alive, node, &node->op) != 0)
		answered(recovery, ZKH_UNKNOWN);
}

/* The next question about a suspect; false: there is none. */
static bool ask_further(struct survey_node *node)
{
	struct recovery *recovery = node->recovery;
	char path[KEY_PATH_SIZE];

	node_key_path(node->name, NODE_KEY_KEEPALIVE, path);
	return zkh_get(recovery->session, path, false, on_suspect_keepalive, node, &node->op) == 0;
}

static bool is_before(const struct recovery *recovery, const char *name)
{
	return !strcmp(name, recovery->before);
}

/* Whose work may run? Who says so, who cannot be asked, and whoever was primary last and says nothing. */
static bool is_suspect(const struct survey_node *node, int result)
{
	const struct recovery *recovery = node->recovery;

	if (!strcmp(node->text, "secondary") || !strcmp(node->text, "client"))
		return false;
	return result != ZKH_NO_NODE || is_before(recovery, node->name);
}

/*
 * Whoever was primary last has not left in order, whatever he or another machine of his name says now: those whom he had to
 * wait for may be at work.
 */
static bool has_term(const struct survey_node *node)
{
	return node->suspect || is_before(node->recovery, node->name);
}

static void on_node_text(void *userdata, int result, const char *data, size_t length,
			 const struct zkh_stat *stat)
{
	struct survey_node *node = userdata;

	node->op = NULL;
	node->text[0] = '\0';
	node->version = ZKH_ANY_VERSION;
	if (result == ZKH_OK && value_text(data, length, node->text, sizeof(node->text)))
		node->version = stat->version;
	if (zkh_is_unanswered(result)) {
		answered(node->recovery, result);
		return;
	}
	node->suspect = is_suspect(node, result);
	if (!has_term(node))
		answered(node->recovery, ZKH_OK);
	else if (!ask_further(node))
		answered(node->recovery, ZKH_UNKNOWN);
}

static void ask_node(struct survey_node *node)
{
	char path[KEY_PATH_SIZE];

	node_key_path(node->name, NODE_KEY_ROUTER, path);
	if (zkh_get(node->recovery->session, path, false, on_node_text, node, &node->op) == 0)
		node->recovery->n_waiting++;
	else
		node->recovery->survey_lost = true;
}

static void add_node(struct recovery *recovery, const char *name)
{
	struct survey_node *node;

	if (!zkh_name_valid(name) || !strcmp(name, recovery->name))
		return;
	node = calloc(1, sizeof(*node));
	if (!node) {
		recovery->survey_lost = true;
		return;
	}
	node->recovery = recovery;
	node->next = recovery->nodes;
	recovery->nodes = node;
	strcpy(node->name, name);
	ask_node(node);
}

/* Whoever is not on the list may act. */
static void wait_for_unlisted(struct recovery *recovery, enum recovery_news why)
{
	int64_t until_us = wait_for(recovery, ANYBODY, SURVIVOR_UNREADABLE, 0);

	if (!recovery->told_of_list)
		recovery->note(recovery->userdata, why, PATH_NODES, "", left_us(until_us));
	recovery->told_of_list = true;
}

static void on_list(void *userdata, int result, const char *const *names, size_t count,
		    const struct zkh_stat *stat)
{
	struct recovery *recovery = userdata;

	recovery->list_op = NULL;
	if (result == ZKH_DENIED) {
		wait_for_unlisted(recovery, RECOVERY_UNREADABLE);
		result = ZKH_OK;
	} else if (result == ZKH_OK && count > SURVEY_NODES_MAX) {
		wait_for_unlisted(recovery, RECOVERY_TOO_MANY);
		count = SURVEY_NODES_MAX;
	}
	for (size_t i = 0; result == ZKH_OK && names && i < count; i++)
		if (!is_before(recovery, names[i]))
			add_node(recovery, names[i]);
	answered(recovery, result);
}

/* Another /cluster than the one that was known: the keys were deleted and made again, whatever they tell now. */
static void on_cluster(void *userdata, int result, const struct zkh_stat *stat)
{
	struct recovery *recovery = userdata;
	int64_t now_us = time_boot_us();
	int64_t untold_us;

	recovery->cluster_op = NULL;
	if (result == ZKH_OK)
		survivor_see_cluster(recovery->survivor, stat->czxid, now_us);
	untold_us = survivor_untold_us(recovery->survivor, recovery->untold, recovery->remembers,
				       recovery->session_us, now_us);
	/* A later look at the same takeover does not begin it anew. */
	if (!recovery->untold_us)
		recovery->untold_us = untold_us;
	answered(recovery, result == ZKH_DENIED ? ZKH_OK : result);
}

void recovery_scan(struct recovery *recovery, struct zkh_session *session,
		   recovery_count_fn on_count)
{
	drop_survey(recovery);
	recovery->session = session;
	recovery->on_count = on_count;
	recovery->survey_lost = false;
	recovery->until_us = recovery->unread_until_us;
	recovery->n_waiting = 1; /* the list */
	if (zkh_children(session, PATH_NODES, false, on_list, recovery, &recovery->list_op) != 0) {
		answered(recovery, ZKH_UNKNOWN);
		return;
	}
	recovery->n_waiting++;
	if (zkh_exists(session, PATH_CLUSTER, false, on_cluster, recovery, &recovery->cluster_op) !=
	    0)
		answered(recovery, ZKH_UNKNOWN);
	/* Even if the list does not name it. */
	if (*recovery->before)
		add_node(recovery, recovery->before);
}

void recovery_begin(struct recovery *recovery, const char *before, bool remembers,
		    int64_t session_us)
{
	recovery->remembers = remembers;
	recovery->untold = !*before;
	recovery->untold_us = recovery->unread_until_us = 0;
	recovery->told_of_untold = recovery->told_of_list = recovery->told_of_term = false;
	recovery->told_of = 0;
	recovery->told_of_others_us = 0;
	strcpy(recovery->before, strcmp(before, NAME_NOBODY) ? before : "");
	recovery->session_us = session_us;
	survivor_begin(recovery->survivor);
}
