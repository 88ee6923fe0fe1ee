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
#include <sys/stat.h>
#include <unistd.h>

#include "base/boot.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/lock_file.h"
#include "base/process_group.h"

#define LEASE_MAGIC "primaryd lease 3"

#define MARK_BITS 2
#define MARK_MASK ((UINT64_C(1) << MARK_BITS) - 1)
/* A watch after that begins anew; only a file that somebody wrote comes to it. */
#define WATCH_MAX (UINT64_MAX >> MARK_BITS)

/* Two reads in a row that agree are whole: the other side writes a word a few times a second. */
#define READS_MAX 8

/*
 * In the file. Of one machine and one boot: native byte order. Each word is written by itself, and has one writer: `mark`
 * the guard, LEASE_GROUP_STOP whoever stops the work (under the work lock), all else the daemon. (A process that it forks
 * notes its own group.)
 */
struct lease_record {
	char magic[16];
	char boot_id[40];
	uint64_t device, inode; /* its own: those of a copy are others */
	int64_t end_us;
	int64_t timeout_us;
	int64_t epoch;
	uint64_t generation;
	uint64_t watch;
	uint64_t mark; /* watch << MARK_BITS | enum lease_mark; void when of an earlier watch */
	int64_t groups[LEASE_GROUP_COUNT]; /* session << 32 | group */
};

static_assert(sizeof(LEASE_MAGIC) - 1 == sizeof(((struct lease_record *)NULL)->magic), "magic");
static_assert(sizeof(struct lease_record) == 16 + 40 + (8 + LEASE_GROUP_COUNT) * 8, "padding");

struct lease_file {
	int fd;
	bool damaged;		  /* as of the last read: cut, or overwritten; or a write failed */
	bool unwritable;	  /* a write failed: what the file says is not what it should say */
	struct lease_record last; /* as it was read or written last, when it was whole */
};

/* -- the file -- */

static const char *check(const struct lease_record *record, const char *boot_id)
{
	if (memcmp(record->magic, LEASE_MAGIC, sizeof(record->magic)) != 0 ||
	    record->watch > WATCH_MAX || (record->mark & MARK_MASK) > LEASE_STOPPED)
		return "not a lease file of this version";
	if (strncmp(record->boot_id, boot_id, sizeof(record->boot_id)) != 0)
		return "from before the last boot";
	return NULL;
}

static bool read_record(int fd, struct lease_record *ret)
{
	struct lease_record again;
	int n = 0;

	do {
		if (pread(fd, ret, sizeof(*ret), 0) != (ssize_t)sizeof(*ret) ||
		    pread(fd, &again, sizeof(again), 0) != (ssize_t)sizeof(again))
			return false;
	} while (memcmp(ret, &again, sizeof(again)) != 0 && ++n < READS_MAX);
	return n < READS_MAX;
}

/* Brings `last` up to date. A file that cannot be read leaves it as it is. */
static const struct lease_record *load(struct lease_file *file)
{
	struct lease_record record;

	file->damaged = file->unwritable || !read_record(file->fd, &record) ||
			check(&record, file->last.boot_id) != NULL;
	if (!file->damaged)
		file->last = record;
	return &file->last;
}

/* One word of `last`, by itself: others have their writers. */
static void put(struct lease_file *file, const void *word)
{
	off_t at = (const char *)word - (const char *)&file->last;

	if (pwrite(file->fd, word, sizeof(int64_t), at) != (ssize_t)sizeof(int64_t))
		file->unwritable = true;
}

/* All words, where nobody reads them who must not miss anything: there is no lease. */
static void put_all(struct lease_file *file)
{
	file->unwritable = pwrite(file->fd, &file->last, sizeof(file->last), 0) !=
			   (ssize_t)sizeof(file->last);
}

