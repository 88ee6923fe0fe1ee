/* SPDX-License-Identifier: Apache-2.0 */

/* primaryd: reads options and configuration, then becomes the daemon. */

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/config/config.h"
#include "daemon.h"
#include "host/host.h"
#include "log/log.h"

struct program {
	const char *config_path;
	struct config config;
	struct config_auth auth;
	bool has_auth;
	bool check_only, reload, tunnel, quiet;
	struct log *log;
};

static void usage(FILE *file)
{
	fputs("usage: primaryd [--config FILE] [--quiet] [--check|--reload|--tunnel-config] [--version] [--help]\n"
	      "\n"
	      "Keeps exactly one node of a cluster primary. Runs in the foreground.\n"
	      "\n"
	      "  --config FILE  configuration (default " CONFIG_DEFAULT_FILE ")\n"
	      "  --quiet        log notices, warnings and errors only\n"
	      "  --check        check the configuration, print every error, start nothing\n"
	      "  --reload       tell the running daemon to reload, and wait for its answer\n"
	      "  --tunnel-config  print the configuration of stunnel for TLS, for primaryd-tunnel.service\n"
	      "  --version      print the version\n"
	      "  --help         print this and every configuration key\n"
	      "\n"
	      "SIGTERM and SIGINT hand over the role and end the daemon. SIGHUP checks the configuration and, if it\n"
	      "is valid, re-executes the binary; a primary remains primary.\n"
	      "Exit codes: 0 stopped, 1 configuration, 2 usage, others as in sysexits.h.\n",
	      file);
}

/* An error of the configuration. A reload that is ordered is refused with it. */
static void say_error(struct program *p, const char *text)
{
	const struct log_options options = { .node = p->config.node.name, .fd = STDERR_FILENO };

	if (p->reload && !p->log)
		(void)log_create(&options, &p->log);
	if (p->reload)
		log_event(p->log, EVENT_RELOAD_REFUSED, NULL, "reload refused: %s", text);
	else
		fprintf(stderr, "%s\n", text);
}

static void say_errors(struct program *p, const struct config_errors *errors)
{
	for (size_t i = 0; i < errors->n; i++)
		say_error(p, errors->texts[i]);
	if (errors->n_beyond > 0)
		fprintf(stderr, "and %zu more errors\n", errors->n_beyond);
}

static int refuse_key(struct program *p, enum config_key_id id, const char *message)
{
	struct config_key key = config_key(id);
	char text[CONFIG_ERROR_SIZE + 200];

	snprintf(text, sizeof(text), "%.180s:%u: %s.%s: %.384s", p->config_path,
		 p->config.lines[id], key.section, key.name, message);
	say_error(p, text);
	return 1;
}

static int load(struct program *p)
{
	/* The tunnel's service sees neither the commands nor the directories of the daemon. */
	unsigned flags = p->tunnel ? 0 : CONFIG_CHECK_COMMANDS | CONFIG_USE_ENVIRONMENT;
	struct config_errors *errors = calloc(1, sizeof(*errors));
	char message[CONFIG_ERROR_SIZE];
	enum config_key_id key;
	int r;

	if (!errors)
		return EX_OSERR;
	r = config_load(p->config_path, flags, &p->config, errors);
	if (p->reload)
		say_errors(p, errors);
	else
		config_errors_print(errors, stderr);
	free(errors);
	if (r != 0)
		return 1;
	if ((p->check_only || p->tunnel) &&
	    config_check_tls(&p->config, p->tunnel, &key, message, sizeof(message)) != 0)
		return refuse_key(p, key, message);
	/* systemd shows the credentials of a service to its main process alone: the daemon itself looks at them. */
	if (!*p->config.zookeeper.auth_file || p->reload || p->tunnel)
		return 0;
	if (config_load_auth(p->config.zookeeper.auth_file, &p->auth, message, sizeof(message)) !=
	    0)
		return refuse_key(p, CONFIG_KEY_zookeeper_auth_file, message);
	p->has_auth = true;
	return 0;
}

