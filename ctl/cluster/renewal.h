/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Looks whether the acting primary renews its lease. renewal_seen.h judges what it sees. */

#include <ev.h>

#include "facts.h"

struct renewal {
	struct ctl *ctl; /* NULL: closed */
	char name[NAME_SIZE], path[KEY_PATH_SIZE];
	int64_t epoch;
	struct renewal_seen seen;
	struct zkh_op *op;
	ev_timer timer;
	int64_t sent_us; /* of the read under way */
	bool over;	 /* nothing to follow, or not allowed to */
	void (*on_look)(void *userdata);
	void *userdata;
};

/* Follows the acting primary, if it tells T. on_look (or NULL) comes after each look, from the loop. */
void renewal_open(struct renewal *r, struct ctl *ctl, const struct facts *facts,
		  void (*on_look)(void *userdata), void *userdata);
void renewal_close(struct renewal *r); /* also fine when zeroed */

/* Whether it still follows the primary of these facts. */
bool renewal_follows(const struct renewal *r, const struct facts *facts);

/* The looks so far suffice for a verdict. For ctl_wait(). */
bool renewal_decided(void *renewal);
