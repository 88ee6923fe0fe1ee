/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The kernel's interfaces and addresses, over rtnetlink. Requests wait for their answer, a second at most. */

#include <net/ethernet.h>
#include <stdbool.h>

#include "vip.h"

struct link {
	int index; /* 0: there is no such interface */
	bool ethernet;
	bool up;      /* as the administrator has it */
	bool carrier; /* as the wire has it */
	unsigned char mac[ETH_ALEN];
};

/* A socket for requests. Returns it or -errno. */
int kernel_open(void);

/* A socket that becomes readable when an interface or an address changes. Returns it or -errno. */
int kernel_watch(void);

/* Takes what such a socket has, without waiting. Returns whether any of it may concern that interface (0: any does). */
bool kernel_take_news(int watch, int index);

/* By its index; if there is none with that, by its name. Returns 0 or -errno. */
int kernel_find_link(int fd, int index, const char *name, struct link *ret_link);

/* What the kernel has of an address. */
struct vip_state {
	bool present; /* on that interface, with whatever prefix length */
	unsigned prefix;
};

/* Returns 0 or -errno. */
int kernel_find_address(int fd, int index, const struct vip *vip, struct vip_state *ret_state);

/* Adds it, or changes one that is there. IPv6: not a source of the host's own traffic. Returns 0 or -errno. */
int kernel_add_address(int fd, int index, const struct vip *vip);

/* Returns 0 once the kernel says that the interface has no such address, or is no more; or -errno. All others stay. */
int kernel_remove_address(int fd, int index, const struct vip *vip);
