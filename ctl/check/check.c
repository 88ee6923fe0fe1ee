/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rights.h"
#include "base/wall.h"
#include "cluster/snapshot.h"

enum { LEVEL, SUBJECT, WHAT, REMEDY };
static const struct table_column columns[] = {
	[LEVEL] = { "RESULT", "result", 0 },
	[SUBJECT] = { "OF", "subject", 0 },
	[WHAT] = { "FINDING", "finding", 0 },
	[REMEDY] = { "REMEDY", "remedy", 0 },
};

void check_say(struct check *check, enum check_level level, const char *subject, const char *remedy,
	       const char *fmt, ...)
{
	static const char *const levels[] = { "ok", "note", "warning", "error" };
	static const enum table_color colors[] = { TABLE_GOOD, TABLE_PLAIN, TABLE_WARN, TABLE_BAD };
	char text[CONFIG_ERROR_SIZE];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	table_row(check->findings);
	table_put(check->findings, LEVEL, levels[level]);
	table_color(check->findings, LEVEL, colors[level]);
	table_put(check->findings, SUBJECT, subject);
	table_put(check->findings, WHAT, text);
	table_put(check->findings, REMEDY, *remedy ? remedy : NULL);
	check->errors += level == CHECK_ERROR;
	check->warnings += level == CHECK_WARNING;
}

/* -- the configuration -- */

static void check_config(struct check *check)
{
	struct ctl *ctl = check->ctl;
	const char *path = ctl->options.config_path ? ctl->options.config_path
						    : CONFIG_DEFAULT_FILE;
	struct config_errors *errors = ctl_need(calloc(1, sizeof(*errors)));
	struct config config = { 0 };
	const char *doubt;
	int r = config_load(path, CONFIG_CHECK_COMMANDS, &config, errors);

	if (r == 0)
		check_say(check, CHECK_OK, "configuration", "", "%s is complete", path);
	else if (r == -ENOENT && !ctl->options.config_path)
		check_say(check, CHECK_NOTE, "configuration",
			  "name one with --config, if this machine is to be a node",
			  "%s does not exist; defaults are used", path);
	else
		for (size_t i = 0; i < errors->n; i++)
			check_say(check, CHECK_ERROR, "configuration", "", "%s", errors->texts[i]);
	for (unsigned i = 0; r == 0 && (doubt = config_doubt(&config, i)); i++)
		check_say(check, CHECK_WARNING, "configuration", "", "%s", doubt);
	config_finish(&config);
	free(errors);
}

/* -- the session -- */

static void check_lease(struct check *check)
{
	struct ctl *ctl = check->ctl;
	int64_t asked_us = ctl->config.zookeeper.session_timeout_us;
	int64_t granted_us = zkh_session_timeout_ms(ctl->session) * DURATION_MS;
	char asked[DURATION_TEXT_SIZE], granted[DURATION_TEXT_SIZE], text[CONFIG_ERROR_SIZE];

	duration_format(asked_us, asked);
	duration_format(granted_us, granted);
	if (granted_us == asked_us)
		check_say(check, CHECK_OK, "session", "", "a timeout of %s is granted", granted);
	else
		check_say(
			check, CHECK_WARNING, "session",
			"set zookeeper.session-timeout to that, or change minSessionTimeout/maxSessionTimeout of the ensemble",
			"a timeout of %s was requested, but %s is granted", asked, granted);
	if (config_check_lease(&ctl->config, granted_us, text, sizeof(text)) == 0)
		check_say(check, CHECK_OK, "lease", "",
			  "lease-timeout fits into a third of the session timeout");
	else
		check_say(check, CHECK_ERROR, "lease", "", "%s", text);
}

static bool connect_session(struct check *check)
{
	struct ctl *ctl = check->ctl;

	if (ctl_reach(ctl) == CTL_DONE)
		return true;
	check_say(check, CHECK_ERROR, "session",
		  ctl->auth_refused ? "see zookeeper.auth-file" : "see the servers",
		  "no session: %s", *ctl->trouble ? ctl->trouble : "no server answered in time");
	return false;
}

/* -- rights -- */

