/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LINE_SIZE (CONFIG_AUTH_SCHEME_SIZE + CONFIG_AUTH_CREDENTIAL_SIZE + 2)

static bool is_systemd_credential(const char *path)
{
	const char *directory = getenv("CREDENTIALS_DIRECTORY");
	size_t n = directory != NULL ? strlen(directory) : 0;

	return n > 1 && strncmp(path, directory, n) == 0 && path[n] == '/' &&
	       strstr(path + n, "/../") == NULL;
}

static int check_file(int fd, const char *path, char *msg, size_t n_msg)
{
	mode_t forbidden = is_systemd_credential(path) ? S_IRWXO : S_IRWXG | S_IRWXO;
	struct stat st;

	if (fstat(fd, &st) < 0) {
		int r = -errno;

		(void)snprintf(msg, n_msg, "'%.200s': %s", path, strerror(errno));
		return r;
	}
	if (!S_ISREG(st.st_mode)) {
		(void)snprintf(msg, n_msg, "'%.200s' is not a regular file (name one)", path);
		return CONFIG_INVALID;
	}
	if ((st.st_mode & forbidden) != 0) {
		(void)snprintf(msg, n_msg,
			       "'%.200s' is open to others, mode %04o (chmod 0600 %.200s)", path,
			       (unsigned)(st.st_mode & 07777), path);
		return CONFIG_INVALID;
	}
	return 0;
}

/* buf: a complete file. One line, SCHEME CREDENTIAL; the newline may be missing. */
static int parse(const char *buf, size_t n, struct config_auth *ret)
{
	size_t n_line = strcspn(buf, "\n");
	size_t n_scheme = strcspn(buf, " \t\n");
	const char *credential = buf + n_scheme + strspn(buf + n_scheme, " \t");
	size_t n_credential = strcspn(credential, "\n");

	if (strlen(buf) != n || (n > n_line && n != n_line + 1)) /* NUL bytes, a second line */
		return CONFIG_INVALID;
	if (n_credential > 0 && credential[n_credential - 1] == '\r')
		n_credential--;
	if (n_scheme == 0 || n_scheme >= sizeof(ret->scheme) || n_credential == 0 ||
	    n_credential >= sizeof(ret->credential))
		return CONFIG_INVALID;
	for (size_t i = 0; i < n_scheme; i++) {
		if ((buf[i] < 'a' || buf[i] > 'z') && (buf[i] < '0' || buf[i] > '9'))
			return CONFIG_INVALID;
	}
	for (size_t i = 0; i < n_credential; i++) {
		if ((unsigned char)credential[i] < ' ' || credential[i] == 0x7f)
			return CONFIG_INVALID;
	}
	/* What digest needs to be a credential at all. */
	if (strncmp(buf, "digest", n_scheme) == 0 && n_scheme == 6) {
		const char *colon = memchr(credential, ':', n_credential);

		if (colon == NULL || colon == credential || colon == credential + n_credential - 1)
			return CONFIG_INVALID;
	}
	memset(ret, 0, sizeof(*ret));
	memcpy(ret->scheme, buf, n_scheme);
	memcpy(ret->credential, credential, n_credential);
	return 0;
}

int config_load_auth(const char *path, struct config_auth *ret, char *msg, size_t n_msg)
{
	char buf[LINE_SIZE + 2] = "";
	ssize_t n;
	int r;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd < 0) {
		r = -errno;
		(void)snprintf(msg, n_msg, "'%.200s' cannot be read: %s (%s)", path, strerror(-r),
			       r == -ENOENT ? "one line SCHEME CREDENTIAL belongs there, mode 0600"
					    : "see who owns it");
		return r;
	}
	r = check_file(fd, path, msg, n_msg);
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
			(void)snprintf(msg, n_msg,
				       "'%.200s' does not hold one line SCHEME CREDENTIAL (such as "
				       "digest user:password; at most %d and %d bytes)",
				       path, CONFIG_AUTH_SCHEME_SIZE - 1,
				       CONFIG_AUTH_CREDENTIAL_SIZE - 1);
	}
	explicit_bzero(buf, sizeof(buf));
	(void)close(fd);
	return r;
}