static int print_tunnel(struct program *p)
{
	if (p->config.zookeeper.tunnel == 0) {
		fprintf(stderr, "%s: zookeeper.tls-ca is not set: there is no tunnel\n",
			p->config_path);
		return 1;
	}
	config_print_tunnel(&p->config, stdout);
	return fflush(stdout) == 0 && !ferror(stdout) ? 0 : EX_IOERR;
}

static int order_reload(struct program *p)
{
	char text[RELOAD_ORDER_TEXT_SIZE];
	int r = reload_order(p->config.node.runtime_directory, text);

	/* The daemon has logged a refusal of its own. */
	if (r < 0 && (r != -ECANCELED || !getenv("JOURNAL_STREAM")))
		say_error(p, text);
	return r == 0 ? 0 : 1;
}

static int start(struct program *p, char **argv)
{
	struct log_options log_options = { .quiet = p->quiet, .fd = STDERR_FILENO };
	struct daemon_options options = { .config_path = p->config_path, .argv = argv };
	const char *doubt;
	int r = load(p);

	if (r != 0)
		return r;
	if (p->reload)
		return order_reload(p);
	if (p->tunnel)
		return print_tunnel(p);
	for (unsigned i = 0; p->check_only && (doubt = config_doubt(&p->config, i)); i++)
		fprintf(stderr, "%s: warning: %s\n", p->config_path, doubt);
	if (p->check_only)
		return 0;
	log_options.node = p->config.node.name;
	if (log_create(&log_options, &p->log) < 0)
		return EX_OSERR;
	for (unsigned i = 0; (doubt = config_doubt(&p->config, i)); i++)
		log_event(p->log, EVENT_CONFIG_WARNING, NULL, "%s: %s", p->config_path, doubt);
	options.config = &p->config;
	options.auth = p->has_auth ? &p->auth : NULL;
	options.log = p->log;
	return daemon_run(&options);
}

static void finish(struct program *p)
{
	p->log = log_destroy(p->log);
	config_finish(&p->config);
	explicit_bzero(&p->auth, sizeof(p->auth));
}

/* Whoever started us may have closed them: what is opened next would get their numbers, and be written to as a log. */
static bool open_standard_descriptors(void)
{
	int fd;

	do {
		fd = open("/dev/null", O_RDWR);
	} while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd < 0)
		return false;
	(void)close(fd);
	return true;
}

int main(int argc, char *argv[])
{
	static const struct option options[] = {
		{ "quiet", no_argument, NULL, 'q' },
		{ "config", required_argument, NULL, 'c' },
		{ "check", no_argument, NULL, 'k' },
		{ "reload", no_argument, NULL, 'r' },
		{ "tunnel-config", no_argument, NULL, 't' },
		{ "version", no_argument, NULL, 'v' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	struct program p = { .config_path = CONFIG_DEFAULT_FILE };
	int option, r;

	while ((option = getopt_long(argc, argv, "c:hq", options, NULL)) >= 0) {
		switch (option) {
		case 'c':
			p.config_path = optarg;
			break;
		case 'k':
			p.check_only = true;
			break;
		case 'q':
			p.quiet = true;
			break;
		case 'r':
			p.reload = true;
			break;
		case 't':
			p.tunnel = true;
			break;
		case 'v':
			puts("primaryd " PRIMARYD_VERSION);
			return 0;
		case 'h':
			usage(stdout);
			puts("");
			config_print_keys(stdout);
			return 0;
		default:
			usage(stderr);
			return 2;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "primaryd: unexpected argument '%s'\n", argv[optind]);
		usage(stderr);
		return 2;
	}
	if (!open_standard_descriptors())
		return EX_OSERR;
	r = start(&p, argv);
	finish(&p);
	return r;
}