static int open_file(const char *directory, const char *boot_id, struct lease_file *file,
		     const char **ret_why)
{
	char path[PATH_MAX];
	int r = lock_file_path(directory, LEASE_FILE, path);
	struct stat st;

	if (r < 0)
		return r;
	file->fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (file->fd < 0)
		return -errno;
	*ret_why = "not a regular file of the right size";
	if (fstat(file->fd, &st) == 0 && S_ISREG(st.st_mode) &&
	    st.st_size == (off_t)sizeof(file->last) && read_record(file->fd, &file->last))
		*ret_why = check(&file->last, boot_id);
	/* The guard watches the original: at the end of that lease it would stop work that goes by a copy. */
	if (*ret_why == NULL && (file->last.device != st.st_dev || file->last.inode != st.st_ino))
		*ret_why = "a copy";
	if (*ret_why == NULL)
		return 0;
	(void)close(file->fd);
	return LEASE_FILE_DAMAGED;
}

/* A file that is copied says of itself that it is a copy. Returns 0 or -errno. */
static int note_place(const char *path)
{
	uint64_t place[2];
	struct stat st;
	int fd = open(path, O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
	int r = 0;

	static_assert(offsetof(struct lease_record, inode) ==
			      offsetof(struct lease_record, device) + sizeof(uint64_t),
		      "both are one write");
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0)
		r = -errno;
	place[0] = st.st_dev;
	place[1] = st.st_ino;
	if (r == 0 && pwrite(fd, place, sizeof(place), offsetof(struct lease_record, device)) !=
			      (ssize_t)sizeof(place))
		r = -EIO;
	(void)close(fd);
	return r;
}

/* Renamed into place: whoever has the old one open keeps that. The memory for it is taken here: later writes need none. */
static int replace_file(const char *directory, const struct lease_record *record)
{
	char path[PATH_MAX];
	int r = lock_file_path(directory, LEASE_FILE, path);

	if (r == 0)
		r = file_replace(path, record, sizeof(*record), 0600, false);
	return r < 0 ? r : note_place(path);
}

/* Its generation is none that a state file of this boot may bear: what was written before this file was made is void. */
static struct lease_record empty_record(const char *boot_id)
{
	struct lease_record record = { .generation = (uint64_t)time_boot_us() };

	memcpy(record.magic, LEASE_MAGIC, sizeof(record.magic)); /* without the NUL */
	(void)snprintf(record.boot_id, sizeof(record.boot_id), "%s", boot_id);
	return record;
}

int lease_file_open(const char *directory, const char *boot_id, struct lease_file **ret_file,
		    char *message, size_t n_message)
{
	struct lease_file *file = calloc(1, sizeof(*file));
	const struct lease_record empty = empty_record(boot_id);
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
	(void)close(file->fd);
	free(file);
	return NULL;
}

bool lease_file_is_there(const struct lease_file *file, const char *directory)
{
	return lock_file_is_there(directory, LEASE_FILE, file->fd);
}

bool lease_file_is_damaged(struct lease_file *file)
{
	(void)load(file);
	return file->damaged;
}

/* -- the lease -- */

/*
 * The daemon writes the end and reads the mark, the guard writes the mark and reads the end: with this between the two,
 * one of them sees the other.
 */
static void fence(void)
{
	atomic_thread_fence(memory_order_seq_cst);
}

bool lease_file_set(struct lease_file *file, int64_t end_us)
{
	assert(end_us > 0);
	(void)load(file);
	file->last.end_us = end_us;
	put(file, &file->last.end_us);
	fence();
	return lease_file_mark(file) == LEASE_WATCHED;
}

/* Odd while a watch is on. */
static void set_watch(struct lease_file *file, uint64_t watch)
{
	file->last.watch = watch & WATCH_MAX;
	put(file, &file->last.watch);
}

void lease_file_disarm(struct lease_file *file)
{
	(void)load(file);
	file->last.end_us = 0;
	if (file->damaged)
		put_all(file);
	else
		put(file, &file->last.end_us);
	set_watch(file, (file->last.watch + 1) & ~UINT64_C(1));
}

int64_t lease_file_end_us(struct lease_file *file)
{
	return load(file)->end_us;
}

