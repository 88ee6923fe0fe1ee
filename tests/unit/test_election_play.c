/* SPDX-License-Identifier: Apache-2.0 */
#include "test_election_play.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "test_election_check.h"

#define WORDS_MAX 8
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct words {
	char *word[WORDS_MAX];
	size_t count;
};

void play_init(struct play *play)
{
	*play = (struct play){
		.config = {
			.lock_timeout_us = 400 * PLAY_MS,
			.transition_delay_us = 500 * PLAY_MS,
			.handover_timeout_us = 2000 * PLAY_MS,
			.penalty_us = 5000 * PLAY_MS,
			.lease_timeout_us = 1000 * PLAY_MS,
			.coordinator = 1,
		},
		.zxid = 100,
	};
	election_init(&play->state);
	play->state.now_us = PLAY_START_US;
}

__attribute__((format(printf, 2, 3))) static void append(char *buf, const char *format, ...)
{
	size_t used = strlen(buf);
	va_list args;

	va_start(args, format);
	vsnprintf(buf + used, PLAY_TEXT_MAX - used, format, args);
	va_end(args);
}

void play_outcome(const struct play *play, char buf[PLAY_TEXT_MAX])
{
	int said = 0;

	buf[0] = '\0';
	append(buf, "%s", election_phase_text(play->state.phase));
	for (int32_t i = 0; i < play->actions.count; i++) {
		const struct election_action *action = &play->actions.list[i];

		append(buf, "%s%s", said++ ? ", " : ": ", election_action_text(action->type));
		if (action->type != ACTION_DO)
			continue;
		append(buf, " %s", election_op_text(action->op));
		if (action->op != OP_REGISTER && action->op != OP_LEAVE &&
		    action->op != OP_CREATE_KEY)
			append(buf, "@%" PRId32, action->version);
	}
}

static void note_action(struct play *play, const struct election_action *action)
{
	if (action->type == ACTION_DO)
		play->op = action->op;
	if (action->type != ACTION_RENEW)
		return;
	assert_true(play->sent_count < PLAY_RENEWALS_MAX);
	play->sent_us[play->sent_count++] = play->state.now_us;
}

/* When the oldest renewal without an answer was sent. */
static int64_t take_renewal(struct play *play)
{
	int64_t sent_us = play->sent_us[0];

	assert_true(play->sent_count > 0);
	memmove(play->sent_us, play->sent_us + 1, sizeof(play->sent_us) - sizeof(play->sent_us[0]));
	play->sent_count--;
	return sent_us;
}

void play_event(struct play *play, const struct election_event *event)
{
	struct election before = play->state;
	const char *broken;

	if (event->type == ELECTION_SESSION_DOWN || event->type == ELECTION_SESSION_LOST)
		play->sent_count = 0;
	election_step(&play->config, &play->state, event, &play->actions);
	broken = election_check_step(&play->config, &before, event, &play->state, &play->actions);
	if (broken)
		fail_msg("%s: %s", election_event_text(event->type), broken);
	for (int32_t i = 0; i < play->actions.count; i++)
		note_action(play, &play->actions.list[i]);
}

static bool only_renews(const struct play *play, uint8_t phase)
{
	for (int32_t i = 0; i < play->actions.count; i++)
		if (play->actions.list[i].type != ACTION_RENEW)
			return false;
	return play->state.phase == phase;
}

/* The server answers a renewal at once. */
static void play_renewed(struct play *play)
{
	struct election_event event = { .now_us = play->state.now_us, .type = ELECTION_RENEWED };

	if (play->renewals_by_hand || !play->state.attached || !play->sent_count)
		return;
	event.time_us = take_renewal(play);
	play_event(play, &event);
	if (play->actions.count == 1 && play->actions.list[0].type == ACTION_COUNT_PEERS) {
		/* While it waits for a successor it looks again who is there: nobody has left. */
		event.type = ELECTION_PEERS;
		event.count = 1;
		play_event(play, &event);
	}
	assert_int_equal(play->actions.count, 0);
}

