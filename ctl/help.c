/* SPDX-License-Identifier: Apache-2.0 */
#include "help.h"

#include <stdlib.h>
#include <string.h>

#include "base/nearest.h"
#include "ctl.h"

#define USAGE_SIZE 200
#define WORD_SIZE 64

/* -- a similar word -- */

/* how: the arguments of primaryctl that list all there are. */
static void say_missing(const char *what, const struct nearest *nearest, const char *how)
{
	if (nearest->best)
		ctl_error("there is no %s '%s': did you mean '%s'?", what, nearest->wanted,
			  nearest->best);
	else
		ctl_error("there is no %s '%s' (see primaryctl %s)", what, nearest->wanted, how);
}

void help_no_option(const char *word)
{
	struct nearest nearest = { .wanted = word };
	struct option_text option;

	for (unsigned i = 0; options_text(i, &option); i++)
		nearest_offer(&nearest, option.name);
	say_missing("option", &nearest, "--help");
}

void help_no_verb(char *const words[], int count)
{
	char how[WORD_SIZE] = "--help", two[WORD_SIZE];
	struct nearest nearest = { .wanted = words[0] };

	/* Of a command that has two words, both are compared. */
	snprintf(two, sizeof(two), "%s%s%s", words[0], count > 1 ? " " : "",
		 count > 1 ? words[1] : "");
	for (unsigned i = 0; i < verb_count; i++) {
		if (!verb_begins(&verbs[i], words[0]))
			continue;
		nearest.wanted = two;
		snprintf(how, sizeof(how), "help %s", words[0]);
	}
	for (unsigned i = 0; i < verb_count; i++)
		nearest_offer(&nearest, verbs[i].name);
	say_missing("command", &nearest, how);
}

/* -- usage -- */

static void format_usage(const struct verb *verb, char text[USAGE_SIZE])
{
	struct option_text option;
	int n = snprintf(text, USAGE_SIZE, "primaryctl %s%s%s", verb->name,
			 *verb->arguments ? " " : "", verb->arguments);

	for (unsigned i = 0; options_text(i, &option); i++)
		if (option.takes & verb->takes)
			n += snprintf(text + n, USAGE_SIZE - (size_t)n, " [%s%s%s]", option.name,
				      *option.argument && *option.argument != '[' ? " " : "",
				      option.argument);
	if (verb->takes & TAKES_COMMAND)
		snprintf(text + n, USAGE_SIZE - (size_t)n, " -- COMMAND [ARGUMENT...]");
}

void help_usage_error(const struct verb *verb)
{
	char usage[USAGE_SIZE];

	format_usage(verb, usage);
	ctl_error("usage: %s", usage);
}

static void print_option(FILE *file, const struct option_text *option)
{
	const char *separator = " (";

	fprintf(file, "  %-11s %-5s %s", option->name, option->argument, option->what);
	for (unsigned i = 0; i < verb_count && option->takes; i++) {
		if (!(verbs[i].takes & option->takes))
			continue;
		fprintf(file, "%s%s", separator, verbs[i].name);
		separator = ", ";
	}
	fputs(option->takes ? ")\n" : "\n", file);
}

void help_print_all(FILE *file)
{
	struct option_text option;

	fputs("usage: primaryctl [OPTION...] COMMAND [ARGUMENT...]\n"
	      "\n"
	      "Shows which node of a cluster is primary, moves the role, and explains why.\n"
	      "\n"
	      "Commands:\n",
	      file);
	for (unsigned i = 0; i < verb_count; i++) {
		char call[USAGE_SIZE];

		snprintf(call, sizeof(call), "%s %s", verbs[i].name, verbs[i].arguments);
		fprintf(file, "  %-31s  %s\n", call, verbs[i].what);
	}
	fputs("\nOptions:\n", file);
	for (unsigned i = 0; options_text(i, &option); i++)
		print_option(file, &option);
	fputs("\n"
	      "Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 timed out, 4 ZooKeeper cannot be reached;\n"
	      "lock: that of COMMAND, or 126 or 127 if it could not be run.\n"
	      "See `primaryctl help COMMAND` and primaryctl(1).\n",
	      file);
}

/* -- help COMMAND -- */

static void print_verb(const struct verb *verb)
{
	struct option_text option;
	char usage[USAGE_SIZE];

	format_usage(verb, usage);
	printf("usage: %s\n\n  %s\n\n", usage, verb->what);
	for (unsigned i = 0; options_text(i, &option); i++)
		if (option.takes & verb->takes)
			printf("  %-11s %-5s %s\n", option.name, option.argument, option.what);
	printf("%sFor example:\n\n  primaryctl %s%s\n",
	       verb->takes & ~(unsigned)(TAKES_COMMAND | NEEDS_NO_SESSION) ? "\n" : "", verb->name,
	       verb->example);
}

int help_print(char *const words[], int count)
{
	const struct verb *named;
	bool found = false;
	int used;

	if (!count) {
		help_print_all(stdout);
		return ctl_flush();
	}
	named = verb_find(words, count, &used);
	for (unsigned i = 0; i < verb_count; i++) {
		/* `help cluster` explains `cluster accept` as well. */
		if (count > 1 && named ? named != &verbs[i] : !verb_begins(&verbs[i], words[0]))
			continue;
		if (found)
			puts("");
		print_verb(&verbs[i]);
		found = true;
	}
	if (!found) {
		help_no_verb(words, count);
		return CTL_USAGE;
	}
	puts("\nOptions of all commands: see primaryctl --help. Everything else: primaryctl(1).");
	return ctl_flush();
}
