/* SPDX-License-Identifier: Apache-2.0 */
#include "witness.h"

#include <assert.h>
#include <string.h>

#include "base/timer.h"
#include "election/lease.h"

static_assert(SURVIVOR_NAME_SIZE == NAME_SIZE, "a survivor notes names");

static void wait_us(struct witness *witness, int64_t delay_us)
{
	ev_timer_stop(witness->loop, &witness->timer);
	ev_timer_set(&witness->timer, (double)delay_us / 1e6, 0.);
	ev_timer_start(witness->loop, &witness->timer);
}

static void stop(struct witness *witness)
{
	zkh_op_cancel(witness->op);
	witness->op = NULL;
	ev_timer_stop(witness->loop, &witness->timer);
}

static void on_keepalive(void *userdata, int result, const char *data, size_t length,
			 const struct zkh_stat *stat)
{
	struct witness *witness = userdata;

	witness->op = NULL;
	if (zkh_is_unanswered(result))
		return; /* it is read again when attached */
	if (result == ZKH_OK)
		survivor_note(witness->survivor, witness->primary, stat->mzxid, time_boot_us());
	wait_us(witness, lease_watch_us(witness->session_us));
}

static void look(struct witness *witness)
{
	char path[KEY_PATH_SIZE];

	stop(witness);
	if (!witness->session || !*witness->primary)
		return;
	node_key_path(witness->primary, NODE_KEY_KEEPALIVE, path);
	if (zkh_get(witness->session, path, false, on_keepalive, witness, &witness->op) == 0)
		wait_us(witness, lease_cut_us(witness->session_us));
}

static void on_timer(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct witness *witness = timer->data;

	if (witness->op)
		witness->on_silent(witness->userdata);
	else
		look(witness);
}

void witness_init(struct witness *witness, struct ev_loop *loop, struct survivor *survivor,
		  void (*on_silent)(void *userdata), void *userdata)
{
	*witness = (struct witness){
		.loop = loop, .survivor = survivor, .on_silent = on_silent, .userdata = userdata
	};
	ev_init(&witness->timer, on_timer);
	witness->timer.data = witness;
}

void witness_finish(struct witness *witness)
{
	if (witness->loop)
		stop(witness);
}

void witness_attached(struct witness *witness, struct zkh_session *session, int64_t session_us)
{
	witness->session = session;
	witness->session_us = session_us;
	look(witness);
}

void witness_detached(struct witness *witness)
{
	witness->session = NULL;
	stop(witness);
}

void witness_set_primary(struct witness *witness, const char *name)
{
	if (!strcmp(witness->primary, name))
		return;
	strcpy(witness->primary, name);
	look(witness);
}
