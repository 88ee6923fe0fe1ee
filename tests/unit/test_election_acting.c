/* SPDX-License-Identifier: Apache-2.0 */

/* The acting primary: yielding, vacancies, handing over, shutting down, failing. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "test_election_play.h"
#include "test_election_preludes.h"

static void play_from_primary(const char *script)
{
	struct play play;

	play_init(&play);
	play_script(&play, PLAY_PRIMARY);
	play_script(&play, script);
}

static void test_switchover(void **state)
{
	play_from_primary("1000 view other@4 mine    => yield\n"
			  "1500 time                 => stop: stop\n"
			  "1600 stopped              => leave: do leave\n"
			  "1610 done ok              => follow\n"
			  "1620 view other@4 taken   => follow\n");
}

static void test_switchover_cancelled(void **state)
{
	play_from_primary("1000 view other@4 mine    => yield\n"
			  "1300 view me@5 mine       => primary\n"
			  "9000 view me@5 mine       => primary\n");
}

/* The successor changes: this node has been waiting all the same. */
static void test_switchover_redirected(void **state)
{
	play_from_primary("1000 view other@4 mine    => yield\n"
			  "1300 view other@5 mine    => yield\n"
			  "1500 time                 => stop: stop\n");
}

/* The chosen successor dies before it has entered: the post never moved. */
static void test_switchover_to_dead(void **state)
{
	struct play play;

	play_init(&play);
	play_script(&play, PLAY_PRIMARY "1000 view other@4 mine    => yield\n"
					"1200 view dead@4 mine     => vacated\n"
					"2100 time                 => vacated: do reclaim@4\n"
					"2108 done ok              => primary\n");
	assert_true(play.state.epoch < play.state.view.key_mzxid);
}

/* Released, and nobody claims: taken back, in the epoch that it had. */
static void test_reclaim(void **state)
{
	struct play play;
	int64_t epoch;

	play_init(&play);
	play_script(&play, PLAY_PRIMARY);
	epoch = play.state.epoch;
	play_script(&play, "1000 view none@4 mine    => vacated\n"
			   "1900 time                => vacated: do reclaim@4\n"
			   "1910 done ok             => primary\n"
			   "1915 view me@5 mine      => primary\n");
	assert_int_equal(play.state.epoch, epoch);
}

static void test_reclaim_beaten(void **state)
{
	play_from_primary("1000 view none@4 mine     => vacated\n"
			  "1900 time                 => vacated: do reclaim@4\n"
			  "1910 done conflict        => vacated: refresh\n"
			  "1920 view other@5 mine    => yield\n"
			  "2420 time                 => stop: stop\n");
}

static void test_post_of_a_former_term(void **state)
{
	play_from_primary("1000 view me@3 former     => stop: stop\n"
			  "1010 stopped              => leave: do leave\n"
			  "1020 done ok              => await\n");
}

static void test_reclaim_unknown(void **state)
{
	play_from_primary("1000 view none@4 mine     => vacated\n"
			  "1900 time                 => vacated: do reclaim@4\n"
			  "1910 down                 => vacated\n"
			  "1910 done unknown         => vacated\n"
			  "1950 up 6000              => vacated: renew\n"
			  "1960 view me@5 mine       => primary\n");
}

static void test_key_deleted(void **state)
{
	play_from_primary("1000 view missing@0 mine  => vacated\n"
			  "1900 time                 => vacated: do create key\n"
			  "1910 done ok              => vacated: refresh\n"
			  "1920 view none@0 mine     => vacated: do reclaim@0\n"
			  "1930 done ok              => primary\n");
}

/* Released with a successor: it claims, its delay and ours run side by side, then it waits for the post. */
static void test_release(void **state)
{
	play_from_primary("1000 view none@4 mine     => vacated\n"
			  "1020 view other@5 mine    => yield\n"
			  "1520 time                 => stop: stop\n"
			  "1530 stopped              => leave: do leave\n"
			  "1540 done ok              => follow\n");
}

static void test_shutdown_with_successor(void **state)
{
	play_from_primary("1000 shutdown             => handover: count peers, do hand back@3\n"
			  "1005 peers 2              => handover\n"
			  "1010 done ok              => handover\n"
			  "1015 view none@4 mine     => handover\n"
			  "1030 view other@5 mine    => yield\n"
			  "1530 time                 => stop: stop\n"
			  "1600 stopped              => leave: do leave\n"
			  "1610 done ok              => gone: depart\n");
}

static void test_shutdown_alone(void **state)
{
	play_from_primary("1000 shutdown             => handover: count peers, do hand back@3\n"
			  "1005 peers 0              => stop: stop\n"
			  "1010 done ok              => stop\n"
			  "1100 stopped              => leave: do leave\n"
			  "1110 done ok              => gone: depart\n");
}

