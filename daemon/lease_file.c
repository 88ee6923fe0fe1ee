/* SPDX-License-Identifier: Apache-2.0 */
#include "lease_file.h"

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

#include "boot.h"
#include "lock_file.h"
#include "process_group.h"

#define LEASE_FILE_NEW "lease.new"
#define LEASE_MAGIC "primaryd lease 1"

#define MARK_BITS 2

/* In watch_mark: made in the place of one that was deleted, and no guard has looked at it yet. */
#define UNSEEN (UINT64_C(1) << 63)

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

/* The file in the directory first; then those that were deleted while a guard had them mapped. */
struct lease_file {
	struct lease_map *maps[LEASE_FILE_MAPS_MAX];
	size_t n_maps;
	dev_t device;
	ino_t inode;
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
	file->maps[0] = map;
	file->n_maps = 1;
	file->device = st.st_dev;
	file->inode = st.st_ino;
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

static int write_map(const char *path, const struct lease_map *map)
{
	int fd, r = 0;

	if (unlink(path) < 0 && errno != ENOENT)
		return -errno;
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	/* write(), not ftruncate(): the memory for it is taken here, or the mapping could fault later. */
	if (write(fd, map, sizeof(*map)) != (ssize_t)sizeof(*map))
		r = -ENOSPC;
	(void)close(fd);
	return r;
}

/* Renamed into place: whoever has the old one mapped keeps that. */
static int replace_file(const char *directory, const struct lease_map *map)
{
	char path[PATH_MAX], new_path[PATH_MAX];
	int r = lock_file_path(directory, LEASE_FILE, path);

	if (r == 0)
		r = lock_file_path(directory, LEASE_FILE_NEW, new_path);
	if (r == 0)
		r = write_map(new_path, map);
	if (r == 0 && rename(new_path, path) < 0)
		r = -errno;
	return r;
}

static struct lease_map empty_map(const char *boot_id)
{
	struct lease_map map = { .magic = LEASE_MAGIC };

