/* SPDX-License-Identifier: Apache-2.0 */

/* key set (any number of keys in one transaction), key delete and key rename. */

#include "key.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void key_task_done(void *userdata, int result, const char *path)
{
	struct key_task *task = userdata;

	task->over = true;
	task->deleted = zkh_task_deleted(task->task);
	task->task = NULL;
	task->result = result;
	snprintf(task->path, sizeof(task->path), "%s", path);
}

/* A delete of several transactions that ended half-way: many keys are gone, none of the usual remedies fits. */
static int explain_half(const struct ctl *ctl, const struct key_task *task, const char *top)
{
	if (task->result == ZKH_UNKNOWN) {
		ctl_error(
			"the connection to ZooKeeper was lost; at least %zu keys below %s were deleted before (check what is left, then try again)",
			task->deleted, top);
		return CTL_UNREACHABLE;
	}
	ctl_error("%s: %s%s; %zu keys below %s were deleted before", *task->path ? task->path : top,
		  task->result < 0 ? strerror(-task->result) : zkh_result_text(task->result),
		  task->result == ZKH_DENIED ? ctl_denied_hint(ctl) : "", task->deleted, top);
	return CTL_REFUSED;
}

int key_task_wait(struct ctl *ctl, struct key_task *task, int r, const char *path,
		  const char *doing)
{
	int code;

	if (r != 0)
		return ctl_explain_result(ctl, r, path);
	code = ctl_await(ctl, &task->over, doing);
	if (code != CTL_DONE) {
		task->deleted = zkh_task_deleted(task->task);
		zkh_task_cancel(task->task);
		if (task->deleted > 0)
			ctl_error("at least %zu keys below %s were deleted before", task->deleted,
				  path);
		return code;
	}
	if (task->result != ZKH_OK && task->deleted > 0)
		return explain_half(ctl, task, path);
	return ctl_explain_result(ctl, task->result, *task->path ? task->path : path);
}

bool key_path_good(const char *path)
{
	if (zkh_path_valid(path))
		return true;
	ctl_error("'%s' is not the path of a key (such as /nodes/a, below --root)", path);
	return false;
}

/* All of stdin, up to what a key can hold; *ret_data: to be freed, whatever comes of it. */
static int read_stdin(struct zkh_pair *pair, char **ret_data)
{
	char *data = *ret_data = ctl_need(malloc(ZKH_DATA_MAX + 1));
	size_t length = 0;
	ssize_t n = 1;

	while (n != 0 && length <= ZKH_DATA_MAX) {
		n = read(STDIN_FILENO, data + length, ZKH_DATA_MAX + 1 - length);
		if (n < 0 && errno != EINTR)
			break;
		length += n > 0 ? (size_t)n : 0;
	}
	pair->data = data;
	pair->length = length;
	if (n == 0 && length <= ZKH_DATA_MAX)
		return CTL_DONE;
	if (n < 0)
		ctl_error("cannot read the value from stdin: %s", strerror(errno));
	else
		ctl_error("the value on stdin is longer than %d bytes", ZKH_DATA_MAX);
	return CTL_REFUSED;
}

/* PATH@VERSION: cuts the version off. Text behind an @ that is no version belongs to the path. */
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

int verb_key_set(struct ctl *ctl)
{
	char **arguments = ctl->options.arguments;
	int count = ctl->options.argument_count;
	struct zkh_pair *pairs = ctl_need(calloc((size_t)count, sizeof(*pairs)));
	struct key_task task = { 0 };
	char *from_stdin = NULL;
	int code = CTL_DONE;

	for (int i = 0; i < count && code == CTL_DONE; i++) {
		code = take_pair(arguments[i], &pairs[i], &from_stdin);
		for (int j = 0; j < i && code == CTL_DONE; j++) {
			if (strcmp(pairs[i].path, pairs[j].path) != 0)
				continue;
			ctl_error("%s is named twice", pairs[i].path);
			code = CTL_USAGE;
		}
	}
	/* Parents are made as they are needed; the root is above them all. */
	if (code == CTL_DONE)
		code = ctl_make_root(ctl, false);
	if (code == CTL_DONE)
		code = key_task_wait(ctl, &task,
				     zkh_write(ctl->session, pairs, (size_t)count, key_task_done,
					       &task, &task.task),
				     pairs[0].path, "writing");
	free(from_stdin);
	free(pairs);
	return code;
}

int verb_key_delete(struct ctl *ctl)
{
	char **arguments = ctl->options.arguments;
	int count = ctl->options.argument_count;
	int code = CTL_DONE;

	for (int i = 0; i < count; i++)
		if (!key_path_good(arguments[i]))
			return CTL_USAGE;
	for (int i = 0; i < count && code == CTL_DONE; i++) {
		struct key_task task = { 0 };
		int r = zkh_delete(ctl->session, arguments[i], ctl->options.recursive,
				   key_task_done, &task, &task.task);

		code = key_task_wait(ctl, &task, r, arguments[i], "deleting");
		if (code != CTL_DONE && i > 0)
			ctl_error("of the %d named keys the first %d had been deleted before",
				  count, i);
	}
	return code;
}

/* The words come in pairs. False: they make no sense; said. */
static bool take_moves(char *const words[], size_t count, struct zkh_move *moves)
{
	for (size_t i = 0; i < 2 * count; i++)
		if (!key_path_good(words[i]))
			return false;
	for (size_t i = 0; i < count; i++)
		moves[i] = (struct zkh_move){ words[2 * i], words[2 * i + 1] };
	return true;
}

int verb_key_rename(struct ctl *ctl)
{
	size_t count = (size_t)ctl->options.argument_count / 2;
	struct zkh_move moves[ZKH_MOVES_MAX];
	struct key_task task = { 0 };
	size_t one, other;

	if (ctl->options.argument_count % 2 || count > ZKH_MOVES_MAX) {
		ctl_error(count > ZKH_MOVES_MAX ? "these are more than %d pairs"
						: "the last PATH has no NEW",
			  ZKH_MOVES_MAX);
		return CTL_USAGE;
	}
	if (!take_moves(ctl->options.arguments, count, moves))
		return CTL_USAGE;
	if (zkh_moves_clash(moves, count, &one, &other)) {
		ctl_error(
			one == other
				? "%s cannot be renamed to %s: the new name is /, or lies at or below the old one"
				: "%s cannot be renamed to %s together with %s to %s: one of them lies at or below the other",
			moves[one].from, moves[one].to, moves[other].from, moves[other].to);
		return CTL_REFUSED;
	}
	return key_task_wait(ctl, &task,
			     zkh_rename(ctl->session, moves, count, key_task_done, &task,
					&task.task),
			     moves[0].to, "renaming");
}
