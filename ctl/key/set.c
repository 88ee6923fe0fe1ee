/* SPDX-License-Identifier: Apache-2.0 */

/* key set: any number of keys in one versioned transaction. */

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "key.h"

/* All of stdin, up to what a key can hold; *ret_data: to be freed, whatever comes of it. */
static int read_stdin(struct zkh_pair *pair, char **ret_data)
{
	char *data = *ret_data = malloc(ZKH_DATA_MAX + 1);
	size_t length = 0;
	ssize_t n = 1;

	while (data && n != 0 && length <= ZKH_DATA_MAX) {
		n = read(STDIN_FILENO, data + length, ZKH_DATA_MAX + 1 - length);
		if (n < 0 && errno != EINTR)
			break;
		length += n > 0 ? (size_t)n : 0;
	}
	pair->data = data;
	pair->length = length;
	if (data && n == 0 && length <= ZKH_DATA_MAX)
		return CTL_DONE;
	if (!data || n < 0)
		ctl_error("cannot read the value from stdin: %s", strerror(errno));
	else
		ctl_error("the value on stdin is longer than %d bytes", ZKH_DATA_MAX);
	return CTL_REFUSED;
}

/* PATH@VERSION: cuts the version off; what is not one belongs to the path. */
static void take_version(char *path, struct zkh_pair *pair)
{
	char *at = strrchr(path, '@'), *end;
	long version;

	if (!at || !at[1])
		return;
	errno = 0;
	version = strtol(at + 1, &end, 10);
	if (!strcmp(at + 1, "new"))
		version = -1;
	else if (*end || errno || version < -1 || version > INT32_MAX)
		return;
	*at = '\0';
	pair->versioned = true;
	pair->version = (int32_t)version;
}

static int take_pair(char *argument, struct zkh_pair *pair, char **ret_stdin)
{
	char *equals = strchr(argument, '=');

	if (!equals) {
		ctl_error("'%s' is not PATH=VALUE", argument);
		return CTL_USAGE;
	}
	*equals = '\0';
	take_version(argument, pair);
	if (!key_path_good(argument))
		return CTL_USAGE;
	pair->path = argument;
	pair->data = equals + 1;
	pair->length = strlen(equals + 1);
	if (strcmp(equals + 1, "-") != 0)
		return CTL_DONE;
	if (*ret_stdin) {
		ctl_error("only one value can come from stdin");
		return CTL_USAGE;
	}
	return read_stdin(pair, ret_stdin);
}

static int check_twice(const struct zkh_pair *pairs, int count)
{
	for (int i = 0; i < count; i++) {
		for (int j = 0; j < i; j++) {
			if (strcmp(pairs[i].path, pairs[j].path) != 0)
				continue;
			ctl_error("%s is named twice", pairs[i].path);
			return CTL_USAGE;
		}
	}
	return CTL_DONE;
}

static int write_pairs(struct ctl *ctl, const struct zkh_pair *pairs, int count)
{
	struct key_task task = { 0 };
	/* Parents are made as they are needed; the root is above them all. */
	int code = ctl_make_root(ctl, false);

	if (code != CTL_DONE)
		return code;
	return key_task_wait(ctl, &task,
			     zkh_write(ctl->session, pairs, (size_t)count, key_task_done, &task,
				       &task.task),
			     pairs[0].path, "writing");
}

int key_set(struct ctl *ctl, char **arguments, int count)
{
	struct zkh_pair *pairs = calloc((size_t)count, sizeof(*pairs));
	char *from_stdin = NULL;
	int code = pairs ? CTL_DONE : CTL_REFUSED;

	for (int i = 0; i < count && code == CTL_DONE; i++)
		code = take_pair(arguments[i], &pairs[i], &from_stdin);
	if (code == CTL_DONE)
		code = check_twice(pairs, count);
	if (code == CTL_DONE)
		code = write_pairs(ctl, pairs, count);
	free(from_stdin);
	free(pairs);
	return code;
}
