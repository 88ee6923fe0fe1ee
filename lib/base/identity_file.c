/* SPDX-License-Identifier: Apache-2.0 */
#include "identity_file.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "file.h"

#define SUFFIX ".cluster"

/* Paths are on it, and calls of the C library. */
#define CHILD_STACK_SIZE (128 * 1024)

int identity_file_path(const char *directory, const char *runtime_directory, char *ret_path)
{
	const char *end = runtime_directory + strlen(runtime_directory), *start;
	int n;

	while (end > runtime_directory && end[-1] == '/')
		end--;
	for (start = end; start > runtime_directory && start[-1] != '/'; start--)
		;
	n = snprintf(ret_path, PATH_MAX, "%s/%.*s" SUFFIX, directory, (int)(end - start), start);
	return n > 0 && n < PATH_MAX ? 0 : -ENAMETOOLONG;
}

/* -- reading -- */

int identity_file_read(const char *path, struct identity *ret_known)
{
	char text[IDENTITY_FILE_SIZE];
	struct stat st = { 0 };
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	ssize_t n;
	int r = 0;

	if (fd < 0)
		return -errno;
	n = read(fd, text, sizeof(text));
	if (n < 0 || fstat(fd, &st) < 0)
		r = -errno;
	(void)close(fd);
	if (r == 0 && (!S_ISREG(st.st_mode) || !identity_parse_file(text, (size_t)n, ret_known)))
		r = -EBADMSG;
	return r;
}

int identity_file_load(const char *path, struct identity *known)
{
	struct identity read;
	int r = identity_file_read(path, &read);

	if (r == 0 && !identity_is_of(&read, known->root, known->name))
		r = -EXDEV;
	if (r == 0)
		*known = read;
	return r;
}

/* -- writing: in the child -- */

/*
 * With its pidfd at once, so that there is no child where none can be watched: as long as it has copies of the parent's
 * descriptors, libev hears of those that the parent has closed, and makes its epoll instance anew, which needs a descriptor.
 */
static pid_t clone_child(int (*run)(void *argument), const struct identity_writer *w, int *ret_fd)
{
	/* The child has a copy of it. (Not clone3(): systemd's RestrictNamespaces= forbids that.) */
	static _Alignas(16) char stack[CHILD_STACK_SIZE];

	return clone(run, stack + sizeof(stack), CLONE_PIDFD | SIGCHLD, (void *)(uintptr_t)w,
		     ret_fd);
}

/*
 * Signals stay blocked: the handlers are the parent's. No descriptor is kept: a child that hangs on a disk would hold the
 * locks of a daemon that is gone.
 */
static int run_child(void *argument)
{
	const struct identity_writer *w = argument;

	(void)close_range(0, ~0U, 0);
	_exit(-file_replace(w->path, w->text, w->length, 0600, true));
}

static int start_child(const struct identity_writer *w)
{
	sigset_t all, before;
	int fd = -1;
	pid_t pid;

	sigfillset(&all);
	(void)sigprocmask(SIG_BLOCK, &all, &before);
	pid = clone_child(run_child, w, &fd);
	(void)sigprocmask(SIG_SETMASK, &before, NULL);
	return pid < 0 ? -errno : fd;
}

/* -- writing: in the daemon -- */

static void begin(struct identity_writer *w)
{
	int fd = start_child(w);

	if (fd < 0) {
		w->on_done(w->userdata, fd);
		return;
	}
	ev_io_set(&w->child, fd, EV_READ);
	ev_io_start(w->loop, &w->child);
	ev_unref(w->loop);
}

static void stop_watching(struct identity_writer *w)
{
	ev_ref(w->loop);
	ev_io_stop(w->loop, &w->child);
	(void)close(w->child.fd);
}

static void on_ended(struct ev_loop *loop, ev_io *io, int events)
{
	struct identity_writer *w = io->data;
	siginfo_t info = { .si_code = CLD_KILLED };

	(void)loop;
	(void)events;
	(void)waitid(P_PIDFD, (id_t)io->fd, &info, WEXITED | WNOHANG);
	stop_watching(w);
	if (w->again) {
		w->again = false;
		begin(w);
		return;
	}
	w->on_done(w->userdata, info.si_code == CLD_EXITED ? -info.si_status : -EINTR);
}

void identity_writer_init(struct identity_writer *writer, struct ev_loop *loop, const char *path,
			  identity_writer_fn on_done, void *userdata)
{
	*writer =
		(struct identity_writer){ .loop = loop, .on_done = on_done, .userdata = userdata };
	(void)snprintf(writer->path, sizeof(writer->path), "%s", path);
	ev_init(&writer->child, on_ended);
	writer->child.data = writer;
}

void identity_writer_finish(struct identity_writer *writer)
{
	if (ev_is_active(&writer->child))
		stop_watching(writer);
}

void identity_writer_save(struct identity_writer *writer, const struct identity *known)
{
	if (!*writer->path)
		return;
	/* The child has a copy of its own. */
	writer->length = identity_format_file(known, writer->text);
	if (ev_is_active(&writer->child))
		writer->again = true;
	else
		begin(writer);
}
