/* SPDX-License-Identifier: Apache-2.0 */
#include "fleet.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char boot_id[BOOT_ID_SIZE] = "00000000-0000-4000-8000-000000000000";

static bool set_text(char *to, size_t size, const char *from)
{
	if (!strcmp(to, from))
		return false;
	snprintf(to, size, "%s", from);
	return true;
}

/* Its registration is through, and it has read everything it follows. */
static bool is_ready(const struct node *node)
{
	const struct election *e = node_election(node);

	return e->attached && e->registered && e->view.key != KEY_UNKNOWN;
}

static void on_status(void *userdata, const struct node *node)
{
	struct member *m = userdata;
	int64_t now_us = time_wall_us();
	const struct election *e = node_election(node);
	struct cluster_seen seen = node_seen(node);
	bool attached = e->attached, ready = is_ready(node);

	if (attached && !m->attached)
		m->up_us = now_us;
	if (ready && !m->ready)
		m->ready_us = now_us;
	m->attached = attached;
	m->ready = ready;
	set_text(m->server, sizeof(m->server), attached ? seen.server : "");
	if (e->view.key != KEY_UNKNOWN && set_text(m->holder, sizeof(m->holder), seen.holder))
		m->named_us = now_us;
	if (e->view.post != POST_UNKNOWN &&
	    (set_text(m->primary, sizeof(m->primary), seen.primary) || m->epoch != seen.epoch)) {
		m->acting_us = now_us;
		m->epoch = seen.epoch;
	}
	m->fleet->on_change(m->fleet->userdata);
}

static void on_exit_node(void *userdata, int code)
{
	struct member *m = userdata;

	m->node = node_destroy(m->node);
	m->attached = m->ready = false;
	m->fleet->on_change(m->fleet->userdata);
}

static int configure(struct member *m, const struct fleet_options *options, size_t number)
{
	struct config_errors *errors = calloc(1, sizeof(*errors));
	char text[2048];
	int r;

	if (!errors)
		return -ENOMEM;
	snprintf(text, sizeof(text),
		 "[zookeeper]\nservers = %s\nroot = %s\nsession-timeout = %s\n"
		 "[node]\nname = %c%04zu\nmode = %s\n"
		 "[relinquish]\nlease-timeout = 500ms\ncommand = /bin/true\n"
		 "[takeover]\ncommand = /bin/true\n",
		 options->servers, options->root, options->session_timeout,
		 m->coordinator ? 'm' : 'c', number, m->coordinator ? "coordinator" : "client");
	r = config_load_string("load", text, strlen(text), 0, &m->config, errors);
	if (r != 0) {
		config_errors_print(errors, stderr);
		r = -EINVAL;
	}
	free(errors);
	return r;
}

static int start(struct member *m, int log_fd)
{
	const struct log_options log_options = { .node = m->config.node.name,
						 .target = LOG_TARGET_LINES,
						 .fd = log_fd };
	/* A former process that noted no work: no relinquish command at the start, which a load driver need not fork. */
	const struct state idle = { .work = STATE_WORK_DOWN };
	struct node_options options = {
		.loop = m->fleet->loop,
		.config = &m->config,
		.boot_id = boot_id,
		.resume = &idle,
		.on_exit = on_exit_node,
		.on_status = on_status,
		.userdata = m,
	};

	if (log_fd >= 0 && log_create(&log_options, &m->log) < 0)
		return -ENOMEM;
	options.log = m->log;
	return node_create(&options, &m->node);
}

int fleet_create(struct fleet *fleet, struct ev_loop *loop, const struct fleet_options *options)
{
	int r = 0;

	fleet->loop = loop;
	fleet->coordinators = options->coordinators;
	fleet->count = options->coordinators + options->clients;
	fleet->members = calloc(fleet->count, sizeof(*fleet->members));
	if (!fleet->members)
		return -ENOMEM;
	for (size_t i = 0; i < fleet->count && r == 0; i++) {
		struct member *m = &fleet->members[i];

		m->fleet = fleet;
		m->coordinator = i < options->coordinators;
		r = configure(m, options, m->coordinator ? i + 1 : i + 1 - options->coordinators);
	}
	/* All at the same moment, as after a power cut. */
	for (size_t i = 0; i < fleet->count && r == 0; i++)
		r = start(&fleet->members[i], options->log_fd);
	return r;
}

void fleet_finish(struct fleet *fleet)
{
	for (size_t i = 0; i < fleet->count; i++) {
		fleet->members[i].node = node_destroy(fleet->members[i].node);
		fleet->members[i].log = log_destroy(fleet->members[i].log);
		config_finish(&fleet->members[i].config);
	}
	free(fleet->members);
	fleet->members = NULL;
	fleet->count = 0;
}

static struct member *find(struct fleet *fleet, const char *name)
{
	for (size_t i = 0; i < fleet->count; i++)
		if (fleet->members[i].node && !strcmp(fleet->members[i].config.node.name, name))
			return &fleet->members[i];
	return NULL;
}

bool fleet_kill(struct fleet *fleet, const char *name)
{
	struct member *m = find(fleet, name);

	if (m)
		m->node = node_destroy(m->node);
	return m;
}

bool fleet_stop(struct fleet *fleet, const char *name)
{
	struct member *m = find(fleet, name);

	if (m)
		node_shutdown(m->node);
	return m;
}

size_t fleet_count_at(const struct fleet *fleet, const char *server)
{
	size_t count = 0;

	for (size_t i = 0; i < fleet->count; i++)
		count += fleet->members[i].node && !strcmp(fleet->members[i].server, server);
	return count;
}
