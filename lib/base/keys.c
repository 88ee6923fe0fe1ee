/* SPDX-License-Identifier: Apache-2.0 */
#include "keys.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "wall.h"
#include "zk/zkh_path.h"

static void node_path(const char *name, const char *leaf, char *ret_path)
{
	assert(strlen(PATH_NODES "//") + strlen(name) + strlen(leaf) < KEY_PATH_SIZE);
	stpcpy(stpcpy(stpcpy(stpcpy(ret_path, PATH_NODES "/"), name), "/"), leaf);
}

const char *node_key_leaf(enum node_key key)
{
#define X(name, leaf) leaf,
	static const char *const leaves[] = { NODE_KEYS(X) };
#undef X

	return leaves[key];
}

void node_key_path(const char *name, enum node_key key, char *ret_path)
{
	node_path(name, node_key_leaf(key), ret_path);
}

void node_pardon_path(const char *name, char *ret_path)
{
	node_path(name, "pardon", ret_path);
}

bool value_text(const char *data, size_t length, char *ret_text, size_t size)
{
	while (length && isspace((unsigned char)data[length - 1]))
		length--;
	while (length && isspace((unsigned char)*data)) {
		data++;
		length--;
	}
	if (length >= size)
		return false;
	for (size_t i = 0; i < length; i++)
		if (!isprint((unsigned char)data[i]))
			return false;
	memcpy(ret_text, data, length);
	ret_text[length] = '\0';
	return true;
}

bool value_name(const char *data, size_t length, char ret_name[NAME_SIZE])
{
	char text[NAME_SIZE];

	if (!value_text(data, length, text, sizeof(text)))
		return false;
	if (!zkh_name_valid(text) || !strcmp(text, NAME_NONE))
		return false;
	memcpy(ret_name, text, sizeof(text));
	return true;
}

static bool parse_number(const char *text, int64_t *ret)
{
	char *end;
	long long value;

	errno = 0;
	value = strtoll(text, &end, 10);
	if (!isdigit((unsigned char)*text) || *end || errno || value < 0)
		return false;
	*ret = value;
	return true;
}

#define PAIR_SIZE (NAME_SIZE + 24)

/* "FIRST SECOND": FIRST into text; returns SECOND, or NULL. */
static char *split(const char *data, size_t length, char text[PAIR_SIZE])
{
	char *blank = value_text(data, length, text, PAIR_SIZE) ? strchr(text, ' ') : NULL;

	if (!blank)
		return NULL;
	*blank = '\0';
	return blank + 1;
}

bool value_post(const char *data, size_t length, char ret_name[NAME_SIZE], int64_t *ret_epoch)
{
	char text[PAIR_SIZE];
	const char *number = split(data, length, text);
	int64_t epoch;

	if (!number || !parse_number(number, &epoch) || epoch >= EPOCH_LIMIT ||
	    !value_name(text, strlen(text), ret_name))
		return false;
	*ret_epoch = epoch;
	return true;
}

bool value_epoch(const char *data, size_t length, int64_t *ret_epoch, char ret_name[NAME_SIZE])
{
	char text[PAIR_SIZE];
	const char *name = split(data, length, text);
	int64_t epoch;

	if (!name)
		return false;
	if (!parse_number(text, &epoch) || epoch >= EPOCH_LIMIT)
		return false;
	if (!strcmp(name, NAME_NONE))
		ret_name[0] = '\0';
	else if (!strcmp(name, NAME_NOBODY))
		strcpy(ret_name, NAME_NOBODY);
	else if (!value_name(name, strlen(name), ret_name))
		return false;
	*ret_epoch = epoch;
	return true;
}

#define KEEPALIVE_SCAN "%" SCNx64 " %" SCNd64 " %" SCNd64 " %39s %39s%n"

