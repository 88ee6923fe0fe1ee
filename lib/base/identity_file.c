/* SPDX-License-Identifier: Apache-2.0 */
#include "identity_file.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "file.h"

#define SUFFIX ".cluster"

int identity_file_path(const char *directory, const char *runtime_directory, char *ret_path)
{
	return file_instance_path(directory, runtime_directory, SUFFIX, ret_path);
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

/* Returns its pid or -errno. */
static pid_t start_child(const struct identity_writer *w)
{
	sigset_t all, before;
	pid_t pid;

	/* The handlers are the parent's: in the child no signal runs them. */
	sigfillset(&all);
	(void)sigprocmask(SIG_BLOCK, &all, &before);
	pid = fork();
	if (pid == 0) {
		/* A child that hangs on a disk must not hold the locks of a daemon that is gone. */
		(void)close_range(0, ~0U, 0);
		_exit(-file_replace(w->path, w->text, w->length, 0600, true));
	}
	(void)sigprocmask(SIG_SETMASK, &before, NULL);
	return pid < 0 ? -errno : pid;
}

/* -- writing: in the daemon -- */

static void begin(struct identity_writer *w)
{
	pid_t pid = start_child(w);

	if (pid < 0) {
		w->on_done(w->userdata, pid);
		return;
	}
	ev_child_set(&w->child, pid, 0);
	ev_child_start(w->loop, &w->child);
	ev_unref(w->loop);
}

static void stop_watching(struct identity_writer *w)
{
	ev_ref(w->loop);
	ev_child_stop(w->loop, &w->child);
}

static void on_ended(struct ev_loop *loop, ev_child *child, int events)
{
	struct identity_writer *w = child->data;
	int status = child->rstatus;

	stop_watching(w);
	if (w->again) {
		w->again = false;
		begin(w);
		return;
	}
	w->on_done(w->userdata, WIFEXITED(status) ? -WEXITSTATUS(status) : -EINTR);
}

void identity_writer_init(struct identity_writer *writer, struct ev_loop *loop, const char *path,
			  identity_writer_fn on_done, void *userdata)
{
	*writer =
		(struct identity_writer){ .loop = loop, .on_done = on_done, .userdata = userdata };
	(void)snprintf(writer->path, sizeof(writer->path), "%s", path);
	ev_child_init(&writer->child, on_ended, 0, 0);
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
