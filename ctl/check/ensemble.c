/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Whether the servers are one ensemble: each is asked, by a session of its own, when the cluster's keys were made. A
 * server that has caught up with its ensemble and tells another transaction, or has no keys, belongs to another one.
 */

#include "check.h"

#include <stdlib.h>
#include <string.h>

#include "base/keys.h"
#include "zk/session/zkh_op.h"
#include "zk/session/zkh_resolve.h"

#define CLOSE_MS 1000

struct witness {
	struct witnesses *all;
	const char *address; /* ADDRESS:PORT */
	struct zkh_session *session;
	bool told;    /* what follows is known */
	int64_t zxid; /* that made the keys; 0: there are none */
	int64_t made_ms;
};

struct witnesses {
	struct witness *list;
	size_t count, open;
};

static void on_closed(void *userdata, int result)
{
	struct witness *witness = userdata;

	(void)result;
	witness->session = zkh_session_destroy(witness->session);
	witness->all->open--;
}

static void leave(struct witness *witness)
{
	(void)zkh_session_close(witness->session, CLOSE_MS, on_closed, witness);
}

static void on_stat(void *userdata, int result, const struct zkh_stat *stat)
{
	struct witness *witness = userdata;

	witness->told = result == ZKH_OK || result == ZKH_NO_NODE;
	if (result == ZKH_OK) {
		witness->zxid = stat->czxid;
		witness->made_ms = stat->ctime_ms;
	}
	leave(witness);
}

static void on_synced(void *userdata, int result)
{
	struct witness *witness = userdata;

	if (result != ZKH_OK ||
	    zkh_exists(witness->session, PATH_NODES, false, on_stat, witness, NULL) != 0)
		leave(witness);
}

static void on_session(void *userdata, const struct zkh_session_report *report)
{
	struct witness *witness = userdata;

	if (report->event == ZKH_DISCONNECTED)
		return; /* the answer to come says it, or the close */
	if (report->event != ZKH_CONNECTED ||
	    zkh_sync(witness->session, on_synced, witness, NULL) != 0)
		leave(witness);
}

static void begin(struct ctl *ctl, struct witness *witness)
{
	char server[ZKH_HOST_MAX + 8];
	const struct zkh_session_config config = {
		.servers = server,
		.root = ctl->config.zookeeper.root,
		.timeout_ms = (int32_t)(ctl->config.zookeeper.session_timeout_us / DURATION_MS),
		.seed = (uint32_t)ctl_now_us(),
		.on_event = on_session,
		.userdata = witness,
	};

	zkh_server_format(witness->address, server, sizeof(server));
	if (zkh_session_create(ctl->loop, &config, &witness->session) == 0)
		witness->all->open++;
}

static bool heard(void *userdata)
{
	return ((struct witnesses *)userdata)->open == 0;
}

static void compare(struct check *check, const struct witnesses *all)
{
	static const char remedy[] =
		"list the servers of one ensemble only: nodes at different ones do not see each other";
	const struct witness *first = NULL;

	for (size_t i = 0; i < all->count; i++) {
		const struct witness *other = &all->list[i];

		if (!other->told)
			continue;
		if (!first)
			first = other;
		else if (first->zxid != other->zxid || first->made_ms != other->made_ms)
			check_say(
				check, CHECK_ERROR, "servers", remedy,
				!first->zxid || !other->zxid
					? "%s and %s are not one ensemble: only one of them has the cluster's keys"
					: "%s and %s are not one ensemble: the cluster's keys differ",
				first->address, other->address);
	}
}

void check_ensemble(struct check *check, const char *const *addresses, size_t count)
{
	struct witnesses all = { .list = calloc(count + 1, sizeof(*all.list)), .count = count };

	if (!all.list || count < 2) {
		free(all.list);
		return;
	}
	for (size_t i = 0; i < count; i++) {
		all.list[i].all = &all;
		all.list[i].address = addresses[i];
		begin(check->ctl, &all.list[i]);
	}
	(void)ctl_wait(check->ctl, heard, &all);
	for (size_t i = 0; i < count; i++)
		zkh_session_destroy(all.list[i].session);
	compare(check, &all);
	free(all.list);
}
