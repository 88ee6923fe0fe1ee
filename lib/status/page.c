/* SPDX-License-Identifier: Apache-2.0 */
#include "internal.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"

static_assert(sizeof(struct status_record) <= STATUS_PAGE_SIZE, "it fits into the page");

struct status_page {
	struct status_record *record;
};

/* -- writing -- */

/* Between the two, a reader that looks sees an odd number, or another one after its read than before it. */
static void begin_write(struct status_record *record)
{
	record->sequence |= 1; /* also of a process that died in the middle */
	atomic_thread_fence(memory_order_seq_cst);
}

static void end_write(struct status_record *record)
{
	atomic_thread_fence(memory_order_seq_cst);
	record->sequence++;
}

const struct status *status_page_get(const struct status_page *page)
{
	return &page->record->status;
}

void status_page_write(struct status_page *page, const struct status *status)
{
	begin_write(page->record);
	page->record->status = *status;
	end_write(page->record);
}

void status_page_withdraw(struct status_page *page)
{
	begin_write(page->record);
	page->record->status.primary_until_us = 0;
	end_write(page->record);
}

void status_page_turn(struct status_page *page, int64_t now_us)
{
	begin_write(page->record);
	page->record->status.turned_us = now_us;
	end_write(page->record);
}

/* -- the file -- */

/* Of this process; for the handler. */
static struct status_record *mapped;

/* Somebody cut the file: from now on nobody sees the page, and the daemon goes on. */
static void on_bus_error(int number, siginfo_t *info, void *context)
{
	char *at = info->si_addr, *begin = (char *)mapped;

	if (mapped && at >= begin && at < begin + STATUS_PAGE_SIZE &&
	    mmap(mapped, STATUS_PAGE_SIZE, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == (void *)mapped)
		return;
	(void)signal(number, SIG_DFL);
}

static void survive_cuts(struct status_record *record)
{
	struct sigaction action = { .sa_sigaction = on_bus_error, .sa_flags = SA_SIGINFO };

	mapped = record;
	(void)sigaction(SIGBUS, &action, NULL);
}

static int map_file(const char *path, struct status_record **ret_record)
{
	int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct stat st;
	void *at;
	int r = 0;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0)
		r = -errno;
	else if (!S_ISREG(st.st_mode) || st.st_size != STATUS_PAGE_SIZE || st.st_uid != geteuid())
		r = -EBADMSG;
	else if (fchmod(fd, 0644) < 0) /* whatever the umask is */
		r = -errno;
	at = r < 0 ? MAP_FAILED
		   : mmap(NULL, STATUS_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (r == 0 && at == MAP_FAILED)
		r = -errno;
	(void)close(fd);
	if (r < 0)
		return r;
	(void)mlock(at,
		    STATUS_PAGE_SIZE); /* else it may be written to a swap device, and read back */
	*ret_record = at;
	return 0;
}

static void fill(struct status_record *record, const struct status_clock *clock, const char *node,
		 const char *root)
{
	memset(record, 0, STATUS_PAGE_SIZE);
	memcpy(record->magic, STATUS_MAGIC, sizeof(record->magic));
	record->format = STATUS_FORMAT;
	record->size = sizeof(record->status);
	record->clock = *clock;
	(void)snprintf(record->status.node, sizeof(record->status.node), "%s", node);
	(void)snprintf(record->status.root, sizeof(record->status.root), "%s", root);
}

static bool goes_on(const struct status_record *record, const struct status_clock *clock,
		    const char *node, const char *root)
{
	struct status status;

	return status_parse(record, STATUS_PAGE_SIZE, clock, &status) == STATUS_OK &&
	       strcmp(status.node, node) == 0 && strcmp(status.root, root) == 0;
}

static void make_directory(const char *path)
{
	char directory[PATH_MAX];

	(void)snprintf(directory, sizeof(directory), "%.*s", (int)(strrchr(path, '/') - path),
		       path);
	if (mkdir(directory, 0755) == 0)
		(void)chmod(directory, 0755);
}

/* Renamed into place: whoever reads the former file goes on with that. */
static int replace_file(const char *path, const struct status_clock *clock, const char *node,
			const char *root, struct status_record **ret_record)
{
	struct status_record *fresh = calloc(1, STATUS_PAGE_SIZE);
	int r = -ENOMEM;

	if (fresh) {
		fill(fresh, clock, node, root);
		r = file_replace(path, fresh, STATUS_PAGE_SIZE, 0644, false);
	}
	free(fresh);
	return r < 0 ? r : map_file(path, ret_record);
}

static int open_file(const char *path, const char *node, const char *root,
		     struct status_record **ret_record)
{
	struct status_record *record = NULL;
	struct status_clock clock;
	int r = status_clock_read(&clock);

	if (r < 0)
		return r;
	make_directory(path);
	r = map_file(path, &record);
	if (r == 0 && !goes_on(record, &clock, node, root)) {
		(void)munmap(record, STATUS_PAGE_SIZE);
		r = -EBADMSG;
	}
	if (r < 0)
		r = replace_file(path, &clock, node, root, &record);
	if (r == 0)
		*ret_record = record;
	return r;
}

struct status_page *status_page_open(const char *path, const char *node, const char *root,
				     int *ret_error)
{
	static const struct status_clock no_clock;
	struct status_page *page = calloc(1, sizeof(*page));
	struct status_record *record = NULL;
	void *hidden;
	int r;

	if (!page)
		return NULL;
	r = *path ? open_file(path, node, root, &record) : -ENAMETOOLONG;
	if (r < 0) {
		hidden = mmap(NULL, STATUS_PAGE_SIZE, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (hidden == MAP_FAILED) {
			free(page);
			return NULL;
		}
		record = hidden;
		fill(record, &no_clock, node, root);
	}
	survive_cuts(record);
	page->record = record;
	*ret_error = r;
	return page;
}

struct status_page *status_page_close(struct status_page *page)
{
	if (!page)
		return NULL;
	mapped = NULL;
	(void)munmap(page->record, STATUS_PAGE_SIZE);
	free(page);
	return NULL;
}
