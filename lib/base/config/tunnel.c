/* SPDX-License-Identifier: Apache-2.0 */

/* TLS by a local tunnel: its files, and the configuration of stunnel. */

#include "internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "zk/session/zkh_tunnel.h"

#define PEM_LOOK 16384 /* bytes in which the first PEM block begins */
#define CREDENTIALS "/run/credentials/"

struct tls_file {
	enum config_key_id id;
	const char *path;
	const char *kind; /* the end of its first line, as in -----BEGIN EC PRIVATE KEY----- */
	bool is_secret;
};

static int check_file(const struct tls_file *file, char *msg, size_t n_msg)
{
	char text[PEM_LOOK + 1] = "";
	int fd = open(file->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	int r;

	if (fd < 0) {
		r = -errno;
		(void)snprintf(msg, n_msg, "'%.200s' cannot be read: %s (see who owns it)",
			       file->path, strerror(-r));
		return r;
	}
	r = config_check_file(fd, file->path, file->is_secret, msg, n_msg);
	if (r == 0 && read(fd, text, PEM_LOOK) < 0) {
		r = -errno;
		(void)snprintf(msg, n_msg, "'%.200s' cannot be read: %s", file->path, strerror(-r));
	} else if (r == 0 &&
		   (strstr(text, "-----BEGIN ") == NULL || strstr(text, file->kind) == NULL)) {
		r = CONFIG_INVALID;
		(void)snprintf(msg, n_msg, "'%.200s' holds no %.*s in PEM format", file->path,
			       (int)strcspn(file->kind, "-"), file->kind);
	}
	explicit_bzero(text, sizeof(text));
	(void)close(fd);
	return r;
}

int config_check_tls(const struct config *config, bool is_tunnel, enum config_key_id *ret_key,
		     char *msg, size_t n_msg)
{
	const struct tls_file files[] = {
		{ CONFIG_KEY_zookeeper_tls_ca, config->zookeeper.tls_ca, "CERTIFICATE-----",
		  false },
		{ CONFIG_KEY_zookeeper_tls_cert, config->zookeeper.tls_cert, "CERTIFICATE-----",
		  false },
		{ CONFIG_KEY_zookeeper_tls_key, config->zookeeper.tls_key, "PRIVATE KEY-----",
		  true },
	};

	for (size_t i = 0; config->zookeeper.tunnel != 0 && i < sizeof(files) / sizeof(files[0]);
	     i++) {
		const char *path = files[i].path;
		int r = check_file(&files[i], msg, n_msg);

		if (!is_tunnel && (r == -EACCES || (r == -ENOENT && !strncmp(path, CREDENTIALS,
									     strlen(CREDENTIALS)))))
			continue;
		if (r != 0) {
			*ret_key = files[i].id;
			return r;
		}
	}
	return 0;
}

/* A server that is named twice has one address, and one section. */
static bool is_again(const char *servers, const char *rest, const struct zkh_server *server)
{
	struct zkh_server other;

	while (zkh_server_next(&servers, &other) == 0 && servers != rest)
		if (strcmp(other.host, server->host) == 0 && strcmp(other.port, server->port) == 0)
			return true;
	return false;
}

void config_print_tunnel(const struct config *config, FILE *file)
{
	const char *rest = config->zookeeper.servers;
	char at[ZKH_TUNNEL_ADDRESS_SIZE], address[sizeof(struct in6_addr)];
	struct zkh_server server;

	(void)fprintf(
		file,
		"; Made by primaryd --tunnel-config: change the configuration of primaryd instead.\n"
		"foreground = yes\npid =\nsyslog = no\ndebug = warning\nclient = yes\n"
		"sslVersionMin = TLSv1.2\nverifyChain = yes\nCAfile = %s\ncert = %s\nkey = %s\n"
		"; Names are looked up for each connection; a server that stays silent is given up.\n"
		"delay = yes\nTIMEOUTconnect = 5\nTIMEOUTbusy = 10\nTIMEOUTclose = 0\n",
		config->zookeeper.tls_ca, config->zookeeper.tls_cert, config->zookeeper.tls_key);
	while (zkh_server_next(&rest, &server) == 0) {
		size_t n =
			strlen(server.host); /* without the final dot, which no certificate has */
		bool is_ip = inet_pton(AF_INET6, server.host, address) == 1 ||
			     inet_pton(AF_INET, server.host, address) == 1;

		if (is_again(config->zookeeper.servers, rest, &server))
			continue;
		zkh_tunnel_address(config->zookeeper.tunnel, &server, at);
		(void)fprintf(file,
			      "\n[%s:%s]\naccept = %s:" ZKH_TUNNEL_PORT
			      "\nconnect = %s:%s\n%s = %.*s\n",
			      server.host, server.port, at, server.host, server.port,
			      is_ip ? "checkIP" : "checkHost",
			      (int)(n - (server.host[n - 1] == '.')), server.host);
	}
}
