/* SPDX-License-Identifier: Apache-2.0 */

/* This node's keys: registered, made again when somebody deleted them, and the rights that it needs to write them. */

#include "internal.h"

#include <string.h>
#include <unistd.h>

#include "base/clock.h"

#include "fault.h"

/* After keys were made again, it is checked this often whether they stayed: first after this time, then doubled. */
#define REPAIR_LOOKS 6
#define REPAIR_LOOK_S 0.05

/* Until the next attempt when the servers refused to make them: doubled this often. */
#define REPAIR_REFUSED_S 1.
#define REPAIR_DOUBLINGS 4

/* Between two trials of rights that are missing: doubled this often. */
#define RIGHTS_LOOK_S 1.
#define RIGHTS_DOUBLINGS 6

static void look_after(struct cluster *c, ev_timer *timer, double base_s, unsigned doublings)
{
	ev_timer_stop(c->loop, timer);
	ev_timer_set(timer, base_s * (1 << doublings), 0.);
	ev_timer_start(c->loop, timer);
}

/* -- repairs -- */

/* Whoever deletes a whole subtree may still be at it: keys that were there during the repair may be gone after it. */
static void look_again(struct cluster *c, bool repaired)
{
	c->repair.looks = repaired ? 0 : c->repair.looks + 1;
	if (c->repair.looks < REPAIR_LOOKS)
		look_after(c, &c->repair.look, REPAIR_LOOK_S, c->repair.looks);
}

/* Whatever asks for a repair meanwhile waits: the servers would refuse it again and again, as fast as they can. */
void cluster_repair_later(void *userdata)
{
	struct cluster *c = userdata;

	c->repair.refused = true;
	c->repair.looks = 0;
	look_after(c, &c->repair.look, REPAIR_REFUSED_S, c->repair.refusals);
	if (c->repair.refusals < REPAIR_DOUBLINGS)
		c->repair.refusals++;
}

static void repair(struct cluster *c, bool only_missing)
{
	const struct election *e = c->election;
	/* The router state to write is not known while the takeover transaction is under way. */
	bool later = c->registration.running || e->phase == PHASE_ENTER || !c->attached;

	if (c->repair.refused)
		return;
	/* Of a process that resumed and has written nothing yet. */
	if (!*c->registration.detail)
		cluster_describe(c, OP_NONE);
	/* A registration that is due makes them all. */
	c->repair.wanted = e->registered && later;
	if (e->registered && !later)
		registration_repair(&c->registration, c->session, c->health,
				    election_router_state(c->rules, e), only_missing);
}

void cluster_repair(struct cluster *c)
{
	repair(c, false);
}

static void on_repair_look(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct cluster *c = timer->data;
	bool refused = c->repair.refused;

	c->repair.refused = false;
	if (!c->farewell && !c->registration.running)
		repair(c, !refused);
}

/* -- rights -- */

/* Report missing rights before the election learns that this node is registered: it would contend. */
static void take_rights(struct cluster *c, const struct rights *rights)
{
	char missing[RIGHTS_TEXT_SIZE];
	bool changed;

	rights_format_missing(rights, missing);
	changed = strcmp(missing, c->rights.missing) != 0;
	strcpy(c->rights.missing, missing);
	cluster_say_rights(c, rights, changed);
	if (changed)
		cluster_emit(c, CLUSTER_RIGHTS);
	if (!*missing) {
		ev_timer_stop(c->loop, &c->rights.look);
		c->rights.looks = 0;
		return;
	}
	look_after(c, &c->rights.look, RIGHTS_LOOK_S, c->rights.looks);
	if (c->rights.looks < RIGHTS_DOUBLINGS)
		c->rights.looks++;
}

static void on_rights(void *userdata, int result)
{
	struct cluster *c = userdata;

	if (result == ZKH_OK && !c->farewell)
		take_rights(c, &c->rights.tried);
}

/* Nothing tells this node that an access list was mended. */
static void on_rights_look(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct cluster *c = timer->data;

	/* A registration tries them itself. */
	if (c->farewell || !c->election->registered)
		return;
	look_after(c, timer, RIGHTS_LOOK_S, c->rights.looks);
	if (zkh_session_connected(c->session))
		(void)rights_try(&c->rights.tried, c->session, c->name,
				 c->registration.rights_flags, on_rights, c);
}

