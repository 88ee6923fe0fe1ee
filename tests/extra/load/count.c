/* SPDX-License-Identifier: Apache-2.0 */
#include "count.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>
#include <zookeeper/zookeeper.h>

int64_t counts[COUNT_COUNT];

const char *count_text(enum count which)
{
	static const char *const texts[COUNT_COUNT] = {
#define X(name, text) [COUNT_##name] = text,
		COUNTS(X)
#undef X
	};

	return texts[which];
}

/* -- requests -- */

int __real_zoo_aget(zhandle_t *zh, const char *path, int watch, data_completion_t fn,
		    const void *data);
int __wrap_zoo_aget(zhandle_t *zh, const char *path, int watch, data_completion_t fn,
		    const void *data);
int __wrap_zoo_aget(zhandle_t *zh, const char *path, int watch, data_completion_t fn,
		    const void *data)
{
	counts[COUNT_GET]++;
	return __real_zoo_aget(zh, path, watch, fn, data);
}

int __real_zoo_awget(zhandle_t *zh, const char *path, watcher_fn watcher, void *context,
		     data_completion_t fn, const void *data);
int __wrap_zoo_awget(zhandle_t *zh, const char *path, watcher_fn watcher, void *context,
		     data_completion_t fn, const void *data);
int __wrap_zoo_awget(zhandle_t *zh, const char *path, watcher_fn watcher, void *context,
		     data_completion_t fn, const void *data)
{
	counts[COUNT_GET]++;
	return __real_zoo_awget(zh, path, watcher, context, fn, data);
}

int __real_zoo_aexists(zhandle_t *zh, const char *path, int watch, stat_completion_t fn,
		       const void *data);
int __wrap_zoo_aexists(zhandle_t *zh, const char *path, int watch, stat_completion_t fn,
		       const void *data);
int __wrap_zoo_aexists(zhandle_t *zh, const char *path, int watch, stat_completion_t fn,
		       const void *data)
{
	counts[COUNT_EXISTS]++;
	return __real_zoo_aexists(zh, path, watch, fn, data);
}

int __real_zoo_awexists(zhandle_t *zh, const char *path, watcher_fn watcher, void *context,
			stat_completion_t fn, const void *data);
int __wrap_zoo_awexists(zhandle_t *zh, const char *path, watcher_fn watcher, void *context,
			stat_completion_t fn, const void *data);
int __wrap_zoo_awexists(zhandle_t *zh, const char *path, watcher_fn watcher, void *context,
			stat_completion_t fn, const void *data)
{
	counts[COUNT_EXISTS]++;
	return __real_zoo_awexists(zh, path, watcher, context, fn, data);
}

int __real_zoo_awget_children2(zhandle_t *zh, const char *path, watcher_fn watcher, void *context,
			       strings_stat_completion_t fn, const void *data);
int __wrap_zoo_awget_children2(zhandle_t *zh, const char *path, watcher_fn watcher, void *context,
			       strings_stat_completion_t fn, const void *data);
int __wrap_zoo_awget_children2(zhandle_t *zh, const char *path, watcher_fn watcher, void *context,
			       strings_stat_completion_t fn, const void *data)
{
	counts[COUNT_CHILDREN]++;
	return __real_zoo_awget_children2(zh, path, watcher, context, fn, data);
}

int __real_zoo_async(zhandle_t *zh, const char *path, string_completion_t fn, const void *data);
int __wrap_zoo_async(zhandle_t *zh, const char *path, string_completion_t fn, const void *data);
int __wrap_zoo_async(zhandle_t *zh, const char *path, string_completion_t fn, const void *data)
{
	counts[COUNT_SYNC]++;
	return __real_zoo_async(zh, path, fn, data);
}

int __real_zoo_amulti(zhandle_t *zh, int count, const zoo_op_t *ops, zoo_op_result_t *results,
		      void_completion_t fn, const void *data);
int __wrap_zoo_amulti(zhandle_t *zh, int count, const zoo_op_t *ops, zoo_op_result_t *results,
		      void_completion_t fn, const void *data);
int __wrap_zoo_amulti(zhandle_t *zh, int count, const zoo_op_t *ops, zoo_op_result_t *results,
		      void_completion_t fn, const void *data)
{
	counts[COUNT_WRITE]++;
	counts[COUNT_WRITE_OPS] += count;
	return __real_zoo_amulti(zh, count, ops, results, fn, data);
}

zhandle_t *__real_zookeeper_init2(const char *host, watcher_fn fn, int recv_timeout,
				  const clientid_t *id, void *context, int flags,
				  log_callback_fn log);
zhandle_t *__wrap_zookeeper_init2(const char *host, watcher_fn fn, int recv_timeout,
				  const clientid_t *id, void *context, int flags,
				  log_callback_fn log);
zhandle_t *__wrap_zookeeper_init2(const char *host, watcher_fn fn, int recv_timeout,
				  const clientid_t *id, void *context, int flags,
				  log_callback_fn log)
{
	counts[COUNT_SESSION]++;
	return __real_zookeeper_init2(host, fn, recv_timeout, id, context, flags, log);
}

/* -- events -- */

void __real_zkh_watch_fired(zhandle_t *zh, int type, int state, const char *path, void *context);
void __wrap_zkh_watch_fired(zhandle_t *zh, int type, int state, const char *path, void *context);
void __wrap_zkh_watch_fired(zhandle_t *zh, int type, int state, const char *path, void *context)
{
	counts[COUNT_EVENT] += type != ZOO_SESSION_EVENT;
	__real_zkh_watch_fired(zh, type, state, path, context);
}

/* -- bytes: libzookeeper's calls end here, because the program exports these names -- */

ssize_t send(int fd, const void *data, size_t n, int flags)
{
	ssize_t r = syscall(SYS_sendto, fd, data, n, flags, NULL, 0);

	if (r > 0) {
		counts[COUNT_SENDS]++;
		counts[COUNT_BYTES_OUT] += r;
	}
	return r;
}

ssize_t recv(int fd, void *data, size_t n, int flags)
{
	ssize_t r = syscall(SYS_recvfrom, fd, data, n, flags, NULL, NULL);

	if (r > 0)
		counts[COUNT_BYTES_IN] += r;
	return r;
}

int connect(int fd, __CONST_SOCKADDR_ARG address, socklen_t n)
{
	counts[COUNT_CONNECT]++;
	return (int)syscall(SYS_connect, fd, address.__sockaddr__, n);
}
