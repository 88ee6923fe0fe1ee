/* SPDX-License-Identifier: Apache-2.0 */
#include "trial.h"

#include <stdio.h>
#include <string.h>

#include "zk/session/zkh_session.h"

/* Longer than a change of the leader takes: it was a reload that could wait. */
#define BOUND_S 10.

void trial_finish(struct trial *trial)
{
	if (!trial->loop)
		return;
	ev_timer_stop(trial->loop, &trial->bound);
	rights_cancel(&trial->rights);
	trial->session = zkh_session_destroy(trial->session);
}

static void end(struct trial *trial, const char *problem)
{
	trial_finish(trial);
	trial->on_done(trial->userdata, problem);
}

static void on_bound(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct trial *trial = timer->data;
	char text[TRIAL_TEXT_SIZE + 64];

	snprintf(text, sizeof(text), "it could not be tried within %d s%s%s", (int)BOUND_S,
		 *trial->trouble ? ": " : "", trial->trouble);
	end(trial, text);
}

static void on_rights(void *userdata, int result)
{
	struct trial *trial = userdata;
	char missing[RIGHTS_TEXT_SIZE], text[TRIAL_TEXT_SIZE] = "";

	if (zkh_is_unanswered(result))
		return; /* the next connection tries again */
	rights_format_missing(&trial->rights, missing);
	if (result != ZKH_OK)
		snprintf(text, sizeof(text), "it could not be tried: %s", zkh_result_text(result));
	else if (*missing)
		snprintf(text, sizeof(text),
			 RIGHTS_MISSING
			 "%s; the keys' access lists have to accept it first: primaryctl auth",
			 missing);
	end(trial, text);
}

static void on_session(void *userdata, const struct zkh_session_report *report)
{
	struct trial *trial = userdata;
	int r = 0;

	if (report->event == ZKH_CONNECTED)
		r = rights_try(&trial->rights, trial->session, trial->name, trial->flags, on_rights,
			       trial);
	else if (*report->detail)
		snprintf(trial->trouble, sizeof(trial->trouble), "%s", report->detail);
	if (r != 0)
		on_rights(trial, r > 0 ? r : ZKH_FAILED);
}

void trial_start(struct trial *trial, struct ev_loop *loop, const struct config *config,
		 const struct config_auth *auth, trial_fn on_done, void *userdata)
{
	struct zkh_session_config options = {
		.servers = config->zookeeper.servers,
		.tunnel = config->zookeeper.tunnel,
		.root = config->zookeeper.root,
		.timeout_ms = (int32_t)(config->zookeeper.session_timeout_us / 1000),
		.on_event = on_session,
		.userdata = trial,
	};

	trial_finish(trial);
	*trial = (struct trial){ .loop = loop, .on_done = on_done, .userdata = userdata };
	trial->flags = config->node.mode == CONFIG_COORDINATOR ? 0 : RIGHTS_OF_CLIENT;
	strcpy(trial->name, config->node.name);
	config_auth_put(auth, options.auth);
	ev_timer_init(&trial->bound, on_bound, BOUND_S, 0.);
	trial->bound.data = trial;
	/* Without a session the bound ends it, too. */
	if (zkh_session_create(loop, &options, &trial->session) != 0)
		snprintf(trial->trouble, sizeof(trial->trouble), "no session can be made");
	ev_now_update(loop);
	ev_timer_start(loop, &trial->bound);
}
