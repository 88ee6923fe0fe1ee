/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log_internal.h"
#include "timer.h"

#define NODE_SIZE 65

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

struct ration {
	int64_t since_us; /* 0: no window */
	unsigned n_said;
	uint64_t n_left_out;
};

struct log {
	enum log_target target;
	char node[NODE_SIZE];
	int64_t (*clock_us)(void);
	struct log_lines lines;
	struct log_journal journal;
	uint64_t n_dropped; /* taken by nobody, and not said yet */
	struct ration rations[EVENT_COUNT];
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

static __attribute__((format(printf, 4, 0))) void fill(const struct log *log, enum event event,
						       const struct log_fields *fields,
						       const char *fmt, va_list args,
						       struct log_record *ret)
{
	static const struct log_fields none = { .primary = NULL };
	char raw[LOG_MESSAGE_MAX + 1];

	if (fields == NULL)
		fields = &none;
	(void)vsnprintf(raw, sizeof(raw), fmt, args);
	ret->event = event;
	ret->node = log->node;
	ret->epoch = fields->epoch;
	ret->usec = fields->usec;
	(void)log_escape(raw, ret->message, sizeof(ret->message));
	(void)log_escape(fields->primary != NULL ? fields->primary : "", ret->primary,
			 sizeof(ret->primary));
	(void)log_escape(fields->state != NULL ? fields->state : "", ret->state,
			 sizeof(ret->state));
	(void)log_escape(fields->target != NULL ? fields->target : "", ret->target,
			 sizeof(ret->target));
	(void)log_escape(fields->reason != NULL ? fields->reason : "", ret->reason,
			 sizeof(ret->reason));
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

/* What goes on coming is only counted from then on; a window without any gives the whole ration back. */
static void end_window(struct log *log, enum event event, int64_t now_us)
{
	struct ration *ration = &log->rations[event];
	bool goes_on = ration->n_left_out > 0;
	const struct log_fields fields = { .reason = events[event].name };

	if (ration->n_left_out > 0 && say_dropped(log)) {
		if (say(log, EVENT_REPEATED, &fields,
			"left out %" PRIu64 " more within %" PRId64 " s of: %s", ration->n_left_out,
			(now_us - ration->since_us) / 1000000, events[event].text) != LOG_WRITTEN)
			log->n_dropped++;
	}
	memset(ration, 0, sizeof(*ration));
	if (goes_on) {
		ration->since_us = now_us;
		ration->n_said = LOG_BURST;
	}
}

int64_t log_summarize(struct log *log)
{
	int64_t now_us;
	int64_t next_us = 0;

	if (log == NULL)
		return 0;
	now_us = log->clock_us();
	for (unsigned event = 0; event < EVENT_COUNT; event++) {
		const struct ration *ration = &log->rations[event];
		int64_t end_us = ration->since_us + LOG_WINDOW_US;

		if (ration->since_us == 0)
			continue;
		if (now_us >= end_us)
			end_window(log, (enum event)event, now_us);
		else if (ration->n_left_out > 0 && (next_us == 0 || end_us < next_us))
			next_us = end_us;
	}
	return next_us;
}

static bool take_ration(struct log *log, enum event event)
{
	struct ration *ration = &log->rations[event];

	if (events[event].limit == LIMIT_ALWAYS)
		return true;
	if (ration->since_us == 0)
		ration->since_us = log->clock_us();
	if (ration->n_said == LOG_BURST) {
		ration->n_left_out++;
		return false;
	}
	ration->n_said++;
	return true;
}

void log_event(struct log *log, enum event event, const struct log_fields *fields, const char *fmt,
	       ...)
{
	struct log_record record;
	va_list args;

	assert(event < EVENT_COUNT);
	if (log == NULL || log->target == LOG_TARGET_NONE)
		return;
	(void)log_summarize(log);
	if (!take_ration(log, event))
		return;
	va_start(args, fmt);
	fill(log, event, fields, fmt, args, &record);
	va_end(args);
	if (!say_dropped(log) || write_record(log, &record) != LOG_WRITTEN)
		log->n_dropped++;
}

struct log *log_destroy(struct log *log)
{
	if (log == NULL)
		return NULL;
	for (unsigned event = 0; event < EVENT_COUNT; event++)
		end_window(log, (enum event)event, log->clock_us());
	(void)say_dropped(log);
	log_lines_finish(&log->lines);
	log_journal_finish(&log->journal);
	free(log);
	return NULL;
}
