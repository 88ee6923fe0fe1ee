/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Which configurations a reload takes over: what it refuses leaves everything as it is. */

#include <stdbool.h>

struct config;
struct log;

/*
 * Whether the file at path may take the place of what runs: it must be valid, and keep what a new image finds its state
 * by. If not, every reason is logged as EVENT_RELOAD_REFUSED.
 */
bool reload_is_valid(const char *path, const struct config *running, struct log *log);
