/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Children that nobody here started: commands that still ran when a reload replaced the image, and, as PID 1 of a container
 * or as a subreaper, what commands and look-ups of names leave behind. Nobody but this process can reap them.
 *
 * An own child is reaped by whoever started it in the very turn of the loop in which it ended. What is still a zombie a
 * while later is an orphan.
 */

struct ev_loop;
struct orphans;

/* Keeps no loop alive. Returns NULL if there is no memory. */
struct orphans *orphans_create(struct ev_loop *loop);

/* Takes NULL. Returns NULL. */
struct orphans *orphans_destroy(struct orphans *orphans);
