/* SPDX-License-Identifier: Apache-2.0 */
#include "state.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/fnv.h"
#include "base/lock_file.h"
#include "election/election.h"

#define STATE_VERSION "primaryd-state 2"
#define CHECKSUM "checksum="
#define SERVERS_MAX 32 /* of one list; a session takes no more */

#define NAME_CHARACTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"

static const char *const work_texts[STATE_WORK_COUNT] = {
#define X(name, text) [name##_BIT] = text,
	STATE_WORK(X)
#undef X
};

/* The same for the same set: each server counts once, wherever it stands and however it is spaced. */
static uint64_t servers_hash(const char *servers)
{
	uint64_t seen[SERVERS_MAX], sum = 0;
	size_t n = 0, known;

	for (const char *end; *servers != '\0'; servers = end + (*end == ',')) {
		uint64_t hash = FNV_START;

		end = servers + strcspn(servers, ",");
		for (const char *at = servers; at < end; at++) {
			char letter = (char)tolower((unsigned char)*at);

			if (letter != ' ')
				hash = fnv_add(hash, &letter, 1);
		}
		for (known = 0; known < n && seen[known] != hash; known++)
			;
		if (known < n)
			continue;
		sum += hash;
		if (n < SERVERS_MAX)
			seen[n++] = hash;
	}
	return sum;
}

uint64_t state_cluster(const char *servers, const char *root, const char *name)
{
	uint64_t set = servers_hash(servers), hash = fnv_add(FNV_START, &set, sizeof(set));

	hash = fnv_add(hash, "|", 1);
	hash = fnv_add(hash, root, strlen(root));
	hash = fnv_add(hash, "|", 1);
	return fnv_add(hash, name, strlen(name));
}

/* Writing */

static void format_password(const char password[16], char ret_hex[33])
{
	for (size_t i = 0; i < 16; i++)
		(void)snprintf(ret_hex + 2 * i, 3, "%02x", (unsigned)(unsigned char)password[i]);
}

static void format_work(uint32_t work, char *buf, size_t n_buf)
{
	size_t n = 0;

	buf[0] = '\0';
	for (int i = 0; i < STATE_WORK_COUNT; i++) {
		if (work & (1U << i))
			n += (size_t)snprintf(buf + n, n_buf - n, "%s%s", n ? "," : "",
					      work_texts[i]);
	}
	assert(n < n_buf);
}

static size_t format(const struct state *state, char buf[STATE_FILE_MAX])
{
	char password[33], work[128];
	int n, n_sum;

	format_password(state->session.password, password);
	format_work(state->work, work, sizeof(work));
	n = snprintf(buf, STATE_FILE_MAX,
		     STATE_VERSION "\nnode=%s\ncluster=%016" PRIx64 "\nboot=%s\n"
				   "session=%016" PRIx64 "\npassword=%s\nsession-us=%" PRId64
				   "\nepoch=%" PRId64 "\nphase=%s\ntakeover-group=%d\nwork=%s\n"
				   "generation=%016" PRIx64 "\nnonce=%016" PRIx64
				   "\nnonce=%016" PRIx64 "\nnonce=%016" PRIx64 "\nnonce=%016" PRIx64
				   "\nepoch-version=%" PRId32 "\n",
		     state->node, state->cluster, state->boot_id, (uint64_t)state->session.id,
		     password, state->session_us, state->epoch, election_phase_text(state->phase),
		     (int)state->takeover_group, work, state->generation, state->nonces[0],
		     state->nonces[1], state->nonces[2], state->nonces[3], state->epoch_version);
	assert(n > 0 && n < STATE_FILE_MAX);
	n_sum = snprintf(buf + n, STATE_FILE_MAX - (size_t)n, CHECKSUM "%016" PRIx64 "\n",
			 fnv_add(FNV_START, buf, (size_t)n));
	assert(n_sum > 0 && n_sum < STATE_FILE_MAX - n);
	explicit_bzero(password, sizeof(password));
	return (size_t)n + (size_t)n_sum;
}

int state_save(const char *directory, const struct state *state)
{
	char path[PATH_MAX], text[STATE_FILE_MAX];
	int r = lock_file_path(directory, STATE_FILE, path);

	if (r < 0)
		return r;
	r = file_replace(path, text, format(state, text), 0600, false);
	explicit_bzero(text, sizeof(text));
	return r;
}

