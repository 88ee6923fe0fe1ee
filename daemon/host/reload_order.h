/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* `primaryd --reload`: tells the running daemon to reload, and waits for its answer. */

#include <stddef.h>

#define RELOAD_ORDER_TEXT_SIZE 512

/*
 * Signals the daemon that holds the lock in the runtime directory, and waits until it has accepted or refused: a minute
 * at most. Returns 0; or -errno with the reason in text. -ECANCELED: refused, and the daemon has logged it.
 */
int reload_order(const char *directory, char text[RELOAD_ORDER_TEXT_SIZE]);