static void tell_rights(struct check *check, const struct rights *rights)
{
	char missing[RIGHTS_TEXT_SIZE], wide[RIGHTS_TEXT_SIZE];

	rights_format_missing(rights, missing);
	rights_format_wide(rights, wide);
	if (*missing)
		check_say(check, CHECK_ERROR, "rights", rights_remedy(rights_first_refusal(rights)),
			  "this node lacks rights that a primary needs: %s", missing);
	else
		check_say(check, CHECK_OK, "rights", "", "%s has all rights that a primary needs",
			  rights->name);
	if (*wide)
		check_say(check, CHECK_WARNING, "rights", RIGHTS_WIDE_REMEDY,
			  "clients without the credential may do this: %s", wide);
	else if (check->ctl->has_auth)
		check_say(check, CHECK_OK, "rights", "",
			  "clients without the credential may not write the keys");
	else
		check_say(check, CHECK_NOTE, "rights",
			  "set zookeeper.auth-file: then every key gets an access list",
			  "every client of ZooKeeper may write the keys");
}

/* As the daemon tries them when it registers. */
static void check_rights(struct check *check)
{
	struct ctl *ctl = check->ctl;
	struct rights rights = { 0 };
	struct ctl_reply trial = { 0 };
	int r = rights_try(&rights, ctl->session, ctl->config.node.name,
			   ctl->has_auth ? RIGHTS_WITH_LISTS : 0, ctl_on_result, &trial);

	if (r == 0)
		r = ctl_wait(ctl, ctl_is_set, &trial.over) == CTL_DONE ? trial.result : ZKH_TIMEOUT;
	rights_cancel(&rights);
	if (r != ZKH_OK)
		check_say(check, CHECK_ERROR, "rights", "see the servers",
			  "the rights cannot be tried: %s",
			  r < 0 ? strerror(-r) : zkh_result_text(r));
	else if (rights.results[0] == ZKH_NO_NODE)
		check_say(check, CHECK_NOTE, "rights", "",
			  "%s does not exist yet: the first node that registers creates it",
			  ctl->config.zookeeper.root);
	else
		tell_rights(check, &rights);
}

/* -- other nodes -- */

/* True: they are the same, as far as it is known. */
static bool compare(struct check *check, enum check_level level, const struct node_facts *n,
		    const char *what, int64_t here_us, int64_t there_us)
{
	char here[DURATION_TEXT_SIZE], there[DURATION_TEXT_SIZE];

	if (!there_us || here_us == there_us)
		return true;
	check_say(check, level, "agreement",
		  "set the same value on every node, and reload the daemons",
		  "%s is %s here, and %s on %s", what, duration_format(here_us, here),
		  duration_format(there_us, there), n->name);
	return false;
}

/* A rank is worth nothing with nodes that do not wait. */
static void check_ranks(struct check *check, const struct facts *facts)
{
	for (size_t i = 0; i < facts->node_count; i++) {
		const struct node_facts *n = &facts->nodes[i];
		const struct node_facts *preferred = facts_preferred(facts, n);

		if (!preferred || !n->coordinator || !n->alive || n->detail.contend_delay_us)
			continue;
		check_say(check, CHECK_NOTE, "rank", "set node.contend-delay there",
			  "%s does not let %s (rank %" PRId64 ") claim first", n->name,
			  preferred->name, preferred->detail.rank);
		return;
	}
}

static void check_fences(struct check *check, const struct node_facts *n)
{
	const char *cursor = n->detail.fence_failed;
	char target[NAME_SIZE], time[WALL_TEXT_SIZE];
	int64_t since_ms;

	while (detail_next_failed(&cursor, target, &since_ms))
		check_say(
			check, CHECK_ERROR, "fence",
			"run fence.check-command there by hand; the journal there has the reason (fence_check_failed)",
			"fencing of %s from %s would fail: the check has failed since %.19s",
			target, n->name, since_ms ? wall_local(since_ms, time) : "an unknown time");
}