bool state_is_there(const char *directory)
{
	char path[PATH_MAX];

	return lock_file_path(directory, STATE_FILE, path) == 0 && access(path, F_OK) == 0;
}

int state_remove(const char *directory)
{
	char path[PATH_MAX];
	int r = lock_file_path(directory, STATE_FILE, path);

	if (r == 0 && unlink(path) < 0 && errno != ENOENT)
		r = -errno;
	return r;
}

/* Reading: exactly what was written, in its order */

/* The value of the next line if it is KEY=VALUE with this key, else NULL. */
static const char *next_value(char **cursor, const char *key)
{
	size_t n_key = strlen(key);
	char *line = *cursor;
	char *end = strchr(line, '\n');

	if (end == NULL || strncmp(line, key, n_key) != 0 || line[n_key] != '=')
		return NULL;
	*end = '\0';
	*cursor = end + 1;
	return line + n_key + 1;
}

static bool parse_i64(const char *text, int64_t min, int64_t max, int64_t *ret)
{
	long long value;
	char *end;

	if (text == NULL || (*text != '-' && (*text < '0' || *text > '9')))
		return false;
	errno = 0;
	value = strtoll(text, &end, 10);
	if (errno != 0 || *end != '\0' || value < min || value > max)
		return false;
	*ret = value;
	return true;
}

static bool parse_hex64(const char *text, uint64_t *ret)
{
	if (text == NULL || strlen(text) != 16 || strspn(text, "0123456789abcdef") != 16)
		return false;
	*ret = strtoull(text, NULL, 16);
	return true;
}

static bool parse_password(const char *text, char ret_password[16])
{
	if (text == NULL || strlen(text) != 32 || strspn(text, "0123456789abcdef") != 32)
		return false;
	for (size_t i = 0; i < 16; i++) {
		char byte[3] = { text[2 * i], text[2 * i + 1], '\0' };

		ret_password[i] = (char)strtoul(byte, NULL, 16);
	}
	return true;
}

static bool parse_text(const char *text, const char *characters, char *ret, size_t n_ret)
{
	size_t n = text == NULL ? 0 : strlen(text);

	if (n == 0 || n >= n_ret || strspn(text, characters) != n)
		return false;
	memcpy(ret, text, n + 1);
	return true;
}

static bool parse_phase(const char *text, uint8_t *ret_phase)
{
	for (uint8_t phase = 0; text != NULL && phase < PHASE_COUNT; phase++) {
		if (strcmp(text, election_phase_text(phase)) == 0) {
			*ret_phase = phase;
			return true;
		}
	}
	return false;
}

static bool parse_work(const char *text, uint32_t *ret_work)
{
	uint32_t work = 0;

	if (text == NULL)
		return false;
	while (*text != '\0') {
		size_t n = strcspn(text, ",");
		int i = 0;

		while (i < STATE_WORK_COUNT &&
		       (strlen(work_texts[i]) != n || strncmp(work_texts[i], text, n) != 0))
			i++;
		if (i == STATE_WORK_COUNT)
			return false;
		work |= 1U << i;
		text += n + (text[n] == ',');
	}
	*ret_work = work;
	return true;
}

/* NULL, or the name of what is wrong. */
static const char *parse_term(char *cursor, struct state *s)
{
	int64_t version;

	if (!parse_hex64(next_value(&cursor, "generation"), &s->generation))
		return "generation";
	for (int i = 0; i < STATE_NONCES; i++)
		if (!parse_hex64(next_value(&cursor, "nonce"), &s->nonces[i]))
			return "nonce";
	if (!parse_i64(next_value(&cursor, "epoch-version"), INT32_MIN, INT32_MAX, &version))
		return "epoch-version";
	s->epoch_version = (int32_t)version;
	return *cursor == '\0' ? NULL : "end";
}

