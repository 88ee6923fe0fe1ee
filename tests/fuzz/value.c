/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"

#include "base/identity.h"
#include "base/keys.h"
#include "base/text.h"
#include "base/wall.h"
#include "base/detail.h"
#include "entry.h"
#include "zk/zkh_path.h"

static void check_alive(const char *data, size_t size)
{
	struct alive alive, again;
	char text[KEY_VALUE_MAX];
	size_t n;

	value_alive(data, size, &alive);
	PROMISE(memchr(alive.boot, '\0', sizeof(alive.boot)));
	PROMISE(memchr(alive.version, '\0', sizeof(alive.version)));
	PROMISE(memchr(alive.host, '\0', sizeof(alive.host)));
	n = alive_format(&alive, text, sizeof(text));
	PROMISE(n < sizeof(text) && strlen(text) == n);
	value_alive(text, n, &again);
	PROMISE(again.session == alive.session && again.pid == alive.pid);
}

static void check_history(const char *data, size_t size)
{
	struct history_entry entry, again;
	char text[KEY_VALUE_MAX];

	if (!entry_parse(data, size, &entry))
		return;
	PROMISE(memchr(entry.reason, '\0', sizeof(entry.reason)));
	PROMISE(!*entry.to || zkh_name_valid(entry.to));
	if (strpbrk(entry.reason, "\"\\") || strpbrk(entry.time, "\"\\"))
		return; /* its writer's promise */
	if (history_entry_format(&entry, text, sizeof(text)))
		PROMISE(entry_parse(text, strlen(text), &again));
}

/* What is taken for an identity is one, and reads the same again. */
static void check_identity(const char *data, size_t size)
{
	struct identity_seen seen = { .key = IDENTITY_MISSING }, again = seen;
	struct identity known;
	char text[IDENTITY_VALUE_SIZE];

	identity_parse_value(data, size, &seen);
	PROMISE(seen.key == IDENTITY_READ || seen.key == IDENTITY_JUNK);
	if (seen.key == IDENTITY_READ) {
		identity_format_value(seen.id, seen.generation, seen.format, text);
		identity_parse_value(text, strlen(text), &again);
		PROMISE(again.key == IDENTITY_READ && !strcmp(again.id, seen.id));
	}
	(void)identity_parse_file(data, size, &known);
}

static void check_epoch(const char *data, size_t size)
{
	char name[NAME_SIZE];
	int64_t epoch;

	if (!value_epoch(data, size, &epoch, name))
		return;
	PROMISE(epoch >= 0);
	PROMISE(!*name || !strcmp(name, NAME_NOBODY) || zkh_name_valid(name));
}

/* A term that is believed can be waited for, and reads the same again. */
static void check_keepalive(const char *data, size_t size)
{
	struct keepalive term, again;
	char text[KEEPALIVE_SIZE];

	if (!value_keepalive(data, size, &term))
		return;
	PROMISE(term.nonce && term.lease_us > 0 && term.counter >= 0);
	keepalive_format(&term, text);
	PROMISE(term.lease_us > 0 && term.lease_us <= KEEPALIVE_LEASE_MAX_US);
	PROMISE(value_keepalive(text, strlen(text), &again));
	PROMISE(again.nonce == term.nonce && again.lease_us == term.lease_us);
	PROMISE(again.counter == term.counter && !strcmp(again.machine, term.machine) &&
		!strcmp(again.boot, term.boot));
}

/* An end can be shown, and reads the same again. */
static void check_maintenance(const char *data, size_t size)
{
	char text[WALL_TEXT_SIZE];
	int64_t end_ms = -1;
	bool clear;

	(void)value_maintenance(data, size, &clear, &end_ms);
	PROMISE(end_ms >= 0);
	if (end_ms)
		PROMISE(wall_parse_utc(wall_utc(end_ms, text)) == end_ms);
}

static void check_detail(const char *data, size_t size)
{
	struct node_detail detail;

	detail_parse(data, size, &detail);
	PROMISE(text_is_plain(detail.reason, strlen(detail.reason)));
	PROMISE(detail.lock_timeout_us >= 0 && detail.session_us >= 0 && detail.stop_us >= 0);
}

/* What stands in keys: names, the post, an epoch, a term, a sign of life, a history entry, anything. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	char *data = malloc(size ? size : 1);
	char name[NAME_SIZE], text[16], *shown;
	int64_t epoch;

	PROMISE(data);
	if (size > 0)
		memcpy(data, bytes, size);
	if (value_name(data, size, name))
		PROMISE(zkh_name_valid(name) && strcmp(name, NAME_NONE) != 0);
	if (value_post(data, size, name, &epoch))
		PROMISE(zkh_name_valid(name));
	check_maintenance(data, size);
	check_detail(data, size);
	if (value_text(data, size, text, sizeof(text)))
		(void)router_state_is_acting(text);
	check_epoch(data, size);
	check_keepalive(data, size);
	check_alive(data, size);
	check_history(data, size);
	check_identity(data, size);
	shown = text_escape(data, size, 200);
	PROMISE(shown && text_is_plain(shown, strlen(shown)));
	free(shown);
	(void)text_is_plain(data, size);
	free(text_base64(data, size));
	free(data);
	return 0;
}
