/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What primaryctl says of its own command line, all of it from the tables of verbs and options. */

#include <stdio.h>

#include "verbs.h"

/* The summary of all commands and options. */
void help_print_all(FILE *file);

/* On stdout: the summary, or the command that the words name, or all commands that begin with a word such as `key`. The exit code. */
int help_print(char *const words[], int count);

/* One error each: how the verb is called; there is no such verb, or no such option, but perhaps a similar one. */
void help_usage_error(const struct verb *verb);
void help_no_verb(char *const words[], int count);
void help_no_option(const char *word);
