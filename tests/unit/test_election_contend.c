/* SPDX-License-Identifier: Apache-2.0 */

/* From a vacancy to the work being up, and what may come between. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "test_election_play.h"
#include "test_election_preludes.h"

static void test_vacancy_to_primary(void **state)
{
	struct play play;

	play_init(&play);
	play_script(&play, PLAY_PRIMARY);
	assert_int_equal(play.state.epoch, play.state.view.key_mzxid);
}

static void test_key_missing(void **state)
{
	struct play play;

	play_init(&play);
	play_script(&play, PLAY_FOLLOWING "50 view missing@0 free   => follow: do create key\n"
					  "60 done ok               => follow: refresh\n"
					  "70 view none@0 free      => lock: lock\n"
					  "80 lock ok               => claim: do claim@0\n");
}

static void test_holder_dead(void **state)
{
	struct play play;

	play_init(&play);
	play_script(&play, PLAY_FOLLOWING "50 view dead@1 free      => lock: lock\n"
					  "60 lock ok               => claim: do claim@1\n"
					  "70 done ok               => await\n");
}

/* The loser sees the claim of the other and stops waiting at once. */
static void test_loser(void **state)
{
	struct play play;

	play_init(&play);
	play_script(&play, PLAY_FOLLOWING "50 view none@2 free      => lock: lock\n"
					  "55 view other@3 free     => follow: unlock\n"
					  "900 view other@3 taken   => follow\n");
}

static void test_claim_conflict(void **state)
{
	struct play play;

	play_init(&play);
	play_script(&play, PLAY_FOLLOWING "50 view none@2 free      => lock: lock\n"
					  "60 lock ok               => claim: do claim@2\n"
					  "70 done conflict         => follow: unlock, refresh\n"
					  "80 view other@3 free     => follow\n");
}

static void test_contend_delay(void **state)
{
	struct play play;

	play_init(&play);
	play.config.contend_delay_us = 100 * PLAY_MS;
	play_script(&play, PLAY_FOLLOWING "50 view none@2 free      => contend: count peers\n"
					  "51 peers 1               => contend\n"
					  "150 time                 => lock: lock\n"
					  "160 lock ok              => claim: do claim@2\n");
}

/* Nobody who is preferred can claim. */
static void test_contend_delay_for_nobody(void **state)
{
	struct play play;

	play_init(&play);
	play.config.contend_delay_us = 100 * PLAY_MS;
	play_script(&play, PLAY_FOLLOWING "50 view none@2 free      => contend: count peers\n"
					  "51 peers 0               => lock: lock\n");
}

/* Who is preferred could not be found out: the delay is the bound. */
static void test_contend_delay_for_somebody_unknown(void **state)
{
	struct play play;

	play_init(&play);
	play.config.contend_delay_us = 500 * PLAY_MS;
	play_script(&play, PLAY_FOLLOWING "50 view none@2 free      => contend: count peers\n"
					  "51 peers unknown         => contend: refresh\n"
					  "60 view none@2 free      => contend\n"
					  "451 time                 => contend: count peers\n"
					  "550 time                 => lock: lock\n");
}

/* The head start was used: the lesser candidate never asks for the lock. */
static void test_contend_delay_used(void **state)
{
	struct play play;

	play_init(&play);
	play.config.contend_delay_us = 100 * PLAY_MS;
	play_script(&play, PLAY_FOLLOWING "50 view none@2 free      => contend: count peers\n"
					  "70 view other@3 free     => follow\n"
					  "500 view other@3 taken   => follow\n");
}

/* The key was claimed and released meanwhile: what was remembered is void, the contest starts anew. */
static void test_version_moved(void **state)
{
	struct play play;

	play_init(&play);
	play_script(&play, PLAY_FOLLOWING "50 view none@2 free      => lock: lock\n"
					  "60 view none@4 free      => lock: unlock, lock\n"
					  "70 lock ok               => claim: do claim@4\n");
}

static void test_lock_timeout(void **state)
{
	struct play play;

	play_init(&play);
	play_script(&play, PLAY_FOLLOWING "50 view none@2 free      => lock: lock\n"
					  "450 lock conflict        => follow\n"
					  "460 view none@2 free     => follow\n"
					  "850 time                 => lock: lock\n");
	/* Ever less often while somebody keeps the lock, up to 8 times lock-timeout; a new vacancy is another matter. */
	for (int pause_ms = 800; pause_ms <= 6400; pause_ms *= 2) {
		char script[PLAY_TEXT_MAX];

		snprintf(script, sizeof(script),
			 "+400 lock conflict => follow\n+%d time => lock: lock\n",
			 pause_ms < 3200 ? pause_ms : 3200);
		play_script(&play, script);
	}
	play_script(&play, "+400 lock conflict          => follow\n"
			   "+10 view other@3 taken      => follow\n"
			   "+1 view none@4 free         => lock: lock\n"
			   "+400 lock conflict          => follow\n"
			   "+400 time                   => lock: lock\n");
}

