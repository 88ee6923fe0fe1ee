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
#include "base/sealed.h"

#define STATE_VERSION "primaryd-state 4"
#define HEX "0123456789abcdef"
#define SERVERS_MAX 32 /* of one list; a session takes no more */

#define NAME_CHARACTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"

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

uint64_t state_work_id(const char *unit)
{
	return fnv_add(FNV_START, unit, strlen(unit) + 1);
}

/* -- writing -- */

static const char *const work_texts[] = {
#define X(name, text) [name] = text,
	STATE_WORK(X)
#undef X
};

static void format_password(const char password[16], char ret_hex[33])
{
	for (size_t i = 0; i < 16; i++)
		(void)snprintf(ret_hex + 2 * i, 3, "%02x", (unsigned)(unsigned char)password[i]);
}

static size_t format(const struct state *state, char buf[STATE_FILE_MAX])
{
	char password[33];
	int n;

	format_password(state->session.password, password);
	n = snprintf(buf, STATE_FILE_MAX,
		     STATE_VERSION
		     "\nnode=%s\ncluster=%016" PRIx64 "\nboot=%s\nplace=%016" PRIx64 "\n"
		     "session=%016" PRIx64 "\npassword=%s\nsession-us=%" PRId64 "\nepoch=%" PRId64
		     "\nwork=%s\n"
		     "generation=%016" PRIx64 "\nnonce=%016" PRIx64 "\nnonce=%016" PRIx64
		     "\nnonce=%016" PRIx64 "\nnonce=%016" PRIx64 "\nepoch-version=%" PRId32
		     "\nwork-id=%016" PRIx64 "\n",
		     state->node, state->cluster, state->boot_id, state->place,
		     (uint64_t)state->session.id, password, state->session_us, state->epoch,
		     work_texts[state->work], state->generation, state->nonces[0], state->nonces[1],
		     state->nonces[2], state->nonces[3], state->epoch_version, state->work_id);
	explicit_bzero(password, sizeof(password));
	assert(n > 0 && n + SEALED_SIZE < STATE_FILE_MAX);
	return sealed_close(buf, (size_t)n);
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

/* -- reading -- */

static void parse_password(const char *text, char ret_password[16])
{
	for (size_t i = 0; i < 16; i++) {
		char byte[3] = { text[2 * i], text[2 * i + 1], '\0' };

		ret_password[i] = (char)strtoul(byte, NULL, 16);
	}
}

static bool parse_work(const char *text, enum state_work *ret_work)
{
	for (size_t i = 0; i < sizeof(work_texts) / sizeof(work_texts[0]); i++) {
		if (strcmp(text, work_texts[i]) == 0) {
			*ret_work = (enum state_work)i;
			return true;
		}
	}
	return false;
}

static bool parse(char *text, size_t n, struct state *s)
{
	char *at = sealed_open(text, n, STATE_VERSION);
	char password[33], work[16];
	uint64_t session;
	int64_t version;
	bool ok = at && sealed_text(&at, "node", NAME_CHARACTERS, s->node, sizeof(s->node)) &&
		  sealed_hex(&at, "cluster", &s->cluster) &&
		  sealed_text(&at, "boot", HEX "-", s->boot_id, sizeof(s->boot_id)) &&
		  sealed_hex(&at, "place", &s->place) && sealed_hex(&at, "session", &session) &&
		  sealed_text(&at, "password", HEX, password, sizeof(password)) &&
		  strlen(password) == sizeof(password) - 1 &&
		  sealed_number(&at, "session-us", 0, INT64_MAX, &s->session_us) &&
		  sealed_number(&at, "epoch", 0, INT64_MAX, &s->epoch) &&
		  sealed_text(&at, "work", NULL, work, sizeof(work)) &&
		  parse_work(work, &s->work) && sealed_hex(&at, "generation", &s->generation);

	for (int i = 0; ok && i < STATE_NONCES; i++)
		ok = sealed_hex(&at, "nonce", &s->nonces[i]);
	ok = ok && sealed_number(&at, "epoch-version", INT32_MIN, INT32_MAX, &version);
	/* An upgrade moves nothing: the version before this line came wrote all others. */
	if (ok && *at)
		ok = sealed_hex(&at, "work-id", &s->work_id) && !*at;
	if (!ok)
		return false;
	s->session.id = (int64_t)session;
	parse_password(password, s->session.password);
	explicit_bzero(password, sizeof(password));
	s->epoch_version = (int32_t)version;
	return true;
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
			       "%.100s/" STATE_FILE " belongs to node %s, but this is %s",
			       directory, state->node, expected->node);
		return STATE_FOREIGN_NODE;
	}
	if (state->cluster != expected->cluster) {
		(void)snprintf(message, n_message,
			       "%.160s/" STATE_FILE " belongs to other servers or another root",
			       directory);
		return STATE_FOREIGN_CLUSTER;
	}
	if (strcmp(state->boot_id, expected->boot_id) != 0) {
		(void)snprintf(message, n_message,
			       "%.160s/" STATE_FILE " is from before the last boot", directory);
		return STATE_FOREIGN_BOOT;
	}
	if (state->place != expected->place) {
		(void)snprintf(message, n_message,
			       "%.160s/" STATE_FILE
			       " is from another container, or from other namespaces",
			       directory);
		return STATE_FOREIGN_PLACE;
	}
	return 0;
}

int state_load(const char *directory, const struct state *expected, struct state *ret_state,
	       char *message, size_t n_message)
{
	struct state state = { .node = "" };
	char text[STATE_FILE_MAX];
	size_t n = 0;
	int r = read_file(directory, text, &n);

	if (r < 0) {
		if (r != -ENOENT)
			(void)snprintf(message, n_message, "%.160s/" STATE_FILE ": %s", directory,
				       strerror(-r));
		return r;
	}
	if (n == STATE_FILE_MAX || !parse(text, n, &state)) {
		(void)snprintf(message, n_message,
			       "%.160s/" STATE_FILE " is damaged, or of another version",
			       directory);
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