static const char *parse_lines(char *cursor, struct state *s)
{
	uint64_t session;
	int64_t group;

	if (!parse_text(next_value(&cursor, "node"), NAME_CHARACTERS, s->node, sizeof(s->node)))
		return "node";
	if (!parse_hex64(next_value(&cursor, "cluster"), &s->cluster))
		return "cluster";
	if (!parse_text(next_value(&cursor, "boot"), "0123456789abcdef-", s->boot_id,
			sizeof(s->boot_id)))
		return "boot";
	if (!parse_hex64(next_value(&cursor, "session"), &session))
		return "session";
	s->session.id = (int64_t)session;
	if (!parse_password(next_value(&cursor, "password"), s->session.password))
		return "password";
	if (!parse_i64(next_value(&cursor, "session-us"), 0, INT64_MAX, &s->session_us))
		return "session-us";
	if (!parse_i64(next_value(&cursor, "epoch"), 0, INT64_MAX, &s->epoch))
		return "epoch";
	if (!parse_phase(next_value(&cursor, "phase"), &s->phase))
		return "phase";
	if (!parse_i64(next_value(&cursor, "takeover-group"), 0, INT32_MAX, &group))
		return "takeover-group";
	s->takeover_group = (pid_t)group;
	if (!parse_work(next_value(&cursor, "work"), &s->work))
		return "work";
	return parse_term(cursor, s);
}

/* The checksum is the last line, of all that stands before; cuts it off. */
static bool checksum_is_right(char *text, size_t n)
{
	char *line = n > 0 && text[n - 1] == '\n' ? memrchr(text, '\n', n - 1) : NULL;
	uint64_t sum;

	if (line == NULL || strncmp(line + 1, CHECKSUM, strlen(CHECKSUM)) != 0)
		return false;
	text[n - 1] = '\0';
	if (!parse_hex64(line + 1 + strlen(CHECKSUM), &sum))
		return false;
	line[1] = '\0';
	return sum == fnv_add(FNV_START, text, (size_t)(line + 1 - text));
}

static const char *parse(char *text, size_t n, struct state *ret_state)
{
	size_t n_version = strlen(STATE_VERSION "\n");

	if (memchr(text, '\0', n) != NULL || !checksum_is_right(text, n))
		return "its checksum is wrong";
	if (strncmp(text, STATE_VERSION "\n", n_version) != 0)
		return "it is of another version";
	return parse_lines(text + n_version, ret_state);
}

/* All of it; ret_n is STATE_FILE_MAX when it is longer than that allows. */
static int read_file(const char *directory, char text[STATE_FILE_MAX], size_t *ret_n)
{
	char path[PATH_MAX];
	int r = lock_file_path(directory, STATE_FILE, path);
	struct stat st = { 0 };
	ssize_t n;
	int fd;

	if (r < 0)
		return r;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return -errno;
	n = read(fd, text, STATE_FILE_MAX);
	if (n < 0 || fstat(fd, &st) < 0)
		r = -errno;
	(void)close(fd);
	if (r == 0 && !S_ISREG(st.st_mode))
		r = -EBADMSG;
	if (r == 0)
		*ret_n = (size_t)n;
	return r;
}

static int compare(const struct state *state, const struct state *expected, const char *directory,
		   char *message, size_t n_message)
{
	if (strcmp(state->node, expected->node) != 0) {
		(void)snprintf(message, n_message,
			       "%.100s/" STATE_FILE " is of node %s, this is %s", directory,
			       state->node, expected->node);
		return STATE_FOREIGN_NODE;
	}
	if (state->cluster != expected->cluster) {
		(void)snprintf(message, n_message,
			       "%.160s/" STATE_FILE " is of other servers or another root",
			       directory);
		return STATE_FOREIGN_CLUSTER;
	}
	if (strcmp(state->boot_id, expected->boot_id) != 0) {
		(void)snprintf(message, n_message,
			       "%.160s/" STATE_FILE " is from before the last boot", directory);
		return STATE_FOREIGN_BOOT;
	}
	return 0;
}

int state_load(const char *directory, const struct state *expected, struct state *ret_state,
	       char *message, size_t n_message)
{
	struct state state = { .phase = 0 };
	char text[STATE_FILE_MAX];
	const char *why;
	size_t n = 0;
	int r = read_file(directory, text, &n);

	if (r < 0) {
		if (r != -ENOENT)
			(void)snprintf(message, n_message, "%.160s/" STATE_FILE ": %s", directory,
				       strerror(-r));
		return r;
	}
	why = n == STATE_FILE_MAX ? "it is too long" : parse(text, n, &state);
	if (why != NULL) {
		(void)snprintf(message, n_message, "%.160s/" STATE_FILE " is damaged: %s",
			       directory, why);
		r = STATE_DAMAGED;
	} else {
		r = compare(&state, expected, directory, message, n_message);
	}
	if (r == 0)
		*ret_state = state;
	explicit_bzero(text, sizeof(text));
	explicit_bzero(&state, sizeof(state));
	return r;
}
