/* SPDX-License-Identifier: Apache-2.0 */
#include "help.h"

#include <stdlib.h>
#include <string.h>

#include "ctl.h"

#define USAGE_SIZE 200
#define WORD_SIZE 64

/* -- a similar word -- */

struct guess {
	const char *best; /* NULL: nothing is similar */
	size_t distance;
};

/* How many characters have to be inserted, deleted or replaced to get from a to b. */
static size_t distance(const char *a, const char *b)
{
	size_t row[WORD_SIZE], length = strnlen(b, WORD_SIZE - 1);

	for (size_t j = 0; j <= length; j++)
		row[j] = j;
	for (size_t i = 0; a[i]; i++) {
		size_t diagonal = row[0];

		row[0] = i + 1;
		for (size_t j = 1; j <= length; j++) {
			size_t replaced = diagonal + (a[i] != b[j - 1]);
			size_t other = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;

			diagonal = row[j];
			row[j] = replaced < other ? replaced : other;
		}
	}
	return row[length];
}

/* One wrong character in three is a typo. A word that was begun counts as right. */
static void try_guess(struct guess *guess, const char *typed, const char *candidate)
{
	size_t length = strlen(typed);
	size_t wrong = !strncmp(candidate, typed, length) ? 0 : distance(typed, candidate);

	if (3 * wrong > length || (guess->best && wrong >= guess->distance))
		return;
	guess->best = candidate;
	guess->distance = wrong;
}

/* how: lists all that there are. */
static void say_missing(const char *what, const char *typed, const struct guess *guess,
			const char *how)
{
	if (guess->best)
		ctl_error("there is no %s '%s': did you mean '%s'?", what, typed, guess->best);
	else
		ctl_error("there is no %s '%s' (see primaryctl %s)", what, typed, how);
}

void help_no_option(const char *word)
{
	struct guess guess = { .best = NULL };
	struct option_text option;

	for (unsigned i = 0; options_text(i, &option); i++)
		try_guess(&guess, word, option.name);
	say_missing("option", word, &guess, "--help");
}

void help_no_verb(char *const words[], int count)
{
	struct guess guess = { .best = NULL };
	const char *typed = words[0], *how = "--help";
	char group[2 * WORD_SIZE], two[2 * WORD_SIZE];

	snprintf(two, sizeof(two), "%s%s%s", words[0], count > 1 ? " " : "",
		 count > 1 ? words[1] : "");
	snprintf(group, sizeof(group), "help %s", words[0]);
	for (unsigned i = 0; i < verb_count; i++) {
		try_guess(&guess, strchr(verbs[i].name, ' ') ? two : words[0], verbs[i].name);
		if (verb_begins(&verbs[i], words[0])) {
			typed = two;
			how = group;
		}
	}
	say_missing("command", typed, &guess, how);
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
	bool found = false;
	int used;

	if (!count) {
		help_print_all(stdout);
		return ctl_flush();
	}
	for (unsigned i = 0; i < verb_count; i++) {
		const struct verb *named = verb_find(words, count, &used);

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