/* -- registration -- */

static void repaired(struct cluster *c, enum election_result result)
{
	if (result != RESULT_OK) {
		cluster_repair_later(c);
	} else {
		c->said.refused[OP_REGISTER] = 0;
		if (c->registration.made)
			cluster_say_repaired(c);
		look_again(c, c->registration.wrote);
		cluster_settle(c);
	}
}

static enum election_result outcome(struct cluster *c, const struct registration_report *report)
{
	switch (report->outcome) {
	case REGISTRATION_OK:
		c->foreign_since_us = 0;
		return RESULT_OK;
	case REGISTRATION_FOREIGN:
		cluster_meet_foreign(c, report, c->election->session_us);
		/* Not a refusal: with doubled pauses this node would come back long after that session has expired. */
		return RESULT_CONFLICT;
	case REGISTRATION_UNKNOWN:
		return RESULT_UNKNOWN;
	case REGISTRATION_TRACE:
		cluster_say_trace(c, report);
		return RESULT_CONFLICT;
	case REGISTRATION_REFUSED:
		cluster_say_refused(c, OP_REGISTER, report->result, report->path);
		break;
	}
	return RESULT_FAILED;
}

static void on_registration(void *userdata, const struct registration_report *report)
{
	struct cluster *c = userdata;
	bool registering = c->repair.registering;
	enum election_result result;

	fault_point("register", "after");
	c->repair.registering = false;
	if (registering && c->registration.coordinator &&
	    (report->outcome == REGISTRATION_OK || report->outcome == REGISTRATION_REFUSED))
		take_rights(c, &c->registration.rights);
	/* Most likely a right was taken away since: such a node could not take over, and has to say so. */
	if (!registering && c->registration.coordinator &&
	    report->outcome == REGISTRATION_REFUSED && !ev_is_active(&c->rights.look))
		look_after(c, &c->rights.look, 0, 0);
	result = outcome(c, report);
	/* It wrote the router state as of its start, which may have changed since. */
	if (result != RESULT_OK)
		writes_unpublish(&c->writes);
	else if (c->registration.wrote)
		writes_registered(&c->writes, c->registration.router);
	if (result == RESULT_OK)
		c->repair.refusals = 0;
	if (!registering) {
		repaired(c, result);
		return;
	}
	if (result == RESULT_OK)
		c->view.floor_epoch = c->registration.zxid;
	cluster_post_done(c, OP_REGISTER, result, c->registration.zxid);
}

void cluster_register(struct cluster *c)
{
	fault_point("register", "before");
	c->repair.registering = true;
	c->repair.wanted = false;
	registration_run(&c->registration, c->session, c->health);
}

/* -- life -- */

static void describe(const struct cluster *c, struct alive *ret_self)
{
	char host[sizeof(ret_self->host)] = "";

	memset(ret_self, 0, sizeof(*ret_self));
	strcpy(ret_self->machine, c->machine_id);
	strncpy(ret_self->boot, c->boot_id, sizeof(ret_self->boot) - 1);
	strncpy(ret_self->version, PRIMARYD_VERSION, sizeof(ret_self->version) - 1);
	if (gethostname(host, sizeof(host) - 1) == 0)
		strcpy(ret_self->host, host);
	strcpy(ret_self->address, c->config->node.address);
	ret_self->pid = getpid();
	ret_self->started_ms = time_wall_us() / 1000;
}

void cluster_repair_init(struct cluster *c)
{
	struct alive self;

	describe(c, &self);
	registration_init(&c->registration, c->name, c->rules->coordinator, &self, on_registration,
			  c);
	c->registration.view = &c->view;
	c->registration.survivor = &c->survivor;
	c->registration.rights_flags = *c->config->zookeeper.auth_file ? RIGHTS_WITH_LISTS : 0;
	ev_init(&c->repair.look, on_repair_look);
	ev_init(&c->rights.look, on_rights_look);
	c->repair.look.data = c->rights.look.data = c;
}

void cluster_repair_finish(struct cluster *c)
{
	ev_timer_stop(c->loop, &c->repair.look);
	ev_timer_stop(c->loop, &c->rights.look);
	rights_cancel(&c->rights.tried);
}
