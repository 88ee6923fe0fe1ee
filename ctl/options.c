/* SPDX-License-Identifier: Apache-2.0 */
#include "options.h"

#include <getopt.h>
#include <stddef.h>
#include <string.h>

#include "base/duration.h"
#include "ctl.h"
#include "help.h"

enum kind { TEXT, FLAG, TIMEOUT, SPAN, WAIT };

/* X(letter, name, argument, kind, member, for which verbs (0: all), what it does) */
#define OPTIONS(X)                                                                                 \
	X('c', "config", "FILE", TEXT, config_path, 0,                                             \
	  "configuration (default: " CONFIG_DEFAULT_FILE ", if it exists)")                        \
	X('s', "servers", "LIST", TEXT, servers, 0,                                                \
	  "HOST:PORT[,HOST:PORT...], instead of zookeeper.servers, and without the TLS tunnel")    \
	X('r', "root", "PATH", TEXT, root, 0, "instead of zookeeper.root")                         \
	X('a', "auth-file", "FILE", TEXT, auth_file, 0, "instead of zookeeper.auth-file")          \
	X('t', "timeout", "T", TIMEOUT, timeout_us, 0,                                             \
	  "give up after T, such as 30s (lock: wait for the lock for at most T)")                  \
	X('j', "json", "", FLAG, json, 0, "print JSON, errors included")                           \
	X('f', "force", "", FLAG, force, TAKES_FORCE, "do it despite a warning")                   \
	X('n', "dry-run", "", FLAG, dry_run, TAKES_DRY_RUN, "show what would happen")              \
	X('R', "recursive", "", FLAG, recursive, TAKES_RECURSIVE, "include all keys below")        \
	X('e', "epoch", "", FLAG, epoch, TAKES_EPOCH,                                              \
	  "give COMMAND a fencing token, PRIMARYD_LOCK_EPOCH")                                     \
	X('A', "all", "", FLAG, all, TAKES_ALL, "show every predicate, also those that hold")      \
	X('w', "wait", "[=T]", WAIT, wait_us, TAKES_WAIT,                                          \
	  "wait until the answer is yes, for at most T")                                           \
	X('m', "min-left", "T", SPAN, min_left_us, TAKES_WAIT,                                     \
	  "say yes only if this node remains primary for at least T")                              \
	X('F', "for", "T", SPAN, for_us, TAKES_FOR, "on: end the maintenance after T, such as 2h") \
	X('g', "svg", "FILE", TEXT, svg_path, TAKES_SVG, "write the picture to FILE, as SVG")      \
	X('V', "version", "", FLAG, version, 0, "print the version")                               \
	X('h', "help", "", FLAG, help, 0, "print this help, or that of the command")

#define X(letter, name, argument, kind, member, takes, what)                                       \
	{ kind, offsetof(struct options, member), { "--" name, argument, what, takes } },
static const struct {
	enum kind kind;
	size_t offset;
	struct option_text text;
} table[] = { OPTIONS(X) };
#undef X

#define X(letter, name, argument, kind, ...)                                                       \
	{ name,                                                                                    \
	  kind == FLAG	 ? no_argument                                                             \
	  : kind == WAIT ? optional_argument                                                       \
			 : required_argument,                                                      \
	  NULL, letter },
static const struct option long_options[] = { OPTIONS(X){ NULL, 0, NULL, 0 } };
#undef X

#define OPTION_COUNT (sizeof(table) / sizeof(*table))

bool options_text(unsigned i, struct option_text *ret_text)
{
	if (i >= OPTION_COUNT)
		return false;
	*ret_text = table[i].text;
	return true;
}

static bool fail(int code, int *ret_code)
{
	*ret_code = code;
	return false;
}

static bool take_span(const char *name, const char *text, void *member)
{
	int64_t span_us;
	int error = duration_parse(text, &span_us);

	if (error) {
		ctl_error("%s: '%s' %s (write a number with ms, s, min or h)", name, text,
			  duration_error_text((enum duration_error)error));
		return false;
	}
	memcpy(member, &span_us, sizeof(span_us));
	return true;
}

static bool is_given(const struct options *o, size_t i)
{
	const char *member = (const char *)o + table[i].offset;
	const char *text;
	int64_t span_us;

	if (table[i].kind == FLAG)
		return *member;
	if (table[i].kind == TEXT) {
		memcpy(&text, member, sizeof(text));
		return text;
	}
	memcpy(&span_us, member, sizeof(span_us));
	return span_us != 0;
}

