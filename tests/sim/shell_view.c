/* SPDX-License-Identifier: Apache-2.0 */
#include "sim.h"

#include <string.h>

/* What is known of the keys is the daemon's: view.c. Here is what the node around it does with its news; see answers.c. */

static void on_view(void *userdata)
{
	struct sim_node *n = userdata;
	struct sim *w = n->world;
	const struct view *view = &n->view;
	struct election_event ev = { .type = ELECTION_VIEW };

	if (n->daemon != DAEMON_UP || !ensemble_is_open(&n->ensemble))
		return;
	ensemble_note_epoch(&n->ensemble, view->memory_epoch);
	view_election(view, &ev.view);
	witness_set_primary(&n->witness, view->coordinator && strcmp(view->primary, view->name)
						 ? view->primary
						 : "");
	/* Somebody deleted this node's sign of life: without it the others take it for dead. */
	if (view->coordinator && n->core.registered && !view->alive &&
	    view->slots[VIEW_ALIVE].known)
		repair_begin(w, n);
	shell_tell(w, n, &ev);
}

static void on_junk(void *userdata, const char *path, const char *what)
{
	struct sim_node *n = userdata;
	struct sim *w = n->world;

	(void)w;
	SIM_TRACE(w, "node  %d %s %s", n->id, path, what);
}

void shell_view_begin(struct sim_node *n)
{
	view_init(&n->view, node_name(n->id), n->config.coordinator, on_view, on_junk, n);
	view_remember_epoch(&n->view, n->file.there ? n->file.epoch : 0);
}
