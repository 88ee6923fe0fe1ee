/* SPDX-License-Identifier: Apache-2.0 */
#include "options.h"

#include <getopt.h>
#include <stddef.h>
#include <string.h>

#include "base/duration.h"
#include "ctl.h"

#define X(function, name, arguments, least, most, takes, what)                                     \
	{ name, arguments, least, most, takes, what, verb_##function },
const struct verb verbs[] = { VERBS(X) };
#undef X
const unsigned verb_count = sizeof(verbs) / sizeof(verbs[0]);

enum kind { TEXT, FLAG, TIMEOUT, SPAN, WAIT, VERSION, HELP };

/* X(letter, name, kind, member, for which verbs (0: all)) */
#define OPTIONS(X)                                                                                 \
	X('c', "config", TEXT, config_path, 0)                                                     \
	X('s', "servers", TEXT, servers, 0)                                                        \
	X('r', "root", TEXT, root, 0)                                                              \
	X('a', "auth-file", TEXT, auth_file, 0)                                                    \
	X('t', "timeout", TIMEOUT, timeout_us, 0)                                                  \
	X('j', "json", FLAG, json, 0)                                                              \
	X('f', "force", FLAG, force, TAKES_FORCE)                                                  \
	X('n', "dry-run", FLAG, dry_run, TAKES_DRY_RUN)                                            \
	X('R', "recursive", FLAG, recursive, TAKES_RECURSIVE)                                      \
	X('e', "epoch", FLAG, epoch, TAKES_EPOCH)                                                  \
	X('A', "all", FLAG, all, TAKES_ALL)                                                        \
	X('w', "wait", WAIT, wait_us, TAKES_WAIT)                                                  \
	X('m', "min-left", SPAN, min_left_us, TAKES_WAIT)                                          \
	X('V', "version", VERSION, verb, 0)                                                        \
	X('h', "help", HELP, verb, 0)

#define X(letter, name, kind, member, takes) { kind, offsetof(struct options, member), takes },
static const struct {
	enum kind kind;
	size_t offset;
	unsigned takes;
} table[] = { OPTIONS(X) };
#undef X

/* How many arguments an option of that kind has, for getopt. */
#define ARGUMENT(kind)                                                                             \
	(kind == WAIT					   ? optional_argument                     \
	 : kind == TEXT || kind == TIMEOUT || kind == SPAN ? required_argument                     \
							   : no_argument)
#define X(letter, name, kind, member, takes) { name, ARGUMENT(kind), NULL, letter },
static const struct option long_options[] = { OPTIONS(X){ NULL, 0, NULL, 0 } };
#undef X

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
	      "  --wait[=T]        is-primary: until the answer is yes, or T is over\n"
	      "  --min-left T      is-primary: only if this node is primary for that long at least\n"
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

static bool take_span(const char *option, const char *text, void *member)
{
	int64_t span_us;
	int error = duration_parse(text, &span_us);

	if (error) {
		ctl_error("--%s: '%s' %s (a number with ms, s or min)", option, text,
			  duration_error_text((enum duration_error)error));
		return false;
	}
	memcpy(member, &span_us, sizeof(span_us));
	return true;
}

/* True: go on. */
static bool take_option(struct options *o, int letter, int *ret_code)
{
	size_t i = 0;
	char *member;

	while (long_options[i].name && long_options[i].val != letter)
		i++;
	if (!long_options[i].name) {
		fputs("try: primaryctl --help\n", stderr);
		return fail(CTL_USAGE, ret_code);
	}
	member = (char *)o + table[i].offset;
	switch (table[i].kind) {
	case TEXT:
		memcpy(member, &optarg, sizeof(optarg));
		return true;
	case FLAG:
		memcpy(member, &(bool){ true }, sizeof(bool));
		return true;
	case WAIT:
		if (!optarg) {
			memcpy(member, &(int64_t){ WAIT_FOR_EVER }, sizeof(int64_t));
			return true;
		}
		return take_span(long_options[i].name, optarg, member) || fail(CTL_USAGE, ret_code);
	case TIMEOUT:
		o->has_timeout = true;
		return take_span(long_options[i].name, optarg, member) || fail(CTL_USAGE, ret_code);
	case SPAN:
		return take_span(long_options[i].name, optarg, member) || fail(CTL_USAGE, ret_code);
	case VERSION:
		puts("primaryctl " PRIMARYD_VERSION);
		return fail(ctl_flush(), ret_code);
	case HELP:
		options_usage(stdout);
		return fail(ctl_flush(), ret_code);
	}
	return false;
}

static const struct verb *find_verb(const char *name)
{
	for (unsigned i = 0; i < verb_count; i++)
		if (!strcmp(verbs[i].name, name))
			return &verbs[i];
	return NULL;
}

static bool is_given(const struct options *o, size_t i)
{
	const char *member = (const char *)o + table[i].offset;
	int64_t span_us;

	if (table[i].kind == FLAG)
		return *member;
	memcpy(&span_us, member, sizeof(span_us));
	return span_us != 0;
}

static bool check(const struct options *o)
{
	const struct verb *verb = o->verb;

	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
		if (!table[i].takes || verb->takes & table[i].takes || !is_given(o, i))
			continue;
		ctl_error("%s does not take --%s", verb->name, long_options[i].name);
		return false;
	}
	if (o->command && !(verb->takes & TAKES_COMMAND)) {
		ctl_error("%s does not take a command behind --", verb->name);
		return false;
	}
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

/* The words behind the first `--` are the command, if the verb takes one. */
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
