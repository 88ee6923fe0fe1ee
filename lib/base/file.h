/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Files that are written as a whole or not at all, and descriptors that are written to the end. */

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* All of it, whatever interrupts. For descriptors that block. Returns 0 or -errno. */
int file_write_all(int fd, const void *from, size_t length);

/*
 * Writes PATH.new (durable: PATH.PID) and renames it to path; whoever has the former file open keeps that. durable: the file
 * and its name outlive a power cut. mode: as of open(). Returns 0 or -errno (ENOSPC, EROFS ...).
 */
int file_replace(const char *path, const void *data, size_t length, mode_t mode, bool durable);

/*
 * DIRECTORY/INSTANCE and suffix: a file that belongs to one of several daemons of a host. INSTANCE is the runtime directory
 * below /run, or else its whole path, with %2F for / (and %25 for %). So two daemons never share such a file: `primaryd`,
 * `primaryd-NAME`, `%2Fsrv%2Fa`. ret_path[PATH_MAX]. Returns 0 or -ENAMETOOLONG.
 */
int file_instance_path(const char *directory, const char *runtime_directory, const char *suffix,
		       char *ret_path);
