/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"

#include "ctl.h"
#include "guard/args.h"

#include <getopt.h>

#define WORDS_MAX 24

/* The verbs are not run. */
#define X(function, ...)                                                                           \
	int verb_##function(struct ctl *ctl)                                                       \
	{                                                                                          \
		(void)ctl;                                                                         \
		return 0;                                                                          \
	}
VERBS(X)
#undef X

void ctl_error(const char *fmt, ...)
{
}

void ctl_errors_as_json(bool json)
{
}

int ctl_flush(void)
{
	return CTL_DONE;
}

static void check_guard(int argc, char **argv)
{
	struct guard_args args;

	if (guard_args_parse(argc, argv, &args) != 0)
		return;
	PROMISE(args.runtime_directory && args.node);
	PROMISE(args.lease_timeout_us > 0);
}

static void check_ctl(int argc, char **argv)
{
	struct options options;
	int code = -1;

	optind = 0;
	if (!options_parse(argc, argv, &options, &code)) {
		PROMISE(code == CTL_DONE || code == CTL_USAGE);
		return;
	}
	PROMISE(options.verb);
	PROMISE(verb_takes(options.verb, options.arguments, options.argument_count));
	PROMISE(!options.command || options.verb->takes & TAKES_COMMAND);
}

/* The command lines of the guard and of primaryctl. Their words about errors: -close_fd_mask=3. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char program[] = "primaryctl";
	char *words[WORDS_MAX + 2], *block;
	size_t n = fuzz_words(data, size, words + 1, WORDS_MAX, &block);

	words[0] = program;
	words[n + 1] = NULL;
	check_guard((int)n + 1, words);
	/* Last: it reorders them. */
	check_ctl((int)n + 1, words);
	free(block);
	return 0;
}
