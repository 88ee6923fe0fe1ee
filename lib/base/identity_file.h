/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The memory of a node on disk, DIRECTORY/INSTANCE.cluster: read once at the start, written by a child, because a disk may
 * hang and the loop must not. INSTANCE stands for the runtime directory: file_instance_path().
 */

#include <ev.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#include "identity.h"

/* ret_path[PATH_MAX]. Returns 0 or -ENAMETOOLONG. */
int identity_file_path(const char *directory, const char *runtime_directory, char *ret_path);

/*
 * Reads it; blocks. Root and name of *known say whose memory is wanted; the rest of it is written on success only. Returns
 * 0; -ENOENT: there is none; another -errno; or -EBADMSG (junk), -EXDEV (of another root or node): nothing is remembered.
 */
int identity_file_load(const char *path, struct identity *known);

/* The same for whoever of this instance is remembered. */
int identity_file_read(const char *path, struct identity *ret_known);

/* error: 0 or -errno. Runs from the loop. */
typedef void (*identity_writer_fn)(void *userdata, int error);

/* One write at a time; one that is asked for meanwhile follows, with what is the latest then. loop: libev's default loop. */
struct identity_writer {
	struct ev_loop *loop;
	identity_writer_fn on_done;
	void *userdata;
	char path[PATH_MAX]; /* "": nothing is kept */

	ev_child child;
	char text[IDENTITY_FILE_SIZE];
	size_t length;
	bool again;
};

void identity_writer_init(struct identity_writer *writer, struct ev_loop *loop, const char *path,
			  identity_writer_fn on_done, void *userdata);
/* A write that is under way ends by itself. Also of one that is zeroed. */
void identity_writer_finish(struct identity_writer *writer);

/* on_done follows, at once if no child can be made. */
void identity_writer_save(struct identity_writer *writer, const struct identity *known);
