/* SPDX-License-Identifier: Apache-2.0 */
#include "host/runtime.h"
#include "host/state.h"

#include "base/fnv.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char directory[64];
static char message[STATE_MESSAGE_SIZE];

static int setup(void **unused)
{
	strcpy(directory, "/tmp/test_state.XXXXXX");
	message[0] = '\0';
	return mkdtemp(directory) == NULL ? -1 : 0;
}

static int teardown(void **unused)
{
	static const char *const names[] = { "state", "state.new", "pid", "lease", "target" };
	char path[128];

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", directory, names[i]);
		(void)unlink(path);
	}
	return rmdir(directory);
}

static char *path_of(const char *name)
{
	static char path[128];

	(void)snprintf(path, sizeof(path), "%s/%s", directory, name);
	return path;
}

static struct state example(void)
{
	struct state state = {
		.node = "hv1.example-1_x",
		.session = { .id = (int64_t)0x9000000000000001ULL },
		.session_us = 10000000,
		.epoch = INT64_C(0x1234567890),
		.work = STATE_WORK_UP,
		.generation = UINT64_C(0xfedcba9876543210),
		.nonces = { UINT64_C(0x8877665544332211), 1, 0, 7 },
		.epoch_version = 12,
		.work_id = state_work_id("primary.target"),
	};

	for (int i = 0; i < 16; i++)
		state.session.password[i] = (char)(i * 17);
	state.cluster = state_cluster("a:1,b:2", "/", state.node);
	assert_int_equal(boot_id_read(state.boot_id), 0);
	state.place = place_id();
	return state;
}

static void assert_same(const struct state *a, const struct state *b)
{
	assert_string_equal(a->node, b->node);
	assert_true(a->cluster == b->cluster);
	assert_string_equal(a->boot_id, b->boot_id);
	assert_true(a->place == b->place);
	assert_true(a->session.id == b->session.id);
	assert_memory_equal(a->session.password, b->session.password, 16);
	assert_true(a->session_us == b->session_us);
	assert_true(a->epoch == b->epoch);
	assert_int_equal(a->work, b->work);
	assert_true(a->generation == b->generation);
	assert_memory_equal(a->nonces, b->nonces, sizeof(a->nonces));
	assert_int_equal(a->epoch_version, b->epoch_version);
	assert_true(a->work_id == b->work_id);
}

static int load(const struct state *expected, struct state *ret)
{
	message[0] = '\0';
	return state_load(directory, expected, ret, message, sizeof(message));
}

