/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A session on a string: commands on standard input, one line an event on standard output, times
 * in ms since the start. For trying the session against real servers, by hand or from a test.
 *
 *   zkh_probe SERVERS ROOT TIMEOUT_MS [CONNECT_MS [ID:PASSWORD [SCHEME CREDENTIAL]]]
 *
 * Commands: get PATH, watch PATH, exists PATH, ls PATH, sync, root, set PATH TEXT, create PATH
 * TEXT [FLAGS], delete PATH, pair PATH PATH (creates both or none), burst N PATH, subscribe N, id,
 * zxid, cut, renew, close MS, quit (drops the session).
 */

#include <ev.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "zk/session/zkh_op.h"
#include "zk/session/zkh_session.h"
#include "zk/session/zkh_watch.h"

static struct zkh_session *session;
static int64_t started;
static unsigned burst_left, burst_results[ZKH_UNKNOWN + 1];
static struct zkh_watch watches[4000];
static size_t watch_count;

static int64_t now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void say(const char *format, ...)
{
	va_list arguments;

	printf("%.3f ", (double)(now_us() - started) / 1e3);
	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
	putchar('\n');
	fflush(stdout);
}

static void on_event(void *userdata, const struct zkh_session_report *report)
{
	say("event %s fresh=%d timeout=%d id=%" PRIx64 " %s", zkh_session_event_text(report->event),
	    report->fresh, report->timeout_ms, (uint64_t)zkh_session_id(session), report->detail);
}

static void on_watch(void *userdata, enum zkh_watch_event event, const char *path)
{
	static const char *const names[] = { "created", "deleted", "changed", "children" };

	say("watch %s %s", names[event], path);
}

static void on_get(void *userdata, int result, const char *data, size_t length,
		   const struct zkh_stat *stat)
{
	say("get %s: %s (%zu) version %d", zkh_result_text(result), data, length,
	    stat != NULL ? stat->version : -1);
}

static void on_exists(void *userdata, int result, const struct zkh_stat *stat)
{
	say("exists %s owner %" PRIx64, zkh_result_text(result),
	    stat != NULL ? (uint64_t)stat->ephemeral_owner : 0);
}

static void on_children(void *userdata, int result, const char *const *names, size_t count,
			const struct zkh_stat *stat)
{
	say("ls %s: %zu", zkh_result_text(result), count);
	for (size_t i = 0; i < count && i < 20; i++)
		say("  %s", names[i]);
}

static void on_done(void *userdata, int result)
{
	say("%s %s", (const char *)userdata, zkh_result_text(result));
}

static void on_commit(void *userdata, int result, const struct zkh_txn_reply *reply)
{
	const char *made = result == ZKH_OK && reply->created_paths[0] != NULL
				   ? reply->created_paths[0]
				   : "-";

	say("commit %s failed=%zu %s made %s", zkh_result_text(result), reply->failed,
	    reply->failed_path, made);
}

static void on_burst(void *userdata, int result, const struct zkh_txn_reply *reply)
{
	burst_results[result]++;
	if (--burst_left == 0)
		say("burst over: %u ok, %u unknown, %u not connected", burst_results[ZKH_OK],
		    burst_results[ZKH_UNKNOWN], burst_results[ZKH_NOT_CONNECTED]);
}

static void subscribe(const char *path)
{
	struct zkh_watch *watch = &watches[watch_count];

	watch->fn = on_watch;
	if (watch_count == sizeof(watches) / sizeof(watches[0]) ||
	    zkh_watch_add(session, watch, path) != 0)
		say("cannot subscribe");
	else
		watch_count++;
}

static int run_txn(const char *verb, const char *path, const char *text, unsigned flags)
{
	struct zkh_txn *txn = zkh_txn_create(session);

	if (strcmp(verb, "set") == 0) {
		zkh_txn_set_text(txn, path, text, ZKH_ANY_VERSION);
	} else if (strcmp(verb, "delete") == 0) {
		zkh_txn_delete(txn, path, ZKH_ANY_VERSION);
	} else if (strcmp(verb, "pair") == 0) {
		zkh_txn_create_text(txn, path, "", 0);
		zkh_txn_create_text(txn, text, "", 0);
	} else {
		zkh_txn_create_text(txn, path, text, flags);
	}
	return zkh_commit(txn, on_commit, NULL, NULL);
}

static int run_burst(unsigned count, const char *path)
{
	int r = 0;

	burst_left = count;
	memset(burst_results, 0, sizeof(burst_results));
	for (unsigned i = 0; i < count && r == 0; i++) {
		struct zkh_txn *txn = zkh_txn_create(session);

		zkh_txn_set_text(txn, path, "burst", ZKH_ANY_VERSION);
		r = zkh_commit(txn, on_burst, NULL, NULL);
	}
	return r;
}

static int run_subscribe(unsigned count)
{
	char path[64];

	for (unsigned i = 0; i < count; i++) {
		snprintf(path, sizeof(path), "/many/%u", i);
		subscribe(path);
	}
	return 0;
}

