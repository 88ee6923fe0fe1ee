/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The floating address: what the administrator wrote, and the record in /run of what was added because of it. */

#include <linux/if.h>
#include <stddef.h>

#define VIP_TEXT_SIZE 64 /* holds any address with its prefix length */

struct vip {
	int family; /* AF_INET or AF_INET6 */
	unsigned prefix;
	unsigned char bytes[16]; /* of AF_INET the first four */
	char interface[IFNAMSIZ];
};

/*
 * text: ADDRESS[%INTERFACE][/PREFIX]. Without a prefix length it is that of a single host. interface may be NULL or "" if
 * the text names one; both must agree. Returns NULL, or what is wrong, to be put behind "ADDRESS is ".
 */
const char *vip_parse(const char *text, const char *interface, struct vip *ret_vip);

/* Bytes of the address: 4 or 16. */
size_t vip_length(const struct vip *vip);

/* As "192.0.2.10/24". Returns buf. */
const char *vip_format(const struct vip *vip, char buf[VIP_TEXT_SIZE]);

/* The record is written before the address is added, and deleted when the kernel has it no more. Returns 0 or -errno. */
int vip_record_write(const char *path, int index, const struct vip *vip);

/* Returns 0 or -errno: -ENOENT, nothing was added; -EBADMSG, it cannot be read. */
int vip_record_read(const char *path, int *ret_index, struct vip *ret_vip);
