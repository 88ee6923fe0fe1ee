/* SPDX-License-Identifier: Apache-2.0 */
#include "renewal_seen.h"

#include "election/lease.h"

void renewal_note(struct renewal_seen *seen, int64_t mzxid, int64_t stamp_ms, int64_t asked_us,
		  int64_t now_us, int64_t wall_ms)
{
	if (!seen->known || mzxid != seen->mzxid) {
		seen->moved = seen->known;
		seen->first_us = now_us;
		seen->wall_ms = wall_ms;
	}
	seen->known = true;
	seen->mzxid = mzxid;
	seen->stamp_ms = stamp_ms;
	seen->asked_us = asked_us;
}

/* When it was first read: what the clock says later it may say because it is behind. */
static int64_t clock_age_us(const struct renewal_seen *seen)
{
	int64_t since_ms = seen->stamp_ms > seen->post_since_ms ? seen->stamp_ms
								: seen->post_since_ms;

	return (seen->wall_ms - since_ms) * 1000;
}

/* What needs no clock of others. */
static int64_t still_us(const struct renewal_seen *seen)
{
	return seen->asked_us > seen->first_us ? seen->asked_us - seen->first_us : 0;
}

/* In the future, or older than what a living session can be: no age of a renewal. */
static bool clock_is_plausible(const struct renewal_seen *seen)
{
	int64_t age_us = clock_age_us(seen);

	return age_us >= -lease_renew_us(seen->session_us) && age_us <= 2 * seen->session_us;
}

static bool is_fresh(const struct renewal_seen *seen)
{
	int64_t limit_us = seen->session_us / 4;

	if (seen->moved)
		return still_us(seen) < limit_us;
	return clock_is_plausible(seen) && clock_age_us(seen) + still_us(seen) < limit_us;
}

/* Three periods, or one and a half when a clock has told the rest. */
static int64_t needed_us(const struct renewal_seen *seen)
{
	return !seen->moved && clock_is_plausible(seen) ? seen->session_us / 8
							: seen->session_us / 4;
}

bool renewal_suffices(const struct renewal_seen *seen)
{
	return seen->known && (is_fresh(seen) || still_us(seen) >= needed_us(seen));
}

struct renewal_verdict renewal_judge(const struct renewal_seen *seen)
{
	struct renewal_verdict verdict = { .session_us = seen->session_us };
	int64_t still = still_us(seen), age_us = clock_age_us(seen) + still;

	if (!renewal_suffices(seen) || is_fresh(seen))
		return verdict;
	if (seen->moved || !clock_is_plausible(seen)) {
		verdict.quiet_us = still;
		verdict.at_least = !seen->moved;
	} else {
		verdict.quiet_us = age_us > still ? age_us : still;
	}
	/* The session would be gone: nobody may write the key. Or the clock is off: no reason for an alarm either. */
	verdict.unwritten = (seen->moved ? still : age_us) > 2 * seen->session_us;
	verdict.stale = !verdict.unwritten;
	return verdict;
}