static void test_lock_lost(void **state)
{
	struct play play;

	play_init(&play);
	play_script(&play, PLAY_FOLLOWING "50 view none@2 free      => lock: lock\n"
					  "60 lock failed           => follow\n"
					  "460 time                 => lock: lock\n");
}

static void test_disconnected_in_contest(void **state)
{
	struct play play;

	play_init(&play);
	play_script(&play, PLAY_FOLLOWING "50 view none@2 free      => lock: lock\n"
					  "60 down                  => follow: unlock\n"
					  "500 up 6000              => follow\n"
					  "510 view none@2 free     => lock: lock\n"
					  "520 lost                 => offline: unlock\n"
					  "530 up 6000 fresh        => offline: do register\n");
}

/* Unknown, and it was applied: the key is read, and says so. */
static void test_claim_unknown_applied(void **state)
{
	struct play play;

	play_init(&play);
	play_script(&play, PLAY_FOLLOWING "50 view none@2 free      => lock: lock\n"
					  "60 lock ok               => claim: do claim@2\n"
					  "70 down                  => claim\n"
					  "70 done unknown          => follow: unlock\n"
					  "90 up 6000               => follow\n"
					  "95 view me@3 free        => await\n"
					  "595 time                 => enter: do enter@3\n");
}

/* Unknown, and it was not applied: back to the contest, with what is read now. */
static void test_claim_unknown_lost(void **state)
{
	struct play play;

	play_init(&play);
	play_script(&play, PLAY_FOLLOWING "50 view none@2 free      => lock: lock\n"
					  "60 lock ok               => claim: do claim@2\n"
					  "70 done unknown          => follow: unlock, refresh\n"
					  "71 down                  => follow\n"
					  "90 up 6000               => follow\n"
					  "95 view none@2 free      => lock: lock\n");
}

static void test_claim_failed(void **state)
{
	struct play play;

	play_init(&play);
	play_script(&play, PLAY_FOLLOWING "50 view none@2 free      => lock: lock\n"
					  "60 lock ok               => claim: do claim@2\n"
					  "70 done failed           => follow: unlock, refresh\n"
					  "80 view none@2 free      => follow\n"
					  "470 time                 => lock: lock\n");
}

/* The old primary still acts: the takeover goes on in the moment its post is free. */
static void test_blocked_by_old_primary(void **state)
{
	struct play play;

	play_init(&play);
	play_script(&play, PLAY_FOLLOWING "50 view me@2 taken       => await\n"
					  "550 time                 => await\n"
					  "1750 view me@2 free      => enter: do enter@2\n"
					  "1755 done conflict       => await: refresh\n"
					  "1760 view me@2 taken     => await\n"
					  "3000 view me@2 free      => enter: do enter@2\n"
					  "3010 done ok             => recover: scan\n");
}

/* A missing key of this node is made between two attempts: where that is slow, it must not be cut short for ever. */
static void test_takeover_conflicts_again(void **state)
{
	struct play play;

	play_init(&play);
	play_script(&play, PLAY_FOLLOWING "50 view me@2 free        => await\n"
					  "550 time                 => enter: do enter@2\n"
					  "560 done conflict        => await: refresh\n"
					  "570 view me@2 free       => await\n"
					  "960 time                 => enter: do enter@2\n"
					  "970 done conflict        => await: refresh\n"
					  "980 view me@2 free       => await\n"
					  "1770 time                => enter: do enter@2\n"
					  "1780 done ok             => recover: scan\n");
}

static void test_transition_cancelled(void **state)
{
	struct play play;

	play_init(&play);
	play_script(&play, PLAY_CLAIMED "115 view me@3 free       => await\n"
					"300 view other@4 free    => follow\n"
					"900 view other@4 taken   => follow\n");
}

/* Named again after a cancelled transition: the delay starts anew. */
static void test_transition_restarted(void **state)
{
	struct play play;

	play_init(&play);
	play_script(&play, PLAY_CLAIMED "300 view other@4 free    => follow\n"
					"400 view me@5 free       => await\n"
					"900 time                 => enter: do enter@5\n");
}