int lease_file_raise(struct lease_file *file, const char *directory, uint64_t above)
{
	uint64_t generation = load(file)->generation;

	if (!lease_file_is_there(file, directory))
		return -ENOENT;
	file->last.generation = (generation > above ? generation : above) + 1;
	if (file->damaged)
		put_all(file);
	else
		put(file, &file->last.generation);
	return lease_file_is_damaged(file) ? -EIO : 0;
}

uint64_t lease_file_generation(struct lease_file *file)
{
	return load(file)->generation;
}

void lease_file_set_epoch(struct lease_file *file, int64_t epoch)
{
	file->last.epoch = epoch;
	put(file, &file->last.epoch);
}

int64_t lease_file_epoch(struct lease_file *file)
{
	return load(file)->epoch;
}

void lease_file_set_timeout(struct lease_file *file, int64_t lease_timeout_us)
{
	assert(lease_timeout_us > 0);
	file->last.timeout_us = lease_timeout_us;
	put(file, &file->last.timeout_us);
}

int64_t lease_file_timeout_us(struct lease_file *file)
{
	return load(file)->timeout_us;
}

/* -- the groups -- */

void lease_file_set_group(struct lease_file *file, enum lease_group which, pid_t group)
{
	struct process_group made = process_group_of(group);

	file->last.groups[which] = (int64_t)made.session << 32 | made.id;
	put(file, &file->last.groups[which]);
	fence(); /* a mark that is read from here on is no older than this */
}

void lease_file_forget_groups(struct lease_file *file)
{
	for (int i = 0; i < LEASE_GROUP_COUNT; i++)
		lease_file_set_group(file, (enum lease_group)i, 0);
}

struct process_group lease_file_noted(struct lease_file *file, enum lease_group which)
{
	int64_t both = load(file)->groups[which];

	return (struct process_group){
		.id = (pid_t)(both & INT32_MAX),
		.session = (pid_t)(both >> 32),
	};
}

pid_t lease_file_group(struct lease_file *file, enum lease_group which)
{
	return lease_file_noted(file, which).id;
}

bool lease_file_command_runs(struct lease_file *file, enum lease_group which)
{
	return process_group_leader_runs(lease_file_noted(file, which));
}

bool lease_file_group_runs(struct lease_file *file, enum lease_group which)
{
	return process_group_runs(lease_file_noted(file, which));
}

bool lease_file_group_kill(struct lease_file *file, enum lease_group which)
{
	return process_group_kill(lease_file_noted(file, which));
}

bool lease_file_clear_work(struct lease_file *file, pid_t *ret_group)
{
	static const enum lease_group groups[] = { LEASE_GROUP_TAKEOVER, LEASE_GROUP_WORK };
	bool gone = true;

	for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++) {
		bool killed = lease_file_group_kill(file, groups[i]);
		bool runs = lease_file_group_runs(file, groups[i]);

		if ((killed || runs) && ret_group != NULL && *ret_group == 0)
			*ret_group = lease_file_group(file, groups[i]);
		gone = gone && !runs;
	}
	return gone;
}

/* -- the watch -- */

void lease_file_begin_watch(struct lease_file *file)
{
	set_watch(file, (load(file)->watch + 1) | 1);
}

uint64_t lease_file_watch(struct lease_file *file)
{
	uint64_t watch = load(file)->watch;

	return watch & 1 ? watch : 0;
}

enum lease_mark lease_file_mark(struct lease_file *file)
{
	const struct lease_record *record = load(file);

	if (file->damaged)
		return LEASE_STOPPING;
	if (record->mark >> MARK_BITS != record->watch)
		return LEASE_WATCHED;
	return (enum lease_mark)(record->mark & MARK_MASK);
}

bool lease_file_set_mark(struct lease_file *file, uint64_t watch, enum lease_mark mark)
{
	if (load(file)->watch != watch)
		return false;
	file->last.mark = watch << MARK_BITS | (uint64_t)mark;
	put(file, &file->last.mark);
	fence();
	return load(file)->watch == watch;
}
