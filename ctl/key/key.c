/* SPDX-License-Identifier: Apache-2.0 */
#include "key.h"

#include <stdio.h>
#include <string.h>

void key_task_done(void *userdata, int result, const char *path)
{
	struct key_task *task = userdata;

	task->over = true;
	task->deleted = zkh_task_deleted(task->task);
	task->task = NULL;
	task->result = result;
	snprintf(task->path, sizeof(task->path), "%s", path);
}

static bool task_over(void *userdata)
{
	return ((struct key_task *)userdata)->over;
}

/* A delete of several transactions that ended half-way: many keys are gone, none of the usual remedies fits. */
static int explain_half(const struct ctl *ctl, const struct key_task *task, const char *top)
{
	if (task->result == ZKH_UNKNOWN) {
		ctl_error(
			"the connection to ZooKeeper was lost; at least %zu keys below %s were deleted before (look, and try again)",
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
	code = ctl_wait(ctl, task_over, task);
	if (code != CTL_DONE) {
		task->deleted = zkh_task_deleted(task->task);
		zkh_task_cancel(task->task);
		code = ctl_explain_wait(ctl, code, doing);
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
	ctl_error("'%s' is not a key's path (such as /nodes/a; it counts from --root)", path);
	return false;
}

static int key_delete(struct ctl *ctl, char **arguments, int count)
{
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
			ctl_error("of the %d keys that are named the first %d had been deleted",
				  count, i);
	}
	return code;
}

static int key_rename(struct ctl *ctl, char **arguments, int count)
{
	struct key_task task = { 0 };
	int r;

	(void)count;
	if (!key_path_good(arguments[0]) || !key_path_good(arguments[1]))
		return CTL_USAGE;
	if (!strcmp(arguments[0], "/") || zkh_path_is_below(arguments[1], arguments[0])) {
		ctl_error("%s cannot be renamed to %s: that is the key itself, or below it",
			  arguments[0], arguments[1]);
		return CTL_REFUSED;
	}
	r = zkh_rename(ctl->session, arguments[0], arguments[1], key_task_done, &task, &task.task);
	return key_task_wait(ctl, &task, r, arguments[1], "renaming");
}

static const struct {
	const char *name, *usage;
	int least, most;
	int (*run)(struct ctl *ctl, char **arguments, int count);
} subcommands[] = {
	{ "list", "[PATH] [--recursive]", 0, 1, key_list },
	{ "get", "PATH", 1, 1, key_get },
	{ "set", "PATH[@VERSION]=VALUE...", 1, ANY_NUMBER, key_set },
	{ "delete", "PATH... [--recursive]", 1, ANY_NUMBER, key_delete },
	{ "rename", "OLD NEW", 2, 2, key_rename },
};

int verb_key(struct ctl *ctl)
{
	const char *name = ctl->options.arguments[0];
	int count = ctl->options.argument_count - 1;

	for (size_t i = 0; i < sizeof(subcommands) / sizeof(*subcommands); i++) {
		if (strcmp(subcommands[i].name, name) != 0)
			continue;
		if (count < subcommands[i].least || count > subcommands[i].most) {
			ctl_error("usage: primaryctl key %s %s", name, subcommands[i].usage);
			return CTL_USAGE;
		}
		return subcommands[i].run(ctl, ctl->options.arguments + 1, count);
	}
	ctl_error("no command 'key %s' (there are list, get, set, delete, rename)", name);
	return CTL_USAGE;
}
