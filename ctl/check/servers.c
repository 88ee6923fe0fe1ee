/* SPDX-License-Identifier: Apache-2.0 */

/* The servers: each by itself (whether it answers, in what mode, how fast), and whether they are one ensemble. */

#include "check.h"
#include "probe.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/keys.h"
#include "base/wall.h"
#include "zk/session/zkh_op.h"

#define CLOSE_MS 1000
#define MODE "Mode: "
#define ONE_ENSEMBLE                                                                               \
	"list the servers of one ensemble only: nodes at different ensembles do not see each other"
#define MODE_LETTERS "abcdefghijklmnopqrstuvwxyz-"

/* The mode in its answer; NULL: none. Any program may be listening there. */
static const char *mode_of(const struct probe *probe, size_t *ret_length)
{
	const char *mode = strstr(probe->answer, MODE);

	if (probe->error || !mode)
		return NULL;
	mode += strlen(MODE);
	*ret_length = strspn(mode, MODE_LETTERS);
	return *ret_length > 0 ? mode : NULL;
}

static bool has_mode(const struct probe *probe, const char *wanted)
{
	size_t length = 0;
	const char *mode = mode_of(probe, &length);

	return mode && length == strlen(wanted) && strncmp(mode, wanted, length) == 0;
}

/* Servers that the configuration lists, each counted once: one name may have several addresses. */
static size_t listed(const char *servers)
{
	struct zkh_server list[ZKH_SERVERS_MAX];
	size_t count = 0, i;

	while (count < ZKH_SERVERS_MAX && zkh_server_next(&servers, &list[count]) == 0) {
		for (i = 0; strcasecmp(list[i].host, list[count].host) != 0 ||
			    strcmp(list[i].port, list[count].port) != 0;
		     i++)
			;
		count += i == count;
	}
	return count;
}

static void tell(struct check *check, const struct probe *probe)
{
	size_t length = 0, servers = listed(check->ctl->config.zookeeper.servers);
	const char *mode = mode_of(probe, &length);
	bool is_tunnel = check->ctl->config.zookeeper.tunnel != 0;
	char took[WALL_TEXT_SIZE];

	if (is_tunnel && (probe->error || !probe->length)) {
		check_say(
			check, CHECK_ERROR, "server",
			probe->error == ECONNREFUSED
				? "systemctl enable --now primaryd-tunnel; after a change of the configuration, restart it"
				: "journalctl -u 'primaryd-tunnel*' has the reason: check that ZooKeeper runs there, and the certificates",
			"%s: not reached through the TLS tunnel%s", probe->address,
			probe->error == ECONNREFUSED ? ", which does not run" : "");
		return;
	}
	if (probe->error) {
		check_say(check, CHECK_ERROR, "server",
			  "check that ZooKeeper runs there, and that no firewall blocks it",
			  "%s: %s", probe->address,
			  probe->error == ETIMEDOUT ? "no answer in time" : strerror(probe->error));
		return;
	}
	if (strstr(probe->answer, "ClickHouse"))
		check_say(
			check, CHECK_WARNING, "server",
			"use ZooKeeper if a crash of the daemon must not move the role",
			"%s: ClickHouse Keeper forgets sessions, so a daemon cannot resume its own",
			probe->address);
	snprintf(took, sizeof(took), "%.1f ms",
		 (double)(probe->connected_us - probe->started_us) / 1000.);
	if (has_mode(probe, "standalone") && servers > 1)
		check_say(
			check, CHECK_ERROR, "server",
			"join them into one ensemble, or list only one: nodes at different servers do not see each other",
			"%s: stands alone, but %zu servers are listed", probe->address, servers);
	else if (has_mode(probe, "read-only"))
		check_say(check, CHECK_ERROR, "server",
			  "it sees no quorum: check the other servers of its ensemble",
			  "%s: serves reads only", probe->address);
	else if (mode)
		check_say(check, CHECK_OK, "server", "", "%s: %.*s, connected in %s",
			  probe->address, (int)length, mode, took);
	else if (strstr(probe->answer, "whitelist"))
		check_say(check, CHECK_NOTE, "server",
			  "to see it, set 4lw.commands.whitelist=srvr in its configuration",
			  "%s: connected in %s; its mode is unknown", probe->address, took);
	else
		check_say(check, CHECK_ERROR, "server",
			  "it is up, but has no quorum (or is no ZooKeeper server): see its log",
			  "%s: does not serve", probe->address);
}

