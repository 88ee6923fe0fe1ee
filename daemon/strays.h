/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The children of the image before a reload: health and follow commands that still ran when it was replaced. Nobody
 * waits for them any more, and they would stay as zombies; here they are reaped when they end, and that is all.
 */

struct ev_loop;
struct strays;

/*
 * Takes those that there are; call it before the first child of this image is made. Keeps no loop alive. Returns NULL if
 * there are none, or if the kernel does not tell (then they stay until the daemon ends).
 */
struct strays *strays_create(struct ev_loop *loop);

/* Leaves those that still run to themselves. Takes NULL. Returns NULL. */
struct strays *strays_destroy(struct strays *strays);
