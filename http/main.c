/* SPDX-License-Identifier: Apache-2.0 */

/* primaryd-http: what the status page says, by HTTP. Started by its socket; changes nothing, and needs no rights. */

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "server.h"

#define LISTEN_FDS_START 3
#define SERVERS_MAX 8

static const char usage_text[] =
	"usage: primaryd-http [--page FILE] [--version] [--help]\n"
	"\n"
	"Tells over HTTP whether this node is primary, and serves metrics. Started by primaryd-http.socket.\n"
	"\n"
	"  --page FILE  the status page of the daemon (default: " STATUS_DIRECTORY "/primaryd)\n"
	"  --version    print the version\n"
	"  --help       print this\n";

/* As sd_listen_fds(3): how many sockets were handed over; they begin with LISTEN_FDS_START. */
static int count_sockets(void)
{
	const char *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS");

	if (!pid || !count || strtol(pid, NULL, 10) != getpid())
		return 0;
	return atoi(count);
}

static int serve(const char *page)
{
	static struct server servers[SERVERS_MAX];
	struct ev_loop *loop = ev_default_loop(EVFLAG_AUTO);
	int count = count_sockets(), r;

	if (count < 1 || count > SERVERS_MAX) {
		fprintf(stderr,
			"primaryd-http: needs 1 to %d listening sockets from systemd "
			"(systemctl start primaryd-http.socket)\n",
			SERVERS_MAX);
		return EX_USAGE;
	}
	signal(SIGPIPE, SIG_IGN);
	for (int i = 0; i < count; i++) {
		r = server_open(&servers[i], loop, LISTEN_FDS_START + i, page);
		if (r < 0) {
			fprintf(stderr, "primaryd-http: cannot serve socket %d: %s\n",
				LISTEN_FDS_START + i, strerror(-r));
			return EX_OSERR;
		}
	}
	ev_run(loop, 0);
	return 0;
}

int main(int argc, char *argv[])
{
	static const struct option options[] = {
		{ "page", required_argument, NULL, 'p' },
		{ "version", no_argument, NULL, 'v' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	const char *page = STATUS_DIRECTORY "/primaryd";
	int option;

	while ((option = getopt_long(argc, argv, "h", options, NULL)) >= 0) {
		switch (option) {
		case 'p':
			page = optarg;
			break;
		case 'v':
			puts("primaryd-http " PRIMARYD_VERSION);
			return 0;
		case 'h':
			fputs(usage_text, stdout);
			return 0;
		default:
			fputs(usage_text, stderr);
			return EX_USAGE;
		}
	}
	if (optind < argc) {
		fputs(usage_text, stderr);
		return EX_USAGE;
	}
	return serve(page);
}
