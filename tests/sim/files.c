/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The files of a daemon, and what it is configured with: the state, the lease file, the lock of the work, the status page, its
 * memory of the cluster. Some of them outlive it. Its log is the trace.
 */

#include "sim.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/boot.h"
#include "base/lock_file.h"
#include "base/notify.h"

/* -- the configuration -- */

static struct config configs[NODES_MAX];
static char command[] = "command";
static char *argv[] = { command, NULL };

const struct config *files_config(const struct sim *w, const struct sim_node *n)
{
	const struct election_config *e = &n->config;
	struct config *c = &configs[n->id];

	memset(c, 0, sizeof(*c));
	strcpy(c->zookeeper.servers, "servers");
	strcpy(c->zookeeper.root, "/");
	c->zookeeper.session_timeout_us = n->wants_us;
	strcpy(c->node.name, node_name(n->id));
	c->node.mode = e->coordinator ? CONFIG_COORDINATOR : CONFIG_CLIENT;
	c->node.rank = (unsigned)n->rank;
	c->node.contend_delay_us = e->contend_delay_us;
	strcpy(c->node.runtime_directory, "run");
	strcpy(c->node.state_directory, "state");
	c->election.lock_timeout_us = e->lock_timeout_us;
	c->election.transition_delay_us = e->transition_delay_us;
	c->election.handover_timeout_us = e->handover_timeout_us;
	c->election.penalty_us = e->penalty_us;
	c->takeover.command.argv = c->relinquish.command.argv = argv;
	c->takeover.timeout_us = w->params.takeover_timeout_us;
	c->takeover.acquire_delay_us = e->acquire_delay_us;
	c->relinquish.timeout_us = w->params.relinquish_timeout_us;
	c->relinquish.lease_timeout_us = e->lease_timeout_us;
	c->relinquish.self_fence = w->params.self_fence ? CONFIG_SELF_FENCE_REBOOT
							: CONFIG_SELF_FENCE_NONE;
	c->fence.command.argv = w->params.fence_exists ? argv : NULL;
	c->fence.failure = w->params.fence_continues ? CONFIG_FENCE_FAILURE_CONTINUE
						     : CONFIG_FENCE_FAILURE_STOP;
	return c;
}

/* Servers that grant too little for the lease are not the simulator's subject. */
int config_check_lease(const struct config *config, int64_t session_timeout_us, char *msg,
		       size_t n_msg)
{
	return 0;
}

void config_auth_put(const struct config_auth *auth, struct zkh_credential *ret_list)
{
}

const char *config_mode_text(enum config_mode mode)
{
	return mode == CONFIG_COORDINATOR ? "coordinator" : "client";
}

int machine_id_read(char ret_id[MACHINE_ID_SIZE])
{
	zkh_machine_text(zkh_current()->machine, ret_id, MACHINE_ID_SIZE);
	return 0;
}

int machine_id_make(const char *state_directory, char ret_id[MACHINE_ID_SIZE])
{
	return machine_id_read(ret_id);
}

int64_t notify_watchdog_us(void)
{
	return 0;
}

/* -- the log -- */

void log_context(struct log *log, const char *primary, int64_t epoch, const char *state)
{
}

const char *log_event_text(enum event event)
{
	return "";
}

void log_event(struct log *log, enum event event, const struct log_fields *fields, const char *fmt,
	       ...)
{
	const struct sim_node *n = node_of(log);
	struct sim *w = n->world;
	char text[512];
	va_list args;

	w->stats.faults[FAULT_REFUSED] += event == EVENT_REQUEST_FAILED;
	w->stats.foreign += event == EVENT_CLUSTER_FOREIGN;
	w->stats.resumes += event == EVENT_SESSION_RESUMED;
	w->stats.kills += event == EVENT_WORK_STOP_LATE;
	if (!w->tracing)
		return;
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	SIM_TRACE(w, "node  %d says: %s", n->id, text);
}

/* -- the state file: host/state.h -- */

uint64_t state_cluster(const char *servers, const char *root, const char *name)
{
	return 1;
}

uint64_t state_work_id(const char *unit)
{
	return 1;
}

int state_save(const char *directory, const struct state *state)
{
	struct sim_node *n = zkh_current();

	process_stop_point(n);
	if (n->world->now < n->state_fails_until)
		return -ENOSPC;
	n->file = *state;
	n->file_there = true;
	return 0;
}

bool state_is_there(const char *directory)
{
	return zkh_current()->file_there;
}

int state_remove(const char *directory)
{
	zkh_current()->file_there = false;
	return 0;
}

/* -- the lease file: guard/lease_file.h, for the daemon -- */

uint8_t page_mark(const struct sim_node *n)
{
	return n->page.marked == n->page.watch ? n->page.mark : LEASE_WATCHED;
}

bool lease_file_is_there(const struct lease_file *file, const char *directory)
{
	return true;
}

bool lease_file_is_damaged(struct lease_file *file)
{
	return false;
}

int64_t lease_file_end_us(struct lease_file *file)
{
	return node_of(file)->page.end_local;
}

/* It may be stopped before the guard's mark is looked at, or before the lease is written. */
bool lease_file_set(struct lease_file *file, int64_t end_us)
{
	struct sim_node *n = node_of(file);

	if (end_us <= 0 ||
	    (end_us > n->lease_proof && !sim_mutated(n->world, MUTATION_RENEW_BY_READ)))
		sim_fail(n->world, "node %d writes a lease until %lld, only %lld is proven", n->id,
			 (long long)end_us, (long long)n->lease_proof);
	process_stop_point(n);
	n->page.end_local = end_us;
	process_stop_point(n);
	return page_mark(n) == LEASE_WATCHED;
}

