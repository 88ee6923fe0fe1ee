/* SPDX-License-Identifier: Apache-2.0 */
#include "options.h"

#include <getopt.h>
#include <string.h>

#include "base/duration.h"
#include "ctl.h"

#define X(function, name, arguments, least, most, takes, what)                                     \
	{ name, arguments, least, most, takes, what, verb_##function },
const struct verb verbs[] = { VERBS(X) };
#undef X
const unsigned verb_count = sizeof(verbs) / sizeof(verbs[0]);

static const struct option long_options[] = {
	{ "config", required_argument, NULL, 'c' }, { "servers", required_argument, NULL, 's' },
	{ "root", required_argument, NULL, 'r' },   { "auth-file", required_argument, NULL, 'a' },
	{ "json", no_argument, NULL, 'j' },	    { "timeout", required_argument, NULL, 't' },
	{ "force", no_argument, NULL, 'f' },	    { "dry-run", no_argument, NULL, 'n' },
	{ "recursive", no_argument, NULL, 'R' },    { "epoch", no_argument, NULL, 'e' },
	{ "all", no_argument, NULL, 'A' },	    { "version", no_argument, NULL, 'V' },
	{ "help", no_argument, NULL, 'h' },	    { NULL, 0, NULL, 0 },
};

void options_usage(FILE *file)
{
	fputs("usage: primaryctl [OPTION...] COMMAND [ARGUMENT...]\n"
	      "\n"
	      "Shows which node of a cluster is primary, moves the role, and tells why.\n"
	      "\n",
	      file);
	for (unsigned i = 0; i < verb_count; i++)
		fprintf(file, "  %-12s %-26s %s\n", verbs[i].name, verbs[i].arguments,
			verbs[i].what);
	fputs("\n"
	      "  key list [PATH] [--recursive]     names, versions and values\n"
	      "  key get PATH                      the value\n"
	      "  key set PATH[@VERSION]=VALUE...   all of them or none; VALUE - is read from stdin\n"
	      "  key delete PATH... [--recursive]  with --recursive also what is below\n"
	      "  key rename OLD NEW                a whole subtree, in one transaction\n"
	      "\n"
	      "  lock exclusive|read|write PATH [--timeout T] [--epoch] -- COMMAND [ARGUMENT...]\n"
	      "\n"
	      "  --config FILE     configuration (default " CONFIG_DEFAULT_FILE
	      ", if there is one)\n"
	      "  --servers LIST    HOST:PORT[,HOST:PORT...]; instead of zookeeper.servers\n"
	      "  --root PATH       instead of zookeeper.root\n"
	      "  --auth-file FILE  instead of zookeeper.auth-file\n"
	      "  --timeout T       give up after T, such as 30s (lock: wait no longer for the lock)\n"
	      "  --json            for programs; see primaryctl(1)\n"
	      "  --force           switchover, release, drain, cluster accept, remove, rename: although it is\n"
	      "                    warned against\n"
	      "  --dry-run         switchover, release, auth: what would happen\n"
	      "  --recursive       key list, key delete: with everything below\n"
	      "  --epoch           lock: hand COMMAND a fencing token, PRIMARYD_LOCK_EPOCH\n"
	      "  --all             explain: every predicate, also those that hold\n"
	      "  --version         print the version\n"
	      "  --help            print this\n"
	      "\n"
	      "Exit codes: 0 done, 1 refused or failed, 2 usage, 3 timed out, 4 ZooKeeper out of reach;\n"
	      "lock: that of COMMAND, 126 or 127 when it could not be run.\n",
	      file);
}

static bool fail(int code, int *ret_code)
{
	*ret_code = code;
	return false;
}

static bool take_timeout(struct options *options, const char *text)
{
	int error = duration_parse(text, &options->timeout_us);

	if (error) {
		ctl_error("--timeout: '%s' %s (a number with ms, s or min)", text,
			  duration_error_text((enum duration_error)error));
		return false;
	}
	options->has_timeout = true;
	return true;
}

/* True: go on. */
static bool take_option(struct options *options, int option, int *ret_code)
{
	switch (option) {
	case 'c':
		options->config_path = optarg;
		return true;
	case 's':
		options->servers = optarg;
		return true;
	case 'r':
		options->root = optarg;
		return true;
	case 'a':
		options->auth_file = optarg;
		return true;
	case 'j':
		options->json = true;
		return true;
	case 't':
		return take_timeout(options, optarg) || fail(CTL_USAGE, ret_code);
	case 'f':
		options->force = true;
		return true;
	case 'n':
		options->dry_run = true;
		return true;
	case 'R':
		options->recursive = true;
		return true;
	case 'e':
		options->epoch = true;
		return true;
	case 'A':
		options->all = true;
		return true;
	case 'V':
		puts("primaryctl " PRIMARYD_VERSION);
		return fail(ctl_flush(), ret_code);
	case 'h':
		options_usage(stdout);
		return fail(ctl_flush(), ret_code);
	default:
		fputs("try: primaryctl --help\n", stderr);
		return fail(CTL_USAGE, ret_code);
	}
}

static const struct verb *find_verb(const char *name)
{
	for (unsigned i = 0; i < verb_count; i++)
		if (!strcmp(verbs[i].name, name))
			return &verbs[i];
	return NULL;
}

static bool check_option(const struct options *options, bool given, unsigned bit, const char *name)
{
	if (!given || options->verb->takes & bit)
		return true;
	ctl_error("%s does not take %s", options->verb->name, name);
	return false;
}

static bool check(const struct options *o)
{
	const struct verb *verb = o->verb;

	if (!check_option(o, o->force, TAKES_FORCE, "--force") ||
	    !check_option(o, o->dry_run, TAKES_DRY_RUN, "--dry-run") ||
	    !check_option(o, o->recursive, TAKES_RECURSIVE, "--recursive") ||
	    !check_option(o, o->epoch, TAKES_EPOCH, "--epoch") ||
	    !check_option(o, o->all, TAKES_ALL, "--all") ||
	    !check_option(o, o->command, TAKES_COMMAND, "a command behind --"))
		return false;
	if (o->argument_count < verb->least || o->argument_count > verb->most) {
		ctl_error("usage: primaryctl %s %s%s", verb->name, verb->arguments,
			  verb->takes & TAKES_COMMAND ? " -- COMMAND [ARGUMENT...]" : "");
		return false;
	}
	if (verb->takes & TAKES_COMMAND && !o->command) {
		ctl_error("%s needs a command: primaryctl %s %s -- COMMAND [ARGUMENT...]",
			  verb->name, verb->name, verb->arguments);
		return false;
	}
	return true;
}

/* What is behind the first `--` belongs to the command, if the verb takes one. */
static char **find_command(int *argc, char *argv[])
{
	for (int i = 1; i < *argc; i++) {
		if (strcmp(argv[i], "--") != 0)
			continue;
		for (int j = 1; j < i; j++) {
			const struct verb *verb = find_verb(argv[j]);

			if (!verb || !(verb->takes & TAKES_COMMAND))
				continue;
			argv[i] = NULL;
			*argc = i;
			return argv + i + 1;
		}
		return NULL;
	}
	return NULL;
}

bool options_parse(int argc, char *argv[], struct options *ret_options, int *ret_code)
{
	struct options o = { 0 };
	int option;

	o.command = find_command(&argc, argv);
	if (o.command && !*o.command)
		o.command = NULL;
	while ((option = getopt_long(argc, argv, "c:h", long_options, NULL)) >= 0)
		if (!take_option(&o, option, ret_code))
			return false;
	if (optind == argc) {
		options_usage(stderr);
		return fail(CTL_USAGE, ret_code);
	}
	o.verb = find_verb(argv[optind]);
	o.arguments = argv + optind + 1;
	o.argument_count = argc - optind - 1;
	if (!o.verb) {
		ctl_error("no command '%s' (primaryctl --help lists them)", argv[optind]);
		return fail(CTL_USAGE, ret_code);
	}
	if (!check(&o))
		return fail(CTL_USAGE, ret_code);
	*ret_options = o;
	return true;
}
