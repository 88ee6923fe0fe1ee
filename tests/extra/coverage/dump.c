/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Linked into the coverage build alone (see tests/extra/coverage/run.sh). gcov writes its counters in exit(); here they are also written
 * where children end, before _exit() and an exec, and before raise(), by which daemon/cluster/fault.c crashes. A child counts from its
 * fork on: what the parent did before is the parent's.
 */
#include <sys/types.h>

extern void __gcov_dump(void);
extern void __gcov_reset(void);

extern _Noreturn void __real__exit(int code);
extern pid_t __real_fork(void);
extern int __real_raise(int signal);
extern int __real_execv(const char *path, char *const argv[]);
extern int __real_execve(const char *path, char *const argv[], char *const environment[]);
extern int __real_execvp(const char *file, char *const argv[]);

_Noreturn void __wrap__exit(int code);
pid_t __wrap_fork(void);
int __wrap_raise(int signal);
int __wrap_execv(const char *path, char *const argv[]);
int __wrap_execve(const char *path, char *const argv[], char *const environment[]);
int __wrap_execvp(const char *file, char *const argv[]);

_Noreturn void __wrap__exit(int code)
{
	__gcov_dump();
	__real__exit(code);
}

pid_t __wrap_fork(void)
{
	pid_t pid = __real_fork();

	if (pid == 0)
		__gcov_reset();
	return pid;
}

int __wrap_raise(int signal)
{
	__gcov_dump();
	return __real_raise(signal);
}

/* It returns only when it failed: then it goes on being counted. */

int __wrap_execv(const char *path, char *const argv[])
{
	int r;

	__gcov_dump();
	r = __real_execv(path, argv);
	__gcov_reset();
	return r;
}

int __wrap_execve(const char *path, char *const argv[], char *const environment[])
{
	int r;

	__gcov_dump();
	r = __real_execve(path, argv, environment);
	__gcov_reset();
	return r;
}

int __wrap_execvp(const char *file, char *const argv[])
{
	int r;

	__gcov_dump();
	r = __real_execvp(file, argv);
	__gcov_reset();
	return r;
}
