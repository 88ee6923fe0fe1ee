/* SPDX-License-Identifier: Apache-2.0 */

/* Whose name it is: another daemon's is respected, what a former one left behind is waited for. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "name_lock.h"

#define CLUSTER ((uint64_t)getpid() << 20)

static void test_one_at_a_time(void **state)
{
	uint64_t cluster = CLUSTER;
	pid_t holder = 0, child;
	int fd, status;

	(void)state;
	assert_int_equal(name_lock_take(cluster, &fd, &holder), NAME_LOCK_OK);
	child = fork();
	if (child == 0) {
		/* As another daemon: it asks more often than the queue of a listener used to hold. */
		for (int i = 0; i < 20; i++) {
			int other;

			holder = 0;
			if (name_lock_take(cluster, &other, &holder) != NAME_LOCK_TAKEN ||
			    holder != getppid())
				_exit(1);
		}
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	(void)close(fd);
	assert_int_equal(name_lock_take(cluster, &fd, &holder), NAME_LOCK_OK);
	(void)close(fd);
}

/* The process before this, by its pid this very one, had forked when it was executed anew. */
static void test_what_was_forked(void **state)
{
	uint64_t cluster = CLUSTER + 1;
	int fd, hold[2];
	pid_t holder = 0, child, releaser;

	(void)state;
	assert_int_equal(pipe(hold), 0);
	assert_int_equal(name_lock_take(cluster, &fd, &holder), NAME_LOCK_OK);
	child = fork();
	if (child == 0) {
		char byte;

		(void)close(hold[1]);
		_exit(read(hold[0], &byte, 1) > 1);
	}
	(void)close(fd);
	/* Still held by the child; it ends while the name is asked for. */
	releaser = fork();
	if (releaser == 0) {
		(void)usleep(50000);
		_exit(0);
	}
	(void)close(hold[0]);
	(void)close(hold[1]);
	assert_int_equal(name_lock_take(cluster, &fd, &holder), NAME_LOCK_OK);
	assert_int_equal(waitpid(child, NULL, 0), child);
	assert_int_equal(waitpid(releaser, NULL, 0), releaser);
	(void)close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_at_a_time),
		cmocka_unit_test(test_what_was_forked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
