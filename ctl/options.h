/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The command line of primaryctl. verbs.h has the table of commands, options.c that of options. */

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "verbs.h"

#define WAIT_FOR_EVER INT64_MAX

struct options {
	const struct verb *verb;
	const char *config_path;		/* NULL: the default one, which may be missing */
	const char *servers, *root, *auth_file; /* NULL: as configured */
	const char *svg_path;			/* NULL: none */
	bool json, force, dry_run, recursive, epoch, all, version, help;
	bool has_timeout;
	int64_t timeout_us;
	int64_t wait_us; /* 0: not at all */
	int64_t min_left_us;
	int64_t for_us;	  /* 0: without an end */
	char **arguments; /* of the verb, NULL-terminated */
	int argument_count;
	char **command; /* behind `--`; NULL: none */
};

/* True: *ret_options is complete. False: *ret_code is the exit code; an error was reported. */
bool options_parse(int argc, char *argv[], struct options *ret_options, int *ret_code);

/*
 * For completion: the options in argv that are complete, errors ignored, and the words between them as arguments; verb is
 * not set. False: the last word of argv is an option that lacks its value.
 */
bool options_scan(int argc, char *argv[], struct options *ret_options);

/* All options, one by one. False: i is beyond the last one. */
struct option_text {
	const char *name;     /* with its dashes */
	const char *argument; /* "": none */
	const char *what;
	unsigned takes; /* of enum verb_option; 0: for all verbs */
};
bool options_text(unsigned i, struct option_text *ret_text);