static bool refuse_zero(const char *name)
{
	ctl_error("%s: must be more than 0", name);
	return false;
}

static bool take_option(struct options *o, int letter)
{
	size_t i = 0;
	char *member;

	while (long_options[i].val != letter)
		i++;
	member = (char *)o + table[i].offset;
	switch (table[i].kind) {
	case TEXT:
		memcpy(member, &optarg, sizeof(optarg));
		return true;
	case FLAG:
		memcpy(member, &(bool){ true }, sizeof(bool));
		return true;
	case TIMEOUT:
		o->has_timeout = true;
		return take_span(table[i].text.name, optarg, member);
	case WAIT:
		memcpy(member, &(int64_t){ WAIT_FOR_EVER }, sizeof(int64_t));
		return !optarg || take_span(table[i].text.name, optarg, member);
	case SPAN:
		return take_span(table[i].text.name, optarg, member) &&
		       (is_given(o, i) || refuse_zero(table[i].text.name));
	}
	return false;
}

static int next_option(int argc, char *argv[])
{
	opterr = 0;
	return getopt_long(argc, argv, ":c:h", long_options, NULL);
}

bool options_scan(int argc, char *argv[], struct options *ret_options)
{
	int letter, last = 0;

	while ((letter = next_option(argc, argv)) >= 0) {
		last = letter;
		if (letter != '?' && letter != ':')
			(void)take_option(ret_options, letter);
	}
	ret_options->arguments = argv + optind;
	ret_options->argument_count = argc - optind;
	return last != ':';
}

static bool check(const struct options *o)
{
	const struct verb *verb = o->verb;

	for (size_t i = 0; i < OPTION_COUNT; i++) {
		unsigned takes = table[i].text.takes;

		if (!takes || verb->takes & takes || !is_given(o, i))
			continue;
		ctl_error("%s does not take %s", verb->name, table[i].text.name);
		return false;
	}
	if (o->command && !(verb->takes & TAKES_COMMAND)) {
		ctl_error("%s does not take a command after --", verb->name);
		return false;
	}
	if (!verb_takes(verb, o->arguments, o->argument_count) ||
	    (verb->takes & TAKES_COMMAND && !o->command)) {
		help_usage_error(verb);
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
		for (int j = 1, used; j < i; j++) {
			const struct verb *verb = verb_find(argv + j, i - j, &used);

			if (!verb || !(verb->takes & TAKES_COMMAND))
				continue;
			argv[i] = NULL;
			*argc = i;
			return argv[i + 1] ? argv + i + 1 : NULL;
		}
		return NULL;
	}
	return NULL;
}

/* False: *ret_code; reported. */
static bool take_options(int argc, char *argv[], struct options *o, int *ret_code)
{
	int letter;

	while ((letter = next_option(argc, argv)) >= 0) {
		if (letter == ':')
			ctl_error("%s needs a value (see primaryctl --help)", argv[optind - 1]);
		else if (letter == '?')
			help_no_option(argv[optind - 1]);
		else if (take_option(o, letter))
			continue;
		return fail(CTL_USAGE, ret_code);
	}
	if (!o->version)
		return true;
	puts("primaryctl " PRIMARYD_VERSION);
	return fail(ctl_flush(), ret_code);
}

bool options_parse(int argc, char *argv[], struct options *ret_options, int *ret_code)
{
	struct options o = { 0 };
	int words, used = 0;

	o.command = find_command(&argc, argv);
	for (int i = 1; i < argc && !o.json; i++)
		o.json = !strcmp(argv[i], "--json");
	ctl_errors_as_json(o.json);
	if (!take_options(argc, argv, &o, ret_code))
		return false;
	words = argc - optind;
	if (o.help)
		return fail(help_print(argv + optind, words), ret_code);
	if (!words) {
		help_print_all(stderr);
		return fail(CTL_USAGE, ret_code);
	}
	o.verb = verb_find(argv + optind, words, &used);
	o.arguments = argv + optind + used;
	o.argument_count = words - used;
	if (!o.verb)
		help_no_verb(argv + optind, words);
	if (!o.verb || !check(&o))
		return fail(CTL_USAGE, ret_code);
	*ret_options = o;
	return true;
}
