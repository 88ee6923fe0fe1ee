/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The life of a daemon after its configuration is loaded: what is set up and torn down, in which order; signals. */

struct config;
struct config_auth;
struct log;

struct daemon_options {
	const char *config_path;     /* for a reload */
	char **argv;		     /* for a reload */
	const struct config *config; /* must outlive it */
	struct config_auth *auth;    /* NULL: none; wiped as soon as it was used */
	struct log *log;
};

/* Returns when the daemon has ended, with the exit code of the process. A reload does not return: a new image goes on. */
int daemon_run(const struct daemon_options *options);
