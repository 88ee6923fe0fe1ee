/* SPDX-License-Identifier: Apache-2.0 */
#include "lease_file.h"

#include "boot.h"
#include "lock_file.h"
#include "process_group.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define LEASE_FILE "lease"
#define LEASE_FILE_NEW "lease.new"
#define LEASE_MAGIC "primaryd lease 1"

#define MARK_BITS 2

/* In the file. Of one machine and one boot: native byte order. */
struct lease_map {
	char magic[16];
	char boot_id[40];
	_Atomic int64_t end_us;
	_Atomic int64_t timeout_us;
	_Atomic int64_t epoch;
	_Atomic uint64_t
		watch_mark; /* in one word: a guard of a former watch must not mark this one */
	_Atomic int64_t groups[LEASE_GROUP_COUNT]; /* session << 32 | group */
};

static_assert(sizeof(LEASE_MAGIC) - 1 == sizeof(((struct lease_map *)NULL)->magic), "magic");
static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "shared between processes");

struct lease_file {
	struct lease_map *map;
};

static const char *check(const struct lease_map *map, const char *boot_id)
{
	if (memcmp(map->magic, LEASE_MAGIC, sizeof(map->magic)) != 0)
		return "not a lease file of this version";
	if (strncmp(map->boot_id, boot_id, sizeof(map->boot_id)) != 0)
		return "from before the last boot";
	return NULL;
}