/*
 * An ensemble has one leader; for a moment two when its network has just come apart. A server with several addresses
 * cannot be told from several servers: then nothing is said.
 */
static void tell_leaders(struct check *check, const struct probes *all)
{
	const struct probe *first = NULL;

	if (all->addresses.count > listed(check->ctl->config.zookeeper.servers))
		return;
	for (size_t i = 0; i < all->addresses.count; i++) {
		if (!has_mode(&all->list[i], "leader"))
			continue;
		if (first)
			check_say(check, CHECK_ERROR, "servers", ONE_ENSEMBLE,
				  "two leaders, %s and %s: these are not one ensemble",
				  first->address, all->list[i].address);
		first = &all->list[i];
	}
}

/* -- one ensemble -- */

/*
 * Each server is asked, by a session of its own, when the cluster's keys were made. A server that has caught up with its
 * ensemble and tells another transaction, or has no keys, belongs to another one.
 */
struct witness {
	struct witnesses *all;
	const char *at, *address; /* as in struct probe */
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

static void begin_session(struct ctl *ctl, struct witness *witness)
{
	char server[ZKH_HOST_MAX + 8];
	const struct zkh_session_config config = {
		.servers = server,
		.root = ctl->config.zookeeper.root,
		.timeout_ms = (int32_t)(ctl->config.zookeeper.session_timeout_us / DURATION_MS),
		.seed = (uint32_t)time_monotonic_us(),
		.on_event = on_session,
		.userdata = witness,
	};

	zkh_server_format(witness->at, server, sizeof(server));
	if (zkh_session_create(ctl->loop, &config, &witness->session) == 0)
		witness->all->open++;
}

static void compare_keys(struct check *check, const struct witnesses *all)
{
	const struct witness *first = NULL;

	for (size_t i = 0; i < all->count; i++) {
		const struct witness *other = &all->list[i];

		if (!other->told)
			continue;
		if (!first)
			first = other;
		else if (first->zxid != other->zxid || first->made_ms != other->made_ms)
			check_say(
				check, CHECK_ERROR, "servers", ONE_ENSEMBLE,
				!first->zxid || !other->zxid
					? "%s and %s are not one ensemble: only one of them has the cluster's keys"
					: "%s and %s are not one ensemble: the cluster's keys differ",
				first->address, other->address);
	}
}

static void compare(struct check *check, const struct probes *all)
{
	struct witnesses asked = { .count = 0 };
	size_t length;

	asked.list = ctl_need(calloc(all->addresses.count + 1, sizeof(*asked.list)));
	for (size_t i = 0; i < all->addresses.count; i++)
		if (mode_of(&all->list[i], &length) && !has_mode(&all->list[i], "read-only"))
			asked.list[asked.count++] =
				(struct witness){ .all = &asked,
						  .at = all->list[i].at,
						  .address = all->list[i].address };
	ctl_set_timeout(check->ctl, CONNECT_TIMEOUT_US);
	for (size_t i = 0; asked.count > 1 && i < asked.count; i++)
		begin_session(check->ctl, &asked.list[i]);
	(void)ctl_wait(check->ctl, ctl_is_zero, &asked.open);
	for (size_t i = 0; i < asked.count; i++)
		zkh_session_destroy(asked.list[i].session);
	compare_keys(check, &asked);
	free(asked.list);
}

void check_servers(struct check *check)
{
	struct probes all;

	probes_ask(&all, check->ctl, "srvr");
	if (*all.problem)
		check_say(check, CHECK_ERROR, "server", "correct the name, or use an address", "%s",
			  all.problem);
	for (size_t i = 0; i < all.addresses.count; i++)
		tell(check, &all.list[i]);
	tell_leaders(check, &all);
	compare(check, &all);
	probes_finish(&all);
	ctl_set_timeout(check->ctl, CONNECT_TIMEOUT_US);
	check_settings(check, listed(check->ctl->config.zookeeper.servers));
}
