/* SPDX-License-Identifier: Apache-2.0 */

/* The settings of the servers, compared with ours; and how long the ensemble takes to commit. */

#include "check.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/keys.h"
#include "base/wall.h"
#include "election/lease.h"
#include "probe.h"

#define DATA_SIZE 256
/* Many more than autopurge leaves, which is 3 by default. */
#define SNAPSHOTS_MAX 20
#define COMMITS 20

struct settings {
	char data[DATA_SIZE]; /* the directory */
	int64_t tick_us, min_us, max_us;
	size_t voters; /* 0: it stands alone */
};

static int64_t number_us(const char *answer, const char *key)
{
	const char *at = strstr(answer, key);

	return at ? strtoll(at + strlen(key), NULL, 10) * DURATION_MS : 0;
}

/* False: it does not tell. */
static bool parse(const char *answer, struct settings *ret)
{
	const char *data = strstr(answer, "dataDir=");

	*ret = (struct settings){ .tick_us = number_us(answer, "tickTime="),
				  .min_us = number_us(answer, "minSessionTimeout="),
				  .max_us = number_us(answer, "maxSessionTimeout=") };
	if (!data || ret->tick_us <= 0)
		return false;
	data += strlen("dataDir=");
	(void)snprintf(ret->data, sizeof(ret->data), "%.*s", (int)strcspn(data, "\r\n"), data);
	for (const char *at = answer; (at = strstr(at, ":participant")); at++)
		ret->voters++;
	return true;
}

static size_t count_snapshots(const char *path)
{
	DIR *directory = opendir(path);
	size_t count = 0;

	for (struct dirent *entry; directory && (entry = readdir(directory));)
		count += strncmp(entry->d_name, "snapshot.", strlen("snapshot.")) == 0;
	if (directory)
		(void)closedir(directory);
	return count;
}

static void tell_data(struct check *check, const struct probe *probe, const struct settings *s)
{
	static const char *const lost[] = { "/tmp/", "/var/tmp/", "/run/", "/dev/shm/" };
	size_t snapshots = probe->is_local ? count_snapshots(s->data) : 0;

	for (size_t i = 0; i < sizeof(lost) / sizeof(*lost); i++)
		if (!strncmp(s->data, lost[i], strlen(lost[i])))
			check_say(
				check, CHECK_WARNING, "settings",
				"move dataDir to /var/lib: nodes refuse an ensemble that has lost its data",
				"%s keeps its data in %s, which is emptied at boot", probe->address,
				s->data);
	if (snapshots > SNAPSHOTS_MAX)
		check_say(check, CHECK_WARNING, "settings",
			  "set autopurge.purgeInterval, or the disk fills up",
			  "%s: %zu snapshots in %s, which are not purged", probe->address,
			  snapshots, s->data);
}

static void tell_times(struct check *check, const struct probe *probe, const struct settings *s)
{
	int64_t session_us = check->ctl->config.zookeeper.session_timeout_us;
	char tick[DURATION_TEXT_SIZE], min[DURATION_TEXT_SIZE], max[DURATION_TEXT_SIZE];

	duration_format(s->tick_us, tick);
	duration_format(s->min_us, min);
	duration_format(s->max_us, max);
	if (s->tick_us > session_us / 5)
		check_say(
			check, CHECK_WARNING, "settings", "lower tickTime on every server",
			"%s looks for lost sessions every %s: a failover may take that much longer",
			probe->address, tick);
	if (session_us < s->min_us || session_us > s->max_us)
		check_say(check, CHECK_WARNING, "settings",
			  "set minSessionTimeout and maxSessionTimeout on every server",
			  "%s grants sessions from %s to %s only", probe->address, min, max);
	else
		check_say(check, CHECK_OK, "settings", "",
			  "%s: ticks of %s, sessions from %s to %s", probe->address, tick, min,
			  max);
}

static void tell_members(struct check *check, const struct probe *probe, const struct settings *s,
			 size_t listed)
{
	if (s->voters && s->voters != listed)
		check_say(
			check, CHECK_WARNING, "servers",
			"list all of them in zookeeper.servers, so that a node can use each of them",
			"%s: its ensemble has %zu voting servers, but %zu are listed",
			probe->address, s->voters, listed);
	if (s->voters && s->voters % 2 == 0)
		check_say(check, CHECK_NOTE, "servers", "use an odd number of servers",
			  "%zu servers survive no more failures than %zu servers", s->voters,
			  s->voters - 1);
	if (!s->voters && listed == 1)
		check_say(check, CHECK_NOTE, "servers", "use three servers: doc/zookeeper.md",
			  "the role depends on one server: while it is down, nobody is primary");
}

void check_settings(struct check *check, size_t listed)
{
	struct probes all;
	struct settings s;
	bool is_first = true;

	probes_ask(&all, check->ctl, "conf");
	for (size_t i = 0; i < all.addresses.count; i++) {
		const struct probe *probe = &all.list[i];

		if (probe->error || !parse(probe->answer, &s))
			continue;
		tell_data(check, probe, &s);
		tell_times(check, probe, &s);
		if (is_first)
			tell_members(check, probe, &s, listed);
		is_first = false;
	}
	if (is_first)
		check_say(
			check, CHECK_NOTE, "settings",
			"to see them, set 4lw.commands.whitelist=srvr,conf in their configuration",
			"no server shows its settings");
	probes_finish(&all);
}

/* A transaction that cannot hold is committed like any other, and changes nothing. */
static bool commit_one(struct ctl *ctl, int64_t *ret_us)
{
	struct zkh_txn *txn = ctl_need(zkh_txn_create(ctl->session));
	struct ctl_commit commit;
	int64_t since_us = time_monotonic_us();

	zkh_txn_check(txn, PATH_PRIMARY, INT32_MAX);
	if (ctl_commit(ctl, txn, NULL, &commit) != CTL_DONE || zkh_is_unanswered(commit.result))
		return false;
	*ret_us = time_monotonic_us() - since_us;
	return true;
}

void check_commits(struct check *check)
{
	int64_t session_us = zkh_session_timeout_ms(check->ctl->session) * DURATION_MS;
	int64_t slowest_us = 0, us = 0;
	int64_t bound_us = lease_patience_us(session_us);
	char took[WALL_TEXT_SIZE], bound[WALL_TEXT_SIZE];

	for (int i = 0; i < COMMITS; i++) {
		if (!commit_one(check->ctl, &us))
			return; /* the rights, which are tried next, say what is wrong */
		slowest_us = us > slowest_us ? us : slowest_us;
	}
	check_say(
		check, slowest_us > bound_us / 2 ? CHECK_WARNING : CHECK_OK, "commits",
		slowest_us > bound_us / 2
			? "give the servers a disk that syncs faster, or raise zookeeper.session-timeout"
			: "",
		"the slowest of %d took %s; a primary stops when commits take longer than %s",
		COMMITS, wall_span(slowest_us, took), wall_span(bound_us, bound));
}
