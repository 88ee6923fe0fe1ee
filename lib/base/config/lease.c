/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>

#include "config.h"
#include "election/lease.h"

#define MARGIN_MIN_US (50 * DURATION_MS)

/* The shortest session timeout, to the next millisecond, in which the stop fits. */
static int64_t least_session_us(int64_t lease_timeout_us)
{
	int64_t session_us = 3 * (lease_timeout_us + MARGIN_MIN_US);

	/* Beyond, the margin is T/100: T/3 - T/100 is 97/300 T. */
	if (session_us > 100 * MARGIN_MIN_US)
		session_us = (lease_timeout_us * 300 + 96) / 97;
	session_us += 10; /* the divisions above and below round down */
	return (session_us + DURATION_MS - 1) / DURATION_MS * DURATION_MS;
}

int config_check_lease(const struct config *config, int64_t session_timeout_us, char *msg,
		       size_t n_msg)
{
	char lease[DURATION_TEXT_SIZE], margin[DURATION_TEXT_SIZE], sum[DURATION_TEXT_SIZE];
	char third[DURATION_TEXT_SIZE], session[DURATION_TEXT_SIZE];
	char less[DURATION_TEXT_SIZE + 64] = "";
	char more[DURATION_TEXT_SIZE];
	int64_t lease_us = config->relinquish.lease_timeout_us;
	int64_t margin_us = lease_margin_us(session_timeout_us);
	int64_t third_us = session_timeout_us / 3;
	int64_t most_us = (third_us - margin_us) / DURATION_MS * DURATION_MS;

	assert(session_timeout_us >= 0 && session_timeout_us <= DURATION_MAX);
	if (lease_fits(session_timeout_us, lease_us))
		return 0;
	if (most_us >= 10 * DURATION_MS)
		(void)snprintf(less, sizeof(less),
			       "set relinquish.lease-timeout to at most %s, or ",
			       duration_format(most_us, sum));
	(void)snprintf(
		msg, n_msg,
		"lease-timeout %s + margin %s = %s exceeds a third, %s, of the session timeout "
		"%s: of the lease's two thirds, one is for renewals (T/12 + T/8 + T/8), one to "
		"stop the work (%szookeeper.session-timeout to at least %s)",
		duration_format(lease_us, lease), duration_format(margin_us, margin),
		duration_format(lease_us + margin_us, sum), duration_format(third_us, third),
		duration_format(session_timeout_us, session), less,
		duration_format(least_session_us(lease_us), more));
	return CONFIG_INVALID;
}
