/* SPDX-License-Identifier: Apache-2.0 */
#include "sim.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/*
 * Whether the ensemble is the known one is judged by the daemon's ensemble.c. Here is what the node around it does with its
 * news, and the file in which it keeps its memory.
 */

static void on_news(void *userdata, enum ensemble_news news, const char *text)
{
	struct sim_node *n = userdata;
	struct sim *w = n->world;

	SIM_TRACE(w, "node  %d ensemble, news %d: %s", n->id, news, text);
	if (n->daemon != DAEMON_UP)
		return;
	if (news == ENSEMBLE_IS_KNOWN && !n->core.attached) {
		shell_attach(w, n, true);
	} else if (news == ENSEMBLE_IS_FOREIGN) {
		w->stats.foreign++;
		if (!sim_mutated(w, MUTATION_FOREIGN_WRITE))
			shell_tell_result(w, n, ELECTION_SESSION_LOST, 0, 0, 0);
	} else if (news == ENSEMBLE_IS_KNOWN) {
		repair_begin(w, n);
	}
}

void gate_start(struct sim_node *n, bool resumes)
{
	const struct ensemble_options options = {
		.loop = (struct ev_loop *)n,
		.servers = "servers",
		.root = "/",
		.name = node_name(n->id),
		.directory = "state",
		.runtime_directory = "run",
		.resumed = resumes,
		.on_news = on_news,
		.userdata = n,
	};

	ensemble_start(&n->ensemble, &options, zkh_session_of(n));
}

void gate_see(const struct sim_tree *t, struct identity_seen *ret_seen)
{
	char text[IDENTITY_VALUE_SIZE];

	*ret_seen = (struct identity_seen){
		.key = IDENTITY_MISSING,
		.zxid = t->zxid,
		.change = t->key == NAMED_MISSING ? 0 : t->key_mzxid,
	};
	if (!t->cluster_czxid)
		return;
	zkh_format_cluster(t->cluster_id, t->cluster_generation, text);
	identity_parse_value(text, strlen(text), ret_seen);
}

/* -- the file: identity_file.h -- */

int identity_file_path(const char *directory, const char *runtime_directory, char *ret_path)
{
	(void)directory;
	(void)runtime_directory;
	strcpy(ret_path, "memory");
	return 0;
}

int identity_file_load(const char *path, struct identity *known)
{
	const struct identity *disk = zkh_disk_of(known->name);

	(void)path;
	if (!*disk->id)
		return -ENOENT;
	*known = *disk;
	return 0;
}

void identity_writer_init(struct identity_writer *writer, struct ev_loop *loop, const char *path,
			  identity_writer_fn on_done, void *userdata)
{
	(void)on_done; /* it never fails */
	(void)userdata;
	writer->loop = loop;
	snprintf(writer->path, sizeof(writer->path), "%s", path);
}

void identity_writer_finish(struct identity_writer *writer)
{
	(void)writer;
}

void identity_writer_save(struct identity_writer *writer, const struct identity *known)
{
	struct sim_node *n = (struct sim_node *)writer->loop;

	n->disk_next = *known;
	disk_keep(n->world, n);
}
