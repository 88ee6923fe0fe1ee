/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Messages to the service manager: KEY=VALUE lines in a datagram to $NOTIFY_SOCKET, as in sd_notify(3). sd_notify()
 * itself waits while the manager does not read; neither a loop that holds a lease nor the guard may wait.
 */

#include <stdbool.h>
#include <stdint.h>

/* Longer messages are not sent at all. */
#define NOTIFY_SIZE 1024

/* Somebody wants to be told. */
bool notify_wanted(void);

/*
 * Sends one message; without $NOTIFY_SOCKET does nothing. Never waits: what the manager has no room for is lost.
 * Returns 0 or -errno (-EAGAIN, -EMSGSIZE, ...).
 */
int notify_send(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* $WATCHDOG_USEC, if it is meant for this process; 0: no watchdog. */
int64_t notify_watchdog_us(void);
