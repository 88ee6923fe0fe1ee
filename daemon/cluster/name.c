/* SPDX-License-Identifier: Apache-2.0 */

/* Another daemon that may live under this node's name. */

#include "internal.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/clock.h"

#define LOOK_S 0.1

bool cluster_is_own_past(const struct cluster *c, const struct registration_report *report)
{
	return report->other.pid == getpid() && !strcmp(report->other.boot, c->boot_id);
}

/*
 * The time of one connection counts: while there was none, a new leader may have given the other session a whole timeout
 * again. A session that this very process has left behind expires for sure.
 */
void cluster_meet_foreign(struct cluster *c, const struct registration_report *report,
			  int64_t session_us)
{
	int64_t now_us = time_boot_us();
	int64_t patience_us = session_us + session_us / 2;

	if (!c->foreign_since_us) {
		c->foreign_since_us = now_us;
		cluster_say_foreign(c, report, false);
	} else if (now_us - c->foreign_since_us > patience_us && !cluster_is_own_past(c, report) &&
		   !c->election->shutdown) {
		cluster_say_foreign(c, report, true);
		cluster_refuse(c, EX_UNAVAILABLE);
	}
}

/* -- a cold start -- */

static void release(struct cluster *c)
{
	cluster_cold_finish(c);
	c->foreign_since_us = 0;
	cluster_emit(c, CLUSTER_NAME_FREE);
	if (zkh_session_connected(c->session))
		cluster_attached(c, true);
}

/* The process itself, not only the session that it may have left behind. */
static bool lives_here(const struct cluster *c, const struct alive *other)
{
	pid_t pid = (pid_t)other->pid;

	return !strcmp(other->boot, c->boot_id) && pid > 0 && pid != getpid() &&
	       (kill(pid, 0) == 0 || errno == EPERM);
}

static void on_alive(void *userdata, int result, const char *data, size_t length,
		     const struct zkh_stat *stat)
{
	struct cluster *c = userdata;
	struct registration_report report = { .outcome = REGISTRATION_FOREIGN, .path = "" };

	c->cold.op = NULL;
	if (zkh_is_unanswered(result))
		return;
	if (result == ZKH_OK && stat->ephemeral_owner) {
		value_alive(data, length, &report.other);
		report.other_session = stat->ephemeral_owner;
	}
	if (lives_here(c, &report.other))
		cluster_meet_foreign(c, &report,
				     zkh_session_timeout_ms(c->session) * INT64_C(1000));
	else
		release(c);
}

void cluster_cold_look(struct cluster *c)
{
	char path[KEY_PATH_SIZE];

	if (c->cold.op || !zkh_session_connected(c->session))
		return;
	node_key_path(c->name, NODE_KEY_ALIVE, path);
	if (zkh_get(c->session, path, false, on_alive, c, &c->cold.op) == 0)
		c->cold.until_us = time_boot_us() + c->config->zookeeper.session_timeout_us;
}

static void on_look(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct cluster *c = timer->data;

	if (!c->foreign_since_us && time_boot_us() >= c->cold.until_us)
		release(c);
	else
		cluster_cold_look(c);
}

void cluster_ask_name(struct cluster *cluster)
{
	struct cluster *c = cluster;

	c->cold.asked = true;
	c->cold.until_us = time_boot_us() + c->config->zookeeper.session_timeout_us;
	ev_timer_init(&c->cold.look, on_look, LOOK_S, LOOK_S);
	c->cold.look.data = c;
	ev_timer_start(c->loop, &c->cold.look);
}

void cluster_cold_finish(struct cluster *c)
{
	if (!c->cold.asked)
		return;
	c->cold.asked = false;
	zkh_op_cancel(c->cold.op);
	c->cold.op = NULL;
	ev_timer_stop(c->loop, &c->cold.look);
}
