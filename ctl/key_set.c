/* SPDX-License-Identifier: Apache-2.0 */

/* key set: any number of keys in one versioned transaction. */

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "key.h"

/* All of stdin, up to what a key can hold. */
static int read_stdin(struct zkh_pair *pair)
{
	char *data = malloc(ZKH_DATA_MAX + 1);
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

static int take_pair(char *argument, struct zkh_pair *pair, bool *stdin_taken)
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
	if (*stdin_taken) {
		ctl_error("only one value can come from stdin");
		return CTL_USAGE;
	}
	*stdin_taken = true;
	return read_stdin(pair);
}

int key_set(struct ctl *ctl, char **arguments, int count)
{
	struct zkh_pair *pairs = calloc((size_t)count, sizeof(*pairs));
	struct key_task task = { 0 };
	bool stdin_taken = false;
	int code = pairs ? CTL_DONE : CTL_REFUSED;

	for (int i = 0; i < count && code == CTL_DONE; i++)
		code = take_pair(arguments[i], &pairs[i], &stdin_taken);
	for (int i = 0; i < count && code == CTL_DONE; i++) {
		for (int j = 0; j < i && code == CTL_DONE; j++) {
			if (strcmp(pairs[i].path, pairs[j].path) != 0)
				continue;
			ctl_error("%s is named twice", pairs[i].path);
			code = CTL_USAGE;
		}
	}
	/* Parents are made as they are needed; the root is above them all. */
	if (code == CTL_DONE)
		code = ctl_make_root(ctl);
	if (code == CTL_DONE) {
		int r = zkh_write(ctl->session, pairs, (size_t)count, key_task_done, &task,
				  &task.task);

		code = key_task_wait(ctl, &task, r, pairs[0].path, "writing");
	}
	return code; /* what was read from stdin goes with the process */
}
