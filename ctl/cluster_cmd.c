/* SPDX-License-Identifier: Apache-2.0 */

/*
 * cluster: shows which ensemble this is, and what this node remembers. cluster accept: makes another ensemble, or a
 * restored one, the known one. cluster upgrade: raises the format of its keys.
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cluster/snapshot.h"

enum { ID, GENERATION, FORMAT, R_ID, R_GENERATION, R_ZXID, R_EPOCH, R_FILE, KNOWN, TROUBLE };
static const struct table_column columns[] = {
	[ID] = { "cluster", "id", 0 },
	[GENERATION] = { "generation", "generation", 0 },
	[FORMAT] = { "format", "format", 0 },
	[R_ID] = { "remembered", "remembered_id", 0 },
	[R_GENERATION] = { "its generation", "remembered_generation", 0 },
	[R_ZXID] = { "its zxid", "remembered_zxid", 0 },
	[R_EPOCH] = { "highest epoch", "remembered_epoch", 0 },
	[R_FILE] = { "in", "file", 0 },
	[KNOWN] = { "known", "known", 0 },
	[TROUBLE] = { "trouble", "trouble", 0 },
};

static const char *why_nothing(int error)
{
	if (error == -EBADMSG)
		return "it holds junk";
	if (error == -EXDEV)
		return "it belongs to another root or node";
	if (error == -EACCES)
		return "it cannot be read (try as root)";
	return strerror(-error);
}

static void put_remembered(struct table *t, const struct cluster *cluster)
{
	const struct identity *known = &cluster->known;

	if (!*known->id) {
		table_putf(t, R_FILE, "%s: %s", cluster->known_path,
			   why_nothing(cluster->known_error));
		return;
	}
	table_put(t, R_ID, known->id);
	table_put_number(t, R_GENERATION, known->generation);
	table_putf(t, R_ZXID, "0x%llx", (unsigned long long)known->zxid);
	if (known->epoch)
		table_put_number(t, R_EPOCH, known->epoch);
	table_put(t, R_FILE, cluster->known_path);
}

static int show(struct ctl *ctl, const struct cluster *cluster, const struct facts *facts)
{
	struct table *t = TABLE_SINGLE("cluster", columns);
	const struct identity_seen *seen = &facts->identity;
	char text[IDENTITY_TEXT_SIZE];
	int code;

	table_row(t);
	if (seen->key == IDENTITY_READ) {
		table_put(t, ID, seen->id);
		table_put_number(t, GENERATION, seen->generation);
		table_put_number(t, FORMAT, seen->format);
	}
	put_remembered(t, cluster);
	if (*cluster->known.id)
		table_put_boolean(t, KNOWN, facts->foreign == IDENTITY_FINE);
	if (facts->foreign != IDENTITY_FINE) {
		table_put(t, TROUBLE,
			  identity_explain(facts->foreign, &cluster->known, seen,
					   ctl->config.zookeeper.servers, text));
		table_color(t, TROUBLE, TABLE_BAD);
	}
	code = ctl_print(ctl, &t, 1);
	table_destroy(t);
	return code == CTL_DONE && facts->foreign != IDENTITY_FINE ? CTL_REFUSED : code;
}

/* -- accept -- */

static const char *lives_there(const struct facts *facts)
{
	for (size_t i = 0; i < facts->node_count; i++)
		if (facts->nodes[i].alive)
			return facts->nodes[i].name;
	return NULL;
}

static int may_accept(struct ctl *ctl, const struct cluster *cluster, const struct facts *facts)
{
	const struct identity *known = &cluster->known;
	const char *servers = ctl->config.zookeeper.servers;

	if (!*known->id)
		ctl_error(
			"this node has no record of a cluster that could continue with %s: %s: %s (run this on a node of the cluster, as root)",
			servers, cluster->known_path, why_nothing(cluster->known_error));
	else if (facts->foreign == IDENTITY_FINE)
		ctl_error(
			"the ensemble at %s is already the known one: cluster %s, generation %lld; there is nothing to accept",
			servers, known->id, (long long)facts->identity.generation);
	else if (facts->foreign == IDENTITY_NEW_FORMAT)
		ctl_error(
			"the format %lld of the keys at %s is not known to this version (upgrade primaryd)",
			(long long)facts->identity.format, servers);
	else if (facts->foreign == IDENTITY_NO_ACCESS)
		return ctl_explain_result(ctl, ZKH_DENIED, PATH_CLUSTER);
	else if (facts->foreign == IDENTITY_OTHER_ID && lives_there(facts) && !ctl->options.force)
		ctl_error(
			"%s belongs to another cluster, %s, whose node %s is alive: check zookeeper.servers and zookeeper.root (--force takes it over)",
			servers, facts->identity.id, lives_there(facts));
	else
		return CTL_DONE;
	return CTL_REFUSED;
}

struct question {
	ev_io io;
	bool over, yes;
};

static void on_answer(struct ev_loop *loop, ev_io *io, int events)
{
	struct question *question = io->data;
	char line[64];
	ssize_t n = read(STDIN_FILENO, line, sizeof(line));

	ev_io_stop(loop, io);
	question->over = true;
	question->yes = n > 0 && (*line == 'y' || *line == 'Y');
}