static void run_id(void)
{
	struct zkh_client_id id;

	if (!zkh_session_client_id(session, &id)) {
		say("id none");
		return;
	}
	printf("%.3f id %" PRIx64 ":", (double)(now_us() - started) / 1e3, (uint64_t)id.id);
	for (size_t i = 0; i < sizeof(id.password); i++)
		printf("%02x", (unsigned char)id.password[i]);
	printf(" server %s\n", zkh_session_server(session));
	fflush(stdout);
}

static int run_read(const char *verb, const char *path)
{
	if (strcmp(verb, "watch") == 0) {
		subscribe(path);
		return zkh_get(session, path, true, on_get, NULL, NULL);
	}
	if (strcmp(verb, "get") == 0)
		return zkh_get(session, path, false, on_get, NULL, NULL);
	if (strcmp(verb, "exists") == 0)
		return zkh_exists(session, path, false, on_exists, NULL, NULL);
	return zkh_children(session, path, false, on_children, NULL, NULL);
}

static void run(char *line)
{
	char verb[16] = "", path[256] = "", text[256] = "";
	unsigned flags = 0;
	int r = 0;

	(void)sscanf(line, "%15s %255s %255s %u", verb, path, text, &flags);
	if (strcmp(verb, "sync") == 0)
		r = zkh_sync(session, on_done, (void *)(uintptr_t) "sync", NULL);
	else if (strcmp(verb, "root") == 0)
		r = zkh_make_root(session, on_done, (void *)(uintptr_t) "root", NULL);
	else if (strcmp(verb, "burst") == 0)
		r = run_burst((unsigned)atoi(path), text);
	else if (strcmp(verb, "subscribe") == 0)
		r = run_subscribe((unsigned)atoi(path));
	else if (strcmp(verb, "id") == 0)
		run_id();
	else if (strcmp(verb, "zxid") == 0)
		say("zxid %" PRIx64 " %" PRIx64, (uint64_t)zkh_session_zxid(session),
		    (uint64_t)zkh_session_last_zxid(session));
	else if (strcmp(verb, "cut") == 0)
		zkh_session_cut(session);
	else if (strcmp(verb, "renew") == 0)
		zkh_session_renew(session);
	else if (strcmp(verb, "close") == 0)
		r = zkh_session_close(session, atoi(path), on_done, (void *)(uintptr_t) "close");
	else if (strcmp(verb, "get") == 0 || strcmp(verb, "watch") == 0 ||
		 strcmp(verb, "exists") == 0 || strcmp(verb, "ls") == 0)
		r = run_read(verb, path);
	else
		r = run_txn(verb, path, text, flags);
	if (r != 0)
		say("%s: %s", verb, r > 0 ? zkh_result_text(r) : strerror(-r));
}

static void on_input(struct ev_loop *loop, ev_io *watcher, int revents)
{
	static char buffer[8192];
	static size_t used;
	ssize_t length = read(STDIN_FILENO, buffer + used, sizeof(buffer) - 1 - used);
	char *line, *end;

	if (length <= 0) {
		ev_break(loop, EVBREAK_ALL);
		return;
	}
	used += (size_t)length;
	buffer[used] = '\0';
	for (line = buffer; (end = strchr(line, '\n')) != NULL; line = end + 1) {
		*end = '\0';
		if (strcmp(line, "quit") == 0) {
			ev_break(loop, EVBREAK_ALL);
			return;
		}
		run(line);
	}
	used = strlen(line);
	memmove(buffer, line, used + 1);
}

static bool parse_id(const char *text, struct zkh_client_id *ret_id)
{
	char *end;
	unsigned byte;

	ret_id->id = (int64_t)strtoull(text, &end, 16);
	for (size_t i = 0; i < sizeof(ret_id->password); i++) {
		if (sscanf(end + 1 + 2 * i, "%2x", &byte) != 1)
			return false;
		ret_id->password[i] = (char)byte;
	}
	return true;
}

int main(int argc, char **argv)
{
	struct ev_loop *loop = ev_default_loop(0);
	struct zkh_client_id resume;
	struct zkh_session_config config = { .on_event = on_event, .seed = (uint32_t)getpid() };
	ev_io input;
	int r;

	if (argc < 4) {
		fprintf(stderr, "usage: zkh_probe SERVERS ROOT TIMEOUT_MS [CONNECT_MS "
				"[ID:PASSWORD [SCHEME CREDENTIAL]]]\n");
		return 2;
	}
	config.servers = argv[1];
	config.root = argv[2];
	config.timeout_ms = atoi(argv[3]);
	config.connect_timeout_ms = argc > 4 ? atoi(argv[4]) : 0;
	if (argc > 5 && strcmp(argv[5], "-") != 0 && parse_id(argv[5], &resume))
		config.resume = &resume;
	if (argc > 7) {
		config.auth[0].scheme = argv[6];
		config.auth[0].credential = argv[7];
	}
	started = now_us();
	r = zkh_session_create(loop, &config, &session);
	if (r != 0) {
		say("create: %s", r > 0 ? zkh_result_text(r) : strerror(-r));
		return 1;
	}
	ev_io_init(&input, on_input, STDIN_FILENO, EV_READ);
	ev_io_start(loop, &input);
	ev_run(loop, 0);
	session = zkh_session_destroy(session);
	ev_io_stop(loop, &input);
	ev_loop_destroy(loop);
	return 0;
}
