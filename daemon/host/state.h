/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The state that the next daemon resumes: kept in the runtime directory, so that a restart continues the session and
 * the post.
 *
 * The directory is expected to be a tmpfs: nothing here calls fsync, and nothing blocks for long. The file `state`
 * holds the password of the session; only its owner may read it.
 *
 * The end of the lease, which changes with every renewal, is in lease_file.h instead.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/boot.h"
#include "zk/session/zkh_session.h"

#define STATE_FILE "state"
#define STATE_NODE_SIZE 65
#define STATE_MESSAGE_SIZE 256 /* fits every message of this module */
#define STATE_FILE_MAX 4096
#define STATE_NONCES 4

/* X(NAME, text): what is known about the work */
#define STATE_WORK(X)                                                                              \
	X(STATE_WORK_DOWN, "down")                                                                 \
	X(STATE_WORK_PARTLY, "partly") /* it was being started or stopped: it is stopped first */  \
	X(STATE_WORK_UP, "up")

enum state_work {
#define X(name, text) name,
	STATE_WORK(X)
#undef X
};

/* Flat; may be copied and compared field by field. Forget it with explicit_bzero(): the password. */
struct state {
	char node[STATE_NODE_SIZE]; /* zkh_name_valid() */
	uint64_t cluster;	    /* state_cluster() */
	char boot_id[BOOT_ID_SIZE];
	uint64_t place;		      /* place_id() */
	struct zkh_client_id session; /* id 0: none */
	int64_t session_us;	      /* granted session timeout; 0: none */
	int64_t epoch;		      /* of the post held; 0: none */
	enum state_work work;
	uint64_t generation; /* of the lease file that belongs to it: with another one it is void */
	uint64_t nonces
		[STATE_NONCES]; /* whose renewals may be in the keepalive: term_nonces(); 0: none */
	int32_t epoch_version;	/* of /epoch, as the own takeover set it */
	uint64_t work_id;	/* state_work_id(); 0: written by a version that did not know it */
};

enum state_result {
	STATE_OK,
	STATE_DAMAGED,	       /* not a state file, cut, changed, or of another version */
	STATE_FOREIGN_NODE,    /* another node's */
	STATE_FOREIGN_CLUSTER, /* another cluster's: servers or root differ */
	STATE_FOREIGN_BOOT,    /* from before the machine's last boot */
	STATE_FOREIGN_PLACE,   /* from other namespaces: an earlier run of a container */
};

/*
 * Tells clusters, and nodes of one, apart: a hash of the set of servers (their order does not count), root and name.
 */
uint64_t state_cluster(const char *servers, const char *root, const char *name);

/*
 * Tells the ways of stopping the work apart, by the unit ("": none). What a process with another one started can be stopped
 * by the guard of that time alone. Not 0.
 */
uint64_t state_work_id(const char *unit);

/* Writes DIRECTORY/state, as a whole or not at all. Returns 0 or -errno (ENOSPC, EROFS ...). */
int state_save(const char *directory, const struct state *state);

/*
 * Reads it. Only node, cluster, boot_id and place of expected are looked at. Returns 0; -ENOENT (no message)
 * when there is none; another -errno; STATE_DAMAGED or STATE_FOREIGN_...: then message says why, as
 * one line.
 */
int state_load(const char *directory, const struct state *expected, struct state *ret_state,
	       char *message, size_t n_message);

/* Whether there is such a file: false when somebody deleted it. */
bool state_is_there(const char *directory);

/* Removes the file. Returns 0, also when there is none, or -errno. */
int state_remove(const char *directory);
