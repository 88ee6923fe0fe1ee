/* SPDX-License-Identifier: Apache-2.0 */

/* The lease: what a primary does that is cut off, late, robbed or restarted. T = 6 s. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "election/lease.h"
#include "test_election_play.h"
#include "test_election_preludes.h"

static void play_from_primary(struct play *play, const char *script)
{
	play_init(play);
	play_script(play, PLAY_PRIMARY);
	play->renewals_by_hand = true;
	play_script(play, script);
}

static void test_arithmetic(void **state)
{
	for (int64_t t_us = 600 * PLAY_MS; t_us < 600000 * PLAY_MS; t_us += 777 * PLAY_MS) {
		int64_t fit_us = t_us / 3 - lease_margin_us(t_us);
		int64_t left_us = lease_length_us(t_us) - fit_us;

		/* Renewals that take as long as is still no fault, or: sent, lost, cut, sent again, answered. */
		assert_true(left_us >= lease_renew_us(t_us) + lease_patience_us(t_us));
		assert_true(left_us >= lease_renew_us(t_us) + 2 * lease_cut_us(t_us));
		assert_true(lease_fits(t_us, fit_us));
		assert_false(lease_fits(t_us, fit_us + 1));
		/* The survivor waits longer than the primary works, and, after an expiry, no longer than the session. */
		assert_true(lease_promise_us(t_us) > lease_length_us(t_us));
		assert_true(lease_watch_us(t_us) + lease_promise_us(t_us) <= t_us);
		assert_true(lease_unknown_promise_us(t_us) >= lease_promise_us(t_us));
	}
}

/* Each T/12, and each acknowledgement moves the end on from the time of its sending. */
static void test_renewals(void **state)
{
	struct play play;

	play_from_primary(&play, "1110 time          => primary: renew\n"
				 "1300 renewed ok    => primary\n"
				 "1610 time          => primary: renew\n"
				 "1611 renewed ok    => primary\n");
	assert_int_equal(play.state.lease_end_us, PLAY_START_US + (1610 + 3940) * PLAY_MS);
}

/* A renewal that takes longer than T/12 does not hold up the next: commits may take T/4. */
static void test_slow_renewals(void **state)
{
	struct play play;

	play_from_primary(&play, "1110 time          => primary: renew\n"
				 "1610 time          => primary: renew\n"
				 "2110 time          => primary: renew\n"
				 "2115 renewed ok    => primary\n"
				 "2610 time          => primary: renew\n"
				 "3100 renewed ok    => primary\n"
				 "3110 time          => primary: renew\n");
	assert_int_equal(play.state.lease_end_us, PLAY_START_US + (1610 + 3940) * PLAY_MS);
}

/* No progress for T/4: one other server is tried, and no third before there is progress. */
static void test_no_progress(void **state)
{
	struct play play;

	play_from_primary(&play, "1110 time            => primary: renew\n"
				 "1120 renewed ok      => primary\n"
				 "1610 time            => primary: renew\n"
				 "2110 time            => primary: renew\n"
				 "2610 time            => primary: renew\n"
				 "2620 time            => primary: cut\n"
				 "2621 down            => primary\n"
				 "2630 up 6000         => primary: renew\n"
				 "2640 view me@3 mine  => primary\n"
				 "3130 time            => primary: renew\n"
				 "3630 time            => primary: renew\n"
				 "4050 time            => stop: stop\n");
}

/* The counter that is read in the keepalive is as good as an acknowledgement: both are told in the same words. */
static void test_progress_ends_the_cut(void **state)
{
	struct play play;

	play_from_primary(&play, "1110 time            => primary: renew\n"
				 "1610 time            => primary: renew\n"
				 "2110 time            => primary: renew\n"
				 "2120 time            => primary: cut\n"
				 "2121 down            => primary\n"
				 "2130 up 6000         => primary: renew\n"
				 "2135 renewed ok      => primary\n"
				 "2140 view me@3 mine  => primary\n"
				 "2630 time            => primary: renew\n"
				 "3130 time            => primary: renew\n"
				 "3630 time            => primary: renew\n"
				 "3640 time            => primary: cut\n");
	assert_int_equal(play.state.lease_end_us, PLAY_START_US + (2130 + 3940) * PLAY_MS);
}

/* A renewal says nothing of whose the post is: it counts once that is known. */
static void test_renewed_before_the_post_is_known(void **state)
{
	struct play play;

	play_from_primary(&play, "1110 time            => primary: renew\n"
				 "1115 down            => primary\n"
				 "1120 up 6000         => primary: renew\n"
				 "1130 renewed ok      => primary\n");
	assert_int_equal(play.state.lease_end_us, PLAY_START_US + (610 + 3940) * PLAY_MS);
	play_script(&play, "1140 view me@3 mine  => primary\n");
	assert_int_equal(play.state.lease_end_us, PLAY_START_US + (1120 + 3940) * PLAY_MS);
}