	(void)snprintf(map.boot_id, sizeof(map.boot_id), "%s", boot_id);
	return map;
}

int lease_file_open(const char *directory, const char *boot_id, struct lease_file **ret_file,
		    char *message, size_t n_message)
{
	struct lease_file *file = calloc(1, sizeof(*file));
	const struct lease_map empty = empty_map(boot_id);
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
		r = replace_file(directory, &empty);
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
	if (file == NULL)
		return NULL;
	for (size_t i = 0; i < file->n_maps; i++)
		(void)munmap(file->maps[i], sizeof(*file->maps[i]));
	free(file);
	return NULL;
}

/* A guard that still looks at it ends. */
static void forget(struct lease_map *map)
{
	atomic_store(&map->end_us, 0);
	(void)munmap(map, sizeof(*map));
}

/* All but the newest ones. */
static void forget_before(struct lease_file *file, size_t kept)
{
	while (file->n_maps > kept)
		forget(file->maps[--file->n_maps]);
}

static void forget_formers(struct lease_file *file)
{
	forget_before(file, 1);
}

/* The guard goes from one to a newer one, and says so: what is older than the newest it has seen is of no use. */
static void forget_superseded(struct lease_file *file)
{
	for (size_t i = 0; i < file->n_maps; i++)
		if (!(atomic_load(&file->maps[i]->watch_mark) & UNSEEN)) {
			forget_before(file, i + 1);
			return;
		}
}

/* False: a guard has seen it by now. Else one that is about to will find that this is not its watch. */
static bool abandon(struct lease_map *map)
{
	uint64_t mark = atomic_load(&map->watch_mark);

	while (mark & UNSEEN)
		if (atomic_compare_exchange_weak(&map->watch_mark, &mark, UNSEEN)) {
			forget(map);
			return true;
		}
	return false;
}

/*
 * Who deletes each one before the guard comes to see it must not use them all up: these are given up, and the guard goes
 * on with the one it has.
 */
static void make_room(struct lease_file *file)
{
	size_t n = 0;

	forget_superseded(file);
	if (file->n_maps < LEASE_FILE_MAPS_MAX)
		return;
	while (n + 1 < file->n_maps && abandon(file->maps[n]))
		n++;
	file->n_maps -= n;
	memmove(file->maps, file->maps + n, file->n_maps * sizeof(file->maps[0]));
	forget_superseded(file);
}

bool lease_file_is_there(const struct lease_file *file, const char *directory)
{
	char path[PATH_MAX];
	struct stat st;

	return lock_file_path(directory, LEASE_FILE, path) == 0 && lstat(path, &st) == 0 &&
	       st.st_dev == file->device && st.st_ino == file->inode;
}

int lease_file_move(struct lease_file *file, const char *directory)
{
	struct lease_file fresh = { .n_maps = 0 };
	struct lease_map copy = *file->maps[0];
	char boot_id[BOOT_ID_SIZE];
	const char *why;
	int r;

	copy.watch_mark |= UNSEEN;
	make_room(file);
	r = replace_file(directory, &copy);
	if (r < 0)
		return r;
	memcpy(boot_id, copy.boot_id, sizeof(boot_id));
	r = open_file(directory, boot_id, &fresh, &why);
	if (r != 0)
		return r < 0 ? r : -EIO;
	memmove(file->maps + 1, file->maps, file->n_maps * sizeof(file->maps[0]));
	file->maps[0] = fresh.maps[0];
	file->n_maps++;
	file->device = fresh.device;
	file->inode = fresh.inode;
	if (lease_file_end_us(file) == 0)
		forget_formers(file);
	return 0;
}

void lease_file_set_seen(struct lease_file *file)
{
	atomic_fetch_and(&file->maps[0]->watch_mark, ~UNSEEN);
}

size_t lease_file_formers(const struct lease_file *file)
{
	return file->n_maps - 1;
}

/* One of them is what the guard looks at: all say the same. */
#define STORE(file, member, value)                                                                 \
	do {                                                                                       \
		for (size_t store_i = 0; store_i < (file)->n_maps; store_i++)                      \
			atomic_store(&(file)->maps[store_i]->member, (value));                     \
	} while (0)

/*
 * The end and the mark are accessed sequentially consistent (C11's default): the daemon writes the
 * end and reads the mark, the guard writes the mark and reads the end; one of them sees the other.
 */

bool lease_file_set(struct lease_file *file, int64_t end_us)
{
	assert(end_us > 0);
	if (atomic_load(&file->maps[0]->end_us) == 0)
		lease_file_begin_watch(file);
	STORE(file, end_us, end_us);
	if (file->n_maps > 1 && !(atomic_load(&file->maps[0]->watch_mark) & UNSEEN))
		forget_formers(file);
	return lease_file_mark(file) == LEASE_WATCHED;
}

void lease_file_disarm(struct lease_file *file)
{
	STORE(file, end_us, 0);
	forget_formers(file);
}

int64_t lease_file_end_us(const struct lease_file *file)
{
	return atomic_load(&file->maps[0]->end_us);
}

void lease_file_set_epoch(struct lease_file *file, int64_t epoch)
{
	STORE(file, epoch, epoch);
}

int64_t lease_file_epoch(const struct lease_file *file)
{
	return atomic_load(&file->maps[0]->epoch);
}

void lease_file_set_timeout(struct lease_file *file, int64_t lease_timeout_us)
{
	assert(lease_timeout_us > 0);
	STORE(file, timeout_us, lease_timeout_us);
}

int64_t lease_file_timeout_us(const struct lease_file *file)
{
	return atomic_load(&file->maps[0]->timeout_us);
}

void lease_file_set_group(struct lease_file *file, enum lease_group which, pid_t group)
{
	struct process_group made = process_group_of(group);

	STORE(file, groups[which], (int64_t)made.session << 32 | made.id);
}

static struct process_group get_group(const struct lease_file *file, enum lease_group which)
{
	int64_t both = atomic_load(&file->maps[0]->groups[which]);

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
	STORE(file, watch_mark, (lease_file_watch(file) + 1) << MARK_BITS | LEASE_WATCHED);
}

uint64_t lease_file_watch(const struct lease_file *file)
{
	return (atomic_load(&file->maps[0]->watch_mark) & ~UNSEEN) >> MARK_BITS;
}

enum lease_mark lease_file_mark(const struct lease_file *file)
{
	enum lease_mark mark = LEASE_WATCHED;

	for (size_t i = 0; i < file->n_maps; i++) {
		enum lease_mark one = atomic_load(&file->maps[i]->watch_mark) &
				      ((1U << MARK_BITS) - 1);

		mark = one > mark ? one : mark;
	}
	return mark;
}

bool lease_file_set_mark(struct lease_file *file, uint64_t watch, enum lease_mark mark)
{
	uint64_t seen = atomic_load(&file->maps[0]->watch_mark);

	do {
		if ((seen & ~UNSEEN) >> MARK_BITS != watch)
			return false;
	} while (!atomic_compare_exchange_weak(&file->maps[0]->watch_mark, &seen,
					       (seen & UNSEEN) | watch << MARK_BITS |
						       (uint64_t)mark));
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