static void test_comes_back_as_it_was(void **unused)
{
	struct state state = example();
	struct state back;
	struct stat st;

	for (int work = STATE_WORK_DOWN; work <= STATE_WORK_UP; work++) {
		state.work = (enum state_work)work;
		assert_int_equal(state_save(directory, &state), 0);
		memset(&back, 0xa5, sizeof(back));
		assert_int_equal(load(&state, &back), 0);
		assert_same(&state, &back);
	}
	state = (struct state){ .node = "n", .cluster = 1, .boot_id = "0-f" };
	assert_int_equal(state_save(directory, &state), 0);
	assert_int_equal(load(&state, &back), 0);
	assert_same(&state, &back);

	assert_int_equal(stat(path_of("state"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(access(path_of("state.new"), F_OK), -1);
}

static void test_none(void **unused)
{
	struct state expected = example();
	struct state back;

	assert_int_equal(load(&expected, &back), -ENOENT);
	assert_int_equal(state_remove(directory), 0);
	assert_int_equal(state_save(directory, &expected), 0);
	assert_int_equal(state_remove(directory), 0);
	assert_int_equal(load(&expected, &back), -ENOENT);
}

static void test_foreign(void **unused)
{
	struct state state = example();
	struct state other, back;

	assert_int_equal(state_save(directory, &state), 0);
	other = state;
	strcpy(other.node, "hv2");
	assert_int_equal(load(&other, &back), STATE_FOREIGN_NODE);
	assert_non_null(strstr(message, "hv1.example-1_x"));
	assert_non_null(strstr(message, "hv2"));
	other = state;
	other.cluster = state_cluster("a:1,b:2", "/x", state.node);
	assert_int_equal(load(&other, &back), STATE_FOREIGN_CLUSTER);
	assert_non_null(strstr(message, "root"));
	other = state;
	other.boot_id[0] = other.boot_id[0] == 'a' ? 'b' : 'a';
	assert_int_equal(load(&other, &back), STATE_FOREIGN_BOOT);
	assert_non_null(strstr(message, "boot"));
	other = state;
	other.place++;
	assert_int_equal(load(&other, &back), STATE_FOREIGN_PLACE);
	assert_non_null(strstr(message, "container"));
}

/* Who is the same node: root, name and the set of servers, in whatever order and however spaced. */
static void test_cluster(void **unused)
{
	static const char *const same[] = {
		"a:1,b:2,c:3", "c:3,a:1,b:2", "a:1, b:2 ,c:3", "b:2,a:1,c:3,b:2", "A:1,b:2,C:3",
	};
	static const char *const others[] = { "a:1,b:2", "a:1,b:2,c:4", "a:1,b:2,c:3,d:4", "a:1",
					      "a:2,b:1,c:3" };
	uint64_t cluster = state_cluster(same[0], "/", "n");

	for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++)
		assert_true(state_cluster(same[i], "/", "n") == cluster);
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		assert_false(state_cluster(others[i], "/", "n") == cluster);
	assert_false(state_cluster(same[0], "/x", "n") == cluster);
	assert_false(state_cluster(same[0], "/", "m") == cluster);
}

static size_t read_state(char *buf, size_t n_buf)
{
	FILE *file = fopen(path_of("state"), "re");
	size_t n;

	assert_non_null(file);
	n = fread(buf, 1, n_buf, file);
	assert_true(n < n_buf);
	assert_int_equal(fclose(file), 0);
	return n;
}

static void write_state(const char *text, size_t n)
{
	FILE *file = fopen(path_of("state"), "we");

	assert_non_null(file);
	assert_int_equal(fwrite(text, 1, n, file), n);
	assert_int_equal(fclose(file), 0);
}

/* Every single byte changed, every length cut: seen each time, output untouched. */
static void test_damaged(void **unused)
{
	struct state state = example();
	struct state back, before;
	char text[STATE_FILE_MAX], changed[STATE_FILE_MAX];
	size_t n;

	assert_int_equal(state_save(directory, &state), 0);
	n = read_state(text, sizeof(text));
	memset(&back, 0xa5, sizeof(back));
	before = back;
	for (size_t i = 0; i < n; i++) {
		memcpy(changed, text, n);
		changed[i] ^= 1;
		write_state(changed, n);
		assert_int_equal(load(&state, &back), STATE_DAMAGED);
		assert_non_null(strstr(message, "damaged"));
		write_state(text, i);
		assert_int_equal(load(&state, &back), STATE_DAMAGED);
		changed[i] = '\0';
		write_state(changed, n);
		assert_int_equal(load(&state, &back), STATE_DAMAGED);
	}
	assert_memory_equal(&back, &before, sizeof(back));
	memset(changed, 'x', sizeof(changed));
	write_state(changed, sizeof(changed));
	assert_int_equal(load(&state, &back), STATE_DAMAGED);
	write_state(text, n);
	assert_int_equal(load(&state, &back), 0);
}

/* Writes the text with a checksum that is right. */
static void write_whole(const char *text, int n)
{
	char whole[STATE_FILE_MAX];
	int length = snprintf(whole, sizeof(whole), "%.*ssum=%016" PRIx64 "\n", n, text,
			      fnv_add(FNV_START, text, (size_t)n));

	assert_in_range(length, 1, sizeof(whole) - 1);
	write_state(whole, (size_t)length);
}

/* Written as a whole, by another version or a hand: each line is looked at by itself. */
static void test_whole_but_wrong(void **unused)
{
	static const char *const wrong[] = { "", "-1", "@", "99999999999999999999", "none,none,x" };
	struct state state = example();
	struct state back, before;
	char text[STATE_FILE_MAX], changed[3 * STATE_FILE_MAX], name[32];
	char *checksum, *equals, *end;

	assert_int_equal(state_save(directory, &state), 0);
	text[read_state(text, sizeof(text) - 1)] = '\0';
	checksum = strstr(text, "sum=");
	assert_non_null(checksum);
	*checksum = '\0';
	write_whole(text, (int)strlen(text));
	assert_int_equal(load(&state, &back), 0);
	memset(&back, 0xa5, sizeof(back));
	before = back;
	for (char *line = strchr(text, '\n') + 1; *line != '\0'; line = end + 1) {
		equals = strchr(line, '=');
		end = strchr(line, '\n');
		(void)snprintf(name, sizeof(name), "%.*s", (int)(equals - line), line);
		for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
			if (!strcmp(name, "epoch-version") && !strcmp(wrong[i], "-1"))
				continue; /* a version that nobody has */
			if ((!strcmp(name, "node") || !strcmp(name, "boot")) &&
			    strspn(wrong[i], "-0123456789") != 0)
				continue; /* a name, or a boot, like others */
			(void)snprintf(changed, sizeof(changed), "%.*s%s%s",
				       (int)(equals + 1 - text), text, wrong[i], end);
			write_whole(changed, (int)strlen(changed));
			assert_int_equal(load(&state, &back), STATE_DAMAGED);
		}
		/* Without the line, and with another key in its place. */
		(void)snprintf(changed, sizeof(changed), "%.*s%s", (int)(line - text), text,
			       end + 1);
		write_whole(changed, (int)strlen(changed));
		if (!strcmp(name, "work-id"))
			break; /* the last one: see test_of_the_version_before() */
		assert_int_equal(load(&state, &back), STATE_DAMAGED);
	}
	(void)snprintf(changed, sizeof(changed), "%smore=1\n", text);
	write_whole(changed, (int)strlen(changed));
	assert_int_equal(load(&state, &back), STATE_DAMAGED);
	write_whole("primaryd-state 9\n", (int)strlen("primaryd-state 9\n"));
	assert_int_equal(load(&state, &back), STATE_DAMAGED);
	assert_non_null(strstr(message, "another version"));
	assert_memory_equal(&back, &before, sizeof(back));
}

/* An upgrade continues what it finds. */
static void test_of_the_version_before(void **unused)
{
	struct state state = example();
	struct state back;
	char text[STATE_FILE_MAX];

	assert_int_equal(state_save(directory, &state), 0);
	text[read_state(text, sizeof(text) - 1)] = '\0';
	write_whole(text, (int)(strstr(text, "work-id=") - text));
	assert_int_equal(load(&state, &back), 0);
	assert_true(back.work_id == 0);
	back.work_id = state.work_id;
	assert_same(&state, &back);
}

/* Not followed, not waited for. */
static void test_not_a_regular_file(void **unused)
{
	struct state state = example();
	struct state back;
	char moved[128];

	assert_int_equal(mkfifo(path_of("state"), 0600), 0);
	assert_int_equal(load(&state, &back), -EBADMSG);
	assert_int_equal(state_save(directory, &state), 0);
	assert_int_equal(load(&state, &back), 0);
	(void)snprintf(moved, sizeof(moved), "%s/target", directory);
	assert_int_equal(rename(path_of("state"), moved), 0);
	assert_int_equal(symlink(moved, path_of("state")), 0);
	assert_int_equal(load(&state, &back), -ELOOP);
}

static int open_and_close(const char *path)
{
	struct runtime runtime = { .lock_fd = -1 };
	int r = runtime_open(&runtime, path, 0, message, sizeof(message));

	runtime_close(&runtime);
	return r;
}

static void test_directory(void **unused)
{
	char sub[128], file[160];
	struct stat st;

	(void)snprintf(sub, sizeof(sub), "%s/target", directory);
	assert_int_equal(open_and_close(sub), 0);
	assert_int_equal(stat(sub, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_int_equal(open_and_close(sub), 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(chmod(sub, i ? 0704 : 0740), 0);
		assert_int_equal(open_and_close(sub), RUNTIME_BAD_DIRECTORY);
		assert_non_null(strstr(message, "chmod"));
	}
	assert_int_equal(chmod(sub, 0700), 0);
	if (geteuid() == 0) {
		assert_int_equal(chown(sub, 12345, 0), 0);
		assert_int_equal(open_and_close(sub), RUNTIME_BAD_DIRECTORY);
		assert_non_null(strstr(message, "12345"));
	}
	for (int i = 0; i < 2; i++) {
		(void)snprintf(file, sizeof(file), "%s/%s", sub, i ? "pid" : "lease");
		assert_int_equal(unlink(file), 0);
	}
	assert_int_equal(rmdir(sub), 0);
	write_state("x", 1);
	assert_int_equal(open_and_close(path_of("state")), RUNTIME_BAD_DIRECTORY);
	assert_int_equal(open_and_close(path_of("no/sub")), -ENOENT);
	assert_non_null(strstr(message, "parent"));
}

static void hand_over(int fd)
{
	char number[16];

	(void)snprintf(number, sizeof(number), "%d", fd);
	assert_int_equal(setenv("PRIMARYD_LOCK_FD", number, 1), 0);
}

static void test_lock(void **unused)
{
	struct runtime first = { .lock_fd = -1 };
	char pid[32];
	int other;

	assert_int_equal(runtime_open(&first, directory, 0, message, sizeof(message)), 0);
	assert_string_equal(message, "");
	assert_false(first.is_handed_over);
	assert_true(fcntl(first.lock_fd, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(open_and_close(directory), RUNTIME_TAKEN);
	(void)snprintf(pid, sizeof(pid), "pid %d", (int)getpid());
	assert_non_null(strstr(message, pid));

	/* It is not in a file that somebody may delete. */
	assert_int_equal(unlink(path_of("pid")), 0);
	assert_int_equal(unlink(path_of("lease")), 0);
	assert_int_equal(open_and_close(directory), RUNTIME_TAKEN);

	/* The directory opened once more is not the lock, nor is anything else. */
	other = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	hand_over(other);
	assert_int_equal(open_and_close(directory), RUNTIME_TAKEN);
	assert_int_equal(close(other), 0);
	other = open("/dev/null", O_RDWR | O_CLOEXEC);
	hand_over(other);
	assert_int_equal(open_and_close(directory), RUNTIME_TAKEN);
	assert_int_equal(close(other), 0);
	hand_over(999);
	assert_int_equal(open_and_close(directory), RUNTIME_TAKEN);
	runtime_close(&first);
	assert_int_equal(open_and_close(directory), 0);
}

/* The process executes itself anew, as a reload does: what main() does with "--adopt". */
static int adopt_main(char *argv[])
{
	struct runtime runtime = { .lock_fd = -1 };

	if (runtime_open(&runtime, argv[2], 0, message, sizeof(message)) != 0 ||
	    !runtime.is_handed_over || !(fcntl(runtime.lock_fd, F_GETFD) & FD_CLOEXEC) ||
	    runtime.lock_fd != atoi(argv[3]))
		return 1;
	if (open_and_close(argv[2]) != RUNTIME_TAKEN)
		return 2;
	runtime_close(&runtime);
	return 0;
}

static void test_lock_goes_along(void **unused)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		struct runtime runtime = { .lock_fd = -1 };
		char number[16];

		if (runtime_open(&runtime, directory, 0, message, sizeof(message)) != 0)
			_exit(10);
		runtime_hand_over(&runtime, true);
		(void)snprintf(number, sizeof(number), "%d", runtime.lock_fd);
		execl("/proc/self/exe", "test_state", "--adopt", directory, number, (char *)NULL);
		_exit(11);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(open_and_close(directory), 0);
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_comes_back_as_it_was, setup, teardown),
		cmocka_unit_test_setup_teardown(test_none, setup, teardown),
		cmocka_unit_test_setup_teardown(test_foreign, setup, teardown),
		cmocka_unit_test(test_cluster),
		cmocka_unit_test_setup_teardown(test_damaged, setup, teardown),
		cmocka_unit_test_setup_teardown(test_whole_but_wrong, setup, teardown),
		cmocka_unit_test_setup_teardown(test_of_the_version_before, setup, teardown),
		cmocka_unit_test_setup_teardown(test_not_a_regular_file, setup, teardown),
		cmocka_unit_test_setup_teardown(test_directory, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lock, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lock_goes_along, setup, teardown),
	};

	if (argc == 4 && strcmp(argv[1], "--adopt") == 0)
		return adopt_main(argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