/* The takeover was sent, its outcome is unknown, and there is a connection again. */
#define ENTER_UNKNOWN                                                                              \
	PLAY_CLAIMED "115 view me@3 free       => await\n"                                         \
		     "610 time                 => enter: do enter@3\n"                             \
		     "620 down                 => enter\n"                                         \
		     "620 done unknown         => enter\n"                                         \
		     "640 up 6000              => enter\n"

static void test_enter_unknown_applied(void **state)
{
	struct play play;

	play_init(&play);
	play.renewals_by_hand = true;
	play_script(&play, ENTER_UNKNOWN "650 view me@3 mine       => enter: renew\n"
					 "660 renewed ok           => recover: scan\n"
					 "670 corpses 0            => begin: start\n");
	assert_int_equal(play.state.lease_end_us, PLAY_START_US + (650 + 3940) * PLAY_MS);
}

/* The post is that of a former takeover, which an old store brought back: proven by a renewal it would be, but it is not ours. */
static void test_enter_unknown_former(void **state)
{
	struct play play;

	play_init(&play);
	play_script(&play, ENTER_UNKNOWN "650 view me@3 former     => leave: do leave\n"
					 "660 done ok              => await\n");
}

/* The post is there, and its keepalive may not be written: nobody would be at work, and nobody else could be. */
static void test_enter_unknown_unproven(void **state)
{
	struct play play;

	play_init(&play);
	play.renewals_by_hand = true;
	play_script(&play, ENTER_UNKNOWN "650 view me@3 mine       => enter: renew\n"
					 "660 renewed failed       => enter\n"
					 "2140 time                => enter: cut\n"
					 "4550 time                => leave: do leave\n"
					 "4560 done ok             => await\n");
}

/* No server answers any more: the process ends all the same. */
static void test_enter_unknown_shutdown(void **state)
{
	struct play play;

	play_init(&play);
	play_script(&play, ENTER_UNKNOWN "650 down                 => enter\n"
					 "660 shutdown             => enter\n"
					 "2660 time                => gone: depart\n");
}

static void test_enter_unknown_lost(void **state)
{
	struct play play;

	play_init(&play);
	play_script(&play, ENTER_UNKNOWN "650 view me@3 free       => enter: do enter@3\n"
					 "660 done ok              => recover: scan\n");
}

/* Entered, unknown, and meanwhile the key went to another: the post is given back, no work was started. */
static void test_enter_unknown_superseded(void **state)
{
	struct play play;

	play_init(&play);
	play_script(&play, ENTER_UNKNOWN "650 view other@4 mine    => leave: do leave\n"
					 "660 done ok              => follow\n");
}

/* What is in its way does not go: others may have more luck. */
static void test_enter_conflicts_again_and_again(void **state)
{
	struct play play;

	play_init(&play);
	play_script(&play, PLAY_CLAIMED "115 view me@3 free       => await\n"
					"610 time                 => enter: do enter@3\n");
	for (int64_t at_ms = 620, pause_ms = 400, i = 0; i < 6; i++, pause_ms *= 2) {
		char script[256];

		snprintf(script, sizeof(script),
			 "%d done conflict => await: refresh\n"
			 "%d view me@3 free => await\n"
			 "%d time => enter: do enter@3\n",
			 (int)at_ms, (int)at_ms + 10, (int)(at_ms + pause_ms));
		play_script(&play, script);
		at_ms += pause_ms + 10;
	}
	play_script(&play, "26000 done conflict => follow: refresh\n"
			   "26010 view me@3 free => follow\n"
			   "26400 time => follow: do hand back@3\n");
}

/* Attempts to get the lock do not make the takeover of an operator's choice hopeless. */
static void test_named_after_lost_locks(void **state)
{
	struct play play;

	play_init(&play);
	play_script(&play, PLAY_FOLLOWING "50 view none@2 free      => lock: lock\n");
	for (int pause_ms = 400, i = 0; i < 5; i++) {
		char script[PLAY_TEXT_MAX];

		snprintf(script, sizeof(script),
			 "+400 lock conflict => follow\n+%d time => lock: lock\n", pause_ms);
		play_script(&play, script);
		pause_ms = pause_ms < 3200 ? pause_ms * 2 : pause_ms;
	}
	play_script(&play, "+400 lock conflict          => follow\n"
			   "+10 view me@3 free          => await\n"
			   "+500 time                   => enter: do enter@3\n"
			   "+10 done conflict           => await: refresh\n");
}