/* On a terminal it is asked; a script knows what it does. The session lives on meanwhile. */
static int confirm(struct ctl *ctl, const struct identity *known)
{
	struct question question = { .over = false };
	int code;

	if (ctl->options.force || !isatty(STDIN_FILENO))
		return CTL_DONE;
	fprintf(stderr,
		"The nodes of cluster %s will continue with the ensemble at %s.\nAre the old servers off? Otherwise two clusters will be at work. [y/N] ",
		known->id, ctl->config.zookeeper.servers);
	ev_io_init(&question.io, on_answer, STDIN_FILENO, EV_READ);
	question.io.data = &question;
	ev_io_start(ctl->loop, &question.io);
	ctl->deadline_us = 0;
	code = ctl_wait(ctl, ctl_is_set, &question.over);
	ev_io_stop(ctl->loop, &question.io);
	ctl_set_timeout(ctl, CONNECT_TIMEOUT_US);
	if (code != CTL_DONE || question.yes)
		return code;
	ctl_error("nothing was changed");
	return CTL_REFUSED;
}

static int write_identity(struct ctl *ctl, const struct cluster *cluster, const char *id,
			  int64_t generation, int64_t format)
{
	const struct cluster_slot *slot = &cluster->keys[CLUSTER_IDENTITY];
	char text[IDENTITY_VALUE_SIZE];
	struct ctl_commit commit;
	struct zkh_txn *txn;
	int code = CTL_DONE;

	if (!slot->there)
		code = ctl_make_root(ctl, true);
	if (code != CTL_DONE)
		return code;
	identity_format_value(id, generation, format, text);
	txn = ctl_need(zkh_txn_create(ctl->session));
	if (slot->there)
		zkh_txn_set_text(txn, PATH_CLUSTER, text, slot->stat.version);
	else
		zkh_txn_create_text(txn, PATH_CLUSTER, text, ZKH_PERSISTENT);
	code = ctl_commit(ctl, txn, "writing " PATH_CLUSTER, &commit);
	return code == CTL_DONE ? ctl_explain_result(ctl, commit.result, PATH_CLUSTER) : code;
}

static int accept_ensemble(struct ctl *ctl, const struct cluster *cluster,
			   const struct facts *facts)
{
	const struct identity *known = &cluster->known;
	int64_t generation = known->generation + 1;
	int code = may_accept(ctl, cluster, facts);

	if (code != CTL_DONE)
		return code;
	if (!strcmp(facts->identity.id, known->id) && facts->identity.generation >= generation)
		generation = facts->identity.generation + 1;
	if (generation > IDENTITY_GENERATION_MAX) {
		ctl_error("the generation cannot be raised beyond %d", IDENTITY_GENERATION_MAX);
		return CTL_REFUSED;
	}
	code = confirm(ctl, known);
	if (code == CTL_DONE)
		code = write_identity(ctl, cluster, known->id, generation,
				      facts->identity.key == IDENTITY_READ ? facts->identity.format
									   : known->format);
	if (code == CTL_DONE && !ctl->options.json)
		printf("accepted: cluster %s, generation %lld; its nodes continue by themselves\n",
		       known->id, (long long)generation);
	return code == CTL_DONE ? ctl_flush() : code;
}

static int run(struct ctl *ctl, int (*command)(struct ctl *ctl, const struct cluster *cluster,
					       const struct facts *facts))
{
	struct snapshot now = { 0 };
	int code = snapshot_read(ctl, &now);

	if (code == CTL_DONE)
		code = command(ctl, &now.cluster, &now.facts);
	snapshot_close(&now);
	return code;
}

/* -- upgrade -- */

/* Every node that is registered has to know the format: one that does not would never contend again. */
static bool all_know(const struct facts *facts, int64_t format)
{
	bool all = true;

	for (size_t i = 0; i < facts->node_count; i++) {
		const struct node_facts *n = &facts->nodes[i];
		int64_t knows = n->detail.there ? n->detail.format : 1;

		if (knows < format)
			ctl_error(
				"%s knows format %lld: upgrade primaryd there, or remove the node",
				n->name, (long long)knows);
		all &= knows >= format;
	}
	return all;
}

static int upgrade(struct ctl *ctl, const struct cluster *cluster, const struct facts *facts)
{
	const struct identity_seen *seen = &facts->identity;
	int64_t format = identity_format_known();
	int code = CTL_DONE;

	if (facts->foreign != IDENTITY_FINE || seen->key != IDENTITY_READ) {
		ctl_error("%s", *facts->foreign_text ? facts->foreign_text
						     : PATH_CLUSTER " is missing or invalid");
		return CTL_REFUSED;
	}
	if (seen->format < format && !all_know(facts, format)) {
		ctl_error("the format remains %lld", (long long)seen->format);
		return CTL_REFUSED;
	}
	if (seen->format < format)
		code = write_identity(ctl, cluster, seen->id, seen->generation, format);
	if (code == CTL_DONE && !ctl->options.json)
		printf("the keys have format %lld%s\n", (long long)format,
		       seen->format < format ? ""
					     : " already, the highest that this version knows");
	return code == CTL_DONE ? ctl_flush() : code;
}

int verb_cluster(struct ctl *ctl)
{
	return run(ctl, show);
}

int verb_cluster_accept(struct ctl *ctl)
{
	return run(ctl, accept_ensemble);
}

int verb_cluster_upgrade(struct ctl *ctl)
{
	return run(ctl, upgrade);
}