bool value_keepalive(const char *data, size_t length, struct keepalive *ret)
{
	struct keepalive k = { .nonce = 0 };
	char text[KEEPALIVE_SIZE];
	int n = 0;

	if (!value_text(data, length, text, sizeof(text)) ||
	    sscanf(text, KEEPALIVE_SCAN, &k.nonce, &k.lease_us, &k.counter, k.machine, k.boot,
		   &n) != 5 ||
	    text[n] || !k.nonce || k.lease_us <= 0 || k.lease_us > KEEPALIVE_LEASE_MAX_US ||
	    k.counter < 0)
		return false;
	*ret = k;
	return true;
}

void keepalive_format(const struct keepalive *k, char ret_text[KEEPALIVE_SIZE])
{
	int n = snprintf(ret_text, KEEPALIVE_SIZE, "%016" PRIx64 " %" PRId64 " %" PRId64 " %s %s",
			 k->nonce, k->lease_us, k->counter, k->machine, k->boot);

	assert(n > 0 && n < KEEPALIVE_SIZE);
}

static bool is_among(const char *text, const char *const *words)
{
	while (*words && strcasecmp(text, *words))
		words++;
	return *words;
}

bool value_maintenance(const char *data, size_t length, bool *ret_clear, int64_t *ret_end_ms)
{
	static const char *const yes[] = { "true", "yes", "on", "1", NULL };
	static const char *const no[] = { "false", "no", "off", "0", NULL };
	char text[KEY_VALUE_MAX];
	bool is_text = value_text(data, length, text, sizeof(text));
	bool ends = is_text && is_among(text, no);
	char *until = is_text ? strstr(text, MAINTENANCE_UNTIL) : NULL;
	int64_t end_ms = until ? wall_parse_utc(until + strlen(MAINTENANCE_UNTIL)) : 0;

	/* A year before 1970 is a slip: it must not end the maintenance at once. */
	*ret_end_ms = end_ms > 0 ? end_ms : 0;
	if (end_ms > 0)
		*until = '\0';
	*ret_clear = ends || (is_text && is_among(text, yes));
	return !ends;
}

bool router_state_is_acting(const char *text)
{
	return !strcmp(text, "takeover") || !strcmp(text, "primary") || !strcmp(text, "relinquish");
}

static void copy_word(char *to, size_t size, const char *word)
{
	if (strlen(word) < size)
		strcpy(to, word);
}

static void alive_pair(struct alive *alive, const char *key, const char *value)
{
	if (!strcmp(key, "session"))
		alive->session = (int64_t)strtoull(value, NULL, 16);
	else if (!strcmp(key, "pid"))
		parse_number(value, &alive->pid);
	else if (!strcmp(key, "started"))
		parse_number(value, &alive->started_ms);
	else if (!strcmp(key, "machine"))
		copy_word(alive->machine, sizeof(alive->machine), value);
	else if (!strcmp(key, "boot"))
		copy_word(alive->boot, sizeof(alive->boot), value);
	else if (!strcmp(key, "version"))
		copy_word(alive->version, sizeof(alive->version), value);
	else if (!strcmp(key, "host"))
		copy_word(alive->host, sizeof(alive->host), value);
	else if (!strcmp(key, "address"))
		copy_word(alive->address, sizeof(alive->address), value);
}

void value_alive(const char *data, size_t length, struct alive *ret_alive)
{
	char text[KEY_VALUE_MAX];
	char *save = NULL;

	memset(ret_alive, 0, sizeof(*ret_alive));
	if (!value_text(data, length, text, sizeof(text)))
		return;
	for (char *word = strtok_r(text, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
		char *equals = strchr(word, '=');

		if (!equals)
			continue;
		*equals = '\0';
		alive_pair(ret_alive, word, equals + 1);
	}
}

size_t alive_format(const struct alive *alive, char *ret_text, size_t size)
{
	int n = snprintf(ret_text, size,
			 "session=%016" PRIx64 " machine=%s boot=%s version=%s host=%s pid=%" PRId64
			 " started=%" PRId64 "%s%s",
			 (uint64_t)alive->session, alive->machine, alive->boot, alive->version,
			 alive->host, alive->pid, alive->started_ms,
			 *alive->address ? " address=" : "", alive->address);

	assert(n > 0 && (size_t)n < size);
	return (size_t)n;
}
