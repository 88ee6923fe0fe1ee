/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The lease as the guard sees it: a small file in the runtime directory, which daemon and guard keep open and which
 * outlives both. It is read and written word by word with pread() and pwrite(), and has its full size from the
 * beginning: a full file system fails none of these writes, and a truncated file kills no process.
 *
 * A file that was truncated or overwritten cannot tell the guard that the lease was extended: the guard acts at the
 * last end that it knew. To the daemon this looks as if the guard had begun to act. The functions that read the file
 * then return what was last known. lease_file_disarm() and lease_file_raise() repair it. A deleted file continues to
 * serve the processes that have it open.
 *
 * Times are absolute, in microseconds of CLOCK_BOOTTIME (time_boot_us()).
 *
 * Order of a takeover: lease_file_begin_watch(), the guard (guard.h), lease_file_set() with the first lease, the work.
 * Until there is a lease, the guard is on standby. At the end: the work is down, then lease_file_disarm().
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/process_group.h"

#define LEASE_FILE "lease"

/*
 * Beside it, a lock_file.h: whoever starts or stops the work holds it, so that daemon and guard never do it at the same
 * time. Nothing is started once the guard has begun to act, so look at lease_file_mark() under the lock. Commands do
 * not inherit it: of a stop whose daemon died, LEASE_GROUP_STOP tells.
 */
#define WORK_LOCK_FILE "work.lock"

#define LEASE_FILE_MESSAGE_SIZE 256

struct lease_file;

/* What the guard has done in this watch. */
enum lease_mark {
	LEASE_WATCHED,
	LEASE_STOPPING, /* begun, or left to systemd */
	LEASE_STOPPED,
};

/*
 * Process groups of what this node runs, for whoever has to put an end to it: the guard, or the next daemon. The guard
 * leaves those beside the work (fence, follow, health) alone.
 */

enum lease_group {
	LEASE_GROUP_TAKEOVER, /* while it runs: it is starting the work */
	LEASE_GROUP_WORK,     /* what a takeover command left running */
	LEASE_GROUP_FENCE,    /* while it runs */
	LEASE_GROUP_STOP,     /* while it runs: the guard lets it finish */
	LEASE_GROUP_FOLLOW,   /* while it runs */
	LEASE_GROUP_HEALTH,   /* while it runs */
	LEASE_GROUP_COUNT
};

enum lease_file_result {
	LEASE_FILE_OK,
	LEASE_FILE_DAMAGED, /* wrong size, not a lease file, or from another boot */
};

/*
 * For the daemon: opens DIRECTORY/lease. One from a former daemon of this boot is taken over as it
 * is: its lease goes on. A damaged one, or one from another boot, is replaced by an empty one (then
 * LEASE_FILE_DAMAGED is returned, the object is fine, and message says what was wrong); a guard that
 * still has the old one open acts by that. boot_id: BOOT_ID_SIZE bytes. Returns 0,
 * LEASE_FILE_DAMAGED or -errno.
 */
int lease_file_open(const char *directory, const char *boot_id, struct lease_file **ret_file,
		    char *message, size_t n_message);

/* For the guard: opens what is there. Returns 0, LEASE_FILE_DAMAGED or -errno (-ENOENT). */
int lease_file_attach(const char *directory, const char *boot_id, struct lease_file **ret_file);

/* The file stays. Takes NULL. Returns NULL. */
struct lease_file *lease_file_close(struct lease_file *file);

/* Whether DIRECTORY/lease is still the file that was opened: false when somebody deleted or replaced it. */
bool lease_file_is_there(const struct lease_file *file, const char *directory);

/* It was cut or overwritten, or could not be written. */
bool lease_file_is_damaged(struct lease_file *file);

/*
 * The lease now ends at end_us (> 0), later than before or earlier. Returns false when the guard has begun to stop the
 * work: then the work must be taken as going down, and be stopped. Either that is seen here, or the guard sees the new
 * end: never neither.
 */
bool lease_file_set(struct lease_file *file, int64_t end_us);

/* No lease: the work is down. The watch is over, and its guard ends at its next look. */
void lease_file_disarm(struct lease_file *file);

/* 0: disarmed. For a daemon that resumes: what the former one has written last. */
int64_t lease_file_end_us(struct lease_file *file);

/*
 * Before a takeover is sent, and before the state that belongs to it is saved: the generation becomes higher than it
 * was and than `above`. A state file of another one is void from here on. Needs no memory. Returns 0 or -errno
 * (-ENOENT: the file in DIRECTORY is not this one any more; -EIO: it cannot be written): then nothing may be taken
 * over.
 */
int lease_file_raise(struct lease_file *file, const char *directory, uint64_t above);

/* That of the state file which belongs to this lease file. */
uint64_t lease_file_generation(struct lease_file *file);

/* Handed to the guard's command; kept for a restart. */
void lease_file_set_epoch(struct lease_file *file, int64_t epoch);
int64_t lease_file_epoch(struct lease_file *file);

/* The part of the lease kept for stopping the work, as the daemon has it: > 0; 0: not told yet. */
void lease_file_set_timeout(struct lease_file *file, int64_t lease_timeout_us);
int64_t lease_file_timeout_us(struct lease_file *file);

/*
 * The process group, or 0 for none; said by the new process before it is the command, and when it has ended. A
 * group must belong to the caller's session, or lead one of its own. Async-signal-safe.
 */
void lease_file_set_group(struct lease_file *file, enum lease_group which, pid_t group);

/* For a record from another container or PID namespace, where the same numbers mean other processes. */
void lease_file_forget_groups(struct lease_file *file);

/* What is noted. The group alone: 0: none. */
struct process_group lease_file_noted(struct lease_file *file, enum lease_group which);
pid_t lease_file_group(struct lease_file *file, enum lease_group which);

/* Whether the command itself runs: the leader of the group. */
bool lease_file_command_runs(struct lease_file *file, enum lease_group which);

/* Whether any process of the group is left (zombies do not count). Looks through /proc. */
bool lease_file_group_runs(struct lease_file *file, enum lease_group which);

/* SIGKILL to it, if it is still what was meant. False: nothing was left. */
bool lease_file_group_kill(struct lease_file *file, enum lease_group which);

/*
 * SIGKILL to what is left of the groups that a takeover command has started: its own, and that of the work. Returns
 * whether nothing is left. *ret_group, if it is 0: the first that was killed now, or still runs. May be NULL.
 */
bool lease_file_clear_work(struct lease_file *file, pid_t *ret_group);

/*
 * A new watch: guards of former ones end at their next look, the mark is wiped. guard_start() does
 * it; by hand only where the guard is a service of its own, before that is (re)started.
 */
void lease_file_begin_watch(struct lease_file *file);

/* Its number, which grows with each; 0: none is on. */
uint64_t lease_file_watch(struct lease_file *file);

/* What the guard did in this watch; kept until the next one begins. */
enum lease_mark lease_file_mark(struct lease_file *file);

/* For the guard. False, nothing changed, when another watch has begun. */
bool lease_file_set_mark(struct lease_file *file, uint64_t watch, enum lease_mark mark);
