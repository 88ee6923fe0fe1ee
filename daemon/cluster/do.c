/* SPDX-License-Identifier: Apache-2.0 */

/* The election's transactions, and what this node tells of itself along with them. */

#include "internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/duration.h"

/* What is wrong with a node that is not healthy, unless that is nothing that the history can hold. */
static const char *reason_text(const struct cluster *c, uint8_t reason)
{
	static const char failed[] = "failed: ";

	if (reason != REASON_UNHEALTHY || strncmp(c->health, failed, strlen(failed)) != 0 ||
	    strpbrk(c->health, "\"\\"))
		return election_reason_text(reason);
	return c->health + strlen(failed);
}

static int describe_delays(const struct cluster *c, char *text)
{
	char contend[DURATION_TEXT_SIZE], lock[DURATION_TEXT_SIZE], delay[DURATION_TEXT_SIZE];
	char session[DURATION_TEXT_SIZE];

	return snprintf(text, DETAIL_SIZE,
			"format=%" PRId64
			" rank=%u contend-delay=%s lock-timeout=%s transition-delay=%s "
			"session-timeout=%s",
			identity_format_known(), c->config->node.rank,
			duration_format(c->rules->contend_delay_us, contend),
			duration_format(c->rules->lock_timeout_us, lock),
			duration_format(c->rules->transition_delay_us, delay),
			duration_format(c->election->session_us, session));
}

void cluster_describe_again(struct cluster *c)
{
	const char *failed = c->fence_check.failed;
	char *text = c->registration.detail;
	int n = describe_delays(c, text);

	(void)snprintf(text + n, DETAIL_SIZE - (size_t)n, "%s%s%s",
		       *failed ? " " DETAIL_FENCE_FAILED : "", failed, c->move);
}

/* For people and `primaryctl explain`. `reason` is the last one, and open-ended. */
void cluster_describe(struct cluster *c, enum election_op op)
{
	const struct election *e = c->election;
	char *text = c->move;
	int64_t penalty_us = e->penalty_until_us - e->now_us;
	int n = 0;

	*text = '\0';
	if (op == OP_LEAVE && c->stopping_us)
		n = snprintf(text, DETAIL_MOVE_SIZE, " " DETAIL_STOP "%.3fms",
			     (double)(time_boot_us() - c->stopping_us) / 1e3);
	if (op == OP_HAND_BACK)
		snprintf(text + n, DETAIL_MOVE_SIZE - (size_t)n,
			 " " DETAIL_LEFT "%" PRId64 " " DETAIL_REASON "%s", e->epoch,
			 reason_text(c, e->reason));
	else if (penalty_us > 0)
		snprintf(text + n, DETAIL_MOVE_SIZE - (size_t)n,
			 " penalty-until=%" PRId64 " " DETAIL_REASON "%s",
			 (time_wall_us() + penalty_us) / 1000,
			 election_reason_text(e->stop_reason));
	cluster_describe_again(c);
}

/* Before it is sent. */
static void note_enter(struct cluster *c)
{
	debt_begin(&c->debt, &c->view, ensemble_own(&c->ensemble), c->election->epoch);
	c->writes.owes = debt_is_owed(&c->debt);
	recovery_begin(&c->recovery, c->debt.owner, c->debt.remembers, c->election->term_us);
}

static bool may_send(const struct cluster *c, enum election_op op)
{
	struct election_view now;

	view_election(&c->view, &now);
	return election_may_send(c->election, op, &now) && (op != OP_CLAIM || c->lock);
}

void cluster_do(struct cluster *c, const struct election_action *action)
{
	cluster_describe(c, (enum election_op)action->op);
	if (action->op == OP_REGISTER) {
		cluster_register(c);
		return;
	}
	if (!may_send(c, (enum election_op)action->op)) {
		cluster_post_done(c, (enum election_op)action->op, RESULT_CONFLICT, 0);
		return;
	}
	if (action->op == OP_ENTER)
		note_enter(c);
	strcpy(c->writes.detail, c->registration.detail);
	strcpy(c->writes.leaves, debt_owner(&c->debt, &c->view, ensemble_own(&c->ensemble)));
	writes_do(&c->writes, (enum election_op)action->op, action->version, c->election->epoch,
		  c->election->term_us, c->lock ? zkh_lock_path(c->lock) : NULL,
		  election_reason_text(action->reason));
}