static void check_nodes(struct check *check, const struct facts *facts)
{
	const struct config *config = &check->ctl->config;
	int64_t session_us = zkh_session_timeout_ms(check->ctl->session) * DURATION_MS;
	size_t told = 0, alive = 0;
	bool agree = true;
	char text[FACTS_TROUBLE_SIZE];

	for (size_t i = 0; i < facts->node_count; i++) {
		const struct node_facts *n = &facts->nodes[i];

		alive += n->alive;
		told += n->alive && n->detail.lock_timeout_us;
		if (n->alive && !n->healthy)
			check_say(check, CHECK_WARNING, "health", "primaryctl explain", "%s: %s",
				  n->name, n->health);
		if (n->alive)
			check_fences(check, n);
		if (!n->alive || !check->ctl->has_file)
			continue;
		agree &= compare(check, CHECK_ERROR, n, "lock-timeout",
				 config->election.lock_timeout_us, n->detail.lock_timeout_us);
		agree &= compare(check, CHECK_ERROR, n, "transition-delay",
				 config->election.transition_delay_us,
				 n->detail.transition_delay_us);
		/* Safe, but the longest one decides how long the others wait. */
		agree &= compare(check, CHECK_WARNING, n, "session-timeout", session_us,
				 n->detail.session_us);
	}
	if (agree && told && check->ctl->has_file)
		check_say(
			check, CHECK_OK, "agreement", "",
			"%zu nodes have the same lock-timeout, transition-delay and session-timeout",
			told);
	if (told < alive)
		check_say(
			check, CHECK_NOTE, "agreement",
			"make sure that lock-timeout and transition-delay are the same everywhere",
			"%zu nodes do not publish their timeouts", alive - told);
	check_ranks(check, facts);
	if (facts->identity.key == IDENTITY_READ &&
	    facts->identity.format < identity_format_known())
		check_say(check, CHECK_NOTE, "format", "primaryctl cluster upgrade",
			  "the keys have format %" PRId64
			  ", and this version knows format %" PRId64,
			  facts->identity.format, identity_format_known());
	if (facts->identity.key == IDENTITY_READ && facts->foreign == IDENTITY_FINE)
		check_say(check, CHECK_OK, "ensemble", "", "cluster %s, generation %" PRId64,
			  facts->identity.id, facts->identity.generation);
	facts_trouble(facts, text, sizeof(text));
	if (facts->foreign != IDENTITY_FINE)
		check_say(check, CHECK_ERROR, "ensemble", "primaryctl cluster", "%s", text);
	else
		check_say(check, *text ? CHECK_WARNING : CHECK_OK, "cluster",
			  *text ? "primaryctl explain" : "", "%s",
			  *text ? text : "there is one acting, healthy primary");
	for (size_t i = 0; i < facts->junk_count && i < FACTS_JUNK_MAX; i++)
		check_say(
			check, CHECK_WARNING, "keys",
			facts->junk_unreadable[i]
				? "correct its access list (setAcl); was it created with another credential?"
				: "primaryctl key delete",
			"%s", facts->junk[i]);
}

static void check_cluster(struct check *check)
{
	struct snapshot now = { 0 };
	struct cluster *cluster = &now.cluster;

	cluster_open(cluster, check->ctl, false);
	if (ctl_wait(check->ctl, cluster_complete, cluster) != CTL_DONE)
		check_say(check, CHECK_ERROR, "cluster", "", "the keys cannot be read in time");
	else if (cluster->result != ZKH_OK)
		check_say(
			check, CHECK_ERROR, "cluster",
			"name the credential that the keys were created with: zookeeper.auth-file",
			"%s: %s", cluster->refused_path, zkh_result_text(cluster->result));
	else if (facts_gather(cluster, &now.facts))
		check_nodes(check, &now.facts);
	snapshot_close(&now);
}

int verb_check(struct ctl *ctl)
{
	struct check check = { .ctl = ctl };
	bool unreachable = false;
	int code;

	check.findings = TABLE_OF("findings", columns);
	check_config(&check);
	/* A failure here was either found above, or is reported on stderr: a credential, an option. */
	code = ctl_load(ctl);
	if (code == CTL_DONE) {
		check_host(&check);
		ctl_set_timeout(ctl, CONNECT_TIMEOUT_US);
		check_servers(&check);
		ctl_set_timeout(ctl, CONNECT_TIMEOUT_US);
		unreachable = !connect_session(&check);
	}
	if (code == CTL_DONE && !unreachable) {
		check_lease(&check);
		check_commits(&check);
		check_cluster(&check);
		check_rights(&check);
	}
	if (ctl_print(ctl, &check.findings, 1) != CTL_DONE && code == CTL_DONE)
		code = CTL_REFUSED;
	table_destroy(check.findings);
	if (ctl->signal_seen)
		return CTL_INTERRUPTED;
	if (code == CTL_DONE && unreachable)
		return CTL_UNREACHABLE;
	return code == CTL_DONE && check.errors ? CTL_REFUSED : code;
}