static void test_renewed_by_the_post_of_another(void **state)
{
	struct play play;

	play_from_primary(&play, "1110 time             => primary: renew\n"
				 "1115 down             => primary\n"
				 "1120 up 6000          => primary: renew\n"
				 "1130 renewed ok       => primary\n"
				 "1140 view me@3 taken  => stop: stop\n"
				 "1150 renewed ok       => stop\n");
	assert_int_equal(play.state.lease_end_us, PLAY_START_US + (610 + 3940) * PLAY_MS);
}

/* Cut off, silently: the next server is tried, in vain; the work is down before the lease ends. */
static void test_run_out(void **state)
{
	struct play play;

	play_from_primary(&play, "1110 time            => primary: renew\n"
				 "1871 down            => primary\n"
				 "3550 time            => stop: stop\n"
				 "4000 stopped         => leave\n"
				 "9000 lost            => offline\n"
				 "9001 up 6000 fresh   => offline: do register\n"
				 "9010 done ok         => follow\n");
}

/* Connected again with time left: one committed write, and nothing has happened. */
static void test_run_out_averted(void **state)
{
	struct play play;

	play_from_primary(&play, "1110 time            => primary: renew\n"
				 "1871 down            => primary\n"
				 "3500 up 6000         => primary: renew\n"
				 "3505 view me@3 mine  => primary\n"
				 "3510 renewed ok      => primary\n"
				 "4000 time            => primary: renew\n");
}

/* Whatever a later server grants: the term has the length that was published. */
static void test_other_session_timeouts(void **state)
{
	struct play play;

	play_from_primary(&play, "1110 time            => primary: renew\n"
				 "1115 down            => primary\n"
				 "1120 up 2000         => primary: renew\n"
				 "1125 view me@3 mine  => primary\n"
				 "1130 renewed ok      => primary\n"
				 "1140 down            => primary\n"
				 "1200 up 30000        => primary: renew\n"
				 "1205 view me@3 mine  => primary\n"
				 "1210 renewed ok      => primary\n"
				 "1700 time            => primary: renew\n");
	assert_int_equal(play.state.lease_end_us, PLAY_START_US + (1200 + 3940) * PLAY_MS);
	assert_int_equal(play.state.session_us, 30000 * PLAY_MS);
}

/* Connected again while the work is already being stopped: the stop goes on, and gets the time to be orderly. */
static void test_run_out_reconnected_too_late(void **state)
{
	struct play play;

	play_from_primary(&play, "1110 time            => primary: renew\n"
				 "1871 down            => primary\n"
				 "3550 time            => stop: stop\n"
				 "3600 up 6000         => stop\n"
				 "3610 view me@3 mine  => stop: renew\n"
				 "3620 renewed ok      => stop\n"
				 "4110 time            => stop: renew\n"
				 "4120 renewed ok      => stop\n"
				 "4500 stopped         => leave: do leave\n"
				 "4510 done ok         => await\n");
}

/* Slept past the lease: the answer that waits in the socket is not even looked at before the work is being stopped. */
static void test_late_timer(void **state)
{
	struct play play;

	play_from_primary(&play, "1110 time            => primary: renew\n");
	play_script(&play, "!30000 renewed ok     => stop: stop, renew\n");
}

static void test_post_lost(void **state)
{
	struct play play;

	play_from_primary(&play, "1000 view me@3 free    => stop: stop\n"
				 "1100 stopped           => leave: do leave\n"
				 "1110 done ok           => await\n");
}

/* Whoever is next waits for this term: the stop has its lease. */
static void test_renewal_refused(void **state)
{
	struct play play;

	play_from_primary(&play, "1110 time              => primary: renew\n"
				 "1130 renewed conflict  => stop: stop, refresh\n"
				 "1140 view me@3 taken   => stop\n"
				 "4440 stopped           => leave: do leave\n");
}

static void test_session_lost(void **state)
{
	struct play play;

	play_from_primary(&play, "1000 lost              => stop: stop\n"
				 "1010 up 6000 fresh     => stop\n"
				 "1020 view none@4 free  => stop\n"
				 "1100 stopped           => offline: do register\n"
				 "1110 done ok           => lock: lock\n");
}

/* While the dead are being fenced the lease runs out: nothing was started, nothing is to be stopped. */
static void test_run_out_in_recover(void **state)
{
	struct play play;

	play_init(&play);
	play_script(&play, PLAY_CLAIMED "115 view me@3 free       => await\n"
					"610 time                 => enter: do enter@3\n"
					"620 done ok              => recover: scan\n"
					"630 corpses 1            => recover: fence\n"
					"640 down                 => recover\n"
					"3550 time                => leave\n"
					"4000 fenced ok           => leave\n"
					"5000 up 6000             => leave\n"
					"5005 view me@3 mine      => leave: do leave\n"
					"5010 done ok             => await\n");
}

