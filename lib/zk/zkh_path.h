/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Paths and sizes, checked before libzookeeper sees them: an invalid path inside a transaction
 * aborts the process there, and an oversized packet shows up only as a lost connection.
 *
 * Pure functions: no allocation, no I/O.
 */

#include <stdbool.h>
#include <stddef.h>

/* Bounds. The server refuses packets over 1,048,575 bytes; one transaction stays below half. */
#define ZKH_PATH_MAX 1024	       /* bytes of a path, the terminating NUL included */
#define ZKH_DATA_MAX (256 * 1024)      /* bytes of one key's data */
#define ZKH_TXN_BYTES_MAX (512 * 1024) /* bytes of one transaction, paths and data and overhead */
#define ZKH_TXN_OPS_MAX 5000	       /* operations of one transaction */
#define ZKH_NAME_MAX 64		       /* characters of a node name */

/*
 * True for an absolute path that ZooKeeper takes: starts with '/', no empty, "." or ".." component,
 * no trailing '/' (but "/" itself is fine), valid UTF-8 without control characters, shorter than
 * ZKH_PATH_MAX.
 */
bool zkh_path_valid(const char *path);

/*
 * True for a node's name: a letter or digit, then up to ZKH_NAME_MAX - 1 of [A-Za-z0-9._-]. Commands get names in their
 * environment and pass them on as arguments: none may look like an option or a hidden file.
 */
bool zkh_name_valid(const char *name);

/*
 * Joins a parent path ("/" included) and a relative rest ("a" or "a/b", no leading '/') into
 * ret_path[ZKH_PATH_MAX]. Returns 0 or ZKH_INVALID (result too long or not valid).
 */
int zkh_path_join(const char *parent, const char *rest, char *ret_path);

/* The parent of a valid path other than "/", into ret_path[ZKH_PATH_MAX]. */
void zkh_path_parent(const char *path, char *ret_path);

/* The last component of a valid path: points into path. "" for "/". */
const char *zkh_path_name(const char *path);

/* True when path is ancestor itself or lies below it. */
bool zkh_path_is_below(const char *path, const char *ancestor);
