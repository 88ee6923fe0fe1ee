/* SPDX-License-Identifier: Apache-2.0 */

/* What waits for the election: in its order, but for the loss of a session. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "election/inbox.h"

static struct election_inbox inbox;

static void put(enum election_event_type type, enum election_result result)
{
	const struct election_event event = { .type = (uint8_t)type, .result = (uint8_t)result };

	assert_true(election_inbox_put(&inbox, &event));
}

static void expect(enum election_event_type type, enum election_result result)
{
	struct election_event event;

	assert_true(election_inbox_take(&inbox, &event));
	assert_int_equal(event.type, type);
	assert_int_equal(event.result, result);
}

static void expect_nothing(void)
{
	struct election_event event;

	assert_false(election_inbox_take(&inbox, &event));
}

static int setup(void **state)
{
	memset(&inbox, 0, sizeof(inbox));
	return 0;
}

static void test_order(void **state)
{
	put(ELECTION_VIEW, RESULT_OK);
	put(ELECTION_DONE, RESULT_CONFLICT);
	expect(ELECTION_VIEW, RESULT_OK);
	put(ELECTION_TIME, RESULT_OK);
	expect(ELECTION_DONE, RESULT_CONFLICT);
	expect(ELECTION_TIME, RESULT_OK);
	expect_nothing();
}

/* Two processes on one session: that the work may start, and that the other one goes on, may be told in one turn of the loop. */
static void test_loss_goes_ahead(void **state)
{
	put(ELECTION_SESSION_UP, RESULT_OK);
	put(ELECTION_VIEW, RESULT_OK);
	put(ELECTION_STOPPED, RESULT_OK);
	put(ELECTION_CORPSES, RESULT_OK);
	put(ELECTION_RENEWED, RESULT_OK);
	put(ELECTION_PEERS, RESULT_OK);
	put(ELECTION_LOCK, RESULT_OK);
	put(ELECTION_DONE, RESULT_OK);
	put(ELECTION_FENCED, RESULT_OK);
	put(ELECTION_SESSION_DOWN, RESULT_OK);
	put(ELECTION_SESSION_LOST, RESULT_OK);
	put(ELECTION_SESSION_UP, RESULT_OK);
	put(ELECTION_VIEW, RESULT_OK);
	expect(ELECTION_SESSION_LOST, RESULT_OK);
	expect(ELECTION_STOPPED, RESULT_OK);
	expect(ELECTION_DONE, RESULT_UNKNOWN); /* exactly one answer to each operation */
	expect(ELECTION_FENCED, RESULT_OK);
	expect(ELECTION_SESSION_UP, RESULT_OK);
	expect(ELECTION_VIEW, RESULT_OK);
	expect_nothing();
}

static void test_losses_are_one(void **state)
{
	put(ELECTION_SESSION_LOST, RESULT_OK);
	put(ELECTION_VIEW, RESULT_OK);
	put(ELECTION_SESSION_LOST, RESULT_OK);
	expect(ELECTION_SESSION_LOST, RESULT_OK);
	expect_nothing();
}

static void test_lock_is_forgotten(void **state)
{
	put(ELECTION_VIEW, RESULT_OK);
	put(ELECTION_LOCK, RESULT_OK);
	put(ELECTION_TIME, RESULT_OK);
	election_inbox_act(&inbox, ACTION_UNLOCK);
	put(ELECTION_LOCK, RESULT_CONFLICT);
	expect(ELECTION_VIEW, RESULT_OK);
	expect(ELECTION_TIME, RESULT_OK);
	expect(ELECTION_LOCK, RESULT_CONFLICT);
	expect_nothing();
}

/* What is asked anew is answered by what comes from now on. */
static void test_earlier_answers_are_forgotten(void **state)
{
	put(ELECTION_PEERS, RESULT_OK);
	put(ELECTION_CORPSES, RESULT_OK);
	election_inbox_act(&inbox, ACTION_RENEW);
	election_inbox_act(&inbox, ACTION_COUNT_PEERS);
	put(ELECTION_PEERS, RESULT_CONFLICT);
	expect(ELECTION_CORPSES, RESULT_OK);
	expect(ELECTION_PEERS, RESULT_CONFLICT);
	put(ELECTION_CORPSES, RESULT_OK);
	election_inbox_act(&inbox, ACTION_SCAN);
	expect_nothing();
}

static void test_full(void **state)
{
	const struct election_event event = { .type = ELECTION_TIME };

	for (int i = 0; i < ELECTION_INBOX_MAX; i++)
		put(ELECTION_TIME, RESULT_OK);
	assert_false(election_inbox_put(&inbox, &event));
	expect(ELECTION_TIME, RESULT_OK);
	put(ELECTION_SESSION_LOST, RESULT_OK);
	expect(ELECTION_SESSION_LOST, RESULT_OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_order, setup),
		cmocka_unit_test_setup(test_loss_goes_ahead, setup),
		cmocka_unit_test_setup(test_losses_are_one, setup),
		cmocka_unit_test_setup(test_lock_is_forgotten, setup),
		cmocka_unit_test_setup(test_earlier_answers_are_forgotten, setup),
		cmocka_unit_test_setup(test_full, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