/* Lets the timers fire that are due before now_us, and answers what renewals they send. */
static void play_timers(struct play *play, int64_t now_us)
{
	int64_t next_us;

	play_renewed(play);
	while ((next_us = election_next_us(&play->config, &play->state)) && next_us < now_us) {
		struct election_event event = { .now_us = next_us, .type = ELECTION_TIME };
		uint8_t phase = play->state.phase;
		char text[PLAY_TEXT_MAX];

		play_event(play, &event);
		play_outcome(play, text);
		if (!only_renews(play, phase))
			fail_msg("not in the script: %" PRId64 " ms: time => %s",
				 (next_us - PLAY_START_US) / PLAY_MS, text);
		play_renewed(play);
	}
}

static int find(const char *word, const char *const *list, size_t count)
{
	for (size_t i = 0; word && i < count; i++)
		if (!strcmp(word, list[i]))
			return (int)i;
	fail_msg("no such word: %s", word ? word : "(none)");
	return 0;
}

static uint8_t result_of(const char *word)
{
	static const char *const results[] = { "ok", "conflict", "unknown", "failed" };

	return (uint8_t)find(word, results, COUNT(results));
}

static void parse_view(struct play *play, const struct words *words, struct election_view *ret_view)
{
	static const char *const keys[] = { "unknown", "missing", "none", "me", "other", "dead" };
	static const char *const posts[] = { "", "free", "mine", "taken" };
	struct election_view view = { .post = play->state.view.post,
				      .epoch = play->state.view.epoch,
				      .epoch_known = 1 };
	char *version = words->count > 1 ? strchr(words->word[1], '@') : NULL;

	view.key_version = play->state.view.key_version;
	view.key_mzxid = play->state.view.key_mzxid;
	if (version) {
		*version++ = '\0';
		if (view.key_version != (int32_t)atoi(version) || !view.key_mzxid)
			view.key_mzxid = ++play->zxid;
		view.key_version = (int32_t)atoi(version);
	}
	view.key = (uint8_t)find(words->word[1], keys, COUNT(keys));
	for (size_t i = 2; i < words->count; i++) {
		if (!strcmp(words->word[i], "drained"))
			view.drained = 1;
		else if (!strcmp(words->word[i], "maintenance"))
			view.maintenance = 1;
		else if (!strcmp(words->word[i], "absent"))
			view.absent = 1;
		else if (!strcmp(words->word[i], "no-epoch"))
			view.epoch_known = 0;
		else if (!strcmp(words->word[i], "epoch") && i + 1 < words->count)
			view.epoch = atoll(words->word[++i]);
		else if (!strcmp(words->word[i], "former")) {
			view.post = POST_MINE;
			view.post_epoch = -1;
		} else {
			view.post = (uint8_t)find(words->word[i], posts, COUNT(posts));
		}
	}
	*ret_view = view;
}

static void parse_count(const char *word, struct election_event *event)
{
	if (!strcmp(word, "unknown"))
		event->result = RESULT_UNKNOWN;
	else if (!strcmp(word, "conflict"))
		event->result = RESULT_CONFLICT;
	else
		event->count = (int32_t)atoi(word);
}

static uint8_t event_of(const char *word)
{
	static const struct {
		const char *word;
		uint8_t type;
	} short_words[] = {
		{ "up", ELECTION_SESSION_UP },
		{ "down", ELECTION_SESSION_DOWN },
		{ "lost", ELECTION_SESSION_LOST },
	};

	for (size_t i = 0; i < COUNT(short_words); i++)
		if (!strcmp(word, short_words[i].word))
			return short_words[i].type;
	for (uint8_t type = 0; type < ELECTION_EVENT_COUNT; type++)
		if (!strcmp(word, election_event_text(type)))
			return type;
	fail_msg("no such event: %s", word);
	return 0;
}

