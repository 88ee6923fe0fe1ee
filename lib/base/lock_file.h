/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Files in the runtime directory that are locked with flock() and say who holds them. They are made
 * with 0600 and never removed: a lock on a removed file would lock nothing.
 *
 * Nothing here waits.
 */

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define LOCK_FILE_TEXT_SIZE 96

enum lock_file_result {
	LOCK_FILE_OK,
	LOCK_FILE_BUSY, /* another open file holds it */
};

/* DIRECTORY/NAME into buf of PATH_MAX. Returns 0 or -ENAMETOOLONG. */
int lock_file_path(const char *directory, const char *name, char *buf);

/* ret_fd: close-on-exec; closing it frees the lock. Returns 0, LOCK_FILE_BUSY or -errno. */
int lock_file_take(const char *directory, const char *name, int *ret_fd);

/* Also fine for -1. Returns -1. */
int lock_file_release(int fd);

/* Whether fd is what DIRECTORY/NAME means: false when somebody deleted or replaced that. */
bool lock_file_is_there(const char *directory, const char *name, int fd);

/* Replaces what the file says: one line, shorter than LOCK_FILE_TEXT_SIZE. Returns 0 or -errno. */
int lock_file_write(int fd, const char *text);

/*
 * LOCK_FILE_BUSY: somebody holds it, and text is what it says ("" while it says nothing yet). 0: it
 * is free, or there is none. Else -errno.
 */
int lock_file_look(const char *directory, const char *name, char text[LOCK_FILE_TEXT_SIZE]);

/* The pid at the start of a text; 0: none. */
pid_t lock_file_pid(const char *text);
