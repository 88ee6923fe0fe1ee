/* SPDX-License-Identifier: Apache-2.0 */
#include "turn.h"

#include <ev.h>
#include <sysexits.h>

struct turn {
	ev_timer timer;
	double pause_s, left_s;
	turn_fn ask;
	void *userdata;
	int result;
};

static void on_timer(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct turn *turn = timer->data;

	(void)events;
	turn->result = turn->ask(turn->userdata);
	turn->left_s -= turn->pause_s;
	if (turn->result != EX_UNAVAILABLE || turn->left_s <= 0.) {
		ev_break(loop, EVBREAK_ONE);
		return;
	}
	turn->pause_s *= 2;
	if (turn->pause_s > TURN_PAUSE_MAX_S)
		turn->pause_s = TURN_PAUSE_MAX_S;
	ev_timer_set(&turn->timer, turn->pause_s, 0.);
	ev_timer_start(loop, &turn->timer);
}

int turn_wait(struct ev_loop *loop, double bound_s, turn_fn ask, void *userdata)
{
	struct turn turn = {
		.pause_s = TURN_PAUSE_MIN_S, .left_s = bound_s, .ask = ask, .userdata = userdata
	};

	ev_timer_init(&turn.timer, on_timer, turn.pause_s, 0.);
	turn.timer.data = &turn;
	ev_now_update(loop);
	ev_timer_start(loop, &turn.timer);
	ev_run(loop, 0);
	return turn.result;
}
