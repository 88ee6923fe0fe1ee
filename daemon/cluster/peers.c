/* SPDX-License-Identifier: Apache-2.0 */
#include "peers.h"

#include <stdlib.h>
#include <string.h>

#include "base/wall.h"

/* One request at a time is under way for it. */
struct peer {
	struct peers *peers;
	struct peer *next;
	struct zkh_op *op;
	unsigned asked; /* keys */
	bool fits;	/* so far */
	char name[NAME_SIZE];
};

/* Most nodes drop out at the first or the second. */
static const enum node_key questions[] = {
	NODE_KEY_ALIVE,	 NODE_KEY_DETAIL, NODE_KEY_MODE,   NODE_KEY_STATE,
	NODE_KEY_HEALTH, NODE_KEY_DRAIN,  NODE_KEY_ROUTER,
};

#define QUESTIONS (sizeof(questions) / sizeof(questions[0]))

void peers_cancel(struct peers *peers)
{
	struct peer *peer;

	zkh_op_cancel(peers->list_op);
	peers->list_op = NULL;
	while ((peer = peers->list)) {
		peers->list = peer->next;
		zkh_op_cancel(peer->op);
		free(peer);
	}
	peers->n_waiting = 0;
}

static void answered(struct peers *peers)
{
	enum election_result result = peers->lost ? RESULT_UNKNOWN : RESULT_OK;
	int32_t count = 0;

	if (--peers->n_waiting)
		return;
	for (const struct peer *peer = peers->list; peer; peer = peer->next)
		count += peer->fits;
	peers_cancel(peers);
	peers->on_count(peers->userdata, result, result == RESULT_OK ? count : 0);
}

/* Whether the answer about this one key leaves the node in question: the other predicates count as fulfilled. */
static bool fits(const struct peers *peers, enum node_key key, const char *data, size_t length,
		 const struct zkh_stat *stat)
{
	struct election_candidate c = {
		.coordinator = true, .online = true, .healthy = true, .secondary = true
	};
	struct node_detail detail = { .there = false };
	char text[16] = "";

	if (data)
		(void)value_text(data, length, text, sizeof(text));
	switch (key) {
	case NODE_KEY_ALIVE:
		c.online = stat && stat->ephemeral_owner;
		break;
	case NODE_KEY_DETAIL:
		if (data)
			detail_parse(data, length, &detail);
		c.penalty = detail.penalty_until_ms > wall_now_ms();
		break;
	case NODE_KEY_MODE:
		c.coordinator = !strcmp(text, "coordinator");
		break;
	case NODE_KEY_STATE:
		c.shutdown = strcmp(text, "run") != 0;
		break;
	case NODE_KEY_HEALTH:
		c.healthy = !strcmp(text, "ok");
		break;
	case NODE_KEY_DRAIN:
		c.drained = stat;
		break;
	case NODE_KEY_ROUTER:
		c.secondary = !strcmp(text, "secondary");
		break;
	case NODE_KEY_KEEPALIVE:
	case NODE_KEY_COUNT:
		break;
	}
	return !election_obstacles(&c) && (key != NODE_KEY_DETAIL || detail.rank > peers->above);
}

static void on_answer(void *userdata, int result, const char *data, size_t length,
		      const struct zkh_stat *stat);

static bool ask(struct peer *peer)
{
	char path[KEY_PATH_SIZE];

	node_key_path(peer->name, questions[peer->asked], path);
	return zkh_get(peer->peers->session, path, false, on_answer, peer, &peer->op) == 0;
}

static void on_answer(void *userdata, int result, const char *data, size_t length,
		      const struct zkh_stat *stat)
{
	struct peer *peer = userdata;
	struct peers *peers = peer->peers;

	peer->op = NULL;
	peer->fits = fits(peers, questions[peer->asked++], result == ZKH_OK ? data : NULL, length,
			  stat);
	peers->lost |= zkh_is_unanswered(result);
	if (peer->fits && !peers->lost && peer->asked < QUESTIONS) {
		if (ask(peer))
			return;
		peers->lost = true;
	}
	answered(peers);
}

static void add(struct peers *peers, const char *name)
{
	struct peer *peer;

	if (!zkh_name_valid(name) || !strcmp(name, peers->name))
		return;
	peer = calloc(1, sizeof(*peer));
	if (!peer) {
		peers->lost = true;
		return;
	}
	peer->peers = peers;
	peer->next = peers->list;
	peers->list = peer;
	strcpy(peer->name, name);
	if (ask(peer))
		peers->n_waiting++;
	else
		peers->lost = true;
}

static void on_list(void *userdata, int result, const char *const *names, size_t count,
		    const struct zkh_stat *stat)
{
	struct peers *peers = userdata;

	peers->list_op = NULL;
	peers->lost = result != ZKH_OK && result != ZKH_NO_NODE;
	for (size_t i = 0; result == ZKH_OK && i < count && i < PEERS_MAX; i++)
		add(peers, names[i]);
	answered(peers);
}

void peers_count(struct peers *peers, struct zkh_session *session, const char *name, int64_t above,
		 peers_fn on_count, void *userdata)
{
	peers_cancel(peers);
	*peers = (struct peers){ .session = session,
				 .name = name,
				 .above = above,
				 .n_waiting = 1, /* the list */
				 .on_count = on_count,
				 .userdata = userdata };
	if (zkh_children(session, PATH_NODES, false, on_list, peers, &peers->list_op) == 0)
		return;
	peers->lost = true;
	answered(peers);
}
