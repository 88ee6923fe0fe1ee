/* SPDX-License-Identifier: Apache-2.0 */
#include "lease.h"

#include <string.h>

#include "election/lease.h"

/* A touch answered at k is proven by a write sent at k + T/4 or later. */
#define PROOF_SHARE 4

/* Touches closer to each other than this share of T are not noted: the oldest count. */
#define TOUCH_SHARE 16

/* A lease may be this share of T shorter than the longest. */
#define FRESH_SHARE 12

static int64_t from_touch_us(const struct lock_lease *lease, int64_t touched_us)
{
	return touched_us + lease->session_us - lease_margin_us(lease->session_us);
}

void lock_lease_attach(struct lock_lease *lease, int64_t granted_us)
{
	int64_t end_us;

	memset(lease->touches, 0, sizeof(lease->touches));
	/* It cannot have been asked for before the connection before it was lost. */
	if (lease->down_us > lease->touched_us)
		lease->touched_us = lease->down_us;
	/* It never grows here: the next leader goes by the one that the session was created with. */
	if (!lease->session_us || granted_us < lease->session_us)
		lease->session_us = granted_us;
	end_us = from_touch_us(lease, lease->down_us);
	if (lease->end_us > end_us)
		lease->end_us = end_us;
}

/* The latest touch that the leader knows of, if a write sent at sent_us commits. */
static int64_t proven_us(const struct lock_lease *lease, int64_t sent_us)
{
	int64_t answered_by_us = sent_us - lease->session_us / PROOF_SHARE;
	int64_t touched_us = lease->touched_us;

	for (int i = 0; i < LOCK_TOUCHES; i++)
		if (lease->touches[i].sent_us > touched_us &&
		    lease->touches[i].answered_us <= answered_by_us)
			touched_us = lease->touches[i].sent_us;
	return touched_us;
}

static void note(struct lock_lease *lease, int64_t sent_us, int64_t now_us)
{
	struct lock_touch *touches = lease->touches;

	if (touches[0].sent_us && sent_us - touches[0].sent_us < lease->session_us / TOUCH_SHARE)
		return;
	memmove(touches + 1, touches, (LOCK_TOUCHES - 1) * sizeof(*touches));
	touches[0] = (struct lock_touch){ .sent_us = sent_us, .answered_us = now_us };
}

void lock_lease_open(struct lock_lease *lease, int64_t sent_us, int64_t now_us)
{
	int64_t end_us = sent_us + lease_length_us(lease->session_us);
	int64_t touch_us;

	lease->touched_us = proven_us(lease, sent_us);
	touch_us = from_touch_us(lease, lease->touched_us);
	if (end_us > touch_us)
		end_us = touch_us;
	if (end_us > lease->end_us)
		lease->end_us = end_us;
	note(lease, sent_us, now_us);
}

bool lock_lease_fresh(const struct lock_lease *lease, int64_t now_us)
{
	int64_t since_us = now_us - lease->session_us / 3 - lease->session_us / FRESH_SHARE;

	return proven_us(lease, now_us) >= since_us;
}