void lease_file_disarm(struct lease_file *file)
{
	struct sim_node *n = node_of(file);

	process_stop_point(n);
	n->page.end_local = 0;
	process_stop_point(n);
	n->page.watch = (n->page.watch + 1) & ~1u;
	n->term_session = 0;
	n->work.died = 0;
	/* Whatever was wrong with the work goes with it. */
	if (!n->core.healthy)
		process_post(n->world, n, rng_range(&n->world->rng, MS, 2 * SEC), TELL_WELL);
}

void lease_file_set_epoch(struct lease_file *file, int64_t epoch)
{
	node_of(file)->page_epoch = epoch;
}

int64_t lease_file_epoch(struct lease_file *file)
{
	return node_of(file)->page_epoch;
}

void lease_file_set_timeout(struct lease_file *file, int64_t lease_timeout_us)
{
}

uint64_t lease_file_generation(struct lease_file *file)
{
	return node_of(file)->page_generation;
}

int lease_file_raise(struct lease_file *file, const char *directory, uint64_t above)
{
	struct sim_node *n = node_of(file);

	process_stop_point(n);
	if (n->page_generation < above)
		n->page_generation = above;
	n->page_generation++;
	return 0;
}

enum lease_mark lease_file_mark(struct lease_file *file)
{
	return (enum lease_mark)page_mark(node_of(file));
}

/* The commands are noted by those who run them. */
void lease_file_set_group(struct lease_file *file, enum lease_group which, pid_t group)
{
	if (which == LEASE_GROUP_STOP && !group)
		node_of(file)->page.stop = STOP_OF_NOBODY;
}

bool lease_file_group_kill(struct lease_file *file, enum lease_group which)
{
	struct sim_node *n = node_of(file);

	(void)which; /* LEASE_GROUP_TAKEOVER */
	process_stop_point(n);
	work_kill_takeover(n->world, n);
	return true;
}

/* LEASE_GROUP_STOP: whose stop it is, and its number. */
struct process_group lease_file_noted(struct lease_file *file, enum lease_group which)
{
	const struct sim_node *n = node_of(file);

	return (struct process_group){ .id = n->page.stop, .session = (pid_t)page_stop_number(n) };
}

bool process_group_kill(struct process_group group)
{
	struct sim_node *n = zkh_current();

	process_stop_point(n);
	if (group.id == n->page.stop && (uint32_t)group.session == page_stop_number(n))
		page_stop_kill(n->world, n);
	return true;
}

bool lease_file_clear_work(struct lease_file *file, pid_t *ret_group)
{
	struct sim_node *n = node_of(file);

	process_stop_point(n);
	return work_clean_up(n->world, n);
}

/* -- locks: base/lock_file.h -- */

#define LOCK_FD 3

int lock_file_take(const char *directory, const char *name, int *ret_fd)
{
	struct sim_node *n = zkh_current();

	(void)name; /* WORK_LOCK_FILE */
	process_stop_point(n);
	if (n->guard.lock)
		return LOCK_FILE_BUSY;
	n->work.lock = 1;
	*ret_fd = LOCK_FD;
	return 0;
}

int lock_file_release(int fd)
{
	if (fd == LOCK_FD)
		zkh_current()->work.lock = 0;
	return -1;
}

int lock_file_look(const char *directory, const char *name, char text[LOCK_FILE_TEXT_SIZE])
{
	(void)name; /* GUARD_LOCK_FILE */
	*text = '\0';
	return zkh_current()->guard.alive ? LOCK_FILE_BUSY : 0;
}

/* -- the status page: status/page.h -- */

static const struct status empty_page;

const struct status *status_page_get(const struct status_page *page)
{
	return &empty_page;
}

void status_page_write(struct status_page *page, const struct status *status)
{
	struct sim_node *n = node_of(page);

	process_stop_point(n);
	n->shown_until = status->primary_until_us;
	oracle_show(n->world, n);
}

void status_page_withdraw(struct status_page *page)
{
	node_of(page)->shown_until = 0;
}

void status_page_turn(struct status_page *page, int64_t now_us)
{
}

/* -- the memory of the cluster: identity_file.h -- */

void files_see_cluster(const struct sim_tree *t, struct identity_seen *ret_seen)
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

int identity_file_path(const char *directory, const char *runtime_directory, char *ret_path)
{
	strcpy(ret_path, "memory");
	return 0;
}

int identity_file_load(const char *path, struct identity *known)
{
	const struct identity *disk = &zkh_current()->disk;

	if (!*disk->id)
		return -ENOENT;
	*known = *disk;
	return 0;
}

void identity_writer_init(struct identity_writer *writer, struct ev_loop *loop, const char *path,
			  identity_writer_fn on_done, void *userdata)
{
	(void)on_done; /* it never fails */
	writer->loop = loop;
	snprintf(writer->path, sizeof(writer->path), "%s", path);
}

void identity_writer_finish(struct identity_writer *writer)
{
}

void identity_writer_save(struct identity_writer *writer, const struct identity *known)
{
	struct sim_node *n = node_of(writer->loop);

	disk_settle(n->world, n); /* what was noted before goes its own way */
	n->disk_next = *known;
	disk_keep(n->world, n);
}
