/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <stddef.h>
#include <stdio.h>

#include "zkh_task.h"

static void on_hook(struct zkh_listener *listener, enum zkh_hook hook)
{
	struct zkh_task *task =
		(struct zkh_task *)(void *)((char *)listener - offsetof(struct zkh_task, listener));

	if (hook == ZKH_HOOK_DESTROY)
		zkh_task_cancel(task);
}

void zkh_task_begin(struct zkh_task *task, struct zkh_session *session,
		    void (*stop)(struct zkh_task *task), void (*release)(struct zkh_task *task),
		    zkh_task_fn fn, void *userdata)
{
	task->session = session;
	task->stop = stop;
	task->release = release;
	task->fn = fn;
	task->userdata = userdata;
	task->listener.fn = on_hook;
	zkh_listener_add(session, &task->listener);
}

int zkh_task_begun(struct zkh_task *task, int r, struct zkh_task **ret_task)
{
	if (r != 0)
		zkh_task_cancel(task);
	else
		*ret_task = task;
	return r;
}

void zkh_task_stop(struct zkh_task *task)
{
	assert(!task->calling);
	zkh_op_cancel(task->commit);
	task->commit = NULL;
	task->stop(task);
	zkh_listener_remove(&task->listener);
	task->calling = true;
}

void zkh_task_finish(struct zkh_task *task, int result, const char *path)
{
	zkh_task_stop(task);
	task->fn(task->userdata, result, path);
	task->release(task);
}

void zkh_task_cancel(struct zkh_task *task)
{
	/* Cancelled by its own callback: it ends anyhow. */
	if (task == NULL || task->calling)
		return;
	zkh_task_stop(task);
	task->release(task);
}

size_t zkh_task_deleted(const struct zkh_task *task)
{
	return task != NULL ? task->deleted : 0;
}

int zkh_task_read_result(int result)
{
	return result == ZKH_UNKNOWN ? ZKH_NOT_CONNECTED : result;
}

const char *zkh_task_failed_path(const struct zkh_txn_reply *reply)
{
	return reply != NULL && reply->failed_path != NULL ? reply->failed_path : "";
}

void zkh_task_delete_path(const struct zkh_txn_reply *reply, int result, char *ret_path)
{
	snprintf(ret_path, ZKH_PATH_MAX, "%s", zkh_task_failed_path(reply));
	if (result == ZKH_DENIED && ret_path[0] != '\0' && ret_path[1] != '\0')
		zkh_path_parent(ret_path, ret_path);
}

int zkh_task_compare_paths(const char *a, const char *b)
{
	while (*a == *b && *a != '\0') {
		a++;
		b++;
	}
	if (*a == *b)
		return 0;
	if (*a == '\0' || *b == '\0')
		return *a == '\0' ? -1 : 1;
	/* The separator comes before any character of a name. */
	if (*a == '/' || *b == '/')
		return *a == '/' ? -1 : 1;
	return (unsigned char)*a < (unsigned char)*b ? -1 : 1;
}
