/* SPDX-License-Identifier: Apache-2.0 */
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fnv.h"
#include "zk/session/zkh_session.h"

#define LINE_SIZE (CONFIG_AUTH_SCHEME_SIZE + CONFIG_AUTH_CREDENTIAL_SIZE + 2)
#define STORED_SIZE 280
#define FILE_SIZE (CONFIG_AUTH_MAX * LINE_SIZE)

static bool is_below(const char *path, const char *directory)
{
	size_t n = directory != NULL ? strlen(directory) : 0;

	return n > 1 && strncmp(path, directory, n) == 0 && path[n] == '/' &&
	       strstr(path + n, "/../") == NULL;
}

int config_check_file(int fd, const char *path, bool is_secret, char *msg, size_t n_msg)
{
	/* systemd shows a credential to the user of its unit with an access list, whose mask stat() returns as the group's. */
	bool is_credential = is_below(path, getenv("CREDENTIALS_DIRECTORY")) ||
			     is_below(path, "/run/credentials");
	mode_t forbidden = is_credential ? S_IRWXO : S_IRWXG | S_IRWXO;
	struct stat st;

	if (fstat(fd, &st) < 0) {
		int r = -errno;

		(void)snprintf(msg, n_msg, "'%.200s': %s", path, strerror(errno));
		return r;
	}
	if (!S_ISREG(st.st_mode)) {
		(void)snprintf(msg, n_msg, "'%.200s' is not a regular file", path);
		return CONFIG_INVALID;
	}
	if (is_secret && (st.st_mode & forbidden) != 0) {
		(void)snprintf(msg, n_msg,
			       "'%.200s' can be read by others, mode %04o (chmod 0600 %.200s)",
			       path, (unsigned)(st.st_mode & 07777), path);
		return CONFIG_INVALID;
	}
	return 0;
}

/* One line, SCHEME CREDENTIAL, without its newline. */
static int parse_line(const char *line, size_t n_line, struct config_credential *ret)
{
	size_t n_scheme = strcspn(line, " \t\n");
	const char *credential = line + n_scheme + strspn(line + n_scheme, " \t");
	size_t n_credential;

	if (n_scheme == 0 || n_scheme >= sizeof(ret->scheme) || credential >= line + n_line)
		return CONFIG_INVALID;
	n_credential = (size_t)(line + n_line - credential);
	if (credential[n_credential - 1] == '\r')
		n_credential--;
	if (n_credential == 0 || n_credential >= sizeof(ret->credential))
		return CONFIG_INVALID;
	for (size_t i = 0; i < n_scheme; i++) {
		if ((line[i] < 'a' || line[i] > 'z') && (line[i] < '0' || line[i] > '9'))
			return CONFIG_INVALID;
	}
	for (size_t i = 0; i < n_credential; i++) {
		if ((unsigned char)credential[i] < ' ' || credential[i] == 0x7f)
			return CONFIG_INVALID;
	}
	/* What digest needs to be a credential at all. */
	if (strncmp(line, "digest", n_scheme) == 0 && n_scheme == 6) {
		const char *colon = memchr(credential, ':', n_credential);

		if (colon == NULL || colon == credential || colon == credential + n_credential - 1)
			return CONFIG_INVALID;
	}
	memcpy(ret->scheme, line, n_scheme);
	memcpy(ret->credential, credential, n_credential);
	return 0;
}

/* buf: a complete file. The last newline may be missing. */
static int parse(const char *buf, size_t n, struct config_auth *ret)
{
	struct config_auth auth = { .count = 0 };
	const char *line = buf;
	int r = strlen(buf) == n ? 0 : CONFIG_INVALID; /* NUL bytes */

	while (r == 0 && (*line != '\0' || auth.count == 0)) {
		size_t n_line = strcspn(line, "\n");

		r = auth.count < CONFIG_AUTH_MAX ? parse_line(line, n_line, &auth.list[auth.count])
						 : CONFIG_INVALID;
		auth.count++;
		line += n_line + (line[n_line] == '\n');
	}
	if (r == 0 && auth.count == 2 &&
	    !memcmp(&auth.list[0], &auth.list[1], sizeof(auth.list[0])))
		auth.count = 1;
	if (r == 0)
		*ret = auth;
	explicit_bzero(&auth, sizeof(auth));
	return r;
}

void config_auth_put(const struct config_auth *auth, struct zkh_credential *ret_list)
{
	_Static_assert(CONFIG_AUTH_MAX <= ZKH_AUTH_MAX, "a session takes all of them");
	for (unsigned i = 0; auth != NULL && i < auth->count; i++)
		ret_list[i] = (struct zkh_credential){ auth->list[i].scheme,
						       auth->list[i].credential };
}

uint64_t config_auth_hash(const struct config_auth *auth)
{
	uint64_t hash = FNV_START;

	for (unsigned i = 0; auth != NULL && i < auth->count; i++)
		hash = fnv_add(hash, &auth->list[i], sizeof(auth->list[i]));
	return hash;
}

/*
 * A credential of a unit that is not started yet is where systemd will take it from: LoadCredential= of our units names it
 * UNIT.NAME in /etc/credstore, with - for @. Only root can read that. Returns path, or text.
 */
static const char *stored_path(const char *path, char text[STORED_SIZE])
{
	char unit[128], name[128], *end;

	if (access(path, F_OK) == 0 || errno != ENOENT ||
	    sscanf(path, "/run/credentials/%127[^/]/%127[^/]", unit, name) != 2)
		return path;
	end = strrchr(unit, '.');
	if (end == NULL || strcmp(end, ".service") != 0)
		return path;
	*end = '\0';
	for (char *at = strchr(unit, '@'); at != NULL; at = strchr(at, '@'))
		*at = '-';
	(void)snprintf(text, STORED_SIZE, "/etc/credstore/%s.%s", unit, name);
	return text;
}

int config_load_auth(const char *path, struct config_auth *ret, char *msg, size_t n_msg)
{
	char buf[FILE_SIZE + 2] = "", stored[STORED_SIZE];
	ssize_t n;
	int fd, r;

	path = stored_path(path, stored);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd < 0) {
		r = -errno;
		(void)snprintf(msg, n_msg, "'%.200s' cannot be read: %s (%s)", path, strerror(-r),
			       r == -ENOENT ? "one line SCHEME CREDENTIAL belongs there, mode 0600"
					    : "see who owns it");
		return r;
	}
	r = config_check_file(fd, path, true, msg, n_msg);
	if (r != 0) {
		(void)close(fd);
		return r;
	}
	n = read(fd, buf, sizeof(buf) - 1);
	if (n < 0) {
		r = -errno;
		(void)snprintf(msg, n_msg, "'%.200s' cannot be read: %s", path, strerror(-r));
	} else {
		r = parse(buf, (size_t)n, ret);
		if (r != 0)
			(void)snprintf(
				msg, n_msg,
				"'%.200s' does not hold one line SCHEME CREDENTIAL (such as "
				"digest user:password; at most %d and %d bytes), or two while the "
				"credential is changed",
				path, CONFIG_AUTH_SCHEME_SIZE - 1, CONFIG_AUTH_CREDENTIAL_SIZE - 1);
	}
	explicit_bzero(buf, sizeof(buf));
	(void)close(fd);
	return r;
}