static void parse_event(struct play *play, const struct words *words, struct election_event *event)
{
	static const char *const resumes[] = { "cold", "primary", "other" };
	const char *argument = words->count > 1 ? words->word[1] : "ok";

	event->type = event_of(words->word[0]);
	switch ((enum election_event_type)event->type) {
	case ELECTION_START:
		event->resume = (uint8_t)find(argument, resumes, COUNT(resumes));
		event->epoch = event->resume == RESUME_PRIMARY ? 77 : 0;
		if (words->count > 2)
			event->lease_end_us = event->now_us + atoll(words->word[2]) * PLAY_MS;
		event->session_us = 6000 * PLAY_MS;
		break;
	case ELECTION_SESSION_UP:
		event->session_us = atoll(argument) * PLAY_MS;
		event->fresh = words->count > 2;
		break;
	case ELECTION_VIEW:
		parse_view(play, words, &event->view);
		break;
	case ELECTION_DONE:
		event->op = play->op;
		event->zxid = ++play->zxid;
		event->result = result_of(argument);
		break;
	case ELECTION_CORPSES:
	case ELECTION_PEERS:
		parse_count(argument, event);
		if (words->count > 2)
			event->time_us = PLAY_START_US + atoll(words->word[2]) * PLAY_MS;
		break;
	case ELECTION_RENEWED:
		event->result = result_of(argument);
		event->time_us = play->sent_count ? take_renewal(play) : event->now_us;
		break;
	case ELECTION_LOCK:
	case ELECTION_FENCED:
	case ELECTION_STARTED:
	case ELECTION_HEALTH:
		event->result = result_of(argument);
		break;
	case ELECTION_TIME:
	case ELECTION_SESSION_DOWN:
	case ELECTION_SESSION_LOST:
	case ELECTION_STOPPED:
	case ELECTION_PARDON:
	case ELECTION_SHUTDOWN:
	case ELECTION_EVENT_COUNT:
		break;
	}
}

static void split(char *text, struct words *ret_words)
{
	char *rest = NULL;

	ret_words->count = 0;
	for (char *word = strtok_r(text, " \t", &rest); word; word = strtok_r(NULL, " \t", &rest)) {
		assert_true(ret_words->count < WORDS_MAX);
		ret_words->word[ret_words->count++] = word;
	}
	assert_true(ret_words->count >= 1);
}

static int64_t parse_time(const struct play *play, const char *word)
{
	int64_t ms = atoll(word + (word[0] == '!'));

	return word[0] == '+' ? play->state.now_us + ms * PLAY_MS : PLAY_START_US + ms * PLAY_MS;
}

static void play_line(struct play *play, char *line)
{
	char *arrow = strstr(line, "=>");
	struct election_event event = { 0 };
	struct words words;
	char text[PLAY_TEXT_MAX], copy[PLAY_TEXT_MAX];
	char *rest;

	assert_non_null(arrow);
	snprintf(copy, sizeof(copy), "%.*s", (int)(arrow - line), line);
	*arrow = '\0';
	rest = line + strspn(line, " \t");
	event.now_us = parse_time(play, rest);
	assert_true(event.now_us >= play->state.now_us);
	split(rest + strcspn(rest, " \t"), &words);
	if (rest[0] != '!')
		play_timers(play, event.now_us);
	if (!strcmp(words.word[0], "time") &&
	    election_next_us(&play->config, &play->state) != event.now_us)
		fail_msg("%s: the timer is due at %" PRId64 " ms", copy,
			 (election_next_us(&play->config, &play->state) - PLAY_START_US) / PLAY_MS);
	parse_event(play, &words, &event);
	play_event(play, &event);
	play_outcome(play, text);
	arrow += 2 + strspn(arrow + 2, " \t");
	if (strcmp(arrow, text) != 0)
		fail_msg("%s\n\t  is: %s\n\tnot: %s", copy, text, arrow);
}

void play_script(struct play *play, const char *script)
{
	while (*script) {
		size_t length = strcspn(script, "\n");
		char line[PLAY_TEXT_MAX];

		assert_true(length < sizeof(line));
		if (length > strspn(script, " \t")) {
			memcpy(line, script, length);
			line[length] = '\0';
			play_line(play, line);
		}
		script += length + (script[length] == '\n');
	}
}
