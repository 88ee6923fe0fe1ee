/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/fnv.h"
#include "base/text.h"
#include "internal.h"

#define NODE_SIZE 65
#define STATE_SIZE 32

enum limit { LIMIT_ALWAYS, LIMIT_REPEATS };

static const struct {
	const char *name;
	const char *message_id;
	int priority;
	enum limit limit;
	const char *text;
} events[EVENT_COUNT] = {
#define X(event, name, message_id, priority, limit, text)                                          \
	[event] = { name, message_id, priority, LIMIT_##limit, text },
	EVENTS(X)
#undef X
};

/* What was said of an event that repeats itself, and when; 0: a free place. */
struct said {
	uint64_t hash;
	int64_t said_us;
};

struct log {
	enum log_target target;
	bool quiet;
	char node[NODE_SIZE];
	int64_t (*clock_us)(void);
	struct log_lines lines;
	struct log_journal journal;
	char primary[NODE_SIZE], state[STATE_SIZE]; /* the context */
	int64_t epoch;
	uint64_t n_dropped; /* taken by nobody, and not said yet */
	struct said said[LOG_SAID_MAX];
};

const char *log_event_name(enum event event)
{
	assert(event < EVENT_COUNT);
	return events[event].name;
}

const char *log_event_message_id(enum event event)
{
	assert(event < EVENT_COUNT);
	return events[event].message_id;
}

const char *log_event_text(enum event event)
{
	assert(event < EVENT_COUNT);
	return events[event].text;
}

int log_event_priority(enum event event)
{
	assert(event < EVENT_COUNT);
	return events[event].priority;
}

int log_create(const struct log_options *options, struct log **ret_log)
{
	struct log *log = calloc(1, sizeof(*log));
	int r = 0;

	if (log == NULL)
		return -ENOMEM;
	log->target = options->target;
	log->quiet = options->quiet;
	if (log->target == LOG_TARGET_AUTO)
		log->target = log_journal_is_behind(options->fd) ? LOG_TARGET_JOURNAL
								 : LOG_TARGET_LINES;
	if (options->node != NULL)
		(void)snprintf(log->node, sizeof(log->node), "%s", options->node);
	log->clock_us = options->clock_us != NULL ? options->clock_us : time_boot_us;
	log->journal.fd = -1;
	if (log->target == LOG_TARGET_JOURNAL)
		r = log_journal_init(&log->journal, options->journal_socket);
	if (r < 0) {
		free(log);
		return r;
	}
	log_lines_init(&log->lines, options->fd);
	*ret_log = log;
	return 0;
}

static enum log_write write_record(struct log *log, const struct log_record *record)
{
	enum log_write written = LOG_ABSENT;

	if (log->target == LOG_TARGET_NONE)
		return LOG_WRITTEN;
	if (log->target == LOG_TARGET_JOURNAL)
		written = log_journal_write(&log->journal, record);
	/* Without journald there may still be somebody behind stderr. */
	return written == LOG_ABSENT ? log_lines_write(&log->lines, record) : written;
}

static void fill_text(const char *text, char ret_text[LOG_TEXT_MAX + 1])
{
	(void)text_escape_into(text != NULL ? text : "", ret_text, LOG_TEXT_MAX + 1);
}

static __attribute__((format(printf, 4, 0))) void fill(const struct log *log, enum event event,
						       const struct log_fields *fields,
						       const char *fmt, va_list args,
						       struct log_record *ret)
{
	static const struct log_fields none = { .epoch = 0 };
	char raw[LOG_MESSAGE_MAX + 1];

	if (fields == NULL)
		fields = &none;
	(void)vsnprintf(raw, sizeof(raw), fmt, args);
	ret->event = event;
	ret->node = log->node;
	ret->epoch = fields->epoch != 0 ? fields->epoch : log->epoch;
	ret->usec = fields->usec;
	(void)text_escape_into(raw, ret->message, sizeof(ret->message));
	fill_text(log->primary, ret->primary);
	fill_text(log->state, ret->state);
	fill_text(fields->target, ret->target);
	fill_text(fields->reason, ret->reason);
}

static __attribute__((format(printf, 4, 5))) enum log_write say(struct log *log, enum event event,
								const struct log_fields *fields,
								const char *fmt, ...)
{
	struct log_record record;
	va_list args;

	va_start(args, fmt);
	fill(log, event, fields, fmt, args, &record);
	va_end(args);
	return write_record(log, &record);
}

/* False: still nobody there to take anything. */
static bool say_dropped(struct log *log)
{
	if (log->n_dropped == 0)
		return true;
	if (say(log, EVENT_LINES_DROPPED, NULL, "%" PRIu64 " lines were lost: nobody took them",
		log->n_dropped) != LOG_WRITTEN)
		return false;
	log->n_dropped = 0;
	return true;
}

static uint64_t hash_record(const struct log_record *record)
{
	uint64_t hash = fnv_add(FNV_START, &record->event, sizeof(record->event));

	hash = fnv_add(hash, record->message, strlen(record->message) + 1);
	hash = fnv_add(hash, record->target, strlen(record->target) + 1);
	return fnv_add(hash, record->reason, strlen(record->reason) + 1);
}

/* The place of the same text if it was said before, else the oldest one. */
static struct said *find_said(struct log *log, uint64_t hash)
{
	struct said *oldest = &log->said[0];

	for (size_t i = 0; i < LOG_SAID_MAX; i++) {
		if (log->said[i].hash == hash)
			return &log->said[i];
		if (log->said[i].said_us < oldest->said_us)
			oldest = &log->said[i];
	}
	return oldest;
}

void log_context(struct log *log, const char *primary, int64_t epoch, const char *state)
{
	if (log == NULL)
		return;
	(void)snprintf(log->primary, sizeof(log->primary), "%s", primary);
	(void)snprintf(log->state, sizeof(log->state), "%s", state);
	log->epoch = epoch;
}

void log_event(struct log *log, enum event event, const struct log_fields *fields, const char *fmt,
	       ...)
{
	struct log_record record;
	struct said now, *said;
	va_list args;

	assert(event < EVENT_COUNT);
	if (log == NULL || log->target == LOG_TARGET_NONE ||
	    (log->quiet && events[event].priority > LOG_NOTICE))
		return;
	va_start(args, fmt);
	fill(log, event, fields, fmt, args, &record);
	va_end(args);
	now = (struct said){ .hash = hash_record(&record), .said_us = log->clock_us() };
	said = find_said(log, now.hash);
	if (events[event].limit == LIMIT_REPEATS && said->hash == now.hash &&
	    now.said_us - said->said_us < LOG_WINDOW_US)
		return;
	if (!say_dropped(log) || write_record(log, &record) != LOG_WRITTEN)
		log->n_dropped++;
	else if (events[event].limit == LIMIT_REPEATS)
		*said = now;
}

struct log *log_destroy(struct log *log)
{
	if (log == NULL)
		return NULL;
	(void)say_dropped(log);
	log_lines_finish(&log->lines);
	log_journal_finish(&log->journal);
	free(log);
	return NULL;
}
