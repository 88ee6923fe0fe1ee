/* SPDX-License-Identifier: Apache-2.0 */
#include "args.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/duration.h"
#include "base/fnv.h"

static int refuse(const char *option, const char *what)
{
	(void)fprintf(stderr, "primaryd-guard: %s %s\n", option, what);
	return -EINVAL;
}

static int parse_duration(const char *option, const char *value, int64_t *ret_us)
{
	int64_t us;
	int r = duration_parse(value, &us);

	if (r != 0)
		return refuse(option, duration_error_text((enum duration_error)r));
	if (us == 0)
		return refuse(option, "must not be 0");
	*ret_us = us;
	return 0;
}

static int parse_fd(const char *option, const char *value, int *ret_fd)
{
	char *end;
	long fd = strtol(value, &end, 10);

	if (end == value || *end != '\0' || fd < 3 || fd > INT_MAX)
		return refuse(option, "must be a descriptor above 2");
	*ret_fd = (int)fd;
	return 0;
}

static int parse_self_fence(const char *option, const char *value, bool *ret_reboot)
{
	if (strcmp(value, "none") != 0 && strcmp(value, "reboot") != 0)
		return refuse(option, "must be none or reboot");
	*ret_reboot = strcmp(value, "reboot") == 0;
	return 0;
}

static int parse_option(const char *option, char *value, struct guard_args *args)
{
	if (strcmp(option, "--runtime-directory") == 0) {
		args->runtime_directory = value;
		return *value == '/' ? 0 : refuse(option, "must be an absolute path");
	}
	if (strcmp(option, "--node") == 0) {
		args->node = value;
		return 0;
	}
	if (strcmp(option, "--lease-timeout") == 0)
		return parse_duration(option, value, &args->lease_timeout_us);
	if (strcmp(option, "--self-fence") == 0)
		return parse_self_fence(option, value, &args->self_fence);
	if (strcmp(option, "--ready-fd") == 0)
		return parse_fd(option, value, &args->ready_fd);
	return refuse(option, "is unknown");
}

int guard_args_parse(int argc, char **argv, struct guard_args *ret_args)
{
	struct guard_args args = { .node = "", .ready_fd = -1 };
	int i = 1;

	args.fingerprint = guard_fingerprint(argv + (argc > 0 ? 1 : 0));
	for (; i < argc && strcmp(argv[i], "--") != 0; i += 2) {
		int r;

		if (i + 1 == argc)
			return refuse(argv[i], "needs a value");
		r = parse_option(argv[i], argv[i + 1], &args);
		if (r < 0)
			return r;
	}
	if (args.runtime_directory == NULL)
		return refuse("--runtime-directory", "is missing");
	if (args.lease_timeout_us == 0)
		return refuse("--lease-timeout", "is missing");
	if (i < argc) {
		if (i + 1 == argc || argv[i + 1][0] != '/')
			return refuse("the relinquish command", "must be an absolute path");
		args.command = argv + i + 1;
	}
	if (*args.node == '\0' && getenv("PRIMARYD_NODE") != NULL)
		args.node = getenv("PRIMARYD_NODE");
	*ret_args = args;
	return 0;
}

uint64_t guard_fingerprint(char *const *argv)
{
	uint64_t hash = FNV_START;

	for (; *argv != NULL; argv++) {
		if (strcmp(*argv, "--ready-fd") == 0 && argv[1] != NULL) {
			argv++;
			continue;
		}
		hash = fnv_add(hash, *argv, strlen(*argv) + 1);
	}
	return hash;
}

char *guard_identity_format(const struct guard_identity *identity, char buf[LOCK_FILE_TEXT_SIZE])
{
	(void)snprintf(buf, LOCK_FILE_TEXT_SIZE, "%d %" PRIu64 " %016" PRIx64 "\n",
		       (int)identity->pid, identity->watch, identity->fingerprint);
	return buf;
}

int guard_identity_parse(const char *text, struct guard_identity *ret_identity)
{
	struct guard_identity identity = { .pid = lock_file_pid(text) };

	if (identity.pid == 0 ||
	    sscanf(text, "%*d %" SCNu64 " %" SCNx64, &identity.watch, &identity.fingerprint) != 2)
		return -EBADMSG;
	*ret_identity = identity;
	return 0;
}
