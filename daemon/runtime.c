/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guard_args.h"
#include "lease_file.h"
#include "lock_file.h"
#include "state.h"
#include "work_env.h"
#include "work_lock.h"

/* Who deletes files deletes several, and the directory last: this long after the first. */
#define SETTLE_S 0.1

/* Between two attempts to make anew what could not be. */
#define RETRY_S 5.0

#define SELF (IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT | IN_IGNORED)

/* Not IN_MOVED_FROM: each write of a state is a rename, and would wake us. Who moves a single file away is not seen. */
#define EVENTS (IN_DELETE_SELF | IN_MOVE_SELF | IN_DELETE | IN_ONLYDIR)

/* -- opening -- */

static int take_lock(struct runtime *r, int inherited_fd, char *message, size_t n_message)
{
	if (inherited_fd > STDERR_FILENO && state_lock_adopt(r->directory, inherited_fd) == 0) {
		r->lock_fd = inherited_fd;
		return 0;
	}
	return state_lock(r->directory, &r->lock_fd, message, n_message);
}

int runtime_open(struct runtime *runtime, const char *directory, const char *boot_id,
		 int inherited_fd, char *message, size_t n_message)
{
	int r;

	runtime->directory = directory;
	runtime->boot_id = boot_id;
	r = state_check_directory(directory, message, n_message);
	if (r == 0)
		r = take_lock(runtime, inherited_fd, message, n_message);
	if (r != 0)
		return r;
	r = lease_file_open(directory, boot_id, &runtime->lease, message, n_message);
	if (r < 0)
		(void)snprintf(message, n_message, "the lease file in %.160s: %s", directory,
			       strerror(-r));
	return r;
}

/* -- making anew -- */

/* A new file, and its lock: the old one, held until then, locks nothing any more. */
static int repair_lock(struct runtime *r, char *message, size_t n_message)
{
	int fd, result;

	if (lock_file_is_there(r->directory, STATE_LOCK_FILE, r->lock_fd))
		return 0;
	result = state_lock(r->directory, &fd, message, n_message);
	if (result != 0)
		return result;
	(void)close(r->lock_fd);
	r->lock_fd = fd;
	return 0;
}

static int repair_lease(struct runtime *r, char *message, size_t n_message)
{
	int result;

	if (lease_file_is_there(r->lease, r->directory))
		return 0;
	result = lease_file_move(r->lease, r->directory);
	if (result < 0)
		(void)snprintf(message, n_message, "the lease file: %s", strerror(-result));
	return result;
}

/* Not all file systems tell when a directory itself is deleted, and who deletes it deletes what is in it first. */
static bool is_same_directory(const struct runtime *r)
{
	struct stat st;

	return lstat(r->directory, &st) == 0 && st.st_dev == r->device && st.st_ino == r->inode;
}

/* The directory may be another one than before. */
static int repair_watch(struct runtime *r)
{
	int watch = inotify_add_watch(r->io.fd, r->directory, EVENTS);
	struct stat st;

	if (watch < 0 || stat(r->directory, &st) < 0)
		return -errno;
	r->device = st.st_dev;
	r->inode = st.st_ino;
	if (watch != r->watch && r->watch >= 0)
		(void)inotify_rm_watch(r->io.fd, r->watch);
	r->watch = watch;
	return 0;
}

static void on_look(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct runtime *r = timer->data;
	char message[STATE_MESSAGE_SIZE] = "";
	int result;

	(void)events;
	if (!is_same_directory(r))
		strcpy(r->what, "the directory");
	result = state_check_directory(r->directory, message, sizeof(message));
	if (result == 0)
		result = repair_watch(r);
	if (result == 0)
		result = repair_lock(r, message, sizeof(message));
	if (result == 0)
		result = repair_lease(r, message, sizeof(message));
	if (result == 0) {
		r->lost = false;
		r->on_news(r->userdata, RUNTIME_REPAIRED, r->what, "");
		return;
	}
	ev_timer_set(timer, RETRY_S, 0.);
	ev_timer_start(loop, timer);
	if (r->lost)
		return;
	r->lost = true;
	r->on_news(r->userdata, RUNTIME_LOST, r->what,
		   *message ? message : strerror(result < 0 ? -result : EBUSY));
}

/* -- noticing -- */

/* Others come and go: they are renamed into place, or used for a moment. */
static bool is_kept(const char *name)
{
	static const char *const kept[] = { STATE_LOCK_FILE, STATE_FILE,     LEASE_FILE,
					    GUARD_LOCK_FILE, WORK_LOCK_FILE, WORK_ENV_FILE };

	for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
		if (!strcmp(name, kept[i]))
			return true;
	return false;
}

static void note(struct runtime *r, const struct inotify_event *event)
{
	bool self = event->mask & SELF;

	if (event->wd != r->watch || (!self && (!event->len || !is_kept(event->name))))
		return;
	if (self) {
		(void)inotify_rm_watch(r->io.fd, r->watch); /* moved away, it would go on telling */
		r->watch = -1;
	}
	if (ev_is_active(&r->look))
		return;
	(void)snprintf(r->what, sizeof(r->what), "%.20s", self ? "the directory" : event->name);
	ev_timer_set(&r->look, SETTLE_S, 0.);
	ev_timer_start(r->loop, &r->look);
}

static void on_inotify(struct ev_loop *loop, ev_io *io, int events)
{
	_Alignas(struct inotify_event) char buffer[4096];
	const struct inotify_event *event;
	ssize_t n = read(io->fd, buffer, sizeof(buffer));

	(void)loop;
	(void)events;
	for (ssize_t at = 0; at < n; at += (ssize_t)(sizeof(*event) + event->len)) {
		event = (const struct inotify_event *)(const void *)(buffer + at);
		note(io->data, event);
	}
}

int runtime_watch(struct runtime *runtime, struct ev_loop *loop, runtime_fn on_news, void *userdata)
{
	int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	int r;

	if (fd < 0)
		return -errno;
	runtime->on_news = on_news;
	runtime->userdata = userdata;
	runtime->watch = -1;
	ev_io_init(&runtime->io, on_inotify, fd, EV_READ);
	ev_timer_init(&runtime->look, on_look, 0., 0.);
	runtime->io.data = runtime->look.data = runtime;
	r = repair_watch(runtime);
	if (r < 0) {
		(void)close(fd);
		return r;
	}
	runtime->loop = loop;
	ev_io_start(loop, &runtime->io);
	ev_unref(loop);
	return 0;
}

bool runtime_is_whole(const struct runtime *runtime)
{
	return !runtime->loop || (!runtime->lost && !ev_is_active(&runtime->look));
}

void runtime_unwatch(struct runtime *runtime)
{
	if (!runtime->loop)
		return;
	ev_ref(runtime->loop);
	ev_io_stop(runtime->loop, &runtime->io);
	ev_timer_stop(runtime->loop, &runtime->look);
	(void)close(runtime->io.fd);
	runtime->loop = NULL;
}

void runtime_close(struct runtime *runtime)
{
	runtime_unwatch(runtime);
	runtime->lease = lease_file_close(runtime->lease);
}
