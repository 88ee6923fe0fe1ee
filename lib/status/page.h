/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The status page: what a node tells every program of its host. The file is DIRECTORY/INSTANCE (4 KiB, readable by
 * all), where INSTANCE stands for the runtime directory: file_instance_path().
 *
 * The daemon maps the page and writes it without a system call. The page outlives the daemon, so a reader trusts only
 * the clock: this node is primary until primary_until_us, whether the daemon runs, hangs or is dead. The daemon clears
 * that word before the first action of any stop, and the guard acts later than it says.
 *
 * All times are microseconds of CLOCK_BOOTTIME, 0: none.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/boot.h"
#include "base/identity.h"
#include "base/keys.h"
#include "election/election.h"

#define STATUS_DIRECTORY "/run/primaryd-status"
#define STATUS_PAGE_SIZE 4096
#define STATUS_FORMAT 1 /* changes with struct status */

#define STATUS_ROOT_SIZE 256

/* X(NAME, "metric", "label", "help"): counters, since the page was made. */
#define STATUS_COUNTERS(X)                                                                         \
	X(CLAIMS, "claims", "", "vacancies that this node claimed")                                \
	X(TAKEOVERS, "takeovers", "result=\"ok\"", "takeovers of this node")                       \
	X(TAKEOVERS_FAILED, "takeovers", "result=\"failed\"", "")                                  \
	X(RENEWALS, "lease_renewals", "result=\"ok\"", "renewals of the lease")                    \
	X(RENEWALS_REFUSED, "lease_renewals", "result=\"refused\"", "")                            \
	X(DISCONNECTS, "disconnects", "", "connections to ZooKeeper that were lost")               \
	X(SESSIONS_LOST, "sessions_lost", "", "sessions with ZooKeeper that were lost")            \
	X(FENCES, "fences", "result=\"ok\"",                                                       \
	  "takeovers before which nodes that died acting were fenced or marked dead")              \
	X(FENCES_FAILED, "fences", "result=\"failed\"", "")                                        \
	X(GUARD_STOPS, "guard_stops", "", "stops of the work by the guard")

enum status_counter {
#define X(name, ...) STATUS_##name,
	STATUS_COUNTERS(X)
#undef X
		STATUS_COUNTER_COUNT
};

/* Upper bounds of a histogram, in seconds; the last bucket has none. */
#define STATUS_BOUNDS(X) X(0.005) X(0.02) X(0.1) X(0.5) X(1.0) X(2.0) X(5.0) X(10.0) X(30.0)
#define STATUS_BUCKETS 10

struct status_histogram {
	int64_t buckets[STATUS_BUCKETS]; /* not cumulative */
	int64_t sum_us;
};

struct status {
	int64_t primary_until_us; /* the stop of the work does not begin before; 0: not primary */
	int64_t lease_end_us;
	int64_t epoch;	  /* of the acting primary, as this node sees it; 0: none */
	int64_t since_us; /* of the state */
	int64_t penalty_until_us;
	int64_t session_us;	/* T */
	int64_t turned_us;	/* the last turn of the daemon's loop */
	int64_t turns_us;	/* one that did not turn for that long hangs, or is dead */
	int64_t fence_targets;	/* nodes that the fence check is for */
	int64_t fence_failures; /* of them, those for which it fails */
	int64_t counters[STATUS_COUNTER_COUNT];
	int64_t relinquishes[REASON_COUNT]; /* by enum election_reason */
	struct status_histogram takeover, renewal;
	char node[NAME_SIZE],
		primary[NAME_SIZE];	/* primary: who acts, as this node sees it; "": nobody */
	char cluster[IDENTITY_ID_SIZE]; /* "": not known */
	char version[32], state[16];	/* state: as in /nodes/NAME/routerstate, or "" */
	char root[STATUS_ROOT_SIZE];
	uint8_t reason; /* enum election_reason: of the state */
	uint8_t coordinator, connected, registered, healthy, drained, maintenance, guarded;
};

/* Path of the page of the instance with that runtime directory; ret_path[PATH_MAX]. Returns 0 or -ENAMETOOLONG. */
int status_path(const char *directory, const char *runtime_directory, char *ret_path);

/* -- the daemon's side -- */

struct status_page;

/*
 * Opens the page, whose counters go on if it is of this boot, node and root; what it says of the role is left as it is,
 * until the first status_page_write(). Makes the last directory of the path if it is missing. Always returns a page
 * (NULL: out of memory): with *ret_error (-errno) one that nobody sees. Blocks; for the start.
 */
struct status_page *status_page_open(const char *path, const char *node, const char *root,
				     int *ret_error);

/* The file stays. Takes NULL. Returns NULL. */
struct status_page *status_page_close(struct status_page *page);

/* What the page says, to be changed and written. */
const struct status *status_page_get(const struct status_page *page);
void status_page_write(struct status_page *page, const struct status *status);

/* Not primary any more, from this moment. */
void status_page_withdraw(struct status_page *page);

/* The loop turned. */
void status_page_turn(struct status_page *page, int64_t now_us);

/* -- the reader's side -- */

#define STATUS_RESULTS(X)                                                                          \
	X(OK, "")                                                                                  \
	X(FOREIGN, "not a status page of this version")                                            \
	X(OLD_BOOT, "from before the last boot")                                                   \
	X(OTHER_CLOCK, "written under another clock (a time namespace)")                           \
	X(TORN, "changed while it was read, or its writer died meanwhile")

enum status_result {
#define X(name, text) STATUS_##name,
	STATUS_RESULTS(X)
#undef X
};

/* Whose clock a reader has: that of this boot, and of this time namespace (0: there are none). */
struct status_clock {
	char boot_id[40]; /* 32 hexadecimal digits */
	uint64_t time_namespace;
};

/*
 * The id of this boot is $PRIMARYD_BOOT_ID, if that is one: in a container, a service with a /proc of its own sees
 * another id than the service manager and everybody else. Returns 0 or -errno.
 */
#define STATUS_BOOT_VARIABLE "PRIMARYD_BOOT_ID"
int status_clock_read(struct status_clock *ret_clock);

/*
 * Reads the page; *ret_now_us is the time after it. Returns 0, -errno (-ENOENT: no daemon has run since the boot), or
 * enum status_result: what the node is, is not known.
 */
int status_read(const char *path, const struct status_clock *clock, struct status *ret_status,
		int64_t *ret_now_us);

/* The same of bytes, but for TORN; every value is checked. */
int status_parse(const void *bytes, size_t size, const struct status_clock *clock,
		 struct status *ret_status);

/* Text for people of what status_read() returned. */
const char *status_result_text(int result);

/* How long this node is primary at least, from now on; 0: it is not. */
int64_t status_primary_left_us(const struct status *status, int64_t now_us);

/* The daemon's loop turns: what the page tells is as of now. */
bool status_is_fresh(const struct status *status, int64_t now_us);