/* The same session within the lease: looked at, proven by a write, the work untouched. */
static void test_resume(void **state)
{
	struct play play;

	play_init(&play);
	play.renewals_by_hand = true;
	play_script(&play, "0 start primary 2500     => resume\n"
			   "10 up 6000               => resume\n"
			   "20 view me@3 mine        => resume: renew\n"
			   "30 renewed ok            => primary\n"
			   "40 view me@3 mine        => primary\n");
	assert_int_equal(play.state.epoch, 77);
	assert_int_equal(play.state.lease_end_us, PLAY_START_US + (20 + 3940) * PLAY_MS);
	assert_true(play.state.registered);
}

static void test_resume_superseded(void **state)
{
	struct play play;

	play_init(&play);
	play.renewals_by_hand = true;
	play_script(&play, "0 start primary 2500     => resume\n"
			   "10 up 6000               => resume\n"
			   "20 view other@4 mine     => resume: renew\n"
			   "30 renewed ok            => yield\n"
			   "530 time                 => stop: stop\n");
}

static void test_resume_too_late(void **state)
{
	struct play play;

	play_init(&play);
	play_script(&play, "0 start primary 900      => stop: stop\n"
			   "100 stopped              => offline\n"
			   "110 up 6000 fresh        => offline: do register\n");
}

/* No server answers in time. */
static void test_resume_unanswered(void **state)
{
	struct play play;

	play_init(&play);
	play_script(&play, "0 start primary 2500     => resume\n"
			   "1500 time                => stop: stop\n"
			   "1600 up 6000             => stop\n"
			   "1610 view me@3 mine      => stop\n"
			   "1700 stopped             => offline: do register\n"
			   "1710 done ok             => leave: do leave\n"
			   "1720 done ok             => await\n");
}

static void test_resume_post_gone(void **state)
{
	struct play play;

	play_init(&play);
	play_script(&play, "0 start primary 2500     => resume\n"
			   "10 up 6000               => resume\n"
			   "20 view other@4 taken    => stop: stop\n"
			   "30 stopped               => offline: do register\n"
			   "40 done ok               => follow\n");
}

static void test_resume_session_gone(void **state)
{
	struct play play;

	play_init(&play);
	play_script(&play, "0 start primary 2500     => resume\n"
			   "10 lost                  => stop: stop\n"
			   "20 up 6000 fresh         => stop\n"
			   "30 stopped               => offline: do register\n");
}

/* Was starting or stopping the work: what state it is in is not known, so it is stopped, and only then left. */
static void test_resume_in_between(void **state)
{
	struct play play;

	play_init(&play);
	play_script(&play, "0 start other 2500       => stop: stop\n"
			   "10 up 6000               => stop\n"
			   "20 view me@3 mine        => stop\n"
			   "30 stopped               => offline: do register\n"
			   "40 done ok               => leave: do leave\n"
			   "50 done ok               => await\n");
}

/* A state file that says nothing about the lease is not believed. */
static void test_resume_without_lease(void **state)
{
	struct play play;

	play_init(&play);
	play_script(&play, "0 start primary          => stop: stop\n"
			   "100 stopped              => offline\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_arithmetic),
		cmocka_unit_test(test_renewals),
		cmocka_unit_test(test_slow_renewals),
		cmocka_unit_test(test_no_progress),
		cmocka_unit_test(test_progress_ends_the_cut),
		cmocka_unit_test(test_renewed_before_the_post_is_known),
		cmocka_unit_test(test_renewed_by_the_post_of_another),
		cmocka_unit_test(test_run_out),
		cmocka_unit_test(test_run_out_averted),
		cmocka_unit_test(test_other_session_timeouts),
		cmocka_unit_test(test_run_out_reconnected_too_late),
		cmocka_unit_test(test_late_timer),
		cmocka_unit_test(test_post_lost),
		cmocka_unit_test(test_renewal_refused),
		cmocka_unit_test(test_session_lost),
		cmocka_unit_test(test_run_out_in_recover),
		cmocka_unit_test(test_resume),
		cmocka_unit_test(test_resume_superseded),
		cmocka_unit_test(test_resume_too_late),
		cmocka_unit_test(test_resume_unanswered),
		cmocka_unit_test(test_resume_post_gone),
		cmocka_unit_test(test_resume_session_gone),
		cmocka_unit_test(test_resume_in_between),
		cmocka_unit_test(test_resume_without_lease),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