/* The lease that the takeover opens counts from its sending: answered too late, it is over before it began. */
static void test_enter_answered_late(void **state)
{
	struct play play;

	play_init(&play);
	play_script(&play, PLAY_CLAIMED "115 view me@3 free       => await\n"
					"610 time                 => enter: do enter@3\n"
					"2110 time                => enter: cut\n"
					"3550 done ok             => leave: do leave\n");
}

static void test_corpses_fenced(void **state)
{
	struct play play;

	play_init(&play);
	play.config.acquire_delay_us = 300 * PLAY_MS;
	play_script(&play, PLAY_CLAIMED "115 view me@3 free       => await\n"
					"610 time                 => enter: do enter@3\n"
					"620 done ok              => recover: scan\n"
					"640 corpses 2            => recover\n"
					"940 time                 => recover: fence\n"
					"2000 fenced ok           => recover: renew\n"
					"!2010 renewed ok         => begin: start\n"
					"2100 started ok          => primary\n");
}

/* Somebody else died meanwhile, or the connection broke: look again. */
static void test_fence_looks_again(void **state)
{
	struct play play;

	play_init(&play);
	play_script(&play, PLAY_CLAIMED "115 view me@3 free       => await\n"
					"610 time                 => enter: do enter@3\n"
					"620 done ok              => recover: scan\n"
					"640 corpses 1            => recover: fence\n"
					"700 fenced unknown       => recover\n"
					"1100 time                => recover: scan\n"
					"1110 corpses 1           => recover: fence, renew\n"
					"1120 fenced ok           => recover: renew\n"
					"!1130 renewed ok         => begin: start\n");
}

/* The takeover stops, the key is handed back, and this node stays out for the penalty. */
static void test_fence_fails(void **state)
{
	struct play play;

	play_init(&play);
	play_script(&play, PLAY_CLAIMED "115 view me@3 free       => await\n"
					"610 time                 => enter: do enter@3\n"
					"620 done ok              => recover: scan\n"
					"640 corpses 1            => recover: fence\n"
					"700 fenced failed        => leave: do leave\n"
					"710 done ok              => follow: do hand back@3\n"
					"720 done ok              => follow\n"
					"725 view none@4 free     => follow\n"
					"5700 time                => lock: lock\n");
	assert_int_equal(play.state.failures, 1);
}

static void test_scan_lost(void **state)
{
	struct play play;

	play_init(&play);
	play_script(&play, PLAY_CLAIMED "115 view me@3 free       => await\n"
					"610 time                 => enter: do enter@3\n"
					"620 done ok              => recover: scan\n"
					"630 down                 => recover\n"
					"630 corpses unknown      => recover\n"
					"640 up 6000              => recover: renew\n"
					"650 view me@3 mine       => recover\n"
					"1030 time                => recover: scan\n");
}

/* The takeover itself is refused, as by an access list: the key is handed back, and this node stays out for the penalty. */
static void test_enter_refused(void **state)
{
	struct play play;

	play_init(&play);
	play_script(&play, PLAY_CLAIMED "115 view me@3 free       => await\n"
					"610 time                 => enter: do enter@3\n"
					"620 done failed          => follow: refresh\n"
					"630 view me@3 free       => follow\n"
					"1020 time                => follow: do hand back@3\n"
					"1030 done ok             => follow\n"
					"1040 view none@4 free    => follow\n");
	assert_true(play.state.penalty_until_us > play.state.now_us);
}

/* Somebody else is still at work: it is looked at again and again, not as fast as the servers can answer. */
static void test_scan_waits(void **state)
{
	struct play play;

	play_init(&play);
	play_script(&play, PLAY_CLAIMED "115 view me@3 free       => await\n"
					"610 time                 => enter: do enter@3\n"
					"620 done ok              => recover: scan\n"
					"630 corpses unknown      => recover: refresh\n"
					"635 view me@3 mine       => recover\n"
					"1030 time                => recover: scan\n"
					"1040 corpses unknown     => recover: refresh\n"
					"1045 view me@3 mine      => recover\n"
					"1440 time                => recover: scan\n"
					"1450 corpses 0           => begin: start\n");
}

