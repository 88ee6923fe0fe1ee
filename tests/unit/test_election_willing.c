/* SPDX-License-Identifier: Apache-2.0 */

/* Nodes that may not, or should not, be primary: penalty, drain, health, maintenance, clients. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "test_election_play.h"
#include "test_election_preludes.h"

/* Work that does not start unwinds the whole takeover: nothing stands, the key is free, the node waits. */
static void test_takeover_fails(void **state)
{
	struct play play;

	play_init(&play);
	play_script(&play, PLAY_CLAIMED "115 view me@3 free       => await\n"
					"610 time                 => enter: do enter@3\n"
					"620 done ok              => recover: scan\n"
					"625 view me@3 mine       => recover\n"
					"630 corpses 0            => begin: start\n"
					"900 started failed       => stop: stop, do hand back@3\n"
					"905 done ok              => stop\n"
					"950 stopped              => leave: do leave\n"
					"960 done ok              => follow\n"
					"965 view none@4 free     => follow\n"
					"5900 time                => lock: lock\n");
}

/* The other one claims while this node's penalty runs: nothing is left to do when it is over. */
static void test_penalty_filled_by_other(void **state)
{
	struct play play;

	play_init(&play);
	play_script(&play, PLAY_CLAIMED "610 view me@3 free       => enter: do enter@3\n"
					"620 done ok              => recover: scan\n"
					"630 corpses 0            => begin: start\n"
					"900 started failed       => stop: stop, do hand back@3\n"
					"905 done ok              => stop\n"
					"950 stopped              => leave: do leave\n"
					"960 done ok              => follow\n"
					"980 view other@5 free    => follow\n"
					"9000 view other@5 taken  => follow\n");
}

/* Fails `times` times in a row, each time as soon as the penalty is over. */
static int64_t fail_takeovers(struct play *play, int times)
{
	int64_t penalty_us = 0;

	for (int i = 0; i < times; i++) {
		play_script(play, "+10 lock ok           => claim: do claim@2\n"
				  "+10 done ok           => await\n"
				  "+1 view me@3 free     => await\n"
				  "+499 time             => enter: do enter@3\n"
				  "+10 done ok           => recover: scan\n"
				  "+10 corpses 0         => begin: start\n"
				  "+10 started failed    => stop: stop, do hand back@3\n");
		penalty_us = play->state.penalty_until_us - play->state.now_us;
		play_script(play, "+10 done ok           => stop\n"
				  "+10 stopped           => leave: do leave\n"
				  "+10 done ok           => follow\n");
		play->state.view.key_version = play->state.seen_version = 2;
		play->state.now_us = play->state.penalty_until_us - 1000 * PLAY_MS;
		play_script(play, "+0 view none@2 free   => follow\n"
				  "+1000 time            => lock: lock\n");
	}
	return penalty_us;
}

static void test_penalty_doubles(void **state)
{
	static const int64_t penalty_s[] = { 5, 10, 20, 40, 80, 160, 160, 160 };
	struct play play;

	for (int times = 1; times <= 8; times++) {
		play_init(&play);
		play_script(&play, PLAY_FOLLOWING "20000 view none@2 free => lock: lock\n");
		assert_int_equal(fail_takeovers(&play, times),
				 penalty_s[times - 1] * 1000 * PLAY_MS);
	}
}

/* One success, and the next failure starts from the beginning. */
static void test_penalty_forgotten(void **state)
{
	struct play play;

	play_init(&play);
	play_script(&play, PLAY_FOLLOWING "20000 view none@2 free => lock: lock\n");
	fail_takeovers(&play, 3);
	play_script(&play, "+10 lock ok            => claim: do claim@2\n"
			   "+10 done ok            => await\n"
			   "+1 view me@3 free      => await\n"
			   "+499 time              => enter: do enter@3\n"
			   "+10 done ok            => recover: scan\n"
			   "+10 corpses 0          => begin: start\n"
			   "+10 started ok         => primary\n");
	assert_int_equal(play.state.failures, 0);
}

/* An operator ends the penalty: the node contends at once, and its next failure is the first one. */
static void test_penalty_pardoned(void **state)
{
	struct play play;

	play_init(&play);
	play_script(&play, PLAY_FOLLOWING "20000 view none@2 free => lock: lock\n");
	assert_int_equal(fail_takeovers(&play, 2), 10 * 1000 * PLAY_MS);
	play_script(&play, "+10 lock ok            => claim: do claim@2\n"
			   "+10 done ok            => await\n"
			   "+1 view me@3 free      => await\n"
			   "+499 time              => enter: do enter@3\n"
			   "+10 done ok            => recover: scan\n"
			   "+10 corpses 0          => begin: start\n"
			   "+10 started failed     => stop: stop, do hand back@3\n"
			   "+10 done ok            => stop\n"
			   "+10 stopped            => leave: do leave\n"
			   "+10 done ok            => follow\n");
	play.state.view.key_version = play.state.seen_version = 2;
	play_script(&play, "+10 view none@2 free   => follow\n"
			   "+10 pardon             => lock: lock\n"
			   "+10 pardon             => lock\n");
	assert_int_equal(play.state.failures, 0);
}

static void test_not_eligible(void **state)
{
	struct play play;

	play_init(&play);
	play_script(&play, PLAY_FOLLOWING "50 health failed                 => follow\n"
					  "60 view none@2 free              => follow\n"
					  "70 health ok                     => lock: lock\n"
					  "75 health failed                 => follow: unlock\n"
					  "80 view none@2 drained           => follow\n"
					  "90 health ok                     => follow\n"
					  "100 view none@2                  => lock: lock\n"
					  "110 view none@2 maintenance      => follow: unlock\n"
					  "9000 view none@2 maintenance     => follow\n"
					  "9010 view none@2                 => lock: lock\n"
					  "9020 view none@2 absent          => follow: unlock\n"
					  "9510 view none@2                 => lock: lock\n");
}

/* In maintenance operators still move the role. */
static void test_named_in_maintenance(void **state)
{
	struct play play;

	play_init(&play);
	play_script(&play,
		    PLAY_FOLLOWING "50 view me@2 free maintenance    => await\n"
				   "550 time                         => enter: do enter@2\n");
}

static void test_client_named(void **state)
{
	struct play play;

	play_init(&play);
	play.config.coordinator = 0;
	play_script(&play, PLAY_FOLLOWING "50 view none@2 free      => follow\n"
					  "60 view me@3 free        => follow: do hand back@3\n"
					  "70 done ok               => follow\n"
					  "75 view none@4 free      => follow\n");
	assert_string_equal(election_router_state(&play.config, &play.state), "client");
}

static void test_drained_named(void **state)
{
	struct play play;

	play_init(&play);
	play_script(&play, PLAY_FOLLOWING "50 view me@2 free drained  => follow: do hand back@2\n"
					  "60 done conflict           => follow: refresh\n"
					  "70 view me@3 free drained  => follow: do hand back@3\n"
					  "80 done failed             => follow: refresh\n"
					  "90 view me@3 free drained  => follow\n"
					  "480 time                   => follow: do hand back@3\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_takeover_fails),
		cmocka_unit_test(test_penalty_filled_by_other),
		cmocka_unit_test(test_penalty_doubles),
		cmocka_unit_test(test_penalty_forgotten),
		cmocka_unit_test(test_penalty_pardoned),
		cmocka_unit_test(test_not_eligible),
		cmocka_unit_test(test_named_in_maintenance),
		cmocka_unit_test(test_client_named),
		cmocka_unit_test(test_drained_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