/* Maps an open file if it is good. Returns 0, -errno, or LEASE_FILE_DAMAGED with the reason. */
static int map_file(int fd, const char *boot_id, struct lease_file *file, const char **ret_why)
{
	struct lease_map *map;
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	*ret_why = "not a regular file of the right size";
	if (!S_ISREG(st.st_mode) || st.st_size != (off_t)sizeof(struct lease_map))
		return LEASE_FILE_DAMAGED;
	map = mmap(NULL, sizeof(*map), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		return -errno;
	*ret_why = check(map, boot_id);
	if (*ret_why != NULL) {
		(void)munmap(map, sizeof(*map));
		return LEASE_FILE_DAMAGED;
	}
	file->map = map;
	return 0;
}

static int open_file(const char *directory, const char *boot_id, struct lease_file *file,
		     const char **ret_why)
{
	char path[PATH_MAX];
	int r = lock_file_path(directory, LEASE_FILE, path);
	int fd;

	if (r < 0)
		return r;
	fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return -errno;
	r = map_file(fd, boot_id, file, ret_why);
	(void)close(fd);
	return r;
}

static int write_empty(const char *path, const char *boot_id)
{
	struct lease_map empty = { .magic = LEASE_MAGIC };
	int fd, r = 0;

	(void)snprintf(empty.boot_id, sizeof(empty.boot_id), "%s", boot_id);
	if (unlink(path) < 0 && errno != ENOENT)
		return -errno;
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	/* write(), not ftruncate(): the memory for it is taken here, or the mapping could fault later. */
	if (write(fd, &empty, sizeof(empty)) != (ssize_t)sizeof(empty))
		r = -ENOSPC;
	(void)close(fd);
	return r;
}

/* Renamed into place: whoever has the old one mapped keeps that. */
static int replace_file(const char *directory, const char *boot_id)
{
	char path[PATH_MAX], new_path[PATH_MAX];
	int r = lock_file_path(directory, LEASE_FILE, path);

	if (r == 0)
		r = lock_file_path(directory, LEASE_FILE_NEW, new_path);
	if (r == 0)
		r = write_empty(new_path, boot_id);
	if (r == 0 && rename(new_path, path) < 0)
		r = -errno;
	return r;
}

int lease_file_open(const char *directory, const char *boot_id, struct lease_file **ret_file,
		    char *message, size_t n_message)
{
	struct lease_file *file = calloc(1, sizeof(*file));
	const char *why = "";
	int result, r;

	assert(strlen(boot_id) == BOOT_ID_SIZE - 1);
	if (file == NULL)
		return -ENOMEM;
	r = result = open_file(directory, boot_id, file, &why);
	if (r == LEASE_FILE_DAMAGED || r == -ENOENT || r == -ELOOP) {
		result = r == -ENOENT ? LEASE_FILE_OK : LEASE_FILE_DAMAGED;
		(void)snprintf(message, n_message, "%.160s/" LEASE_FILE " is %s: replaced",
			       directory, r == -ELOOP ? "a symbolic link" : why);
		r = replace_file(directory, boot_id);
		if (r == 0)
			r = open_file(directory, boot_id, file, &why);
		if (r > 0)
			r = -EIO; /* somebody else writes here */
	}
	if (r < 0) {
		free(file);
		return r;
	}
	*ret_file = file;
	return result;
}

int lease_file_attach(const char *directory, const char *boot_id, struct lease_file **ret_file)
{
	struct lease_file *file = calloc(1, sizeof(*file));
	const char *why;
	int r;

	if (file == NULL)
		return -ENOMEM;
	r = open_file(directory, boot_id, file, &why);
	if (r != 0) {
		free(file);
		return r;
	}
	*ret_file = file;
	return 0;
}

struct lease_file *lease_file_close(struct lease_file *file)
{
	if (file != NULL) {
		(void)munmap(file->map, sizeof(*file->map));
		free(file);
	}
	return NULL;
}

/*
 * The end and the mark are accessed sequentially consistent (C11's default): the daemon writes the
 * end and reads the mark, the guard writes the mark and reads the end; one of them sees the other.
 */

bool lease_file_set(struct lease_file *file, int64_t end_us)
{
	assert(end_us > 0);
	if (atomic_load(&file->map->end_us) == 0)
		lease_file_begin_watch(file);
	atomic_store(&file->map->end_us, end_us);
	return lease_file_mark(file) == LEASE_WATCHED;
}

void lease_file_disarm(struct lease_file *file)
{
	atomic_store(&file->map->end_us, 0);
}

int64_t lease_file_end_us(const struct lease_file *file)
{
	return atomic_load(&file->map->end_us);
}

void lease_file_set_epoch(struct lease_file *file, int64_t epoch)
{
	atomic_store(&file->map->epoch, epoch);
}

int64_t lease_file_epoch(const struct lease_file *file)
{
	return atomic_load(&file->map->epoch);
}

void lease_file_set_timeout(struct lease_file *file, int64_t lease_timeout_us)
{
	assert(lease_timeout_us > 0);
	atomic_store(&file->map->timeout_us, lease_timeout_us);
}

int64_t lease_file_timeout_us(const struct lease_file *file)
{
	return atomic_load(&file->map->timeout_us);
}

void lease_file_set_group(struct lease_file *file, enum lease_group which, pid_t group)
{
	struct process_group made = process_group_of(group);

	atomic_store(&file->map->groups[which], (int64_t)made.session << 32 | made.id);
}

static struct process_group get_group(const struct lease_file *file, enum lease_group which)
{
	int64_t both = atomic_load(&file->map->groups[which]);

	return (struct process_group){
		.id = (pid_t)(both & INT32_MAX),
		.session = (pid_t)(both >> 32),
	};
}

pid_t lease_file_group(const struct lease_file *file, enum lease_group which)
{
	return get_group(file, which).id;
}

bool lease_file_command_runs(const struct lease_file *file, enum lease_group which)
{
	return process_group_leader_runs(get_group(file, which));
}

bool lease_file_group_runs(const struct lease_file *file, enum lease_group which)
{
	return process_group_runs(get_group(file, which));
}

bool lease_file_group_kill(const struct lease_file *file, enum lease_group which)
{
	return process_group_kill(get_group(file, which));
}

void lease_file_begin_watch(struct lease_file *file)
{
	atomic_store(&file->map->watch_mark,
		     (lease_file_watch(file) + 1) << MARK_BITS | LEASE_WATCHED);
}

uint64_t lease_file_watch(const struct lease_file *file)
{
	return atomic_load(&file->map->watch_mark) >> MARK_BITS;
}

enum lease_mark lease_file_mark(const struct lease_file *file)
{
	return atomic_load(&file->map->watch_mark) & ((1U << MARK_BITS) - 1);
}

bool lease_file_set_mark(struct lease_file *file, uint64_t watch, enum lease_mark mark)
{
	uint64_t seen = atomic_load(&file->map->watch_mark);

	do {
		if (seen >> MARK_BITS != watch)
			return false;
	} while (!atomic_compare_exchange_weak(&file->map->watch_mark, &seen,
					       watch << MARK_BITS | (uint64_t)mark));
	return true;
}

const char *lease_mark_text(enum lease_mark mark)
{
	switch (mark) {
#define X(name, text)                                                                              \
	case name:                                                                                 \
		return text;
		LEASE_MARKS(X)
#undef X
	}
	return "unknown";
}