/* Terms of before are waited for; then the dead are fenced. */
static void test_survey_waits_for_terms(void **state)
{
	struct play play;

	play_init(&play);
	play.config.acquire_delay_us = 300 * PLAY_MS;
	play_script(&play, PLAY_CLAIMED "115 view me@3 free       => await\n"
					"610 time                 => enter: do enter@3\n"
					"620 done ok              => recover: scan\n"
					"640 corpses 1 2015       => recover\n"
					"2015 time                => recover\n"
					"2315 time                => recover: fence\n"
					"2400 fenced ok           => recover: renew\n"
					"!2410 renewed ok         => begin: start\n");
}

static void test_survey_waits_with_nobody_to_fence(void **state)
{
	struct play play;

	play_init(&play);
	play_script(&play, PLAY_CLAIMED "115 view me@3 free       => await\n"
					"610 time                 => enter: do enter@3\n"
					"620 done ok              => recover: scan\n"
					"640 corpses 0 5015       => recover\n"
					"2140 time                => recover: scan\n"
					"2150 corpses 0 5015      => recover\n"
					"3650 time                => recover: scan\n"
					"3660 corpses 0 5015      => recover\n"
					"5015 time                => recover: renew\n"
					"!5020 renewed ok         => begin: start\n");
}

/* What this node sent before its wait was over says nothing of the time after it: without a server nothing is started. */
static void test_no_start_after_a_wait_without_a_server(void **state)
{
	struct play play;

	play_init(&play);
	play_script(&play, PLAY_CLAIMED "115 view me@3 free       => await\n"
					"610 time                 => enter: do enter@3\n"
					"620 done ok              => recover: scan\n"
					"640 corpses 0 2015       => recover\n"
					"1900 down                => recover\n"
					"2015 time                => recover\n"
					"2300 up 6000             => recover: renew\n"
					"2310 renewed ok          => recover\n"
					"2320 view me@3 mine      => begin: start\n");
}

/* What an earlier look found does not count any more. */
static void test_live_node_comes_up_during_a_wait(void **state)
{
	struct play play;

	play_init(&play);
	play_script(&play, PLAY_CLAIMED "115 view me@3 free       => await\n"
					"610 time                 => enter: do enter@3\n"
					"620 done ok              => recover: scan\n"
					"640 corpses 0 5015       => recover\n"
					"2140 time                => recover: scan\n"
					"2150 corpses conflict    => recover\n"
					"2550 time                => recover: scan\n"
					"2560 corpses 0           => recover: renew\n"
					"!2570 renewed ok         => begin: start\n");
}

/* A live node that says it acts is waited for without bound: only it knows when its work is down. */
static void test_live_node_is_waited_for(void **state)
{
	struct play play;

	play_init(&play);
	play_script(&play, PLAY_CLAIMED "115 view me@3 free       => await\n"
					"610 time                 => enter: do enter@3\n"
					"620 done ok              => recover: scan\n"
					"630 corpses conflict     => recover\n");
	for (int i = 0; i < 200; i++) {
		struct election_event time = { .type = ELECTION_TIME };
		struct election_event conflict = { .type = ELECTION_CORPSES,
						   .result = RESULT_CONFLICT };

		while (!play.state.scanning) {
			struct election_event renewed = { .type = ELECTION_RENEWED };

			time.now_us = election_next_us(&play.config, &play.state);
			play_event(&play, &time);
			renewed.now_us = renewed.time_us = play.state.now_us;
			play_event(&play, &renewed);
			play.sent_count = 0;
		}
		conflict.now_us = play.state.now_us;
		play_event(&play, &conflict);
		assert_int_equal(play.state.phase, PHASE_RECOVER);
	}
	assert_true(play.state.now_us > PLAY_START_US + 10 * 6000 * PLAY_MS);
}

/* Higher than the claim's zxid, and than any epoch that is known. */
static void test_epochs(void **state)
{
	static const struct {
		int64_t known, above_claim; /* of the epoch that comes out */
	} table[] = { { 0, 0 }, { -1, 0 }, { 1, 2 }, { 1000, 1001 } };
	struct play play;

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		int64_t claim, known;
		char script[PLAY_TEXT_MAX];

		play_init(&play);
		play_script(&play, PLAY_CLAIMED);
		claim = play.state.view.key_mzxid;
		known = table[i].known ? claim + table[i].known : 0;
		snprintf(script, sizeof(script),
			 "115 view me@3 free epoch %lld => await\n"
			 "610 time => enter: do enter@3\n",
			 (long long)known);
		play_script(&play, script);
		assert_int_equal(play.state.epoch, claim + table[i].above_claim);
		play_script(&play, "620 done ok => recover: scan\n");
		assert_int_equal(play.state.view.epoch, play.state.epoch);
	}
}

