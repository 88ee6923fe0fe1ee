/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Whose guard a guard is: it watches over the lease in one runtime directory, that of one daemon. Work that is bound to
 * the guard of another daemon is that daemon's work.
 */

#include <stdbool.h>
#include <stddef.h>

struct sd_bus_message;

#define BUS_DIRECTORY_SIZE 256

/*
 * The --runtime-directory in an answer that holds the property ExecStart of a service. False: there is none, or it is
 * no such answer.
 */
bool bus_guard_directory(struct sd_bus_message *message, char ret_directory[BUS_DIRECTORY_SIZE]);

/* Also under two names. One that does not exist is the same only by name. */
bool bus_guard_is_same(const char *directory, const char *other);