static void test_shutdown_nobody_claims(void **state)
{
	play_from_primary("1000 shutdown             => handover: count peers, do hand back@3\n"
			  "1005 peers 2              => handover\n"
			  "1010 done ok              => handover\n"
			  "3000 time                 => stop: stop\n"
			  "3100 stopped              => leave: do leave\n"
			  "3110 done ok              => gone: depart\n");
}

/* The hand back did not come through: it is tried again, and the stop does not wait for it. */
static void test_shutdown_hand_back_fails(void **state)
{
	play_from_primary("1000 shutdown             => handover: count peers, do hand back@3\n"
			  "1010 done failed          => handover: refresh\n"
			  "1020 view me@3 mine       => handover\n"
			  "1030 peers 0              => stop: stop\n"
			  "1410 time                 => stop: do hand back@3\n"
			  "1420 done ok              => stop\n"
			  "1500 stopped              => leave: do leave\n"
			  "1510 done ok              => gone: depart\n");
}

static void test_shutdown_of_follower(void **state)
{
	struct play play;

	play_init(&play);
	play_script(&play, PLAY_FOLLOWING "1000 shutdown            => gone: depart\n");
}

static void test_shutdown_in_contest(void **state)
{
	struct play play;

	play_init(&play);
	play_script(&play, PLAY_FOLLOWING "1000 view none@2 free    => lock: lock\n"
					  "1010 shutdown            => gone: unlock, depart\n");
}

static void test_shutdown_while_claiming(void **state)
{
	struct play play;

	play_init(&play);
	play_script(&play, PLAY_FOLLOWING "1000 view none@2 free    => lock: lock\n"
					  "1010 lock ok             => claim: do claim@2\n"
					  "1015 shutdown            => claim\n"
					  "1020 done ok             => follow: do hand back@3\n"
					  "1030 done ok             => gone: depart\n");
}

static void test_shutdown_in_takeover(void **state)
{
	struct play play;

	play_init(&play);
	play_script(&play, PLAY_CLAIMED "115 view me@3 free       => await\n"
					"610 time                 => enter: do enter@3\n"
					"620 done ok              => recover: scan\n"
					"625 view me@3 mine       => recover\n"
					"630 corpses 0            => begin: start\n"
					"640 shutdown             => stop: stop, do hand back@3\n"
					"650 done ok              => stop\n"
					"700 stopped              => leave: do leave\n"
					"710 done ok              => gone: depart\n");
}

/* Nothing answers: the departure is bounded. */
static void test_shutdown_offline(void **state)
{
	struct play play;

	play_init(&play);
	play_script(&play, PLAY_FOLLOWING "1000 down                => follow\n"
					  "1100 shutdown            => follow\n"
					  "3100 time                => gone: depart\n");
}

static void test_drain(void **state)
{
	play_from_primary(
		"1000 view me@3 mine drained    => handover: count peers, do hand back@3\n"
		"1005 peers 1                   => handover\n"
		"1010 done ok                   => handover\n"
		"1020 view other@5 mine drained => yield\n"
		"1520 time                      => stop: stop\n"
		"1530 stopped                   => leave: do leave\n"
		"1540 done ok                   => follow\n"
		"1550 view none@6 free drained  => follow\n"
		"2000 view none@6 free          => lock: lock\n");
}

/* Undrained before anybody claimed: it stays, and takes the key back. */
static void test_undrain_in_time(void **state)
{
	play_from_primary("1000 view me@3 mine drained   => handover: count peers, do hand back@3\n"
			  "1005 peers 1                  => handover\n"
			  "1010 done ok                  => handover\n"
			  "1020 view none@4 mine drained => handover\n"
			  "1500 view none@4 mine         => vacated\n"
			  "2400 time                     => vacated: do reclaim@4\n"
			  "2410 done ok                  => primary\n");
}

static void test_unhealthy(void **state)
{
	play_from_primary("1000 health failed        => handover: count peers, do hand back@3\n"
			  "1005 peers 1              => handover\n"
			  "1010 done ok              => handover\n"
			  "1020 view other@5 mine    => yield\n"
			  "1520 time                 => stop: stop\n"
			  "1530 stopped              => leave: do leave\n"
			  "1540 done ok              => follow\n");
}

static void test_unhealthy_alone(void **state)
{
	play_from_primary("1000 health failed        => handover: count peers, do hand back@3\n"
			  "1005 peers 0              => stop: stop\n"
			  "1010 done ok              => stop\n"
			  "1530 stopped              => leave: do leave\n"
			  "1540 done ok              => follow\n"
			  "1550 view none@4 free     => follow\n"
			  "8000 health ok            => lock: lock\n");
}

static void test_maintenance_keeps_unhealthy(void **state)
{
	play_from_primary(
		"1000 view me@3 mine maintenance => primary\n"
		"1100 health failed              => primary\n"
		"9000 view me@3 mine             => handover: count peers, do hand back@3\n");
}