/* The last epoch can be taken; after it there is none that is larger. */
static void test_epochs_used_up(void **state)
{
	struct election_view view = { .epoch = ELECTION_EPOCH_MAX };
	struct play play;

	play_init(&play);
	play_script(&play, PLAY_CLAIMED
		    "115 view me@3 free epoch 4611686018427387903 => await\n"
		    "610 time => await\n"
		    "700 view me@3 free epoch 4611686018427387902 => enter: do enter@3\n");
	assert_int_equal(play.state.epoch, ELECTION_EPOCH_MAX);
	assert_true(election_epochs_are_used_up(&view));
	view = (struct election_view){ .key_mzxid = INT64_MAX };
	assert_true(election_epochs_are_used_up(&view));
}

/* While /epoch is not known nothing is taken over. */
static void test_epoch_not_known(void **state)
{
	struct play play;

	play_init(&play);
	play_script(&play, PLAY_CLAIMED "115 view me@3 free no-epoch => await\n"
					"610 time                 => await\n"
					"700 view me@3 free       => enter: do enter@3\n");
}

/* What is refused is asked for ever less often, up to 64 times lock-timeout; a success begins anew. */
static void test_refusals_back_off(void **state)
{
	struct play play;
	int64_t pause_ms = 400;

	play_init(&play);
	play_script(&play, "0 start cold            => stop: stop\n"
			   "10 stopped              => offline\n"
			   "20 up 6000 fresh        => offline: do register\n"
			   "30 done failed          => offline\n");
	for (int i = 0; i < 10; i++) {
		char script[PLAY_TEXT_MAX];

		snprintf(script, sizeof(script),
			 "+%lld time => offline: do register\n+9 done failed => offline\n",
			 (long long)pause_ms);
		play_script(&play, script);
		if (pause_ms < 64 * 400)
			pause_ms *= 2;
	}
	play_script(&play, "+25600 time => offline: do register\n+9 done ok => follow\n");
	assert_int_equal(play.state.refusals, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_survey_waits_for_terms),
		cmocka_unit_test(test_survey_waits_with_nobody_to_fence),
		cmocka_unit_test(test_no_start_after_a_wait_without_a_server),
		cmocka_unit_test(test_live_node_comes_up_during_a_wait),
		cmocka_unit_test(test_live_node_is_waited_for),
		cmocka_unit_test(test_epochs),
		cmocka_unit_test(test_epochs_used_up),
		cmocka_unit_test(test_epoch_not_known),
		cmocka_unit_test(test_refusals_back_off),
		cmocka_unit_test(test_vacancy_to_primary),
		cmocka_unit_test(test_key_missing),
		cmocka_unit_test(test_holder_dead),
		cmocka_unit_test(test_loser),
		cmocka_unit_test(test_claim_conflict),
		cmocka_unit_test(test_contend_delay),
		cmocka_unit_test(test_contend_delay_for_nobody),
		cmocka_unit_test(test_contend_delay_for_somebody_unknown),
		cmocka_unit_test(test_contend_delay_used),
		cmocka_unit_test(test_version_moved),
		cmocka_unit_test(test_lock_timeout),
		cmocka_unit_test(test_lock_lost),
		cmocka_unit_test(test_disconnected_in_contest),
		cmocka_unit_test(test_claim_unknown_applied),
		cmocka_unit_test(test_claim_unknown_lost),
		cmocka_unit_test(test_claim_failed),
		cmocka_unit_test(test_blocked_by_old_primary),
		cmocka_unit_test(test_takeover_conflicts_again),
		cmocka_unit_test(test_transition_cancelled),
		cmocka_unit_test(test_transition_restarted),
		cmocka_unit_test(test_enter_unknown_applied),
		cmocka_unit_test(test_enter_unknown_former),
		cmocka_unit_test(test_enter_unknown_unproven),
		cmocka_unit_test(test_enter_unknown_shutdown),
		cmocka_unit_test(test_enter_unknown_lost),
		cmocka_unit_test(test_enter_unknown_superseded),
		cmocka_unit_test(test_enter_conflicts_again_and_again),
		cmocka_unit_test(test_named_after_lost_locks),
		cmocka_unit_test(test_enter_answered_late),
		cmocka_unit_test(test_corpses_fenced),
		cmocka_unit_test(test_fence_looks_again),
		cmocka_unit_test(test_fence_fails),
		cmocka_unit_test(test_scan_lost),
		cmocka_unit_test(test_scan_waits),
		cmocka_unit_test(test_enter_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
