/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The structured log: one event of events.h, some fields, one sentence. If stderr is connected to the journal, it goes
 * there with MESSAGE_ID and fields; otherwise every event is one readable line:
 *
 *   2025-03-01T12:00:00.123+0100 hv1 warning disconnected: zk2:2181 does not answer epoch=4294967298
 *
 * Nothing here blocks: a line that cannot be written at once is dropped and counted, and the count is logged as soon as
 * possible. The flags of stderr, which may be shared, stay as they are. The process must ignore SIGPIPE.
 *
 * Every text may come from strangers: control characters and broken UTF-8 are escaped (\n, \x1b), and lengths are
 * bounded. For events marked REPEATS, the same text (sentence, target and reason) is logged once in LOG_WINDOW_US; a
 * different one is logged at once. Limiting the rate is the journal's work.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "events.h"

struct log;

/* Bounds. */
#define LOG_TEXT_MAX 200     /* bytes of a field after escaping, "..." included */
#define LOG_MESSAGE_MAX 2000 /* bytes of the sentence after escaping, "..." included */
#define LOG_SAID_MAX 32	     /* texts that are remembered, of all events marked REPEATS */
#define LOG_WINDOW_US (30 * INT64_C(1000000))

#define LOG_FIELDS(X)                                                                              \
	X("PRIMARYD_EVENT", "the event's name")                                                    \
	X("PRIMARYD_NODE", "this node")                                                            \
	X("PRIMARYD_PRIMARY", "the desired or acting primary")                                     \
	X("PRIMARYD_EPOCH", "the epoch of its claim")                                              \
	X("PRIMARYD_STATE", "the state of this node")                                              \
	X("PRIMARYD_TARGET", "the node or thing that the event is about")                          \
	X("PRIMARYD_REASON", "why")                                                                \
	X("PRIMARYD_USEC", "how long it took, in microseconds")

/* NULL and 0: not given. */
struct log_fields {
	int64_t epoch; /* not given: as log_context() said last */
	const char *target;
	const char *reason;
	int64_t usec;
};

enum log_target {
	LOG_TARGET_AUTO, /* the journal if fd leads there ($JOURNAL_STREAM), else lines */
	LOG_TARGET_LINES,
	LOG_TARGET_JOURNAL,
	LOG_TARGET_NONE, /* for load drivers */
};

struct log_options {
	const char *node; /* NULL or "": not known yet */
	enum log_target target;
	bool quiet;		    /* no event below a notice */
	int fd;			    /* for the lines: STDERR_FILENO; not closed */
	const char *journal_socket; /* NULL: journald's */
	int64_t (*clock_us)(void);  /* NULL: time_boot_us(); for LOG_WINDOW_US */
};

/* True when fd is the stream that systemd connected to the journal. */
bool log_journal_is_behind(int fd);

/* Returns 0 or -errno (ENOMEM, EMFILE...). Strings are copied. */
int log_create(const struct log_options *options, struct log **ret_log);

/* Says what is unsaid, if that is possible at once. Takes NULL. Returns NULL. */
struct log *log_destroy(struct log *log);

/* What every event from now on tells of this node; its own epoch goes before this one. Strings are copied. */
void log_context(struct log *log, const char *primary, int64_t epoch, const char *state);

/* fields may be NULL. A NULL log takes everything and says nothing. */
void log_event(struct log *log, enum event event, const struct log_fields *fields, const char *fmt,
	       ...) __attribute__((format(printf, 4, 5)));

const char *log_event_name(enum event event);	    /* "session_lost" */
const char *log_event_message_id(enum event event); /* 32 hex digits */
const char *log_event_text(enum event event);	    /* what it means */
int log_event_priority(enum event event);	    /* LOG_EMERG to LOG_DEBUG */