static void test_superseded_in_takeover(void **state)
{
	struct play play;

	play_init(&play);
	play_script(&play, PLAY_CLAIMED "115 view me@3 free       => await\n"
					"610 time                 => enter: do enter@3\n"
					"620 done ok              => recover: scan\n"
					"630 corpses 0            => begin: start\n"
					"640 view other@4 mine    => stop: stop\n"
					"650 stopped              => leave: do leave\n"
					"660 done ok              => follow\n");
}

static void test_leave_fails(void **state)
{
	play_from_primary("1000 view other@4 mine    => yield\n"
			  "1500 time                 => stop: stop\n"
			  "1600 stopped              => leave: do leave\n"
			  "1610 done failed          => leave: refresh\n"
			  "1620 view other@4 mine    => leave\n"
			  "2010 time                 => leave: do leave\n"
			  "2020 done ok              => follow\n");
}

/* A post that is found to be ours though nothing runs is given back. */
static void test_left_over_post(void **state)
{
	struct play play;

	play_init(&play);
	play_script(&play, PLAY_FOLLOWING "50 view none@2 mine      => leave: do leave\n"
					  "60 done ok               => lock: lock\n");
}

/* Of another node it is not: what it holds is still seen after our release. */
static void test_release_beside_another(void **state)
{
	struct play play;

	play_init(&play);
	play_script(&play, PLAY_PRIMARY "1000 view other@4 taken   => stop: stop\n"
					"1020 stopped              => leave: do leave\n"
					"1030 done ok              => follow\n");
	assert_int_equal(play.state.view.post, POST_OTHER);
}

/* Its keys are refused after a restart: the post of before is given back all the same. */
static void test_left_over_post_unregistered(void **state)
{
	struct play play;

	play_init(&play);
	play_script(&play, "0 start cold              => stop: stop\n"
			   "10 stopped                => offline\n"
			   "20 up 6000                => offline: do register\n"
			   "30 view me@2 mine         => offline\n"
			   "40 done failed            => offline: do leave\n"
			   "50 done ok                => offline: refresh\n"
			   "60 view me@2 free         => offline\n");
}

/* The post is read anew, or is lost, in the same turn of the loop: it would be left behind, or another's would be deleted. */
static void test_sent_if_it_is_still_so(void **state)
{
	struct election_view now = { .post = POST_MINE };
	struct play play;

	play_init(&play);
	play_script(&play, PLAY_PRIMARY "1000 view other@4 mine    => yield\n"
					"1500 time                 => stop: stop\n"
					"1600 stopped              => leave: do leave\n");
	now.epoch = play.state.epoch;
	assert_true(election_may_send(&play.state, OP_LEAVE, &now));
	assert_false(election_may_send(&play.state, OP_ENTER, &now));
	assert_true(election_may_send(&play.state, OP_HAND_BACK, &now));
	now.post = POST_UNKNOWN;
	assert_false(election_may_send(&play.state, OP_LEAVE, &now));
	now.post = POST_OTHER;
	assert_false(election_may_send(&play.state, OP_LEAVE, &now));
	now.epoch--;
	assert_true(election_may_send(&play.state, OP_ENTER, &now));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_switchover),
		cmocka_unit_test(test_switchover_cancelled),
		cmocka_unit_test(test_switchover_redirected),
		cmocka_unit_test(test_switchover_to_dead),
		cmocka_unit_test(test_reclaim),
		cmocka_unit_test(test_reclaim_beaten),
		cmocka_unit_test(test_post_of_a_former_term),
		cmocka_unit_test(test_reclaim_unknown),
		cmocka_unit_test(test_key_deleted),
		cmocka_unit_test(test_release),
		cmocka_unit_test(test_shutdown_with_successor),
		cmocka_unit_test(test_shutdown_alone),
		cmocka_unit_test(test_shutdown_nobody_claims),
		cmocka_unit_test(test_shutdown_hand_back_fails),
		cmocka_unit_test(test_shutdown_of_follower),
		cmocka_unit_test(test_shutdown_in_contest),
		cmocka_unit_test(test_shutdown_while_claiming),
		cmocka_unit_test(test_shutdown_in_takeover),
		cmocka_unit_test(test_shutdown_offline),
		cmocka_unit_test(test_drain),
		cmocka_unit_test(test_undrain_in_time),
		cmocka_unit_test(test_unhealthy),
		cmocka_unit_test(test_unhealthy_alone),
		cmocka_unit_test(test_maintenance_keeps_unhealthy),
		cmocka_unit_test(test_superseded_in_takeover),
		cmocka_unit_test(test_leave_fails),
		cmocka_unit_test(test_sent_if_it_is_still_so),
		cmocka_unit_test(test_left_over_post),
		cmocka_unit_test(test_release_beside_another),
		cmocka_unit_test(test_left_over_post_unregistered),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
